/**
 * Frames on the wire. A stream carries messages, each a u32 length and that many bytes; the first message each way is a {@link hello}, the
 * others are frames. One codec, one version byte in front, every field bounded: anything else ends the link (never the node).
 */
import { bytes, bytesUpTo, decode, DecodeError, oneOf, safeInteger, struct, text, versioned, Writer, type Codec } from '../base/codec.ts';
import { LinkError, type ByteStream } from './transport.ts';
import { TRAFFIC_CLASSES, type Frame } from './types.ts';

/** Raised whenever hello or frames change; nodes of different versions do not talk. */
export const PROTOCOL_VERSION = 1;
export const MAX_BODY_BYTES = 2 << 20;
export const MAX_KIND_BYTES = 32;
export const MAX_ROUND_BYTES = 64;
export const SESSION_BYTES = 32;
/** Version, class, five lengths and the fields of bounded size: what surrounds a body. */
const HEADER_BYTES = 256;
export const MAX_FRAME_BYTES = MAX_BODY_BYTES + HEADER_BYTES;
export const MAX_HELLO_BYTES = 256;

const nodeName = text(31);

/** The greeting, once per stream and direction. It repeats what the certificate says, so that a mistake in configuration is named early. */
export const hello = versioned(
  PROTOCOL_VERSION,
  struct({
    cluster: text(64),
    from: nodeName,
    to: nodeName,
    class: oneOf(TRAFFIC_CLASSES),
  }),
);

/** `sequence` counts the frames of one stream from 0: a gap or a repetition is an error of the peer. */
export const frameCodec = versioned(
  PROTOCOL_VERSION,
  struct({
    class: oneOf(TRAFFIC_CLASSES),
    kind: text(MAX_KIND_BYTES),
    session: bytes(SESSION_BYTES),
    round: text(MAX_ROUND_BYTES),
    sequence: safeInteger,
    body: bytesUpTo(MAX_BODY_BYTES),
  }),
);

/** The length, then the encoding of `value`, in one buffer: one write, one packet when small. */
export function message<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new Writer();
  writer.u32(0);
  codec.write(writer, value);
  const out = writer.finish();
  new DataView(out.buffer, out.byteOffset).setUint32(0, out.length - 4);
  return out;
}

/** @throws RangeError when a field is over its bound. */
export const encodeFrame = (frame: Frame, sequence: number): Uint8Array => message(frameCodec, { ...frame, sequence });

/** Decodes `content` as `codec`. @throws LinkError `version` or `malformed`. */
export function parse<T>(codec: Codec<T>, content: Uint8Array): T {
  if (content.length > 0 && content[0] !== PROTOCOL_VERSION) {
    throw new LinkError('version', `version ${content[0]}, this node speaks ${PROTOCOL_VERSION}`);
  }
  try {
    return decode(codec, content);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new LinkError('malformed', error.message);
  }
}

/** Cuts the messages out of a stream. */
export class MessageReader {
  readonly #stream: ByteStream;
  #chunks: Uint8Array[] = [];
  #buffered = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /**
   * The next message, or undefined when the stream ends between two messages. The length is checked before anything is kept for it.
   * @throws LinkError `oversized` above `max` bytes, `truncated` when the stream ends inside a message.
   */
  async next(max: number): Promise<Uint8Array | undefined> {
    if (!(await this.#fill(4))) {
      if (this.#buffered === 0) return undefined;
      throw new LinkError('truncated', 'the stream ended inside a length');
    }
    const head = this.#take(4);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
    if (length > max) throw new LinkError('oversized', `a message of ${length} bytes, at most ${max}`);
    if (!(await this.#fill(length))) throw new LinkError('truncated', `the stream ended after ${this.#buffered} of ${length} bytes`);
    return this.#take(length);
  }

  async #fill(length: number): Promise<boolean> {
    while (this.#buffered < length) {
      const chunk = await this.#stream.read();
      if (chunk === undefined) return false;
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
    }
    return true;
  }

  #take(length: number): Uint8Array {
    const out = new Uint8Array(length);
    let at = 0;
    let used = 0;
    while (at < length) {
      const chunk = this.#chunks[used]!;
      const part = Math.min(chunk.length, length - at);
      out.set(part === chunk.length ? chunk : chunk.subarray(0, part), at);
      at += part;
      if (part === chunk.length) used++;
      else this.#chunks[used] = chunk.subarray(part);
    }
    this.#chunks.splice(0, used);
    this.#buffered -= length;
    return out;
  }
}
