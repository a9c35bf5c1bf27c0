import { checkPrimeSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bitLength } from '../base/bytes.ts';
import { generatedPrimes, safePrime } from './primes.ts';

describe('safe primes', () => {
  it('have exactly the length asked for, in pairs exactly twice it, and are safe', async () => {
    const source = generatedPrimes(160);
    for (let i = 0; i < 4; i++) {
      const [p, q] = await Promise.all([source.next(), source.next()]);
      for (const prime of [p, q]) {
        expect(bitLength(prime)).toBe(160);
        expect(prime % 4n).toBe(3n);
        expect(checkPrimeSync(prime)).toBe(true);
        expect(checkPrimeSync((prime - 1n) / 2n)).toBe(true);
      }
      expect(bitLength(p * q)).toBe(320);
      expect(p).not.toBe(q);
    }
  });

  it('refuses sizes without meaning', async () => {
    await expect(safePrime(32)).rejects.toThrow(RangeError);
    await expect(safePrime(100.5)).rejects.toThrow('at least 64 bits');
  });

  it('stops waiting when aborted, before and during the search', async () => {
    await expect(safePrime(256, { signal: AbortSignal.abort(new Error('not now')) })).rejects.toThrow('not now');
    const controller = new AbortController();
    const search = safePrime(640, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(search).rejects.toThrow('enough');
  });
});
