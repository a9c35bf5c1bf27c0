import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { concatBytes, utf8 } from '../base/bytes.ts';
import { encode, u32 } from '../base/codec.ts';
import { encodeFrame, frameCodec, MAX_BODY_BYTES, MAX_FRAME_BYTES, MessageReader, parse } from './frame.ts';
import { LinkError, type ByteStream } from './transport.ts';
import type { Frame } from './types.ts';

const frame = (change: Partial<Frame> = {}): Frame => ({
  class: 'signing',
  kind: 'session',
  session: new Uint8Array(32).fill(7),
  round: 'presign/2/echo',
  body: utf8('body'),
  ...change,
});

/** A stream that yields these chunks, then ends. */
function streamOf(...chunks: Uint8Array[]): ByteStream {
  const left = [...chunks];
  return { prioritise: () => undefined, write: async () => undefined, read: async () => left.shift() };
}
const chunked = (bytes: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size));
const reasonOf = (act: () => unknown): string => {
  try {
    act();
    return 'accepted';
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    return error.reason;
  }
};

describe('messages in a stream', () => {
  test.each([1, 2, 3, 5, 7, 64, 10_000])('are found whatever the cuts (%d bytes per chunk)', async (size) => {
    const frames = [frame(), frame({ body: new Uint8Array() }), frame({ body: new Uint8Array(randomBytes(300)), round: '' })];
    const reader = new MessageReader(streamOf(...chunked(concatBytes(...frames.map((each, i) => encodeFrame(each, i))), size)));
    for (const [sequence, each] of frames.entries())
      expect(parse(frameCodec, (await reader.next(MAX_FRAME_BYTES))!)).toEqual({ ...each, sequence });
    expect(await reader.next(MAX_FRAME_BYTES)).toBeUndefined();
  });

  test('of the largest body fit, and one byte more is refused before it is sent', async () => {
    const largest = frame({ body: new Uint8Array(MAX_BODY_BYTES), kind: 'k'.repeat(32), round: 'r'.repeat(64) });
    const reader = new MessageReader(streamOf(encodeFrame(largest, Number.MAX_SAFE_INTEGER)));
    expect((await reader.next(MAX_FRAME_BYTES))!.length).toBeLessThanOrEqual(MAX_FRAME_BYTES);
    expect(() => encodeFrame(frame({ body: new Uint8Array(MAX_BODY_BYTES + 1) }), 0)).toThrow(RangeError);
    expect(() => encodeFrame(frame({ kind: 'k'.repeat(33) }), 0)).toThrow(RangeError);
    expect(() => encodeFrame(frame({ round: 'r'.repeat(65) }), 0)).toThrow(RangeError);
  });

  test('that end early, or announce too much, are named', async () => {
    const bytes = encodeFrame(frame(), 0);
    const read = (...chunks: Uint8Array[]) => new MessageReader(streamOf(...chunks)).next(MAX_FRAME_BYTES);
    for (const length of [1, 3, 4, 5, bytes.length - 1])
      await expect(read(bytes.slice(0, length))).rejects.toMatchObject({ reason: 'truncated' });
    await expect(read(encode(u32, MAX_FRAME_BYTES + 1))).rejects.toMatchObject({ reason: 'oversized' });
  });
});

describe('a frame', () => {
  const content = encodeFrame(frame(), 3).slice(4);

  test('cut anywhere, or with a byte more, is malformed', () => {
    for (let length = 1; length < content.length; length++)
      expect(reasonOf(() => parse(frameCodec, content.slice(0, length)))).toBe('malformed');
    expect(reasonOf(() => parse(frameCodec, concatBytes(content, Uint8Array.of(0))))).toBe('malformed');
    expect(reasonOf(() => parse(frameCodec, new Uint8Array()))).toBe('malformed');
  });

  test('of any other version is refused as such', () => {
    for (const version of [0, 2, 255])
      expect(reasonOf(() => parse(frameCodec, concatBytes(Uint8Array.of(version), content.slice(1))))).toBe('version');
  });

  test('of random bytes, or with random bytes changed, is decoded or refused, never more', () => {
    for (let i = 0; i < 3000; i++) {
      const bytes = i % 2 === 0 ? new Uint8Array(randomBytes(i % 200)) : content.slice();
      if (i % 2 === 1) for (let k = 0; k < 3; k++) bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
      expect(['accepted', 'malformed', 'version']).toContain(reasonOf(() => parse(frameCodec, bytes)));
    }
  });
});
