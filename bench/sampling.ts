/** How samples are taken. */
import type { RunOptions } from './scenario.ts';

/** Milliseconds that pass while `work` runs. */
export async function elapsedMs(work: () => unknown): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/**
 * Milliseconds of processor time that this process uses while `work` runs, all of its threads counted: the workers of the core, libuv's pool,
 * the garbage collector. Unlike elapsed time it hardly depends on what else the machine does.
 */
export async function cpuMs(work: () => unknown): Promise<number> {
  const begin = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

/** `count` samples, after `warmUp` runs that do not count (compilers, tables of fixed bases). */
export async function sample(
  { signal }: Pick<RunOptions, 'signal'>,
  { count, warmUp = 1 }: { readonly count: number; readonly warmUp?: number },
  measure: () => Promise<number>,
): Promise<number[]> {
  const samples: number[] = [];
  for (let run = -warmUp; run < count; run++) {
    signal.throwIfAborted();
    const value = await measure();
    if (run >= 0) samples.push(value);
  }
  return samples;
}
