/** The command line of the fuzzer. */
import { parseArgs } from 'node:util';
import { Refusal } from '../host/base/errors.ts';

export interface FuzzOptions {
  readonly help: boolean;
  readonly list: boolean;
  /** How long to go on, over all chosen decoders. */
  readonly seconds: number;
  /** Beginnings of names; empty for all decoders. */
  readonly decoder: string;
  readonly seed: number;
  /** One input only: the replay of a finding. */
  readonly input: number | undefined;
}

export const USAGE = `npm run fuzz -- [options]

  --seconds N       go on for N seconds (default 60), in turn over all chosen decoders
  --decoder PREFIX  only decoders whose names begin so: round/presign, record, proof/aff-g
  --seed N          where the choices start (default: the time); printed, so that a run can be repeated
  --input N         only input N of the seed, with the whole finding: what a finding tells to run
  --list            the names of the decoders
  --help            this text
`;

/** @throws Refusal naming the option. */
export function parseOptions(argv: readonly string[], now: number): FuzzOptions {
  const string = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = { seconds: string, decoder: string, seed: string, input: string, list: flag, help: flag };
  let values;
  try {
    ({ values } = parseArgs({ args: [...argv], strict: true, allowPositionals: false, options }));
  } catch (cause) {
    throw new Refusal('fuzz.option', 'options', (cause as Error).message.split(/\.\s/)[0]!, 'npm run fuzz -- --help lists the options');
  }
  const whole = (option: 'seconds' | 'seed' | 'input', otherwise: number): number => {
    const given = values[option];
    if (given === undefined) return otherwise;
    if (!/^[0-9]{1,10}$/.test(given))
      throw new Refusal('fuzz.option', `--${option}`, `--${option} is not a whole number: ${given}`, `give a number`);
    return Number(given);
  };
  return {
    help: values.help,
    list: values.list,
    seconds: whole('seconds', 60),
    decoder: values.decoder ?? '',
    seed: whole('seed', now % 1_000_000_000),
    input: values.input === undefined ? undefined : whole('input', 0),
  };
}
