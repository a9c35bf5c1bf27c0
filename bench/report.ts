/** What the benchmark says: on what it ran, a table of results beside targets and published claims, and the file of `--json`. */
import Table from 'cli-table3';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { CLAIMS, judge, ratiosOf, TARGETS, type Target, type Verdict } from './targets.ts';
import type { Result } from './types.ts';

export interface MachineInfo {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly arch: string;
  readonly os: string;
  /** Averages over 1, 5 and 15 minutes before and after the run: what else went on. */
  readonly load_before: readonly number[];
  readonly load_after?: readonly number[];
}

export const loadNow = (): number[] => loadavg().map((value) => Math.round(value * 100) / 100);

export const machineInfo = (): MachineInfo => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  memory_gib: Math.round((totalmem() / 2 ** 30) * 10) / 10,
  arch: arch(),
  os: `${platform()} ${release()}`,
  load_before: loadNow(),
});

export interface Report {
  readonly machine: MachineInfo;
  readonly node: string;
  readonly kernel: 'fma' | 'extmul';
  readonly results: readonly Result[];
  /** Titles of the scenarios that failed; their results are missing. Absent when all went well. */
  readonly failed?: readonly string[];
}

/** Fewer samples than this have no 99th percentile: the figure in its column is then the largest (of a rate: the smallest). */
const ENOUGH_FOR_P99 = 100;

export function header({ machine, node, kernel }: Pick<Report, 'machine' | 'node' | 'kernel'>): string {
  const { cpu, cores, memory_gib, arch: architecture, os, load_before } = machine;
  const lines = [
    `machine  ${cpu}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${memory_gib} GiB, ${architecture}, ${os}`,
    `node     ${node}, kernel ${kernel}`,
    `load     ${load_before.map((value) => value.toFixed(2)).join(' ')} before the run${load_before[0]! >= 1 ? ': elapsed times will be too long' : ''}`,
    `p99      with fewer than ${ENOUGH_FOR_P99} samples (n) it is the worst sample, marked ~`,
  ];
  return lines.join('\n');
}

/** Four significant digits, and no more than the whole number from there on. */
export const figure = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toString() : Number(value.toPrecision(4)).toString();

const SIGN: Record<Verdict, string> = { aim: 'meets the aim', floor: 'meets the floor', missed: 'MISSES the floor' };

const describe = (result: Result, target: Target): string =>
  `${target.of} ${target.better === 'lower' ? '≤' : '≥'} ${target.floor} (aim ${target.aim}): ${SIGN[judge(result[target.of], target)]}`;

export function table(results: readonly Result[]): string {
  const rows = new Table({
    head: ['name', 'p50', 'p99', 'n', 'unit', 'target', 'published claim'],
    colAligns: ['left', 'right', 'right', 'right', 'left', 'left', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const result of results) {
    const { name, p50, p99, n, unit } = result;
    const targets = (TARGETS[name] ?? []).map((target) => describe(result, target)).join('\n');
    rows.push([name, figure(p50), `${n < ENOUGH_FOR_P99 ? '~' : ''}${figure(p99)}`, n, unit, targets, CLAIMS[name] ?? '']);
  }
  return rows.toString();
}

/** Ratios of medians of this run; undefined when none of their figures were measured. */
export function ratioTable(results: readonly Result[]): string | undefined {
  const ratios = ratiosOf(results);
  if (ratios.length === 0) return undefined;
  const rows = new Table({
    head: ['ratio of medians', 'value', 'floor', 'aim', ''],
    colAligns: ['left', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const { what, value, floor, aim, verdict } of ratios) rows.push([what, figure(value), floor, aim, SIGN[verdict]]);
  return rows.toString();
}
