/** `up` and `node start`: what runs here and not at the other end of the API. Their code is loaded only when they are used. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { Refusal } from '../../base/errors.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { action, integer } from './options.ts';

interface UpOptions {
  readonly nodes?: number;
  readonly threshold?: number;
  readonly apiPort?: number;
  readonly meshPort?: number;
  readonly presignatures?: number;
  readonly demo?: boolean;
  readonly once?: boolean;
}

export function registerLocal(program: Command, io: Io): void {
  program
    .command('up')
    .description('start a local cluster: node processes on loopback, embedded storage, a regtest chain; its folder is --data')
    .option('--nodes <n>', 'number of nodes', integer('--nodes', 2, 16))
    .option('--threshold <t>', 'nodes that must sign', integer('--threshold', 2, 16))
    .option('--api-port <port>', 'first REST port; one per node', integer('--api-port', 1, 65_535))
    .option('--mesh-port <port>', 'first mesh port; one per node', integer('--mesh-port', 1, 65_535))
    .option('--presignatures <n>', 'presignatures to make for the demonstration', integer('--presignatures', 0, 1000))
    .option('--demo', 'create two wallets, fund them and pay from both')
    .option('--once', 'end after the summary instead of staying up')
    .action(action(io, runCluster));

  program
    .command('node')
    .description('one node')
    .command('start')
    .description('run a node until SIGTERM or Ctrl-C')
    .requiredOption('--config <file>', 'its configuration (TOML)')
    .action(action(io, runNode));
}

async function runCluster(session: Session, options: UpOptions): Promise<number> {
  const { nodes, threshold, apiPort, meshPort, presignatures } = options;
  if (nodes !== undefined && threshold !== undefined && threshold > nodes) {
    const remedy = `choose a threshold from 2 to ${nodes}, or more nodes`;
    throw new Refusal('up.threshold', '--threshold', `${threshold} signers of ${nodes} nodes are impossible`, remedy, 422);
  }
  portsFit('--api-port', apiPort, nodes);
  portsFit('--mesh-port', meshPort, nodes);
  await writable(resolve(session.data));
  const { up } = await import('../../devnet/up.ts');
  return up({
    data: session.data,
    demo: options.demo === true,
    once: options.once === true,
    ...(nodes === undefined ? {} : { nodes }),
    ...(threshold === undefined ? {} : { threshold }),
    ...(apiPort === undefined ? {} : { apiPort }),
    ...(meshPort === undefined ? {} : { meshPort }),
    ...(presignatures === undefined ? {} : { presignatures }),
  });
}

async function runNode(_session: Session, { config }: { config: string }): Promise<number> {
  const { startNode } = await import('../../node/start.ts');
  return startNode(config);
}

/** The size of a cluster when none is given. */
const DEFAULT_NODES = 5;

function portsFit(name: string, first: number | undefined, nodes = DEFAULT_NODES): void {
  if (first === undefined || first + nodes - 1 <= 65_535) return;
  const message = `${nodes} nodes need the ports ${first} to ${first + nodes - 1}, and the last port is 65535`;
  throw new Refusal('up.port', name, message, `choose at most ${65_536 - nodes}`);
}

/** Looks at the folder, or at the nearest one above it that exists, and writes nothing. */
async function writable(folder: string): Promise<void> {
  const remedy = 'choose a folder that this user may write with --data';
  try {
    const found = await stat(folder);
    if (!found.isDirectory()) throw new Refusal('up.data', '--data', `${folder} is no folder`, remedy);
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && dirname(folder) !== folder) return writable(dirname(folder));
    throw new Refusal('up.data', '--data', `${folder} cannot be written (${code ?? 'unknown'})`, remedy);
  }
}
