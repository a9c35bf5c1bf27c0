/** The stock of safe primes: filled in quiet, each prime given once, lost rather than given twice. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../base/random.ts';
import { testParameters } from '../proofs/parameters.ts';
import type { EntryKind, Vault } from '../storage/vault.ts';
import type { PrimeSearcher } from './context.ts';
import { PrimeStock } from './prime-stock.ts';

/** A vault in memory that notes the order of what is done to it. */
function memory() {
  const entries = new Map<string, Uint8Array>();
  const done: string[] = [];
  const vault = {
    put: async (kind: EntryKind, id: string, content: Uint8Array) => {
      done.push(`put ${kind}`);
      entries.set(id, content.slice());
    },
    get: async (_kind: EntryKind, id: string) => entries.get(id)?.slice(),
    delete: async (kind: EntryKind, id: string) => {
      done.push(`delete ${kind}`);
      return entries.delete(id);
    },
    list: async () => [...entries.keys()].sort(),
  } as unknown as Vault;
  return { vault, entries, done };
}

const prime = (k: number): bigint => (1n << BigInt(testParameters.primeBits - 1)) + BigInt(k);

function setup(options: { target?: number; used?: bigint[] } = {}) {
  const { vault, entries, done } = memory();
  const state = { busy: false, now: 0, searched: [] as (string | undefined)[] };
  let count = 0;
  const primes: PrimeSearcher = {
    next: async ({ priority, signal } = {}) => {
      signal?.throwIfAborted();
      state.searched.push(priority);
      return prime(++count);
    },
  };
  const log = vi.fn();
  const logger = { debug: log, info: log, warn: log, error: log };
  const stock = new PrimeStock({
    context: { self: 'node-1', vault, parameters: testParameters, random: systemRandom, clock: () => state.now, logger, primes },
    target: options.target ?? 2,
    busy: () => state.busy,
    used: () => options.used ?? [],
    quietMs: 1000,
    checkMs: 10,
  });
  return { stock, state, entries, done, log };
}

describe('the stock of primes', () => {
  afterEach(() => vi.useRealTimers());

  it('fills up to its target while nothing else runs, at idle priority, and not before there was quiet', async () => {
    vi.useFakeTimers();
    const { stock, state } = setup();
    stock.start();
    await vi.advanceTimersByTimeAsync(50);
    expect(await stock.ready()).toBe(0);
    state.now = 900;
    state.busy = true;
    await vi.advanceTimersByTimeAsync(50);
    state.busy = false;
    state.now = 1500;
    await vi.advanceTimersByTimeAsync(50);
    expect(await stock.ready()).toBe(0);
    state.now = 2000;
    await vi.advanceTimersByTimeAsync(200);
    expect(await stock.ready()).toBe(2);
    expect(state.searched).toEqual(['idle', 'idle']);
    await stock.stop();
  });

  it('gives each prime once, deleted before it is given, and searches what is missing', async () => {
    vi.useFakeTimers();
    const { stock, state, entries, done } = setup();
    stock.start();
    state.now = 5000;
    await vi.advanceTimersByTimeAsync(200);
    await stock.stop();
    const taken = await Promise.all([stock.next(), stock.next(), stock.next()]);
    expect(new Set(taken)).toEqual(new Set([prime(1), prime(2), prime(3)]));
    expect(entries.size).toBe(0);
    expect(done).toEqual(['put safe-prime', 'put safe-prime', 'delete safe-prime', 'delete safe-prime']);
    expect(state.searched).toEqual(['idle', 'idle', undefined]);
  });

  it('gives nothing that it could not delete', async () => {
    vi.useFakeTimers();
    const { stock, state, entries } = setup({ target: 1 });
    stock.start();
    state.now = 5000;
    await vi.advanceTimersByTimeAsync(100);
    await stock.stop();
    const [id] = entries.keys();
    const failing = vi.spyOn(entries, 'delete').mockImplementation(() => {
      throw new Error('the disk is full');
    });
    await expect(stock.next()).rejects.toThrow('the disk is full');
    failing.mockRestore();
    expect(entries.has(id!)).toBe(true);
    expect(await stock.next()).toBe(prime(1));
  });

  it('throws away what is in an own modulus already', async () => {
    vi.useFakeTimers();
    const { stock, state, log } = setup({ target: 1, used: [prime(1)] });
    stock.start();
    state.now = 5000;
    await vi.advanceTimersByTimeAsync(100);
    await stock.stop();
    expect(await stock.next()).toBe(prime(2));
    expect(log.mock.calls.flat().join()).toContain('prime of an own modulus');
  });

  it('stops at once, and makes none when its target is 0', async () => {
    vi.useFakeTimers();
    const { stock, state } = setup({ target: 0 });
    stock.start();
    state.now = 5000;
    await vi.advanceTimersByTimeAsync(100);
    expect(state.searched).toEqual([]);
    await stock.stop();
  });
});
