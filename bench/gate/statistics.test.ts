import { describe, expect, it } from 'vitest';
import { isFaster, isSlower, pairedRatio, type Pair } from './statistics.ts';

/** xorshift: the same numbers in every run. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Pairs of a change that takes `factor` times as long, on a machine that now and then halts either side for a while. */
function machine(factor: number, noise: number, random: () => number, pairs = 20): Pair[] {
  const one = (time: number) => time * (1 + noise * (random() - 0.5)) + (random() < 0.1 ? 3 * time * random() : 0);
  return Array.from({ length: pairs }, () => [one(10), one(10 * factor)]);
}
const processes = (factor: number, noise: number, random: () => number) => [1, 2, 3].map(() => machine(factor, noise, random));

describe('the ratio of pairs', () => {
  it('is that of the medians of what was the same, and its interval contains it', () => {
    const random = uniform(7);
    const { median, low, high, pairs } = pairedRatio(processes(1.15, 0.1, random), random);
    expect(pairs).toBe(60);
    expect(median).toBeGreaterThan(1.12);
    expect(median).toBeLessThan(1.18);
    expect(low).toBeLessThanOrEqual(median);
    expect(high).toBeGreaterThanOrEqual(median);
  });

  it('calls 15 % more slower and no change nothing, in thirty noisy runs of each', () => {
    const random = uniform(11);
    const verdicts = (factor: number) =>
      Array.from({ length: 30 }, () => pairedRatio(processes(factor, 0.2, random), random)).filter(isSlower).length;
    expect(verdicts(1)).toBe(0);
    expect(verdicts(1.15)).toBeGreaterThanOrEqual(28);
  });

  it('does not let one process decide', () => {
    const random = uniform(5);
    const odd = [machine(1.3, 0.05, random, 60), machine(1, 0.05, random, 20), machine(1, 0.05, random, 20)];
    const ratio = pairedRatio(odd, random);
    expect(ratio.median).toBeGreaterThan(1.1);
    expect(isSlower(ratio)).toBe(false);
  });

  it('knows faster from slower', () => {
    const random = uniform(3);
    const ratio = pairedRatio(processes(0.8, 0.05, random), random);
    expect([isFaster(ratio), isSlower(ratio)]).toEqual([true, false]);
  });
});
