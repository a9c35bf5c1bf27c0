/** The search for safe primes: what it finds, from where, and how it ends. 512 bits, the shortest the core searches. */
import { gcd } from 'bigint-crypto-utils';
import { checkPrimeSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bitLength } from '../base/bytes.ts';
import { systemRandom, type Random } from '../base/random.ts';
import { createCore, type Core, type Operation } from './index.ts';
import { instantiate, type KernelName } from './instance.ts';
import { Machine } from './machine.ts';
import { PrimeSearch } from './prime-search.ts';
import { isSafePrime, SafePrimes } from './primes.ts';
import { chooseKernel } from './self-test.ts';

const BITS = 512;
const STEP = 6n;
const WINDOW = 8192n;

const expectSafe = (p: bigint): void => {
  expect(p >> BigInt(BITS - 2)).toBe(3n);
  expect(p % 12n).toBe(11n);
  expect(checkPrimeSync(p)).toBe(true);
  expect(checkPrimeSync((p - 1n) / 2n)).toBe(true);
};

function find(search: PrimeSearch): bigint {
  for (;;) {
    const found = search.slice();
    if (found !== undefined) return found;
  }
}

describe.each(['fma', 'extmul'] as KernelName[])('a search on kernel %s', (kernel) => {
  const machine = new Machine(instantiate(chooseKernel(kernel).module));

  it('finds the first safe prime of its window, and begins anew after it', () => {
    const drawn: Uint8Array[] = [];
    const random: Random = {
      bytes: (length) => {
        const bytes = systemRandom.bytes(length);
        drawn.push(bytes);
        return bytes;
      },
    };
    const search = new PrimeSearch(machine, BITS, random);
    const first = find(search);
    expectSafe(first);
    const used = drawn.length;
    // Where the last window began: the drawn bits below the two top ones, taken up to the next number ≡ 5 mod 6.
    const x = (BigInt(`0x${Buffer.from(drawn.at(-1)!).toString('hex')}`) >> 1n) | (3n << BigInt(BITS - 3));
    const start = x - (x % STEP) + 5n;
    const k = ((first - 1n) / 2n - start) / STEP;
    expect(((first - 1n) / 2n - start) % STEP).toBe(0n);
    expect(k >= 0n && k < WINDOW).toBe(true);
    // No safe prime before it in the window.
    const small = 3234846615n * 3053n * 1763n;
    for (let i = 0n; i < k; i++) {
      const half = start + STEP * i;
      if (gcd(half * (2n * half + 1n), small) !== 1n) continue;
      expect(checkPrimeSync(half) && checkPrimeSync(2n * half + 1n)).toBe(false);
    }
    const second = find(search);
    expectSafe(second);
    expect(drawn.length).toBeGreaterThan(used);
  });

  it('leaves no candidate in linear memory', () => {
    const fresh = new Machine(instantiate(chooseKernel(kernel).module));
    const search = new PrimeSearch(fresh, BITS);
    for (let slice = 0; slice < 3; slice++) search.slice();
    const untouched = new Machine(instantiate(chooseKernel(kernel).module)).residue();
    expect(Buffer.compare(Buffer.from(fresh.residue().subarray(0, untouched.length)), Buffer.from(untouched))).toBe(0);
    expect(
      fresh
        .residue()
        .subarray(untouched.length)
        .every((byte) => byte === 0),
    ).toBe(true);
  });
});

describe('safe primes from the core', () => {
  let core: Awaited<ReturnType<typeof createCore>>;
  beforeAll(async () => {
    core = await createCore({ threads: 2 });
  });
  afterAll(() => core.close());

  it('are safe, of the right length, all different, and spread over the whole range', async () => {
    const source = new SafePrimes(core, BITS, 2);
    const found = await Promise.all(Array.from({ length: 16 }, () => source.next()));
    found.forEach(expectSafe);
    expect(new Set(found).size).toBe(found.length);
    // Uniform between 3/4 and 1 of 2^512: the mean of 16 has a standard deviation of 0.07.
    const places = found.map((p) => Number((p - (3n << BigInt(BITS - 2))) >> BigInt(BITS - 32)) / 2 ** 30);
    const mean = places.reduce((sum, place) => sum + place, 0) / places.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.4);
    expect(bitLength(found[0]! * found[1]!)).toBe(2 * BITS);
  });

  it('are refused for sizes without meaning', async () => {
    for (const bits of [511, 3073, 600.5]) await expect(new SafePrimes(core, bits, 2).next()).rejects.toThrow(RangeError);
  });

  it('are no longer waited for when aborted; who else waits gets what is found', async () => {
    const source = new SafePrimes(core, BITS, 2);
    await expect(source.next({ signal: AbortSignal.abort(new Error('not now')) })).rejects.toThrow('not now');
    const controller = new AbortController();
    const given = source.next({ signal: controller.signal });
    const other = source.next();
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    expectSafe(await other);
    const large = new SafePrimes(core, 3072, 2).next({ signal: AbortSignal.timeout(50) });
    await expect(large).rejects.toThrow('timeout');
  });
});

describe('what a search returns', () => {
  const from = (...values: bigint[]): Core => ({
    kernel: 'reference',
    run: async <const O extends readonly Operation[]>() => [values.shift() ?? 0n] as unknown as { -readonly [K in keyof O]: bigint },
  });
  const composite = 2n ** 512n - 1n;

  it('is checked by other code: composites, primes that are not safe and wrong lengths are dropped', async () => {
    const machine = new Machine(instantiate(chooseKernel().module));
    const p = find(new PrimeSearch(machine, BITS));
    const q = find(new PrimeSearch(machine, BITS));
    const ordinary = 2n ** 512n - 569n;
    expect(checkPrimeSync(ordinary)).toBe(true);
    expect(await isSafePrime(ordinary, BITS)).toBe(false);
    expect(await isSafePrime(p, BITS + 1)).toBe(false);
    expect(await new SafePrimes(from(0n, composite, ordinary, 23n, p * q, p + 12n, p), BITS, 1).next()).toBe(p);
  });

  it('is asked for no more when it fails', async () => {
    const failing: Core = { kernel: 'reference', run: () => Promise.reject(new Error('no worker')) };
    const source = new SafePrimes(failing, BITS, 2);
    const waiting = [source.next(), source.next()];
    await expect(waiting[0]).rejects.toThrow('no worker');
    await expect(waiting[1]).rejects.toThrow('no worker');
  });
});
