/** The kernels against BigInt and OpenSSL, in this thread: every size class, both kernels, one lane and two, and the values that carry furthest. */
import { bitLength } from '../base/bytes.ts';
import { modInv, modPow } from 'bigint-crypto-utils';
import { createDiffieHellman, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bytesToBigint, bigintToBytes } from '../base/bytes.ts';
import type { KernelName } from './instance.ts';
import { instantiate } from './instance.ts';
import { Machine, type Product } from './machine.ts';
import { chooseKernel } from './self-test.ts';

const kernels: KernelName[] = ['fma', 'extmul'];
const machineFor = (kernel: KernelName): Machine => new Machine(instantiate(chooseKernel(kernel).module));
const random = (bits: number): bigint => bytesToBigint(new Uint8Array(randomBytes(Math.ceil(bits / 8)))) >> BigInt((8 - (bits % 8)) % 8);
const modulus = (bits: number): bigint => random(bits) | (1n << BigInt(bits - 1)) | 1n;
const all = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

const product = (n: bigint, terms: readonly (readonly [bigint, bigint, number?])[], options: Partial<Product> = {}): Product => ({
  n,
  terms: terms.map(([base, exponent, bits]) => ({ base, exponent, bits: bits ?? Math.max(1, bitLength(exponent)) })),
  signed: false,
  secret: true,
  hidden: false,
  ...options,
});
const expected = ({ n: root, squared, terms, factor }: Product): bigint => {
  const n = squared ? root * root : root;
  return terms.reduce(
    (value, { base, exponent }) => (value * (exponent < 0n ? modPow(modInv(base, n), -exponent, n) : modPow(base, exponent, n))) % n,
    (factor ?? 1n) % n,
  );
};

// Around each change of the number of digits or words, and the sizes of the product.
const sizes = [512, 513, 543, 577, 767, 1024, 1225, 1536, 2048, 2049, 3071, 3072, 3104, 3105, 4096, 5119, 6143, 6144];

