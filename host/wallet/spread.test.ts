import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { outpoint, type WalletCoin } from '../bitcoin/coins.ts';
import { inOrderOf, NotFree } from './spread.ts';

const COMMITTEE = ['node-1', 'node-2', 'node-3', 'node-4', 'node-5'];
const coins: WalletCoin[] = Array.from({ length: 200 }, (_, i) => ({
  txid: createHash('sha256')
    .update(`coin ${i >> 1}`)
    .digest('hex'),
  vout: i & 1,
  value: BigInt(1_000 * (i % 50)),
  script: new Uint8Array(),
  confirmations: 1,
}));
const names = (some: readonly WalletCoin[]) => some.map(outpoint);

test('every node takes all coins, in an order that depends on nothing but the coins and its place', () => {
  for (const self of COMMITTEE) {
    const order = names(inOrderOf(self, COMMITTEE, coins));
    expect([...order].sort()).toEqual(names(coins).sort());
    expect(names(inOrderOf(self, COMMITTEE, coins.toReversed()))).toEqual(order);
  }
});

test('every coin is in the share of one node, which takes it before the coins of others, and the largest of its own first', () => {
  const firsts = COMMITTEE.map((self) => inOrderOf(self, COMMITTEE, coins));
  // The own share ends where values rise again; 20 is less than the smallest share of these coins.
  const shares = firsts.map((order) =>
    order.slice(
      0,
      order.findIndex(({ value }, i) => i > 0 && value > order[i - 1]!.value),
    ),
  );
  for (const share of shares) expect(share.length).toBeGreaterThan(20);
  const taken = shares.flatMap(names);
  expect(new Set(taken).size).toBe(taken.length);
  // Those who have used up their share do not all go for the same coin.
  const rest = COMMITTEE.slice(1).map((self) => names(inOrderOf(self, COMMITTEE, shares[0]!))[0]);
  expect(new Set(rest).size).toBeGreaterThan(1);
});

test('coins of which somebody may hold a signature are the first of all, everywhere', () => {
  const exposed = new Set([names(coins)[7]!, names(coins)[90]!]);
  for (const self of COMMITTEE) expect(new Set(names(inOrderOf(self, COMMITTEE, coins, exposed)).slice(0, 2))).toEqual(exposed);
});

test('a coin that is not free is one for a while', () => {
  let now = 1_000;
  const notFree = new NotFree(() => now);
  notFree.note(['a', 'b']);
  now += 20_000;
  notFree.note(['b', 'c']);
  expect(['a', 'b', 'c', 'd'].map((coin) => notFree.has(coin))).toEqual([true, true, true, false]);
  now += 15_000;
  expect(['a', 'b', 'c'].map((coin) => notFree.has(coin))).toEqual([false, true, true]);
});
