/**
 * One process of the gate: counts one tree, or times two against each other. Both are loaded here, side by side; a pair is the two of them in random
 * order, one right after the other, so that what else the machine does falls on both alike.
 * Its argument is a {@link Job} in JSON; its last line on the standard output is an {@link Outcome}.
 */
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cpuMs } from '../sampling.ts';
import { probesOf, type Count, type Probes, type TimeProbe } from './contract.ts';
import type { Pair } from './statistics.ts';

export type Job =
  | { readonly job: 'counts'; readonly tree: string }
  | {
      readonly job: 'times';
      readonly base: string;
      readonly head: string;
      readonly quick: boolean;
      /** Only these probes; all without it. */
      readonly only?: readonly string[];
      /** Processor milliseconds for each probe, about. */
      readonly budget: number;
    };

export type Outcome =
  | { readonly counts: readonly Count[] }
  | { readonly times: Readonly<Record<string, readonly Pair[]>>; readonly apart: Readonly<Record<string, string>> }
  | { readonly problem: string };

const WARM_UP = 2;
const PAIRS = { least: 2, most: 60 };

async function load(tree: string): Promise<Probes | { readonly problem: string }> {
  const file = join(tree, 'dist/bench/gate/probes.js');
  try {
    return probesOf(await import(pathToFileURL(file).href));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const missing = (error as Error).message.replace(/^Cannot find (?:module|package) '([^']*)'.*$/s, '$1');
    return { problem: `it has no ${missing.startsWith(tree) ? relative(tree, missing) : missing}` };
  }
}

/** Why the two probes cannot be compared, if they cannot. */
function difference(base: TimeProbe | undefined, head: TimeProbe): string | undefined {
  if (base === undefined) return 'new: the base does not have it';
  return base.work === head.work ? undefined : `other work: was “${base.work}”, is “${head.work}”`;
}

async function time(base: TimeProbe, head: TimeProbe, budget: number): Promise<Pair[]> {
  const [measureBase, measureHead] = [await base.prepare(), await head.prepare()];
  for (let run = 0; run < WARM_UP; run++) {
    await measureBase();
    await measureHead();
  }
  const pairs: Pair[] = [];
  let used = 0;
  while (pairs.length < PAIRS.least || (used < budget && pairs.length < PAIRS.most)) {
    const headFirst = Math.random() < 0.5;
    const early = await cpuMs(headFirst ? measureHead : measureBase);
    const late = await cpuMs(headFirst ? measureBase : measureHead);
    pairs.push(headFirst ? [late, early] : [early, late]);
    used += early + late;
  }
  return pairs;
}

async function run(job: Job): Promise<Outcome> {
  if (job.job === 'counts') {
    const probes = await load(job.tree);
    return 'problem' in probes ? probes : { counts: await probes.counts() };
  }
  // Neither tree always comes first into memory.
  const headFirst = Math.random() < 0.5;
  const first = await load(headFirst ? job.head : job.base);
  const second = await load(headFirst ? job.base : job.head);
  const [base, head] = headFirst ? [second, first] : [first, second];
  if ('problem' in base) return base;
  if ('problem' in head) return head;
  if (base.kernel !== head.kernel) return { problem: `it runs on the kernel ${base.kernel}, this tree on ${head.kernel}` };
  const times: Record<string, readonly Pair[]> = {};
  const apart: Record<string, string> = {};
  for (const probe of head.timeProbes) {
    if (job.only === undefined ? job.quick && !probe.quick : !job.only.includes(probe.name)) continue;
    const before = base.timeProbes.find(({ name }) => name === probe.name);
    const problem = difference(before, probe);
    if (before === undefined || problem !== undefined) apart[probe.name] = problem ?? '';
    else times[probe.name] = await time(before, probe, job.budget);
  }
  for (const { name, quick } of base.timeProbes)
    if ((job.only === undefined ? quick || !job.quick : job.only.includes(name)) && !head.timeProbes.some((probe) => probe.name === name))
      apart[name] = 'gone: only the base has it';
  return { times, apart };
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2]!) as Job))}\n`);
