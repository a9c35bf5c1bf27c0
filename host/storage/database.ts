/**
 * The connections of one node to its PostgreSQL database. A statement fails in one of three ways: the database is not there now
 * (Unavailable; the pool reconnects by itself), the data break a rule of the schema (Refusal naming the constraint), or we wrote bad SQL
 * (Defect). Nothing here waits for a database that is down: callers decide.
 */
import { createHash } from 'node:crypto';
import pg from 'pg';
import { Defect, Refusal, Unavailable } from '../base/errors.ts';
import { errorCode } from './files.ts';

export interface DatabaseOptions {
  readonly url: string;
  /** Shown in pg_stat_activity and written as the actor of audit rows. */
  readonly nodeId: string;
  /** At most 10, so that five nodes on one server stay below 50. */
  readonly maxConnections?: number;
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

export type Row = Record<string, unknown>;

/** Every statement is a transaction of its own, of isolation READ COMMITTED: what belongs together is one statement. */
export interface Database {
  /** Runs the statement, and again (three times at most) when the database ended it for a deadlock. @throws Unavailable | Refusal | Defect */
  query<R extends object = Row>(sql: string, parameters?: readonly unknown[]): Promise<readonly R[]>;
  /** Whether the database answers now; never throws. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

const REMEDY = 'start PostgreSQL or check its URL; the node reconnects by itself';
const ATTEMPTS = 3;

/** bigint columns as numbers: satoshis and counters, all below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid !== pg.types.builtins.INT8) return pg.types.getTypeParser(oid, format as 'text');
    return (value: string) => {
      const n = Number(value);
      if (!Number.isSafeInteger(n)) throw new Defect('a bigint column holds a number above 2^53 − 1');
      return n;
    };
  }) as typeof pg.types.getTypeParser,
};

/**
 * A name makes the server plan a statement once per connection instead of each time. Statements are texts of this program with parameters apart, so
 * there are few of them.
 */
const names = new Map<string, string>();
function statementName(sql: string): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  const name = `tw_${createHash('sha256').update(sql).digest('hex').slice(0, 24)}`;
  names.set(sql, name);
  return name;
}

/** Opens no connection yet: a node starts, and reports the database as missing, without one. @throws Refusal for a malformed URL. */
export function openDatabase({
  url,
  nodeId,
  maxConnections = 10,
  statementTimeoutMs = 5_000,
  connectTimeoutMs = 5_000,
}: DatabaseOptions): Database {
  checkUrl(url);
  if (!Number.isInteger(maxConnections) || maxConnections < 1 || maxConnections > 10) {
    throw new Refusal('postgres.connections', 'maxConnections', `${maxConnections} connections per node`, 'use 1 to 10', 422);
  }
  const pool = new pg.Pool({
    connectionString: url,
    application_name: nodeId,
    max: maxConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: statementTimeoutMs,
    // A server that hangs does not answer its own time-out either.
    query_timeout: statementTimeoutMs + 1_000,
    idle_in_transaction_session_timeout: 15_000,
    keepAlive: true,
    types,
  });
  // An idle connection was lost. The pool has dropped it already; whoever needs one next learns how things stand.
  pool.on('error', () => undefined);

  const run = async <R extends object>(sql: string, parameters: readonly unknown[]): Promise<readonly R[]> => {
    for (let n = 1; ; n++) {
      try {
        return (await pool.query<R>({ name: statementName(sql), text: sql, values: [...parameters] })).rows;
      } catch (error) {
        const translated = databaseError(error);
        if (!(translated instanceof Conflict) || n === ATTEMPTS) throw translated;
      }
    }
  };

  return {
    query: <R extends object = Row>(sql: string, parameters: readonly unknown[] = []) => run<R>(sql, parameters),
    async ping() {
      try {
        await run('select 1', []);
        return true;
      } catch {
        return false;
      }
    },
    close: () => pool.end(),
  };
}

/** Deadlock or serialisation failure: the statement had no effect, and may succeed when run again. */
class Conflict extends Unavailable {}

function checkUrl(url: string): void {
  let protocol = '';
  try {
    protocol = new URL(url).protocol;
  } catch {
    // reported below; the URL itself holds a password and is not shown
  }
  if (protocol !== 'postgres:' && protocol !== 'postgresql:') {
    throw new Refusal('postgres.url', 'POSTGRES_URL', 'not a PostgreSQL URL', 'use postgres://USER:PASSWORD@HOST:PORT/DATABASE', 422);
  }
}

/** Classes and codes of PostgreSQL (appendix A of its manual) that say "not now". */
const NOT_NOW = /^(08|53|57P|58|XX)|^(57014|55P03|25006|28P01|28000|3D000)$/;

/** Sorts an error of `pg` into our families. */
export function databaseError(error: unknown): Error {
  if (error instanceof Refusal || error instanceof Unavailable || error instanceof Defect) return error;
  if (error instanceof pg.DatabaseError) {
    const code = error.code ?? '';
    if (code === '40001' || code === '40P01')
      return new Conflict('postgres', 'the database ended this statement in favour of another', 'try again', { cause: error });
    if (NOT_NOW.test(code)) return new Unavailable('postgres', `PostgreSQL cannot do this now: ${error.message}`, REMEDY, { cause: error });
    const field = error.constraint ?? error.column ?? error.table ?? 'database';
    if (code === '23505')
      return new Refusal('database.duplicate', field, `a record like this exists already (${field})`, 'read the existing record', 409);
    if (code === '42501')
      return new Refusal(
        'database.forbidden',
        field,
        `the database does not allow this: ${error.message}`,
        'records of this kind are never changed',
        403,
      );
    if (code.startsWith('23') || code.startsWith('22')) {
      return new Refusal(
        'database.constraint',
        field,
        `the database refuses this record (${field}: ${error.message})`,
        'correct the named field',
        422,
      );
    }
    return new Defect(`SQL error ${code}: ${error.message}`, { cause: error });
  }
  const network = ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'];
  const text = error instanceof Error ? error.message : String(error);
  if (
    network.includes(errorCode(error) ?? '') ||
    error instanceof AggregateError ||
    /timeout|terminated|not queryable|Connection ended/i.test(text)
  ) {
    return new Unavailable('postgres', `PostgreSQL is not reachable (${errorCode(error) ?? text})`, REMEDY, { cause: error });
  }
  return error instanceof Error ? error : new Defect(text);
}
