/**
 * What a protocol asks of the core, counted: exponentiations by the modulus, by whether its factors are known, and by the length of the exponent.
 * Counts have no noise: lengths are told in steps, so that a run of a protocol has the same counts whatever its random numbers are. (What the kernels
 * then multiply is counted at their exports, in bench/gate.)
 */
import { bitLength } from '../base/bytes.ts';
import type { Core, Modulus, Operation } from './types.ts';

/** Exponentiations by class: `own N² full` is r^N, `peer N² 256` a power with an exponent of up to 256 bits, `peer N̂ pair` s^x·t^y … */
export type Counts = ReadonlyMap<string, number>;

export interface CountingCore {
  readonly core: Core;
  /** What was counted since the last call. */
  take(): Counts;
}

export function counting(core: Core): CountingCore {
  let counts = new Map<string, number>();
  return {
    core: {
      kernel: core.kernel,
      run(operations, options) {
        for (const operation of operations) {
          for (const name of classesOf(operation)) counts.set(name, (counts.get(name) ?? 0) + 1);
        }
        return core.run(operations, options);
      },
    },
    take() {
      const taken = counts;
      counts = new Map();
      return taken;
    },
  };
}

const STEP = 128;
/** Bits beyond a step that still count for it: bounds and weights of the proofs have a bit or two more than their name says. */
const SLACK = 8;
/** Length of an exponent in steps of 128 bits. */
const step = (exponent: bigint): number => Math.ceil((bitLength(exponent) - SLACK) / STEP) * STEP;

const ownership = (key: object): 'own' | 'peer' => ('p' in key ? 'own' : 'peer');
function nameOf(modulus: Modulus): string {
  if (typeof modulus === 'bigint') return 'other';
  return `${ownership(modulus.key)} ${modulus.mod === 'N²' ? 'N²' : 's' in modulus.key ? 'N̂' : 'N'}`;
}

/** Classes of the powers in an operation. A factor with exponent 1 is a multiplication, one with exponent −1 an inversion: neither is a power. */
function classesOf(operation: Operation): string[] {
  switch (operation.op) {
    case 'power':
      return operation.terms.flatMap(({ exponent }) =>
        bitLength(exponent) <= 1 ? [] : [`${nameOf(operation.modulus)} ${step(exponent)}`],
      );
    case 'encrypt':
      return [`${ownership(operation.key)} N² full`];
    case 'decrypt':
      return ['own N² decryption'];
    case 'root':
      return ['own N full'];
    case 'commit':
      return [`${ownership(operation.setup)} N̂ pair`];
    case 'coprime':
    case 'search':
      return [];
  }
}
