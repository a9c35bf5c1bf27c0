/**
 * `threshold-wallet up`: a local cluster of node processes on loopback, with an embedded database and a regtest chain; with `--demo` it does
 * the main job on the first start. State stays in the data folder: the second start finds keys, auxiliary information and presignatures there.
 */
import { chmod, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { onFile, privateFolder, writeDurably } from '../storage/files.ts';
import { startEmbeddedPostgres } from '../storage/embedded.ts';
import { startChain } from './chain.ts';
import { DevnetClient } from './client.ts';
import { runMainJob } from './demo.ts';
import { Display, seconds } from './display.ts';
import { initialiseCluster, renewAdminToken } from './initialise.ts';
import { layout, readCluster, type ClusterFile, type Layout } from './layout.ts';
import { requireFreePort, startNodeProcess, tail, waitFor, type NodeProcess } from './processes.ts';

export interface UpOptions {
  readonly data: string;
  readonly nodes?: number;
  readonly threshold?: number;
  readonly apiPort?: number;
  readonly meshPort?: number;
  /** Run the main job: wallets, pool, two payments. */
  readonly demo: boolean;
  /** End after the summary instead of staying up. */
  readonly once: boolean;
  /** Presignatures to make in the main job. */
  readonly presignatures?: number;
}

const DEFAULTS = { nodes: 5, threshold: 4, apiPort: 8081, meshPort: 9001 };
const STOP_GRACE_MS = 10_000;

/** Resolves with the exit code: 0 after a complete job or an orderly stop, 1 when something failed. @throws Refusal for unusable options. */
export async function up(options: UpOptions): Promise<number> {
  const display = new Display();
  const files = layout(resolve(options.data));
  const stopping = new AbortController();
  const stop: (() => Promise<void>)[] = [];
  const interrupt = () => stopping.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    await dataFolder(files.data);
    const known = await readCluster(files);
    const cluster = known ?? (await initialise(files, options, display));
    if (known !== undefined) rejectContradictions(known, options, files);
    await start(cluster, files, display, stop, stopping.signal);
    const client = await DevnetClient.open(cluster, files, stopping.signal);
    if (options.demo) await runMainJob({ client, cluster, display, presignatures: options.presignatures ?? 5, signal: stopping.signal });
    if (!options.once && !stopping.signal.aborted) {
      display.line(`ready: REST at ${client.endpoint}/api/v1, CLI: npx threshold-wallet wallet list; Ctrl-C ends the cluster`);
      await aborted(stopping.signal);
      display.line('stopping');
    }
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    throw error;
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
    display.progress('');
    for (const step of stop.reverse()) await step().catch((error: unknown) => display.line(`while stopping: ${(error as Error).message}`));
  }
}

async function initialise(files: Layout, options: UpOptions, display: Display): Promise<ClusterFile> {
  const nodes = options.nodes ?? DEFAULTS.nodes;
  const threshold = options.threshold ?? Math.min(DEFAULTS.threshold, nodes);
  if (nodes < 2 || nodes > 16) throw new Refusal('nodes', '--nodes', `a cluster of ${nodes} nodes`, 'choose 2 to 16');
  if (threshold < 2 || threshold > nodes) {
    throw new Refusal(
      'threshold',
      '--threshold',
      `insufficient participants for threshold: ${threshold}-of-${nodes}`,
      `choose a threshold from 2 to ${nodes}`,
    );
  }
  const apiPort = options.apiPort ?? DEFAULTS.apiPort;
  const meshPort = options.meshPort ?? DEFAULTS.meshPort;
  const begin = Date.now();
  const cluster = await initialiseCluster(files, {
    nodes,
    threshold,
    apiPort,
    meshPort,
    chainPort: apiPort + 99,
    postgresPort: apiPort + 100,
  });
  display.line(`certificates, identities and configurations for ${nodes} nodes in ${files.data} (${seconds(Date.now() - begin)})`);
  return cluster;
}

