/** The command line as a function: arguments and a world in, exit code out. It holds no logic of the wallet; every answer is the API's. */
import { VERSION } from '../base/version.ts';
import { Command, CommanderError } from 'commander';
import { registerCluster } from './commands/cluster.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerEvidence } from './commands/evidence.ts';
import { registerKeys } from './commands/keys.ts';
import { registerLocal } from './commands/local.ts';
import { exitOf } from './commands/options.ts';
import { registerPrimes } from './commands/primes.ts';
import { registerSend } from './commands/send.ts';
import { registerTransactions } from './commands/tx.ts';
import { registerWallet } from './commands/wallet.ts';
import { EXIT, report } from './failure.ts';
import type { Io } from './io.ts';

/** @returns the exit code (docs/cli.md). */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const program = createProgram(io);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitOf(program);
  } catch (error) {
    // Help and version were asked for and have been printed; help instead of an answer is a usage error.
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok;
      if (error.code === 'commander.help') return EXIT.usage;
    }
    // As typed: the options may be what could not be parsed.
    return report(error, io, args.includes('--json'));
  }
}

function createProgram(io: Io): Command {
  const program = new Command('threshold-wallet')
    .description('A Bitcoin wallet whose key exists nowhere in one place.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // Errors are reported once, in our own form.
      outputError: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showSuggestionAfterError(true)
    .option('--json', 'one JSON document on stdout; problems as JSON on stderr')
    .option('--no-color', 'no colours, as with NO_COLOR')
    .option('--api-endpoint <url>', 'node to talk to (THRESHOLD_API_ENDPOINT; the running local cluster when absent)')
    .option('--token <token>', 'bearer token (THRESHOLD_TOKEN); visible to other users of this machine, prefer a file')
    .option('--token-file <file>', 'file that holds the token (THRESHOLD_TOKEN_FILE)')
    .option('--data <folder>', 'folder of the local cluster', './data')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 bad usage or input, 3 not reachable, 4 not authorised, 5 not found, 6 conflict, 7 payment not sent, 8 and 9 evidence not proven or malformed.',
    );
  registerWallet(program, io);
  registerSend(program, io);
  registerTransactions(program, io);
  registerKeys(program, io);
  registerPrimes(program, io);
  registerCluster(program, io);
  registerLocal(program, io);
  registerEvidence(program, io);
  registerCompletion(program, io);
  return program;
}
