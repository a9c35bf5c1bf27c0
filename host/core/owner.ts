/**
 * The operations of whoever holds the factors of N: halves modulo p and q, or p² and q², in the two lanes, with all that comes before and after them
 * (assembly/owner.ts). Each is one call in linear memory, from which only its result comes out.
 *
 * The factors serve every operation as long as the key lives, so an attacker could time them again and again. Therefore no BigInt is computed from them
 * once the record of the key is made; what still is are operands, with the public modulus (docs/security.md, "Side channels").
 *
 * A result that is wrong in one half shows the factors. Every exponentiation is checked against the same one modulo the square of a digit
 * (assembly/shadow.ts), and the recombination by its second residue, before anything comes out.
 */
import { bitLength, equalBytes } from '../base/bytes.ts';
import { Defect, invariant } from '../base/errors.ts';
import { mod, paddedBits, windowFor, wordsOf } from './integers.ts';
import type { Machine } from './machine.ts';
import { align, type Memory } from './memory.ts';
import { Recent } from './recent.ts';
import type { PaillierSecret, RingPedersenSecret, Term } from './types.ts';

type Factored = PaillierSecret | RingPedersenSecret;

interface Kept {
  readonly p: bigint;
  readonly q: bigint;
  readonly lambda: bigint;
  /** What follows from them: assembly/owner.ts. */
  readonly record: Uint8Array;
  /** Of the longer factor. */
  readonly bits: number;
}

/** Exponents that a record has, by their number there: those of p are p; p − 1; q mod p − 1; N⁻¹ and ((φ + 4)/8)² modulo p − 1. */
const PRIME = 0;
const ORDER = 1;
const INNER = 2;
const ROOTS = { N: 3, 4: 4 } as const;

/** What the module says of a result, in bits: it is consistent; none of its halves is 0. */
const RIGHT = 1;
const UNIT = 2;

/** Signed numbers in two's complement, of so many bits beside the sign: a public bound. */
interface Bounded {
  readonly value: bigint;
  readonly bits: number;
}

type Exponent =
  | { readonly plain: bigint }
  | { readonly own: 0 | 1 | 2 | 3 | 4 }
  /** λ·x + e modulo the order of each half; e alone without x. */
  | { readonly x?: Bounded; readonly e: Bounded };

interface Power {
  /** Below N (or N²), or where the residues of a result stand, which is modulo p and q. */
  readonly base: bigint | { readonly residues: number };
  readonly inverse?: bigint | undefined;
  readonly exponent: Exponent;
  /** Bits of |exponent| to read: a public bound. */
  readonly bits: number;
}

interface Powers {
  readonly squared: boolean;
  readonly terms: readonly Power[];
  /** Below N (or N²). */
  readonly factor?: bigint;
  readonly signed: boolean;
  readonly secret: boolean;
}

/** Of keys used last. */
const KEYS = 16;

