/**
 * A core that waits for the rest: what is asked for in one turn of the event loop goes to the arithmetic as one batch. Protocols start many
 * proofs at once, each with a handful of operations of different shapes; together there are equal shapes, and two of those share the two lanes
 * of the kernel.
 *
 * Results are handed out with pauses, since each of them is followed by elliptic-curve work on this thread: for a batch of presignatures some tenths of
 * a second, in which a signature would have to wait. What is asked for meanwhile still goes together.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Core, Operation, RunOptions } from './types.ts';

interface Call {
  readonly operations: readonly Operation[];
  resolve(values: bigint[]): void;
  reject(error: unknown): void;
}

/** Milliseconds of work after which others get a turn. */
const PAUSE_AFTER_MS = 5;

/** Everything is run with `options`. An operation that fails does so for its own call only: calls of a batch that failed are run again, each alone. */
export function gathering(core: Core, options: RunOptions = {}): Core {
  let calls: Call[] = [];
  /** Batches whose results are being handed out. */
  let handing = 0;

  const schedule = (): void => void setImmediate(() => void flush());

  async function flush(): Promise<void> {
    const batch = calls;
    calls = [];
    try {
      const values = await core.run(
        batch.flatMap(({ operations }) => operations),
        options,
      );
      await handOut(batch, values);
    } catch (error) {
      if (batch.length === 1) return batch[0]!.reject(error);
      for (const { operations, resolve, reject } of batch) core.run(operations, options).then(resolve, reject);
    }
  }

  async function handOut(batch: readonly Call[], values: readonly bigint[]): Promise<void> {
    handing++;
    let at = 0;
    let since = performance.now();
    for (const { operations, resolve } of batch) {
      resolve(values.slice(at, (at += operations.length)));
      // What waits for the result goes on now.
      await Promise.resolve();
      if (performance.now() - since < PAUSE_AFTER_MS) continue;
      await turn();
      since = performance.now();
    }
    handing--;
    if (handing === 0 && calls.length > 0) schedule();
  }

  return {
    kernel: core.kernel,
    run: <const O extends readonly Operation[]>(operations: O) =>
      new Promise<bigint[]>((resolve, reject) => {
        if (calls.push({ operations, resolve, reject }) === 1 && handing === 0) schedule();
      }) as Promise<{ -readonly [K in keyof O]: bigint }>,
  };
}
