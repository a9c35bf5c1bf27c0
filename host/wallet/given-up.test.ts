import { expect, test } from 'vitest';
import { GIVE_UP_MS, GivenUp } from './given-up.ts';

test('a plan is refused at once for who brought it and for new members; for others, who may be about to leave, after a minute', () => {
  let now = 5;
  const given = new GivenUp(() => now);
  given.brought('a', 'node-1');
  given.brought('a', 'node-2');
  const ask = (from: string, sid = 'a') => given.mayAsk(sid, from, ['node-4']);
  expect(['node-1', 'node-2', 'node-3', 'node-4'].map((from) => ask(from))).toEqual([true, false, false, true]);
  now += GIVE_UP_MS - 1;
  expect(ask('node-3')).toBe(false);
  now++;
  expect([ask('node-3'), ask('node-1', 'b')]).toEqual([true, false]);
});

test('a node gets eight refusals in an hour, so that made-up tries displace no true one', () => {
  let now = 0;
  const given = new GivenUp(() => now);
  const granted = (from: string, times: number) => Array.from({ length: times }, () => given.grant(from)).filter(Boolean).length;
  expect([granted('node-1', 20), granted('node-2', 3)]).toEqual([8, 3]);
  now = 60 * 60_000 - 1;
  expect(granted('node-1', 1)).toBe(0);
  now++;
  expect(granted('node-1', 20)).toBe(8);
});
