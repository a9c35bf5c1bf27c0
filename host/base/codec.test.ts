import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bool,
  bytes,
  bytesUpTo,
  decode,
  DecodeError,
  encode,
  integer,
  list,
  natural,
  oneOf,
  optional,
  safeInteger,
  struct,
  text,
  u32,
  u64,
  versioned,
  type Codec,
} from './codec.ts';

const roundTrip = <T>(codec: Codec<T>, value: T) => expect(decode(codec, encode(codec, value))).toEqual(value);

describe('codec', () => {
  const message = versioned(
    3,
    struct({
      n: integer(64),
      kind: oneOf(['a', 'b']),
      items: list(struct({ id: bytes(2), note: optional(text(8)) }), { max: 3 }),
      at: safeInteger,
      on: bool,
    }),
  );
  const value = {
    n: -5n,
    kind: 'b' as const,
    items: [
      { id: Uint8Array.of(1, 2), note: 'é' },
      { id: Uint8Array.of(3, 4), note: undefined },
    ],
    at: 2 ** 53 - 1,
    on: true,
  };

  test('every kind of field survives a round trip', () => roundTrip(message, value));

  test('integers of any size and sign round-trip, and encode canonically', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 200n) + 1n, max: 2n ** 200n - 1n }), (n) => {
        roundTrip(integer(200), n);
        roundTrip(natural(200), n < 0n ? -n : n);
      }),
    );
    roundTrip(u64, 2n ** 64n - 1n);
  });

  test('no proper prefix and no extension of an encoding decodes', () => {
    const encoded = encode(message, value);
    for (let length = 0; length < encoded.length; length++) expect(() => decode(message, encoded.slice(0, length))).toThrow(DecodeError);
    expect(() => decode(message, Uint8Array.of(...encoded, 0))).toThrow('1 trailing bytes');
  });

  test('a decoded value encodes to the very bytes it came from: one encoding per value', () => {
    const encoded = encode(message, value);
    fc.assert(
      fc.property(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }), (position, flip) => {
        const changed = encoded.slice();
        changed[position]! ^= flip;
        try {
          expect(encode(message, decode(message, changed))).toEqual(changed);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['an unknown version', message, Uint8Array.of(4), 'version 4, only 3 is known'],
    ['an integer above its bound', natural(9), Uint8Array.of(0, 0, 0, 2, 2, 0), 'integer of 10 bits, at most 9'],
    ['a non-minimal integer', natural(16), Uint8Array.of(0, 0, 0, 2, 0, 1), 'not minimal'],
    ['negative zero', integer(8), Uint8Array.of(1, 0, 0, 0, 0), 'negative zero'],
    ['a length over the bound, before allocating', bytesUpTo(4), Uint8Array.of(255, 255, 255, 255), 'at most 4'],
    ['a count over the bound', list(u32, { max: 2 }), Uint8Array.of(0, 0, 0, 3), '3 items, at most 2'],
    ['a count other than the exact one', list(u32, { exact: 2 }), Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1), 'exactly 2'],
    ['a boolean of 2', bool, Uint8Array.of(2), 'boolean'],
    ['a word that is not listed', oneOf(['a']), Uint8Array.of(1), 'not one of a'],
    ['text that is not UTF-8', text(4), Uint8Array.of(0, 0, 0, 1, 0xff), 'not UTF-8'],
    ['an unsafe integer', safeInteger, new Uint8Array(8).fill(255), '2^53'],
  ] as [string, Codec<unknown>, Uint8Array, string][])('%s is refused', (_name, codec, encoded, problem) => {
    expect(() => decode(codec, encoded)).toThrow(problem);
  });

  test('the error names the path of the field', () => {
    const encoded = encode(message, value);
    const at = encoded.length - 9 - 1; // presence byte of items[1].note
    encoded[at] = 7;
    expect(() => decode(message, encoded)).toThrow('items[1].note: boolean must be 0 or 1');
  });

  test('a value outside its bound is never encoded', () => {
    expect(() => encode(natural(8), 256n)).toThrow(RangeError);
    expect(() => encode(natural(8), -1n)).toThrow(RangeError);
    expect(() => encode(bytes(2), new Uint8Array(3))).toThrow(RangeError);
    expect(() => encode(safeInteger, 2 ** 53)).toThrow(RangeError);
    expect(() => encode(list(u32, { exact: 1 }), [])).toThrow(RangeError);
  });
});
