/** Brings a database to the schema of this program: migrations in order, each in a transaction of its own, each recorded with its checksum. */
import pg from 'pg';
import { sha256 } from '@noble/hashes/sha2.js';
import { hex, utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { databaseError } from './database.ts';
import type { Migration } from './migrations/migration.ts';
import { MIGRATIONS } from './migrations/index.ts';

export interface MigrateOptions {
  /** URL of the role that owns the tables. */
  readonly url: string;
  /** Role of the running node, when it is another one: gets the rights it needs, and none to change what is append-only. */
  readonly applicationRole?: string;
  readonly migrations?: readonly Migration[];
}

const checksum = ({ sql }: Migration): string => hex(sha256(utf8(sql)));
/** Arbitrary, the same for all nodes: two starts at once migrate one after the other. */
const LOCK = 0x7477_6d67;
const APPEND_ONLY = ['audit_log', 'byzantine_violations'];
const OWNER_ONLY = ['chain_heads', 'schema_migrations'];

/**
 * Returns the versions that were applied now; none when the database was up to date.
 * @throws Refusal when the database is newer than this program, or a recorded migration differs from ours.
 */
export async function migrate({ url, applicationRole, migrations = MIGRATIONS }: MigrateOptions): Promise<readonly number[]> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'threshold-wallet migrate',
    connectionTimeoutMillis: 5_000,
    statement_timeout: 60_000,
  });
  client.on('error', () => undefined); // the statement under way rejects with the same error
  try {
    await client.connect();
    await client.query('select pg_advisory_lock($1)', [LOCK]);
    await client.query('revoke create on schema public from public');
    await client.query(`create table if not exists schema_migrations
      (version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`);
    const { rows } = await client.query<{ version: number; checksum: string }>(
      'select version, checksum from schema_migrations order by version',
    );
    check(rows, migrations);
    const pending = migrations.slice(rows.length);
    for (const migration of pending) await apply(client, migration);
    if (applicationRole !== undefined) await grant(client, applicationRole);
    return pending.map(({ version }) => version);
  } catch (error) {
    throw databaseError(error);
  } finally {
    await client.end().catch(() => undefined); // the lock goes with the connection, however it ends
  }
}

function check(applied: readonly { version: number; checksum: string }[], known: readonly Migration[]): void {
  applied.forEach(({ version, checksum: recorded }, i) => {
    const migration = known[i];
    if (migration === undefined) {
      throw new Refusal(
        'database.newer',
        'schema_migrations',
        `the database has schema version ${applied.at(-1)!.version}, this program knows ${known.length}`,
        'use the newer release of the program that made it',
        409,
      );
    }
    if (migration.version !== version || checksum(migration) !== recorded) {
      throw new Refusal(
        'database.migration',
        `schema_migrations ${version}`,
        `migration ${version} of the database is not the one of this program`,
        'use the release that made it, or restore a backup',
        409,
      );
    }
  });
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query('insert into schema_migrations (version, name, checksum) values ($1, $2, $3)', [
      migration.version,
      migration.name,
      checksum(migration),
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined); // the connection is gone, and the transaction with it
    const translated = databaseError(error);
    if (translated instanceof Unavailable) throw translated;
    throw new Refusal(
      'database.migration',
      `migration ${migration.version}`,
      `migration ${migration.version} (${migration.name}) failed: ${translated.message}`,
      'nothing of it was applied; restore a backup or report this',
      409,
    );
  }
}

async function grant(client: pg.Client, role: string): Promise<void> {
  const name = client.escapeIdentifier(role);
  await client.query(`grant usage on schema public to ${name}`);
  await client.query(`grant select, insert, update, delete on all tables in schema public to ${name}`);
  for (const table of APPEND_ONLY) await client.query(`revoke update, delete, truncate on ${table} from ${name}`);
  for (const table of OWNER_ONLY) await client.query(`revoke insert, update, delete, truncate on ${table} from ${name}`);
}
