/**
 * Safe primes for Paillier and ring-Pedersen moduli (cggmp24.md §3.1): searched on the core's workers in slices (prime-search.ts), decided by
 * OpenSSL, whose `checkPrime` makes at least 64 rounds of Miller–Rabin with random bases for numbers of this size: more than the 25 of §3.1, and by
 * other code than the search.
 */
import { checkPrime } from 'node:crypto';
import { promisify } from 'node:util';
import { bitLength } from '../base/bytes.ts';
import { searchSafePrime, type Core, type Priority } from './types.ts';

export interface PrimeOptions {
  /** Rejects with the signal's reason at once; slices under way end unobserved, within milliseconds. */
  readonly signal?: AbortSignal;
  /** Default: refill. */
  readonly priority?: Priority;
}

interface Waiting {
  readonly priority: Priority;
  resolve(prime: bigint): void;
  reject(error: unknown): void;
}

const isPrime: (n: bigint) => Promise<boolean> = promisify(checkPrime);

/** Whether p and (p − 1)/2 are prime, p has exactly `bits` bits, and its two top bits are set: a product of two then has exactly 2·bits bits. */
export const isSafePrime = async (p: bigint, bits: number): Promise<boolean> =>
  bitLength(p) === bits && p >> BigInt(bits - 2) === 3n && (await isPrime(p)) && (await isPrime((p - 1n) / 2n));

/** Searches on `width` workers at once while anybody waits; who asked first gets the prime that is found first. Signing work passes between any two slices. */
export class SafePrimes {
  readonly #waiting: Waiting[] = [];
  #searching = 0;

  constructor(
    private readonly core: Core,
    readonly bits: number,
    private readonly width: number,
  ) {}

  /** A fresh safe prime that nobody else gets. @throws RangeError for a length that the core does not search; the signal's reason. */
  async next({ signal, priority = 'refill' }: PrimeOptions = {}): Promise<bigint> {
    signal?.throwIfAborted();
    return await new Promise<bigint>((resolve, reject) => {
      const leave = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal!.reason as Error);
      };
      const waiting: Waiting = {
        priority,
        resolve: (prime) => {
          signal?.removeEventListener('abort', leave);
          resolve(prime);
        },
        reject: (error) => {
          signal?.removeEventListener('abort', leave);
          reject(error as Error);
        },
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
      while (this.#searching < this.width) void this.#search();
    });
  }

  /** One worker's search, slice after slice. An error ends the wait of everybody: the next slice would meet it too. */
  async #search(): Promise<void> {
    this.#searching++;
    try {
      while (this.#waiting.length > 0) {
        const priority = this.#waiting.some((waiting) => waiting.priority !== 'idle') ? 'refill' : 'idle';
        const [found] = await this.core.run([searchSafePrime(this.bits)], { priority });
        if (found !== 0n && (await isSafePrime(found, this.bits))) this.#waiting.shift()?.resolve(found);
      }
    } catch (error) {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    } finally {
      this.#searching--;
    }
  }
}
