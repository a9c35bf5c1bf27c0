/** Two built trees against each other: counts exactly, times in pairs over several processes. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Count } from './contract.ts';
import { isSlower, pairedRatio, type Pair, type Ratio } from './statistics.ts';
import type { Job, Outcome } from './worker.ts';

export interface Effort {
  readonly quick: boolean;
  /** Processes in which times are taken: what differs by chance between processes averages out. */
  readonly processes: number;
  /** Processor milliseconds for each probe and process. */
  readonly budget: number;
}
export const QUICK: Effort = { quick: true, processes: 3, budget: 400 };
export const FULL: Effort = { quick: false, processes: 6, budget: 1500 };

export interface CountDifference {
  readonly name: string;
  readonly unit: string;
  readonly base: number | undefined;
  readonly head: number | undefined;
  /** What of the detail differs: `power 6144/3072: 4 → 5`. */
  readonly because: readonly string[];
}

export interface Timing {
  readonly name: string;
  /** Milliseconds, medians. */
  readonly base: number;
  readonly head: number;
  readonly ratio: Ratio;
  /** The ratio of the second look, in new processes, at what looked slower at first. */
  readonly again?: Ratio;
}

export interface Comparison {
  readonly counts: { readonly equal: number; readonly differences: readonly CountDifference[] };
  readonly times: readonly Timing[];
  /** Probes that were not compared, and why. */
  readonly apart: Readonly<Record<string, string>>;
  /** Figures that may be larger or slower this time. */
  readonly accepted?: ReadonlySet<string>;
}

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url));

function inProcess(job: Job, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [WORKER, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'], signal });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', reject);
    child.once('close', (code, killed) => {
      if (code === 0) resolve(JSON.parse(output.trim().split('\n').at(-1)!) as Outcome);
      else reject(new Error(`a measuring process ended with ${code ?? killed}`));
    });
  });
}

/** The counts of a tree, or why it has none. */
export async function countsOf(tree: string, signal: AbortSignal): Promise<readonly Count[] | { readonly problem: string }> {
  const outcome = await inProcess({ job: 'counts', tree }, signal);
  if ('counts' in outcome) return outcome.counts;
  return { problem: 'problem' in outcome ? outcome.problem : 'it answered with times' };
}

export function compareCounts(base: readonly Count[], head: readonly Count[]): Comparison['counts'] {
  const names = [...new Set([...head, ...base].map(({ name }) => name))];
  const differences = names.flatMap((name): CountDifference[] => {
    const [b, h] = [base, head].map((counts) => counts.find((count) => count.name === name));
    if (b?.value === h?.value) return [];
    const kinds = [...new Set([b, h].flatMap((count) => Object.keys(count?.detail ?? {})))];
    const because = kinds
      .map((kind) => [kind, b?.detail[kind] ?? 0, h?.detail[kind] ?? 0] as const)
      .filter(([, was, is]) => was !== is)
      .map(([kind, was, is]) => `${kind}: ${was} → ${is}`);
    return [{ name, unit: (h ?? b)!.unit, base: b?.value, head: h?.value, because }];
  });
  return { equal: names.length - differences.length, differences };
}

/** A count that grew. New and vanished figures are no regressions. */
export const grew = ({ base, head }: CountDifference): boolean => base !== undefined && head !== undefined && head > base;
/** Slower at first, and again. */
export const slower = ({ ratio, again }: Timing): boolean => isSlower(ratio) && again !== undefined && isSlower(again);

interface Watch {
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

async function measure(
  trees: { base: string; head: string },
  { quick, processes, budget }: Effort,
  only: readonly string[] | undefined,
  { signal, progress }: Watch,
): Promise<{ times: Map<string, Pair[][]>; apart: Record<string, string> } | { problem: string }> {
  const times = new Map<string, Pair[][]>();
  let apart: Record<string, string> = {};
  for (let run = 1; run <= processes; run++) {
    progress(`times: process ${run} of ${processes}${only === undefined ? '' : ', a second look'}`);
    const outcome = await inProcess({ job: 'times', ...trees, quick, budget, ...(only !== undefined && { only }) }, signal);
    if ('problem' in outcome) return outcome;
    if ('counts' in outcome) return { problem: 'it answered with counts' };
    apart = { ...outcome.apart };
    for (const [name, pairs] of Object.entries(outcome.times)) times.set(name, [...(times.get(name) ?? []), [...pairs]]);
  }
  return { times, apart };
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

/** Counts and times, or one of them; `problem` when the base cannot be compared with. */
export async function compare(
  trees: { readonly base: string; readonly head: string },
  effort: Effort & { readonly what?: 'counts' | 'times' },
  watch: Watch,
): Promise<Comparison | { readonly problem: string }> {
  let counts: Comparison['counts'] = { equal: 0, differences: [] };
  if (effort.what !== 'times') {
    watch.progress('counts of both');
    const [base, head] = await Promise.all([countsOf(trees.base, watch.signal), countsOf(trees.head, watch.signal)]);
    if ('problem' in head) throw new Error(`this tree cannot be counted: ${head.problem}`);
    if ('problem' in base) return base;
    counts = compareCounts(base, head);
  }
  if (effort.what === 'counts') return { counts, times: [], apart: {} };

  const first = await measure(trees, effort, undefined, watch);
  if ('problem' in first) return first;
  const timings = [...first.times].map(([name, processes]): Timing => {
    const pairs = processes.flat();
    return { name, base: median(pairs.map(([b]) => b)), head: median(pairs.map(([, h]) => h)), ratio: pairedRatio(processes) };
  });
  const suspects = timings.filter(({ ratio }) => isSlower(ratio)).map(({ name }) => name);
  if (suspects.length === 0) return { counts, times: timings, apart: first.apart };

  // What chance makes slow once it does not make slow twice.
  const second = await measure(trees, { ...effort, budget: 2 * effort.budget }, suspects, watch);
  if ('problem' in second) return second;
  const times = timings.map((timing) => {
    const processes = second.times.get(timing.name);
    return processes === undefined ? timing : { ...timing, again: pairedRatio(processes) };
  });
  return { counts, times, apart: first.apart };
}
