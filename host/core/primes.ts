/** Safe primes for Paillier and ring-Pedersen moduli (cggmp24.md §3.1), from OpenSSL on libuv's threads: several searches run side by side. */
import { generatePrime } from 'node:crypto';
import { bitLength } from '../base/bytes.ts';
import { Defect } from '../base/errors.ts';

/** Gives a fresh safe prime at each call; never the same twice. */
export interface PrimeSource {
  next(): Promise<bigint>;
}

/**
 * p of exactly `bits` bits with (p − 1)/2 prime and the two top bits set, so that the product of two of them has exactly 2·bits bits. Seconds
 * at 1536 bits, with a long tail. The search cannot be interrupted: `signal` ends the wait, not the work.
 */
export async function safePrime(bits: number, options: { readonly signal?: AbortSignal } = {}): Promise<bigint> {
  const { signal } = options;
  signal?.throwIfAborted();
  const search = new Promise<bigint>((resolve, reject) =>
    generatePrime(bits, { safe: true, bigint: true }, (error, prime) => (error === null ? resolve(prime) : reject(error))),
  );
  const prime = await (signal === undefined ? search : Promise.race([search, aborted(signal)]));
  // OpenSSL sets the two top bits; the size of N depends on it, so it is checked.
  if (bitLength(prime) !== bits || prime >> BigInt(bits - 2) !== 3n || prime % 4n !== 3n) {
    throw new Defect(`the prime generator gave a prime of another form than a safe one of ${bits} bits`);
  }
  return prime;
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }));
