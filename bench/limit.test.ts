import { describe, expect, it } from 'vitest';
import { clock, vectorProducts } from './limit.ts';
import { summarize } from './types.ts';

describe('the distance to the limit', () => {
  it('is told in cycles for each vector product, of multiplications only', () => {
    // 62 digits: 3844 vector products for each number.
    const [cycles, ...rest] = vectorProducts(
      [summarize('kernel.modmul.3072.pair', 'ns', [3844]), summarize('kernel.modexp.3072x3072.pair', 'ms', [6])],
      1.5,
    );
    expect(rest).toEqual([]);
    expect(cycles).toMatchObject({ name: 'kernel.vector.3072.pair', unit: 'cycles' });
    expect(cycles!.p50).toBeCloseTo(1.5);
  });

  it('rests on a clock that a processor can have', () => {
    expect(clock()).toBeGreaterThan(0.1);
    expect(clock()).toBeLessThan(20);
  });
});
