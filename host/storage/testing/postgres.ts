/** Databases for tests: on an embedded server of the test file's own, or on the outside server of THRESHOLD_TEST_POSTGRES_URL. */
import { randomBytes } from 'node:crypto';
import { chmod, rm } from 'node:fs/promises';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../embedded.ts';
import { scratch } from './children.ts';

export interface TestServer {
  /** The embedded server; undefined for an outside one. */
  readonly embedded: EmbeddedPostgres | undefined;
  /** A fresh empty database with an owner and an application role. */
  newDatabase(): Promise<{
    readonly url: string;
    readonly ownerUrl: string;
    readonly superuserUrl: string;
    readonly applicationRole: string;
  }>;
  stop(): Promise<void>;
}

/** URL of a PostgreSQL server whose user may create roles and databases. */
export const OUTSIDE_URL = process.env['THRESHOLD_TEST_POSTGRES_URL'];

export async function embeddedServer(): Promise<TestServer> {
  const dataDir = await scratch();
  await chmod(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
  const password = 'a password of the tests';
  const embedded = await startEmbeddedPostgres({ dataDir, superuserPassword: password });
  // Records are not tested against loss of power; embedded.test.ts, which kills the server, leaves this on.
  const client = new pg.Client({ host: '127.0.0.1', port: embedded.port, user: 'postgres', password, database: 'postgres' });
  await client.connect();
  await client.query('alter system set fsync = off');
  await client.query('select pg_reload_conf()');
  await client.end();
  let count = 0;
  return {
    embedded,
    async newDatabase() {
      const database = await embedded.createNodeDatabase(`node-${++count}`);
      const superuserUrl = `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${embedded.port}/${database.applicationRole}`;
      return { ...database, superuserUrl };
    },
    async stop() {
      await embedded.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export async function outsideServer(url: string): Promise<TestServer> {
  const made: string[] = [];
  const admin = async (...statements: string[]) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  const as = (user: string, database: string) => {
    const target = new URL(url);
    target.username = user;
    target.password = 'test';
    target.pathname = `/${database}`;
    return target.href;
  };
  return {
    embedded: undefined,
    async newDatabase() {
      const name = `threshold_test_${randomBytes(6).toString('hex')}`;
      await admin(
        `create role ${name} login password 'test'`,
        `create role ${name}_owner login password 'test'`,
        `create database ${name} owner ${name}_owner`,
      );
      made.push(name);
      const superuser = new URL(url);
      superuser.pathname = `/${name}`;
      return { url: as(name, name), ownerUrl: as(`${name}_owner`, name), superuserUrl: superuser.href, applicationRole: name };
    },
    async stop() {
      for (const name of made) await admin(`drop database ${name} with (force)`, `drop role ${name}`, `drop role ${name}_owner`);
    },
  };
}
