/** What the benchmark says: a table of results beside targets and published claims, as text or as Markdown, and the file of `--json`. */
import Table from 'cli-table3';
import type { Environment } from './environment.ts';
import { CLAIMS, judge, ratiosOf, TARGETS, UNMEASURED_RATIOS, type Target, type Verdict } from './targets.ts';
import type { Result, Skipped } from './types.ts';

export interface Report extends Environment {
  readonly results: readonly Omit<Result, 'samples'>[];
  /** Every sample, by name. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Names without a figure, and why. */
  readonly skipped: readonly Skipped[];
  /** Titles of the scenarios that failed; their results are missing. Absent when all went well. */
  readonly failed?: readonly string[];
}

export function reportOf(about: Environment, results: readonly Result[], skipped: readonly Skipped[], failed: readonly string[]): Report {
  return {
    ...about,
    results: results.map(({ samples: _, ...figures }) => figures),
    samples: Object.fromEntries(results.map(({ name, samples }) => [name, samples.map((value) => Number(value.toPrecision(6)))])),
    skipped,
    ...(failed.length > 0 && { failed }),
  };
}

/** Fewer samples than this have no 99th percentile: the figure in its column is then the largest (of a rate: the smallest). */
const ENOUGH_FOR_P99 = 100;
export const FOOTNOTE = `p99 of fewer than ${ENOUGH_FOR_P99} samples (n) is the worst of them, marked ~`;

/** Four significant digits, and no more than the whole number from there on. */
export const figure = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toString() : Number(value.toPrecision(4)).toString();

const SIGN: Record<Verdict, string> = { aim: 'meets the aim', floor: 'meets the floor', missed: 'MISSES the floor' };

const held = (result: Result, target: Target): string =>
  `${target.of} ${target.better === 'lower' ? '≤' : '≥'} ${target.floor} (aim ${target.aim}): ${SIGN[judge(result[target.of], target)]}`;

/** The published claim, and whether this figure is better. */
function claimed({ name, p50 }: Result): string {
  const claim = CLAIMS[name];
  if (claim === undefined) return '';
  const better = claim.better === 'lower' ? p50 <= claim.p50 : p50 >= claim.p50;
  return `${claim.text}: ${better ? 'beaten' : 'not beaten'}`;
}

/** A table before it has a form. Cells may have several lines. */
export interface Grid {
  readonly head: readonly string[];
  readonly align: readonly ('left' | 'right')[];
  readonly rows: readonly (readonly string[])[];
}

export function asText({ head, align, rows }: Grid): string {
  const table = new Table({ head: [...head], colAligns: [...align], style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

export function asMarkdown({ head, align, rows }: Grid): string {
  const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', '<br>')).join(' | ')} |`;
  return [row(head), row(align.map((side) => (side === 'left' ? '---' : '---:'))), ...rows.map(row)].join('\n');
}

export const resultGrid = (results: readonly Result[]): Grid => ({
  head: ['name', 'min', 'p50', 'p99', 'n', 'unit', 'target', 'published claim'],
  align: ['left', 'right', 'right', 'right', 'right', 'left', 'left', 'left'],
  rows: results.map((result) => {
    const { name, min, p50, p99, n, unit } = result;
    const targets = (TARGETS[name] ?? []).map((target) => held(result, target)).join('\n');
    const worst = `${n < ENOUGH_FOR_P99 ? '~' : ''}${figure(p99)}`;
    return [name, figure(min), figure(p50), worst, n.toString(), unit, targets, claimed(result)];
  }),
});

/** Ratios of medians of this run; undefined when none of their figures were measured. */
export function ratioGrid(results: readonly Result[]): Grid | undefined {
  const ratios = ratiosOf(results);
  if (ratios.length === 0) return undefined;
  return {
    head: ['ratio of medians', 'value', 'floor', 'aim', ''],
    align: ['left', 'right', 'right', 'right', 'left'],
    rows: [
      ...ratios.map(({ what, value, floor, aim, verdict }) => [what, figure(value), floor.toString(), aim.toString(), SIGN[verdict]]),
      ...UNMEASURED_RATIOS.map(({ what, floor, aim, why }) => [what, '–', floor, aim, why]),
    ],
  };
}

/** The names that have no figure, by reason. */
export function skippedText(skipped: readonly Skipped[]): string {
  const reasons = [...new Set(skipped.map(({ why }) => why))];
  return reasons
    .map((why) => {
      const names = skipped.filter((one) => one.why === why).map(({ name }) => name);
      return `not measured (${why}): ${names.join(', ')}`;
    })
    .join('\n');
}

/** All of it for a document: circumstances, figures, ratios, what is missing. */
export function markdown(about: string, results: readonly Result[], skipped: readonly Skipped[]): string {
  const ratios = ratioGrid(results);
  return `${[
    `\`\`\`\n${about}\n\`\`\``,
    ...(results.length > 0 ? [`${asMarkdown(resultGrid(results))}\n\n${FOOTNOTE}`] : []),
    ...(ratios === undefined ? [] : [asMarkdown(ratios)]),
    ...(skipped.length > 0 ? [skippedText(skipped).replaceAll('\n', '\n\n')] : []),
  ].join('\n\n')}\n`;
}
