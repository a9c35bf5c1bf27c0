/**
 * Randomness is injected: protocols never reach for a global generator, so that a fixed stream gives a fixed transcript in tests.
 * All sampling is by rejection (cggmp24.md §1.2), never "random bits mod n".
 */
import { randomBytes } from 'node:crypto';
import { bitLength, bytesToBigint } from './bytes.ts';

export interface Random {
  /** `length` fresh uniform bytes. */
  bytes(length: number): Uint8Array;
}

/** The operating system's generator. The only one production uses. */
export const systemRandom: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };

/** Uniform in {0 … n − 1}, n ≥ 1. */
export function below(random: Random, n: bigint): bigint {
  if (n <= 0n) throw new RangeError('below needs n ≥ 1');
  const bits = bitLength(n);
  const excess = BigInt(Math.ceil(bits / 8) * 8 - bits);
  for (;;) {
    const candidate = bytesToBigint(random.bytes(Math.ceil(bits / 8))) >> excess;
    if (candidate < n) return candidate;
  }
}

/** ±X: uniform over the integers of absolute value at most ⌊X/2⌋ (the half-width convention of the 2024 revision). */
export function plusMinus(random: Random, X: bigint): bigint {
  const half = X / 2n;
  return below(random, 2n * half + 1n) - half;
}
