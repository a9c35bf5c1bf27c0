/** `primes make|import`: work on files here, not at the other end of the API. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { record } from '../table.ts';
import { action, integer } from './options.ts';

interface Options {
  readonly config: string;
  readonly passphraseFile?: string;
}

export function registerPrimes(program: Command, io: Io): void {
  const primes = program.command('primes').description('safe primes for auxiliary information, made ahead of time');
  const common = (command: Command) =>
    command
      .requiredOption('--config <file>', 'configuration of the node that they are for (TOML)')
      .option('--passphrase-file <file>', "file with the passphrase of the file; the one of the node's vault when absent");
  common(primes.command('make').description('search primes on all processors of this machine, into a sealed file for one node'))
    .requiredOption('--out <file>', 'a new file')
    .option('--count <n>', 'how many; auxiliary information takes four', integer('--count', 1, 64), 4)
    .action(action(io, make));
  common(
    primes.command('import').description('put the primes of a file into the vault of its node, which must be stopped; the file is deleted'),
  )
    .argument('<file>', 'the file')
    .action(action(io, read));
}

async function make(session: Session, { out, count, ...options }: Options & { out: string; count: number }): Promise<void> {
  const { makePrimes } = await import('../../node/primes.ts');
  session.note(`searching ${count} safe primes of 1536 bits: some seconds of a processor each, with luck`);
  const found = (ready: number) => session.note(`${ready} of ${count}`);
  await makePrimes({ ...options, file: out }, { count, threads: availableParallelism(), found });
  session.print({ file: out, primes: count }, () =>
    record(session.paint, [
      ['file', out],
      ['primes', count],
    ]),
  );
}

async function read(session: Session, options: Options, file: string): Promise<void> {
  const { readPrimes } = await import('../../node/primes.ts');
  const { imported, ready } = await readPrimes({ ...options, file });
  session.print({ imported, ready }, () =>
    record(session.paint, [
      ['imported', imported],
      ['in stock', ready],
    ]),
  );
}
