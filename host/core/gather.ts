/**
 * A core that waits for the rest: what is asked for in one turn of the event loop goes to the arithmetic as one batch. Protocols start many
 * proofs at once, each with a handful of operations of different shapes; together there are equal shapes, and two of those share the two lanes
 * of the kernel.
 */
import type { Core, Operation, RunOptions } from './types.ts';

interface Call {
  readonly operations: readonly Operation[];
  resolve(values: bigint[]): void;
  reject(error: unknown): void;
}

/** Everything is run with `options`. An operation that fails does so for its own call only: calls of a batch that failed are run again, each alone. */
export function gathering(core: Core, options: RunOptions = {}): Core {
  let calls: Call[] = [];

  async function flush(): Promise<void> {
    const batch = calls;
    calls = [];
    try {
      const values = await core.run(
        batch.flatMap(({ operations }) => operations),
        options,
      );
      let at = 0;
      for (const { operations, resolve } of batch) resolve(values.slice(at, (at += operations.length)));
    } catch (error) {
      if (batch.length === 1) return batch[0]!.reject(error);
      for (const { operations, resolve, reject } of batch) core.run(operations, options).then(resolve, reject);
    }
  }

  return {
    kernel: core.kernel,
    run: <const O extends readonly Operation[]>(operations: O) =>
      new Promise<bigint[]>((resolve, reject) => {
        if (calls.push({ operations, resolve, reject }) === 1) setImmediate(() => void flush());
      }) as Promise<{ -readonly [K in keyof O]: bigint }>,
  };
}
