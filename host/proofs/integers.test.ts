import { modPow } from 'bigint-crypto-utils';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import primality from '../../fixtures/vectors/wycheproof-primality.json' with { type: 'json' };
import { bytesToBigint, fromHex } from '../base/bytes.ts';
import { balances, isComposite, isqrt, jacobi, mod } from './integers.ts';
import { safePrime } from './testing/instances.ts';

const wide = fc.uint8Array({ maxLength: 400 }).map((b) => bytesToBigint(b));

describe('isqrt', () => {
  test('is the largest integer whose square is at most n', () => {
    fc.assert(
      fc.property(wide, (n) => {
        const r = isqrt(n);
        expect(r * r <= n && n < (r + 1n) * (r + 1n)).toBe(true);
      }),
    );
  });
  test.each([0n, 1n, 2n, 3n, 4n, 15n, 16n, 17n, (1n << 200n) - 1n, 1n << 200n])('at the edges: %s', (n) => {
    const r = isqrt(n);
    expect(r * r <= n && n < (r + 1n) * (r + 1n)).toBe(true);
  });
  test('a negative number has none', () => expect(() => isqrt(-1n)).toThrow(RangeError));
});

describe('the Jacobi symbol', () => {
  test('modulo a prime it is the Legendre symbol (Euler)', () => {
    const p = safePrime(1024, 0);
    for (let a = 1n; a < 40n; a++) {
      const euler = modPow(a, (p - 1n) / 2n, p);
      expect(jacobi(a, p)).toBe(euler === 1n ? 1 : -1);
    }
  });
  test('modulo every small odd n it agrees with the product of Legendre symbols, 0 for common factors', () => {
    const factors = (n: bigint): bigint[] => {
      for (let d = 3n; d * d <= n; d += 2n) if (n % d === 0n) return [d, ...factors(n / d)];
      return n === 1n ? [] : [n];
    };
    const legendre = (a: bigint, p: bigint): number => {
      const e = modPow(a, (p - 1n) / 2n, p);
      return e === p - 1n ? -1 : Number(e);
    };
    for (let n = 1n; n < 120n; n += 2n) {
      for (let a = -5n; a < n + 5n; a++) {
        expect(jacobi(a, n)).toBe(factors(n).reduce((product, p) => product * legendre(mod(a, p), p), 1) || 0);
      }
    }
  });
  test('an even or non-positive modulus has none', () => {
    expect(() => jacobi(3n, 8n)).toThrow(RangeError);
    expect(() => jacobi(3n, -7n)).toThrow(RangeError);
  });
});

describe('isComposite', () => {
  test.each([
    [0n, false],
    [1n, false],
    [2n, false],
    [3n, false],
    [4n, true],
    [561n, true],
    [65537n, false],
  ])('%s: %s', async (n, composite) => expect(await isComposite(n)).toBe(composite));
  test('at the size of a modulus', async () => {
    const [p, q] = [safePrime(1024, 0), safePrime(1024, 1)];
    expect(await isComposite(p)).toBe(false);
    expect(await isComposite(p * q)).toBe(true);
    expect(await isComposite(p * p)).toBe(true);
  });

  test('Wycheproof: pseudoprimes of every kind are seen through, primes are not called composite', async () => {
    expect(primality.rows.length).toBe(317);
    // No Miller–Rabin test calls a prime composite: the four longest of them would take three seconds to show it once more.
    const rows = primality.rows.filter(({ value, result }) => result !== 'valid' || value.length < 500);
    const signed = (value: string): bigint => BigInt.asIntN(4 * value.length, bytesToBigint(fromHex(value)));
    const wrong = await Promise.all(
      rows.map(async ({ id, comment, value, result }) => {
        const n = signed(value);
        const composite = n > 1n && result === 'invalid';
        return (await isComposite(n)) === composite ? [] : [`${id}: ${comment}`];
      }),
    );
    expect(wrong.flat()).toEqual([]);
  });
});

test('balances: left ≡ commitment·base^e for either sign of e', () => {
  const n = safePrime(1024, 0) * safePrime(1024, 1);
  for (const e of [5n, 0n, -5n]) {
    const power = modPow(3n, e < 0n ? -e : e, n);
    const left = (7n * modPow(3n, e, n)) % n;
    expect(balances(left, 7n, power, e, n)).toBe(true);
    expect(balances((left + 1n) % n, 7n, power, e, n)).toBe(false);
    expect(balances(left, 8n, power, e, n)).toBe(false);
    if (e !== 0n) expect(balances(left, 7n, (power * 3n) % n, e, n)).toBe(false);
  }
});
