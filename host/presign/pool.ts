/**
 * The presignatures of one wallet on one node. Each belongs to one signer set, one key and one epoch, and signs one message: `open` fixes durably for
 * which request, hands the secret out once, and deletes it; what is opened is spent or burnt (`opening.ts`). Nothing is ever put back (cggmp24.md §7,
 * rules 1 to 3, 9 and 10).
 *
 * Secrets stay in the vault until they are opened; the pool keeps only what says where each may be used.
 */
import { hex } from '../base/bytes.ts';
import { decode, encode, safeInteger, struct, text, versioned } from '../base/codec.ts';
import { Defect, Refusal } from '../base/errors.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { Vault } from '../storage/vault.ts';
import { Opening, type OpeningEnd } from './opening.ts';
import { byAge, checkRecord, decodeStored, encodeStored, setKey, type PresignatureMeta, type PresignatureRecord } from './record.ts';
import { markBurnt, markOpened } from './states.ts';
import { claimUnique } from './uniqueness.ts';

export interface PoolOptions {
  readonly vault: Vault;
  /** Consumed presignatures of this node. */
  readonly burns: BurnJournal;
  /** Nonce points and sessions ever seen by this node; another file than `burns`. */
  readonly seen: BurnJournal;
  /** This node. */
  readonly self: string;
  /** 1 to 40 of A-Z a-z 0-9 _ -. */
  readonly walletId: string;
  readonly keyId: Uint8Array;
  readonly epoch: number;
  /** Members of the current committee: a presignature with any other signer is dropped. */
  readonly members: readonly string[];
  /** Told of presignatures that have left the pool unopened, after they have. */
  readonly onDiscarded?: (discarded: readonly PresignatureMeta[]) => Promise<void>;
}

/** Why presignatures were dropped when the pool was opened. */
export type DropReason = 'burnt' | 'other_key' | 'other_epoch' | 'other_members' | 'unreadable' | 'journal_replaced';

export interface PoolCounters {
  readonly available: number;
  /** Opened, neither spent nor burnt yet. */
  readonly in_use: number;
  /** Since the pool was opened. */
  readonly used: number;
  /** Burnt without a signature, since the pool was opened. */
  readonly failed: number;
}

export interface PoolLevel {
  readonly signers: readonly string[];
  readonly ready: number;
  /** Creation time of the oldest, milliseconds since the epoch. */
  readonly oldest: number;
}

export interface Choice {
  readonly signers: readonly string[];
  /** As many as asked for, oldest first. */
  readonly ids: readonly Uint8Array[];
}

const WALLET_ID = /^[A-Za-z0-9_-]{1,40}$/;
/** Which journal file a pool was last opened with, and how many burns it had. */
export const fenceCodec = versioned(1, struct({ incarnation: text(64), burns: safeInteger }));

export class PresignaturePool {
  /** What was found and dropped on opening. */
  readonly dropped: ReadonlyMap<DropReason, number>;
  readonly #options: PoolOptions;
  readonly #ready = new Map<string, PresignatureMeta>();
  /** Chosen for a payment under way here. */
  readonly #promised = new Set<string>();
  readonly #cleaning = new Set<Promise<void>>();
  #inUse = 0;
  #used = 0;
  #failed = 0;

  private constructor(options: PoolOptions, ready: readonly PresignatureMeta[], dropped: ReadonlyMap<DropReason, number>) {
    this.#options = options;
    this.dropped = dropped;
    for (const meta of ready) this.#ready.set(hex(meta.id), meta);
  }

  /**
   * Loads the wallet's presignatures and deletes those that must not be used: burnt ones, ones of another key, epoch or committee, unreadable
   * ones, and all of them when the journal is not the one this pool last saw, or has fewer burns than it had (restored, copied or removed).
   */
  static async open(options: PoolOptions): Promise<PresignaturePool> {
    const { vault, burns, walletId } = options;
    if (!WALLET_ID.test(walletId)) throw new Defect('a wallet id has 1 to 40 letters, digits, dashes or underscores');
    const replaced = await journalReplaced(vault, burns, walletId);
    const ready: PresignatureMeta[] = [];
    const drops: { name: string; reason: DropReason; meta?: PresignatureMeta }[] = [];
    let rolledBack = replaced;
    for (const name of (await vault.list('presignature')).filter((entry) => entry.startsWith(`${walletId}.`))) {
      const found = await load(options, name);
      if ('reason' in found) drops.push({ name, ...found });
      else {
        rolledBack ||= found.burnsBefore > burns.size;
        ready.push(found.meta);
      }
    }
    if (rolledBack)
      for (const meta of ready.splice(0)) drops.push({ name: entryName(walletId, meta.id), reason: 'journal_replaced', meta });
    for (const { name } of drops) await vault.delete('presignature', name);
    await options.onDiscarded?.(drops.flatMap(({ meta }) => meta ?? []));
    await vault.put('pool-fence', walletId, encode(fenceCodec, { incarnation: burns.incarnation, burns: burns.size }));
    const dropped = new Map<DropReason, number>();
    for (const { reason } of drops) dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
    return new PresignaturePool(options, ready, dropped);
  }

