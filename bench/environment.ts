/** On what a run took place. */
import { spawnSync } from 'node:child_process';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

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

export interface Environment {
  readonly machine: MachineInfo;
  readonly node: string;
  readonly kernel: 'fma' | 'extmul';
  /** `a1b2c3d`, with `+changes` when files differ from it; `unknown` outside of a checkout. */
  readonly commit: string;
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

export function commitHere(): string {
  const git = (...args: string[]) =>
    spawnSync('git', args, { cwd: fileURLToPath(new URL('.', import.meta.url)), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const { status, stdout } = git('rev-parse', '--short=10', 'HEAD');
  if (status !== 0) return 'unknown';
  return `${stdout.trim()}${git('status', '--porcelain').stdout.trim() === '' ? '' : '+changes'}`;
}

export const environment = (kernel: Environment['kernel']): Environment => ({
  machine: machineInfo(),
  node: process.version,
  kernel,
  commit: commitHere(),
});

/** One line for each kind of circumstance. */
export function header({ machine, node, kernel, commit }: Environment): string {
  const { cpu, cores, memory_gib, arch: architecture, os, load_before, load_after } = machine;
  const load = (values: readonly number[]) => values.map((value) => value.toFixed(2)).join(' ');
  const busy = load_before[0]! >= 1 ? ': elapsed times will be too long' : '';
  return [
    `machine  ${cpu}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${memory_gib} GiB, ${architecture}, ${os}`,
    `program  commit ${commit}, node ${node}, kernel ${kernel}`,
    `load     ${load(load_before)} before the run${busy}${load_after === undefined ? '' : `; ${load(load_after)} after it`}`,
  ].join('\n');
}
