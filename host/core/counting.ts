/**
 * What a protocol asks of the core, counted: exponentiations by the modulus, by whether the factors are known, and by the length of the
 * exponent; and the work in them, as the number of multiplications modulo a 3072-bit number that cost as much. Counts have no noise: lengths are
 * told in steps, so that a run of a protocol has the same counts whatever its random numbers are.
 *
 * The work is a model of the core's algorithms (windows, combs, halves of own keys), not a measurement: digits that happen to be zero are not known
 * to it, nor memory, nor what two lanes save.
 */
import { bitLength } from '../base/bytes.ts';
import { CHUNK_BITS, windowFor } from './machine.ts';
import { hasFactors, type Core, type Modulus, type Operation, type Term } from './types.ts';

export interface Counts {
  /** Exponentiations by class: `own N² full` is r^N, `peer N² 256` a power with an exponent of up to 256 bits, `peer N̂ pair` s^x·t^y … */
  readonly exponentiations: ReadonlyMap<string, number>;
  /** Multiplications modulo a 3072-bit number that the same work takes. */
  readonly work: number;
}

export interface CountingCore {
  readonly core: Core;
  /** What was counted since the last call. */
  take(): Counts;
}

export function counting(core: Core): CountingCore {
  let exponentiations = new Map<string, number>();
  let work = 0;
  return {
    core: {
      kernel: core.kernel,
      run(operations, options) {
        for (const operation of operations) {
          work += workOf(operation);
          for (const name of classesOf(operation)) exponentiations.set(name, (exponentiations.get(name) ?? 0) + 1);
        }
        return core.run(operations, options);
      },
    },
    take() {
      const counts = { exponentiations, work };
      exponentiations = new Map();
      work = 0;
      return counts;
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
    case 'commit':
      return [`${ownership(operation.setup)} N̂ pair`];
    case 'coprime':
    case 'search':
      return [];
  }
}

/** Multiplications and squares of one exponentiation. */
interface Steps {
  readonly multiplications: number;
  readonly squares: number;
}
const UNIT_BITS = 3072;
/** Vector products, in squares of the number of digits: product and reduction; modulo n² on two numbers of the length of n (performance.md). */
const PLAIN = { multiplication: 2, square: 1.5 };
const SQUARED = { multiplication: 5, square: 3.5 };

function cost(bits: number, squared: boolean, { multiplications, squares }: Steps): number {
  const { multiplication, square } = squared ? SQUARED : PLAIN;
  return ((bits / UNIT_BITS) ** 2 * (multiplications * multiplication + squares * square)) / PLAIN.multiplication;
}

/** Fixed windows with tables of all digits, or sliding ones with odd powers; the terms share the squares. */
function windows(lengths: readonly number[], sliding: boolean): Steps {
  const longest = Math.max(...lengths);
  const width = windowFor(longest);
  return {
    squares: longest,
    multiplications: lengths.reduce(
      (sum, bits) => sum + (sliding ? 2 ** (width - 1) + bits / (width + 1) : 2 ** width - 2 + bits / width),
      0,
    ),
  };
}

const lengthsOf = (terms: readonly Term[]): number[] => terms.map(({ exponent }) => Math.max(1, step(exponent)));

function workOf(operation: Operation): number {
  switch (operation.op) {
    case 'power': {
      const { modulus, terms, secret } = operation;
      if (typeof modulus === 'bigint') return cost(bitLength(modulus), false, windows(lengthsOf(terms), !secret));
      const { key } = modulus;
      const squared = modulus.mod === 'N²';
      const bits = bitLength(key.n);
      if (!hasFactors(key)) return cost(bits, squared, windows(lengthsOf(terms), !secret));
      // Both halves, with exponents reduced by the order of the group.
      const order = squared ? bits : bits / 2;
      const lengths = lengthsOf(terms).map((length) => Math.min(length, order));
      return 2 * cost(bits / 2, squared, windows(lengths, false));
    }
    case 'encrypt': {
      const bits = bitLength(operation.key.n);
      if (!hasFactors(operation.key)) return cost(bits, true, windows([bits], true));
      const half = windows([bits / 2], false);
      return 2 * (cost(bits / 2, false, half) + cost(bits / 2, true, half));
    }
    case 'decrypt': {
      const bits = bitLength(operation.key.n);
      return 2 * cost(bits / 2, true, windows([bits / 2], false));
    }
    case 'commit': {
      const { setup, x, y } = operation;
      const bits = bitLength(setup.n);
      if (hasFactors(setup)) return 2 * cost(bits / 2, false, windows([bits / 2], false));
      const columns = CHUNK_BITS / 6; // six teeth
      const chunks = [x, y].reduce((sum, exponent) => sum + Math.ceil(step(exponent) / CHUNK_BITS), 0);
      return cost(bits, false, { squares: columns, multiplications: columns * chunks });
    }
    case 'coprime':
    case 'search':
      return 0;
  }
}
