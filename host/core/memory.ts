/**
 * The linear memory of an instance. Permanent areas (contexts and tables of public moduli) stand first; everything else (operands, tables, contexts of secret
 * moduli, the secrets of a key) lives in a scratch region that is zeroed at the end of each call.
 *
 * Converting a BigInt to bytes and back takes time by its length in digits, not by its value beyond that.
 */
import { bigintToBytes, bytesToBigint } from '../base/bytes.ts';
import type { Exports } from './instance.ts';

export const align = (n: number): number => (n + 15) & ~15;

export class Memory {
  readonly exports: Exports;
  /** Freed permanent areas by size: sizes are few, as they follow the size classes of the moduli. */
  readonly #free = new Map<number, number[]>();
  /** End of the permanent areas; scratch begins here. */
  #permanent: number;
  /** End of the scratch in use. */
  #top: number;

  constructor(exports: Exports) {
    this.exports = exports;
    this.#permanent = this.#top = exports.scratch();
  }

  /** A call: what it takes is zeroed when it ends, however it ends, and with it the working areas of the module. */
  scratch<T>(work: () => T): T {
    try {
      return work();
    } finally {
      this.exports.wipe(this.#permanent, this.#top - this.#permanent);
      this.#top = this.#permanent;
    }
  }

  /** `bytes` of scratch, all zero, 16-aligned, until the end of the call. */
  take(bytes: number): number {
    const pointer = this.#top;
    this.#top = this.#reach(pointer + align(bytes));
    return pointer;
  }

  /** A permanent area. Only while no scratch is in use. */
  keep(bytes: number): number {
    const free = this.#free.get(bytes)?.pop();
    if (free !== undefined) return free;
    const pointer = this.#permanent;
    this.#permanent = this.#top = this.#reach(pointer + align(bytes));
    return pointer;
  }

  release(pointer: number, bytes: number): void {
    this.bytes(pointer, bytes).fill(0);
    this.#free.set(bytes, [...(this.#free.get(bytes) ?? []), pointer]);
  }

  /** Memory as it is now: taking more may replace the buffer. */
  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer, at, length);
  }

  copy(target: number, source: number, length: number): void {
    this.bytes(target, length).set(this.bytes(source, length));
  }

  view(): DataView {
    return new DataView(this.exports.memory.buffer);
  }

  /** Big-endian. */
  write(at: number, value: bigint, bytes: number): void {
    this.bytes(at, bytes).set(bigintToBytes(value, bytes));
  }

  /** Two's complement, least significant word first. */
  writeWords(at: number, value: bigint, words: number): void {
    this.bytes(at, 4 * words).set(bigintToBytes(BigInt.asUintN(32 * words, value), 4 * words).reverse());
  }

  read(at: number, bytes: number): bigint {
    return bytesToBigint(this.bytes(at, bytes));
  }

  /** A copy of linear memory with the permanent areas (cached contexts of public moduli) blanked: what tests hold against all zeros. */
  residue(): Uint8Array {
    const bytes = new Uint8Array(this.exports.memory.buffer.slice(0));
    return bytes.fill(0, this.exports.scratch(), this.#permanent);
  }

  /** Memory up to `end`. When there is none, nothing has been taken yet, so that the end of the call can wipe what has. @throws RangeError by the engine */
  #reach(end: number): number {
    const missing = end - this.exports.memory.buffer.byteLength;
    if (missing > 0) this.exports.memory.grow(Math.ceil(missing / 65536));
    return end;
  }
}
