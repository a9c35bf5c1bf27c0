/** `npm run bench`: measures, prints, and with `--json` writes a file that comparisons can read. */
import { writeFile } from 'node:fs/promises';
import { Fault, Refusal, Unavailable } from '../host/base/errors.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { cluster } from './cluster.ts';
import { kernelScenario } from './kernel-scenario.ts';
import { parseOptions, select, USAGE, wants, type BenchOptions } from './options.ts';
import { proofs } from './proofs.ts';
import { protocol } from './protocol.ts';
import { header, loadNow, machineInfo, ratioTable, table, type Report } from './report.ts';
import type { Scenario } from './scenario.ts';
import type { Result } from './types.ts';

const SCENARIOS: readonly Scenario[] = [kernelScenario, proofs, protocol, cluster];
const USAGE_ERROR = 2;
const INTERRUPTED = 130;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Measures one scenario after the other; one that fails is named, and the others go on. */
async function measure(
  chosen: readonly Scenario[],
  options: BenchOptions,
  signal: AbortSignal,
): Promise<{ results: Result[]; failed: string[] }> {
  const wanted = wants(options.only);
  const results: Result[] = [];
  const failed: string[] = [];
  for (const { title, names, run } of chosen) {
    if (signal.aborted) break;
    try {
      const found = run({
        quick: options.quick,
        wanted,
        signal,
        progress: (text) => say(`  ${title}: ${text}`),
        ...(options.data !== undefined && { data: options.data }),
      });
      for await (const result of found) if (wanted(result.name)) results.push(result);
      const missing = names(options.quick).filter((name) => wanted(name) && !results.some((result) => result.name === name));
      // A start is first only once per data folder.
      for (const name of missing) say(`  ${title}: ${name} was not measured`);
    } catch (error) {
      if (signal.aborted) break;
      failed.push(title);
      say(`  ${title} FAILED: ${explain(error)}`);
    }
  }
  return { results, failed };
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

  const about = { machine: machineInfo(), node: process.version, kernel: chooseKernel().kernel };
  process.stdout.write(`${header(about)}\n\n`);
  const { results, failed } = await measure(chosen, options, interrupted.signal);
  process.removeListener('SIGINT', interrupt);
  process.removeListener('SIGTERM', interrupt);

  const machine = { ...about.machine, load_after: loadNow() };
  if (results.length > 0) process.stdout.write(`${table(results)}\n`);
  const ratios = ratioTable(results);
  if (ratios !== undefined) process.stdout.write(`\n${ratios}\n`);
  if (interrupted.signal.aborted) {
    say('interrupted: the results are not complete, and no file is written');
    return INTERRUPTED;
  }
  if (options.json !== undefined) {
    const report: Report = { ...about, machine, results, ...(failed.length > 0 && { failed }) };
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
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
