/** Small integer functions of the core, on public values and on those that one operation uses once: BigInt, so not in constant time. */
import { bitLength } from '../base/bytes.ts';

/** x mod n in [0, n). */
export const mod = (x: bigint, n: bigint): bigint => {
  const r = x % n;
  return r < 0n ? r + n : r;
};

/** The length of a secret exponent is rounded up to this many bits, so that it tells only which bound of the protocol the exponent has. */
const GRAIN = 256;
export const paddedBits = (exponent: bigint): number => Math.max(GRAIN, Math.ceil(bitLength(exponent) / GRAIN) * GRAIN);

/** 32-bit words of |n|. */
export const wordsOf = (n: bigint): number => Math.ceil(bitLength(n) / 32);

/** Bits of the windows with the fewest operations; a larger table would not fit the first-level cache, which full scans need. */
export const windowFor = (bits: number): number => (bits <= 24 ? 2 : bits <= 80 ? 3 : bits <= 320 ? 4 : 5);
