import { describe, expect, it } from 'vitest';
import { kernels } from './kernels.ts';
import { quantile, summarize } from './types.ts';

describe('the kernel figures', () => {
  it('have their stable names, units and plausible values', async () => {
    const results = await kernels({ quick: true });
    const names = results.map(({ name }) => name);
    for (const bits of [1536, 3072, 6144])
      for (const lanes of ['single', 'pair']) expect(names).toContain(`kernel.modmul.${bits}.${lanes}`);
    for (const size of ['1536x1536', '3072x3072', '6144x3072'])
      for (const variant of ['single', 'pair', 'openssl', 'bigint']) expect(names).toContain(`kernel.modexp.${size}.${variant}`);
    for (const step of ['encrypt', 'decrypt'])
      for (const by of ['core', 'paillier-bigint']) expect(names).toContain(`paillier.${step}.3072.${by}`);
    expect(new Set(names).size).toBe(names.length);
    for (const { name, unit, p50, p99, n } of results) {
      expect(unit).toBe(name.startsWith('kernel.modmul') ? 'ns' : 'ms');
      expect(p50).toBeGreaterThan(0);
      expect(p99).toBeGreaterThanOrEqual(p50);
      expect(n).toBeGreaterThanOrEqual(3);
    }
  });

  it('summarize samples by rank', () => {
    expect(summarize('x', 'ms', [5, 1, 4, 2, 3])).toEqual({
      name: 'x',
      unit: 'ms',
      min: 1,
      p50: 3,
      p99: 5,
      max: 5,
      n: 5,
      samples: [5, 1, 4, 2, 3],
    });
    expect(() => quantile([], 0.5)).toThrow(RangeError);
  });
});
