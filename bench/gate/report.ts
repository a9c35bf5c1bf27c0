/** What the gate says. */
import { asText, figure } from '../report.ts';
import { grew, slower, type Comparison, type CountDifference, type Timing } from './compare.ts';
import { isFaster, isSlower, type Ratio } from './statistics.ts';

const times = (ratio: Ratio): string => ratio.median.toFixed(3);
const interval = ({ low, high }: Ratio): string => `${low.toFixed(3)} … ${high.toFixed(3)}`;

function verdictOf(timing: Timing): string {
  if (slower(timing)) return 'SLOWER, twice';
  if (isSlower(timing.ratio)) return 'slower once, not again';
  return isFaster(timing.ratio) ? 'faster' : '';
}

export const timeTable = (timings: readonly Timing[]): string =>
  asText({
    head: ['time', 'base, CPU ms', 'now', 'ratio', '95 % interval', 'pairs', ''],
    align: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
    rows: timings.flatMap((timing) => {
      const { name, base, head, ratio, again } = timing;
      const first = [name, figure(base), figure(head), times(ratio), interval(ratio), ratio.pairs.toString(), verdictOf(timing)];
      return again === undefined
        ? [first]
        : [first, ['  a second look', '', '', times(again), interval(again), again.pairs.toString(), '']];
    }),
  });

function countVerdict(difference: CountDifference): string {
  if (difference.base === undefined) return 'new';
  if (difference.head === undefined) return 'gone';
  return grew(difference) ? 'GREW' : 'fell';
}

export const countTable = (differences: readonly CountDifference[]): string =>
  asText({
    head: ['count', 'unit', 'base', 'now', '', 'because'],
    align: ['left', 'left', 'right', 'right', 'left', 'left'],
    rows: differences.map((difference) => {
      const { name, unit, base, head, because } = difference;
      return [name, unit, (base ?? '–').toString(), (head ?? '–').toString(), countVerdict(difference), because.join('\n')];
    }),
  });

export interface Verdict {
  readonly passed: boolean;
  readonly text: string;
}

/** One line that says it all. */
export function verdict({ counts, times: timings, apart, accepted = new Set() }: Comparison): Verdict {
  const worse = [counts.differences.filter(grew), timings.filter(slower)].map((figures) => figures.map(({ name }) => name));
  const [grown, slow] = worse.map((names) => names.filter((name) => !accepted.has(name))) as [string[], string[]];
  const allowed = worse.flat().filter((name) => accepted.has(name));
  const compared = `${counts.equal + counts.differences.length} counts and ${timings.length} times compared`;
  const left = Object.keys(apart).length;
  const rest = `${left === 0 ? '' : `; ${left} times not comparable`}${allowed.length === 0 ? '' : `; accepted as worse: ${allowed.join(', ')}`}`;
  if (grown.length + slow.length === 0) return { passed: true, text: `gate: passed, ${compared}${rest}` };
  const problems = [...(grown.length > 0 ? [`grew: ${grown.join(', ')}`] : []), ...(slow.length > 0 ? [`slower: ${slow.join(', ')}`] : [])];
  return { passed: false, text: `gate: FAILED, ${compared}${rest}; ${problems.join('; ')}` };
}

export function describe(comparison: Comparison): string {
  const { counts, times: timings, apart } = comparison;
  const parts: string[] = [];
  if (counts.differences.length > 0) parts.push(countTable(counts.differences));
  parts.push(`${counts.equal} counts of operations and bytes are the same`);
  if (timings.length > 0) parts.push(timeTable(timings));
  for (const [name, why] of Object.entries(apart)) parts.push(`not compared: ${name}: ${why}`);
  return parts.join('\n');
}
