import { describe, expect, it } from 'vitest';
import { environment, header } from './environment.ts';
import { asMarkdown, asText, figure, markdown, ratioGrid, reportOf, resultGrid } from './report.ts';
import { cpuMs, sample } from './sampling.ts';
import { names } from './scenario.ts';
import { judge, ratiosOf } from './targets.ts';
import { summarize, summarizeRate, type Result } from './types.ts';

const result = (name: string, p50: number, p99 = p50, n = 3): Result => ({
  name,
  unit: 'ms',
  min: p50,
  p50,
  p99,
  max: p99,
  n,
  samples: Array.from({ length: n }, () => p50),
});

describe('judging', () => {
  it('holds times below and rates above their bounds, bounds included', () => {
    const time = { better: 'lower', floor: 40, aim: 10 } as const;
    expect([10, 10.1, 40, 40.1].map((value) => judge(value, time))).toEqual(['aim', 'floor', 'floor', 'missed']);
    const rate = { better: 'higher', floor: 20, aim: 100 } as const;
    expect([100, 99, 20, 19].map((value) => judge(value, rate))).toEqual(['aim', 'floor', 'floor', 'missed']);
  });

  it('takes a ratio only when both figures were measured, the right way round', () => {
    const pair = result('kernel.modexp.3072x3072.pair', 6);
    expect(ratiosOf([pair])).toEqual([]);
    expect(ratioGrid([pair])).toBeUndefined();
    const [openssl, bigint] = ratiosOf([
      pair,
      result('kernel.modexp.3072x3072.openssl', 6.6),
      result('kernel.modexp.3072x3072.bigint', 42),
    ]);
    expect(openssl).toMatchObject({ verdict: 'aim' });
    expect(openssl!.value).toBeCloseTo(6 / 6.6);
    expect(bigint).toMatchObject({ value: 7, verdict: 'floor' });
  });
});

describe('the table', () => {
  it('marks a p99 of few samples, and says which target is missed', () => {
    const grid = resultGrid([result('sign.pool.4of5', 50, 140), result('vote.4of5', 120, 130, 100)]);
    const text = asText(grid);
    expect(text).toContain('~140');
    expect(text).toContain('p50 ≤ 40 (aim 10): MISSES the floor');
    expect(text).toContain('p99 ≤ 150 (aim 40): meets the floor');
    expect(text).toContain('180 / 350 ms: beaten');
    expect(text).toMatch(/vote\.4of5 +│ +120 │ +120 │ +130 │ +100 │.* 95 \/ 180 ms: not beaten/);
    const pasted = asMarkdown(grid).split('\n');
    expect(pasted).toHaveLength(4);
    expect(pasted[1]).toMatch(/^\| --- \| ---: \|/);
    expect(pasted[2]).toContain('MISSES the floor<br>p99');
  });

  it('comes with the ratios that cannot be measured here, and with what was left out', () => {
    const text = markdown('where', [result('kernel.modexp.3072x3072.pair', 6), result('kernel.modexp.3072x3072.bigint', 42)], [
      { name: 'start.first', why: 'no time' },
    ]); // prettier-ignore
    expect(text).toContain('not measured (no time): start.first');
    expect(text).toMatch(/against GMP \| – \|.*GMP does not run inside Node/);
  });

  it('goes into a file with its samples apart, so that charts can be drawn from it', () => {
    const about = environment('fma');
    const report = reportOf(about, [summarize('a.b', 'ms', [3, 1, 2.0000001])], [], []);
    expect(report).toMatchObject({ kernel: 'fma', node: process.version, samples: { 'a.b': [3, 1, 2] } });
    expect(report.results).toEqual([{ name: 'a.b', unit: 'ms', min: 1, p50: 2.0000001, p99: 3, max: 3, n: 3 }]);
    expect(report).not.toHaveProperty('failed');
  });

  it('rounds to four digits', () => {
    expect([0.0123456, 12.3456, 999.96, 1234.5].map(figure)).toEqual(['0.01235', '12.35', '1000', '1235']);
  });

  it('says on what it ran, and that a busy machine spoils times', () => {
    const about = environment('fma');
    const text = header({ ...about, machine: { ...about.machine, load_before: [3, 2, 1] } });
    expect(text).toContain(process.version);
    expect(text).toContain('kernel fma');
    expect(text).toContain(`commit ${about.commit}`);
    expect(text).toContain('elapsed times will be too long');
    expect(header({ ...about, machine: { ...about.machine, load_before: [0.2, 2, 1] } })).not.toContain('too long');
  });
});

describe('sampling', () => {
  it('does not count the warm-up, and stops when told to', async () => {
    let runs = 0;
    const stop = new AbortController();
    const options = { signal: stop.signal };
    expect(await sample(options, { count: 3, warmUp: 2 }, () => Promise.resolve(++runs))).toEqual([3, 4, 5]);
    const endless = sample(options, { count: Infinity }, () => {
      if (++runs > 20) stop.abort(new Error('stopped'));
      return Promise.resolve(runs);
    });
    await expect(endless).rejects.toThrow('stopped');
    expect(runs).toBe(21);
  });

  it('counts the processor time of all that happens meanwhile', async () => {
    const working = await cpuMs(() => {
      const until = process.cpuUsage().user + 20_000;
      while (process.cpuUsage().user < until);
    });
    expect(working).toBeGreaterThanOrEqual(20);
  });

  it('gives for rates what 99 % of the samples reach', () => {
    expect(summarizeRate('x', '1/s', [7, 3, 5])).toMatchObject({ name: 'x', unit: '1/s', min: 3, p50: 5, p99: 3, max: 7, n: 3 });
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    expect(summarizeRate('x', '1/s', hundred)).toMatchObject({ p50: 50, p99: 1 });
  });

  it('combines parts of names in order', () => {
    expect(names(['a', 'b'], ['1', '2'])).toEqual(['a.1', 'a.2', 'b.1', 'b.2']);
  });
});
