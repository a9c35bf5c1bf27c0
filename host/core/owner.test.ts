/**
 * What the owner of a key computes around the exponentiations, in WebAssembly, against BigInt: every function by itself at the values where a carry, a borrow or a
 * correction happens, for factors of every shape, and whole operations with factors of unequal length. The functions need no primes, only odd coprime numbers.
 */
import { modInv } from 'bigint-crypto-utils';
import { generatePrimeSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bitLength } from '../base/bytes.ts';
import { below, systemRandom } from '../base/random.ts';
import { Evaluator } from './evaluate.ts';
import { instantiate, type KernelName } from './instance.ts';
import { mod, wordsOf } from './integers.ts';
import { Machine } from './machine.ts';
import { evaluateReference } from './reference.ts';
import { chooseKernel } from './self-test.ts';
import { commit, decrypt, encrypt, modN, modN2, power, powerPublic, type Operation } from './types.ts';

const random = (bits: number): bigint => below(systemRandom, 1n << BigInt(bits));
const top = (bits: number): bigint => 1n << BigInt(bits - 1);

/** p and q: of equal and unequal length, at both ends of a word, all ones, with a square that has a word less than twice as many. */
const shapes: readonly (readonly [name: string, p: bigint, q: bigint])[] = [
  ['576 and 576 bits', top(576) | random(575) | 1n, top(576) | random(575) | 1n],
  ['all ones and nearly so', 2n ** 544n - 1n, 2n ** 544n - 33n],
  ['one bit in the top word', top(513) | random(300) | 1n, top(513) | random(511) | 1n],
  ['the least of their length', top(512) + 3n, top(512) + 1n],
  ['256 and 800 bits', top(256) | random(255) | 1n, top(800) | random(799) | 1n],
  ['800 and 257 bits', top(800) | random(799) | 1n, top(257) | 1n],
].map(([name, p, q]) => {
  let b = q as bigint;
  while (!coprime(p as bigint, b) || b === p) b -= 2n;
  return [name as string, p as bigint, b] as const;
});

function coprime(a: bigint, b: bigint): boolean {
  while (b !== 0n) [a, b] = [b, a % b];
  return a === 1n;
}

