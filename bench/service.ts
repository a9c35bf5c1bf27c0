/**
 * A cluster under many clients, and at rest: a hundred payments at once, reads of a long list of payments, what an idle node takes. A cluster of its own,
 * with a FROST wallet; figures about presignatures need `--data` with a cluster that has an ECDSA wallet, because a new one would search primes for minutes.
 */
import { setMaxListeners } from 'node:events';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { WalletInfo } from '../host/wallet/types.ts';
import { stock } from './cluster.ts';
import { Payer } from './payments.ts';
import { cpuSeconds, findProcesses, residentMegabytes } from './processes.ts';
import type { RunOptions, Scenario } from './scenario.ts';
import { Testbed, THRESHOLD } from './testbed.ts';
import { summarize, summarizeRate, type Result, type Skipped } from './types.ts';

const IDLE = ['idle.cpu', 'idle.rss', 'idle.traffic'];
const READS = ['rest.get', 'rest.list', 'rest.list.100'];
const FROST = ['load.frost.payment', 'load.frost.rate', 'load.frost.errors', 'traffic.frost'];
const POOL = ['load.pool.payment', 'load.pool.rate', 'load.pool.errors', 'traffic.pool', 'vault.presignature'];
const NAMES = [...IDLE, ...READS, ...FROST, ...POOL];

/** Payments of which the list is read, clients that read at once, and requests of each. */
const ROWS = 10_000;
const CLIENTS = 20;
const REQUESTS = 100;
/** Payments at once. */
const AT_ONCE = 100;
/** In turn, for the bytes that one takes. */
const IN_TURN = 10;
const IDLE_MS = 20_000;
/** C(4, 3): signer sets of four of five that contain the coordinator. */
const COORDINATOR_SETS = 4;

async function* idle(testbed: Testbed, { progress, signal }: RunOptions): AsyncGenerator<Result | Skipped> {
  const processes = await findProcesses(testbed.cluster.nodes.map(({ id }) => testbed.nodeFiles(id).config));
  if (processes === undefined) {
    for (const name of IDLE) yield { name, why: 'processes are looked at in /proc, which is not here' };
    return;
  }
  progress('waiting for quiet');
  await sleep(5_000, undefined, { signal });
  const [cpu, bytes] = [await Promise.all(processes.map(cpuSeconds)), await testbed.client.meshBytes()];
  progress(`nothing, for ${IDLE_MS / 1000} s`);
  await sleep(IDLE_MS, undefined, { signal });
  const after = await Promise.all(processes.map(cpuSeconds));
  const traffic = (await testbed.client.meshBytes()) - bytes;
  yield summarize('idle.cpu', '%', after.map((seconds, i) => ((seconds - cpu[i]!) * 100_000) / IDLE_MS)); // prettier-ignore
  yield summarize('idle.rss', 'MB', await Promise.all(processes.map(residentMegabytes)));
  yield summarize('idle.traffic', 'kB/s', [traffic / IDLE_MS / testbed.cluster.nodes.length]);
}

/** Payments that were never made, in the records of the coordinator, so that a list has something to find its page in. */
async function addRows(testbed: Testbed, { wallet_id, address }: WalletInfo): Promise<void> {
  const { postgresOwnerUrl } = testbed.nodeFiles(testbed.cluster.nodes[0]!.id);
  const database = new pg.Client({ connectionString: (await readFile(postgresOwnerUrl, 'utf8')).trim() });
  await database.connect();
  try {
    await database.query(
      `insert into transactions (tx_id, wallet_id, txid, state, protocol, recipients, amount_sats, fee_sats, fee_rate, vsize, confirmations, unsigned_tx, created_at)
       select gen_random_uuid(), $1, encode(sha256(convert_to('bench' || n, 'UTF8')), 'hex'), 'failed', 'frost',
              jsonb_build_array(jsonb_build_object('address', $2::text, 'amount_sats', 20000)), 20000, 200, 1, 200, 0, '00', now() - n * interval '1 minute'
       from generate_series(1, $3) as n`,
      [wallet_id, address, ROWS],
    );
    await database.query('analyze transactions');
  } finally {
    await database.end();
  }
}

