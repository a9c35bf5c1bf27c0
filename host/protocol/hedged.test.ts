import { describe, expect, test } from 'vitest';
import { hex, utf8, xorBytes } from '../base/bytes.ts';
import { below, type Random } from '../base/random.ts';
import { hedged } from './hedged.ts';
import { Transcript } from './transcript.ts';

const zeros: Random = { bytes: (length) => new Uint8Array(length) };
const reads = (random: Random, lengths: readonly number[] = [32, 32, 480]): string[] => lengths.map((length) => hex(random.bytes(length)));
const sid = utf8('a session');

describe('hedged randomness', () => {
  test('a stuck generator gives other bytes for every read, secret and context', () => {
    const sources = [
      hedged(zeros, 5n, sid),
      hedged(zeros, 6n, sid),
      hedged(zeros, -5n, sid),
      hedged(zeros, 5n, utf8('another session')),
      hedged(zeros, 5n, sid, utf8('a message')),
      hedged(zeros, 5n, utf8('a sess'), utf8('ion')),
    ];
    const all = sources.flatMap((source) => reads(source, [32, 32]));
    expect(new Set(all).size).toBe(12);
  });

  test('the generator goes in whole: it is XORed with the stream of its place', () => {
    const pad = Uint8Array.from({ length: 480 }, (_, i) => i & 255);
    const counting: Random = { bytes: (length) => pad.slice(0, length) };
    const own = hedged(counting, 5n, sid);
    const bare = hedged(zeros, 5n, sid);
    for (const length of [1, 32, 480]) expect(xorBytes(own.bytes(length), bare.bytes(length))).toEqual(pad.slice(0, length));
  });

  test('follows its definition', () => {
    const stream = (read: number) => new Transcript('hedged-random/v1').integer(5n).u32(1).bytes(sid).u32(read).challenge().take(480);
    expect(reads(hedged(zeros, 5n, sid), [480, 480])).toEqual([hex(stream(0)), hex(stream(1))]);
  });

  test('feeds the samplers, whose rejected candidates are never drawn again', () => {
    const source = hedged(zeros, 5n, sid);
    const drawn = Array.from({ length: 200 }, () => below(source, 129n));
    expect(drawn.every((n) => n >= 0n && n < 129n)).toBe(true);
    expect(new Set(drawn).size).toBeGreaterThan(80);
  });

  test('the bytes of the generator are overwritten', () => {
    const given = new Uint8Array(32).fill(7);
    hedged({ bytes: () => given }, 5n, sid).bytes(32);
    expect(given).toEqual(new Uint8Array(32));
  });
});
