/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import { Refusal } from '../host/base/errors.ts';
import type { Scenario } from './scenario.ts';

export interface BenchOptions {
  readonly quick: boolean;
  readonly help: boolean;
  /** File for the results. */
  readonly json?: string;
  /** File for the tables as Markdown. */
  readonly markdown?: string;
  /** Folder for charts. */
  readonly plots?: string;
  /** Beginnings of names; empty for everything. */
  readonly only: readonly string[];
  /** Data folder of the cluster. */
  readonly data?: string;
}

export const USAGE = `npm run bench -- [options]

  --quick                  a few samples of everything that needs no minutes; two to three minutes on two idle processors
  --only PREFIX[,PREFIX]   only results whose names begin so: kernel, proof.mod, presign.party.4of5,sign.frost
  --json FILE              write the results and all samples to FILE as well
  --markdown FILE          write the tables to FILE as Markdown
  --plots DIR              draw distributions and costs as SVG files in DIR
  --data DIR               let the measured cluster live in DIR and leave it there: the next run with it finds keys and presignatures
                           (without it: a temporary folder, removed at the end)
  --help                   this text
`;

/** @throws Refusal naming the option. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: false,
      options: {
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        json: { type: 'string' },
        markdown: { type: 'string' },
        plots: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
        data: { type: 'string' },
      },
    }));
  } catch (cause) {
    // parseArgs names the option in its first sentence; the rest advises on the use of "--".
    const message = (cause as Error).message.split(/\.\s/)[0]!;
    throw new Refusal('bench.option', /'([^']*)'/.exec(message)?.[1] ?? 'options', message, 'npm run bench -- --help lists the options');
  }
  const only = values.only.flatMap((list) => list.split(',')).map((prefix) => prefix.trim());
  const { json, markdown, plots, data } = values;
  const files = Object.entries({ json, markdown, plots, data });
  for (const [option, value] of [...only.map((prefix) => ['only', prefix]), ...files])
    if (value === '')
      throw new Refusal('bench.option', `--${option}`, `--${option} has an empty value`, 'npm run bench -- --help shows what it takes');
  return {
    quick: values.quick,
    help: values.help,
    only,
    ...(json !== undefined && { json }),
    ...(markdown !== undefined && { markdown }),
    ...(plots !== undefined && { plots }),
    ...(data !== undefined && { data }),
  };
}

/** A name is wanted when one of the prefixes is the beginning of it, in whole parts or within one; without prefixes every name is. */
export const wants =
  (only: readonly string[]) =>
  (name: string): boolean =>
    only.length === 0 || only.some((prefix) => name.startsWith(prefix));

/** The scenarios that give a wanted result. @throws Refusal for a prefix that no name begins with. */
export function select(scenarios: readonly Scenario[], { only, quick }: Pick<BenchOptions, 'only' | 'quick'>): Scenario[] {
  const all = scenarios.flatMap((scenario) => scenario.names(quick));
  for (const prefix of only) {
    if (all.some((name) => name.startsWith(prefix))) continue;
    const inFull = quick && scenarios.some((scenario) => scenario.names(false).some((name) => name.startsWith(prefix)));
    throw new Refusal(
      'bench.only',
      '--only',
      inFull ? `a quick run has no results that begin with ${prefix}` : `no result begins with ${prefix}`,
      inFull ? 'leave --quick out' : `names begin with ${[...new Set(all.map((name) => name.split('.')[0]!))].join(', ')}`,
    );
  }
  return scenarios.filter((scenario) => scenario.names(quick).some(wants(only)));
}
