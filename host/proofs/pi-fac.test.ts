import { modPow } from 'bigint-crypto-utils';
import { describe, expect, test } from 'vitest';
import { decode, encode } from '../base/codec.ts';
import { below } from '../base/random.ts';
import type { PaillierSecret } from '../core/types.ts';
import { isqrt, mod } from './integers.ts';
import * as fac from './pi-fac.ts';
import { maskBits, testParameters } from './parameters.ts';
import { contextOf, paillierKey, publicPart, publicSetup, ringPedersenKey, seeded, smallParameters } from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const own = paillierKey(576, 0);
const verifierSetup = ringPedersenKey(576, 6);
const random = seeded('fac');
const codec = fac.proof(smallParameters);
const context = () => contextOf('fac', { verifier: 1, rid: new Uint8Array(32).fill(5) });
const statement: fac.Statement = { setup: publicSetup(verifierSetup), N: own };
const verify = ({ setup, N }: fac.Statement, proof: fac.Proof, in_ = context()) =>
  fac.verify({ setup: { ...verifierSetup, ...setup }, N: { n: N.n } }, proof, in_);

const honest = once(async () => ({ statement, proof: await fac.prove(statement, own, context()), context: context() }));
const equations = ['s^z1·t^w1 ≡ A·P^e mod N̂', 's^z2·t^w2 ≡ B·Q^e mod N̂', 'Q^z1·t^v ≡ T·(s^N)^e mod N̂'] as const;
const range = '2^(ℓ+ε−1)·√N';

/** With the verifier's trapdoor (s = t^λ) all equations can be met for any z1 and z2: everything is a power of t. */
function simulate(z1: bigint, z2: bigint, N: fac.Statement['N'] = own): fac.Proof {
  const { n, t, p, q, lambda } = verifierSetup;
  const order = (p - 1n) * (q - 1n);
  const [logP, logQ, logA, logB, logT] = Array.from({ length: 5 }, () => below(random, order)) as [bigint, bigint, bigint, bigint, bigint];
  const toThe = (exponent: bigint) => modPow(t, exponent, n);
  const commitment = { P: toThe(logP), Q: toThe(logQ), A: toThe(logA), B: toThe(logB), T: toThe(logT) };
  const e = fac.challenge({ ...statement, N }, commitment, context());
  return {
    ...commitment,
    z1,
    z2,
    w1: mod(logA + e * logP - lambda * z1, order),
    w2: mod(logB + e * logQ - lambda * z2, order),
    v: mod(logT + lambda * N.n * e - logQ * z1, order),
  };
}

