import { describe, expect, test } from 'vitest';
import { Unavailable } from '../base/errors.ts';
import type { AddressCounterRow } from '../storage/records/addresses.ts';
import type { Records } from '../storage/records/index.ts';
import { AddressBook, MAX_ADDRESSES, MAX_AHEAD, MAX_HOURLY } from './address-book.ts';

async function bookOf(rows: readonly AddressCounterRow[] = []) {
  const world = { now: 0, down: false, raised: [] as (AddressCounterRow & { by: string })[] };
  const addresses = {
    list: () => Promise.resolve(rows),
    raise: async (row: AddressCounterRow, by: string) => {
      if (world.down) throw new Unavailable('postgres', 'down', 'start it');
      world.raised.push({ ...row, by });
    },
  };
  const book = await AddressBook.open({ records: { addresses } as unknown as Records, clock: () => world.now });
  const wish = (account: number, index: number, from = 'node-2', fresh = true) => book.receive('wallet', { account, index, fresh }, from);
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
    const { book, world, wish } = await bookOf([{ wallet_id: 'wallet', account: 9, chain: 0, next: MAX_ADDRESSES - 3_500 }]);
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
    // Change is part of payments that are approved anyway: neither the hour nor the wallet's number stops it.
    expect(await book.change('wallet', 5, MAX_AHEAD, 'node-2')).toBe(true);
    expect(await book.change('wallet', 5, 2 * MAX_AHEAD + 2, 'node-2')).toBe(false);
    expect(await book.change('wallet', 5, 0, 'node-2')).toBe(true);
    expect(book.next('wallet', 5, 1)).toBe(MAX_AHEAD + 1);
  });

  test('catches up only forwards, and not beyond what a wallet may have', async () => {
    const { book, wish } = await bookOf([{ wallet_id: 'wallet', account: 1, chain: 0, next: 3 }]);
    const claim = (account: number, chain: number, next: number) => book.catchUp('wallet', [{ account, chain, next }], 'node-1');
    await claim(1, 0, 2);
    await claim(1, 0, 50);
    await claim(2, 1, 7);
    await claim(3, 0, MAX_ADDRESSES);
    expect(book.counters('wallet')).toEqual([
      { account: 1, chain: 0, next: 50 },
      { account: 2, chain: 1, next: 7 },
    ]);
    expect(await wish(1, 49)).toBe('taken');
  });
});
