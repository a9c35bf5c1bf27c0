/** Safe primes for Paillier and ring-Pedersen moduli (cggmp24.md §3.1), from OpenSSL on libuv's threads: seconds to a minute for 1536 bits. */
import { generatePrime } from 'node:crypto';
import { bitLength } from '../base/bytes.ts';

/** A source of fresh safe primes of one size: generated when asked for, or taken from a stock that was filled when idle. */
export interface PrimeSource {
  next(): Promise<bigint>;
}

export interface PrimeOptions {
  /** Rejects with the signal's reason at once; the search itself cannot be interrupted and ends unobserved. */
  readonly signal?: AbortSignal;
}

const MIN_BITS = 64;

const draw = (bits: number): Promise<bigint> =>
  new Promise((resolve, reject) => {
    generatePrime(bits, { safe: true, bigint: true }, (error, prime) => (error instanceof Error ? reject(error) : resolve(prime)));
  });

/**
 * A random safe prime p = 2p' + 1 of exactly `bits` bits whose two top bits are set, so that a product of two has exactly 2·bits bits.
 * @throws RangeError for fewer than 64 bits; the signal's reason.
 */
export async function safePrime(bits: number, { signal }: PrimeOptions = {}): Promise<bigint> {
  if (!Number.isInteger(bits) || bits < MIN_BITS) throw new RangeError(`a safe prime must have at least ${MIN_BITS} bits, got ${bits}`);
  signal?.throwIfAborted();
  const search = async (): Promise<bigint> => {
    for (;;) {
      const p = await draw(bits);
      // OpenSSL sets both bits today; what the moduli need is not left to that.
      if (bitLength(p) === bits && p >> BigInt(bits - 2) === 3n) return p;
    }
  };
  if (signal === undefined) return search();
  return await new Promise<bigint>((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    search()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Generates on demand. */
export const generatedPrimes = (bits: number, options: PrimeOptions = {}): PrimeSource => ({ next: () => safePrime(bits, options) });
