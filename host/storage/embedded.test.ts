import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from './database.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded.ts';
import { isAlive } from './processes.ts';
import { linesOf, preparePrograms, scratch } from './testing/children.ts';

const refusal = (code: string, field?: string) => expect.objectContaining({ name: 'Refusal', code, ...(field && { field }) });
const root = process.getuid?.() === 0;

let folder: string;
const servers: EmbeddedPostgres[] = [];
// One folder, and so one creation of a cluster, for all; each test starts and stops the server.
beforeAll(async () => {
  folder = await scratch();
  // As root, the server runs as a user of its own, who must reach the folder.
  if (root) await chmod(folder, 0o711);
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});
afterAll(() => rm(folder, { recursive: true, force: true }));
const start = async (change: { port?: number; dataDir?: string } = {}) => {
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), ...change });
  servers.push(server);
  return server;
};
const ask = async (url: string, sql: string) => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
};
/** Tries until `work` gives a value; the test's own time-out bounds it. */
const eventually = async <T>(work: () => Promise<T | undefined>): Promise<T> => {
  for (;;) {
    const value = await work();
    if (value !== undefined) return value;
    await delay(50);
  }
};

describe('the embedded server', () => {
  it('keeps data and passwords over a stop, gives each node a database of its own, and listens on loopback only', async () => {
    const first = await start();
    const node1 = await first.createNodeDatabase('node-1');
    const [again, node2] = await Promise.all([first.createNodeDatabase('node-1'), first.createNodeDatabase('node-2')]);
    expect(again).toEqual(node1);
    await ask(node1.ownerUrl, 'create table kept (n integer); insert into kept values (7)');
    expect(await ask(node1.url, 'select current_user as me, version()')).toMatchObject([
      { me: 'tw_node_1', version: expect.stringMatching(/^PostgreSQL 18/) },
    ]);
    // Another node's role, a wrong password and no password stay outside.
    const crossed = new URL(node2.url);
    crossed.pathname = new URL(node1.url).pathname;
    await expect(ask(crossed.href, 'select 1')).rejects.toMatchObject({ code: '42501' });
    const wrong = new URL(node1.url);
    wrong.password = 'wrong';
    await expect(ask(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    expect(await ask(node1.url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    await expect(first.createNodeDatabase('../x')).rejects.toEqual(refusal('node.id'));

    const stateFile = join(folder, 'pg', 'server.json');
    expect((await stat(stateFile)).mode & 0o077).toBe(0);
    expect((await stat(JSON.parse(await readFile(stateFile, 'utf8')).cluster)).mode & 0o077).toBe(0);

    await first.stop();
    expect(isAlive(first.pid)).toBe(false);
    const second = await start();
    expect([second.adopted, second.port]).toEqual([false, first.port]);
    expect(await second.createNodeDatabase('node-1')).toEqual(node1);
    expect(await ask(node1.ownerUrl, 'select n from kept')).toEqual([{ n: 7 }]);
  });

  it('is adopted by the next start when the process that started it was killed', async () => {
    const programs = await preparePrograms();
    const child = await programs.start(
      `import { startEmbeddedPostgres } from './storage/embedded.js';
       const server = await startEmbeddedPostgres({ dataDir: process.argv[2] });
       const { ownerUrl } = await server.createNodeDatabase('node-1');
       process.stdout.write(JSON.stringify({ pid: server.pid, port: server.port, ownerUrl }) + '\\n');
       setInterval(() => {}, 1000);`,
      [join(folder, 'pg')],
    );
    const [line] = await linesOf(child, () => child.kill('SIGKILL'));
    const orphan = JSON.parse(line!);
    expect(isAlive(orphan.pid)).toBe(true);
    const server = await start();
    expect([server.adopted, server.pid, server.port]).toEqual([true, orphan.pid, orphan.port]);
    expect((await server.createNodeDatabase('node-1')).ownerUrl).toBe(orphan.ownerUrl);
    await server.stop();
    expect(isAlive(orphan.pid)).toBe(false);
    await programs.dispose();
  });

  it('comes back by itself when its postmaster is killed; meanwhile nodes see it as unavailable, and lose nothing', async () => {
    const server = await start();
    const { url, ownerUrl } = await server.createNodeDatabase('node-1');
    await ask(ownerUrl, 'create table counted (n integer); grant all on counted to public');
    const database = openDatabase({ url, nodeId: 'node-1', connectTimeoutMs: 500 });
    let promised = 0;
    let failure: unknown;
    const killed = server.pid;
    const writing = (async () => {
      for (let n = 1; failure === undefined; n++) {
        await database.query('insert into counted values ($1)', [n]).then(
          () => (promised = n),
          (error: unknown) => (failure = error),
        );
      }
    })();
    await eventually(async () => (promised > 20 ? true : undefined));
    process.kill(killed, 'SIGKILL');
    await writing;
    expect(failure).toMatchObject({ name: 'Unavailable', dependency: 'postgres', remedy: expect.stringContaining('reconnects') });
    await eventually(async () => ((await database.ping()) && server.pid !== killed ? true : undefined));
    const [{ n }] = (await database.query<{ n: number }>('select count(*) as n from counted')) as [{ n: number }];
    expect(n).toBeGreaterThanOrEqual(promised);
    expect(n).toBeLessThanOrEqual(promised + 1);
    await database.close();
  });

  it('runs a statement again that it ended for a deadlock', async () => {
    const server = await start();
    const { url, ownerUrl } = await server.createNodeDatabase('node-1');
    await ask(ownerUrl, 'create table pair (id integer, n integer); insert into pair values (2, 0), (1, 0); grant all on pair to public');
    const database = openDatabase({ url, nodeId: 'node-1' });
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    await other.query('begin');
    await other.query('update pair set n = 10 where id = 1');
    // It has the second row and waits for the first: who has waited longest is looked at first, and ended.
    const both = database.query('update pair set n = n + 1 returning n');
    await eventually(async () => {
      const [{ waiting }] = (await ask(ownerUrl, 'select count(*)::int as waiting from pg_locks where not granted')) as [
        { waiting: number },
      ];
      return waiting > 0 ? true : undefined;
    });
    await other.query('update pair set n = 10 where id = 2');
    await other.query('commit');
    expect(await both).toEqual([{ n: 11 }, { n: 11 }]);
    await other.end();
    await database.close();
  });

  it('moves to the port it is told', async () => {
    const first = await start();
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const found = (probe.address() as { port: number }).port;
        probe.close(() => resolve(found));
      });
    });
    const moved = await start({ port });
    expect([moved.port, moved.adopted, isAlive(first.pid)]).toEqual([port, false, false]);
    servers.shift();
  });
});

