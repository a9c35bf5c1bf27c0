import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { G, O, q } from '../curve/secp256k1.ts';
import { commitment, opens, Transcript } from './transcript.ts';

describe('transcript encoding (cggmp24.md §2.1)', () => {
  test('fields are typed and length-prefixed, byte by byte', () => {
    const preimage = new Transcript('T').bytes(Uint8Array.of(9)).u32(258).integer(-256n).integer(0n).point(O).preimage();
    expect(hex(preimage)).toBe(
      '00000001' + hex(utf8('T')) + '00000001' + '09' + '00000102' + '00000003' + '010100' + '00000001' + '00' + '00000001' + '00',
    );
  });

  test('moving a byte between neighbouring fields changes the digest', () => {
    const digest = (a: number[], b: number[]) => hex(new Transcript('t').bytes(Uint8Array.from(a)).bytes(Uint8Array.from(b)).digest());
    expect(digest([1, 2], [3])).not.toBe(digest([1], [2, 3]));
    expect(digest([], [1])).not.toBe(digest([1], []));
  });

  test('the sign of an integer is hashed', () => {
    expect(hex(new Transcript('t').integer(5n).digest())).not.toBe(hex(new Transcript('t').integer(-5n).digest()));
  });

  test('a list is not its concatenation', () => {
    const nested = new Transcript('t').list([[G], [G]], (t, l) => t.list(l, (u, P) => u.point(P)));
    expect(hex(nested.digest())).not.toBe(hex(new Transcript('t').list([[G, G]], (t, l) => t.list(l, (u, P) => u.point(P))).digest()));
  });

  test('a count or index out of u32 is refused', () => {
    expect(() => new Transcript('t').u32(-1)).toThrow(RangeError);
    expect(() => new Transcript('t').u32(2 ** 32)).toThrow(RangeError);
  });
});

describe('challenges (§2.3)', () => {
  const stream = (i: number) => new Transcript('challenge').u32(i).challenge();

  test('the stream is SHA-256(seed ‖ u64be(i)), and never repeats what it gave', () => {
    const seed = new Transcript('challenge').u32(0).digest();
    const block = (i: number) =>
      createHash('sha256')
        .update(seed)
        .update(Buffer.from([0, 0, 0, 0, 0, 0, 0, i]))
        .digest();
    const s = stream(0);
    expect(Buffer.concat([s.take(5), s.take(40), s.take(19)])).toEqual(Buffer.concat([block(0), block(1)]));
  });

  test('below and ±X stay in range and reach their ends', () => {
    const seen = new Set<bigint>();
    for (let i = 0; i < 300; i++) {
      const e = stream(i).plusMinus(6n);
      expect(e >= -3n && e <= 3n).toBe(true);
      seen.add(e);
      expect(stream(i).below(q) < q).toBe(true);
    }
    expect(seen.size).toBe(7);
  });

  test('over many transcripts every one of 128 bits takes both values and no two positions agree throughout', () => {
    const columns = Array.from({ length: 128 }, () => '');
    for (let i = 0; i < 200; i++) for (const [j, bit] of stream(i).bits(128).entries()) columns[j] += bit ? '1' : '0';
    expect(columns.every((c) => c.includes('0') && c.includes('1'))).toBe(true);
    expect(new Set(columns).size).toBe(128);
  });
});

test('a commitment opens only to its own fields and nonce (§2.4)', () => {
  const u = new Uint8Array(32).fill(7);
  const V = commitment('c', (t) => t.u32(1).point(G), u);
  expect(opens(V, 'c', (t) => t.u32(1).point(G), u)).toBe(true);
  expect(opens(V, 'c', (t) => t.u32(2).point(G), u)).toBe(false);
  expect(opens(V, 'd', (t) => t.u32(1).point(G), u)).toBe(false);
  expect(opens(V, 'c', (t) => t.u32(1).point(G), new Uint8Array(32))).toBe(false);
});
