/** `cluster status|nodes`, `presig generate|list|status`, `dkg start|status`, `health`, `events` */
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import { sats } from '../amounts.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { grid, record } from '../table.ts';
import { ago, painted, plain } from '../text.ts';
import { MAX_GENERATE } from '../../wallet/types.ts';
import { action, identifier, integer } from './options.ts';
import { creating } from './wallet.ts';

type Status = z.output<typeof responses.clusterStatus>;
type Nodes = z.output<typeof responses.clusterNodes>;
type Pools = z.output<typeof responses.pools>;
type Presignatures = z.output<typeof responses.presignatures>;
type Generated = z.output<typeof responses.generated>;
type Ceremonies = z.output<typeof responses.ceremonies>;
type Health = z.output<typeof responses.health>;
type Event = z.output<typeof responses.event>;

export function registerCluster(program: Command, io: Io): void {
  const cluster = program.command('cluster').description('the nodes');
  cluster.command('status').description('the cluster as the node asked sees it').action(action(io, clusterStatus));
  cluster.command('nodes').description('every node and the link to it').action(action(io, clusterNodes));

  const presig = program.command('presig').alias('pool').description('presignatures: the pool that makes signing one round');
  presig
    .command('generate')
    .description('make presignatures now')
    .requiredOption('--count <n>', 'how many', integer('--count', 1, MAX_GENERATE))
    .option('--wallet <id>', 'of which wallet; the only one that has any when absent', identifier('--wallet'))
    .action(action(io, generate));
  presig
    .command('status')
    .description('levels per wallet and signer set')
    .option('--wallet <id>', 'of one wallet', identifier('--wallet'))
    .action(action(io, poolStatus));

  presig
    .command('list')
    .description('ready presignatures at the node asked, oldest first')
    .option('--wallet <id>', 'of which wallet; the only one that has any when absent', identifier('--wallet'))
    .action(action(io, list));

  const dkg = program.command('dkg').description('ceremonies');
  dkg.command('status').description('ceremonies, running and ended').action(action(io, ceremonies));
  creating(dkg.command('start').description('generate a key for a new wallet: the same as wallet create'), io);
  program.command('health').description('is the node well; exit code 1 when it is critical').action(action(io, health));
  program
    .command('events')
    .alias('watch')
    .description('follow what happens until Ctrl-C; with --json one document per line')
    .action(action(io, events));
}

async function clusterStatus(session: Session): Promise<void> {
  const answer = await (await session.client()).get<Status>('/api/v1/cluster/status');
  session.print(answer, () =>
    record(session.paint, [
      ['status', { painted: painted(session.paint, answer.status) }],
      ['nodes', `${answer.healthy_nodes} of ${answer.total_nodes} healthy, ${answer.threshold} needed to sign`],
      ['network', answer.network],
      ['asked', `${answer.node_id} (kernel ${answer.kernel})`],
      ['safe primes', `${answer.primes_ready} in stock for the next auxiliary information (it takes 4)`],
      ['at', answer.timestamp],
    ]),
  );
}

async function clusterNodes(session: Session): Promise<void> {
  const answer = await (await session.client()).get<Nodes>('/api/v1/cluster/nodes');
  session.print(answer, () =>
    grid(
      session.paint,
      ['node', 'status', 'address', 'last seen', 'round trip', 'problem'],
      answer.nodes.map((node) => [
        node.node_id,
        { painted: painted(session.paint, node.status) },
        node.address,
        ago(node.last_seen, session.now),
        node.rtt_ms === null ? '–' : `${node.rtt_ms.toFixed(1)} ms`,
        node.problem ?? '–',
      ]),
      'no nodes',
    ),
  );
}

/** How often the level is looked at while presignatures are made. */
const PROGRESS_MS = 1000;

