/** The arithmetic core: big-integer operations on worker threads, in WebAssembly. See types.ts for what it computes. */
import { check, plan } from './plan.ts';
import { defaultThreads, Pool } from './pool.ts';
import { chooseKernel } from './self-test.ts';
import type { KernelName } from './instance.ts';
import type { Core, Operation, RunOptions } from './types.ts';

export * from './types.ts';

export interface CoreOptions {
  /** Worker threads; default: one per processor. */
  readonly threads?: number;
  /** Forces a kernel, for tests and measurements; default: the fastest that passes its self-test. */
  readonly kernel?: KernelName;
  /** Milliseconds after which a single task counts as hung; default 60 000. Tasks take tens of milliseconds. */
  readonly taskTimeout?: number;
}

class PooledCore implements Core {
  readonly kernel: KernelName;
  readonly pool: Pool;

  constructor(kernel: KernelName, pool: Pool) {
    this.kernel = kernel;
    this.pool = pool;
  }

  async run<const O extends readonly Operation[]>(
    operations: O,
    { priority = 'signing', signal }: RunOptions = {},
  ): Promise<{ -readonly [K in keyof O]: bigint }> {
    operations.forEach(check);
    const results = new Array<bigint>(operations.length);
    await Promise.all(
      plan(operations, this.pool.threads, this.pool.idle).map(async ({ indices, operations: part }) => {
        const values = await this.pool.run(part, priority, signal);
        indices.forEach((index, i) => {
          results[index] = values[i]!;
        });
      }),
    );
    return results as { -readonly [K in keyof O]: bigint };
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}

/**
 * Chooses a kernel by self-test, compiles it once and starts the workers. `pool` is there for tests.
 * @throws Defect when no kernel works, RangeError for a bad number of threads.
 */
export async function createCore({ threads = defaultThreads(), kernel, taskTimeout = 60_000 }: CoreOptions = {}): Promise<
  Core & { readonly pool: Pool; close(): Promise<void> }
> {
  if (!Number.isInteger(threads) || threads < 1 || threads > 256)
    throw new RangeError(`threads must be an integer from 1 to 256, got ${threads}`);
  const chosen = chooseKernel(kernel);
  return new PooledCore(chosen.kernel, new Pool(chosen.module, { threads, timeout: taskTimeout }));
}
