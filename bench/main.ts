/** `npm run bench`: measures, prints, and with `--json` writes a file that comparisons can read. */
import { writeFile } from 'node:fs/promises';
import { Fault, Refusal, Unavailable } from '../host/base/errors.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { cluster } from './cluster.ts';
import { environment, header, loadNow } from './environment.ts';
import { kernelScenario } from './kernel-scenario.ts';
import { parseOptions, select, USAGE, wants, type BenchOptions } from './options.ts';
import { writePlots } from './plots.ts';
import { proofs } from './proofs.ts';
import { protocol } from './protocol.ts';
import { asText, FOOTNOTE, markdown, ratioGrid, reportOf, resultGrid, skippedText } from './report.ts';
import { service } from './service.ts';
import type { Scenario } from './scenario.ts';
import type { Result, Skipped } from './types.ts';

const SCENARIOS: readonly Scenario[] = [kernelScenario, proofs, protocol, cluster, service];
const USAGE_ERROR = 2;
const INTERRUPTED = 130;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Measured {
  readonly results: Result[];
  readonly skipped: Skipped[];
  readonly failed: string[];
}

/** Measures one scenario after the other; one that fails is named, and the others go on. Every promised name ends as a result or with a reason. */
async function measure(chosen: readonly Scenario[], options: BenchOptions, signal: AbortSignal): Promise<Measured> {
  const wanted = wants(options.only);
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  const failed: string[] = [];
  for (const { title, names, fullOnly, run } of chosen) {
    if (signal.aborted) break;
    let missing = 'the scenario gave no figure';
    try {
      const found = run({
        quick: options.quick,
        wanted,
        signal,
        progress: (text) => say(`  ${title}: ${text}`),
        ...(options.data !== undefined && { data: options.data }),
      });
      for await (const outcome of found) {
        if (!wanted(outcome.name)) continue;
        if ('why' in outcome) skipped.push(outcome);
        else results.push(outcome);
      }
    } catch (error) {
      if (signal.aborted) break;
      failed.push(title);
      missing = `the scenario failed: ${(error as Error).message}`;
      say(`  ${title} FAILED: ${explain(error)}`);
    }
    const has = (name: string) => [...results, ...skipped].some((outcome) => outcome.name === name);
    const inQuick = names(options.quick);
    for (const name of names(false).filter((name) => wanted(name) && !has(name)))
      skipped.push({ name, why: inQuick.includes(name) ? missing : `in a full run only: ${fullOnly ?? 'it takes minutes'}` });
  }
  return { results, skipped, failed };
}

function explain(error: unknown): string {
  if (error instanceof Refusal || error instanceof Unavailable) return `${error.message}; ${error.remedy}`;
  if (error instanceof Fault) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const chosen = select(SCENARIOS, options);
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);

  const before = environment(chooseKernel().kernel);
  process.stdout.write(`${header(before)}\n\n`);
  const { results, skipped, failed } = await measure(chosen, options, interrupted.signal);
  process.removeListener('SIGINT', interrupt);
  process.removeListener('SIGTERM', interrupt);

  const about = { ...before, machine: { ...before.machine, load_after: loadNow() } };
  const ratios = ratioGrid(results);
  if (results.length > 0) process.stdout.write(`${asText(resultGrid(results))}\n${FOOTNOTE}\n`);
  if (ratios !== undefined) process.stdout.write(`\n${asText(ratios)}\n`);
  if (skipped.length > 0) process.stdout.write(`\n${skippedText(skipped)}\n`);
  if (interrupted.signal.aborted) {
    say('interrupted: the results are not complete, and no file is written');
    return INTERRUPTED;
  }
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(reportOf(about, results, skipped, failed), null, 2)}\n`);
  if (options.markdown !== undefined) await writeFile(options.markdown, markdown(header(about), results, skipped));
  if (options.plots !== undefined) {
    const files = await writePlots(options.plots, results);
    say(files.length > 0 ? `  plots: ${files.join(', ')}` : '  plots: none, too few samples');
  }
  if (failed.length === 0) return 0;
  say(`failed: ${failed.join(', ')}`);
  return 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(explain(error));
  process.exitCode = error instanceof Refusal ? USAGE_ERROR : 1;
}
