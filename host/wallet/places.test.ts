import { expect, test } from 'vitest';
import { Places } from './places.ts';

test('places are never more than there are, and go to those who wait in their order', async () => {
  const places = new Places(2);
  const visitors = Array.from({ length: 5 }, () => places.visitor());
  expect(visitors.map((visitor) => visitor.tryEnter())).toEqual([true, true, false, false, false]);
  expect(visitors[0]!.tryEnter()).toBe(true);
  const entered: number[] = [];
  const waiting = [3, 2].map((i) => visitors[i]!.enter().then(() => entered.push(i)));
  await new Promise(setImmediate);
  expect(entered).toEqual([]);
  visitors[0]!.leave();
  // Who comes now does not overtake who waits.
  expect(visitors[4]!.tryEnter()).toBe(false);
  await waiting[0];
  expect(entered).toEqual([3]);
  visitors[0]!.leave();
  visitors[1]!.leave();
  await waiting[1];
  expect(entered).toEqual([3, 2]);
  for (const i of [2, 3]) visitors[i]!.leave();
  expect([0, 1, 4].map((i) => visitors[i]!.tryEnter())).toEqual([true, true, false]);
});

test('who waits is not without number', async () => {
  const places = new Places(1);
  await places.visitor().enter();
  for (let i = 0; i < 64; i++) void places.visitor().enter();
  await expect(places.visitor().enter()).rejects.toMatchObject({ name: 'Unavailable' });
});
