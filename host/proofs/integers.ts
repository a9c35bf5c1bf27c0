/** Small integer functions of the proofs that need no exponentiation. Public values only, unless said otherwise: variable time. */
import { checkPrime } from 'node:crypto';

export const abs = (n: bigint): bigint => (n < 0n ? -n : n);

/** n mod m in [0, m). */
export const mod = (n: bigint, m: bigint): bigint => {
  const r = n % m;
  return r < 0n ? r + m : r;
};

/** ⌊√n⌋ for n ≥ 0 (Newton, from above). */
export function isqrt(n: bigint): bigint {
  if (n < 0n) throw new RangeError('isqrt of a negative number');
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(16).length * 4) / 2 + 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}

/** The exponent of 2 in n > 0. */
function trailingZeros(n: bigint): number {
  for (let word = 0; ; word++) {
    const low = Number(BigInt.asUintN(32, n >> BigInt(32 * word)));
    if (low !== 0) return 32 * word + 31 - Math.clz32(low & -low);
  }
}

/** The Jacobi symbol (a/n) for odd n ≥ 1: 0 exactly when gcd(a, n) ≠ 1. By quadratic reciprocity, Euclid's steps. */
export function jacobi(a: bigint, n: bigint): -1 | 0 | 1 {
  if (n <= 0n || (n & 1n) === 0n) throw new RangeError('the Jacobi symbol needs an odd positive modulus');
  let top = mod(a, n);
  let bottom = n;
  let negative = false;
  while (top !== 0n) {
    const nMod8 = Number(BigInt.asUintN(3, bottom));
    const twos = trailingZeros(top);
    top >>= BigInt(twos);
    // (2/n) = −1 for n ≡ ±3 mod 8
    if ((twos & 1) === 1 && (nMod8 === 3 || nMod8 === 5)) negative = !negative;
    // (a/n) = −(n/a) when both are ≡ 3 mod 4
    if ((nMod8 & 3) === 3 && BigInt.asUintN(2, top) === 3n) negative = !negative;
    [top, bottom] = [bottom % top, top];
  }
  if (bottom !== 1n) return 0;
  return negative ? -1 : 1;
}

/** Miller–Rabin rounds on a received modulus: a prime passed off as composite cannot happen, a composite as prime with probability ≤ 4^−25. */
const MILLER_RABIN_ROUNDS = 25;

/** Whether n is composite (0, 1 and negative numbers are not). Runs beside the event loop. */
export const isComposite = (n: bigint): Promise<boolean> =>
  n < 4n
    ? Promise.resolve(false)
    : new Promise((resolve, reject) =>
        checkPrime(n, { checks: MILLER_RABIN_ROUNDS }, (error, prime) =>
          error === null || error === undefined ? resolve(!prime) : reject(error),
        ),
      );

/** left ≡ commitment·base^e mod n, given power = base^|e|: for e < 0 the power stands on the left, so that nothing is inverted (base is a unit). */
export const balances = (left: bigint, commitment: bigint, power: bigint, e: bigint, n: bigint): boolean =>
  e < 0n ? (left * power) % n === commitment : left === (commitment * power) % n;