async function readers(read: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  const one = async (): Promise<void> => {
    for (let i = 0; i < REQUESTS; i++) {
      const begin = performance.now();
      await read();
      samples.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, one));
  return samples;
}

async function* reads(testbed: Testbed, wallet: WalletInfo, options: RunOptions): AsyncGenerator<Result> {
  const [paid] = await new Payer(testbed.client, wallet, options).inTurn(1);
  await addRows(testbed, wallet);
  options.progress(`${CLIENTS} clients read one payment of ${ROWS}, then pages of 20 and of 100`);
  yield summarize('rest.get', 'ms', await readers(() => testbed.client.transaction(paid!.transaction.tx_id)));
  yield summarize('rest.list', 'ms', await readers(() => testbed.client.transactions(20)));
  yield summarize('rest.list.100', 'ms', await readers(() => testbed.client.transactions(100)));
}

async function* load(name: 'frost' | 'pool', testbed: Testbed, wallet: WalletInfo, options: RunOptions): AsyncGenerator<Result> {
  const payer = new Payer(testbed.client, wallet, options);
  const before = await testbed.client.meshBytes();
  await payer.inTurn(IN_TURN);
  yield summarize(`traffic.${name}`, 'kB', [((await testbed.client.meshBytes()) - before) / 1000 / IN_TURN]);
  options.progress(`${AT_ONCE} payments at once`);
  const { paid, failed, ms } = await payer.atOnce(AT_ONCE);
  yield summarize(`load.${name}.payment`, 'ms', paid.map(({ requestMs }) => requestMs)); // prettier-ignore
  yield summarizeRate(`load.${name}.rate`, '1/min', [(paid.length * 60_000) / ms]);
  yield { ...summarize(`load.${name}.errors`, '%', [(100 * failed) / AT_ONCE]), n: AT_ONCE };
}

/** Sealed, on the disk of one node. */
async function presignatureSizes(testbed: Testbed): Promise<number[]> {
  const folder = join(testbed.nodeFiles(testbed.cluster.nodes[0]!.id).dir, 'vault', 'entries', 'presignature');
  return Promise.all((await readdir(folder)).map(async (file) => (await stat(join(folder, file))).size / 1000));
}

async function* run(options: RunOptions): AsyncGenerator<Result | Skipped> {
  const { wanted, progress } = options;
  setMaxListeners(2 * AT_ONCE, options.signal);
  const testbed = await Testbed.open(options);
  let failed = true;
  try {
    // One client asks more often than a node admits by default.
    await testbed.configure('api', { rate_per_second: 10_000, burst: 10_000 });
    progress('starting the cluster');
    await testbed.start();
    const wallet = await testbed.wallet('frost');
    const ecdsa = (await testbed.client.wallets()).find(({ protocol, threshold }) => protocol === 'cggmp24' && threshold === THRESHOLD);
    if (IDLE.some(wanted)) yield* idle(testbed, options);
    if (FROST.some(wanted)) yield* load('frost', testbed, wallet, options);
    if (POOL.some(wanted)) {
      if (ecdsa === undefined) for (const name of POOL) yield { name, why: 'needs --data with a cluster that has an ECDSA wallet' };
      else {
        await stock(testbed, ecdsa, Math.ceil((AT_ONCE + IN_TURN) / COORDINATOR_SETS), options);
        yield summarize('vault.presignature', 'kB', await presignatureSizes(testbed));
        yield* load('pool', testbed, ecdsa, options);
      }
    }
    if (READS.some(wanted)) {
      if (testbed.temporary) yield* reads(testbed, wallet, options);
      else for (const name of READS) yield { name, why: 'would leave made-up payments in the records of --data' };
    }
    failed = false;
  } finally {
    await testbed.close({ failed });
  }
}

export const service: Scenario = {
  title: 'service',
  fullOnly: 'a hundred payments, ten thousand rows, twenty seconds of rest',
  names: (quick) => (quick ? [] : NAMES),
  run,
};
