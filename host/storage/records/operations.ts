/** What operators look at: ceremonies, the use of presignatures, violations, the state of the nodes. */
import type { Database } from '../database.ts';

export interface CeremonyRow {
  readonly ceremony_id: string;
  readonly kind: 'aux' | 'dkg' | 'presign' | 'refresh' | 'reshare';
  readonly protocol: 'cggmp24' | 'frost';
  readonly wallet_id: string | null;
  readonly status: 'running' | 'completed' | 'failed';
  readonly participants: readonly string[];
  readonly culprits: readonly string[];
  readonly error: string | null;
  readonly progress: { readonly step: string; readonly done: number; readonly total: number } | null;
  readonly started_at: Date;
  readonly ended_at: Date | null;
}

/** Facts about what a ceremony left in this node's vault; never the content. */
export interface SealedObjectRow {
  readonly ceremony_id: string;
  readonly party: number;
  readonly kind: 'key-share' | 'aux-info';
  readonly public_key: string | null;
  readonly size_bytes: number;
  /** SHA-256 of the content, hex. */
  readonly digest: string;
}

export class CeremonyRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  async insert(ceremony: Pick<CeremonyRow, 'ceremony_id' | 'kind' | 'protocol' | 'wallet_id' | 'participants'>): Promise<CeremonyRow> {
    const [row] = await this.#database.query<CeremonyRow>(
      `insert into ceremonies (ceremony_id, kind, protocol, wallet_id, status, participants) values ($1, $2, $3, $4, 'running', $5) returning *`,
      [ceremony.ceremony_id, ceremony.kind, ceremony.protocol, ceremony.wallet_id, JSON.stringify(ceremony.participants)],
    );
    return row!;
  }

  /** Undefined when it is not running. */
  async progress(ceremonyId: string, progress: NonNullable<CeremonyRow['progress']>): Promise<CeremonyRow | undefined> {
    const [row] = await this.#database.query<CeremonyRow>(
      `update ceremonies set progress = $2 where ceremony_id = $1 and status = 'running' returning *`,
      [ceremonyId, JSON.stringify(progress)],
    );
    return row;
  }

  /** Ends a running ceremony. Undefined when it had ended before. */
  async end(
    ceremonyId: string,
    end: { readonly wallet_id?: string | null; readonly error?: string; readonly culprits?: readonly string[] } = {},
  ): Promise<CeremonyRow | undefined> {
    const [row] = await this.#database.query<CeremonyRow>(
      `update ceremonies set status = $2, error = $3, culprits = $4, wallet_id = coalesce($5, wallet_id), progress = null, ended_at = now()
       where ceremony_id = $1 and status = 'running' returning *`,
      [
        ceremonyId,
        end.error === undefined ? 'completed' : 'failed',
        end.error?.slice(0, 2_000) ?? null,
        JSON.stringify(end.culprits ?? []),
        end.wallet_id ?? null,
      ],
    );
    return row;
  }

  /** At start: what was running when the node ended has failed. How many. */
  async endInterrupted(): Promise<number> {
    return (
      await this.#database.query(
        `update ceremonies set status = 'failed', error = 'the node ended while it was running', progress = null, ended_at = now() where status = 'running' returning 1`,
      )
    ).length;
  }

  async get(ceremonyId: string): Promise<CeremonyRow | undefined> {
    const [row] = await this.#database.query<CeremonyRow>('select * from ceremonies where ceremony_id = $1', [ceremonyId]);
    return row;
  }

  /** Newest first. */
  list(limit = 100): Promise<readonly CeremonyRow[]> {
    return this.#database.query('select * from ceremonies order by started_at desc, ceremony_id limit $1', [limit]);
  }

  async addSealedObject(object: SealedObjectRow): Promise<void> {
    await this.#database.query(
      'insert into sealed_objects (ceremony_id, party, kind, public_key, size_bytes, digest) values ($1, $2, $3, $4, $5, $6)',
      [object.ceremony_id, object.party, object.kind, object.public_key, object.size_bytes, object.digest],
    );
  }

  sealedObjects(ceremonyId: string): Promise<readonly SealedObjectRow[]> {
    return this.#database.query(
      'select ceremony_id, party, kind, public_key, size_bytes, digest from sealed_objects where ceremony_id = $1 order by party, kind',
      [ceremonyId],
    );
  }
}

