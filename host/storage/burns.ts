/**
 * The burn journal: which one-time things (presignatures, nonces) are used up. An append-only file; a burn is durable before its promise
 * resolves, so a signer that waits for it can crash at any later point and never use the same thing twice (cggmp24.md §7 rule 1).
 *
 * ```
 * "TWBURN1\n"                                       8 bytes
 * id (32) ‖ purpose (32) ‖ checksum (16)            per burn
 * ```
 * checksum = SHA-256("threshold-wallet/burn" ‖ position ‖ previous checksum ‖ id ‖ purpose), first 16 bytes: records cannot be dropped from
 * the middle, swapped or changed without notice. What a crash during a write may leave, a record cut short or zeros up to the end of the
 * file, was never promised to anybody and is cut off; every other damage is refused, because a lost burn could cost the key.
 *
 * A thing with more states than used and unused has a record for each step, under an id of the step (`host/presign/states.ts`).
 *
 * The journal holds no secret, is not part of a backup, and must never be replaced by an older copy of itself; the pool detects that.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { sha256 } from '@noble/hashes/sha2.js';
import { bigintToBytes, concatBytes, equalBytes, fromHex, hex, utf8 } from '../base/bytes.ts';
import { Defect, Refusal, Unavailable } from '../base/errors.ts';
import { fileError, onFile, privateFolder, syncFolder, writeAll } from './files.ts';
import { lockFolder, type FolderLock } from './lock.ts';

const MAGIC = utf8('TWBURN1\n');
const WORD = 32;
const CHECK = 16;
const RECORD = WORD + WORD + CHECK;

export interface Burn {
  /** 32 bytes naming the one-time thing. */
  readonly id: Uint8Array;
  /** 32-byte digest of what it was used for. */
  readonly purpose: Uint8Array;
}

export interface BurnJournal {
  readonly path: string;
  /** Identifies this very file (its inode number): a restored or copied one has another. */
  readonly incarnation: string;
  /** Number of burns that are durable. */
  readonly size: number;
  /** Whether `id` is burnt, or about to be. */
  has(id: Uint8Array): boolean;
  /** All that are durably burnt, in order. */
  ids(): readonly Uint8Array[];
  /** What `id` was burnt for; undefined when it is not durably burnt. */
  purposeOf(id: Uint8Array): Uint8Array | undefined;
  /**
   * Resolves when the burn is durable. Calls that arrive while a write is under way share the next one.
   * @throws Refusal `burn.repeated` when `id` is burnt already, for the same purpose too.
   * @throws Unavailable when it could not be written; the thing then counts as burnt until the journal is opened anew.
   */
  burn(id: Uint8Array, purpose: Uint8Array): Promise<void>;
  /** All or none, in one write. @throws like `burn`; also when two of the ids are equal. */
  burnAll(burns: readonly Burn[]): Promise<void>;
  close(): Promise<void>;
}

