import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { distribution, writePlots } from './plots.ts';
import { drawChart, linearTicks, logTicks } from './svg.ts';
import { summarize } from './types.ts';

const many = (name: string) =>
  summarize(
    name,
    'ms',
    Array.from({ length: 20 }, (_, i) => 10 + i),
  );

describe('a chart', () => {
  it('has round ticks within the axis', () => {
    expect(linearTicks(0, 1000)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(linearTicks(3, 4.1)).toEqual([3, 3.2, 3.4, 3.6, 3.8, 4]);
    expect(logTicks(0.9, 60)).toEqual([1, 2, 5, 10, 20, 50]);
    expect(logTicks(6, 57)).toEqual([7, 10, 15, 20, 30, 50]);
    expect(logTicks(1, 1e6)).toEqual([1, 10, 100, 1000, 10_000, 100_000, 1_000_000]);
  });

  it('puts points where they belong, escapes what it is told, and stays within its frame', () => {
    const svg = drawChart({
      title: 'a < b & "c"',
      x: { label: 'x', scale: 'linear', from: 0, to: 10 },
      y: { label: 'y', scale: 'linear', from: 0, to: 1 },
      series: [{ name: 'one', style: 'line', points: [[10, 1], [0, 0], [5, 0.5]] }], // prettier-ignore
    });
    expect(svg).toContain('a &#60; b &#38; &#34;c&#34;');
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
    expect(circles).toHaveLength(3);
    const [[x0, y0], [x1, y1], [x2, y2]] = circles as [number[], number[], number[]] as [
      [number, number],
      [number, number],
      [number, number],
    ];
    expect([x1, y1]).toEqual([(x0 + x2) / 2, (y0 + y2) / 2].map((value) => expect.closeTo(value, 0)));
    expect(y2).toBeLessThan(y0);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('of a single value, on a logarithmic axis too, has an axis of some length', () => {
    for (const scale of ['log', 'linear'] as const)
      expect(
        drawChart({
          title: 't',
          x: { label: 'x', scale },
          y: { label: 'y', scale: 'linear' },
          series: [{ name: 'one', style: 'steps', points: [[3, 3]] }],
        }),
      ).not.toMatch(/NaN|Infinity/);
    const nothing = { title: 't', x: { label: 'x', scale: 'log' }, y: { label: 'y', scale: 'log' }, series: [] } as const;
    expect(() => drawChart(nothing)).toThrow(RangeError);
  });
});

describe('the plots of the benchmark', () => {
  it('show the share of samples up to each value', () => {
    expect(distribution({ name: 'a', samples: [4, 1, 2, 3] }).points).toEqual([[1, 0], [1, 0.25], [2, 0.5], [3, 0.75], [4, 1]]); // prettier-ignore
  });

  it('are those that the results suffice for', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'plots-'));
    try {
      const few = summarize('proof.sch.prove', 'ms', [1, 2]);
      const costs = [2, 4, 7].map((t) => summarize(`presign.signers.${t}of9`, 'CPU ms', [100 * t]));
      const files = await writePlots(folder, [many('vote.4of5'), many('sign.frost.4of5'), few, ...costs]);
      expect(files).toEqual(['latency-signing.svg', 'presign-signers.svg']);
      const svg = await readFile(join(folder, 'latency-signing.svg'), 'utf8');
      expect(svg.match(/<path /g)).toHaveLength(2);
      expect(svg).toContain('>vote.4of5<');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
