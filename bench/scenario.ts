/** What every part of the benchmark is: names it promises, and a run that keeps the promise. */
import type { Result, Skipped } from './types.ts';

export interface RunOptions {
  /** A few samples of each figure, and nothing that takes minutes. */
  readonly quick: boolean;
  /** Whether a result of this name is asked for. */
  readonly wanted: (name: string) => boolean;
  /** Ctrl-C: checked between measurements. */
  readonly signal: AbortSignal;
  /** What is being done now, for whoever waits. */
  readonly progress: (text: string) => void;
  /** Data folder of the cluster to use and to keep; a temporary one without it. */
  readonly data?: string;
}

export interface Scenario {
  readonly title: string;
  /** Names of the results, in the order of the report. A quick run may have fewer. */
  readonly names: (quick: boolean) => readonly string[];
  /** Why a quick run has fewer. */
  readonly fullOnly?: string;
  /**
   * One result per wanted name (others are dropped), or why there is none, each as soon as it is known: if something goes wrong later, it stays.
   * @throws whatever went wrong: the benchmark reports it under the title, and ends with exit code 1.
   */
  readonly run: (options: RunOptions) => AsyncIterable<Result | Skipped>;
}

/** The combinations of the parts, in order: `names(['a', 'b'], ['1', '2'])` is a.1, a.2, b.1, b.2. */
export const names = (...parts: readonly (readonly string[])[]): string[] =>
  parts.reduce<string[]>(
    (prefixes, part) => prefixes.flatMap((prefix) => part.map((end) => (prefix === '' ? end : `${prefix}.${end}`))),
    [''],
  );
