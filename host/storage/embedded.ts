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
import { randomBytes } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { errorCode, fileError, onFile, privateFolder, readIfPresent, writeDurably } from './files.ts';
import { lockFolder } from './lock.ts';
import { copyBinaries, findBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { isAlive } from './processes.ts';
import { clientOptions, freePort, HOST, initialise, isFree, launch, postmaster, stopServer, waitUntilReady } from './postgres-server.ts';
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

const NODE_ID = /^[a-z0-9][a-z0-9-]{0,39}$/;

const newPassword = (): string => randomBytes(24).toString('base64url');

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
