/** Which charts the results give: how each latency is distributed, and what a presignature costs against signers and against the batch. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawChart, type Chart, type Series } from './svg.ts';
import type { Result } from './types.ts';

/** Distributions of what belongs together, by beginnings of names. */
const GROUPS: readonly { readonly file: string; readonly title: string; readonly only: readonly string[] }[] = [
  { file: 'modexp-3072', title: 'Exponentiation, 3072-bit exponent and modulus', only: ['kernel.modexp.3072x3072'] },
  { file: 'modexp-6144', title: 'Exponentiation, 3072-bit exponent, 6144-bit modulus', only: ['kernel.modexp.6144x3072'] },
  { file: 'paillier', title: 'Paillier with a 3072-bit modulus', only: ['paillier.'] },
  { file: 'proofs-prove', title: 'Making a proof, production parameters', only: ['proof.*.prove'] },
  { file: 'proofs-verify', title: 'Checking a proof, production parameters', only: ['proof.*.verify'] },
  {
    file: 'signing',
    title: 'Signing and voting, five processes',
    only: ['vote.4of5', 'sign.pool.4of5', 'sign.frost.4of5', 'sign.interactive.4of5'],
  },
  { file: 'payments', title: 'A payment from request to acceptance, five processes', only: ['payment.'] },
];
/** Of fewer samples there is no distribution. */
const ENOUGH = 5;

const matches = (name: string, pattern: string): boolean => {
  const [before, after] = pattern.split('*');
  return after === undefined ? name.startsWith(pattern) : name.startsWith(before!) && name.endsWith(after);
};

/** The empirical distribution: at the k-th smallest of n samples it rises to k/n. */
export function distribution({ name, samples }: Pick<Result, 'name' | 'samples'>): Series {
  const sorted = [...samples].sort((a, b) => a - b);
  const points = sorted.map((value, k): [number, number] => [value, (k + 1) / sorted.length]);
  return { name, style: 'steps', points: [[sorted[0]!, 0], ...points] };
}

function distributions(results: readonly Result[]): [file: string, chart: Chart][] {
  return GROUPS.flatMap(({ file, title, only }) => {
    const found = results.filter(
      ({ name, unit, samples }) => unit === 'ms' && samples.length >= ENOUGH && only.some((pattern) => matches(name, pattern)),
    );
    if (found.length === 0) return [];
    const counts = [...new Set(found.map(({ n }) => n))].sort((a, b) => a - b);
    const chart: Chart = {
      title,
      subtitle: `distribution of ${counts.join(', ')} samples${counts.length > 1 ? ', depending on the line' : ' each'}`,
      x: { label: 'milliseconds', scale: 'log' },
      y: { label: 'share of samples not above', scale: 'linear', from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1] },
      series: found.map(distribution),
    };
    return [[`latency-${file}.svg`, chart] as [string, Chart]];
  });
}

/** A series of points whose x stands in the names: `pattern` has one group for it. */
function against(results: readonly Result[], name: string, pattern: RegExp): Series[] {
  const points = results.flatMap((result): [number, number][] => {
    const x = pattern.exec(result.name)?.[1];
    return x === undefined ? [] : [[Number(x), result.p50]];
  });
  return points.length < 2 ? [] : [{ name, style: 'line', points }];
}

function costs(results: readonly Result[]): [file: string, chart: Chart][] {
  const label = 'CPU ms per party and presignature';
  const charts: [file: string, subject: string, x: string, series: Series[]][] = [
    [
      'presign-signers',
      'the number of signers',
      'signers',
      [
        ...against(results, 'one at a time', /^presign\.signers\.(\d+)of\d+$/),
        ...against(results, 'batches of ten', /^presign\.party\.(\d+)of\d+$/),
      ],
    ],
    [
      'presign-batch',
      'the size of the batch',
      'presignatures in one run',
      [
        ...against(results, '2 of 3 signers', /^presign\.batch\.2of3\.(\d+)$/),
        ...against(results, '4 of 5 signers', /^presign\.batch\.4of5\.(\d+)$/),
      ],
    ],
  ];
  return charts.flatMap(([file, subject, x, series]) => {
    if (series.length === 0) return [];
    const ticks = [...new Set(series.flatMap(({ points }) => points.map(([value]) => value)))];
    const chart: Chart = {
      title: `Cost of a presignature against ${subject}`,
      subtitle: 'processor time of one party at production parameters, medians',
      x: { label: x, scale: 'linear', from: 0, to: Math.max(...ticks) + 0.5, ticks },
      y: { label, scale: 'linear', from: 0 },
      series,
    };
    return [[`${file}.svg`, chart] as [string, Chart]];
  });
}

/** Writes all charts that the results suffice for. Resolves with the names of the files. */
export async function writePlots(folder: string, results: readonly Result[]): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const charts = [...distributions(results), ...costs(results)];
  for (const [file, chart] of charts) await writeFile(join(folder, file), drawChart(chart));
  return charts.map(([file]) => file);
}