/** What the data folder fixed cannot be changed by an option of a later start. */
function rejectContradictions(cluster: ClusterFile, options: UpOptions, files: Layout): void {
  const fixed: [string, number | undefined, number][] = [
    ['--nodes', options.nodes, cluster.nodes.length],
    ['--threshold', options.threshold, cluster.threshold],
    ['--api-port', options.apiPort, cluster.nodes[0]!.api_port],
    ['--mesh-port', options.meshPort, cluster.nodes[0]!.mesh_port],
  ];
  for (const [option, given, found] of fixed) {
    if (given !== undefined && given !== found) {
      throw new Refusal(
        'data_folder_differs',
        option,
        `${files.data} holds a cluster with ${option} ${found}, not ${given}`,
        `leave ${option} out, or choose another data folder with --data`,
        409,
      );
    }
  }
}

async function start(
  cluster: ClusterFile,
  files: Layout,
  display: Display,
  stop: (() => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  const begin = Date.now();
  for (const node of cluster.nodes) await requireFreePort(node.api_port, '--api-port');
  await requireFreePort(cluster.chain_port, '--api-port');

  const postgres = await startEmbeddedPostgres({ dataDir: files.postgres, port: cluster.postgres_port });
  stop.push(() => postgres.stop());
  for (const { id } of cluster.nodes) {
    const database = await postgres.createNodeDatabase(id);
    await writeDurably(files.node(id).postgresUrl, utf8(database.url));
    await writeDurably(files.node(id).postgresOwnerUrl, utf8(database.ownerUrl));
  }
  display.line(
    `database server on port ${postgres.port}${postgres.adopted ? ' (found running after a crash, adopted)' : ''} (${seconds(Date.now() - begin)})`,
  );

  const chain = await startChain({ port: cluster.chain_port, host: '127.0.0.1', dataDir: files.chain, autoMineMs: 1000 });
  stop.push(() => chain.close());

  await renewAdminToken(files, await readFile(files.tokenKey, 'utf8'));
  const starting = Date.now();
  const processes: NodeProcess[] = [];
  let stopped = false;
  stop.push(async () => {
    stopped = true;
    await Promise.all(processes.map((node) => node.stop(STOP_GRACE_MS)));
  });
  for (const { id } of cluster.nodes) {
    signal.throwIfAborted();
    processes.push(
      await startNodeProcess({
        id,
        config: files.node(id).config,
        logFile: logOf(files, id),
        onExit: (node, how) => {
          if (!stopped)
            display.line(
              `${node} ended (${how}); start it again with: npx threshold-wallet node start --config ${files.node(node).config}`,
            );
        },
      }),
    );
  }
  const client = await DevnetClient.open(cluster, files, signal);
  await waitFor(
    'the nodes to find each other',
    120_000,
    signal,
    () => client.allLinked(),
    async () => {
      const dead = processes.find((node) => node.exited);
      return dead === undefined ? undefined : `${dead.id} ended:\n${await tail(logOf(files, dead.id), 5)}\n(${logOf(files, dead.id)})`;
    },
  );
  await writeDurably(
    files.clientFile,
    utf8(`${JSON.stringify({ endpoint: client.endpoint, endpoints: client.endpoints, token_file: files.adminToken }, null, 2)}\n`),
  );
  stop.push(() => rm(files.clientFile, { force: true }));
  display.line(
    `${cluster.nodes.length} nodes up and linked: QUIC with mutual TLS, pids ${processes.map((node) => node.pid).join(' ')} (${seconds(Date.now() - starting)})`,
  );
}

/**
 * The data folder: 0700. Started as root, the database server runs as another user and must be able to pass through, so it is 0711 then; what is
 * in it is closed to others either way.
 */
async function dataFolder(folder: string): Promise<void> {
  if (process.getuid?.() !== 0) return privateFolder(folder);
  await onFile(folder, async () => {
    await mkdir(folder, { recursive: true, mode: 0o711 });
    if ((await readdir(folder)).length === 0) await chmod(folder, 0o711);
  });
}

const logOf = (files: Layout, id: string): string => `${files.logs}/${id}.log`;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolvePromise) => {
    // The timer keeps the launcher alive while its children work.
    const alive = setInterval(() => undefined, 60_000);
    const done = () => {
      clearInterval(alive);
      resolvePromise();
    };
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
