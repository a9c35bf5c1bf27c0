import { expect, test } from 'vitest';
import { Gathered } from './gathered.ts';

const ok = <R>(value: R): PromiseSettledResult<R> => ({ status: 'fulfilled', value });

/** A writer that finishes a batch when told to. */
function slow() {
  const batches: { items: readonly number[]; end: (results: PromiseSettledResult<number>[] | Error) => void }[] = [];
  const gathered = new Gathered<number, number>(
    (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items, end: (results) => (results instanceof Error ? reject(results) : resolve(results)) });
      }),
    3,
  );
  return { batches, gathered };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('an idle one writes at once, what comes meanwhile goes together, in order and up to the limit', async () => {
  const { batches, gathered } = slow();
  const first = gathered.add(1);
  await turn();
  const results = Promise.all([first, ...[2, 3, 4, 5, 6].map((n) => gathered.add(n))]);
  for (let i = 0; i < 3; i++) {
    await turn();
    expect(batches).toHaveLength(i + 1);
    batches[i]!.end(batches[i]!.items.map((n) => ok(10 * n)));
  }
  expect(batches.map(({ items }) => items)).toEqual([[1], [2, 3, 4], [5, 6]]);
  expect(await results).toEqual([10, 20, 30, 40, 50, 60]);
});

test('what is added in one go is one write', async () => {
  const { batches, gathered } = slow();
  const results = Promise.all([1, 2, 3].map((n) => gathered.add(n)));
  await turn();
  expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3]]);
  batches[0]!.end([1, 2, 3].map((n) => ok(n)));
  expect(await results).toEqual([1, 2, 3]);
});

test('each hears of its own failure; a write that fails as a whole fails for those in it, and the next goes on', async () => {
  const { batches, gathered } = slow();
  const first = gathered.add(1);
  await turn();
  const settled = Promise.allSettled([first, ...[2, 3, 4, 5].map((n) => gathered.add(n))]);
  batches[0]!.end(new Error('down'));
  await turn();
  batches[1]!.end([ok(20), { status: 'rejected', reason: new Error('not this one') }, ok(40)]);
  await turn();
  batches[2]!.end([ok(50)]);
  expect((await settled).map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).message))).toEqual([
    'down', 20, 'not this one', 40, 50,
  ]); // prettier-ignore
  const later = gathered.add(6);
  await turn();
  batches[3]!.end([ok(60)]);
  expect(await later).toBe(60);
});
