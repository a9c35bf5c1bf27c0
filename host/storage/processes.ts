/** Whether a process still runs. A process id alone does not say: it may be used again, or name one that ended but was not collected yet. */
import { readFileSync } from 'node:fs';
import { errorCode } from './files.ts';

/** The fields of /proc/PID/stat from the third (state) on; undefined where the system has no such file. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Field 2 is the program's name in parentheses, which may itself hold spaces and parentheses.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // no /proc on this system, or no such process: the signal below tells
  }
}

/** Whether process `pid` exists and has not ended. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') return false;
  }
  const state = statOf(pid)?.[0];
  return state !== 'Z' && state !== 'X';
}

/** Identifies one life of process `pid`: the boot, and the clock ticks from boot to its start. Empty where the system does not tell. */
export function lifeOf(pid: number): string {
  const ticks = statOf(pid)?.[19];
  if (ticks === undefined) return '';
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}/${ticks}`;
  } catch {
    return ticks;
  }
}
