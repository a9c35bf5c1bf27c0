/** `npm run bench:gate`: whether this tree does more, sends more or takes longer than the commit it started from. */
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Refusal } from '../../host/base/errors.ts';
import { chooseKernel } from '../../host/core/self-test.ts';
import { environment, header } from '../environment.ts';
import { acceptedSince, build, chooseBase, describe as describeCommit, NoBase } from './base.ts';
import { compare, FULL, QUICK } from './compare.ts';
import { parseOptions, USAGE, type GateOptions } from './options.ts';
import { describe, verdict } from './report.ts';
import { study } from './study.ts';

const USAGE_ERROR = 2;
const NOTHING_TO_COMPARE = 3;
const INTERRUPTED = 130;

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** This tree: dist/bench/gate/main.js runs. */
const root = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));

async function gate(options: GateOptions, signal: AbortSignal): Promise<number> {
  const nothing = (why: string): number => {
    print(`gate: nothing was compared: ${why}`);
    return options.strict ? NOTHING_TO_COMPARE : 0;
  };
  let tree: string;
  let commit: string;
  try {
    commit = chooseBase(root, options.base);
    print(`base     ${describeCommit(root, commit)}\n`);
    say('  building the base');
    tree = await build(root, commit);
  } catch (error) {
    if (error instanceof NoBase) return nothing(error.message);
    throw error;
  }
  const effort = { ...(options.quick ? QUICK : FULL), ...(options.countsOnly && { what: 'counts' as const }) };
  const found = await compare({ base: tree, head: root }, effort, { signal, progress: (text) => say(`  ${text}`) });
  if ('problem' in found) return nothing(`the base cannot be measured: ${found.problem}`);
  print(describe(found));
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify({ base: commit, ...found }, null, 2)}\n`);
  const { passed, text } = verdict({ ...found, accepted: acceptedSince(root, commit) });
  print(`\n${text}`);
  return passed ? 0 : 1;
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  print(header(environment(chooseKernel().kernel)));
  try {
    if (options.selfTest === undefined) return await gate(options, interrupted.signal);
    return await study(root, options.selfTest, { signal: interrupted.signal, progress: (text) => say(`  ${text}`) }, print);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    say('interrupted');
    return INTERRUPTED;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(
    error instanceof Refusal
      ? `${error.message}; ${error.remedy}`
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error),
  );
  process.exitCode = error instanceof Refusal ? USAGE_ERROR : 1;
}