export class Owner {
  readonly #machine: Machine;
  readonly #memory: Memory;
  readonly #keys = new Recent<bigint, Kept>(KEYS, ({ record }) => record.fill(0));

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#memory = machine.memory;
  }

  /**
   * ∏ base^exponent mod N, or N². Exponents modulo N that are longer than the factors are reduced by their orders, and are secret then; all others keep their
   * length. Undefined when a base is no unit and the way through the factors does not lead to the right answer.
   */
  power(key: Factored, squared: boolean, terms: readonly Term[], secret: boolean): bigint | undefined {
    const { n } = key;
    const modulus = squared ? n * n : n;
    const kept = this.#kept(key);
    const powers: Power[] = [];
    let reduced = false;
    for (const term of terms) {
      const base = mod(term.base, modulus);
      const exponent = term.exponent;
      const bits = secret ? paddedBits(exponent) : bitLength(exponent);
      if (!squared && bits >= kept.bits) {
        reduced = true;
        powers.push({ base, exponent: { e: { value: exponent, bits } }, bits: kept.bits });
      } else if (!secret && exponent >= 0n) {
        powers.push({ base, exponent: { plain: exponent }, bits });
      } else {
        // By the public modulus: base and N are known, the factors are not asked.
        const inverse = squared ? this.#machine.invertSquared(base, n) : this.#machine.invert(base, n);
        if (inverse === undefined) return undefined;
        powers.push(
          secret ? { base, inverse, exponent: { plain: exponent }, bits } : { base: inverse, exponent: { plain: -exponent }, bits },
        );
      }
    }
    return this.#call(kept, (record) => {
      const signed = secret && powers.some(({ inverse }) => inverse !== undefined);
      return this.#recombined(kept, record, { squared, terms: powers, signed, secret: secret || reduced }, reduced);
    });
  }

  /** (1 + m·N)·r^N mod N²: r^N mod p² = (r^(q mod p − 1) mod p)^p, where the inner power has half the size and the outer one half the exponent. */
  encrypt(key: PaillierSecret, m: bigint, r: bigint): bigint {
    const { n } = key;
    const kept = this.#kept(key);
    const { bits } = kept;
    return this.#call(kept, (record) => {
      const inner = { base: mod(r, n), exponent: { own: INNER }, bits } as const;
      const residues = this.#powers(kept, record, { squared: false, terms: [inner], signed: false, secret: true });
      const outer = { base: { residues }, exponent: { own: PRIME }, bits } as const;
      const factor = 1n + mod(m, n) * n;
      return this.#recombined(kept, record, { squared: true, terms: [outer], factor, signed: false, secret: true })!;
    });
  }

  /** @throws RangeError when c is no unit modulo N². */
  decrypt(key: PaillierSecret, c: bigint): bigint {
    const kept = this.#kept(key);
    const words = 2 * Math.ceil(kept.bits / 32);
    return this.#call(kept, (record) => {
      const term = { base: mod(c, key.n * key.n), exponent: { own: ORDER }, bits: kept.bits } as const;
      const halves = this.#powers(kept, record, { squared: true, terms: [term], signed: false, secret: true });
      const target = this.#memory.take(4 * (words + 1));
      const said = this.#memory.exports.ownerPlaintext(record, halves, words, target);
      if ((said & UNIT) === 0) throw new RangeError('the ciphertext is not a unit modulo N²: check it before decrypting');
      invariant((said & RIGHT) !== 0, 'a plaintext is put together from its residues');
      return BigInt.asIntN(32 * (words + 1), this.#memory.read(target, 4 * (words + 1)));
    });
  }

  /** base^(N⁻¹) or base^(((φ + 4)/8)²) mod N. @throws RangeError when N has a factor in common with φ. */
  root(key: PaillierSecret, degree: 4 | 'N', base: bigint): bigint {
    const kept = this.#kept(key);
    return this.#call(kept, (record) => {
      const term = { base: mod(base, key.n), exponent: { own: ROOTS[degree] }, bits: kept.bits } as const;
      return this.#recombined(kept, record, { squared: false, terms: [term], signed: false, secret: true })!;
    });
  }

  /** s^x·t^y = t^(λ·x + y) mod N̂. Undefined when t is no unit. */
  commit(setup: RingPedersenSecret, x: bigint, y: bigint, secret: boolean): bigint | undefined {
    const kept = this.#kept(setup);
    const bounded = (value: bigint): Bounded => ({ value, bits: secret ? paddedBits(value) : bitLength(value) });
    const exponent = { x: bounded(x), e: bounded(y) };
    return this.#call(kept, (record) => {
      const term = { base: mod(setup.t, setup.n), exponent, bits: kept.bits };
      // Also for x and y that everybody knows: λ and the orders are in the exponent.
      return this.#recombined(kept, record, { squared: false, terms: [term], signed: false, secret: true }, true);
    });
  }

  #kept(key: Factored): Kept {
    const lambda = 'lambda' in key ? key.lambda : 0n;
    let kept = this.#keys.get(key.n);
    // All secrets are compared, so that a wrong key never borrows another's record.
    if (kept === undefined || kept.p !== key.p || kept.q !== key.q || kept.lambda !== lambda) {
      kept = this.#make(key, lambda);
      this.#keys.set(key.n, kept);
    }
    return kept;
  }

  #make({ n, p, q }: Factored, lambda: bigint): Kept {
    if (p * q !== n) throw new RangeError('the factors p and q of a key do not multiply to its n: check the key');
    const record = this.#record(p, q, lambda);
    // Its sum does not tell what was wrong from the beginning, and every result would be wrong in one half.
    invariant(
      equalBytes(record, this.#record(p, q, lambda)),
      'the record of a key made twice is the same: a fault of this machine has spoilt it',
    );
    return { p, q, lambda, record, bits: Math.max(bitLength(p), bitLength(q)) };
  }

  #record(...numbers: [p: bigint, q: bigint, lambda: bigint]): Uint8Array {
    const words = numbers.map(wordsOf) as [number, number, number];
    if (words[2] > words[0] + words[1]) throw new RangeError('λ of a set-up is longer than its N̂: check the key');
    const { exports } = this.#memory;
    return this.#memory.scratch(() => {
      const size = exports.ownerBytes(...words);
      const record = this.#memory.take(size);
      const secrets = this.#memory.take(4 * (words[0] + words[1] + words[2]));
      let at = secrets;
      for (const [i, value] of numbers.entries()) {
        this.#memory.write(at, value, 4 * words[i]!);
        at += 4 * words[i]!;
      }
      if (exports.ownerInit(record, secrets, ...words) !== 1)
        throw new RangeError('the factors p and q of a key must be coprime: check the key');
      return this.#memory.bytes(record, size).slice();
    });
  }

  /** A call with the key's record in memory. A record with which a fault has shown is not used again: it may be what is spoilt. */
  #call<T>(kept: Kept, work: (record: number) => T): T {
    try {
      return this.#memory.scratch(() => {
        const record = this.#memory.take(kept.record.length);
        this.#memory.bytes(record, kept.record.length).set(kept.record);
        return work(record);
      });
    } catch (error) {
      if (error instanceof Defect) this.#keys.drop(kept.p * kept.q);
      throw error;
    }
  }

  /** The number with the halves of these powers. `units`: undefined where a half is 0. */
  #recombined(kept: Kept, record: number, powers: Powers, units = false): bigint | undefined {
    const words = Math.ceil(kept.bits / 32) * (powers.squared ? 2 : 1);
    const halves = this.#powers(kept, record, powers);
    const target = this.#memory.take(8 * words);
    const said = this.#memory.exports.ownerRecombine(record, Number(powers.squared), halves, words, target);
    invariant((said & RIGHT) !== 0, 'a number is put together from its residues');
    return units && (said & UNIT) === 0 ? undefined : this.#memory.read(target, 8 * words);
  }

  /** factor·∏ base^exponent modulo p and q, or p² and q²: where the residues stand, big-endian, lane after lane. */
  #powers(kept: Kept, record: number, { squared, terms, factor, signed, secret }: Powers): number {
    const { exports } = this.#memory;
    const bytes = 4 * Math.ceil(kept.bits / 32) * (squared ? 2 : 1);
    // Bases and factors are below N (or N²): twice as long as the modulus, which the kernel copes with, so that nothing is divided by it.
    const length = 2 * bytes;
    const longest = Math.max(1, ...terms.map(({ bits }) => bits));
    const words = Math.ceil((longest + Number(signed)) / 32);
    const width = windowFor(longest);
    const context = this.#context(kept, record, squared);
    const perLane = 2 * length + 4 * words;
    const lengths = align(4 * terms.length);
    const input = this.#memory.take(lengths + 2 * (terms.length * perLane + length));
    terms.forEach(({ base, inverse, exponent, bits }, i) => {
      this.#memory.view().setUint32(input + 4 * i, bits, true);
      const at = input + lengths + 2 * i * perLane;
      if (typeof base === 'bigint') this.#memory.write(at, base, length);
      if (inverse !== undefined) this.#memory.write(at + length, inverse, length);
      if ('plain' in exponent) this.#memory.writeWords(at + 2 * length, exponent.plain, words);
      this.#memory.copy(at + perLane, at, perLane);
      if (typeof base !== 'bigint') {
        for (const half of [0, 1])
          this.#memory.copy(at + half * perLane + length - bytes / 2, base.residues + (half * bytes) / 2, bytes / 2);
      }
      if ('own' in exponent && exports.ownerExponent(record, exponent.own, at + 2 * length, perLane, words) === 0)
        throw new RangeError('N has a factor in common with φ(N): check the key');
      if ('e' in exponent) this.#reduce(record, exponent, at + 2 * length, perLane, words);
    });
    if (factor !== undefined) {
      const at = input + lengths + 2 * terms.length * perLane;
      this.#memory.write(at, factor, length);
      this.#memory.copy(at + length, at, length);
    }
    const area = this.#memory.take(exports.powerBytes(context, terms.length, width));
    const flags = [signed, secret, factor !== undefined, true, true].map(Number) as [number, number, number, number, number];
    const right = exports.power(context, input, area, terms.length, words, width, ...flags) & exports.ownerContext(record, context);
    invariant(right === 1, 'an exponentiation agrees with its check: a fault of this machine has spoilt it');
    return input;
  }

  /** The pair of moduli. Secret, so its context is made for the call. */
  #context(kept: Kept, record: number, squared: boolean): number {
    const { exports } = this.#memory;
    const words = Math.ceil(kept.bits / 32);
    const parts = squared ? 2 : 1;
    const context = this.#memory.take(exports.contextBytes(2, parts, kept.bits));
    const moduli = this.#memory.take(8 * words);
    exports.ownerModuli(record, moduli, words);
    exports.contextInit(context, 2, parts, kept.bits, moduli);
    return context;
  }

  #reduce(record: number, { x, e }: { readonly x?: Bounded; readonly e: Bounded }, target: number, stride: number, words: number): void {
    const written = (number?: Bounded): [at: number, words: number] => {
      if (number === undefined) return [0, 0];
      const count = Math.ceil((number.bits + 1) / 32);
      const at = this.#memory.take(4 * count);
      this.#memory.writeWords(at, number.value, count);
      return [at, count];
    };
    const [x_, xWords] = written(x);
    const [e_, eWords] = written(e);
    // λ has no more words than N.
    const area = this.#memory.take(4 * (Math.max(2 * words + 2 + xWords, eWords) + 1));
    this.#memory.exports.ownerReduce(record, x_, xWords, e_, eWords, area, target, stride, words);
  }
}
