/**
 * Π^mod: N is a Paillier–Blum modulus: gcd(N, φ(N)) = 1 and N is a product of two primes (or prime powers, which the N-th roots exclude), both ≡ 3 mod 4.
 *
 * Why aux info needs it: everything encrypted under a peer's N is secret from that peer's point of view only if decryption is unique, and sound
 * for others only if N has exactly two prime factors. Together with Π^fac it stops keys that leak shares (BitForge, CVE-2023-33241).
 *
 * Each y_j has a fourth root after multiplication by exactly one of ±1, ±w, because Jacobi(w/N) = −1; and an N-th root, because N is prime to
 * φ(N). Without the checks on w a proof for a modulus of many small factors passes with w = 0 (CVE-2025-66016).
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^mod; cggmp24.md §3.5, 5.3. Soundness error 2^−m, no set-up.
 */
import { bitLength } from '../base/bytes.ts';
import { bool, list, natural, struct, type Codec } from '../base/codec.ts';
import { coprime, fourthRoot, nthRoot, powerPublic, type Core, type PaillierPublic } from '../core/types.ts';
import type { ChallengeStream } from '../protocol/transcript.ts';
import { checkUnits } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { isComposite, jacobi, mod } from './integers.ts';
import { modulusBits, type Parameters } from './parameters.ts';
import { unit } from './sampling.ts';

const NAME = 'mod';

export interface Statement {
  readonly N: PaillierPublic;
}
/** The prime factors of N, both ≡ 3 mod 4. */
export interface Witness {
  readonly p: bigint;
  readonly q: bigint;
}
/** x^4 = (−1)^a·w^b·y_j and z^N = y_j mod N. */
export interface Repetition {
  readonly x: bigint;
  readonly a: boolean;
  readonly b: boolean;
  readonly z: bigint;
}
/** w with Jacobi(w/N) = −1; m repetitions. */
export interface Proof {
  readonly w: bigint;
  readonly repetitions: readonly Repetition[];
}

/** About 99 kB. */
export const proof = (parameters: Parameters): Codec<Proof> => {
  const element = natural(modulusBits(parameters).max);
  return struct({ w: element, repetitions: list(struct({ x: element, a: bool, b: bool, z: element }), { exact: parameters.m }) });
};

export async function prove(statement: Statement, { p, q }: Witness, context: ProofContext): Promise<Proof> {
  const { n } = statement.N;
  const { core, random } = context;
  let w: bigint;
  do w = unit(random, n);
  while (jacobi(w, n) !== -1);

  const y = await challenge(statement, { w }, context);
  const owned = { n, p, q };

  // Jacobi(w^b·y_j / N) = 1 fixes b in public. Then c = w^b·y_j or −c is a square modulo both primes, and for E = ((φ+4)/8)² the fourth power of c^E is
  // that square: which one shows only in the result, so no symbol modulo a secret prime is computed.
  const b = y.map((value) => jacobi(value, n) === -1);
  const c = y.map((value, j) => (b[j] ? (w * value) % n : value));
  const [minus, ...roots] = await core.run([
    fourthRoot(owned, n - 1n), // (−1)^E
    ...c.map((value) => fourthRoot(owned, value)),
    ...y.map((value) => nthRoot(owned, value)),
  ]);
  const repetitions = c.map((value, j): Repetition => {
    const root = roots[j]!;
    const a = fourthPower(root, n) !== value;
    // (−c)^E = (−1)^E·c^E
    return { x: a ? (minus! * root) % n : root, a, b: b[j]!, z: roots[c.length + j]! };
  });
  return { w, repetitions };
}

/** Resolves when the proof holds. Includes what every received N must satisfy by itself (§3.5). @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, proof: Proof, context: ProofContext): Promise<void> {
  const { n } = statement.N;
  const { w, repetitions } = proof;
  const { core, parameters } = context;
  const { min, max } = modulusBits(parameters);

  check(NAME, n > 1n, 'N > 1');
  check(NAME, bitLength(n) >= min && bitLength(n) <= max, `${min} ≤ bitlen(N) ≤ ${max}`);
  check(NAME, (n & 1n) === 1n, 'N odd');
  check(NAME, await isComposite(n), 'N composite');
  check(NAME, repetitions.length === parameters.m, `m = ${parameters.m} repetitions`);
  const elements = repetitions.flatMap(({ x, z }, j) => [[`x_${j}`, x] as const, [`z_${j}`, z] as const]);
  await checkUnits(NAME, core, { name: 'N', n, units: { w, ...Object.fromEntries(elements) } });
  check(NAME, jacobi(w, n) === -1, 'Jacobi(w/N) = −1');

  const y = await challenge(statement, { w }, context);
  const powers = await core.run(repetitions.map(({ z }) => powerPublic(n, [z, n])));
  for (const [j, { x, a, b }] of repetitions.entries()) {
    // z_j^N ≡ y_j mod N
    check(NAME, powers[j] === y[j]!, `z_${j}^N ≡ y_${j} mod N`);
    // x_j^4 ≡ (−1)^(a_j)·w^(b_j)·y_j mod N
    const twisted = b ? w * y[j]! : y[j]!;
    check(NAME, fourthPower(x, n) === mod(a ? -twisted : twisted, n), `x_${j}^4 ≡ (−1)^(a_${j})·w^(b_${j})·y_${j} mod N`);
  }
}

/** y_1 … y_m ∈ Z*_N, independent, over (N, w). */
export async function challenge({ N }: Statement, { w }: Pick<Proof, 'w'>, context: ProofContext): Promise<bigint[]> {
  const stream = beginChallenge(NAME, context).integers(N.n, w).challenge();
  return unitsFrom(stream, N.n, context.parameters.m, context.core);
}

/** The first `count` units of the stream. Candidates are tested together; only for a modulus with small factors does a second draw happen. */
async function unitsFrom(stream: ChallengeStream, n: bigint, count: number, core: Core): Promise<bigint[]> {
  const found: bigint[] = [];
  while (found.length < count) {
    const candidates = Array.from({ length: count - found.length }, () => stream.below(n)).filter((y) => y !== 0n);
    const [all] = await core.run([coprime(n, candidates)]);
    const single = all === 1n ? undefined : await core.run(candidates.map((y) => coprime(n, [y])));
    found.push(...candidates.filter((_, j) => single === undefined || single[j] === 1n));
  }
  return found;
}

const fourthPower = (x: bigint, n: bigint): bigint => {
  const square = (x * x) % n;
  return (square * square) % n;
};
