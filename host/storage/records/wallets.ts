/** Wallets, and requests that must not be carried out twice. */
import { Refusal } from '../../base/errors.ts';
import type { Database } from '../database.ts';

export interface WalletRow {
  readonly wallet_id: string;
  readonly name: string;
  readonly protocol: 'cggmp24' | 'frost';
  readonly address_type: 'p2wpkh' | 'p2wsh' | 'p2tr';
  readonly threshold: number;
  readonly total_nodes: number;
  /** Hex: 33 bytes compressed (cggmp24), 32 bytes x-only (frost). */
  readonly public_key: string;
  readonly address: string;
  readonly network: 'mainnet' | 'testnet' | 'signet' | 'regtest';
  readonly created_at: Date;
}

export class WalletRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** Enters a wallet; the same one again is no error (a ceremony that ended after a crash). @throws Refusal 409 for another one of this id or address. */
  async insert(wallet: Omit<WalletRow, 'created_at'> & { readonly created_at?: Date }): Promise<WalletRow> {
    const [row] = await this.#database.query<WalletRow>(
      `insert into wallets (wallet_id, name, protocol, address_type, threshold, total_nodes, public_key, address, network, created_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now())) on conflict do nothing returning *`,
      [
        wallet.wallet_id,
        wallet.name,
        wallet.protocol,
        wallet.address_type,
        wallet.threshold,
        wallet.total_nodes,
        wallet.public_key,
        wallet.address,
        wallet.network,
        wallet.created_at ?? null,
      ],
    );
    if (row !== undefined) return row;
    const known = await this.get(wallet.wallet_id);
    if (known?.public_key === wallet.public_key && known.address === wallet.address && known.threshold === wallet.threshold) return known;
    throw new Refusal('wallet.duplicate', 'wallet_id', 'another wallet has this id or this address', 'read the existing wallet', 409);
  }

  /** After a change of its committee. Key and address never change. */
  async reshare(walletId: string, threshold: number, totalNodes: number): Promise<void> {
    await this.#database.query('update wallets set threshold = $2, total_nodes = $3 where wallet_id = $1', [
      walletId,
      threshold,
      totalNodes,
    ]);
  }

  async get(walletId: string): Promise<WalletRow | undefined> {
    const [row] = await this.#database.query<WalletRow>('select * from wallets where wallet_id = $1', [walletId]);
    return row;
  }

  /** Oldest first. */
  list(): Promise<readonly WalletRow[]> {
    return this.#database.query('select * from wallets order by created_at, wallet_id');
  }
}

export interface IdempotencyRow {
  readonly scope: string;
  readonly key: string;
  /** SHA-256 of the request, hex. */
  readonly request_hash: string;
  readonly tx_id: string | null;
  readonly created_at: Date;
}

export class IdempotencyRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  async get(scope: string, key: string): Promise<IdempotencyRow | undefined> {
    const [row] = await this.#database.query<IdempotencyRow>('select * from idempotency_keys where scope = $1 and key = $2', [scope, key]);
    return row;
  }

  /**
   * Claims `key` for a request: of any number of callers one gets `first: true` and carries it out; the others get the row, whose `tx_id` is
   * null until {@link settle}.
   * @throws Refusal 409 `idempotency.other_request` when the key was used for another request.
   */
  async put(scope: string, key: string, requestHash: string): Promise<{ readonly first: boolean; readonly row: IdempotencyRow }> {
    // A claim that was withdrawn between the two statements is claimed on the second turn.
    for (;;) {
      const [row] = await this.#database.query<IdempotencyRow>(
        'insert into idempotency_keys (scope, key, request_hash) values ($1, $2, $3) on conflict (scope, key) do nothing returning *',
        [scope, key, requestHash],
      );
      if (row !== undefined) return { first: true, row };
      const known = await this.get(scope, key);
      if (known === undefined) continue;
      if (known.request_hash === requestHash) return { first: false, row: known };
      throw new Refusal(
        'idempotency.other_request',
        'idempotency_key',
        'this idempotency key was used for another request',
        'use a new key for a new request',
        409,
      );
    }
  }

  /**
   * Says which payment the claimed request became; false when that was said before. `instead`: of the one that was said, which has ended without a signature.
   */
  async settle(scope: string, key: string, txId: string, instead?: string): Promise<boolean> {
    const rows = await this.#database.query(
      'update idempotency_keys set tx_id = $3 where scope = $1 and key = $2 and tx_id is not distinct from $4::uuid returning 1',
      [scope, key, txId, instead ?? null],
    );
    return rows.length === 1;
  }

  /** Withdraws a claim whose request was refused before a payment was made of it, so that the key can be used for the corrected request. */
  async withdraw(scope: string, key: string): Promise<boolean> {
    return (
      (await this.#database.query('delete from idempotency_keys where scope = $1 and key = $2 and tx_id is null returning 1', [scope, key]))
        .length === 1
    );
  }
}
