/** The presignature pools of this node: one per CGGMP24 wallet, opened when the wallet becomes active. */
import { hex, utf8 } from '../base/bytes.ts';
import { invariant, Unavailable } from '../base/errors.ts';
import type { NodeId } from '../mesh/types.ts';
import { PresignaturePool, type Choice } from '../presign/pool.ts';
import type { PresignatureMeta, PresignatureRecord } from '../presign/record.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { PresignatureTotals } from '../storage/records/operations.ts';
import type { Vault } from '../storage/vault.ts';
import type { WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import type { PoolStatus } from './types.ts';

/** How long a payment that finds no presignature waits for one that is being made, where the configuration lets it wait. */
const EMPTY_WAIT_MS = 10_000;
const HOUR_MS = 3_600_000;

interface Entry {
  readonly pool: PresignaturePool;
  readonly key: WalletKey;
  /** When presignatures of the last hour were made. */
  made: number[];
  /** Discarded for their age, and payments that found none they could use; since the pool was opened. */
  expired: number;
  empty: number;
}

export class Pools {
  readonly #pools = new Map<string, Entry>();
  /** Wallets for which this node takes part in presigning now. */
  readonly generating = new Set<string>();

  constructor(
    private readonly options: {
      readonly self: NodeId;
      readonly vault: Vault;
      readonly burns: BurnJournal;
      readonly seen: BurnJournal;
      readonly settings: WalletContext['pool'];
      readonly records: WalletContext['records'];
      readonly clock: () => number;
      readonly logger: WalletContext['logger'];
      /** {@link PresignaturePool.open} unless given. */
      readonly openPool?: typeof PresignaturePool.open;
    },
  ) {}

  /** Loads the wallet's presignatures; those that must not be used are dropped on the way (see {@link PresignaturePool.open}). */
  async open(key: WalletKey): Promise<void> {
    if (key.protocol !== 'cggmp24' || this.#pools.has(key.walletId)) return;
    const { self, vault, burns, seen, openPool = (options) => PresignaturePool.open(options) } = this.options;
    const pool = await openPool({
      vault,
      burns,
      seen,
      self,
      walletId: key.walletId,
      keyId: utf8(key.walletId),
      epoch: key.share.epoch,
      members: key.committee,
      onDiscarded: (discarded) => this.#recordDiscarded(key.walletId, discarded),
    });
    this.#pools.set(key.walletId, { pool, key, made: [], expired: 0, empty: 0 });
  }

  /** After a change of the key: the stock of the old epoch is gone, the wallet begins anew or, without a share, not at all. */
  async renew(walletId: string, key: WalletKey | undefined): Promise<void> {
    this.#pools.delete(walletId);
    if (key !== undefined) await this.open(key);
  }

  of(walletId: string): PresignaturePool {
    return this.#entry(walletId).pool;
  }

  wallets(): readonly string[] {
    return [...this.#pools.keys()];
  }

  /** Ready presignatures over all wallets. */
  total(): number {
    return [...this.#pools.values()].reduce((sum, { pool }) => sum + pool.counters.available, 0);
  }

  /** Stores a presignature that was just made. @throws as {@link PresignaturePool.add} */
  async add(walletId: string, record: PresignatureRecord): Promise<void> {
    const entry = this.#entry(walletId);
    await entry.pool.add(record);
    const now = this.options.clock();
    entry.made = [...entry.made.filter((time) => time > now - HOUR_MS), now];
  }

  /** Discards those created before `time`. Resolves with how many. */
  async expire(walletId: string, time: number): Promise<number> {
    const entry = this.#entry(walletId);
    const expired = await entry.pool.expire(time);
    entry.expired += expired;
    return expired;
  }

  /**
   * Presignatures for the inputs of a payment, of a signer set that is linked; undefined when there are none, and the payment is signed without. With
   * `on_empty = "wait"` a payment waits some seconds for presignatures that are being made. What is chosen is promised to it until {@link PresignaturePool.release}.
   * Sets of `preferred` nodes alone go first.
   */
  async choose(walletId: string, linked: () => ReadonlySet<NodeId>, inputs: number, preferred = linked): Promise<Choice | undefined> {
    const entry = this.#entry(walletId);
    const end = performance.now() + (this.options.settings.onEmpty === 'wait' ? EMPTY_WAIT_MS : 0);
    for (;;) {
      const choice = entry.pool.choose(preferred(), inputs) ?? entry.pool.choose(linked(), inputs);
      if (choice !== undefined) {
        // Until they are opened, no other payment of this node chooses them.
        entry.pool.promise(choice.ids);
        return choice;
      }
      if (performance.now() >= end || !this.generating.has(walletId)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    entry.empty++;
    return undefined;
  }

  async status(walletId: string, online: ReadonlySet<NodeId>): Promise<PoolStatus> {
    const { pool, key, made, expired, empty } = this.#entry(walletId);
    const { target, low, max } = this.options.settings;
    const { available, in_use, ...counters } = pool.counters;
    // Of all presignatures this node has a part in t of n, so that is what its own level is held against.
    const share = (level: number): number => (level * key.share.t) / key.share.n;
    const now = this.options.clock();
    const totals = await this.#totals(walletId);
    return {
      wallet_id: walletId,
      enabled: target > 0,
      available,
      in_use,
      ...counters,
      target,
      low,
      max_size: max,
      utilization_percent: Math.round((100 * available) / share(max)),
      is_healthy: target === 0 || available >= Math.floor(share(low)),
      is_critical: target > 0 && available < Math.floor(share(low) / 2),
      generating: this.generating.has(walletId),
      generation_rate: made.filter((time) => time > now - HOUR_MS).length / 60,
      hourly_usage: totals?.last_hour ?? null,
      total_used: totals?.used ?? null,
      total_failed: totals?.failed ?? null,
      total_generated: totals === undefined ? null : available + in_use + totals.used + totals.failed,
      expired,
      empty,
      sets: pool.levels().map(({ signers, ready }) => ({ signers, ready, blocked: !signers.every((node) => online.has(node)) })),
    };
  }

  async settle(): Promise<void> {
    await Promise.all([...this.#pools.values()].map(({ pool }) => pool.settle()));
  }

  #entry(walletId: string): Entry {
    const entry = this.#pools.get(walletId);
    invariant(entry !== undefined, 'the pool of an active CGGMP24 wallet is open');
    return entry;
  }

  /** What the records say; undefined while they cannot be asked: the levels are known without them. */
  async #totals(walletId: string): Promise<PresignatureTotals | undefined> {
    try {
      return await this.options.records.operations.presignatureTotals(walletId);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      return undefined;
    }
  }

  /** Each presignature has one row when it is gone, used or not. They are burnt whatever the database says, so its failure stops nothing. */
  async #recordDiscarded(walletId: string, discarded: readonly PresignatureMeta[]): Promise<void> {
    for (const { id, signers, generationMs } of discarded) {
      try {
        await this.options.records.operations.addPresignatureUsage({
          presignature_id: hex(id),
          wallet_id: walletId,
          tx_id: null,
          protocol: 'cggmp24',
          signers,
          outcome: 'failed',
          generation_time_ms: generationMs,
        });
      } catch (error) {
        this.options.logger.warn({ wallet_id: walletId, presignature: hex(id), error }, 'a discarded presignature is not in the records');
      }
    }
  }
}
