/**
 * The arithmetic core without worker threads: everything is computed where it is asked for. What one thread costs can then be told from its
 * processor time alone, and what is computed can be counted.
 */
import { Evaluator } from '../host/core/evaluate.ts';
import { instantiate, type Exports } from '../host/core/instance.ts';
import { Machine } from '../host/core/machine.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import type { Core, Operation } from '../host/core/types.ts';

/** A core on an instance of its own. `wrap` may put something between the instance and the machine that drives it. */
export function localCore(wrap: (exports: Exports) => Exports = (exports) => exports): Core {
  const { kernel, module } = chooseKernel();
  const evaluator = new Evaluator(new Machine(wrap(instantiate(module))));
  return {
    kernel,
    run: <const O extends readonly Operation[]>(operations: O) =>
      Promise.resolve(evaluator.evaluate(operations) as { -readonly [K in keyof O]: bigint }),
  };
}
