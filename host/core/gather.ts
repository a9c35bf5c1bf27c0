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

export interface Gathering extends Core {
  /**
   * `make` for each item, begun in order and with pauses as well. What it asks for before it first waits for something goes to the arithmetic as one
   * batch, when all have begun.
   */
  forEach<T, R>(items: readonly T[], make: (item: T) => Promise<R>): Promise<R[]>;
}

/** Everything is run with `options`. An operation that fails does so for its own call only: calls of a batch that failed are run again, each alone. */
export function gathering(core: Core, options: RunOptions = {}): Gathering {
  let calls: Call[] = [];
  /** How many are at work with pauses; the next batch waits for them. */
  let held = 0;

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

  /** `step` for each item, with a turn for others whenever the steps have taken long. */
  async function paced<T>(items: readonly T[], step: (item: T) => void): Promise<void> {
    held++;
    try {
      let since = performance.now();
      for (const item of items) {
        step(item);
        // What waits for a result of the step goes on now.
        await Promise.resolve();
        if (performance.now() - since < PAUSE_AFTER_MS) continue;
        await turn();
        since = performance.now();
      }
    } finally {
      held--;
      if (held === 0 && calls.length > 0) schedule();
    }
  }

  function handOut(batch: readonly Call[], values: readonly bigint[]): Promise<void> {
    let at = 0;
    return paced(batch, ({ operations, resolve }) => resolve(values.slice(at, (at += operations.length))));
  }

  return {
    kernel: core.kernel,
    run: <const O extends readonly Operation[]>(operations: O) =>
      new Promise<bigint[]>((resolve, reject) => {
        if (calls.push({ operations, resolve, reject }) === 1 && held === 0) schedule();
      }) as Promise<{ -readonly [K in keyof O]: bigint }>,
    async forEach(items, make) {
      const begun: ReturnType<typeof make>[] = [];
      await paced(items, (item) => {
        const result = make(item);
        // Looked at when all have begun; until then a failure is not unhandled.
        result.catch(() => undefined);
        begun.push(result);
      });
      return Promise.all(begun);
    },
  };
}
