/**
 * The door to the arithmetic core, as everyone above sees it: operations on big integers in, promises of big integers out. One call carries
 * a batch; the pool cuts it into tasks, pairs independent exponentiations into the two lanes of the kernel, and runs them on worker threads.
 *
 * Sizes: moduli are odd, 512 to 6144 bits. Exponents are signed (a negative one needs a base that is a unit). Results are canonical, in [0, n).
 */

/** N = p·q, a product of two distinct safe primes of equal length. `n` alone is somebody else's key. */
export interface PaillierPublic {
  readonly n: bigint;
}
export interface PaillierSecret extends PaillierPublic {
  readonly p: bigint;
  readonly q: bigint;
}
/** Whoever holds the factors gets the CRT paths without asking: the same operation, the same result. */
export type PaillierKey = PaillierPublic | PaillierSecret;

/** N̂, s, t with s = t^λ (cggmp24.md §4). */
export interface RingPedersenPublic {
  readonly n: bigint;
  readonly s: bigint;
  readonly t: bigint;
}
export interface RingPedersenSecret extends RingPedersenPublic {
  readonly p: bigint;
  readonly q: bigint;
  readonly lambda: bigint;
}
export type RingPedersenKey = RingPedersenPublic | RingPedersenSecret;

/** What to compute modulo: a plain odd integer (public: what follows from it is cached); a key's N (or N̂); a Paillier key's N². Through a key with factors, by CRT. */
export type Modulus =
  bigint | { readonly mod: 'N'; readonly key: PaillierKey | RingPedersenKey } | { readonly mod: 'N²'; readonly key: PaillierKey };

/** base^exponent. `secret` (the default is true) picks the constant-time path; `false` is for verification of public values. */
export interface Term {
  readonly base: bigint;
  readonly exponent: bigint;
}

/**
 * Terms of one power. With more, their tables would leave the second-level cache and a task would take too long; at sixteen, the squarings that they
 * share are about a fifth of the work.
 */
export const MAX_TERMS = 16;

export type Operation =
  /** ∏ base^exponent mod n over one to {@link MAX_TERMS} terms, with shared squarings. */
  | { readonly op: 'power'; readonly modulus: Modulus; readonly terms: readonly Term[]; readonly secret: boolean }
  /** (1 + m·N)·r^N mod N², m signed (|m| may exceed N: it is reduced), r a unit mod N. Constant-time in m and r. */
  | { readonly op: 'encrypt'; readonly key: PaillierKey; readonly m: bigint; readonly r: bigint; readonly secret: boolean }
  /** The signed plaintext of a unit c mod N², in (−N/2, N/2). */
  | { readonly op: 'decrypt'; readonly key: PaillierSecret; readonly c: bigint }
  /**
   * Roots modulo a Paillier–Blum modulus, whose exponents nobody but the core sees: the x with x^N = base ('N'), or x = base^(((φ+4)/8)²), a fourth root of base or
   * −base, whichever is a square modulo both factors (4; of −1: ±1).
   */
  | { readonly op: 'root'; readonly key: PaillierSecret; readonly degree: 4 | 'N'; readonly base: bigint }
  /** s^x·t^y mod N̂, x and y signed. Tables of (s, t) are cached per worker; by the trapdoor and CRT for the owner. */
  | { readonly op: 'commit'; readonly setup: RingPedersenKey; readonly x: bigint; readonly y: bigint; readonly secret: boolean }
  /** 1 when gcd(v, n) = 1 for every v (0 < v < n is the caller's to check), else 0. */
  | { readonly op: 'coprime'; readonly n: bigint; readonly values: readonly bigint[] }
  /** A slice of a search for a safe prime of `bits` bits: 0, or a probable one that nobody was given before (prime-search.ts). */
  | { readonly op: 'search'; readonly bits: number };

/** Signing work never waits behind refill work, and neither behind what is done for later because nothing else is to do. */
export type Priority = 'signing' | 'refill' | 'idle';

export interface RunOptions {
  readonly priority?: Priority;
  readonly signal?: AbortSignal;
}

export interface Core {
  /** Which kernel the self-test chose, shown in health, metrics and bench headers. `reference` is the BigInt oracle of the tests. */
  readonly kernel: 'fma' | 'extmul' | 'reference';
  /** Results in the order of the operations. @throws RangeError for an even or out-of-range modulus, a non-unit under a negative exponent. */
  run<const O extends readonly Operation[]>(operations: O, options?: RunOptions): Promise<{ -readonly [K in keyof O]: bigint }>;
}

/** Runs everything of `core` at one priority: protocols take a Core and know nothing of priorities. */
export const atPriority = (core: Core, priority: Priority, signal?: AbortSignal): Core => ({
  kernel: core.kernel,
  run: (operations, options) => core.run(operations, { priority, ...(signal && { signal }), ...options }),
});

// Constructors, so that a proof reads like its equation.
export const modN = (key: PaillierKey | RingPedersenKey): Modulus => ({ mod: 'N', key });
export const modN2 = (key: PaillierKey): Modulus => ({ mod: 'N²', key });
type Terms = readonly (readonly [base: bigint, exponent: bigint])[];
/** ∏ base^exponent mod n, constant-time in the exponents. */
export const power = (modulus: Modulus, ...terms: Terms): Operation => ({
  op: 'power',
  modulus,
  terms: terms.map(([base, exponent]) => ({ base, exponent })),
  secret: true,
});
/** ∏ base^exponent mod n in variable time: public exponents only. */
export const powerPublic = (modulus: Modulus, ...terms: Terms): Operation => ({
  op: 'power',
  modulus,
  terms: terms.map(([base, exponent]) => ({ base, exponent })),
  secret: false,
});
/** enc(m; r). */
export const encrypt = (key: PaillierKey, m: bigint, r: bigint): Operation => ({ op: 'encrypt', key, m, r, secret: true });
/** enc(m; r) for public m and r: the verifier's side of an equation. */
export const encryptPublic = (key: PaillierKey, m: bigint, r: bigint): Operation => ({ op: 'encrypt', key, m, r, secret: false });
export const decrypt = (key: PaillierSecret, c: bigint): Operation => ({ op: 'decrypt', key, c });
export const nthRoot = (key: PaillierSecret, base: bigint): Operation => ({ op: 'root', key, degree: 'N', base });
export const fourthRoot = (key: PaillierSecret, base: bigint): Operation => ({ op: 'root', key, degree: 4, base });
/** s^x·t^y mod N̂. */
export const commit = (setup: RingPedersenKey, x: bigint, y: bigint): Operation => ({ op: 'commit', setup, x, y, secret: true });
export const commitPublic = (setup: RingPedersenKey, x: bigint, y: bigint): Operation => ({ op: 'commit', setup, x, y, secret: false });
export const coprime = (n: bigint, values: readonly bigint[]): Operation => ({ op: 'coprime', n, values });
export const searchSafePrime = (bits: number): Operation => ({ op: 'search', bits });

export const hasFactors = <K extends PaillierKey | RingPedersenKey>(key: K): key is Extract<K, { p: bigint }> => 'p' in key;
