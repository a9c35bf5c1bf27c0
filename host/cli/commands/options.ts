/** Parsers of option values, and what every command file shares. */
import type { Command } from 'commander';
import { Refusal } from '../../base/errors.ts';
import { createSession, type GlobalOptions, type Session } from '../session.ts';
import type { Io } from '../io.ts';

/** Runs a command's work in a session made from its own and the global options. */
export function action<A extends readonly unknown[], O>(
  io: Io,
  work: (session: Session, options: O, ...args: A) => Promise<number | void>,
) {
  return async function (this: Command, ...given: unknown[]): Promise<void> {
    // commander passes the arguments, then the options, then the command.
    const args = given.slice(0, -2) as unknown as A;
    const options = this.optsWithGlobals<O & GlobalOptions>();
    exits.set(rootOf(this), (await work(createSession(options, io), options, ...args)) ?? 0);
  };
}

/** What the command's work returned, by its program. */
const exits = new WeakMap<Command, number>();
export const exitOf = (program: Command): number => exits.get(program) ?? 0;

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

/** Digits only, within bounds. */
export function integer(name: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new Refusal('cli.option', name, `${name} cannot be "${text.slice(0, 40)}"`, `give a whole number from ${min} to ${max}`);
  };
}

/** Satoshis per virtual byte: digits and a decimal point. */
export function feeRate(text: string): number {
  const value = /^\d{1,7}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  const remedy = 'give satoshis per virtual byte above 0, for example 2.5, or leave it out';
  throw new Refusal('cli.option', '--fee-rate', `--fee-rate cannot be "${text.slice(0, 40)}"`, remedy);
}

/** One of a list. */
export function oneOf<T extends string>(name: string, values: readonly T[]): (text: string) => T {
  return (text) => {
    const found = values.find((value) => value === text);
    if (found !== undefined) return found;
    throw new Refusal('cli.option', name, `${name} cannot be "${text.slice(0, 40)}"`, `use one of ${values.join(', ')}`);
  };
}

/** Names of nodes with commas between them. */
export function nodeList(name: string): (text: string) => string[] {
  return (text) => {
    const nodes = text.split(',');
    if (nodes.every((node) => /^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/.test(node)) && new Set(nodes).size === nodes.length) return nodes;
    throw new Refusal('cli.option', name, `${name} cannot be "${text.slice(0, 80)}"`, 'give different node names: node-1,node-2,node-4');
  };
}

/** Ids go into URLs; they have the server's form or are refused here. */
export function identifier(name: string): (text: string) => string {
  return (text) => {
    if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
    throw new Refusal('cli.option', name, `"${text.slice(0, 40)}" is no id`, 'ids are 1 to 64 letters, digits, "-" and "_"');
  };
}
