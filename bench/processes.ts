/** What the system says of the node processes: /proc of Linux. */
import { readdir, readFile } from 'node:fs/promises';

/** Clock ticks per second of the times in /proc: fixed at 100 for user space. */
const TICKS = 100;
const PAGE_KB = 1024;

/** Process ids by a file that each has on its command line; undefined without /proc or when one is not there. */
export async function findProcesses(configs: readonly string[]): Promise<number[] | undefined> {
  const found = new Map<string, number>();
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    // A process may end between the two.
    const args = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const config = configs.find((file) => args.includes(file));
    if (config !== undefined) found.set(config, Number(entry));
  }
  const ids = configs.flatMap((file) => found.get(file) ?? []);
  return ids.length === configs.length ? ids : undefined;
}

/** User and system time of a process and its threads. */
export async function cpuSeconds(pid: number): Promise<number> {
  // After the name in brackets: state, then numbers; utime and stime are fields 14 and 15 of all (proc(5)).
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

export async function residentMegabytes(pid: number): Promise<number> {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has no resident size`);
  return Number(kilobytes) / PAGE_KB;
}
