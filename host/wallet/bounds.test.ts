/** What peers can make this node remember is bounded, and forgotten again. */
import { describe, expect, test } from 'vitest';
import type { Vote } from '../consensus/vote.ts';
import { Allowance } from './allowance.ts';
import { EarlyEnds } from './early-ends.ts';
import { EarlyVotes } from './early-votes.ts';
import type { WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { Openings } from './openings.ts';
import { PendingPayments, type Pending } from './pending.ts';
import type { Pools } from './pools.ts';
import { inTurn } from './turns.ts';

const id = (i: number) => Uint8Array.from({ length: 32 }, (_, k) => (k === 0 ? i & 255 : k === 1 ? i >> 8 : 0));
const pending = (i: number, proposer = 'node-1') => ({ id: id(i), txId: `payment ${i}`, proposal: { proposer } }) as unknown as Pending;

describe('votes that overtake their proposal', () => {
  test('wait for it, with who told them, and are given out once', () => {
    const early = new EarlyVotes();
    early.keep('node-2', id(1), Uint8Array.of(2));
    early.keep('node-3', id(1), Uint8Array.of(3));
    early.keep('node-3', id(2), Uint8Array.of(4));
    expect(early.take(id(1))).toEqual([
      { from: 'node-2', encoded: Uint8Array.of(2) },
      { from: 'node-3', encoded: Uint8Array.of(3) },
    ]);
    expect(early.take(id(1))).toEqual([]);
    expect(early.take(id(2))).toHaveLength(1);
  });

  test('of a node that floods displace its own, nobody else’s', () => {
    const early = new EarlyVotes();
    early.keep('node-2', id(7), Uint8Array.of(1));
    for (let i = 0; i < 1000; i++) early.keep('node-3', id(i), Uint8Array.of(1));
    expect(early.take(id(7))).toEqual([{ from: 'node-2', encoded: Uint8Array.of(1) }]);
    expect(early.take(id(935))).toEqual([]);
    expect(early.take(id(936))).toHaveLength(1);
  });
});

describe('pending payments', () => {
  test('of one proposer are bounded, and leave room for those of others', () => {
    const all = new PendingPayments();
    for (let i = 0; i < 64; i++) all.add(pending(i));
    expect([all.fullFor('node-1', 0), all.fullFor('node-2', 0)]).toEqual([true, false]);
    all.remove(id(0));
    // What waits to be judged counts too.
    expect([all.fullFor('node-1', 0), all.fullFor('node-1', 1), all.fullFor('node-2', 64)]).toEqual([false, true, true]);
  });

  test('that have ended are still known to late votes, the last 128 of them', () => {
    const all = new PendingPayments();
    for (let i = 0; i < 200; i++) {
      all.add(pending(i));
      all.remove(id(i));
    }
    expect([all.get(id(199)), all.known(id(199))?.txId, all.known(id(72))?.txId, all.known(id(71))]).toEqual([
      undefined,
      'payment 199',
      'payment 72',
      undefined,
    ]);
    expect(all.has('payment 199')).toBe(false);
  });

  test('wake who waits for them when something moves, and when the time is over', async () => {
    const all = new PendingPayments();
    const order: string[] = [];
    const moved = all.next(id(1), 60_000).then(() => order.push('moved'));
    const over = all.next(id(2), 1).then(() => order.push('over'));
    await over;
    all.changed(id(1));
    await moved;
    expect(order).toEqual(['over', 'moved']);
  });
});

test('what a node may have of something in an hour is its own, and comes back', () => {
  let now = 0;
  const allowance = new Allowance(10, () => now);
  allowance.spend('node-1', 9);
  now = 30 * 60_000;
  allowance.spend('node-1', 20);
  expect([allowance.has('node-1'), allowance.has('node-2')]).toEqual([false, true]);
  now = 60 * 60_000 + 1;
  expect(allowance.has('node-1')).toBe(false);
  now = 90 * 60_000 + 1;
  expect(allowance.has('node-1')).toBe(true);
});

test('proposals that were given up before they came are known, those of each proposer for itself', () => {
  const ends = new EarlyEnds();
  const notice = (i: number) => ({ proposal: id(i), state: 'rejected' as const, reason: `${i}` });
  ends.keep('node-2', notice(7));
  expect([ends.of('node-2', id(7))?.reason, ends.of('node-3', id(7)), ends.of('node-2', id(8))]).toEqual(['7', undefined, undefined]);
  for (let i = 0; i < 1000; i++) ends.keep('node-3', notice(i));
  expect(ends.of('node-2', id(7))?.reason).toBe('7');
  expect([ends.of('node-3', id(935)), ends.of('node-3', id(936))?.reason]).toEqual([undefined, '936']);
});

test('a node whose payments are refused cannot empty the pool by naming all of it; another hour, and others, are not held to it', async () => {
  let now = 0;
  const discarded: number[] = [];
  const pool = { discard: (ids: readonly Uint8Array[]) => Promise.resolve((discarded.push(ids.length), ids.length)) };
  const context = { self: 'node-2', clock: () => now } as unknown as WalletContext;
  const openings = new Openings(context, { of: () => pool } as unknown as Pools, {} as Ledger);
  const refuse = (proposer: string, nodes: readonly string[] = ['node-1', 'node-2']) =>
    openings.refuse({
      proposer,
      key: { walletId: 'wallet' } as unknown as WalletKey,
      stock: { signers: [0, 1], nodes, presignatures: Array.from({ length: 10 }, (_, i) => id(i)), paths: [] },
    });
  await refuse('node-1', ['node-1', 'node-3']);
  for (let i = 0; i < 10; i++) await refuse('node-1');
  expect(discarded).toEqual([10, 10, 10]);
  await refuse('node-3');
  now = 60 * 60_000 + 1;
  await refuse('node-1');
  expect(discarded).toHaveLength(5);
});

test('a node that opens nothing for a key below the wallet’s is left out of sets for such keys for an hour; for the own key it is not', async () => {
  let now = 0;
  const context = { self: 'node-1', clock: () => now, derivedKeys: 're-randomised' } as unknown as WalletContext;
  const openings = new Openings(context, {} as unknown as Pools, {} as Ledger);
  const vote = (voter: string, extension = new Uint8Array()) => ({ value: 'approve', voter, extension }) as unknown as Vote;
  const heard = (paths: number[][], from: Vote) => {
    const opened = { opening: { state: 'burnt' }, presignatures: [] };
    return openings.heard({ stock: { signers: [0, 1], nodes: ['node-1', 'node-2'], presignatures: [], paths }, opened, accused: new Set() } as unknown as Pending, from); // prettier-ignore
  };
  await heard([[]], vote('node-2'));
  expect(openings.willing('node-2', [[3, 0, 1]])).toBe(true);
  await heard([[], [3, 0, 1]], vote('node-2'));
  expect(openings.willing('node-2', [[3, 0, 1]])).toBe(false);
  expect(openings.willing('node-2', [[]])).toBe(true);
  expect(openings.willing('node-3', [[3, 0, 1]])).toBe(true);
  now = 60 * 60_000 + 1;
  expect(openings.willing('node-2', [[3, 0, 1]])).toBe(true);
  const careful = new Openings({ ...context, derivedKeys: 'conservative' }, {} as unknown as Pools, {} as Ledger);
  expect([careful.willing('node-1', [[3, 0, 1]]), careful.willing('node-1', [[]])]).toEqual([false, true]);
});

describe('turns', () => {
  test('of one name are taken one after the other, of two names side by side; a failure is its own', async () => {
    const turns = new Map<string, Promise<unknown>>();
    const order: string[] = [];
    const step = (name: string, what: string, ms: number) =>
      inTurn(turns, name, async () => {
        order.push(`${what} begins`);
        await new Promise((resolve) => setTimeout(resolve, ms));
        order.push(`${what} ends`);
        if (what === 'first') throw new Error(what);
        return what;
      });
    const all = [step('a', 'first', 20), step('a', 'second', 0), step('b', 'other', 0)];
    const results = await Promise.allSettled(all);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(order.indexOf('second begins')).toBeGreaterThan(order.indexOf('first ends'));
    expect(order.indexOf('other ends')).toBeLessThan(order.indexOf('first ends'));
    expect(turns.size).toBe(0);
  });
});
