/**
 * The study of the gate itself: does it stay silent on unchanged code, and does it see what it must? Two faults are planted into copies of this
 * commit, and the gate is run on each of them against the commit.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadNow } from '../environment.ts';
import { build, chooseBase } from './base.ts';
import { compare, QUICK, slower, type Comparison } from './compare.ts';
import { describe, verdict } from './report.ts';
import { isSlower } from './statistics.ts';

interface Plant {
  readonly name: string;
  readonly what: string;
  readonly file: string;
  /** Texts that stand there exactly once, and what is put in their place. */
  readonly edits: readonly (readonly [text: string, replacement: string])[];
}

/** Three of twenty multiplications and squarings are done twice; what the first time gives is thrown away. */
const SLOW_KERNEL: Plant = {
  name: 'slow-kernel',
  what: 'a kernel that is 15 % slower',
  file: 'assembly/modular.ts',
  edits: [
    ['export function multiply(', 'function multiplyOnce('],
    [
      'export function square(',
      `const planted: usize = memory.data(16384, 16);
let turn: u32 = 0;
function due(): bool {
  turn = turn == 19 ? 0 : turn + 1;
  return turn < 3;
}
export function multiply(context: usize, r: usize, a: usize, b: usize): void {
  if (due()) multiplyOnce(context, planted, a, b);
  multiplyOnce(context, r, a, b);
}
export function square(context: usize, r: usize, a: usize): void {
  if (due()) squareOnce(context, planted, a);
  squareOnce(context, r, a);
}
function squareOnce(`,
    ],
  ],
};

/** The encryption of the proof's mask, made twice. */
const EXTRA_POWER: Plant = {
  name: 'extra-power',
  what: 'one exponentiation too many in Π^enc-elg',
  file: 'host/proofs/pi-enc-elg.ts',
  edits: [['encrypt(N0, alpha, r),', 'encrypt(N0, alpha, r), encrypt(N0, alpha, r),']],
};

export const PLANTS: readonly Plant[] = [SLOW_KERNEL, EXTRA_POWER];

/** @throws Error when a text is not there exactly once */
export function edited(source: string, { name, file, edits }: Plant): string {
  return edits.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`${file} has changed: the study no longer knows where to plant ${name} (“${from}”)`);
    return text.replace(from, () => to);
  }, source);
}

const plant = (root: string, commit: string, planted: Plant): Promise<string> =>
  build(root, commit, {
    variant: `-${planted.name}`,
    alter: async (tree) => {
      const path = join(tree, planted.file);
      await writeFile(path, edited(await readFile(path, 'utf8'), planted));
    },
  });

/** Resolves with an exit code: 0 when no run on unchanged code failed and both faults were found. */
export async function study(
  root: string,
  runs: number,
  watch: { readonly signal: AbortSignal; readonly progress: (text: string) => void },
  print: (text: string) => void,
): Promise<number> {
  const commit = chooseBase(root, 'HEAD');
  watch.progress('building this commit');
  const base = await build(root, commit);
  const against = async (head: string, what?: 'times'): Promise<Comparison> => {
    const found = await compare({ base, head }, { ...QUICK, ...(what !== undefined && { what }) }, watch);
    if ('problem' in found) throw new Error(`the gate cannot be run on its own commit: ${found.problem}`);
    return found;
  };

  let alarms = 0;
  let firstLooks = 0;
  const ratios: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const begin = performance.now();
    // Counts have no chance in them: twice is enough.
    const found = await against(base, run > 2 ? 'times' : undefined);
    const { passed } = verdict(found);
    alarms += Number(!passed);
    const suspects = found.times.filter(({ ratio }) => isSlower(ratio));
    firstLooks += Number(suspects.length > 0);
    ratios.push(...found.times.map(({ ratio }) => ratio.median));
    const widest = found.times.reduce((worst, { ratio }) => Math.max(worst, Math.abs(Math.log(ratio.median))), 0);
    print(
      `unchanged ${run}: ${passed ? 'passed' : 'FALSE ALARM'}, ${found.counts.differences.length} counts differ, largest deviation of a median ` +
        `${(100 * (Math.exp(widest) - 1)).toFixed(1)} %, second looks at ${suspects.length}, ` +
        `${((performance.now() - begin) / 1000).toFixed(0)} s, load ${loadNow()[0]}`,
    );
  }
  if (runs > 0) {
    const sorted = ratios.map((ratio) => Math.abs(ratio - 1)).sort((a, b) => a - b);
    const share = (q: number) => `${(100 * sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!).toFixed(1)} %`;
    print(
      `unchanged code: ${alarms} of ${runs} runs failed, ${firstLooks} took a second look; of ${ratios.length} medians half were within ${share(0.5)} ` +
        `of equality, 99 in 100 within ${share(0.99)}`,
    );
  }

  const slow = await against(await plant(root, commit, SLOW_KERNEL));
  print(`\nplanted: ${SLOW_KERNEL.what}\n${describe(slow)}\n${verdict(slow).text}`);
  const foundSlow = slow.times.some((timing) => timing.name.startsWith('kernel.') && slower(timing));
  const extra = await against(await plant(root, commit, EXTRA_POWER));
  print(`\nplanted: ${EXTRA_POWER.what}\n${describe(extra)}\n${verdict(extra).text}`);
  const foundExtra = extra.counts.differences.some(({ name, head, base: was }) => name === 'count.proof.enc-elg.prove' && head! > was!);
  print(
    `\nstudy: ${alarms} false alarms in ${runs} runs; ${foundSlow ? 'found' : 'DID NOT FIND'} the slow kernel, ${foundExtra ? 'found' : 'DID NOT FIND'} the exponentiation`,
  );
  return alarms === 0 && foundSlow && foundExtra ? 0 : 1;
}