describe.each(kernels)('kernel %s', (kernel) => {
  const machine = machineFor(kernel);

  it.each(sizes)('agrees with BigInt at %i bits: single and pair, secret and public', (bits) => {
    const [n, other] = [modulus(bits), modulus(bits)];
    for (const secret of [true, false]) {
      const lane = (m: bigint): Product => product(m, [[random(bits - 1), random(90), 90]], { secret });
      const [one, two] = [lane(n), lane(other)];
      expect(machine.products([one])).toEqual([expected(one)]);
      expect(machine.products([one, two])).toEqual([one, two].map(expected));
    }
  });

  it.each(sizes.filter((bits) => bits <= 3072))('agrees with BigInt modulo the square of %i bits', (bits) => {
    for (const secret of [true, false]) {
      const lane = (n: bigint): Product =>
        product(n, [[random(2 * bits - 2), random(90), 90]], { secret, squared: true, factor: random(2 * bits - 2) });
      // A shorter modulus beside a longer one of as many words, and the smallest.
      const [one, two] = [lane(modulus(bits)), lane(modulus(Math.max(bits & ~31, 512) === bits ? bits : (bits & ~31) + 1))];
      expect(machine.products([one])).toEqual([expected(one)]);
      expect(machine.products([one, two])).toEqual([one, two].map(expected));
    }
  });

  it.each([
    [512, false],
    [1536, false],
    [3072, false],
    [3104, false],
    [6144, false],
    [512, true],
    [1536, true],
    [3072, true],
  ])('survives the values that carry furthest at %i bits (squared: %s)', (bits, squared) => {
    // Moduli of all ones, of one bit at each end, ≡ 1 and ≡ −1 modulo a digit, with long runs; bases likewise.
    const top = 1n << BigInt(bits - 1);
    const runs = all(bits) ^ (all(bits / 4) << BigInt(bits / 2));
    const moduli = [
      all(bits),
      top | 1n,
      top | all(51),
      top | (1n << 51n) | 1n,
      runs | 1n,
      all(bits) - (1n << 28n),
      all(bits) - all(bits / 2) + 1n,
    ];
    for (const [i, n] of moduli.entries()) {
      const m = squared ? n * n : n;
      const bases = [0n, 1n, 2n, m - 1n, m - 2n, all(bits) % n, runs % n, (top - 1n) % n, all(51) << 51n, n - 1n, (n - 1n) * n];
      for (let b = 0; b < bases.length; b += 2) {
        const lanes = [b, b + 1].map((at) => product(n, [[bases[at % bases.length]! % m, BigInt(33 + i), 8]], { squared })) as [
          Product,
          Product,
        ];
        expect(machine.products(lanes)).toEqual(lanes.map(expected));
        expect(machine.products([lanes[0]])).toEqual([expected(lanes[0])]);
      }
    }
  });

  it('stays right through long chains of squarings', () => {
    // 2^(2^k) mod n for a k in the thousands: an error in any of the digits at any step would show.
    const n = all(3072);
    for (const lane of [product(n, [[2n, 1n << 3000n, 3001]]), product(all(1536), [[2n, 1n << 3000n, 3001]], { squared: true })]) {
      expect(machine.products([lane])).toEqual([expected(lane)]);
      expect(machine.products([lane, lane])).toEqual([expected(lane), expected(lane)]);
    }
  });

  it('takes exponent 0, leading zeros, several terms of different lengths, a factor', () => {
    const n = modulus(1024);
    const a = random(1023);
    for (const secret of [true, false]) {
      expect(machine.products([product(n, [[a, 0n, 64]], { secret })])).toEqual([1n]);
      expect(machine.products([product(n, [[a, 5n, 300]], { secret })])).toEqual([modPow(a, 5n, n)]);
      const many = product(
        n,
        [
          [a, random(256)],
          [random(1023), random(31)],
          [random(1023), 1n],
          [random(1023), random(700)],
        ],
        { secret, factor: random(1023) },
      );
      expect(machine.products([many])).toEqual([expected(many)]);
      const lanes: [Product, Product] = [many, { ...many, n: modulus(1024), factor: 7n }];
      lanes[1] = { ...lanes[1], terms: lanes[1].terms.map((term) => ({ ...term, base: term.base % lanes[1].n })) };
      expect(machine.products(lanes)).toEqual(lanes.map(expected));
    }
  });

  it('takes signed exponents, each lane and term its own sign', () => {
    const n = modulus(768);
    const units = [3n, 5n, 7n, 11n].map((u) => modPow(u, 12345n, n)).map((u) => (machine.isUnit(u, n) ? u : 2n));
    for (const signs of [0, 1, 2, 3, 9, 15]) {
      const term = (i: number) => {
        const exponent = random(256) * (((signs >> i) & 1) === 1 ? -1n : 1n);
        return { base: units[i]!, inverse: machine.invert(units[i]!, n)!, exponent, bits: 256 };
      };
      const lanes: [Product, Product] = [
        { n, terms: [term(0), term(1)], signed: true, secret: true, hidden: false },
        { n, terms: [term(2), term(3)], signed: true, secret: true, hidden: false },
      ];
      expect(machine.products(lanes)).toEqual(lanes.map(expected));
    }
    const most = -(1n << 256n) + 1n;
    expect(
      machine.products([
        { n, terms: [{ base: 2n, inverse: modInv(2n, n), exponent: most, bits: 256 }], signed: true, secret: true, hidden: false },
      ]),
    ).toEqual([modPow(modInv(2n, n), -most, n)]);
  });

  it('agrees with OpenSSL', () => {
    for (const bits of [1024, 2048, 3072]) {
      // OpenSSL computes the "shared secret" g^x mod p for any odd p.
      const n = modulus(bits);
      const peer = createDiffieHellman(Buffer.from(bigintToBytes(n, bits / 8)), Buffer.of(2));
      const base = random(bits - 1);
      const exponent = random(400) | 1n;
      peer.setPrivateKey(Buffer.from(bigintToBytes(exponent, 50)));
      const secret = bytesToBigint(new Uint8Array(peer.computeSecret(Buffer.from(bigintToBytes(base, bits / 8)))));
      expect(machine.products([product(n, [[base, exponent]])])).toEqual([secret]);
    }
  });

  it('inverts, and knows what has no inverse', () => {
    for (const bits of [512, 1536, 3072, 6144]) {
      const n = modulus(bits);
      for (const x of [1n, 2n, n - 1n, n - 2n, random(bits - 1), random(200), 0n]) {
        const inverse = machine.invert(x, n);
        const unit = machine.isUnit(x, n);
        expect(unit).toBe(inverse !== undefined);
        if (inverse === undefined) expect(() => modInv(x, n)).toThrow();
        else {
          expect((inverse * x) % n).toBe(1n);
          expect(inverse < n).toBe(true);
        }
      }
      const [p, q] = [modulus(bits / 2 - 1), modulus(bits / 2 - 1)];
      expect(machine.invert((p * 12345n) % (p * q), p * q)).toBeUndefined();
      expect(machine.isUnit(q, p * q)).toBe(false);
    }
  });

  it('raises fixed bases: all lengths, signs, one lane and two, tables extended later', () => {
    const bases = [4n, 9n];
    const any = modulus(1536);
    const n = any % 3n === 0n ? any - 2n : any;
    const comb = (x: bigint, y: bigint, chunks: number[], secret: boolean) => ({ n, bases, exponents: [x, y], chunks, secret });
    const value = (x: bigint, y: bigint) =>
      expected(
        product(n, [
          [4n, x],
          [9n, y],
        ]),
      );
    for (const secret of [true, false]) {
      for (const [x, y, chunks] of [
        [random(256), random(384), [1, 1]],
        [-random(384), random(700), [1, 2]],
        [0n, -random(1100), [1, 3]],
        [-(1n << 384n), all(768), [1, 2]],
        [-1n, 1n, [2, 3]],
      ] as [bigint, bigint, number[]][]) {
        expect(machine.combs([comb(x, y, chunks, secret)])).toEqual([value(x, y)]);
        expect(machine.combs([comb(x, y, chunks, secret), comb(-x / 2n, y / 3n, chunks, secret)])).toEqual([
          value(x, y),
          value(-x / 2n, y / 3n),
        ]);
      }
    }
  });

  it('has no tables for a base that is not a unit', () => {
    const [p, q] = [modulus(300), modulus(300)];
    expect(machine.combs([{ n: p * q, bases: [p, 2n], exponents: [1n, 1n], chunks: [1, 1], secret: true }])).toBeUndefined();
  });

  it('leaves no secret in linear memory, and no table or context of a secret modulus', () => {
    const fresh = machineFor(kernel);
    const n = modulus(2048);
    fresh.products([
      product(
        n,
        [
          [random(2047), random(2048)],
          [random(2047), random(256)],
        ],
        { hidden: true, factor: random(2000) },
      ),
    ]);
    fresh.products([product(n, [[random(2047), random(512), 512]]), product(n, [[random(2047), random(512), 512]])]);
    fresh.products([product(n, [[random(2047), random(512)]], { secret: false })]);
    const square = (): Product => product(n, [[random(4094), random(256), 256]], { squared: true, factor: random(4094) });
    fresh.products([square()]);
    fresh.products([square(), square()]);
    const [p, q] = [modulus(1536), modulus(1536)].map((prime): Product =>
      product(prime, [[random(3000), random(256), 256]], { squared: true, hidden: true, factor: random(3000) }),
    );
    fresh.products([p!, q!]);
    fresh.combs([{ n, bases: [4n], exponents: [-random(500)], chunks: [2], secret: true }]);
    fresh.invert(random(2047), n);
    fresh.isUnit(random(2047), n);
    expect(() => fresh.products([product(n, [[n << 64n, 3n]])])).toThrow(RangeError);
    const residue = fresh.residue();
    // What is left: the tables of constants that the module was built with, the same in a fresh instance.
    const untouched = machineFor(kernel).residue();
    expect(Buffer.compare(Buffer.from(residue.subarray(0, untouched.length)), Buffer.from(untouched))).toBe(0);
    expect(residue.subarray(untouched.length).every((byte) => byte === 0)).toBe(true);
  });

  it('keeps the public contexts and tables bounded', () => {
    const fresh = machineFor(kernel);
    const n = Array.from({ length: 40 }, () => modulus(512));
    for (let round = 0; round < 3; round++) {
      for (const m of n) {
        fresh.products([product(m, [[3n, 5n]], { secret: false })]);
        fresh.combs([{ n: m, bases: [4n], exponents: [9n], chunks: [1], secret: false }]);
        fresh.products([product(m, [[3n, 5n, 16]]), product(n[0]!, [[3n, 5n, 16]])]);
      }
      if (round === 0) continue;
      expect(fresh.residue().length).toBeLessThan(2 ** 20);
    }
  });
});
