/**
 * The audit log and its verifier. The hash chain is computed by the database when a row is entered (migration 2) and checked here by our own
 * code from the plain columns, so that somebody who replaces the database's functions gains nothing.
 */
import { createHash } from 'node:crypto';
import type { Database } from '../database.ts';

export interface AuditRow {
  readonly seq: number;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly hash: string;
}

export type AuditVerdict =
  | { readonly intact: true; readonly rows: number; readonly head: string }
  /** `seq`: the first row that is wrong or missing. */
  | { readonly intact: false; readonly table: ChainName; readonly seq: number; readonly problem: string };

type ChainName = 'audit_log' | 'byzantine_violations';
const CHAINS: Readonly<Record<ChainName, string>> = {
  audit_log: 'actor, action, subject, detail::text',
  byzantine_violations: 'node_id, kind, session, round, evidence::text',
};
const GENESIS = '0'.repeat(64);
const PAGE = 1_000;

interface ChainRow {
  readonly seq: number;
  readonly prev_hash: string;
  readonly hash: string;
  readonly fields: readonly string[];
}

export class AuditRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** Enters what is no change of a record: a start, a change of configuration, a refusal. `detail` holds no secret. */
  async add(action: string, subject: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#database.query('select audit($1, $2, $3)', [action, subject, JSON.stringify(detail)]);
  }

  /** Of one subject (a payment's id, a node …) or of all, oldest first, after row `after`. */
  list({ subject, after = 0, limit = 100 }: { readonly subject?: string; readonly after?: number; readonly limit?: number } = {}): Promise<
    readonly AuditRow[]
  > {
    return this.#database.query(
      'select seq, at, actor, action, subject, detail, hash from audit_log where seq > $1 and ($2::text is null or subject = $2) order by seq limit $3',
      [after, subject ?? null, limit],
    );
  }

  /**
   * Checks both chains from their first row to their head. Keep `head` elsewhere (print it, send it to another machine): a later check
   * against it also finds a database that was rewritten as a whole.
   */
  async verify(): Promise<AuditVerdict> {
    let rows = 0;
    let head = GENESIS;
    for (const table of Object.keys(CHAINS) as ChainName[]) {
      const verdict = await this.#verifyChain(table);
      if (!verdict.intact) return verdict;
      rows += verdict.rows;
      if (table === 'audit_log') head = verdict.head;
    }
    return { intact: true, rows, head };
  }

  async #verifyChain(table: ChainName): Promise<AuditVerdict> {
    const broken = (seq: number, problem: string): AuditVerdict => ({ intact: false, table, seq, problem });
    // The head first: rows that are added meanwhile come after it and are not looked at.
    const [head] = await this.#database.query<{ seq: number; hash: string }>('select seq, hash from chain_heads where chain = $1', [table]);
    if (head === undefined) return broken(0, 'the head of the chain is missing');
    let previous = GENESIS;
    for (let seq = 1; seq <= head.seq;) {
      const page = await this.#database.query<ChainRow>(
        `select seq, prev_hash, hash, array[seq::text, ((extract(epoch from at) * 1000000)::bigint)::text, ${CHAINS[table]}] as fields
         from ${table} where seq between $1 and least($2::bigint, $3::bigint) order by seq`,
        [seq, seq + PAGE - 1, head.seq],
      );
      if (page.length === 0) return broken(seq, 'the row is missing');
      for (const row of page) {
        if (row.seq !== seq) return broken(seq, 'the row is missing');
        if (row.prev_hash !== previous) return broken(seq, 'the row does not follow its predecessor');
        if (row.hash !== rowHash(previous, row.fields)) return broken(seq, 'the row was changed');
        previous = row.hash;
        seq++;
      }
    }
    if (previous !== head.hash) return broken(head.seq, 'the head of the chain was changed');
    const [extra] = await this.#database.query<{ seq: number }>(
      `select r.seq from ${table} r where r.seq > $1 and r.seq > (select seq from chain_heads where chain = $2) order by r.seq limit 1`,
      [head.seq, table],
    );
    return extra === undefined
      ? { intact: true, rows: head.seq, head: previous }
      : broken(extra.seq, 'the row was added without the chain');
  }
}

/** SHA-256 over each field as "<bytes>:<text>,": no two lists of fields give the same text. */
function rowHash(previous: string, fields: readonly string[]): string {
  const hash = createHash('sha256');
  for (const field of [previous, ...fields]) hash.update(`${Buffer.byteLength(field)}:${field},`);
  return hash.digest('hex');
}
