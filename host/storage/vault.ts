/**
 * The vault: the only place where shares, factorisations, nonces and presignatures touch a disk, and there only sealed.
 *
 * ```
 * DIR/vault.json               header: key derivation, sealed master key
 * DIR/entries/KIND/ID.sealed   one entry each
 * DIR/.lock/                   who has it open
 * ```
 * An entry file is: magic "TWVE" (4) ‖ version (1) ‖ generation (8, big endian) ‖ nonce (24) ‖ ciphertext ‖ tag (16). Its associated data
 * bind format version, cipher, vault id, kind, id and generation, so that an entry renamed, moved, or brought from another vault does not
 * open. Returning a whole entry to an older generation cannot be seen by a file alone; what must never come back (presignatures) is fenced
 * by the burn journal, and shares carry their epoch inside.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { bytes, encode, struct, text, u64, u8 } from '../base/codec.ts';
import { bigintToBytes, bytesToBigint, concatBytes, equalBytes, fromHex, utf8 } from '../base/bytes.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { systemRandom, type Random } from '../base/random.ts';
import {
  errorCode,
  namesIn,
  onFile,
  privateFolder,
  readIfPresent,
  removeDurably,
  removeTemporaries,
  syncFolder,
  writeDurably,
} from './files.ts';
import { lockFolder, type FolderLock } from './lock.ts';
import { checkNewPassphrase, CIPHER, seal, SEAL_OVERHEAD, unseal } from './seal.ts';
import { newMasterKey, newVaultId, openHeader, parseHeader, sealHeader, VAULT_VERSION, type VaultHeader } from './vault-header.ts';

/** What a vault keeps. `presignature`, `frost-nonce` and `safe-prime` are never part of a backup. */
export const ENTRY_KINDS = [
  'key-share',
  'aux-info',
  'presignature',
  'frost-nonce',
  'pending-key',
  'retired-key',
  'key-switch',
  'pool-fence',
  'node-secret',
  'safe-prime',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

const HEADER = 'vault.json';
const SUFFIX = '.sealed';
const MAGIC = utf8('TWVE');
const FRONT = MAGIC.length + 1 + 8;
/** Auxiliary information of sixteen parties with all proofs stays far below. */
const MAX_ENTRY = 16 * 1024 * 1024;
const ID_PATTERN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;

const associatedCodec = struct({
  domain: text(64),
  version: u8,
  cipher: text(32),
  vaultId: bytes(16),
  kind: text(32),
  id: text(128),
  generation: u64,
});

export interface Vault {
  readonly vaultId: string;
  readonly directory: string;
  /** Seals and stores durably, replacing what had this name. `id`: 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot. */
  put(kind: EntryKind, id: string, content: Uint8Array): Promise<void>;
  /** A fresh copy, to be overwritten by the caller after use; undefined when there is none. @throws Refusal naming a file that was altered. */
  get(kind: EntryKind, id: string): Promise<Uint8Array | undefined>;
  /** Durable; false when there was none. */
  delete(kind: EntryKind, id: string): Promise<boolean>;
  /** Ids of one kind, sorted. */
  list(kind: EntryKind): Promise<readonly string[]>;
  /** Opens every entry and says how many there are. @throws Refusal naming the first one that was altered. */
  verify(): Promise<number>;
  /** Seals the same master key under another passphrase. @throws Refusal when `current` is wrong; the old passphrase then still holds. */
  changePassphrase(current: string, next: string): Promise<void>;
  /** Waits for writes under way, overwrites the key, frees the folder. */
  close(): Promise<void>;
}

/** Makes an empty vault in `directory`. @throws Refusal when one is there already, or the folder is not writable or not private. */
export async function createVault(directory: string, passphrase: string, random: Random = systemRandom): Promise<Vault> {
  checkNewPassphrase(passphrase);
  await privateFolder(directory);
  const lock = await lockFolder(directory);
  try {
    const path = join(directory, HEADER);
    if ((await readIfPresent(path)) !== undefined) {
      throw new Refusal('vault.exists', directory, `${directory} already holds a vault`, 'open it, or choose another folder', 409);
    }
    if ((await namesIn(join(directory, 'entries'))).length > 0) throw missingHeader(path);
    const masterKey = newMasterKey(random);
    const header = await sealHeader(random, { vaultId: newVaultId(random), createdAt: new Date().toISOString() }, masterKey, passphrase);
    await makeFolders(directory);
    await writeHeader(path, header);
    return new FolderVault(directory, header, masterKey, lock, random);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** @throws Refusal for a missing or damaged header, a wrong passphrase, another version, or a vault that is open elsewhere. */
export async function openVault(directory: string, passphrase: string, random: Random = systemRandom): Promise<Vault> {
  const path = join(directory, HEADER);
  if ((await readIfPresent(path)) === undefined) throw missingHeader(path);
  await privateFolder(directory);
  const lock = await lockFolder(directory);
  try {
    const content = await readIfPresent(path);
    if (content === undefined) throw missingHeader(path);
    const header = parseHeader(content, path);
    const masterKey = await openHeader(header, passphrase, path);
    await makeFolders(directory);
    return new FolderVault(directory, header, masterKey, lock, random);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Whether `directory` holds a vault. */
export const vaultExists = async (directory: string): Promise<boolean> => (await readIfPresent(join(directory, HEADER))) !== undefined;

const missingHeader = (path: string) =>
  new Refusal(
    'vault.missing',
    path,
    `there is no vault: ${path} is missing`,
    `create a vault first, or restore ${path} from a backup`,
    404,
  );

async function makeFolders(directory: string): Promise<void> {
  const entries = join(directory, 'entries');
  await privateFolder(entries);
  for (const kind of ENTRY_KINDS) {
    await privateFolder(join(entries, kind));
    await removeTemporaries(join(entries, kind));
  }
  await removeTemporaries(directory);
  await syncFolder(entries);
  await syncFolder(directory);
}

const writeHeader = (path: string, header: VaultHeader) => writeDurably(path, utf8(`${JSON.stringify(header, null, 2)}\n`));

class FolderVault implements Vault {
  readonly vaultId: string;
  #open = true;
  #header: VaultHeader;
  /** Last operation per entry: operations on one name run in the order of their calls. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #masterKey: Uint8Array;
  readonly #lock: FolderLock;
  readonly #random: Random;

  constructor(
    readonly directory: string,
    header: VaultHeader,
    masterKey: Uint8Array,
    lock: FolderLock,
    random: Random,
  ) {
    this.vaultId = header.vault_id;
    this.#header = header;
    this.#masterKey = masterKey;
    this.#lock = lock;
    this.#random = random;
  }

  put(kind: EntryKind, id: string, content: Uint8Array): Promise<void> {
    if (content.length > MAX_ENTRY) throw new Defect(`vault entry ${kind}/${id} of ${content.length} bytes, at most ${MAX_ENTRY}`);
    return this.#inOrder(kind, id, async (path) => {
      const generation = (await readGeneration(path)) + 1n;
      const sealed = seal(this.#random, this.#masterKey, this.#associated(kind, id, generation), content);
      await writeDurably(path, concatBytes(MAGIC, Uint8Array.of(VAULT_VERSION), bigintToBytes(generation, 8), sealed));
    });
  }

  get(kind: EntryKind, id: string): Promise<Uint8Array | undefined> {
    return this.#inOrder(kind, id, async (path) => {
      const file = await readIfPresent(path);
      if (file === undefined) return undefined;
      const generation = generationOf(file, path);
      const content = unseal(this.#masterKey, this.#associated(kind, id, generation), file.subarray(FRONT));
      if (content === undefined) throw altered(path, 'its seal does not fit its content and its name');
      return content;
    });
  }

  delete(kind: EntryKind, id: string): Promise<boolean> {
    return this.#inOrder(kind, id, removeDurably);
  }

  async list(kind: EntryKind): Promise<readonly string[]> {
    this.#checkOpen();
    const folder = join(this.directory, 'entries', kind);
    return (await namesIn(folder)).map((name) => {
      const id = name.slice(0, -SUFFIX.length);
      if (!name.endsWith(SUFFIX) || !ID_PATTERN.test(id)) throw altered(join(folder, name), 'no entry has such a name');
      return id;
    });
  }

  async verify(): Promise<number> {
    let count = 0;
    for (const kind of ENTRY_KINDS) {
      for (const id of await this.list(kind)) {
        const content = await this.get(kind, id);
        if (content === undefined) continue; // deleted meanwhile
        content.fill(0);
        count++;
      }
    }
    return count;
  }

  async changePassphrase(current: string, next: string): Promise<void> {
    this.#checkOpen();
    checkNewPassphrase(next);
    const path = join(this.directory, HEADER);
    const masterKey = await openHeader(this.#header, current, path);
    try {
      const header = await sealHeader(this.#random, { vaultId: this.vaultId, createdAt: this.#header.created_at }, masterKey, next);
      await writeHeader(path, header);
      this.#header = header;
    } finally {
      masterKey.fill(0);
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await Promise.allSettled(this.#queues.values());
    this.#masterKey.fill(0);
    await this.#lock.release();
  }

  #checkOpen(): void {
    if (!this.#open) throw new Defect(`the vault in ${this.directory} was closed`);
  }

  async #inOrder<T>(kind: EntryKind, id: string, work: (path: string) => Promise<T>): Promise<T> {
    this.#checkOpen();
    if (!ENTRY_KINDS.includes(kind)) throw new Defect(`unknown kind of vault entry: ${kind}`);
    if (!ID_PATTERN.test(id))
      throw new Refusal(
        'vault.entry_id',
        'id',
        'not a name for a vault entry',
        'use 1 to 128 letters, digits, dots, dashes or underscores',
      );
    const path = join(this.directory, 'entries', kind, `${id}${SUFFIX}`);
    const previous = this.#queues.get(path) ?? Promise.resolve();
    const current = previous.then(
      () => work(path),
      () => work(path),
    );
    this.#queues.set(path, current);
    try {
      return await current;
    } finally {
      if (this.#queues.get(path) === current) this.#queues.delete(path);
    }
  }

  #associated(kind: EntryKind, id: string, generation: bigint): Uint8Array {
    const vaultId = fromHex(this.vaultId);
    return encode(associatedCodec, {
      domain: 'threshold-wallet/vault-entry',
      version: VAULT_VERSION,
      cipher: CIPHER,
      vaultId,
      kind,
      id,
      generation,
    });
  }
}

const altered = (path: string, what: string) =>
  new Refusal(
    'vault.altered',
    path,
    `${path} was altered or is damaged: ${what}`,
    `restore ${path} from a backup, or move it away to go on without it`,
    422,
  );

/** Generation of an entry file. @throws Refusal for another format or version. */
function generationOf(file: Uint8Array, path: string): bigint {
  if (file.length < FRONT + SEAL_OVERHEAD || file.length > FRONT + SEAL_OVERHEAD + MAX_ENTRY) throw altered(path, `${file.length} bytes`);
  if (!equalBytes(file.subarray(0, MAGIC.length), MAGIC)) throw altered(path, 'not a vault entry');
  const version = file[MAGIC.length]!;
  if (version !== VAULT_VERSION) {
    throw new Refusal(
      'vault.version',
      path,
      `${path} has version ${version}, this program knows ${VAULT_VERSION}`,
      'use the release of the program that wrote it',
      422,
    );
  }
  return bytesToBigint(file.subarray(MAGIC.length + 1, FRONT));
}

/** Generation of the entry in `path` as its front says (authenticated when the entry is read), 0 when there is none. */
async function readGeneration(path: string): Promise<bigint> {
  return onFile(path, async () => {
    try {
      const handle = await open(path, 'r');
      try {
        const front = new Uint8Array(FRONT);
        const { bytesRead } = await handle.read(front, 0, FRONT, 0);
        // A damaged predecessor is about to be replaced; its generation does not matter.
        return bytesRead === FRONT && equalBytes(front.subarray(0, MAGIC.length), MAGIC)
          ? bytesToBigint(front.subarray(MAGIC.length + 1)) % 2n ** 63n
          : 0n;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return 0n;
      throw error;
    }
  });
}
