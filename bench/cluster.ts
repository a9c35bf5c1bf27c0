/**
 * Five processes on one machine, through the REST API of one of them, which coordinates every payment. Stage times (`vote`, `sign`) are the
 * coordinator's own, in whole milliseconds; payment times are the client's, from the request until the network has accepted the payment.
 * All five nodes, the database, the chain and this client share the processors.
 *
 * A quick run has a FROST wallet only: auxiliary information needs twenty safe primes of 1536 bits, which take minutes to find.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProblem } from '../host/devnet/client.ts';
import type { WalletInfo } from '../host/wallet/types.ts';
import { Payer, requireMode, stage, type Paid } from './payments.ts';
import type { RunOptions, Scenario } from './scenario.ts';
import { Testbed } from './testbed.ts';
import { summarize, summarizeRate, type Result, type Skipped } from './types.ts';

const QUICK_NAMES = ['vote.4of5', 'sign.frost.4of5', 'payment.frost.4of5', 'sign.frost.rate', 'payment.frost.rate'];
const POOL_NAMES = [
  'sign.pool.4of5',
  'payment.pool.4of5',
  'sign.pool.rate',
  'payment.pool.rate',
  'payment.rest.4of5',
  'payment.rest.fallback',
  'sign.pool.refilling.4of5',
  'payment.pool.refilling.4of5',
];
const INTERACTIVE = 'sign.interactive.4of5';
const FULL_NAMES = ['start.first', 'start.again', ...QUICK_NAMES, ...POOL_NAMES, INTERACTIVE];

const COUNTS = {
  quick: { inTurn: 15, rounds: 3, burst: 12 },
  full: { inTurn: 100, rounds: 5, burst: 40 },
};
/** Payments under way at once in a burst. */
const AT_ONCE = 4;
/** FROST signatures of one payment when their rate is measured. */
const FROST_INPUTS = 20;

/** Of the pool's figures. A chunk is never longer than the shortest stock of a signer set, so that no payment finds its set empty. */
const POOL = { chunk: 10, inTurn: 3, rounds: 2, paced: 4, perSecond: 5 };
/** Presignatures that are made beside payments: so many that they take longer than those. */
const REFILLING = 20;
/** Presignatures that the nodes of `npm start` keep ready by themselves. */
const POOL_TARGET = 10;
/** C(4, 3): signer sets of four of the five that contain the coordinator. */
const COORDINATOR_SETS = 4;
const INTERACTIVE_COUNT = 10;
const MAX_COLLISIONS = 100;

async function frost(testbed: Testbed, { quick, ...options }: RunOptions): Promise<Result[]> {
  const counts = quick ? COUNTS.quick : COUNTS.full;
  const payer = new Payer(testbed.client, await testbed.wallet('frost'), options);
  await payer.inTurn(3);
  options.progress(`${counts.inTurn} FROST payments one after the other`);
  const paid = await payer.inTurn(counts.inTurn);
  requireMode(paid, 'frost');
  const rates: number[] = [];
  for (let round = 0; round < counts.rounds; round++) {
    options.progress(`a payment with ${FROST_INPUTS} FROST signatures, ${round + 1} of ${counts.rounds}`);
    const many = await payer.manyInputs(FROST_INPUTS);
    rates.push((FROST_INPUTS * 1000) / stage([many], 'sign')[0]!);
  }
  options.progress(`${counts.burst} FROST payments, ${AT_ONCE} at once`);
  const burst = await payer.burst(counts.burst, AT_ONCE);
  return [
    summarize('vote.4of5', 'ms', stage(paid, 'vote')),
    summarize('sign.frost.4of5', 'ms', stage(paid, 'sign')),
    summarize('payment.frost.4of5', 'ms', requestTimes(paid)),
    summarizeRate('sign.frost.rate', '1/s', rates),
    summarizeRate('payment.frost.rate', '1/s', [burst]),
  ];
}

/**
 * Makes presignatures until every signer set with the coordinator in it has `perSet`, and nothing is being made: the coordinator signs with the
 * set of those who voted first, whichever that is.
 */
