/**
 * The embedded PostgreSQL: one real server on loopback for all local nodes, with a database and two roles per node. It is started detached,
 * so that Ctrl-C reaches the nodes first and the server last; if the process that started it dies, the server goes on, and the next start
 * adopts it.
 *
 * ```
 * DIR/server.json     port, place of the cluster, generated passwords (0600)
 * DIR/cluster/        PostgreSQL's data
 * DIR/server.log      its messages
 * ```
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { errorCode, fileError, onFile, privateFolder, readIfPresent, writeDurably } from './files.ts';
import { lockFolder } from './lock.ts';
import { copyBinaries, findBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { isAlive } from './processes.ts';
import { fallbackFolder, reachable, serverUser, type ServerUser } from './postgres-user.ts';

export interface EmbeddedOptions {
  /** Folder of the server; created when missing. */
  readonly dataDir: string;
  /** Port on 127.0.0.1. Without it, the port of the last start, or a free one. */
  readonly port?: number;
  /** Password of the superuser when the cluster is first made; random without it. */
  readonly superuserPassword?: string;
  /** For messages about the start; they hold no secret. */
  readonly log?: (message: string) => void;
}

export interface NodeDatabase {
  /** Role that may only use the tables: what a node runs with. */
  readonly url: string;
  /** Role that owns them: for migrations. */
  readonly ownerUrl: string;
  /** Name of the first role, for `migrate`. */
  readonly applicationRole: string;
}

export interface EmbeddedPostgres {
  readonly port: number;
  /** Process id of the postmaster; another one after it died and was started again. */
  readonly pid: number;
  /** Whether the server was running already. */
  readonly adopted: boolean;
  /** Database and roles of a node, made when missing. The same answer every time. `nodeId`: 1 to 40 of a-z 0-9 -. */
  createNodeDatabase(nodeId: string): Promise<NodeDatabase>;
  /** Ends the server: running statements are cancelled, data is flushed. */
  stop(): Promise<void>;
}

const State = z.strictObject({
  version: z.literal(1),
  port: z.int().min(1).max(65535),
  cluster: z.string(),
  /** Whether the cluster was made: if it is gone then, somebody removed it. */
  initialised: z.boolean().default(true),
  superuser_password: z.string(),
  nodes: z.record(z.string(), z.strictObject({ application: z.string(), owner: z.string() })),
});
type State = z.infer<typeof State>;

const SUPERUSER = 'postgres';
const HOST = '127.0.0.1';
const START_MS = 30_000;
const STOP_MS = 30_000;
const NODE_ID = /^[a-z0-9][a-z0-9-]{0,39}$/;

const newPassword = (): string => randomBytes(24).toString('base64url');
const clientOptions = (state: State, timeout = 3_000): pg.ClientConfig => ({
  host: HOST,
  port: state.port,
  user: SUPERUSER,
  password: state.superuser_password,
  database: 'postgres',
  connectionTimeoutMillis: timeout,
  application_name: 'threshold-wallet launcher',
});

