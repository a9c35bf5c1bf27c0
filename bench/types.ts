/** One measured figure. Names are stable: docs/performance.md lists them, and comparisons between commits go by them. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Samples. */
  readonly n: number;
  readonly samples: readonly number[];
}

/** A promised name without a figure, and why. */
export interface Skipped {
  readonly name: string;
  readonly why: string;
}

/** `sorted`[⌈q·n⌉ − 1]: the smallest sample that at least the fraction q of them does not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (value === undefined) throw new RangeError('no samples');
  return value;
}

function summary(name: string, unit: string, samples: readonly number[], worst: number): Result {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number) => quantile(sorted, q);
  return { name, unit, min: at(0), p50: at(0.5), p99: at(worst), max: at(1), n: sorted.length, samples };
}

export const summarize = (name: string, unit: string, samples: readonly number[]): Result => summary(name, unit, samples, 0.99);

/** As {@link summarize} for rates, where more is better: p99 is what 99 % of the samples reach. */
export const summarizeRate = (name: string, unit: string, samples: readonly number[]): Result => summary(name, unit, samples, 0.01);

/** The same samples in another unit. */
export const scaled = (name: string, unit: string, { samples }: Result, factor: number): Result =>
  summarize(name, unit, samples.map((sample) => sample * factor)); // prettier-ignore
