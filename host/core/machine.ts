/**
 * One instance of the WebAssembly module with its memory: big integers in, big integers out. Contexts and tables of public moduli are cached. What the owner
 * of a key computes modulo its factors is in owner.ts.
 */
import { bitLength } from '../base/bytes.ts';
import type { Exports } from './instance.ts';
import { mod, windowFor, wordsOf } from './integers.ts';
import { align, Memory } from './memory.ts';
import { Recent } from './recent.ts';

/** base^exponent in one lane. `inverse` of the base is needed where exponents are signed. */
export interface Factor {
  readonly base: bigint;
  readonly inverse?: bigint;
  readonly exponent: bigint;
  /** Bits of |exponent| to read: a public bound. */
  readonly bits: number;
}

/** factor · ∏ base^exponent mod n, or mod n². All values below that and not negative; exponents too unless `signed`. */
export interface Product {
  readonly n: bigint;
  /** Whether the modulus is n²: its kernel takes five eighths of the time of one for any number of that length. */
  readonly squared?: boolean;
  readonly terms: readonly Factor[];
  readonly factor?: bigint;
  /** Exponents may be negative, and their sign is as secret as they are. */
  readonly signed: boolean;
  /** Whether time and addresses must not depend on the exponents. */
  readonly secret: boolean;
  /** The modulus itself is secret: its context is not kept. */
  readonly hidden: boolean;
}

/** ∏ base^exponent mod n for fixed bases, from tables. Exponents signed. */
export interface Comb {
  readonly n: bigint;
  /** Below n, the same in both lanes. */
  readonly bases: readonly bigint[];
  readonly exponents: readonly bigint[];
  /** How many chunks of 384 bits of each exponent to read: a public bound. */
  readonly chunks: readonly number[];
  readonly secret: boolean;
}

/** What of a lane a context depends on. */
type Moduli = Pick<Product, 'n' | 'squared'> & Partial<Pick<Product, 'hidden'>>;

/** Tables of one base: addresses of its chunks, and the base of the next one. */
interface Table {
  readonly chunks: number[];
  next: bigint;
}

export const CHUNK_BITS = 384;
const CHUNK_WORDS = CHUNK_BITS / 32;
/** Setups (n and its bases) whose tables are kept: a megabyte each, at most, with 3072-bit moduli. */
const SETUPS = 16;

/** Products that can share the two lanes have equal shapes: the size class of the modulus (with its word length), terms, lengths, treatment. */
export const shapeOf = ({ n, squared = false, terms, factor, signed, secret, hidden }: Product): string =>
  [wordsOf(n), squared, terms.map(({ bits }) => bits).join('+'), factor !== undefined, signed, secret, hidden].join();

/** Two combs can share the lanes when they use the same tables alike. */
export const combShapeOf = ({ n, bases, chunks, secret }: Comb): string =>
  ['comb', n.toString(16), ...bases.map((b) => b.toString(16)), ...chunks, secret].join();

/** Sliding windows: 2^(w−1) odd powers against a multiplication for every w + 1 bits. */
const slidingWindowFor = (bits: number): number => (bits <= 24 ? 2 : bits <= 80 ? 3 : bits <= 256 ? 4 : bits <= 768 ? 5 : 6);

const CONTEXTS = 64;

export class Machine {
  readonly memory: Memory;
  readonly #exports: Exports;
  /** Cached contexts by modulus, or by the two moduli of a pair. */
  readonly #contexts: Recent<string, { pointer: number; bytes: number }>;
  readonly #tables: Recent<string, { readonly tables: Map<bigint, Table>; readonly bytes: number }>;