/**
 * Starts the server, or adopts the one that runs on this folder.
 * @throws Refusal for a busy port, a folder that cannot be written, a platform without binaries.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  await privateFolderOrOwn(options.dataDir);
  // Only the start is exclusive; the server itself keeps a second postmaster off its data.
  const lock = await lockFolder(options.dataDir, 'start');
  try {
    return await start(options);
  } finally {
    await lock.release();
  }
}

async function start({ dataDir, port, superuserPassword, log = () => undefined }: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const stateFile = join(dataDir, 'server.json');
  const user = await serverUser();
  const known = await readState(stateFile);
  let state: State = known ?? {
    version: 1,
    port: port ?? (await freePort()),
    cluster: await newCluster(dataDir, user),
    initialised: false,
    superuser_password: superuserPassword ?? newPassword(),
    nodes: {},
  };

  const running = await postmaster(state.cluster);
  if (running !== undefined) {
    if (port === undefined || port === running.port) {
      state = { ...state, port: running.port };
      await waitUntilReady(state, undefined, dataDir);
      await writeState(stateFile, state);
      log(`adopted the PostgreSQL server that was left running (process ${running.pid}, port ${running.port})`);
      return serve({ dataDir, state, pid: running.pid, adopted: true, log, restart: () => relaunch(dataDir, state, user) });
    }
    log(`the PostgreSQL server runs on port ${running.port}; moving it to ${port}`);
    await stopServer(running.pid, state.cluster);
  }
  if (port !== undefined) state = { ...state, port };
  if (port === undefined && !(await isFree(state.port))) state = { ...state, port: await freePort() };
  if (!(await isFree(state.port))) {
    throw new Refusal(
      'postgres.port',
      'port',
      `port ${state.port} on ${HOST} is in use by another program`,
      'stop that program, or set another port for PostgreSQL',
      409,
    );
  }
  const binaries = await reachableBinaries(await findBinaries(), state.cluster, user);
  // Passwords are on disk before the cluster that has them.
  await writeState(stateFile, state);
  if (!(await exists(join(state.cluster, 'PG_VERSION')))) {
    if (state.initialised) {
      throw new Refusal(
        'postgres.missing',
        state.cluster,
        `the PostgreSQL data that ${stateFile} names is gone: ${state.cluster}`,
        `restore that folder; or remove ${stateFile} to go on with empty records (keys are not affected)`,
        409,
      );
    }
    await initialise(binaries, state, user, log);
  }
  state = { ...state, initialised: true };
  await writeState(stateFile, state);
  const pid = await launch(binaries, state, user, dataDir);
  return serve({ dataDir, state, pid, adopted: false, log, restart: () => relaunch(dataDir, state, user) });
}

/** Starts the server of an existing cluster again. */
async function relaunch(dataDir: string, state: State, user: ServerUser | undefined): Promise<number> {
  const running = await postmaster(state.cluster);
  if (running !== undefined) return running.pid;
  return launch(await reachableBinaries(await findBinaries(), state.cluster, user), state, user, dataDir);
}

/** The folder must be private, but the server's own user has to pass through it when that is not us. */
async function privateFolderOrOwn(dataDir: string): Promise<void> {
  if (process.getuid?.() !== 0) return privateFolder(dataDir);
  await onFile(dataDir, () => mkdir(dataDir, { recursive: true, mode: 0o711 }));
}

/** Path for a new cluster; one whose passwords were lost with an earlier server.json is left alone. */
async function newCluster(dataDir: string, user: ServerUser | undefined): Promise<string> {
  const plain = join(await homeOf(dataDir, user), 'cluster');
  return (await exists(plain)) ? `${plain}-${randomBytes(4).toString('hex')}` : plain;
}

async function homeOf(dataDir: string, user: ServerUser | undefined): Promise<string> {
  if (user === undefined || (await reachable(dataDir, user))) return dataDir;
  const fallback = await fallbackFolder(dataDir);
  await onFile(fallback, () => mkdir(fallback, { recursive: true, mode: 0o711 }));
  return fallback;
}

async function reachableBinaries(found: PostgresBinaries, cluster: string, user: ServerUser | undefined): Promise<PostgresBinaries> {
  return user === undefined || (await reachable(found.root, user)) ? found : copyBinaries(found, join(cluster, '..'));
}

async function readState(path: string): Promise<State | undefined> {
  const content = await readIfPresent(path);
  if (content === undefined) return undefined;
  try {
    return State.parse(JSON.parse(new TextDecoder().decode(content)));
  } catch {
    throw new Refusal(
      'postgres.state',
      path,
      `${path} is damaged`,
      `restore ${path} from a backup; without its passwords the database cannot be opened`,
      422,
    );
  }
}
const writeState = (path: string, state: State) => writeDurably(path, utf8(`${JSON.stringify(state, null, 2)}\n`));

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT') return false;
      throw fileError(error, path);
    },
  );

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: HOST, exclusive: true }, () => probe.close(() => resolve(true)));
  });

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ port: 0, host: HOST }, () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port'))));
    });
  });

