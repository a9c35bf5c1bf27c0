/**
 * One schema per message that crosses the wire or the disk. A codec is canonical (one encoding per value), bounded (every length and every
 * integer has a maximum, checked before anything is allocated or computed) and total: what it decodes is valid, past it types are trusted.
 *
 * Framing inside a message is fixed-width or u32-length-prefixed, big endian. Unknown versions, trailing bytes, non-minimal integers and
 * lengths over the bound are rejected with the path of the field.
 */
import { bigintToBytes, bitLength, bytesToBigint, magnitude } from './bytes.ts';

export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  constructor(
    readonly path: string,
    readonly problem: string,
  ) {
    super(path === '' ? problem : `${path}: ${problem}`);
  }
}

export class Writer {
  #parts: Uint8Array[] = [];
  #length = 0;

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
  u8(n: number): void {
    this.raw(Uint8Array.of(n));
  }
  u32(n: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, n);
    this.raw(bytes);
  }
  finish(): Uint8Array {
    const out = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

export class Reader {
  #at = 0;
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }
  raw(length: number): Uint8Array {
    if (length > this.remaining) throw new DecodeError('', `truncated: ${length} bytes wanted, ${this.remaining} left`);
    const out = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return out;
  }
  u8(): number {
    return this.raw(1)[0]!;
  }
  u32(): number {
    const bytes = this.raw(4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  }
}

export interface Codec<T> {
  write(writer: Writer, value: T): void;
  /** @throws DecodeError */
  read(reader: Reader): T;
}
export type Infer<C> = C extends Codec<infer T> ? T : never;

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new Writer();
  codec.write(writer, value);
  return writer.finish();
}

/** @throws DecodeError naming the field, also when bytes remain after the value. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes);
  const value = codec.read(reader);
  if (reader.remaining > 0) throw new DecodeError('', `${reader.remaining} trailing bytes`);
  return value;
}

const fail = (problem: string): never => {
  throw new DecodeError('', problem);
};

function at<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DecodeError(
      error.path === '' ? path : error.path.startsWith('[') ? `${path}${error.path}` : `${path}.${error.path}`,
      error.problem,
    );
  }
}

export const u8: Codec<number> = { write: (w, n) => w.u8(n), read: (r) => r.u8() };
export const u32: Codec<number> = { write: (w, n) => w.u32(n), read: (r) => r.u32() };

/** Unsigned 64-bit integer, as bigint. */
export const u64: Codec<bigint> = {
  write: (w, n) => w.raw(bigintToBytes(n, 8)),
  read: (r) => bytesToBigint(r.raw(8)),
};