export interface PresignatureUsageRow {
  readonly presignature_id: string;
  readonly wallet_id: string;
  readonly tx_id: string | null;
  readonly protocol: 'cggmp24' | 'frost';
  readonly signers: readonly string[];
  readonly outcome: 'used' | 'failed';
  readonly generation_time_ms: number;
  readonly used_at: Date;
}

export type NewPresignatureUsage = Omit<PresignatureUsageRow, 'used_at'>;

export interface PresignatureTotals {
  readonly used: number;
  readonly failed: number;
  /** Of the used ones. */
  readonly last_hour: number;
}

export interface ViolationRow {
  readonly seq: number;
  readonly at: Date;
  readonly node_id: string;
  readonly kind: string;
  /** Session id in hex, empty outside a session. */
  readonly session: string;
  readonly round: string;
  readonly evidence: Readonly<Record<string, unknown>>;
  readonly hash: string;
}

export interface NodeStatusRow {
  readonly node_id: string;
  readonly node_index: number;
  readonly status: 'self' | 'active' | 'degraded' | 'connecting' | 'dead' | 'idle';
  readonly address: string;
  readonly last_seen: Date | null;
  readonly rtt_ms: number | null;
  readonly problem: string | null;
  readonly votes: number;
  readonly violations: number;
}

export class OperationRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws Refusal 409 when this presignature is recorded already. */
  async addPresignatureUsage(usage: NewPresignatureUsage): Promise<void> {
    await this.#database.query(
      'insert into presignature_usage (presignature_id, wallet_id, tx_id, protocol, signers, outcome, generation_time_ms) values ($1, $2, $3, $4, $5, $6, $7)',
      [
        usage.presignature_id,
        usage.wallet_id,
        usage.tx_id,
        usage.protocol,
        JSON.stringify(usage.signers),
        usage.outcome,
        Math.round(usage.generation_time_ms),
      ],
    );
  }

  /** Newest first. */
  presignatureUsage(walletId: string, limit = 100): Promise<readonly PresignatureUsageRow[]> {
    return this.#database.query('select * from presignature_usage where wallet_id = $1 order by used_at desc limit $2', [walletId, limit]);
  }

  /** Presignatures of a wallet that were ever used, those that were not and never will be, and those used in the last hour. */
  async presignatureTotals(walletId: string): Promise<PresignatureTotals> {
    const [row] = await this.#database.query<PresignatureTotals>(
      `select count(*) filter (where outcome = 'used') as used, count(*) filter (where outcome = 'failed') as failed,
              count(*) filter (where outcome = 'used' and used_at > now() - interval '1 hour') as last_hour
       from presignature_usage where wallet_id = $1`,
      [walletId],
    );
    return row!;
  }

  /** `evidence` is an object without secrets: what shows the violation to somebody who was not there. */
  async addViolation(violation: Pick<ViolationRow, 'node_id' | 'kind' | 'session' | 'round' | 'evidence'>): Promise<ViolationRow> {
    const [row] = await this.#database.query<ViolationRow>(
      'insert into byzantine_violations (node_id, kind, session, round, evidence) values ($1, $2, $3, $4, $5) returning *',
      [violation.node_id, violation.kind, violation.session, violation.round, JSON.stringify(violation.evidence)],
    );
    return row!;
  }

  /** Newest first. */
  violations(limit = 100): Promise<readonly ViolationRow[]> {
    return this.#database.query('select * from byzantine_violations order by seq desc limit $1', [limit]);
  }

  /** Enters or updates what is known of a node; its counters stay. */
  async putNodeStatus(node: Omit<NodeStatusRow, 'votes' | 'violations'>): Promise<void> {
    await this.#database.query(
      `insert into node_status (node_id, node_index, status, address, last_seen, rtt_ms, problem) values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (node_id) do update set node_index = excluded.node_index, status = excluded.status, address = excluded.address,
         last_seen = coalesce(excluded.last_seen, node_status.last_seen), rtt_ms = excluded.rtt_ms, problem = excluded.problem, updated_at = now()`,
      [node.node_id, node.node_index, node.status, node.address, node.last_seen, node.rtt_ms, node.problem],
    );
  }

  nodeStatus(): Promise<readonly NodeStatusRow[]> {
    return this.#database.query('select * from node_status order by node_index');
  }
}
