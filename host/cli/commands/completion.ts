/** `completion`: a script for the shell, made from the commands that are registered. */
import { Command } from 'commander';
import { Refusal } from '../../base/errors.ts';
import type { Io } from '../io.ts';
import { oneOf } from './options.ts';

export function registerCompletion(program: Command, io: Io): void {
  program
    .command('completion')
    .description('print a completion script: eval "$(threshold-wallet completion bash)"')
    .argument('<shell>', 'bash or zsh', oneOf('shell', ['bash', 'zsh']))
    .action((shell: string) => {
      io.stdout.write(script(program, shell));
    });
}

/** What may follow each prefix of commands: `wallet` → `create list …`, with the options that are valid there. */
function words(command: Command, prefix: string, known: Map<string, string[]>, inherited: readonly string[]): Map<string, string[]> {
  const own = command.options.flatMap((option) => (option.long === null || option.long === undefined ? [] : [option.long]));
  known.set(prefix, [
    ...command.commands.flatMap((one) => [one.name(), ...one.aliases()]),
    ...own,
    ...(prefix === '' ? [] : inherited),
    '--help',
  ]);
  for (const one of command.commands) {
    for (const name of [one.name(), ...one.aliases()]) words(one, prefix === '' ? name : `${prefix} ${name}`, known, inherited);
  }
  return known;
}

function script(program: Command, shell: string): string {
  const name = program.name();
  const globals = program.options.flatMap((option) => (option.long === null || option.long === undefined ? [] : [option.long]));
  const table = words(program, '', new Map(), globals);
  if (![...table.values()].flat().every((word) => /^[a-z-]+$/.test(word))) {
    throw new Refusal('cli.completion', 'shell', 'a command has a name that a shell cannot complete', 'report it');
  }
  const cases = [...table].map(([prefix, list]) => `    '${prefix}') words='${list.join(' ')}' ;;`);
  return `${shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_threshold_wallet() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) break ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _threshold_wallet ${name}
`;
}
