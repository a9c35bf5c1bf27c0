/** The statistic behind `npm run dudect`, on made-up times. */
import { describe, expect, it } from 'vitest';
import { greatestT, welch, type Sample } from './welch.ts';

/** A generator with a seed, so that the test cannot fail by chance. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Times around 1000 with rare long ones, as interrupts make them; `extra` for the fixed class. */
function times(count: number, extra: number): Sample[] {
  const random = seeded(7);
  return Array.from({ length: count }, () => {
    const fixed = random() < 0.5;
    return { fixed, time: 1000 + 20 * random() + (random() < 0.02 ? 5000 * random() : 0) + (fixed ? extra : 0) };
  });
}

describe('Welch’s t', () => {
  it('is that of the definition', () => {
    const a = Array.from({ length: 10 }, (_, i) => i);
    const b = a.map((v) => v + 3);
    // Means 4.5 and 7.5, variances 82.5/9 each.
    expect(welch(a, b)).toBeCloseTo(-3 / Math.sqrt((2 * 82.5) / 9 / 10), 12);
    expect(welch(a, [1, 2])).toBe(0);
    expect(
      welch(
        a.map(() => 5),
        a.map(() => 5),
      ),
    ).toBe(0);
  });

  it('finds a difference of a thousandth under interrupts that hide it from the whole sample, and none where there is none', () => {
    expect(Math.abs(greatestT(times(20_000, 0)))).toBeLessThan(4.5);
    expect(Math.abs(greatestT(times(20_000, 1)))).toBeGreaterThan(10);
    const all = times(20_000, 1);
    const whole = welch(
      all.filter(({ fixed }) => fixed).map(({ time }) => time),
      all.filter(({ fixed }) => !fixed).map(({ time }) => time),
    );
    expect(Math.abs(whole)).toBeLessThan(4.5);
  });
});
