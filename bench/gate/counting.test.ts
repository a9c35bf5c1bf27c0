import { describe, expect, it } from 'vitest';
import { commit, encrypt, power, powerPublic, type Operation } from '../../host/core/types.ts';
import { instantiate } from '../../host/core/instance.ts';
import { chooseKernel } from '../../host/core/self-test.ts';
import { paillierKey, publicPart, publicSetup, ringPedersenKey } from '../../host/proofs/testing/instances.ts';
import { localCore } from '../local-core.ts';
import { Counter } from './counting.ts';

const key = paillierKey(576, 0);
const setup = ringPedersenKey(576, 2);

async function counted(...operations: Operation[]): Promise<Counter> {
  const counter = new Counter();
  await localCore(counter.wrap).run(operations);
  return counter;
}

describe('the count of operations', () => {
  it('is that of fixed windows for a secret exponent', async () => {
    // 512 bits in windows of 5: 103 windows; a table of 32; the base into the domain and out of the other.
    const { products, work, detail } = await counted(power(key.n, [3n, (1n << 511n) | 1n]));
    expect(detail).toEqual({ 'inverse 1152': 1, 'power 1152/512': 1 });
    const squarings = 102 * 5 + 15;
    const multiplications = 103 + 15 + 2;
    expect(products).toBe(squarings + multiplications);
    expect(work).toBe((1.5 * squarings + 2 * multiplications) * 18 ** 2);
  });

  it('does not depend on the digits of an exponent, secret or public', async () => {
    for (const make of [power, powerPublic]) {
      const sparse = await counted(make(key.n, [3n, 1n << 500n]));
      const dense = await counted(make(key.n, [5n, (1n << 501n) - 1n]));
      expect(dense.work).toBe(sparse.work);
    }
  });

  it('is twice as much for two operations, whether or not they share the lanes', async () => {
    const one = await counted(encrypt(publicPart(key), 5n, 7n));
    const two = await counted(encrypt(publicPart(key), 5n, 7n), encrypt(publicPart(key), 6n, 8n));
    expect(two.detail['power public 1152²/1152']).toBe(2);
    expect(two.products / one.products).toBeGreaterThan(1.9);
    expect(two.products / one.products).toBeLessThan(2.2);
  });

  it('shows what a key owner saves, and that tables save squarings', async () => {
    const own = await counted(encrypt(key, 5n, 7n));
    const theirs = await counted(encrypt(publicPart(key), 5n, 7n));
    expect(own.work).toBeLessThan(0.6 * theirs.work);
    const fromTables = await counted(commit(publicSetup(setup), 1n << 383n, 1n << 767n));
    expect(fromTables.detail).toEqual({ 'tables 1152/4': 1 });
    expect(fromTables.products).toBe(63 + 4 * 64 + 2);
  });

  it('refuses to overlook an export of the core that it does not know', () => {
    const counted = new Counter().wrap({ ...instantiate(chooseKernel().module), fancy: () => 0 });
    expect(() => counted['fancy']).toThrow('bench/gate/counting.ts must learn it');
    expect(counted['nothing']).toBeUndefined();
  });
});
