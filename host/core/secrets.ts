/**
 * What follows from the factors of a key (cggmp24.md §3.3). It is computed once per key and worker and stays on the JavaScript heap beside
 * the factors themselves, which arrive there with every task.
 *
 * BigInt is used for the reductions of exponents mod p − 1 and the recombination of the halves: a handful of operations of the numbers' full length
 * per exponentiation. BigInt is not constant-time by contract; the exponentiations themselves, and the inversions, run in WebAssembly and are.
 */
import { invariant } from '../base/errors.ts';
import type { Machine } from './machine.ts';

export const mod = (x: bigint, n: bigint): bigint => {
  const r = x % n;
  return r < 0n ? r + n : r;
};

export interface Halves {
  readonly p: bigint;
  readonly q: bigint;
  /** p⁻¹ mod q. */
  readonly pInverse: bigint;
}

/** @throws RangeError when p and q have a common factor. */
export function halves(machine: Machine, p: bigint, q: bigint): Halves {
  const pInverse = machine.invert(p % q, q);
  if (pInverse === undefined) throw new RangeError('the factors p and q of a key must be coprime: check the key');
  return { p, q, pInverse };
}

/** The x mod p·q with x ≡ a mod p and x ≡ b mod q (Garner). x ≡ a whatever happens; that x ≡ b is looked at, for a wrong half shows the factors. */
export const recombine = ({ p, q, pInverse }: Halves, a: bigint, b: bigint): bigint => {
  const x = a + p * mod((b - a) * pInverse, q);
  invariant((x - b) % q === 0n, 'a number is put together from its residues');
  return x;
};

export interface KeySecrets {
  readonly n: Halves;
  /** The same for p² and q². */
  readonly n2: Halves;
}

/** Derived secrets of the keys used last, by modulus. */
export function deriveSecrets(machine: Machine, { n, p, q }: { n: bigint; p: bigint; q: bigint }): KeySecrets {
  if (p * q !== n) throw new RangeError('the factors p and q of a key do not multiply to its n: check the key');
  return { n: halves(machine, p, q), n2: halves(machine, p * p, q * q) };
}
