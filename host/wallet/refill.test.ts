/** When and for whom a node makes presignatures. What making them is, ceremonies.test.ts shows; here it is recorded only. */
import { expect, test } from 'vitest';
import { Fault } from '../base/errors.ts';
import type { Ceremonies } from './ceremonies.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import type { Pools } from './pools.ts';
import { Refill } from './refill.ts';
import { Standing, TROUBLE_MS } from './standing.ts';

const committee = ['node-1', 'node-2', 'node-3'];
const sets: readonly (readonly [signers: string, ready: number])[] = [
  ['0,1', 0],
  ['0,2', 0],
  ['1,2', 0],
];

interface Job {
  readonly signers: readonly number[];
  readonly count: number;
}
/** A refill over a pool with these levels; every job is recorded and, unless `lead` fails, adds to its level. */
function setup(target: number, levels = sets, lead: (job: Job) => Promise<void> = () => Promise.resolve(), clock = () => 0) {
  const ready = new Map(levels);
  const jobs: Job[] = [];
  const active = { committee, walletId: 'w', walletName: 'w', share: { t: 2 } };
  const context = {
    self: 'node-1',
    clock: () => 0,
    mesh: { peers: () => committee.slice(1).map((node) => ({ node, status: 'active' })) },
    calls: {
      serve: () => undefined,
      call: () => Promise.resolve({ sets: [...ready].map(([set, n]) => ({ signers: set.split(',').map(Number), ready: n })) }),
    },
    pool: { target, low: (3 * target) / 4, max: 14, batch: 20, checkMs: 1, maxAgeMs: 1 },
    events: { publish: () => undefined },
    logger: { info: () => undefined, warn: () => undefined },
  } as unknown as WalletContext;
  const pools = {
    wallets: () => ['w'],
    expire: () => Promise.resolve(0),
    of: () => ({ counters: { available: 0 } }),
    generating: new Set(),
    status: () => Promise.resolve({}),
  } as unknown as Pools;
  const keyring = { active: () => active, auxOf: () => ({}), frozen: new Set() } as unknown as Keyring;
  const ceremonies = {
    async lead({ signers, count }: Job) {
      jobs.push({ signers, count });
      await lead({ signers, count });
      ready.set(signers.join(), ready.get(signers.join())! + count);
    },
  } as unknown as Ceremonies;
  const standing = new Standing(clock);
  return { refill: new Refill(context, keyring, pools, ceremonies, standing), jobs, standing };
}

async function looks(refill: Refill): Promise<void> {
  refill.start();
  await new Promise((resolve) => setTimeout(resolve, 30));
  await refill.stop();
}

test('an empty pool is filled set by set, one job each', async () => {
  const { refill, jobs } = setup(12);
  await looks(refill);
  expect(jobs).toEqual([
    { signers: [0, 1], count: 4 },
    { signers: [0, 2], count: 4 },
    { signers: [1, 2], count: 4 },
  ]);
});

test('the poorest set comes first, and one that was used up gets its share at once', async () => {
  const { refill, jobs } = setup(12, [['0,1', 4], ['0,2', 0], ['1,2', 4]]); // prettier-ignore
  await looks(refill);
  expect(jobs).toEqual([{ signers: [0, 2], count: 4 }]);
});

test('nothing is made above the low mark', async () => {
  const { refill, jobs } = setup(12, [['0,1', 4], ['0,2', 2], ['1,2', 4]]); // prettier-ignore
  await looks(refill);
  expect(jobs).toEqual([]);
});

test('what is asked for by number is spread one by one', async () => {
  const { refill, jobs } = setup(0);
  expect(await refill.generate('w', 4)).toBe(4);
  expect(jobs).toEqual([
    { signers: [0, 1], count: 2 },
    { signers: [0, 2], count: 1 },
    { signers: [1, 2], count: 1 },
  ]);
});

test('a node that stops ends its job between two signer sets', async () => {
  const { refill, jobs } = setup(0, sets, () => refill.stop());
  await expect(refill.generate('w', 3)).rejects.toMatchObject({ name: 'Unavailable', message: expect.stringContaining('stopping') });
  expect(jobs).toEqual([{ signers: [0, 1], count: 1 }]);
});

test('what one signer set gets is made ten at a time, and ends in between when the request does', async () => {
  const end = new AbortController();
  const { refill, jobs } = setup(0, [['0,1', 0], ['0,2', 20], ['1,2', 20]], async () => end.abort(new Error('enough'))); // prettier-ignore
  const pool = refill as unknown as { context: { pool: { max: number } } };
  pool.context.pool.max = 100;
  await expect(refill.generate('w', 15, end.signal)).rejects.toThrow('enough');
  expect(jobs).toEqual([{ signers: [0, 1], count: 10 }]);
});

test('the largest size is not exceeded: the refusal says what fits', async () => {
  const { refill, jobs } = setup(12, [['0,1', 4], ['0,2', 4], ['1,2', 4]]); // prettier-ignore
  await expect(refill.generate('w', 3)).rejects.toMatchObject({ code: 'pool.full', remedy: expect.stringContaining('at most 2') });
  expect(jobs).toEqual([]);
  expect(await refill.generate('w', 2)).toBe(2);
});

test('a node that has stalled two jobs is in none while others suffice, and in them again after half an hour', async () => {
  const time = { now: 0 };
  const { refill, jobs, standing } = setup(3, sets, undefined, () => time.now);
  standing.note(['node-2']);
  await refill.generate('w', 2);
  expect(jobs.map(({ signers }) => signers.join())).toEqual(['0,1', '0,2']);
  standing.note(['node-2']);
  jobs.length = 0;
  await refill.generate('w', 2);
  expect(jobs.map(({ signers }) => signers.join())).toEqual(['0,2']);
  // With node-3 no better, the one with fewer troubles fills the set.
  standing.note(['node-3', 'node-3', 'node-3']);
  jobs.length = 0;
  await refill.generate('w', 1);
  expect(jobs.map(({ signers }) => signers.join())).toEqual(['0,1']);
  time.now = TROUBLE_MS;
  jobs.length = 0;
  await refill.generate('w', 1);
  expect(jobs.map(({ signers }) => signers.join())).toEqual(['1,2']);
});

test('of a job that other nodes ran, who led it and who they name are noted; who is named falsely twice is still asked when it is needed', async () => {
  const stalled = () => Promise.reject(new Fault([1], 'no message before the deadline', { round: 'presign/1', detail: 'silence' }));
  const { refill, jobs, standing } = setup(1, [['1,2', 0]], stalled);
  standing.note(['node-1', 'node-1']);
  await expect(refill.generate('w', 1)).rejects.toThrow('deadline');
  expect(jobs.map(({ signers }) => signers.join())).toEqual(['1,2']);
  expect(['node-2', 'node-3'].map((node) => standing.of(node))).toEqual([1, 1]);
  await expect(refill.generate('w', 1)).rejects.toThrow('deadline');
  await expect(refill.generate('w', 1)).rejects.toThrow('deadline');
  expect(jobs).toHaveLength(3);
});
