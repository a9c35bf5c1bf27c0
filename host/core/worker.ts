/** The worker thread: one instance of the module, one machine, for the life of the thread. */
import { workerData } from 'node:worker_threads';
import { Evaluator } from './evaluate.ts';
import { instantiate } from './instance.ts';
import { Machine } from './machine.ts';
import type { Operation } from './types.ts';

/** Errors lose their own properties and their class on the way between threads; so the caller's mistakes travel as values. */
export type Outcome = { readonly values: bigint[] } | { readonly rangeError: string };

const { module } = workerData as { module: WebAssembly.Module };
const evaluator = new Evaluator(new Machine(instantiate(module)));

export default function evaluate(operations: readonly Operation[]): Outcome {
  try {
    return { values: evaluator.evaluate(operations) };
  } catch (error) {
    if (error instanceof RangeError) return { rangeError: error.message };
    throw error;
  }
}
