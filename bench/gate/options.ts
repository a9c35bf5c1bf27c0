/** The command line of the gate. */
import { parseArgs } from 'node:util';
import { Refusal } from '../../host/base/errors.ts';

export interface GateOptions {
  readonly help: boolean;
  readonly quick: boolean;
  readonly countsOnly: boolean;
  /** Nothing to compare with is a failure. */
  readonly strict: boolean;
  readonly base?: string;
  readonly json?: string;
  /** Runs of the study of the gate itself; undefined for the gate. */
  readonly selfTest?: number;
}

export const USAGE = `npm run bench:gate -- [options]

Compares this tree with a base commit: operations and bytes exactly, times in pairs on this machine.

  --base REV       the commit to compare with. Default: where this branch left the main one; on the main branch itself the last commit, when
                   there are changes that are not committed, else the one before it
  --quick          fewer probes and shorter: two to four minutes, with the building of the base
  --counts-only    no times
  --strict         fail when there is nothing to compare with: no base, or one that does not build or has no gate
  --json FILE      write what was found to FILE as well
  --self-test[=N]  a study of the gate itself, on this commit: N runs against itself (20), then a kernel made slower by 15 %, then a proof with one
                   exponentiation too many. What it says is in docs/performance.md. Takes half an hour
  --help           this text

A figure that is meant to be larger is accepted by a line in the message of a commit since the base: "Bench-Accepts: count.presign.2of3".

Exit code: 0 nothing became slower or larger (or there was nothing to compare with: the last line says so), 1 something did, 2 wrong options,
3 nothing to compare with under --strict.
`;

const DEFAULT_RUNS = 20;

/** @throws Refusal naming the option. */
export function parseOptions(argv: readonly string[]): GateOptions {
  // An option with a value that may be left out is not in parseArgs' power.
  const args = argv.map((arg) => (arg === '--self-test' ? `--self-test=${DEFAULT_RUNS}` : arg));
  let values;
  try {
    ({ values } = parseArgs({
      args,
      strict: true,
      allowPositionals: false,
      options: {
        help: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        'counts-only': { type: 'boolean', default: false },
        strict: { type: 'boolean', default: false },
        base: { type: 'string' },
        json: { type: 'string' },
        'self-test': { type: 'string' },
      },
    }));
  } catch (cause) {
    const message = (cause as Error).message.split(/\.\s/)[0]!;
    throw refused(/'([^']*)'/.exec(message)?.[1] ?? 'options', message);
  }
  const { base, json } = values;
  for (const [option, value] of [
    ['--base', base],
    ['--json', json],
  ] as const)
    // prettier-ignore
    if (value === '') throw refused(option, `${option} has an empty value`);
  const runs = values['self-test'];
  if (runs !== undefined && !/^(0|[1-9]\d{0,3})$/.test(runs))
    throw refused('--self-test', `--self-test takes a number of runs, not ${runs}`);
  return {
    help: values.help,
    quick: values.quick,
    countsOnly: values['counts-only'],
    strict: values.strict,
    ...(base !== undefined && { base }),
    ...(json !== undefined && { json }),
    ...(runs !== undefined && { selfTest: Number(runs) }),
  };
}

const refused = (option: string, message: string): Refusal =>
  new Refusal('gate.option', option, message, 'npm run bench:gate -- --help lists the options');
