/** One measured figure. Names are stable: docs/performance.md lists them, and comparisons between commits go by them. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly p50: number;
  readonly p99: number;
  /** Samples. */
  readonly n: number;
}

/** `sorted`[⌈q·n⌉ − 1]: the smallest sample that at least the fraction q of them does not exceed. */
export function quantile(sorted: readonly number[], q: number): number {
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (value === undefined) throw new RangeError('no samples');
  return value;
}

export function summarize(name: string, unit: string, samples: readonly number[]): Result {
  const sorted = [...samples].sort((a, b) => a - b);
  return { name, unit, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), n: sorted.length };
}

/** As {@link summarize} for rates, where more is better: p99 is what 99 % of the samples reach. */
export function summarizeRate(name: string, unit: string, samples: readonly number[]): Result {
  const sorted = [...samples].sort((a, b) => a - b);
  return { name, unit, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.01), n: sorted.length };
}