/** The postmaster that runs on `cluster`, by its pid file, if that process is alive and runs there. */
async function postmaster(cluster: string): Promise<{ pid: number; port: number } | undefined> {
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

async function initialise(
  binaries: PostgresBinaries,
  state: State,
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

async function launch(binaries: PostgresBinaries, state: State, user: ServerUser | undefined, dataDir: string): Promise<number> {
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
async function waitUntilReady(state: State, ended: Promise<string> | undefined, dataDir: string, logFrom = 0): Promise<void> {
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
async function stopServer(pid: number, cluster: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if ((await postmaster(cluster))?.pid !== pid) return;
    process.kill(pid, signal);
    for (const deadline = Date.now() + STOP_MS; Date.now() < deadline; await delay(20)) {
      if (!isAlive(pid)) return;
    }
  }
  throw new Unavailable('postgres', `PostgreSQL (process ${pid}) does not stop`, `end process ${pid} by hand`);
}

interface Serving {
  readonly dataDir: string;
  readonly state: State;
  readonly pid: number;
  readonly adopted: boolean;
  readonly log: (message: string) => void;
  readonly restart: () => Promise<number>;
}

/** How often the postmaster is looked for, in milliseconds. */
const WATCH_MS = 500;

/** The handle of a running server. Watches it, and starts it again when it dies without having been asked to. */
function serve({ dataDir, state: first, pid: firstPid, adopted, log, restart }: Serving): EmbeddedPostgres {
  const stateFile = join(dataDir, 'server.json');
  let state = first;
  let pid = firstPid;
  let stopping = false;
  let restarting: Promise<void> | undefined;
  // One at a time: the state file and "create role unless it exists" both need it.
  let queue: Promise<unknown> = Promise.resolve();

  const watch = setInterval(() => {
    if (stopping || restarting !== undefined || isAlive(pid)) return;
    log(`PostgreSQL (process ${pid}) ended unexpectedly; starting it again`);
    restarting = restart()
      .then((next) => {
        pid = next;
        log(`PostgreSQL runs again (process ${pid})`);
      })
      // The old server's memory may be in use for another moment; the next look tries again.
      .catch((error: unknown) =>
        log(`PostgreSQL could not be started again yet: ${error instanceof Error ? error.message : String(error)}`),
      )
      .finally(() => (restarting = undefined));
  }, WATCH_MS);
  watch.unref();

  return {
    port: state.port,
    get pid() {
      return pid;
    },
    adopted,
    createNodeDatabase(nodeId) {
      const result = queue.then(async () => {
        if (!NODE_ID.test(nodeId)) throw new Refusal('node.id', 'node id', `not a node id: ${nodeId}`, 'use 1 to 40 of a-z, 0-9 and -');
        if (state.nodes[nodeId] === undefined) {
          state = { ...state, nodes: { ...state.nodes, [nodeId]: { application: newPassword(), owner: newPassword() } } };
          await writeState(stateFile, state);
        }
        return createDatabase(state, nodeId, state.nodes[nodeId]!);
      });
      queue = result.catch(() => undefined);
      return result;
    },
    async stop() {
      stopping = true;
      clearInterval(watch);
      await queue;
      await restarting;
      await stopServer(pid, state.cluster);
    },
  };
}

async function createDatabase(state: State, nodeId: string, passwords: { application: string; owner: string }): Promise<NodeDatabase> {
  const name = `tw_${nodeId.replaceAll('-', '_')}`;
  const owner = `${name}_owner`;
  const client = new pg.Client(clientOptions(state));
  client.on('error', () => undefined); // the statement under way rejects with the same error
  try {
    await client.connect();
    for (const [role, password] of [
      [name, passwords.application],
      [owner, passwords.owner],
    ] as const) {
      const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
      if (rowCount === 0) await client.query(`create role ${client.escapeIdentifier(role)} login`);
      await client.query(
        `alter role ${client.escapeIdentifier(role)} with login nosuperuser nocreatedb nocreaterole password ${client.escapeLiteral(password)}`,
      );
    }
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)} owner ${client.escapeIdentifier(owner)}`);
    await client.query(`revoke all on database ${client.escapeIdentifier(name)} from public`);
    await client.query(`grant connect on database ${client.escapeIdentifier(name)} to ${client.escapeIdentifier(name)}`);
  } catch (error) {
    throw new Unavailable(
      'postgres',
      `the database of ${nodeId} could not be created`,
      'see server.log of the embedded PostgreSQL, then start again',
      { cause: error },
    );
  } finally {
    await client.end().catch(() => undefined);
  }
  const url = (role: string, password: string) => `postgres://${role}:${encodeURIComponent(password)}@${HOST}:${state.port}/${name}`;
  return { url: url(name, passwords.application), ownerUrl: url(owner, passwords.owner), applicationRole: name };
}
