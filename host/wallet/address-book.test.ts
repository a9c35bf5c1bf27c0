import { describe, expect, test } from 'vitest';
import { Unavailable } from '../base/errors.ts';
import type { AddressCounterRow } from '../storage/records/addresses.ts';
import type { Records } from '../storage/records/index.ts';
import { AddressBook, MAX_ADDRESSES, MAX_AHEAD, MAX_CHANGE, MAX_HOURLY, shareOf } from './address-book.ts';
import { believed } from './addresses.ts';
import type { Logger } from './context.ts';

async function bookOf(
  rows: readonly AddressCounterRow[] = [],
  takers: readonly { wallet_id: string; asked_by: string; taken: number }[] = [],
) {
  const errors: object[] = [];
  const logger = { error: (fields: object) => void errors.push(fields) } as unknown as Logger;
  const world = { errors, now: 0, down: false, raised: [] as (AddressCounterRow & { by: string })[] };
  const addresses = {
    list: () => Promise.resolve(rows),
    takers: () => Promise.resolve(takers),
    raise: async (row: AddressCounterRow, by: string) => {
      if (world.down) throw new Unavailable('postgres', 'down', 'start it');
      world.raised.push({ ...row, by });
    },
  };
  const book = await AddressBook.open({ records: { addresses } as unknown as Records, clock: () => world.now, logger });
  const wish = (account: number, index: number, from = 'node-2', fresh = true, share?: number) =>
    book.receive('wallet', { account, index, fresh }, from, share);
  return { book, world, wish };
}

describe('the book of addresses', () => {
  test('gives an index once, notes it before it says so, and for the wish to look at it does nothing twice', async () => {
    const { book, world, wish } = await bookOf();
    expect(await Promise.all([wish(1, 0), wish(1, 0), wish(1, 1)])).toEqual(['accepted', 'taken', 'accepted']);
    expect(world.raised.map(({ next, by }) => [next, by])).toEqual([[1, 'node-2'], [2, 'node-2']]); // prettier-ignore
    expect([await wish(1, 1, 'node-3', false), await wish(1, 4, 'node-3', false)]).toEqual(['accepted', 'accepted']);
    expect(world.raised).toHaveLength(3);
    expect(book.paths('wallet')).toEqual([0, 1, 2, 3, 4].map((index) => [1, 0, index]));
    expect(book.paths('another')).toEqual([]);
  });

  test('of a node whose database is down stays where it is', async () => {
    const { book, world, wish } = await bookOf([{ wallet_id: 'wallet', account: 1, chain: 0, next: 3 }]);
    world.down = true;
    await expect(wish(1, 3)).rejects.toBeInstanceOf(Unavailable);
    expect(book.next('wallet', 1, 0)).toBe(3);
    world.down = false;
    expect(await wish(1, 3)).toBe('accepted');
  });

  test('bounds how far ahead, how many in an hour for one node, and how many for a wallet', async () => {
    const { world, wish } = await bookOf([{ wallet_id: 'wallet', account: 9, chain: 0, next: MAX_ADDRESSES - 3_500 }]);
    expect(await wish(1, MAX_AHEAD + 1)).toBe('ahead');
    expect(await wish(1, MAX_AHEAD)).toBe('accepted');
    expect(await wish(2, MAX_HOURLY - MAX_AHEAD - 1)).toBe('often');
    expect(await wish(2, MAX_HOURLY - MAX_AHEAD - 2)).toBe('accepted');
    expect(await wish(3, 0)).toBe('often');
    // What one has used up is not the others'.
    expect(await wish(3, 0, 'node-3')).toBe('accepted');
    world.now = 60 * 60_000 + 1;
    expect(await wish(3, 1)).toBe('accepted');
    expect(await wish(4, MAX_AHEAD)).toBe('accepted');
    expect(await wish(5, MAX_AHEAD, 'node-3')).toBe('many');
  });

  test('bounds change by what one node has taken for payments that were not made, however it skips', async () => {
    const { book, world } = await bookOf();
    const change = (index: number, from = 'node-2') => book.change('wallet', { account: 5, index }, from);
    expect(await change(MAX_AHEAD + 1)).toBe('ahead');
    expect(await change(MAX_AHEAD)).toBe('accepted');
    expect(await change(0)).toBe('accepted');
    expect(await change(MAX_HOURLY)).toBe('often');
    expect(await change(MAX_HOURLY - 1)).toBe('accepted');
    expect(await change(MAX_HOURLY)).toBe('often');
    expect(book.next('wallet', 5, 1)).toBe(MAX_HOURLY);
    // Nobody else pays for it, and a payment that is signed gives back what it took.
    expect(await change(MAX_HOURLY, 'node-3')).toBe('accepted');
    await book.paid('wallet', { account: 5, index: MAX_HOURLY - 1 }, 'node-2');
    expect(await change(MAX_HOURLY + 1)).toBe('accepted');
    expect(world.raised.at(-1)).toMatchObject({ chain: 1, next: MAX_HOURLY + 2, by: 'node-2' });
  });

  test('looks at the change of a payment that is signed, approved here or not', async () => {
    const { book, world } = await bookOf();
    await book.paid('wallet', { account: 5, index: 3 }, 'node-2');
    await book.paid('wallet', { account: 5, index: 1 }, 'node-2');
    expect(world.raised).toEqual([{ wallet_id: 'wallet', account: 5, chain: 1, next: 4, by: 'node-2' }]);
    expect(book.paths('wallet')).toHaveLength(4);
  });

  test('catches up only forwards, and not beyond what a wallet may have', async () => {
    const { book, world, wish } = await bookOf([{ wallet_id: 'wallet', account: 1, chain: 0, next: 3 }]);
    const claim = (account: number, chain: number, next: number, proven = true) =>
      book.catchUp('wallet', [{ account, chain, next }], proven);
    await claim(1, 0, 2);
    await claim(1, 0, 50);
    await claim(2, 1, 7);
    await claim(3, 0, MAX_ADDRESSES);
    await claim(4, 1, MAX_CHANGE);
    // There are as many change addresses as there were payments; but the word of one node, where one may lie, is not enough for that.
    await claim(4, 1, MAX_ADDRESSES, false);
    await claim(5, 1, 3 * MAX_ADDRESSES);
    expect(book.counters('wallet')).toEqual([
      { account: 1, chain: 0, next: 50 },
      { account: 2, chain: 1, next: 7 },
      { account: 5, chain: 1, next: 3 * MAX_ADDRESSES },
    ]);
    expect(await wish(1, 49)).toBe('taken');
    expect(new Set(world.raised.map(({ by }) => by))).toEqual(new Set(['-']));
  });

  test('gives no node more than its share, also after a restart, so that one that takes all it can leaves the others theirs', async () => {
    const share = shareOf(5);
    expect([share, shareOf(3), shareOf(16)]).toEqual([6_666, 10_000, 2_857]);
    const rows = [{ wallet_id: 'wallet', account: 1, chain: 0, next: 6_600 }];
    const { wish } = await bookOf(rows, [
      { wallet_id: 'wallet', asked_by: 'node-2', taken: 6_600 },
      { wallet_id: 'another', asked_by: 'node-3', taken: 20_000 },
    ]);
    expect(await wish(2, 65, 'node-2', true, share)).toBe('accepted');
    expect(await wish(2, 66, 'node-2', true, share)).toBe('often');
    expect(await wish(2, 66, 'node-3', true, share)).toBe('accepted');
    expect(await wish(3, 999, 'node-3', true, share)).toBe('accepted');
  });

  test('does not believe a database that has more than a wallet may have', async () => {
    const { book, world } = await bookOf([
      { wallet_id: 'wallet', account: 1, chain: 0, next: 5 },
      { wallet_id: 'wallet', account: 2, chain: 0, next: 2 ** 31 },
      { wallet_id: 'wallet', account: 3, chain: 0, next: 4 },
      { wallet_id: 'wallet', account: 3, chain: 1, next: 7 },
      { wallet_id: 'other', account: 3, chain: 0, next: 4 },
    ]);
    expect(book.paths('wallet')).toHaveLength(MAX_ADDRESSES + 7);
    expect(book.paths('other')).toHaveLength(4);
    expect(world.errors).toHaveLength(2);
  });
});

