/** What the pool tells of itself, and what a payment does that finds it empty. What it keeps and hands out is in presign/pool.test.ts. */
import { expect, test } from 'vitest';
import { Unavailable } from '../base/errors.ts';
import type { PresignaturePool } from '../presign/pool.ts';
import type { PoolSettings, WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import { Pools } from './pools.ts';

const settings: PoolSettings = {
  target: 100,
  low: 20,
  max: 150,
  batch: 10,
  checkMs: 10_000,
  maxAgeMs: 86_400_000,
  onEmpty: 'interactive',
  primes: 0,
};
const linked = new Set(['node-1', 'node-2', 'node-3', 'node-4', 'node-5']);

/** Node 1 of 4-of-5 with a pool of this level. */
async function setup({
  edit = {},
  available = 0,
  totals = async () => ({ used: 7, failed: 2, last_hour: 3 }),
}: {
  edit?: Partial<PoolSettings>;
  available?: number;
  totals?: () => Promise<{ used: number; failed: number; last_hour: number }>;
} = {}) {
  let now = 0;
  const choices: { signers: string[]; ids: Uint8Array[] }[] = [];
  const promised: number[] = [];
  const pool = {
    counters: { available, in_use: 1, used: 4, failed: 1 },
    levels: () => [{ signers: ['node-1', 'node-2', 'node-3', 'node-9'], ready: available }],
    add: () => Promise.resolve(),
    expire: (time: number) => Promise.resolve(time),
    choose: () => choices.shift(),
    promise: (ids: readonly Uint8Array[]) => promised.push(ids.length),
  } as unknown as PresignaturePool;
  const records = { operations: { presignatureTotals: totals } } as unknown as WalletContext['records'];
  const pools = new Pools({
    settings: { ...settings, ...edit },
    records,
    clock: () => now,
    openPool: () => Promise.resolve(pool),
  } as unknown as ConstructorParameters<typeof Pools>[0]);
  await pools.open({ protocol: 'cggmp24', walletId: 'w', share: { t: 4, n: 5, epoch: 0 } } as WalletKey);
  return { pools, choices, promised, later: (ms: number) => (now += ms) };
}

test.each([
  [16, true, false, 13],
  [15, false, false, 13],
  [8, false, false, 7],
  [7, false, true, 6],
  [80, true, false, 67],
])(
  'level %i of a node with a part in four fifths of the pool: healthy %s, critical %s, %i %% full',
  async (available, healthy, critical, percent) => {
    const { pools } = await setup({ available });
    expect(await pools.status('w', linked)).toMatchObject({
      available,
      target: 100,
      low: 20,
      max_size: 150,
      is_healthy: healthy,
      is_critical: critical,
      utilization_percent: percent,
      sets: [{ ready: available, blocked: true }],
    });
  },
);

test('totals come from the records: what is here and what has gone is what was made', async () => {
  const { pools, later } = await setup({ available: 30 });
  for (let k = 0; k < 6; k++) await pools.add('w', {} as never);
  expect(await pools.expire('w', 5)).toBe(5);
  expect(await pools.status('w', linked)).toMatchObject({
    total_used: 7,
    total_failed: 2,
    total_generated: 30 + 1 + 7 + 2,
    hourly_usage: 3,
    generation_rate: 0.1,
    expired: 5,
    used: 4,
  });
  later(3_600_001);
  expect(await pools.status('w', linked)).toMatchObject({ generation_rate: 0 });
});

test('without the database the level is told all the same', async () => {
  const { pools } = await setup({ available: 3, totals: () => Promise.reject(new Unavailable('postgres', 'down', 'wait')) });
  expect(await pools.status('w', linked)).toMatchObject({ available: 3, total_used: null, hourly_usage: null, total_generated: null });
});

test('a pool that is switched off says so, and is no cause for alarm', async () => {
  const { pools } = await setup({ edit: { target: 0, low: 0 } });
  expect(await pools.status('w', linked)).toMatchObject({ enabled: false, is_healthy: true, is_critical: false });
});

const choice = { signers: ['node-1'], ids: [new Uint8Array(32), new Uint8Array(32)] };

test('a payment that finds nothing signs without, at once; it is counted', async () => {
  const { pools, promised } = await setup();
  pools.generating.add('w');
  expect(await pools.choose('w', () => linked, 2)).toBeUndefined();
  expect([promised, (await pools.status('w', linked)).empty]).toEqual([[], 1]);
});

test('where it may wait, it takes what is made meanwhile, and promises it to the payment', async () => {
  const { pools, choices, promised } = await setup({ edit: { onEmpty: 'wait' } });
  pools.generating.add('w');
  const chosen = pools.choose('w', () => linked, 2);
  choices.push(choice);
  expect(await chosen).toBe(choice);
  expect([promised, (await pools.status('w', linked)).empty]).toEqual([[2], 0]);
});

test('where it may wait, it does not when nothing is being made', async () => {
  const { pools } = await setup({ edit: { onEmpty: 'wait' } });
  expect(await pools.choose('w', () => linked, 2)).toBeUndefined();
});