  /**
   * Stores a fresh presignature durably.
   * @throws Refusal when its nonce point, session or id was seen before, or it is of another key, epoch or committee.
   */
  async add(record: PresignatureRecord): Promise<void> {
    const { vault, burns, seen, self, walletId } = this.#options;
    checkRecord(record, self);
    const reason = mismatch(this.#options, record);
    if (reason !== undefined) {
      throw new Refusal(
        'presignature.mismatch',
        'presignature',
        `this presignature is not for the current key and committee (${reason})`,
        'make new ones',
        409,
      );
    }
    if (burns.has(record.id))
      throw new Refusal('presignature.burnt', 'id', 'a presignature with this id was used before', 'make a new one', 409);
    await claimUnique(seen, record);
    const content = encodeStored(record, burns.size);
    try {
      await vault.put('presignature', entryName(walletId, record.id), content);
    } finally {
      content.fill(0);
    }
    this.#ready.set(hex(record.id), metaOf(record));
  }

  /** Ready presignatures of one signer set, oldest first; of all sets without an argument. */
  available(signers?: readonly string[]): readonly PresignatureMeta[] {
    const all = [...this.#ready.values()].sort(byAge);
    return signers === undefined ? all : all.filter((meta) => setKey(meta.signers) === setKey(signers));
  }

  /** One level per signer set that has any, oldest presignature first. */
  levels(): readonly PoolLevel[] {
    const levels = new Map<string, { signers: readonly string[]; ready: number; oldest: number }>();
    for (const meta of this.available()) {
      const level = levels.get(setKey(meta.signers));
      if (level === undefined) levels.set(setKey(meta.signers), { signers: meta.signers, ready: 1, oldest: meta.createdAt });
      else level.ready++;
    }
    return [...levels.values()];
  }

  get counters(): PoolCounters {
    return { available: this.#ready.size, in_use: this.#inUse, used: this.#used, failed: this.#failed };
  }

  /**
   * `count` presignatures of one signer set whose members are all in `online`: of the sets that have enough, the one that holds the oldest.
   * Of every presignature one signer is the first to choose it, by its id, and leaves the others' alone as long as it has enough of its own: two
   * coordinators at once rarely want the same. Depends on nothing but the pool's content, what is promised to payments of this node, and the arguments.
   */
  choose(online: Iterable<string>, count = 1): Choice | undefined {
    const alive = new Set(online);
    const own = ({ id, signers }: PresignatureMeta) => signers[id[0]! % signers.length] === this.#options.self;
    for (const all of [false, true]) {
      for (const { signers } of this.levels()) {
        if (!signers.every((signer) => alive.has(signer))) continue;
        const free = this.available(signers).filter((meta) => !this.#promised.has(hex(meta.id)) && (all || own(meta)));
        const sorted = [...free.filter(own), ...free.filter((meta) => !own(meta))];
        if (sorted.length >= count) return { signers, ids: sorted.slice(0, count).map(({ id }) => id) };
      }
    }
    return undefined;
  }

  /** Keeps chosen presignatures out of further choices of this node until {@link release}: between choosing and opening, another payment may choose. */
  promise(ids: readonly Uint8Array[]): void {
    for (const id of ids) this.#promised.add(hex(id));
  }
  release(ids: readonly Uint8Array[]): void {
    for (const id of ids) this.#promised.delete(hex(id));
  }

  /**
   * Fixes durably that presignatures `ids` are for `request` (32-byte digest) and nothing else, all or none, then hands their secrets out, once.
   * @throws Refusal when one of them is not here or not ready: nothing is opened then. @throws Unavailable when it could not be written; they are
   * lost then, because nobody knows what the disk has.
   */
  async open(ids: readonly Uint8Array[], request: Uint8Array): Promise<Opening> {
    const { vault, burns, walletId } = this.#options;
    const missing = ids.find((id, i) => !this.#ready.has(hex(id)) || ids.findIndex((other) => hex(other) === hex(id)) !== i);
    if (missing !== undefined) {
      throw new Refusal(
        'presignature.unknown',
        'id',
        `presignature ${hex(missing.subarray(0, 8))}… is not available on this node`,
        'choose another one, or sign without a presignature',
        409,
      );
    }
    // Out of the pool before anything is awaited: a second call for one of them finds nothing, whatever happens to the first.
    for (const id of ids) this.#ready.delete(hex(id));
    this.#inUse += ids.length;
    const leave = (outcome: 'used' | 'failed') => () => {
      this.#inUse -= ids.length;
      if (outcome === 'used') this.#used += ids.length;
      else this.#failed += ids.length;
    };
    const end: OpeningEnd = { spent: leave('used'), burnt: leave('failed') };
    try {
      await markOpened(burns, ids, request);
      const records = await Promise.all(ids.map((id) => this.#read(id)));
      return new Opening(records, request, burns, end);
    } catch (error) {
      end.burnt();
      throw error;
    } finally {
      // The journal alone makes it final; deleting may end later. Not left until the end: a journal set back would find it.
      for (const id of ids) this.#clean(vault.delete('presignature', entryName(walletId, id)));
    }
  }

  /** Burns and deletes presignatures unused, for instance because another signer burnt them. Unknown ids are passed over. Returns how many. */
  async discard(ids: readonly Uint8Array[], reason: string): Promise<number> {
    const { vault, burns, walletId, onDiscarded } = this.#options;
    const found = new Map<Uint8Array, PresignatureMeta>();
    for (const id of ids) {
      const meta = this.#ready.get(hex(id));
      if (meta !== undefined && this.#ready.delete(hex(id))) found.set(id, meta);
    }
    if (found.size === 0) return 0;
    this.#failed += found.size;
    await markBurnt(burns, [...found.keys()], reason);
    for (const id of found.keys()) await vault.delete('presignature', entryName(walletId, id));
    await onDiscarded?.([...found.values()]);
    return found.size;
  }

  /** Discards those created before `time` (milliseconds since the epoch): a small and young stock limits what a stored Γ is worth. */
  expire(time: number): Promise<number> {
    return this.discard(
      this.available()
        .filter((meta) => meta.createdAt < time)
        .map((meta) => meta.id),
      'expired',
    );
  }

  /** Waits for deletions under way. @throws the first error of one of them. */
  async settle(): Promise<void> {
    await Promise.all(this.#cleaning);
  }

  async #read(id: Uint8Array): Promise<PresignatureRecord> {
    const { vault, walletId } = this.#options;
    const name = entryName(walletId, id);
    const content = await vault.get('presignature', name);
    if (content === undefined)
      throw new Refusal('presignature.missing', 'id', `the file of presignature ${name} is gone`, 'choose another one', 409);
    const record = decodeStored(content, name);
    content.fill(0);
    return record;
  }

  #clean(deletion: Promise<unknown>): void {
    const task = deletion.then(() => {
      this.#cleaning.delete(task);
    });
    // A failed deletion stays in the set and is reported by `settle`; until then it must not count as an unhandled rejection.
    task.catch(() => undefined);
    this.#cleaning.add(task);
  }
}

const entryName = (walletId: string, id: Uint8Array): string => `${walletId}.${hex(id)}`;

function metaOf(record: PresignatureRecord): PresignatureMeta {
  const { secret: _, ...meta } = record;
  return meta;
}

function mismatch({ keyId, epoch, members, self }: PoolOptions, meta: PresignatureMeta): DropReason | undefined {
  if (hex(meta.keyId) !== hex(keyId)) return 'other_key';
  if (meta.epoch !== epoch) return 'other_epoch';
  if (!meta.signers.includes(self) || meta.signers.some((signer) => !members.includes(signer))) return 'other_members';
  return undefined;
}

/** The entry's meta data, or why it must go. Its secret is overwritten at once. */
async function load(
  options: PoolOptions,
  name: string,
): Promise<{ meta: PresignatureMeta; burnsBefore: number } | { meta?: PresignatureMeta; reason: DropReason }> {
  let content: Uint8Array | undefined;
  try {
    content = await options.vault.get('presignature', name);
    if (content === undefined) return { reason: 'unreadable' };
    const { burnsBefore, ...record } = decodeStored(content, name);
    record.secret.fill(0);
    if (name !== entryName(options.walletId, record.id)) return { reason: 'unreadable' };
    if (options.burns.has(record.id)) return { reason: 'burnt' };
    const reason = mismatch(options, record);
    const meta = metaOf(record);
    return reason === undefined ? { meta, burnsBefore } : { meta, reason };
  } catch (error) {
    // A damaged presignature is worth nothing and is made anew; a disk that cannot be read is another matter.
    if (error instanceof Refusal && ['vault.altered', 'vault.version', 'presignature.format'].includes(error.code))
      return { reason: 'unreadable' };
    throw error;
  } finally {
    content?.fill(0);
  }
}

async function journalReplaced(vault: Vault, burns: BurnJournal, walletId: string): Promise<boolean> {
  const content = await vault.get('pool-fence', walletId);
  if (content === undefined) return false;
  const fence = decode(fenceCodec, content);
  return fence.incarnation !== burns.incarnation || fence.burns > burns.size;
}