describe.each(['fma', 'extmul'] as KernelName[])('of a key, on kernel %s', (kernel) => {
  const { module } = chooseKernel(kernel);

  /** The functions with the record of one key. */
  function owner(p: bigint, q: bigint, lambda = 0n) {
    const { memory } = new Machine(instantiate(module));
    const { exports } = memory;
    const lengths = [p, q, lambda].map(wordsOf) as [number, number, number];
    const half = Math.max(lengths[0], lengths[1]);
    const call = <T>(work: (record: number) => T): T =>
      memory.scratch(() => {
        const record = memory.take(exports.ownerBytes(...lengths));
        const secrets = memory.take(4 * (lengths[0] + lengths[1] + lengths[2]));
        memory.write(secrets, p, 4 * lengths[0]);
        memory.write(secrets + 4 * lengths[0], q, 4 * lengths[1]);
        memory.write(secrets + 4 * (lengths[0] + lengths[1]), lambda, 4 * lengths[2]);
        expect(exports.ownerInit(record, secrets, ...lengths)).toBe(1);
        return work(record);
      });
    const words = (at: number, count: number): bigint => {
      let value = 0n;
      for (let i = count - 1; i >= 0; i--) value = (value << 32n) | BigInt(memory.view().getUint32(at + 4 * i, true));
      return value;
    };
    const halvesAt = (a: bigint, b: bigint, count: number): number => {
      const at = memory.take(8 * count);
      memory.write(at, a, 4 * count);
      memory.write(at + 4 * count, b, 4 * count);
      return at;
    };
    return {
      exponents: (which: number) =>
        call((record) => {
          const at = memory.take(8 * half);
          exports.ownerExponent(record, which, at, 4 * half, half);
          return [words(at, half), words(at + 4 * half, half)];
        }),
      /** λ·x + e for each half, from x and e in so many bits beside the sign. */
      reduce: (x: bigint, e: bigint, xBits: number, eBits: number) =>
        call((record) => {
          const [xWords, eWords] = [Math.ceil((xBits + 1) / 32), Math.ceil((eBits + 1) / 32)];
          const [xAt, eAt] = [memory.take(4 * xWords), memory.take(4 * eWords)];
          memory.writeWords(xAt, x, xWords);
          memory.writeWords(eAt, e, eWords);
          const area = memory.take(4 * (Math.max(lengths[2] + xWords, eWords) + 1));
          const at = memory.take(8 * half);
          exports.ownerReduce(record, xAt, xWords, eAt, eWords, area, at, 4 * half, half);
          return [words(at, half), words(at + 4 * half, half)];
        }),
      recombine: (squared: boolean, a: bigint, b: bigint) =>
        call((record) => {
          const count = squared ? 2 * half : half;
          const halves = halvesAt(a, b, count);
          const target = memory.take(8 * count);
          const said = exports.ownerRecombine(record, Number(squared), halves, count, target);
          return { said, value: memory.read(target, 8 * count) };
        }),
      plaintext: (a: bigint, b: bigint) =>
        call((record) => {
          const halves = halvesAt(a, b, 2 * half);
          const target = memory.take(4 * (2 * half + 1));
          const said = exports.ownerPlaintext(record, halves, 2 * half, target);
          return { said, value: BigInt.asIntN(32 * (2 * half + 1), memory.read(target, 4 * (2 * half + 1))) };
        }),
    };
  }

  it.each(shapes)('exponents, %s', (_, p, q) => {
    const lambda = random(bitLength(p * q) - 2);
    const { exponents, reduce } = owner(p, q, lambda);
    expect(exponents(0)).toEqual([p, q]);
    expect(exponents(1)).toEqual([p - 1n, q - 1n]);
    expect(exponents(2)).toEqual([q % (p - 1n), p % (q - 1n)]);
    const phi = (p - 1n) * (q - 1n);
    const inverses = [p - 1n, q - 1n].map((order) => (coprime(p * q, order) ? modInv(p * q, order) : 0n));
    expect(exponents(3)).toEqual(inverses);
    expect(exponents(4)).toEqual([p - 1n, q - 1n].map((order) => ((phi + 4n) / 8n) ** 2n % order));
    const long = 2n ** BigInt(bitLength(phi) + 700);
    const edges = [0n, 1n, p - 2n, p - 1n, p, q - 1n, 2n * (p - 1n), phi - 1n, phi, phi * 7n, long - 1n, long, random(64), random(2500)];
    for (const e of edges.flatMap((v) => [v, -v])) {
      for (const x of [0n, 1n, -1n, 2n ** 256n - 1n, -random(900)]) {
        const value = lambda * x + e;
        const expected = [p, q].map((prime) => mod(value, prime - 1n) || (value === 0n ? 0n : prime - 1n));
        expect(reduce(x, e, Math.max(256, bitLength(x)), Math.max(256, bitLength(e)))).toEqual(expected);
      }
    }
    // λ·x + e = 0 as a number, and as a multiple of one order only.
    expect(reduce(-1n, lambda, 256, bitLength(lambda))).toEqual([0n, 0n]);
    expect(reduce(1n, q - 1n - lambda, 256, bitLength(lambda))[1]).toBe(q - 1n);
  });

  it.each(shapes)('recombination, %s', (_, p, q) => {
    const { recombine } = owner(p, q);
    for (const squared of [false, true]) {
      const [m, n] = squared ? [p * p, q * q] : [p, q];
      const numbers = [0n, 1n, m - 1n, m, n - 1n, n, m * n - 1n, m * n - m, m * (n / 2n), n * (m / 2n), n * (m - 1n), random(64)];
      for (let i = 0; i < 20; i++) numbers.push(below(systemRandom, m * n));
      for (const x of numbers) {
        const [a, b] = [x % m, x % n];
        expect(recombine(squared, a, b)).toEqual({ said: a === 0n || b === 0n ? 1 : 3, value: x });
      }
    }
  });

  it.each(shapes)('plaintexts, %s', (_, p, q) => {
    const { plaintext } = owner(p, q);
    const n = p * q;
    // (1 + N)^m to the p − 1 is 1 − mN mod p².
    const halves = (m: bigint) => [mod(1n - m * n, p * p), mod(1n - m * n, q * q)] as const;
    const messages = [0n, 1n, (n - 1n) / 2n, (n - 3n) / 2n, p, q, p - 1n, q * (p / 2n)];
    for (let i = 0; i < 20; i++) messages.push(below(systemRandom, n / 2n));
    for (const m of messages.flatMap((v) => [v, -v])) expect(plaintext(...halves(m))).toEqual({ said: 3, value: m });
    // 0 comes from a ciphertext that is no unit; anything else that is not 1 mod p from no ciphertext at all.
    const [a, b] = halves(5n);
    expect(plaintext(0n, b).said & 2).toBe(0);
    expect(plaintext(a, 0n).said & 2).toBe(0);
    for (const [x, y] of [
      [a + 1n, b],
      [a, b - 1n],
      [(a + 12345n) % (p * p), b],
    ] as const)
      expect(plaintext(x, y).said).toBe(2);
  });

  it('factors with a common divisor are refused', () => {
    const { memory } = new Machine(instantiate(module));
    const words = 17;
    const common = memory.scratch(() => {
      const record = memory.take(memory.exports.ownerBytes(words, words, 0));
      const secrets = memory.take(8 * words);
      memory.write(secrets, 3n * (top(540) + 1n), 4 * words);
      memory.write(secrets + 4 * words, 3n * (top(541) + 1n), 4 * words);
      return memory.exports.ownerInit(record, secrets, words, words, 0);
    });
    expect(common).toBe(0);
  });

  it('operations with factors of unequal length agree with their definition', () => {
    const evaluator = new Evaluator(new Machine(instantiate(module)));
    for (const [pBits, qBits] of [
      [256, 320],
      [640, 288],
      [384, 383],
    ] as const) {
      const [p, q] = [pBits, qBits].map((bits) => generatePrimeSync(bits, { bigint: true })) as [bigint, bigint];
      const key = { n: p * q, p, q };
      const bits = bitLength(key.n);
      const [t, lambda] = [random(bits - 1), random(bits - 3)];
      const setup = { ...key, s: evaluateReference(power(key.n, [t, lambda])), t, lambda };
      const c = evaluateReference(encrypt(key, -12345n, random(bits - 1)));
      const operations: Operation[] = [
        power(modN(key), [random(bits), random(2 * bits)], [random(bits), -random(200)]),
        power(modN(key), [random(bits), 2n * (p - 1n)], [random(bits), -3n * (q - 1n)]),
        powerPublic(modN(key), [random(bits), random(bits)], [random(bits), -5n], [key.n - 1n, 1n]),
        power(modN2(key), [random(2 * bits), random(300)], [random(2 * bits), -random(300)]),
        power(modN2(key), [random(2 * bits), random(3 * bits)]),
        powerPublic(modN2(key), ...Array.from({ length: 16 }, () => [random(2 * bits), random(128)] as const)),
        encrypt(key, -random(200), random(bits - 1)),
        decrypt(key, c),
        commit(setup, -random(200), random(bits + 700)),
        commit(setup, 1n, -lambda),
        // No units: 0 where the exponent is a multiple of the order, 1 where it is 0.
        power(modN(key), [p, (p - 1n) * (q - 1n)]),
        power(modN(key), [q * 3n, 0n], [2n, random(2 * bits)]),
      ];
      for (const [i, operation] of operations.entries())
        expect(evaluator.evaluate([operation]), `operation ${i}, ${pBits} and ${qBits} bits`).toEqual([evaluateReference(operation)]);
      expect(() => evaluator.evaluate([power(modN(key), [p, -(p - 1n) * (q - 1n)])])).toThrow('needs a base that is a unit');
    }
  });

  it('leaves nothing of a key in linear memory', () => {
    const machine = new Machine(instantiate(module));
    const evaluator = new Evaluator(machine);
    const [p, q] = [generatePrimeSync(512, { bigint: true }), generatePrimeSync(512, { bigint: true })];
    const key = { n: p * q, p, q };
    const setup = { ...key, s: 4n, t: 2n, lambda: 2n };
    const c = evaluateReference(encrypt(key, 5n, 7n));
    for (const operation of [encrypt(key, 3n, 5n), decrypt(key, c), power(modN2(key), [c, -3n]), commit(setup, -7n, random(1200))])
      evaluator.evaluate([operation]);
    expect(() => evaluator.evaluate([decrypt(key, p)])).toThrow(RangeError);
    const residue = machine.residue();
    const untouched = new Machine(instantiate(module)).residue();
    expect(Buffer.compare(Buffer.from(residue.subarray(0, untouched.length)), Buffer.from(untouched))).toBe(0);
    expect(residue.subarray(untouched.length).every((byte) => byte === 0)).toBe(true);
  });

  it('leaves nothing either when there is no more memory to be had', () => {
    const exports = instantiate(module);
    let refuse = false;
    const memory = {
      get buffer() {
        return exports.memory.buffer;
      },
      grow(pages: number): number {
        if (refuse) throw new RangeError('no more memory');
        return exports.memory.grow(pages);
      },
    } as WebAssembly.Memory;
    const machine = new Machine({ ...exports, memory });
    const evaluator = new Evaluator(machine);
    const [p, q] = [2n ** 1279n - 1n, 2n ** 607n - 1n];
    const operation = power(modN2({ n: p * q, p, q }), ...Array.from({ length: 16 }, () => [random(3700), random(128)] as const));
    refuse = true;
    expect(() => evaluator.evaluate([operation])).toThrow('no more memory');
    const untouched = new Machine(instantiate(module)).residue();
    expect(Buffer.compare(Buffer.from(machine.residue()), Buffer.from(untouched))).toBe(0);
    refuse = false;
    expect(evaluator.evaluate([operation])).toEqual([evaluateReference(operation)]);
  });

  it('p⁻¹ and all that follows come out of the record as they went in', () => {
    // x ≡ 1 mod p and 0 mod q is q·(q⁻¹ mod p): wrong for any other inverse.
    for (const [, p, q] of shapes) expect(owner(p, q).recombine(false, 1n, 0n).value).toBe(q * modInv(q % p, p));
  });
});