/** Opens or creates the journal. @throws Refusal when it is damaged, or open in another process. */
export async function openBurnJournal(path: string): Promise<BurnJournal> {
  await privateFolder(dirname(path));
  const lock = await lockFolder(dirname(path), `${basename(path)}.lock`);
  try {
    return await onFile(path, async () => {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      try {
        const { burnt, last } = await load(handle, path);
        await syncFolder(dirname(path));
        const { ino } = await handle.stat();
        return new FileJournal(path, String(ino), handle, lock, burnt, last);
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

const checksum = (position: number, previous: Uint8Array, id: Uint8Array, purpose: Uint8Array): Uint8Array =>
  sha256(concatBytes(utf8('threshold-wallet/burn'), bigintToBytes(BigInt(position), 8), previous, id, purpose)).slice(0, CHECK);

const zero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Reads all records, cuts off a torn end, and leaves the file synced. */
async function load(handle: FileHandle, path: string): Promise<{ burnt: Map<string, Uint8Array>; last: Uint8Array }> {
  const damaged = (what: string) =>
    new Refusal(
      'burn.damaged',
      path,
      `${path} is damaged: ${what}`,
      'discard every presignature and pending nonce of this node, then move this file away; key shares are not affected',
      422,
    );
  const file = new Uint8Array(await handle.readFile());
  const front = file.subarray(0, MAGIC.length);
  const burnt = new Map<string, Uint8Array>();
  if (file.length < MAGIC.length || zero(file)) {
    if (!equalBytes(front, MAGIC.subarray(0, front.length)) && !zero(front)) throw damaged('not a burn journal');
    await handle.truncate(0);
    await writeAll(handle, MAGIC, 0);
    await handle.sync();
    return { burnt, last: new Uint8Array(CHECK) };
  }
  if (!equalBytes(front, MAGIC)) throw damaged('not a burn journal');

  let last: Uint8Array = new Uint8Array(CHECK);
  let at = MAGIC.length;
  for (; at + RECORD <= file.length; at += RECORD) {
    const id = file.subarray(at, at + WORD);
    const purpose = file.subarray(at + WORD, at + 2 * WORD);
    const found = file.subarray(at + 2 * WORD, at + RECORD);
    if (!equalBytes(found, checksum(burnt.size, last, id, purpose))) {
      // A write cut short by loss of power leaves zeros from some byte on. Anything else was changed after it was promised.
      if (!zero(found) || !zero(file.subarray(at + RECORD))) throw damaged(`record ${burnt.size + 1} does not fit its checksum`);
      break;
    }
    if (burnt.has(hex(id))) throw damaged(`record ${burnt.size + 1} repeats an earlier one`);
    burnt.set(hex(id), purpose.slice());
    last = found.slice();
  }
  if (at < file.length) await handle.truncate(at);
  await handle.sync();
  return { burnt, last };
}

interface Waiting {
  readonly burns: readonly Burn[];
  resolve(): void;
  reject(error: unknown): void;
}

class FileJournal implements BurnJournal {
  #last: Uint8Array;
  #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #open = true;
  /** Ids whose burn is asked for but not durable, or failed: as good as burnt. */
  readonly #claimed = new Set<string>();
  readonly #handle: FileHandle;
  readonly #lock: FolderLock;
  readonly #burnt: Map<string, Uint8Array>;

  constructor(
    readonly path: string,
    readonly incarnation: string,
    handle: FileHandle,
    lock: FolderLock,
    burnt: Map<string, Uint8Array>,
    last: Uint8Array,
  ) {
    this.#handle = handle;
    this.#lock = lock;
    this.#burnt = burnt;
    this.#last = last;
  }

  get size(): number {
    return this.#burnt.size;
  }
  has(id: Uint8Array): boolean {
    return this.#burnt.has(hex(id)) || this.#claimed.has(hex(id));
  }
  ids(): readonly Uint8Array[] {
    return [...this.#burnt.keys()].map(fromHex);
  }
  purposeOf(id: Uint8Array): Uint8Array | undefined {
    return this.#burnt.get(hex(id))?.slice();
  }

  burn(id: Uint8Array, purpose: Uint8Array): Promise<void> {
    return this.burnAll([{ id, purpose }]);
  }

  async burnAll(burns: readonly Burn[]): Promise<void> {
    if (!this.#open) throw new Defect(`the burn journal ${this.path} was closed`);
    if (burns.length === 0) return;
    for (const { id, purpose } of burns) {
      if (id.length !== WORD || purpose.length !== WORD) throw new Defect('a burn needs an id and a purpose of 32 bytes each');
    }
    if (this.#failure !== undefined) throw this.#unavailable();
    const keys = burns.map(({ id }) => hex(id));
    const repeated = keys.find((key, i) => this.#burnt.has(key) || this.#claimed.has(key) || keys.indexOf(key) !== i);
    if (repeated !== undefined) {
      throw new Refusal(
        'burn.repeated',
        'id',
        `${repeated.slice(0, 16)}… was used before`,
        'take another presignature or nonce; this one is never used again',
        409,
      );
    }
    // From here to the claim nothing is awaited: of two calls for one id exactly one gets past the check.
    for (const key of keys) this.#claimed.add(key);
    const copies = burns.map(({ id, purpose }) => ({ id: id.slice(), purpose: purpose.slice() }));
    const done = new Promise<void>((resolve, reject) => this.#queue.push({ burns: copies, resolve, reject }));
    this.#writing ??= this.#drain();
    await done;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#writing;
    try {
      await this.#handle.close();
    } finally {
      await this.#lock.release();
    }
  }

  /** Writes whole queues until none is left. Settles every waiting call, never throws itself. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue;
      this.#queue = [];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#write(group.flatMap(({ burns }) => burns));
        for (const { resolve } of group) resolve();
      } catch (error) {
        // After a failed write or sync nobody knows what the disk holds; only reading it again does.
        this.#failure = error;
        for (const { reject } of group) reject(this.#unavailable());
      }
    }
    this.#writing = undefined;
  }

  async #write(burns: readonly Burn[]): Promise<void> {
    let last = this.#last;
    const records = burns.map(({ id, purpose }, i) => {
      last = checksum(this.#burnt.size + i, last, id, purpose);
      return concatBytes(id, purpose, last);
    });
    await writeAll(this.#handle, concatBytes(...records), MAGIC.length + this.#burnt.size * RECORD);
    await this.#handle.datasync();
    this.#last = last;
    for (const { id, purpose } of burns) {
      this.#burnt.set(hex(id), purpose);
      this.#claimed.delete(hex(id));
    }
  }

  #unavailable(): Unavailable {
    const cause = fileError(this.#failure, this.path);
    const remedy = cause instanceof Refusal || cause instanceof Unavailable ? cause.remedy : 'check the disk';
    return new Unavailable('burn journal', `${this.path} could not be written`, `${remedy}, then restart the node`, { cause });
  }
}
