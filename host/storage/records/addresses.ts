/** How many addresses of each account are in use. */
import type { Database } from '../database.ts';

export interface AddressCounterRow {
  readonly wallet_id: string;
  readonly account: number;
  /** 0 receives, 1 takes change. */
  readonly chain: number;
  /** The first index that is not in use. */
  readonly next: number;
}

export class AddressRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  list(): Promise<readonly AddressCounterRow[]> {
    return this.#database.query('select wallet_id, account, chain, next from address_counters order by wallet_id, account, chain');
  }

  /** How many receiving addresses each node has asked for, by the audit log. */
  takers(): Promise<readonly { readonly wallet_id: string; readonly asked_by: string; readonly taken: number }[]> {
    return this.#database.query(
      `select wallet_id, asked_by, sum(added)::bigint as taken from (
         select subject as wallet_id, detail->>'asked_by' as asked_by,
                (detail->>'next')::bigint - lag((detail->>'next')::bigint, 1, 0::bigint) over (partition by subject, detail->>'account' order by seq) as added
         from audit_log where action = 'address.receive' and subject = any(select wallet_id from wallets)) as steps
       group by wallet_id, asked_by`,
    );
  }

  /** Lifts a counter to `next`, for the node that asked for it; one that is there already stays. */
  async raise({ wallet_id, account, chain, next }: AddressCounterRow, askedBy: string): Promise<void> {
    await this.#database.query(
      `insert into address_counters (wallet_id, account, chain, next, asked_by) values ($1, $2, $3, $4, $5)
       on conflict (wallet_id, account, chain) do update set next = excluded.next, asked_by = excluded.asked_by
       where address_counters.next < excluded.next`,
      [wallet_id, account, chain, next, askedBy],
    );
  }
}
