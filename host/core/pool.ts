/**
 * The worker pool: Piscina runs the threads, this queue decides the order. No more tasks are handed out than there are threads, so Piscina's own
 * queue stays empty and a task that waits here is passed by every signing task that comes later than it.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { Defect, invariant, Unavailable } from '../base/errors.ts';
import { workerFile } from './instance.ts';
import type { Operation, Priority } from './types.ts';
import type { Outcome } from './worker.ts';

export interface PoolOptions {
  readonly threads: number;
  /** Milliseconds after which a task's worker counts as hung and is replaced. */
  readonly timeout: number;
}

export const defaultThreads = (): number => availableParallelism();

interface Waiting {
  readonly operations: readonly Operation[];
  resolve(values: bigint[]): void;
  reject(error: unknown): void;
}

export class Pool {
  readonly threads: number;
  readonly #timeout: number;
  readonly #piscina: Piscina;
  readonly #queues: Record<Priority, Waiting[]> = { signing: [], refill: [], idle: [] };
  #running = 0;
  #closed = false;
  /** Why a worker could not run at all, if that ever happened. */
  #failure: Error | undefined;

  constructor(module: WebAssembly.Module, { threads, timeout }: PoolOptions) {
    const worker = fileURLToPath(workerFile);
    // Piscina would wait for a thread that never starts.
    invariant(existsSync(worker), `the compiled worker ${worker} is missing: run npm run build`);
    this.threads = threads;
    this.#timeout = timeout;
    this.#piscina = new Piscina({
      filename: worker,
      minThreads: threads,
      maxThreads: threads,
      workerData: { module },
      execArgv: [],
      recordTiming: false,
    });
    // Without a listener a worker that cannot start would end the process. Its tasks are rejected, or time out.
    this.#piscina.on('error', (error: Error) => {
      this.#failure = error;
    });
  }

  get idle(): number {
    return this.threads - this.#running;
  }

  /** For tests: the threads, to be ended from outside. */
  get workers(): readonly { terminate(): Promise<number> }[] {
    return this.#piscina.threads;
  }

  /** @throws RangeError; the signal's reason; Unavailable when a worker dies or hangs twice on it. */
  run(operations: readonly Operation[], priority: Priority, signal?: AbortSignal): Promise<bigint[]> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Defect('the arithmetic core is closed'));
      if (signal?.aborted) return reject(signal.reason);
      // A task that has started is left to finish (milliseconds): ending its thread would cost more, and the tables in it.
      const abort = (): void => {
        const queue = this.#queues[priority];
        const at = queue.indexOf(waiting);
        if (at >= 0) queue.splice(at, 1);
        reject(signal!.reason);
      };
      const settle =
        <T>(outcome: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener('abort', abort);
          outcome(value);
        };
      const waiting: Waiting = { operations, resolve: settle(resolve), reject: settle(reject) };
      signal?.addEventListener('abort', abort, { once: true });
      this.#queues[priority].push(waiting);
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const queue of Object.values(this.#queues)) {
      for (const { reject } of queue.splice(0)) reject(new Defect('the arithmetic core is closed'));
    }
    await this.#piscina.destroy();
  }

  #next(): void {
    while (this.#running < this.threads) {
      const waiting = this.#queues.signing.shift() ?? this.#queues.refill.shift() ?? this.#queues.idle.shift();
      if (waiting === undefined) return;
      this.#running++;
      void this.#perform(waiting).finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  /** Operations have no effect but their result, so a task whose worker died is run once more. */
  async #perform({ operations, resolve, reject }: Waiting): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const timer = new AbortController();
      const timeout = setTimeout(() => timer.abort(), this.#timeout);
      try {
        const outcome = (await this.#piscina.run(operations, { signal: timer.signal })) as Outcome;
        return 'values' in outcome ? resolve(outcome.values) : reject(new RangeError(outcome.rangeError));
      } catch (error) {
        if (this.#closed) return reject(new Defect('the arithmetic core is closed'));
        if (attempt === 2) {
          return reject(
            new Unavailable(
              'arithmetic core',
              'a worker thread of the arithmetic core failed twice on one task',
              'see the cause; check memory limits and the build',
              {
                cause: this.#failure ?? error,
              },
            ),
          );
        }
      } finally {
        clearTimeout(timeout);
      }
    }
  }
}
