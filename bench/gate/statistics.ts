/** From pairs of times to a ratio that can be trusted, or not. */
import { quantile } from '../types.ts';

/** Times of one probe in one process: the base's and the change's, one right after the other. */
export type Pair = readonly [base: number, head: number];

export interface Ratio {
  /** Median of head/base over all pairs. */
  readonly median: number;
  /** 95 % interval of that median, by bootstrap. */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
}

const RESAMPLES = 1000;

const medianOf = (numbers: readonly number[]): number =>
  quantile(
    [...numbers].sort((a, b) => a - b),
    0.5,
  );

/**
 * Pairs of one process share what that process was dealt (where its code and its memory lie), which makes two copies of the same program differ by a
 * percent or two for as long as it lives. So processes are resampled first, and pairs within them: the interval is no narrower than the processes agree.
 */
export function pairedRatio(processes: readonly (readonly Pair[])[], uniform: () => number = Math.random): Ratio {
  const ratios = processes.filter((pairs) => pairs.length > 0).map((pairs) => pairs.map(([base, head]) => head / base));
  const draw = <T>(from: readonly T[]): T => from[Math.floor(uniform() * from.length)]!;
  const medians = Array.from({ length: RESAMPLES }, () =>
    medianOf(
      ratios.flatMap(() => {
        const pairs = draw(ratios);
        return pairs.map(() => draw(pairs));
      }),
    ),
  ).sort((a, b) => a - b);
  const all = ratios.flat();
  return { median: medianOf(all), low: quantile(medians, 0.025), high: quantile(medians, 0.975), pairs: all.length };
}

/** A change is slower when the median says so by more than a tenth and the interval by more than a twentieth. */
const MEDIAN_LIMIT = 1.1;
const INTERVAL_LIMIT = 1.05;

export const isSlower = ({ median, low }: Ratio): boolean => median > MEDIAN_LIMIT && low > INTERVAL_LIMIT;
/** Not a verdict of the gate: for the table only. */
export const isFaster = ({ median, high }: Ratio): boolean => median < 1 / MEDIAN_LIMIT && high < 1 / INTERVAL_LIMIT;