  constructor(exports: Exports) {
    this.#exports = exports;
    this.memory = new Memory(exports);
    this.#contexts = new Recent(CONTEXTS, ({ pointer, bytes }) => this.memory.release(pointer, bytes));
    this.#tables = new Recent(SETUPS, ({ tables, bytes }) => {
      for (const { chunks } of tables.values()) for (const chunk of chunks) this.memory.release(chunk, bytes);
    });
  }

  /** One product, or two of the same shape in the two lanes. Results are canonical. */
  products(lanes: readonly [Product] | readonly [Product, Product]): bigint[] {
    const [{ squared, terms, factor, signed, secret }] = lanes;
    const bytes = Math.max(...lanes.map(({ n }) => wordsOf(n))) * (squared ? 8 : 4);
    const words = Math.max(1, ...terms.map(({ bits }) => Math.ceil((bits + (signed ? 1 : 0)) / 32)));
    const longest = Math.max(1, ...terms.map(({ bits }) => bits));
    const sliding = lanes.length === 1 && !secret && !signed;
    return this.memory.scratch(() => {
      const context = this.#context(lanes);
      const lengths = align(4 * terms.length);
      const perLane = 2 * bytes + 4 * words;
      const input = this.memory.take(lengths + lanes.length * (terms.length * perLane + bytes) + 16);
      const width = sliding ? slidingWindowFor(longest) : windowFor(longest);
      const area = this.memory.take(
        sliding ? this.#exports.slideBytes(context, terms.length, longest, width) : this.#exports.powerBytes(context, terms.length, width),
      );
      const view = this.memory.view();
      terms.forEach(({ bits }, i) => view.setUint32(input + 4 * i, bits, true));
      let at = input + lengths;
      for (let i = 0; i < terms.length; i++) {
        for (const lane of lanes) {
          const { base, inverse, exponent } = lane.terms[i]!;
          this.memory.write(at, base, bytes);
          if (inverse !== undefined) this.memory.write(at + bytes, inverse, bytes);
          this.memory.writeWords(at + 2 * bytes, exponent, words);
          at += perLane;
        }
      }
      if (factor !== undefined) {
        for (const lane of lanes) {
          this.memory.write(at, lane.factor!, bytes);
          at += bytes;
        }
      }
      const factors = Number(factor !== undefined);
      if (sliding) this.#exports.slide(context, input, area, terms.length, words, width, longest, factors);
      else {
        this.#exports.power(context, input, area, terms.length, words, width, Number(signed), Number(secret), factors, 0, 0);
      }
      return lanes.map((_, lane) => this.memory.read(input + lane * bytes, bytes));
    });
  }

  /** One comb, or two of the same shape. Undefined when a base is no unit: then there are no tables for it. */
  combs(lanes: readonly [Comb] | readonly [Comb, Comb]): bigint[] | undefined {
    const [{ n, bases, chunks, secret }] = lanes;
    const tables = this.#tablesOf(n, bases, chunks);
    if (tables === undefined) return undefined;
    const bytes = wordsOf(n) * 4;
    return this.memory.scratch(() => {
      const context = this.#context(lanes);
      const output = this.memory.take(lanes.length * bytes);
      const area = this.memory.take(2 * this.#exports.numberBytes(context));
      const list = this.memory.take(4 * chunks.reduce((sum, count) => sum + count + 1, 0));
      const words = chunks.map((count) => count * CHUNK_WORDS + 1);
      const exponents = this.memory.take(4 * lanes.length * words.reduce((sum, count) => sum + count, 0));
      const view = this.memory.view();
      let at = list;
      chunks.forEach((count, b) => {
        for (const value of [count, ...tables[b]!.chunks.slice(0, count)]) {
          view.setUint32(at, value, true);
          at += 4;
        }
      });
      at = exponents;
      words.forEach((count, b) => {
        for (const lane of lanes) {
          this.memory.writeWords(at, lane.exponents[b]!, count);
          at += 4 * count;
        }
      });
      this.#exports.combPower(context, output, area, bases.length, list, exponents, Number(secret));
      return lanes.map((_, lane) => this.memory.read(output + lane * bytes, bytes));
    });
  }

  /** The tables of the bases of a setup, at least as long as asked for: kept, built or extended. */
  #tablesOf(n: bigint, bases: readonly bigint[], chunks: readonly number[]): Table[] | undefined {
    const key = [n, ...bases].map((value) => value.toString(16)).join();
    let entry = this.#tables.get(key);
    const bytes = wordsOf(n) * 4;
    for (const [b, base] of bases.entries()) {
      while ((entry?.tables.get(base)?.chunks.length ?? 0) < chunks[b]!) {
        const context = this.memory.scratch(() => this.#context([{ n }]));
        const size = this.#exports.combBytes(context);
        if (entry === undefined) {
          this.#tables.makeRoom();
          entry = { tables: new Map(bases.map((value) => [value, { chunks: [], next: value }])), bytes: size };
          this.#tables.set(key, entry);
        }
        const table = entry.tables.get(base)!;
        const chunk = this.memory.keep(size);
        const next = this.memory.scratch(() => {
          const at = this.memory.take(bytes);
          this.memory.write(at, table.next, bytes);
          const area = this.memory.take(this.#exports.numberBytes(context) + 2 * bytes);
          return this.#exports.combBuild(context, chunk, at, area) === 1 ? this.memory.read(at, bytes) : undefined;
        });
        if (next === undefined) {
          this.memory.release(chunk, size);
          return undefined;
        }
        table.chunks.push(chunk);
        table.next = next;
      }
    }
    return bases.map((base) => entry?.tables.get(base) ?? { chunks: [], next: base });
  }

  /** x⁻¹ mod n in constant time, or undefined when gcd(x, n) ≠ 1. n odd, 0 ≤ x < n. */
  invert(x: bigint, n: bigint): bigint | undefined {
    const bytes = wordsOf(n) * 4;
    return this.memory.scratch(() => {
      const input = this.memory.take(2 * bytes);
      this.memory.write(input, n, bytes);
      this.memory.write(input + bytes, x, bytes);
      return this.#exports.invert(input, input + bytes, bytes, 1) === 1 ? this.memory.read(input + bytes, bytes) : undefined;
    });
  }

  /** x⁻¹ mod n² from y = x⁻¹ mod n, by y·(2 − x·y) (Newton): a third of the time of an inversion modulo n². */
  invertSquared(x: bigint, n: bigint): bigint | undefined {
    const y = this.invert(x % n, n);
    return y === undefined ? undefined : mod(y * (2n - x * y), n * n);
  }

  /** Whether gcd(x, n) = 1, in constant time. n odd, 0 ≤ x < n. */
  isUnit(x: bigint, n: bigint): boolean {
    const bytes = wordsOf(n) * 4;
    return this.memory.scratch(() => {
      const input = this.memory.take(2 * bytes);
      this.memory.write(input, n, bytes);
      this.memory.write(input + bytes, x, bytes);
      return this.#exports.invert(input, input + bytes, bytes, 0) === 1;
    });
  }

  /** Of {@link Memory}. */
  residue(): Uint8Array {
    return this.memory.residue();
  }

  /** The context of the lanes' moduli: from the cache, or built; in scratch if a modulus is secret. First thing in a call. */
  #context(lanes: readonly Moduli[]): number {
    const bits = Math.max(...lanes.map(({ n }) => bitLength(n)));
    const parts = lanes[0]!.squared ? 2 : 1;
    const size = this.#exports.contextBytes(lanes.length, parts, bits);
    if (lanes.some(({ hidden }) => hidden)) return this.#buildContext(this.memory.take(size), lanes, parts, bits);
    const key = [parts, ...lanes.map(({ n }) => n.toString(16))].join();
    let entry = this.#contexts.get(key);
    if (entry === undefined) {
      this.#contexts.makeRoom();
      entry = { pointer: this.memory.keep(size), bytes: size };
      this.#buildContext(entry.pointer, lanes, parts, bits);
      this.#contexts.set(key, entry);
    }
    return entry.pointer;
  }

  #buildContext(pointer: number, lanes: readonly Moduli[], parts: number, bits: number): number {
    const bytes = Math.ceil(bits / 32) * 4;
    const input = this.memory.take(lanes.length * bytes);
    lanes.forEach(({ n }, lane) => this.memory.write(input + lane * bytes, n, bytes));
    this.#exports.contextInit(pointer, lanes.length, parts, bits, input);
    return pointer;
  }
}
