/**
 * `npm run fuzz`: hours of what the tests do for seconds. The decoders run on a thread of their own with bounded memory; one input that takes
 * longer than {@link HANG_MS}, or that exhausts the memory, is a finding like any other. Exit code 1 when there was one.
 */
import { Worker } from 'node:worker_threads';
import { hex } from '../host/base/bytes.ts';
import { Refusal } from '../host/base/errors.ts';
import { decoders } from './decoders.ts';
import { replay, type Finding } from './engine.ts';
import { parseOptions, USAGE, type FuzzOptions } from './options.ts';
import type { Assignment, Progress } from './worker.ts';

const HANG_MS = 10_000;
const MEMORY_MB = 256;
const USAGE_ERROR = 2;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function report({ problem, bytes, ...finding }: Finding): void {
  say(`FOUND in ${finding.decoder}: ${problem}\n  again: ${replay(finding)}`);
  if (bytes.length > 0) say(`  bytes: ${hex(bytes.subarray(0, 512))}${bytes.length > 512 ? ` … (${bytes.length} bytes)` : ''}`);
}

/** Hunts until time is up. A thread that hangs or dies is reported and replaced, behind the input at which it was. */
async function run(
  names: readonly string[],
  { seconds, seed, input }: FuzzOptions,
): Promise<{ inputs: number; accepted: number; findings: number }> {
  const end = Date.now() + 1000 * seconds;
  const only = input !== undefined;
  let findings = 0;
  let inputs = 0;
  let accepted = 0;
  for (let from = input ?? 0; ;) {
    const progress: Progress = new Int32Array(new SharedArrayBuffer(16));
    const assignment: Assignment = { progress, names, seed, from, only };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: assignment,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    });
    worker.on('message', (finding: Finding) => {
      findings++;
      report(finding);
    });
    const ended = await watch(worker, progress, only ? Number.MAX_SAFE_INTEGER : end);
    inputs += progress[2]!;
    accepted += progress[3]!;
    if (ended === 'finished' || ended === 'time') return { inputs, accepted, findings };
    findings++;
    const at = progress[1]!;
    report({ decoder: names[progress[0]!]!, seed, input: at, bytes: new Uint8Array(), problem: ended });
    if (only || Date.now() >= end) return { inputs, accepted, findings };
    from = at + 1;
  }
}

/** How a worker ended: `finished`, `time`, or what was wrong with the input at which it stands. */
function watch(worker: Worker, progress: Progress, end: number): Promise<string> {
  return new Promise((resolve) => {
    let done = -1;
    let since = Date.now();
    let stopped = false;
    // The first reason counts: a thread that died of an error has also ended.
    const stop = (how: string): void => {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      worker.terminate().then(() => resolve(how), () => resolve(how)); // prettier-ignore
    };
    const timer = setInterval(() => {
      const now = Date.now();
      const count = Atomics.load(progress, 2);
      if (count !== done) [done, since] = [count, now];
      else if (count > 0 && now - since > HANG_MS) stop(`no end within ${HANG_MS} ms`);
      if (now >= end) stop('time');
    }, 100);
    worker.once('error', (error) => stop(`the thread died: ${error.message}`));
    worker.once('exit', (code) => stop(code === 0 ? 'finished' : `the thread ended with code ${code}`));
  });
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv, Date.now());
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const all = decoders().map(({ name }) => name);
  const names = all.filter((name) => (options.input === undefined ? name.startsWith(options.decoder) : name === options.decoder));
  if (names.length === 0) {
    throw new Refusal('fuzz.decoder', '--decoder', `no decoder is named ${options.decoder}…`, 'npm run fuzz -- --list shows the names');
  }
  if (options.list) {
    for (const name of names) say(name);
    return 0;
  }
  say(`${names.length} decoders, seed ${options.seed}`);
  const { inputs, accepted, findings } = await run(names, options);
  say(`${inputs} inputs, ${accepted} of them valid; ${findings === 0 ? 'nothing found' : `${findings} findings`}`);
  return findings === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}; ${error.remedy}\n`);
  process.exitCode = USAGE_ERROR;
}