/** Unsigned integer up to 2^53 − 1 (times in milliseconds, amounts in satoshis). */
export const safeInteger: Codec<number> = {
  write: (w, n) => {
    if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not an unsigned safe integer: ${n}`);
    w.raw(bigintToBytes(BigInt(n), 8));
  },
  read: (r) => {
    const n = bytesToBigint(r.raw(8));
    return n > BigInt(Number.MAX_SAFE_INTEGER) ? fail('integer above 2^53 − 1') : Number(n);
  },
};

export const bool: Codec<boolean> = {
  write: (w, b) => w.u8(b ? 1 : 0),
  read: (r) => {
    const n = r.u8();
    return n > 1 ? fail('boolean must be 0 or 1') : n === 1;
  },
};

/** Exactly `length` bytes. */
export const bytes = (length: number): Codec<Uint8Array> => ({
  write: (w, b) => {
    if (b.length !== length) throw new RangeError(`${length} bytes expected, got ${b.length}`);
    w.raw(b);
  },
  read: (r) => r.raw(length),
});

/** Up to `max` bytes. */
export const bytesUpTo = (max: number): Codec<Uint8Array> => ({
  write: (w, b) => {
    if (b.length > max) throw new RangeError(`at most ${max} bytes, got ${b.length}`);
    w.u32(b.length);
    w.raw(b);
  },
  read: (r) => {
    const length = r.u32();
    return length > max ? fail(`${length} bytes, at most ${max}`) : r.raw(length);
  },
});

/** UTF-8 text of at most `max` bytes. */
export const text = (max: number): Codec<string> => {
  const inner = bytesUpTo(max);
  return {
    write: (w, s) => inner.write(w, new TextEncoder().encode(s)),
    read: (r) => {
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(inner.read(r));
      } catch (error) {
        return error instanceof DecodeError ? fail(error.problem) : fail('not UTF-8');
      }
    },
  };
};

/** One of the listed words, one byte on the wire. */
export const oneOf = <const W extends readonly string[]>(words: W): Codec<W[number]> => ({
  write: (w, word) => {
    const index = words.indexOf(word);
    if (index < 0) throw new RangeError(`not one of ${words.join(', ')}: ${word}`);
    w.u8(index);
  },
  read: (r) => words[r.u8()] ?? fail(`not one of ${words.join(', ')}`),
});

/** Unsigned integer of at most `bits` bits, minimal big endian. */
export const natural = (bits: number): Codec<bigint> => {
  const inner = bytesUpTo(Math.ceil(bits / 8));
  return {
    write: (w, n) => {
      if (n < 0n || bitLength(n) > bits) throw new RangeError(`not an unsigned integer of at most ${bits} bits`);
      inner.write(w, magnitude(n));
    },
    read: (r) => {
      const b = inner.read(r);
      if (b.length > 0 && b[0] === 0) fail('integer is not minimal');
      const n = bytesToBigint(b);
      return bitLength(n) > bits ? fail(`integer of ${bitLength(n)} bits, at most ${bits}`) : n;
    },
  };
};

/** Signed integer with |n| of at most `bits` bits: a sign byte (0 for n ≥ 0, 1 for n < 0), then the magnitude. */
export const integer = (bits: number): Codec<bigint> => {
  const inner = natural(bits);
  return {
    write: (w, n) => {
      w.u8(n < 0n ? 1 : 0);
      inner.write(w, n < 0n ? -n : n);
    },
    read: (r) => {
      const sign = r.u8();
      if (sign > 1) fail('sign must be 0 or 1');
      const n = inner.read(r);
      if (sign === 1 && n === 0n) fail('negative zero');
      return sign === 1 ? -n : n;
    },
  };
};

/** Up to `max` items; `exact` fixes the count. */
export const list = <T>(item: Codec<T>, bound: { max: number } | { exact: number }): Codec<T[]> => {
  const max = 'exact' in bound ? bound.exact : bound.max;
  const min = 'exact' in bound ? bound.exact : 0;
  return {
    write: (w, items) => {
      if (items.length > max || items.length < min) throw new RangeError(`${min} to ${max} items, got ${items.length}`);
      w.u32(items.length);
      for (const i of items) item.write(w, i);
    },
    read: (r) => {
      const count = r.u32();
      if (count > max || count < min) fail(`${count} items, ${min === max ? `exactly ${max}` : `at most ${max}`} expected`);
      return Array.from({ length: count }, (_, i) => at(`[${i}]`, () => item.read(r)));
    },
  };
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the value types are recovered by Infer
type Fields = Record<string, Codec<any>>;
export type Struct<F extends Fields> = { -readonly [K in keyof F]: Infer<F[K]> };

/** The fields in the order of declaration. */
export const struct = <F extends Fields>(fields: F): Codec<Struct<F>> => ({
  write: (w, value) => {
    for (const [name, codec] of Object.entries(fields)) codec.write(w, value[name as keyof F]);
  },
  read: (r) => {
    const value = {} as Struct<F>;
    for (const [name, codec] of Object.entries(fields)) value[name as keyof F] = at(name, () => codec.read(r)) as Struct<F>[keyof F];
    return value;
  },
});

/** Absent or present. */
export const optional = <T>(codec: Codec<T>): Codec<T | undefined> => ({
  write: (w, value) => {
    w.u8(value === undefined ? 0 : 1);
    if (value !== undefined) codec.write(w, value);
  },
  read: (r) => (bool.read(r) ? codec.read(r) : undefined),
});

/** A format version in front; any other version is rejected by number. */
export const versioned = <T>(version: number, codec: Codec<T>): Codec<T> => ({
  write: (w, value) => {
    w.u8(version);
    codec.write(w, value);
  },
  read: (r) => {
    const found = r.u8();
    if (found !== version) fail(`version ${found}, only ${version} is known`);
    return codec.read(r);
  },
});

/**
 * A format with several versions: `of` says which one a value is written in, and it is read from no other, so that it has one encoding. What older
 * versions cannot say, newer ones say; what they can stays as it was, byte by byte.
 */
export const versions = <T>(known: Readonly<Record<number, Codec<T>>>, of: (value: T) => number): Codec<T> => ({
  write: (w, value) => {
    const version = of(value);
    w.u8(version);
    known[version]!.write(w, value);
  },
  read: (r) => {
    const version = r.u8();
    const codec = known[version];
    if (codec === undefined) return fail(`version ${version}, only ${Object.keys(known).join(', ')} are known`);
    const value = codec.read(r);
    return of(value) === version ? value : fail(`a value of version ${of(value)} in version ${version}`);
  },
});

/** The same bytes, another type: for branded values and classes. `to` may throw a {@link DecodeError}. */
export const map = <A, B>(codec: Codec<A>, to: (a: A) => B, from: (b: B) => A): Codec<B> => ({
  write: (w, value) => codec.write(w, from(value)),
  read: (r) => to(codec.read(r)),
});