describe('claims about the addresses in use', () => {
  const names = (n: number) => Array.from({ length: n }, (_, i) => `node-${i + 1}`);
  const claimed = (...nexts: (number | undefined)[]) =>
    new Map(nexts.map((next, i) => [`node-${i + 2}`, next === undefined ? undefined : [{ account: 1, chain: 0, next }]]));
  const nextsOf = (counters: readonly { next: number }[]) => counters.map(({ next }) => next);

  test('are believed when one of those who make them, or claim more, must be honest', () => {
    // n = 5, f = 1
    expect(nextsOf(believed(claimed(9_000, 5, 4, undefined), names(5), names(5)))).toEqual([5]);
    expect(nextsOf(believed(claimed(9_000, undefined, undefined, undefined), names(5), names(5)))).toEqual([]);
    // Three of seven hold the key, and f = 2 of seven: the two others are all that can be asked.
    expect(nextsOf(believed(claimed(5, 5), names(7), names(3)))).toContain(5);
    // What the three who gave the key to others know, none of whom has it now.
    expect(nextsOf(believed(claimed(5, undefined, undefined), names(7), ['node-1', 'node-6', 'node-7']))).toEqual([]);
    expect(
      nextsOf(believed(claimed(5, undefined, undefined), names(7), ['node-1', 'node-6', 'node-7'], ['node-2', 'node-3', 'node-4'])),
    ).toEqual([5]);
    // Two of three in a cluster of five: f = 1 as before.
    expect(nextsOf(believed(claimed(9_000, 5), names(5), names(3)))).toEqual([5]);
  });
});