describe('Π^fac', () => {
  testCommon('fac', { verify, codec, honest });

  describe('each equation alone', () => {
    test.each([
      ['z1', equations[0]],
      ['w1', equations[0]],
      ['z2', equations[1]],
      ['w2', equations[1]],
      ['v', equations[2]],
    ] as const)('a wrong %s', async (field, equation) => {
      const { proof } = await honest();
      await rejects(verify(statement, { ...proof, [field]: proof[field] + 1n }), equation);
      await rejects(verify(statement, { ...proof, [field]: -proof[field] }), equation);
    });
    test('a prover whose p and q are not factors of N', async () => {
      const other = paillierKey(576, 2);
      await rejects(verify(statement, await fac.prove(statement, { p: own.p, q: other.q }, context())), equations[2]);
      await rejects(verify(statement, await fac.prove(statement, { p: own.p + 2n, q: own.q }, context())), equations[2]);
    });
  });

  test.each(['P', 'Q', 'A', 'B', 'T'] as const)('the challenge binds %s', async (field) => {
    const { proof } = await honest();
    await rejects(verify(statement, { ...proof, [field]: proof[field] + 1n }), equations[0]);
  });
  test.each([
    ['N', { N: { n: own.n + 2n } }],
    ['N̂', { setup: { ...publicSetup(verifierSetup), n: ringPedersenKey(576, 8).n } }],
    ['s', { setup: { ...publicSetup(verifierSetup), s: verifierSetup.s + 1n } }],
    ['t', { setup: { ...publicSetup(verifierSetup), t: verifierSetup.t + 1n } }],
  ] as [string, Partial<fac.Statement>][])('a proof is bound to %s', async (_, change) => {
    const { proof } = await honest();
    await rejects(fac.verify({ ...statement, ...change }, proof, context()));
  });

  describe('the ranges', () => {
    const bound = isqrt(own.n) << 767n; // 2^(ℓ+ε−1)·√N
    test('at the bound a proof is accepted, on both sides and for both factors', async () => {
      for (const [z1, z2] of [
        [bound, -bound],
        [-bound, bound],
      ] as const) {
        await verify(statement, simulate(z1, z2));
      }
    });
    test.each([bound + 1n, -bound - 1n])('one more is rejected', async (z) => {
      await rejects(verify(statement, simulate(z, 0n)), `|z1| ≤ ${range}`);
      await rejects(verify(statement, simulate(0n, z)), `|z2| ≤ ${range}`);
    });

    // BitForge: a modulus with one small factor, the other making up for it.
    test.each([16, 64, 256])('a modulus with a factor of %i bits is rejected', async (bits) => {
      // Whether they are prime is no matter to this proof, only their size.
      const p = (1n << BigInt(bits - 1)) + 3n;
      const q = (1n << BigInt(2047 - bits)) + 9n;
      const level = () => ({ ...context(), parameters: testParameters });
      const weak: PaillierSecret = { n: p * q, p, q };
      const lie = { ...statement, N: weak };
      await rejects(verify(lie, await fac.prove(lie, weak, level()), level()), `|z2| ≤ ${range}`);
      await rejects(verify(lie, await fac.prove(lie, { p: q, q: p }, level()), level()), `|z1| ≤ ${range}`);
    });

    test('N ≤ 2^(4ℓ) is refused before any arithmetic', async () => {
      const { proof } = await honest();
      const unreachable = { ...context(), core: unreachableCore };
      for (const n of [1n << 1024n, 15n, 1n, 0n, -own.n])
        await rejects(verify({ ...statement, N: { n } }, proof, unreachable), 'N > 2^(4ℓ)');
    });
    test('N just above 2^(4ℓ) is not refused for its size', async () => {
      await rejects(verify({ ...statement, N: { n: (1n << 1024n) + 1n } }, (await honest()).proof), `|z1| ≤ ${range}`);
    });
  });

  describe('membership', () => {
    test.each(['P', 'Q', 'A', 'B', 'T'] as const)('%s must be a unit modulo N̂', async (field) => {
      const { proof } = await honest();
      const { n, p } = verifierSetup;
      for (const value of [0n, n, p, n + 1n, -1n]) await rejects(verify(statement, { ...proof, [field]: value }), `${field} ∈ Z*_N̂`);
    });
    test('all commitments 0 and responses 0 do not pass', () =>
      rejects(verify(statement, { P: 0n, Q: 0n, A: 0n, B: 0n, T: 0n, z1: 0n, z2: 0n, w1: 0n, w2: 0n, v: 0n }), 'P ∈ Z*_N̂'));
    test('the trivial proof with P = Q = A = B = T = 1 does not pass', () =>
      rejects(verify(statement, { P: 1n, Q: 1n, A: 1n, B: 1n, T: 1n, z1: 0n, z2: 0n, w1: 0n, w2: 0n, v: 0n }), equations[2]));
  });

  describe('sizes', () => {
    test.each([
      ['w1', maskBits(smallParameters)],
      ['w2', maskBits(smallParameters)],
      ['v', fac.vBits(smallParameters)],
    ] as const)('an oversize %s is refused before any arithmetic', async (field, bits) => {
      const { proof } = await honest();
      for (const value of [1n << BigInt(bits), -(1n << 100_000n)]) {
        await rejects(
          verify(statement, { ...proof, [field]: value }, { ...context(), core: unreachableCore }),
          `bitlen(${field}) ≤ ${bits}`,
        );
      }
    });
    test('the bounds at production size are those of the specification', () => {
      const production = { ...smallParameters, primeBits: 1536 };
      expect([maskBits(production), fac.vBits(production)]).toEqual([3841, 6912]);
    });
    test.each([
      ['P', 1153],
      ['Q', 1153],
      ['A', 1153],
      ['B', 1153],
      ['T', 1153],
      ['z1', 1345],
      ['z2', 1345],
      ['w1', 1922],
      ['w2', 1922],
      ['v', 3073],
    ] as const)('the codec refuses %s of %i bits', async (field, bits) => {
      const { proof } = await honest();
      const lax = fac.proof({ ...smallParameters, primeBits: 2048, epsilon: 1024 });
      expect(() => decode(codec, encode(lax, { ...proof, [field]: (1n << BigInt(bits)) - 1n }))).toThrow(`${field}: `);
    });
  });

  test('the proof does not name the factors: its statement is public', async () => {
    const { proof } = await honest();
    await fac.verify({ setup: verifierSetup, N: publicPart(own) }, proof, context());
    for (const value of Object.values(proof)) for (const factor of [own.p, own.q]) expect(value % factor === 0n).toBe(false);
  });
});
