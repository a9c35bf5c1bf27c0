/** Where the fields of an encoding lie: the writer of the codecs, asked to remember what it wrote. */
import { Writer, type Codec } from '../host/base/codec.ts';

/** `u32` fields are lengths, counts and numbers; `u8` are versions, words, flags and signs. */
export interface Field {
  readonly kind: 'u8' | 'u32' | 'raw';
  readonly at: number;
  readonly length: number;
}

class RecordingWriter extends Writer {
  readonly fields: Field[] = [];
  #at = 0;
  #kind: Field['kind'] = 'raw';

  override raw(bytes: Uint8Array): void {
    this.fields.push({ kind: this.#kind, at: this.#at, length: bytes.length });
    this.#at += bytes.length;
    super.raw(bytes);
  }
  override u8(n: number): void {
    this.#kind = 'u8';
    super.u8(n);
    this.#kind = 'raw';
  }
  override u32(n: number): void {
    this.#kind = 'u32';
    super.u32(n);
    this.#kind = 'raw';
  }
}

/** The fields of `value` in the order in which the codec writes them. */
export function layout<T>(codec: Codec<T>, value: T): readonly Field[] {
  const writer = new RecordingWriter();
  codec.write(writer, value);
  return writer.fields;
}
