/**
 * A real cluster to measure: five node processes on loopback with QUIC and mutual TLS between them, an embedded database, a regtest chain,
 * production parameters. It is the cluster of `npm start`, in a folder and on ports of its own. It finds its own safe primes; there is no
 * other way into a node.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { parse, stringify } from 'smol-toml';
import { utf8 } from '../host/base/bytes.ts';
import { dataFolder, startCluster } from '../host/devnet/cluster.ts';
import type { DevnetClient } from '../host/devnet/client.ts';
import { runMainJob } from '../host/devnet/demo.ts';
import { Display } from '../host/devnet/display.ts';
import { initialiseCluster } from '../host/devnet/initialise.ts';
import { layout, readCluster, type ClusterFile, type Layout, type NodeFiles } from '../host/devnet/layout.ts';
import { writeDurably } from '../host/storage/files.ts';
import type { WalletInfo } from '../host/wallet/types.ts';
import { freePorts } from './ports.ts';
import { elapsedMs } from './sampling.ts';
import type { RunOptions } from './scenario.ts';

export const NODES = 5;
export const THRESHOLD = 4;
/** As `npm start` makes by default. */
const PRESIGNATURES = 5;

export class Testbed {
  readonly #stop: (() => Promise<void>)[] = [];
  #client: DevnetClient | undefined;

  private constructor(
    readonly cluster: ClusterFile,
    private readonly files: Layout,
    private readonly options: RunOptions,
    /** Whether its folder is gone when it is closed. */
    readonly temporary: boolean,
    /** Milliseconds that making the folder took; 0 when it was there. */
    private readonly initialiseMs: number,
  ) {}

  static async open(options: RunOptions): Promise<Testbed> {
    const files = layout(resolve(options.data ?? (await mkdtemp(join(tmpdir(), 'threshold-wallet-bench-')))));
    await dataFolder(files.data);
    let cluster = await readCluster(files);
    let initialiseMs = 0;
    if (cluster === undefined) {
      const ports = await freePorts(NODES);
      initialiseMs = await elapsedMs(async () => {
        cluster = await initialiseCluster(files, { nodes: NODES, threshold: THRESHOLD, ...ports });
      });
    }
    return new Testbed(cluster!, files, options, options.data === undefined, initialiseMs);
  }

  /** Whether the folder has just been made: nothing in it yet. */
  get fresh(): boolean {
    return this.initialiseMs > 0;
  }

  get client(): DevnetClient {
    if (this.#client === undefined) throw new Error('the cluster is not running');
    return this.#client;
  }

  async start(): Promise<void> {
    const { cluster, files } = this;
    const { signal, progress } = this.options;
    this.#client = await startCluster({ cluster, files, say: progress, stop: this.#stop, signal });
  }

  async stop(): Promise<void> {
    this.#client = undefined;
    const problems: unknown[] = [];
    for (const step of this.#stop.splice(0).reverse()) await step().catch((error: unknown) => problems.push(error));
    if (problems.length > 0) throw problems[0];
  }

  /**
   * What `npm start` does, from the command to the summary: start the cluster, make what is missing (folder, keys, auxiliary information, the first
   * presignatures), and two payments, from P2WPKH and from P2TR, until each is confirmed (the chain mines a block a second after a payment).
   * Resolves with the seconds it took.
   */
  async npmStart(): Promise<number> {
    const { cluster } = this;
    const { signal, progress } = this.options;
    const lines = new Writable({
      decodeStrings: false,
      write: (chunk: string, _encoding, done) => {
        // What happens comes line by line; the summary at the end, in one block, is not for here.
        if (chunk.trimEnd().indexOf('\n') < 0) progress(chunk.trim());
        done();
      },
    });
    const ms = await elapsedMs(async () => {
      await this.start();
      await runMainJob({ client: this.client, cluster, display: new Display(lines), presignatures: PRESIGNATURES, signal });
    });
    return (this.initialiseMs + ms) / 1000;
  }

  async wallet(protocol: WalletInfo['protocol']): Promise<WalletInfo> {
    const found = (await this.client.wallets()).find((wallet) => wallet.protocol === protocol);
    return found ?? this.client.create(`bench-${protocol}`, protocol);
  }

  /** Changes the number of presignatures that nodes keep ready, for the next start; 0 makes every payment interactive. */
  setPoolTarget = (target: number): Promise<void> => this.configure('pool', { target });

  /** Changes settings of one section of all nodes, for the next start. */
  async configure(section: string, settings: object): Promise<void> {
    for (const { id } of this.cluster.nodes) {
      const file = this.files.node(id).config;
      const config = parse(await readFile(file, 'utf8'));
      await writeDurably(file, utf8(`${stringify({ ...config, [section]: { ...(config[section] as object), ...settings } })}\n`));
    }
  }

  /** Files of a node, for what its API does not tell. */
  nodeFiles = (id: string): NodeFiles => this.files.node(id);

  /** Stops it, and removes a temporary folder unless it is needed to see what went wrong. */
  async close({ failed }: { failed: boolean }): Promise<void> {
    await this.stop();
    if (!this.temporary) return;
    if (failed && !this.options.signal.aborted) this.options.progress(`the cluster's folder with its logs is kept: ${this.files.data}`);
    else await rm(this.files.data, { recursive: true, force: true });
  }
}
