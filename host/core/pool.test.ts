/** The core as the rest of the program uses it: over worker threads (the compiled ones: `npm test` builds first). */
import { modPow } from 'bigint-crypto-utils';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Unavailable } from '../base/errors.ts';
import { commit, createCore, decrypt, encrypt, modN, modN2, power, powerPublic, coprime, type Operation } from './index.ts';
import { Pool } from './pool.ts';
import { plan } from './plan.ts';
import { evaluateReference } from './reference.ts';
import { chooseKernel } from './self-test.ts';

const n = (1n << 1023n) + 1155n;
const heavy = (): Operation => power((1n << 6143n) | 1n, [3n, 1n << 1500n]);

describe('the core', () => {
  let core: Awaited<ReturnType<typeof createCore>>;
  beforeAll(async () => {
    core = await createCore({ threads: 2 });
  });
  afterAll(() => core.close());

  it('returns a batch in order, whatever runs where', async () => {
    const operations = Array.from({ length: 40 }, (_, i) => {
      switch (i % 4) {
        case 0:
          return power(n, [BigInt(i + 2), 1n << 255n]);
        case 1:
          return commit({ n, s: 4n, t: 25n }, BigInt(i), -BigInt(i));
        case 2:
          return encrypt({ n }, BigInt(-i), 7n);
        default:
          return powerPublic(modN2({ n }), [BigInt(i), 12345n]);
      }
    });
    expect(await core.run(operations)).toEqual(operations.map(evaluateReference));
    expect(await core.run([])).toEqual([]);
  });

  it('runs a batch of one, and many batches at once at both priorities', async () => {
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, i) => core.run([power(n, [3n, BigInt(i)])], { priority: i % 2 === 0 ? 'signing' : 'refill' })),
    );
    expect(results.flat()).toEqual(Array.from({ length: 12 }, (_, i) => modPow(3n, i, n)));
  });

  it('refuses what it cannot compute, naming it', async () => {
    const cases: [Operation, string][] = [
      [power(n + 1n, [3n, 5n]), 'the modulus must be odd'],
      [power(-n, [3n, 5n]), 'the modulus must be odd and positive'],
      [power((1n << 400n) | 1n, [3n, 5n]), 'the modulus has 401 bits; the core takes 512 to 6144'],
      [power((1n << 6144n) | 1n, [3n, 5n]), 'the modulus has 6145 bits'],
      [power(n), 'power takes 1 to 16 terms, got 0'],
      [power(n, ...Array.from({ length: 17 }, () => [1n, 1n] as const)), 'got 17'],
      [encrypt({ n: (1n << 3500n) | 1n }, 1n, 1n), 'N has 3501 bits; the core computes modulo N² up to 3072 bits of N'],
      [decrypt({ n: n + 1n, p: 3n, q: 5n }, 1n), 'N must be odd'],
      [decrypt({ n, p: 3n, q: n / 3n }, 1n), 'a factor of a key has 2 bits; the core takes 256 to 3072'],
      [power(modN({ n: (2n ** 521n - 1n) * (2n ** 4253n - 1n), p: 2n ** 521n - 1n, q: 2n ** 4253n - 1n }), [3n, 5n]), 'has 4253 bits'],
      [commit({ n: 15n, s: 1n, t: 1n }, 1n, 1n), 'N̂ has 4 bits'],
      [coprime(10n, [3n]), 'n must be odd'],
    ];
    for (const [operation, text] of cases) {
      const error = await core.run([power(n, [2n, 2n]), operation]).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toContain(text);
    }
    // Found out by the worker.
    const three = n * 3n;
    await expect(core.run([power(three, [3n, -1n])])).rejects.toThrow(RangeError);
    await expect(core.run([power(three, [3n, -1n])])).rejects.toThrow('a base that is a unit');
    // And the core goes on.
    expect(await core.run([power(n, [2n, 10n])])).toEqual([1024n]);
  });

  it('stops waiting when the signal says so, with its reason', async () => {
    await expect(core.run([power(n, [2n, 10n])], { signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late');
    const controller = new AbortController();
    const work = core.run(Array.from({ length: 12 }, heavy), { signal: controller.signal });
    const kept = core.run([power(n, [2n, 11n])]);
    controller.abort(new Error('no longer wanted'));
    await expect(work).rejects.toThrow('no longer wanted');
    expect(await kept).toEqual([2048n]);
  });

  it('survives the death of its workers', async () => {
    const work = core.run(Array.from({ length: 6 }, heavy));
    await Promise.all(core.pool.workers.map((worker) => worker.terminate()));
    const expected = evaluateReference(heavy());
    expect(await work).toEqual(Array.from({ length: 6 }, () => expected));
    expect(await core.run([power(n, [2n, 12n])])).toEqual([4096n]);
  });

  it('refuses a number of threads without meaning, and work after its end', async () => {
    await expect(createCore({ threads: 0 })).rejects.toThrow('threads must be an integer from 1 to 256');
    const closed = await createCore({ threads: 1, kernel: 'extmul' });
    expect(closed.kernel).toBe('extmul');
    expect(await closed.run([power(n, [2n, 10n])])).toEqual([1024n]);
    const pending = closed.run(Array.from({ length: 4 }, heavy));
    const outcome = expect(pending).rejects.toThrow('the arithmetic core is closed');
    await closed.close();
    await outcome;
    await expect(closed.run([power(n, [2n, 10n])])).rejects.toThrow('the arithmetic core is closed');
  });
});

describe('the choice of the kernel', () => {
  it('is the fast one, unless its multiply-add rounds twice: then the fallback', () => {
    const script = `
      import { createCore, power } from ${JSON.stringify(pathToFileURL(resolve('dist/host/core/index.js')).href)};
      const core = await createCore({ threads: 1 });
      console.log(core.kernel, (await core.run([power(2n ** 521n - 1n, [3n, 2n ** 521n - 2n])]))[0]);
      await core.close();`;
    const kernel = (...flags: string[]): string =>
      execFileSync(process.execPath, [...flags, '--input-type=module', '--eval', script], { encoding: 'utf8' }).trim();
    // x64 processors older than 2013 have none, and nor have some virtual machines.
    expect(['fma 1n', 'extmul 1n']).toContain(kernel());
    // Elsewhere than on x64 the engine always has a fused multiply-add, and the flag changes nothing.
    expect(kernel('--no-enable-fma3')).toBe(process.arch === 'x64' ? 'extmul 1n' : 'fma 1n');
  });
});

describe('the queue', () => {
  it('lets signing work pass all waiting refill work, and that what was asked for idle times', async () => {
    const pool = new Pool(chooseKernel().module, { threads: 1, timeout: 60_000 });
    const order: string[] = [];
    const note = (name: string) => (): void => void order.push(name);
    const refill = Array.from({ length: 5 }, (_, i) => pool.run([heavy()], 'refill').then(note(`refill ${i}`)));
    const idle = pool.run([power(n, [3n, 5n])], 'idle').then(note('idle'));
    const later = pool.run([heavy()], 'refill').then(note('refill 5'));
    const signing = pool.run([power(n, [3n, 5n])], 'signing').then(note('signing'));
    await Promise.all([...refill, idle, later, signing]);
    // One refill task was already running.
    expect(order).toEqual(['refill 0', 'signing', 'refill 1', 'refill 2', 'refill 3', 'refill 4', 'refill 5', 'idle']);
    await pool.close();
  });

  it('replaces a worker that hangs, and says so when that does not help', async () => {
    const pool = new Pool(chooseKernel().module, { threads: 1, timeout: 1 });
    const error = await pool.run(Array.from({ length: 8 }, heavy), 'signing').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Unavailable);
    await pool.close();
  });
});

describe('the plan', () => {
  it('keeps every operation once, in tasks of bounded cost, pairs of a shape together', () => {
    const operations = Array.from({ length: 21 }, (_, i) => (i % 3 === 0 ? heavy() : power(n, [3n, BigInt(i)])));
    const tasks = plan(operations, 2, 2);
    expect(tasks.flatMap(({ indices }) => indices).sort((a, b) => a - b)).toEqual(operations.map((_, i) => i));
    for (const { indices, operations: part } of tasks) {
      expect(part).toEqual(indices.map((i) => operations[i]));
      const heavyOnes = indices.filter((i) => i % 3 === 0).length;
      expect(heavyOnes).toBeLessThanOrEqual(2);
    }
    expect(tasks.filter(({ indices }) => indices.filter((i) => i % 3 === 0).length === 2)).toHaveLength(3);
  });

  it('gives each operation a worker of its own while there are enough', () => {
    expect(plan([heavy(), heavy()], 4, 4)).toHaveLength(2);
    expect(plan([heavy(), heavy()], 4, 1)).toHaveLength(1);
  });
});
