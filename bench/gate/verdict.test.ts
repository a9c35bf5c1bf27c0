import { describe as suite, expect, it } from 'vitest';
import { Refusal } from '../../host/base/errors.ts';
import { compareCounts, slower, type Comparison, type Timing } from './compare.ts';
import type { Count } from './contract.ts';
import { parseOptions } from './options.ts';
import { describe, verdict } from './report.ts';

const count = (name: string, value: number, detail: Record<string, number> = {}): Count => ({ name, unit: 'word products', value, detail });
const timing = (name: string, median: number, again?: number): Timing => {
  const ratio = (value: number) => ({ median: value, low: value - 0.02, high: value + 0.02, pairs: 30 });
  return { name, base: 10, head: 10 * median, ratio: ratio(median), ...(again !== undefined && { again: ratio(again) }) };
};
const comparison = (changes: Partial<Comparison>): Comparison => ({
  counts: { equal: 3, differences: [] },
  times: [],
  apart: {},
  ...changes,
});

suite('the verdict of the gate', () => {
  it('fails on a count that grew by anything, and says by what', () => {
    const counts = compareCounts(
      [count('prove', 100, { 'power 6144/3072': 4 }), count('verify', 50)],
      [count('prove', 101, { 'power 6144/3072': 5 }), count('verify', 50)],
    );
    expect(counts.equal).toBe(1);
    const { passed, text } = verdict(comparison({ counts }));
    expect(passed).toBe(false);
    expect(text).toContain('grew: prove');
    expect(describe(comparison({ counts }))).toContain('power 6144/3072: 4 → 5');
  });

  it('passes counts that fell, are new or are gone, and shows them', () => {
    const counts = compareCounts([count('a', 2), count('gone', 1)], [count('a', 1), count('new', 1)]);
    expect(counts.differences).toHaveLength(3);
    expect(verdict(comparison({ counts })).passed).toBe(true);
    for (const word of ['fell', 'new', 'gone']) expect(describe(comparison({ counts }))).toContain(word);
  });

  it('fails on a time only when it was slower twice', () => {
    const times = [timing('fine', 1.04), timing('chance', 1.15, 1.01), timing('slow', 1.15, 1.14), timing('once', 1.15)];
    expect(times.map(slower)).toEqual([false, false, true, false]);
    const { passed, text } = verdict(comparison({ times }));
    expect(passed).toBe(false);
    expect(text).toMatch(/slower: slow$/);
    expect(describe(comparison({ times }))).toContain('slower once, not again');
  });

  it('passes what the commits accept, and names it', () => {
    const counts = compareCounts([count('prove', 100)], [count('prove', 101)]);
    const times = [timing('slow', 1.15, 1.14)];
    const both = verdict(comparison({ counts, times, accepted: new Set(['prove', 'slow']) }));
    expect(both).toEqual({ passed: true, text: expect.stringContaining('accepted as worse: prove, slow') as string });
    expect(verdict(comparison({ counts, times, accepted: new Set(['prove']) }))).toMatchObject({ passed: false });
  });

  it('says what was not compared', () => {
    const apart = { 'proof.new': 'new: the base does not have it' };
    expect(verdict(comparison({ apart })).text).toContain('1 times not comparable');
    expect(describe(comparison({ apart }))).toContain('not compared: proof.new: new');
  });
});

suite('the command line of the gate', () => {
  it('has defaults, and a study of twenty runs', () => {
    expect(parseOptions([])).toEqual({ help: false, quick: false, countsOnly: false, strict: false });
    expect(parseOptions(['--self-test'])).toMatchObject({ selfTest: 20 });
    expect(parseOptions(['--self-test=0', '--quick', '--base', 'v1'])).toMatchObject({ selfTest: 0, quick: true, base: 'v1' });
  });

  it.each([[['--bass', 'x']], [['--base', '']], [['--self-test=many']], [['x']]])('refuses %j', (argv) => {
    expect(() => parseOptions(argv)).toThrow(Refusal);
  });
});
