/** One PostgreSQL server as a process: made, started, found, asked whether it is ready, stopped. */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { Refusal, Unavailable } from '../base/errors.ts';
import { onFile, readIfPresent } from './files.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { ServerUser } from './postgres-user.ts';
import { isAlive } from './processes.ts';

/** Where a server listens, where its data are, and how to enter. */
export interface Server {
  readonly port: number;
  readonly cluster: string;
  readonly superuser_password: string;
}

const SUPERUSER = 'postgres';
export const HOST = '127.0.0.1';
const START_MS = 30_000;
const STOP_MS = 30_000;

export const clientOptions = (state: Server, timeout = 3_000): pg.ClientConfig => ({
  host: HOST,
  port: state.port,
  user: SUPERUSER,
  password: state.superuser_password,
  database: 'postgres',
  connectionTimeoutMillis: timeout,
  application_name: 'threshold-wallet launcher',
});

export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: HOST, exclusive: true }, () => probe.close(() => resolve(true)));
  });

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ port: 0, host: HOST }, () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port'))));
    });
  });

/** The postmaster that runs on `cluster`, by its pid file, if that process is alive and runs there. */
export async function postmaster(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const content = await readIfPresent(join(cluster, 'postmaster.pid'));
  if (content === undefined) return undefined;
  // Line 1: process id, 2: data folder, 3: start time, 4: port.
  const lines = new TextDecoder().decode(content).split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!Number.isSafeInteger(pid) || pid <= 1 || !Number.isSafeInteger(port) || port <= 0 || !isAlive(pid)) return undefined;
  if (process.platform === 'linux') {
    // After a crash the process id may belong to something else by now.
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes(cluster)) return undefined;
  }
  return { pid, port };
}

export async function initialise(
  binaries: PostgresBinaries,
  state: Server,
  user: ServerUser | undefined,
  log: (message: string) => void,
): Promise<void> {
  // Made under another name: an interrupted initdb must not look like a cluster.
  const unfinished = `${state.cluster}.new`;
  await onFile(unfinished, async () => {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    if (user !== undefined) await chown(unfinished, user.uid, user.gid);
  });
  const passwordFile = join(state.cluster, '..', `.password-${randomBytes(6).toString('hex')}`);
  await onFile(passwordFile, async () => {
    await writeFile(passwordFile, `${state.superuser_password}\n`, { mode: 0o600, flag: 'wx' });
    if (user !== undefined) await chown(passwordFile, user.uid, user.gid);
  });
  log('creating the PostgreSQL cluster');
  try {
    await promisify(execFile)(
      binaries.initdb,
      [
        `--pgdata=${unfinished}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--data-checksums',
      ],
      { ...(user && { uid: user.uid, gid: user.gid }), cwd: '/', env: serverEnvironment() },
    );
    await rename(unfinished, state.cluster);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    const why = output.trim().split('\n').at(-1) ?? '';
    throw new Refusal(
      'postgres.init',
      state.cluster,
      `the PostgreSQL cluster in ${state.cluster} could not be created: ${why}`,
      'check space and permissions of that folder, or set the URL of an outside PostgreSQL',
      422,
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Nothing of our environment reaches the server, which may hold secrets of the nodes. */
const serverEnvironment = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' });

export async function launch(binaries: PostgresBinaries, state: Server, user: ServerUser | undefined, dataDir: string): Promise<number> {
  const logFile = join(dataDir, 'server.log');
  const output = await onFile(logFile, () => open(logFile, 'a', 0o600));
  try {
    const { size } = await output.stat();
    const settings = {
      port: state.port,
      listen_addresses: HOST,
      unix_socket_directories: '',
      password_encryption: 'scram-sha-256',
      max_connections: 100,
      shared_buffers: '32MB',
      logging_collector: 'off',
      log_min_messages: 'warning',
      // Statements may hold addresses and amounts; they stay out of the log.
      log_min_error_statement: 'panic',
      timezone: 'UTC',
      log_timezone: 'UTC',
    };
    const args = ['-D', state.cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const child = spawn(binaries.postgres, args, {
      ...(user && { uid: user.uid, gid: user.gid }),
      cwd: '/',
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(`exit ${code ?? signal}`));
    });
    child.unref();
    await waitUntilReady(state, ended, dataDir, size);
    return child.pid!;
  } finally {
    await output.close();
  }
}

/** Resolves when a connection as superuser succeeds. @throws Refusal when the server ended, Unavailable when it takes too long. */
export async function waitUntilReady(state: Server, ended: Promise<string> | undefined, dataDir: string, logFrom = 0): Promise<void> {
  const logFile = join(dataDir, 'server.log');
  let exit: string | undefined;
  void ended?.then((how) => (exit = how));
  let last: unknown;
  for (const deadline = Date.now() + START_MS; Date.now() < deadline; await delay(30)) {
    if (exit !== undefined) {
      const lines = new TextDecoder()
        .decode((await readIfPresent(logFile))?.subarray(logFrom))
        .trim()
        .split('\n');
      const why = lines.find((line) => line.includes('FATAL') || line.includes('PANIC')) ?? lines.at(-1) ?? exit;
      throw new Refusal(
        'postgres.start',
        state.cluster,
        `PostgreSQL did not start: ${why.replace(/^.*?(FATAL|PANIC):\s*/, '')}`,
        `see ${logFile}`,
        422,
      );
    }
    const client = new pg.Client(clientOptions(state));
    client.on('error', () => undefined); // a connection lost while it is being closed; the loop decides
    try {
      await client.connect();
      await client.query('select 1');
      return;
    } catch (error) {
      last = error;
      if (error instanceof pg.DatabaseError && error.code === '28P01') {
        throw new Refusal(
          'postgres.password',
          join(dataDir, 'server.json'),
          'the running PostgreSQL does not accept the stored password',
          `restore ${join(dataDir, 'server.json')}, or stop that server`,
          409,
        );
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  throw new Unavailable('postgres', `PostgreSQL was not ready after ${START_MS / 1000} s`, `see ${logFile}`, { cause: last });
}

/** Fast shutdown (SIGINT), then immediate (SIGQUIT): the write-ahead log makes the second safe, only slower to start from. */
export async function stopServer(pid: number, cluster: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if ((await postmaster(cluster))?.pid !== pid) return;
    process.kill(pid, signal);
    for (const deadline = Date.now() + STOP_MS; Date.now() < deadline; await delay(20)) {
      if (!isAlive(pid)) return;
    }
  }
  throw new Unavailable('postgres', `PostgreSQL (process ${pid}) does not stop`, `end process ${pid} by hand`);
}
