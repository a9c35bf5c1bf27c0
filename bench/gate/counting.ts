/**
 * Counts what the arithmetic core is asked for, by standing between the instance of the module and the machine. Counts are nominal: every window of
 * an exponent is counted, whatever its digit, and lengths of public exponents are rounded up to whole words, so that a count belongs to the
 * algorithm and not to the numbers it met. Squarings and multiplications become one figure by the 64-bit word products they take with w words
 * (product and Montgomery reduction): 2·w² for a multiplication, 1½·w² for a squaring; modulo N², in two parts of w words each, 5·w² and 3½·w²
(assembly/modular.ts). Inversions and gcds stand in the detail only: how many there are depends on the signs that challenges happen to have.
 */
import { Defect } from '../../host/base/errors.ts';
import type { Exports } from '../../host/core/instance.ts';

const WORD = 64;
/** As in assembly/comb.ts. */
const COMB_ROUNDS = 64;

/** Exports that compute nothing that counts: sizes, addresses, wiping; contexts, tables and records, which are kept; what surrounds a key owner's powers. */
const UNCOUNTED = new Set([
  'memory',
  'scratch',
  'supported',
  'contextBytes',
  'numberBytes',
  'powerBytes',
  'slideBytes',
  'combBytes',
  'combBuild',
  'ownerBytes',
  'ownerInit',
  'ownerModuli',
  'ownerContext',
  'ownerExponent',
  'ownerReduce',
  'ownerRecombine',
  'ownerPlaintext',
  'wipe',
  'repeat',
]);

interface Modulus {
  readonly lanes: number;
  /** 2: modulo the square of a number of `bits` bits. */
  readonly parts: number;
  readonly bits: number;
}
/** Word products in units of w², by the parts of the modulus. */
const COST: Readonly<Record<number, Readonly<Operations>>> = {
  1: { squarings: 1.5, multiplications: 2 },
  2: { squarings: 3.5, multiplications: 5 },
};

export class Counter {
  /** Word products so far. */
  work = 0;
  /** Squarings and multiplications so far, of whatever size. */
  products = 0;
  /** Calls by kind, bits of the modulus and of the exponent (of tables: chunks), per number: `power 3072²/3072` → 4. */
  readonly detail: Record<string, number> = {};
  readonly #moduli = new Map<number, Modulus>();

  /** The same exports, counted. */
  readonly wrap = (exports: Exports): Exports => {
    const u32 = (at: number) => new DataView(exports.memory.buffer).getUint32(at, true);
    const counted: Partial<Exports> = {
      contextInit: (context, lanes, parts, bits, moduli) => {
        this.#moduli.set(context, { lanes, parts, bits });
        exports.contextInit(context, lanes, parts, bits, moduli);
      },
      power: (context, input, area, terms, words, width, signs, secret, factors, checked, wide) => {
        const lengths = Array.from({ length: terms }, (_, i) => roundUp(u32(input + 4 * i)));
        const windows = lengths.map((bits) => Math.ceil(bits / width));
        const table = 2 ** width - 2;
        this.#count(context, `power${secret ? '' : ' public'}`, Math.max(...lengths), {
          squarings: (Math.max(...windows) - 1) * width + (terms * table) / 2,
          multiplications: sum(windows) + terms * (table / 2 + (signs ? 2 : 1)) + 2 * factors,
        });
        return exports.power(context, input, area, terms, words, width, signs, secret, factors, checked, wide);
      },
      slide: (context, input, area, terms, words, width, bits, factors) => {
        const length = roundUp(bits);
        this.#count(context, 'power public', length, {
          squarings: length - 1 + terms,
          multiplications: terms * (Math.ceil(length / (width + 1)) + 2 ** (width - 1)) + 2 * factors,
        });
        exports.slide(context, input, area, terms, words, width, bits, factors);
      },
      combPower: (context, output, area, bases, list, exponents, secret) => {
        let chunks = 0;
        let at = list;
        for (let base = 0; base < bases; base++) {
          const count = u32(at);
          chunks += count;
          at += 4 * (count + 1);
        }
        this.#count(context, `tables${secret ? '' : ' public'}`, chunks, {
          squarings: COMB_ROUNDS - 1,
          multiplications: COMB_ROUNDS * chunks + bases,
        });
        exports.combPower(context, output, area, bases, list, exponents, secret);
      },
      invert: (n, x, bytes, wanted) => {
        this.#add(wanted ? 'inverse' : 'gcd', { lanes: 1, parts: 1, bits: 8 * bytes }, { squarings: 0, multiplications: 0 });
        return exports.invert(n, x, bytes, wanted);
      },
    };
    return new Proxy(exports, {
      get(target, name) {
        if (typeof name === 'symbol') return undefined;
        if (name in counted) return counted[name];
        if (typeof target[name] === 'function' && !UNCOUNTED.has(name))
          throw new Defect(`the count does not know the export ${name} of the arithmetic core: bench/gate/counting.ts must learn it`);
        return target[name];
      },
    });
  };

  #count(context: number, kind: string, size: number, operations: Operations): void {
    const modulus = this.#moduli.get(context);
    if (modulus === undefined) throw new Defect('an operation in a context that was never made');
    this.#add(kind, modulus, operations, `/${size}`);
  }

  #add(kind: string, { lanes, parts, bits }: Modulus, { squarings, multiplications }: Operations, size = ''): void {
    const words = Math.ceil(bits / WORD);
    const cost = COST[parts];
    if (cost === undefined) throw new Defect(`the count does not know what a modulus of ${parts} parts costs`);
    const key = `${kind} ${words * WORD}${parts === 2 ? '²' : ''}${size}`;
    this.detail[key] = (this.detail[key] ?? 0) + lanes;
    this.products += lanes * (squarings + multiplications);
    this.work += lanes * words ** 2 * (cost.squarings * squarings + cost.multiplications * multiplications);
  }
}

interface Operations {
  readonly squarings: number;
  readonly multiplications: number;
}

const roundUp = (bits: number): number => Math.ceil(bits / WORD) * WORD;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0);
