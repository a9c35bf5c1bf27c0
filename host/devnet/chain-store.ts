/**
 * The chain on disk: one file of records, appended and synced before anything is answered. A record is a kind (1 byte), a length (u32, big
 * endian), the first 4 bytes of the payload's SHA-256, and the payload. A crash can leave only the last record incomplete; it is cut off at
 * the next start, and the transaction or block in it was never acknowledged.
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes, utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';

export type RecordKind = 'block' | 'transaction';
export interface StoredRecord {
  readonly kind: RecordKind;
  readonly payload: Uint8Array;
}

const MAGIC = utf8('TWCHAIN1');
const KINDS: readonly RecordKind[] = ['block', 'transaction'];
const HEADER = 9;
const MAX_PAYLOAD = 8 * 1024 * 1024;

export class ChainStore {
  readonly #fd: number;
  readonly #path: string;
  #length: number;
  #broken = false;
  /** What the file held when it was opened, in order. */
  readonly records: readonly StoredRecord[];

  /** Opens or creates `chain.dat` in the folder. @throws Refusal when the folder cannot be written or the file is damaged. */
  constructor(folder: string) {
    this.#path = join(folder, 'chain.dat');
    try {
      mkdirSync(folder, { recursive: true });
      this.#fd = openSync(this.#path, 'a+', 0o600);
    } catch (error) {
      throw new Refusal(
        'unwritable_folder',
        'data',
        `cannot write ${this.#path}: ${(error as Error).message}`,
        'choose a data folder that this user may write',
      );
    }
    try {
      const size = fstatSync(this.#fd).size;
      const content = new Uint8Array(size);
      for (let at = 0; at < size;) at += readSync(this.#fd, content, at, size - at, at);
      this.#length = 0;
      this.records = size < MAGIC.length ? [] : this.#parse(content);
      if (this.#length < size) ftruncateSync(this.#fd, this.#length);
      if (this.#length === 0) this.#write(MAGIC);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Durable when it returns. @throws Unavailable when the disk refuses; nothing is appended from then on until the next start. */
  append(...records: readonly StoredRecord[]): void {
    this.#write(concatBytes(...records.map(encodeRecord)));
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    // After a failed write the end of the file is unknown: appending behind it would bury the damage.
    if (this.#broken)
      throw new Unavailable(
        'devnet chain',
        `${this.#path} could not be written earlier`,
        'make room on the disk and start the chain again',
      );
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
      fsyncSync(this.#fd);
      this.#length += bytes.length;
    } catch (cause) {
      this.#broken = true;
      throw new Unavailable(
        'devnet chain',
        `cannot write ${this.#path}: ${(cause as Error).message}`,
        'make room on the disk and start the chain again',
        { cause },
      );
    }
  }

  /** Reads records until the end or an incomplete last one; sets the length up to which the file is good. */
  #parse(content: Uint8Array): StoredRecord[] {
    const damaged = (at: number): Refusal =>
      new Refusal(
        'damaged_chain',
        'data',
        `${this.#path} is damaged at byte ${at}`,
        'restore the file from a copy, or remove it to start a new chain',
      );
    if (!equalBytes(content.subarray(0, MAGIC.length), MAGIC)) throw damaged(0);
    const view = new DataView(content.buffer);
    const records: StoredRecord[] = [];
    let at = MAGIC.length;
    for (;;) {
      this.#length = at;
      if (content.length - at < HEADER) return records;
      const kind = KINDS[content[at]! - 1];
      const length = view.getUint32(at + 1);
      if (kind === undefined || length > MAX_PAYLOAD) throw damaged(at);
      const end = at + HEADER + length;
      if (end > content.length) return records;
      const payload = content.slice(at + HEADER, end);
      if (!equalBytes(checksum(payload), content.subarray(at + 5, at + HEADER))) {
        if (end === content.length) return records;
        throw damaged(at);
      }
      records.push({ kind, payload });
      at = end;
    }
  }
}

const checksum = (payload: Uint8Array): Uint8Array => sha256(payload).subarray(0, 4);

function encodeRecord({ kind, payload }: StoredRecord): Uint8Array {
  const header = new Uint8Array(HEADER);
  header[0] = KINDS.indexOf(kind) + 1;
  new DataView(header.buffer).setUint32(1, payload.length);
  header.set(checksum(payload), 5);
  return concatBytes(header, payload);
}