/** Ctrl-C ends the job at the nodes too, between two batches. */
async function generate(session: Session, { count, wallet }: { count: number; wallet?: string }): Promise<number | void> {
  session.note(`making ${count} presignatures: this may take a while; Ctrl-C ends it, and what is made by then stays`);
  const client = await session.client();
  const end = new AbortController();
  const interrupt = () => end.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const ready = async () =>
    (await client.get<Pools>('/api/v1/pool/status', { wallet_id: wallet })).pools.reduce((n, pool) => n + pool.available, 0);
  let told: number | undefined;
  const progress = setInterval(() => {
    // Only the display depends on it; the request itself reports what is wrong.
    ready().then((level) => {
      if (told !== undefined && level !== told) session.note(`${level} ready at ${client.endpoint}`);
      told = level;
    }, () => undefined); // prettier-ignore
  }, PROGRESS_MS);
  let answer: Generated;
  try {
    answer = await client.post<Generated>('/api/v1/presig/generate', { wallet_id: wallet, count }, { signal: end.signal });
  } catch (error) {
    if (!end.signal.aborted) throw error;
    session.note('ended: what was made stays; `threshold-wallet presig status` shows it');
    return 1;
  } finally {
    clearInterval(progress);
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
  session.print(answer, () =>
    record(session.paint, [
      ['wallet', answer.wallet_id],
      ['made', answer.generated],
      ['pool', answer.new_pool_size],
      ['took', `${(answer.duration_ms / 1000).toFixed(1)} s`],
    ]),
  );
}

async function list(session: Session, { wallet }: { wallet?: string }): Promise<void> {
  const answer = await (await session.client()).get<Presignatures>('/api/v1/presig', { wallet_id: wallet });
  session.print(answer, () =>
    grid(
      session.paint,
      ['presignature', 'signer set', 'epoch', 'made'],
      answer.presignatures.map((one) => [one.presignature_id, one.signers.join(', '), one.epoch, ago(one.created_at, session.now)]),
      'no presignatures',
    ),
  );
}

async function poolStatus(session: Session, { wallet }: { wallet?: string }): Promise<void> {
  const answer = await (await session.client()).get<Pools>('/api/v1/pool/status', { wallet_id: wallet });
  session.print(answer, () =>
    grid(
      session.paint,
      ['wallet', 'available', 'target', 'in use', 'used', 'failed', 'signer set', 'ready'],
      answer.pools.flatMap((pool) => {
        const level = [
          pool.wallet_id,
          pool.enabled ? `${pool.available}${pool.generating ? ' (filling)' : ''}` : 'pool disabled',
          pool.target,
          pool.in_use,
          pool.used,
          pool.failed,
        ];
        const sets = pool.sets.map((set) => [
          set.signers.join(', '),
          set.blocked ? { painted: session.paint('red', `${set.ready} (blocked)`) } : set.ready,
        ]);
        const [first = ['–', '–'], ...others] = sets;
        return [[...level, ...first], ...others.map((set) => ['', '', '', '', '', '', ...set])];
      }),
      'no pools',
    ),
  );
}

async function ceremonies(session: Session): Promise<void> {
  const answer = await (await session.client()).get<Ceremonies>('/api/v1/dkg/status');
  session.print(answer, () =>
    grid(
      session.paint,
      ['ceremony', 'kind', 'protocol', 'wallet', 'status', 'progress', 'started', 'culprits', 'error'],
      answer.ceremonies.map((one) => [
        one.id,
        one.kind,
        one.protocol,
        one.wallet_id ?? '–',
        { painted: painted(session.paint, one.status) },
        one.progress === null ? '–' : progressText(one.progress),
        ago(one.started_at, session.now),
        one.culprits.length === 0 ? '–' : one.culprits.join(', '),
        one.error ?? '–',
      ]),
      'no ceremonies',
    ),
  );
}

/** A round has a name and no number of steps. */
const progressText = ({ step, done, total }: { step: string; done: number; total: number }): string =>
  total === 0 ? step : `${step} ${done} of ${total}`;

async function health(session: Session): Promise<number> {
  const answer = await (await session.client()).get<Health>('/health');
  const yes = (value: boolean) => ({ painted: painted(session.paint, value ? 'yes' : 'no') });
  session.print(answer, () =>
    record(session.paint, [
      ['status', { painted: painted(session.paint, answer.status) }],
      ['node', `${answer.node_id}, version ${answer.version}, kernel ${answer.kernel}`],
      ['up', `${Math.round(answer.uptime_seconds)} s`],
      ['peers', `${answer.peers_connected} of ${answer.peer_count} connected`],
      ['presignatures', answer.pool_size],
      ['PostgreSQL', yes(answer.postgres_connected)],
      ['Bitcoin', yes(answer.bitcoin_connected)],
    ]),
  );
  return answer.status === 'critical' ? 1 : 0;
}

async function events(session: Session): Promise<void> {
  const client = await session.client();
  const end = new AbortController();
  const interrupt = () => end.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    for await (const event of client.events(end.signal)) {
      const line = session.json ? JSON.stringify(event) : eventLine(session, event as Event);
      session.io.stdout.write(`${line}\n`);
    }
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

function eventLine({ paint }: Session, event: Event): string {
  const time = paint('dim', new Date().toISOString().slice(11, 19));
  switch (event.type) {
    case 'transaction': {
      const { tx_id, state, amount_sats, error } = event.transaction;
      const reason = error === null ? '' : `: ${plain(error)}`;
      return `${time} payment ${plain(tx_id)} ${event.previous ?? 'new'} → ${painted(paint, state)} ${sats(amount_sats)}${reason}`;
    }
    case 'vote':
      return `${time} vote on ${plain(event.tx_id)} by ${plain(event.vote.node_id)}: ${painted(paint, event.vote.value)} ${plain(event.vote.reason)}`;
    case 'ceremony': {
      const { kind, id, status, progress } = event.ceremony;
      const step = progress === null ? '' : ` ${plain(progressText(progress))}`;
      return `${time} ${kind} ${plain(id)} ${painted(paint, status)}${step}`;
    }
    case 'pool':
      return `${time} pool of ${plain(event.pool.wallet_id)}: ${event.pool.available} of ${event.pool.target}`;
    case 'peer':
      return `${time} node ${plain(event.node_id)}: ${painted(paint, event.status)}`;
    default:
      // A newer server may know more kinds.
      return `${time} ${plain(JSON.stringify(event))}`;
  }
}