export async function stock(testbed: Testbed, { wallet_id }: WalletInfo, perSet: number, { signal, progress }: RunOptions): Promise<void> {
  const coordinator = testbed.cluster.nodes[0]!.id;
  for (let collisions = 0; collisions < MAX_COLLISIONS;) {
    signal.throwIfAborted();
    const status = await testbed.client.pool(wallet_id);
    if (status?.generating === true) {
      await sleep(500, undefined, { signal });
      continue;
    }
    // A set without any presignature is not listed.
    const levels = (status?.sets ?? []).filter(({ signers }) => signers.includes(coordinator)).map(({ ready }) => ready);
    const missing = Array.from({ length: COORDINATOR_SETS }, (_, i) => Math.max(0, perSet - (levels[i] ?? 0))).reduce(
      (sum, n) => sum + n,
      0,
    );
    if (missing === 0) return;
    progress(`presignatures to make: ${missing} (${status?.available ?? 0} ready)`);
    try {
      await testbed.client.generate(wallet_id, Math.min(missing, 20));
    } catch (error) {
      // The nodes refill by themselves too, and one job per wallet runs at a time.
      if (!(error instanceof ApiProblem) || error.status !== 409) throw error;
      collisions++;
      await sleep(1000, undefined, { signal });
    }
  }
  throw new Error(`${MAX_COLLISIONS} times other presigning was under way when the benchmark wanted to start its own`);
}

async function* pool(testbed: Testbed, options: RunOptions): AsyncGenerator<Result> {
  const { wanted, progress } = options;
  const wallet = await testbed.wallet('cggmp24');
  const payer = new Payer(testbed.client, wallet, options);

  if (wanted('sign.pool.4of5') || wanted('payment.pool.4of5')) {
    const paid: Paid[] = [];
    for (let chunk = 0; chunk < POOL.inTurn; chunk++) {
      await stock(testbed, wallet, POOL.chunk, options);
      progress(`${POOL.chunk} payments from the pool one after the other, ${chunk + 1} of ${POOL.inTurn}`);
      paid.push(...(await payer.inTurn(POOL.chunk)));
    }
    requireMode(paid, 'pool');
    yield summarize('sign.pool.4of5', 'ms', stage(paid, 'sign'));
    yield summarize('payment.pool.4of5', 'ms', requestTimes(paid));
  }
  if (wanted('sign.pool.rate')) {
    const rates: number[] = [];
    for (let round = 0; round < POOL.rounds; round++) {
      await stock(testbed, wallet, POOL.chunk, options);
      progress(`a payment with ${POOL.chunk} signatures from the pool, ${round + 1} of ${POOL.rounds}`);
      const many = await payer.manyInputs(POOL.chunk);
      requireMode([many], 'pool');
      rates.push((POOL.chunk * 1000) / stage([many], 'sign')[0]!);
    }
    yield summarizeRate('sign.pool.rate', '1/s', rates);
  }
  if (wanted('payment.pool.rate')) {
    const rates: number[] = [];
    for (let round = 0; round < POOL.rounds; round++) {
      await stock(testbed, wallet, POOL.chunk, options);
      progress(`${POOL.chunk} payments from the pool, ${AT_ONCE} at once, ${round + 1} of ${POOL.rounds}`);
      rates.push(await payer.burst(POOL.chunk, AT_ONCE));
    }
    yield summarizeRate('payment.pool.rate', '1/s', rates);
  }
  if (wanted('payment.rest.4of5') || wanted('payment.rest.fallback')) {
    const paid: Paid[] = [];
    for (let chunk = 0; chunk < POOL.paced; chunk++) {
      await stock(testbed, wallet, POOL.chunk, options);
      progress(`${POOL.chunk} payments, ${POOL.perSecond} per second, ${chunk + 1} of ${POOL.paced}`);
      paid.push(...(await payer.paced(POOL.chunk, POOL.perSecond)));
    }
    // However they were signed: this is what a user of the API sees.
    yield summarize('payment.rest.4of5', 'ms', requestTimes(paid));
    const others = paid.filter(({ transaction }) => transaction.signing_mode !== 'pool').length;
    const share = (100 * others) / paid.length;
    yield { ...summarize('payment.rest.fallback', '%', [share]), n: paid.length };
  }
  if (wanted('sign.pool.refilling.4of5') || wanted('payment.pool.refilling.4of5')) {
    const paid: Paid[] = [];
    for (let round = 0; round < POOL.rounds; round++) {
      await stock(testbed, wallet, POOL.chunk, options);
      progress(`${POOL.chunk} payments from the pool while ${REFILLING} presignatures are made, ${round + 1} of ${POOL.rounds}`);
      let making = true;
      const made = testbed.client.generate(wallet.wallet_id, REFILLING).finally(() => (making = false));
      const [chunk] = await Promise.all([payer.inTurn(POOL.chunk).then((all) => ({ all, beside: making })), made]);
      if (!chunk.beside) throw new Error('the presignatures were made before the payments ended: there was nothing beside them');
      paid.push(...chunk.all);
    }
    // However they were signed: all of them had to share the processors.
    yield summarize('sign.pool.refilling.4of5', 'ms', stage(paid, 'sign'));
    yield summarize('payment.pool.refilling.4of5', 'ms', requestTimes(paid));
  }
}

