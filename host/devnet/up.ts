/**
 * `threshold-wallet up`: a local cluster of node processes on loopback, with an embedded database and a regtest chain; with `--demo` it does
 * the main job on the first start. State stays in the data folder: the second start finds keys, auxiliary information and presignatures there.
 */
import { resolve } from 'node:path';
import { Refusal } from '../base/errors.ts';
import { dataFolder, startCluster } from './cluster.ts';
import { runMainJob } from './demo.ts';
import { Display, seconds } from './display.ts';
import { initialiseCluster } from './initialise.ts';
import { layout, readCluster, type ClusterFile, type Layout } from './layout.ts';

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
    const client = await startCluster({ cluster, files, say: (line) => display.line(line), stop, signal: stopping.signal });
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
