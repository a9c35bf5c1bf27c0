/** A local cluster in its data folder: database server, chain, node processes. */
import { chmod, readdir, readFile, rm } from 'node:fs/promises';
import { utf8 } from '../base/bytes.ts';
import { startEmbeddedPostgres } from '../storage/embedded.ts';
import { makeFolder, onFile, privateFolder, writeDurably } from '../storage/files.ts';
import { startChain } from './chain.ts';
import { DevnetClient } from './client.ts';
import { seconds } from './display.ts';
import { renewAdminToken } from './initialise.ts';
import type { ClusterFile, Layout } from './layout.ts';
import { lastWords, requireFreePort, startNodeProcess, waitFor, type NodeProcess } from './processes.ts';

const STOP_GRACE_MS = 10_000;

export interface ClusterStart {
  readonly cluster: ClusterFile;
  readonly files: Layout;
  /** A line about what has happened; it holds no secret. */
  readonly say: (line: string) => void;
  /** What must be done to stop, in reverse order; filled while starting, so that a start that fails half way can be undone. */
  readonly stop: (() => Promise<void>)[];
  readonly signal: AbortSignal;
}

/**
 * Starts everything that an initialised data folder describes. Resolves when every node is linked to every other one, with a client of them.
 * @throws Refusal for a busy port, Unavailable when a node does not come up
 */
export async function startCluster({ cluster, files, say, stop, signal }: ClusterStart): Promise<DevnetClient> {
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
  say(
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
            say(`${node} ended (${how}); start it again with: npx threshold-wallet node start --config ${files.node(node).config}`);
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
      return dead === undefined ? undefined : `${dead.id} ended: ${await lastWords(logOf(files, dead.id))}`;
    },
  );
  await writeDurably(
    files.clientFile,
    utf8(`${JSON.stringify({ endpoint: client.endpoint, endpoints: client.endpoints, token_file: files.adminToken }, null, 2)}\n`),
  );
  stop.push(() => rm(files.clientFile, { force: true }));
  say(
    `${cluster.nodes.length} nodes up and linked: QUIC with mutual TLS, pids ${processes.map((node) => node.pid).join(' ')} (${seconds(Date.now() - starting)})`,
  );
  return client;
}

/**
 * The data folder: 0700. Started as root, the database server runs as another user and must be able to pass through, so it is 0711 then; what is
 * in it is closed to others either way.
 */
export async function dataFolder(folder: string): Promise<void> {
  if (process.getuid?.() !== 0) return privateFolder(folder);
  await onFile(folder, async () => {
    await makeFolder(folder, 0o711);
    if ((await readdir(folder)).length === 0) await chmod(folder, 0o711);
  });
}

const logOf = (files: Layout, id: string): string => `${files.logs}/${id}.log`;
