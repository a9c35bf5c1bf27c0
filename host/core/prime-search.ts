/**
 * The search for safe primes p = 2p' + 1 (cggmp24.md §3.1) on a worker, in slices of some milliseconds, so that signing never waits for it.
 *
 * p' and p > 3 are prime only if p' ≡ 5 mod 6. A window is W consecutive numbers of that class from a start that is uniform among those with the
 * two top bits set. A sieve strikes the k with p' or 2p' + 1 divisible by a prime up to B; what is left is tested in order, two numbers at a
 * time in the lanes of the kernel: 2^(p'−1) ≡ 1 mod p', then 2^(p−1) ≡ 1 mod p. (If p' is prime, the second proves that p is: Pocklington.) The
 * first that passes is the result; the window is then dropped, for another prime from it would be close to the first.
 *
 * Every safe prime lies in exactly W windows, and is found from each of them unless another stands before it in the window. So none is more likely
 * than 1/W of the windows makes it, and less likely are only those with another safe prime less than 6W below p': at 1536 bits one in
 * 143 000 numbers p' ≡ 5 mod 6 gives one, hence a share of W/143 000 = 6 % of them, half as likely on average. The distribution is within 3 % of
 * uniform, and no prime is more than 1.03 times as likely as if it were uniform. (A search without end from one start would make each as likely
 * as the gap before it is long.)
 *
 * Starts and candidates are secret: they are tested under contexts that are not kept, in scratch that is zeroed. The sieve's addresses depend on
 * them, and the time of a search on where it began; neither says anything about the prime that is found but which numbers near it were struck.
 */
import { bitLength, bytesToBigint } from '../base/bytes.ts';
import { systemRandom, type Random } from '../base/random.ts';
import type { Machine, Product } from './machine.ts';

/** W: numbers of a window. Fewer would be nearer to uniform, at the price of a sieve for each window. */
const WINDOW = 8192;
/** B: striking costs some 7 ms for each window; the next primes would save less time than they take. */
const LARGEST_PRIME = 2 ** 17;
/** Pairs of tests in a slice at 1536 bits: about 10 ms. */
const PAIRS = 5;
const STEP = 6;

/** The primes from 5 to B, and 6⁻¹ modulo each. */
interface SmallPrimes {
  readonly primes: Int32Array;
  readonly inverses: Int32Array;
}

function smallPrimes(): SmallPrimes {
  const composite = new Uint8Array(LARGEST_PRIME);
  const primes: number[] = [];
  for (let s = 2; s < LARGEST_PRIME; s++) {
    if (composite[s] === 1) continue;
    if (s > 3) primes.push(s);
    for (let m = s * s; m < LARGEST_PRIME; m += s) composite[m] = 1;
  }
  // s ≡ ±1 mod 6: 6·(s + 1)/6 = s + 1 ≡ 1, or 6·(s − 1)/6 ≡ −1.
  const inverses = primes.map((s) => (s % STEP === 5 ? (s + 1) / STEP : s - (s - 1) / STEP));
  return { primes: Int32Array.from(primes), inverses: Int32Array.from(inverses) };
}

/** Digits of 14 bits, most significant first: with a prime below 2^17 a remainder and a digit fit into 31 bits. */
function digitsOf(x: bigint): Int32Array {
  const digits = new Int32Array(Math.ceil(bitLength(x) / 14));
  for (let i = digits.length - 1; i >= 0; i--, x >>= 14n) digits[i] = Number(x & 0x3fffn);
  return digits;
}

/** The k < W for which neither start + 6k nor twice that and 1 has a divisor among the small primes. */
export function survivors(start: bigint, { primes, inverses }: SmallPrimes): number[] {
  const struck = new Uint8Array(WINDOW);
  const digits = digitsOf(start);
  for (let i = 0; i < primes.length; i++) {
    const s = primes[i]!;
    let r = 0;
    for (let d = 0; d < digits.length; d++) r = ((r << 14) | digits[d]!) % s;
    // start + 6k ≡ 0, and ≡ (s − 1)/2.
    for (const residue of [0, (s - 1) >> 1]) {
      for (let k = (((residue - r + s) % s) * inverses[i]!) % s; k < WINDOW; k += s) struck[k] = 1;
    }
  }
  return [...struck.keys()].filter((k) => struck[k] === 0);
}

export class PrimeSearch {
  readonly #machine: Machine;
  readonly #random: Random;
  readonly #bits: number;
  readonly #pairs: number;
  readonly #small = smallPrimes();
  #window: { readonly start: bigint; readonly left: number[] } | undefined;

  constructor(machine: Machine, bits: number, random: Random = systemRandom) {
    this.#machine = machine;
    this.#random = random;
    this.#bits = bits;
    this.#pairs = Math.max(1, Math.round(PAIRS * (1536 / bits) ** 3));
  }

  /** Goes on for some milliseconds. A probable safe prime of exactly `bits` bits with its two top bits set, or undefined: not yet. */
  slice(): bigint | undefined {
    if (this.#window === undefined) {
      const start = this.#start();
      this.#window = { start, left: survivors(start, this.#small) };
      return undefined;
    }
    const { start, left } = this.#window;
    for (let pair = 0; pair < this.#pairs && left.length > 0; pair++) {
      const halves = left.splice(0, 2).map((k) => start + BigInt(STEP * k));
      for (const half of this.#passing(halves)) {
        const p = 2n * half + 1n;
        if (bitLength(p) !== this.#bits || this.#passing([p]).length === 0) continue;
        this.#window = undefined;
        return p;
      }
    }
    if (left.length === 0) this.#window = undefined;
    return undefined;
  }

  /** A uniform p' ≡ 5 mod 6 with the two top bits of its bits − 1 set. */
  #start(): bigint {
    const bits = this.#bits - 1;
    const bytes = Math.ceil(bits / 8);
    const x = bytesToBigint(this.#random.bytes(bytes)) >> BigInt(8 * bytes - bits);
    const top = x | (3n << BigInt(bits - 2));
    return top - (top % 6n) + 5n;
  }

  /** Those of one or two numbers n with 2^(n−1) ≡ 1 mod n. */
  #passing(numbers: readonly bigint[]): bigint[] {
    const bits = Math.max(...numbers.map(bitLength));
    const lanes = numbers.map((n): Product => {
      return { n, terms: [{ base: 2n, exponent: n - 1n, bits }], signed: false, secret: true, hidden: true };
    });
    const values = this.#machine.products(lanes as unknown as readonly [Product]);
    return numbers.filter((_, i) => values[i] === 1n);
  }
}