describe('a start that cannot work is refused', () => {
  it('for a port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    await expect(start({ port })).rejects.toEqual(refusal('postgres.port', 'port'));
    other.close();
  });

  it('for a file in the place of the folder, a damaged state file, and data that is gone', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(start({ dataDir: join(folder, 'file') })).rejects.toEqual(refusal('storage.path'));
    await mkdir(join(folder, 'damaged'), { mode: 0o700 });
    const gone = { version: 1, port: 5432, cluster: join(folder, 'gone'), initialised: true, superuser_password: 'x', nodes: {} };
    await writeFile(join(folder, 'damaged', 'server.json'), JSON.stringify(gone));
    await expect(start({ dataDir: join(folder, 'damaged') })).rejects.toEqual(refusal('postgres.missing', gone.cluster));
    await writeFile(join(folder, 'damaged', 'server.json'), '{"version":1');
    await expect(start({ dataDir: join(folder, 'damaged') })).rejects.toEqual(refusal('postgres.state'));
  });
});

describe.skipIf(!root)('started as a normal user (needs root to become one)', () => {
  it('runs as that user, and refuses a folder it may not write', async () => {
    const programs = await preparePrograms();
    await chmod(programs.folder, 0o755);
    const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' })));
    const home = join(folder, 'home');
    const denied = join(folder, 'denied'); // its parent belongs to root
    await mkdir(home, { mode: 0o700 });
    execFileSync('chown', [`${uid}:${gid}`, home]);
    const child = await programs.start(
      `import { startEmbeddedPostgres } from './storage/embedded.js';
       import { readFileSync } from 'node:fs';
       const server = await startEmbeddedPostgres({ dataDir: process.argv[2] + '/pg' });
       const { url } = await server.createNodeDatabase('node-1');
       const owner = /^Uid:\\s+(\\d+)/m.exec(readFileSync('/proc/' + server.pid + '/status', 'utf8'))[1];
       await server.stop();
       const refused = await startEmbeddedPostgres({ dataDir: process.argv[3] }).catch((error) => error.name + ' ' + error.field);
       process.stdout.write(JSON.stringify({ owner: Number(owner), url: url.startsWith('postgres://tw_node_1:'), refused }) + '\\n');`,
      [home, denied],
      { uid: uid!, gid: gid! },
    );
    const [line] = await linesOf(child);
    expect(JSON.parse(line!)).toEqual({ owner: uid, url: true, refused: `Refusal ${denied}` });
    await programs.dispose();
  });
});
