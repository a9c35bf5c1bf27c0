import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bigintToBytes, bitLength, bytesToBigint, fromHex, hex } from './bytes.ts';
import { below, plusMinus, systemRandom, type Random } from './random.ts';

const fixed = (...values: number[]): Random => ({ bytes: (length) => Uint8Array.from({ length }, () => values.shift() ?? 0) });

describe('sampling', () => {
  test('below rejects instead of reducing: 255 of a byte is thrown away for n = 200', () => {
    expect(below(fixed(255, 200, 199), 200n)).toBe(199n);
  });

  test('below uses the top bits only, so n = 5 reads three bits of a byte', () => {
    expect(below(fixed(0b101_11111, 0b100_11111), 5n)).toBe(4n);
  });

  test('±X has absolute value at most ⌊X/2⌋ and reaches both ends', () => {
    for (const X of [1n, 2n, 7n, 8n]) {
      const seen = new Set(Array.from({ length: 400 }, () => plusMinus(systemRandom, X)));
      const half = X / 2n;
      expect([...seen].sort((a, b) => Number(a - b))).toEqual(Array.from({ length: Number(2n * half + 1n) }, (_, i) => BigInt(i) - half));
    }
  });

  test('every residue below n appears', () => {
    expect(new Set(Array.from({ length: 600 }, () => below(systemRandom, 11n))).size).toBe(11);
  });
});

describe('bytes', () => {
  test('integers and bytes convert both ways', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 512n - 1n }), (n) => {
        expect(bytesToBigint(bigintToBytes(n, 64))).toBe(n);
        expect(bitLength(n)).toBe(n === 0n ? 0 : n.toString(2).length);
        expect(fromHex(hex(bigintToBytes(n, 64)))).toEqual(bigintToBytes(n, 64));
      }),
    );
  });

  test('what does not fit is refused', () => {
    expect(() => bigintToBytes(256n, 1)).toThrow(RangeError);
    expect(() => bigintToBytes(-1n, 4)).toThrow(RangeError);
    expect(() => fromHex('abc')).toThrow(RangeError);
    expect(() => fromHex('zz')).toThrow(RangeError);
  });
});