/** Without a pool. The nodes' configuration is as it was afterwards. */
async function interactive(testbed: Testbed, options: RunOptions, poolTarget: number): Promise<Result[]> {
  await testbed.stop();
  await testbed.setPoolTarget(0);
  try {
    await testbed.start();
    const payer = new Payer(testbed.client, await testbed.wallet('cggmp24'), options);
    await payer.inTurn(1);
    options.progress(`${INTERACTIVE_COUNT} payments without a pool`);
    const paid = await payer.inTurn(INTERACTIVE_COUNT);
    requireMode(paid, 'interactive');
    return [summarize(INTERACTIVE, 'ms', stage(paid, 'sign'))];
  } finally {
    await testbed.stop();
    await testbed.setPoolTarget(poolTarget);
  }
}

const requestTimes = (paid: readonly Paid[]): number[] => paid.map(({ requestMs }) => requestMs);

async function* run(options: RunOptions): AsyncGenerator<Result | Skipped> {
  const { quick, wanted, progress } = options;
  const testbed = await Testbed.open(options);
  let failed = true;
  try {
    const needsEcdsa = !quick && FULL_NAMES.some((name) => wanted(name) && !QUICK_NAMES.includes(name));
    if (needsEcdsa && testbed.fresh) {
      progress('a first start: keys, twenty safe primes, proofs, presignatures, payments');
      yield summarize('start.first', 's', [await testbed.npmStart()]);
    } else {
      if (needsEcdsa) yield { name: 'start.first', why: 'the data folder is in use already: a start is first only once' };
      progress('starting the cluster');
      await testbed.start();
      if (needsEcdsa) await testbed.wallet('cggmp24');
    }
    if (needsEcdsa && wanted('start.again')) {
      await testbed.stop();
      progress('the same start again');
      yield summarize('start.again', 's', [await testbed.npmStart()]);
    }
    if (QUICK_NAMES.some(wanted)) {
      // Nothing is made beside the measurement: the nodes' own refilling has ended.
      const ecdsa = (await testbed.client.wallets()).find(({ protocol }) => protocol === 'cggmp24');
      if (ecdsa !== undefined) await stock(testbed, ecdsa, Math.ceil(POOL_TARGET / COORDINATOR_SETS), options);
      yield* await frost(testbed, options);
    }
    if (!quick && POOL_NAMES.some(wanted)) yield* pool(testbed, options);
    if (!quick && wanted(INTERACTIVE)) yield* await interactive(testbed, options, POOL_TARGET);
    failed = false;
  } finally {
    await testbed.close({ failed });
  }
}

export const cluster: Scenario = {
  title: 'cluster',
  fullOnly: 'a cluster with a pool needs twenty safe primes and many presignatures: minutes',
  names: (quick) => (quick ? QUICK_NAMES : FULL_NAMES),
  run,
};
