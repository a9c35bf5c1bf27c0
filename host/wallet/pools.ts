/** The presignature pools of this node: one per CGGMP24 wallet, opened when the wallet becomes active. */
import { utf8 } from '../base/bytes.ts';
import type { NodeId } from '../mesh/types.ts';
import { PresignaturePool } from '../presign/pool.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { Vault } from '../storage/vault.ts';
import type { WalletKey } from './keyring.ts';
import type { PoolStatus } from './types.ts';
import { invariant } from '../base/errors.ts';

export class Pools {
  readonly #pools = new Map<string, PresignaturePool>();
  /** Wallets for which this node takes part in presigning now. */
  readonly generating = new Set<string>();

  constructor(
    private readonly options: {
      readonly self: NodeId;
      readonly vault: Vault;
      readonly burns: BurnJournal;
      readonly seen: BurnJournal;
      readonly target: number;
    },
  ) {}

  /** Loads the wallet's presignatures; those that must not be used are dropped on the way (see {@link PresignaturePool.open}). */
  async open(key: WalletKey): Promise<void> {
    if (key.protocol !== 'cggmp24' || this.#pools.has(key.walletId)) return;
    const { self, vault, burns, seen } = this.options;
    const pool = await PresignaturePool.open({
      vault,
      burns,
      seen,
      self,
      walletId: key.walletId,
      keyId: utf8(key.walletId),
      epoch: key.share.epoch,
      members: key.committee,
    });
    this.#pools.set(key.walletId, pool);
  }

  /** After a change of the key: the stock of the old epoch is gone, the wallet begins anew or, without a share, not at all. */
  async renew(walletId: string, key: WalletKey | undefined): Promise<void> {
    this.#pools.delete(walletId);
    if (key !== undefined) await this.open(key);
  }

  of(walletId: string): PresignaturePool {
    const pool = this.#pools.get(walletId);
    invariant(pool !== undefined, 'the pool of an active CGGMP24 wallet is open');
    return pool;
  }

  wallets(): readonly string[] {
    return [...this.#pools.keys()];
  }

  /** Ready presignatures over all wallets. */
  total(): number {
    return [...this.#pools.values()].reduce((sum, pool) => sum + pool.counters.available, 0);
  }

  status(walletId: string, online: ReadonlySet<NodeId>): PoolStatus {
    const pool = this.of(walletId);
    return {
      wallet_id: walletId,
      ...pool.counters,
      target: this.options.target,
      generating: this.generating.has(walletId),
      sets: pool.levels().map(({ signers, ready }) => ({ signers, ready, blocked: !signers.every((node) => online.has(node)) })),
    };
  }

  async settle(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.settle()));
  }
}
