import { describe, expect, test } from 'vitest';
import { modPow } from 'bigint-crypto-utils';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { below } from '../base/random.ts';
import * as prm from './pi-prm.ts';
import {
  contextOf,
  paillierKey,
  publicSetup,
  repetitions,
  ringPedersenKey,
  safePrime,
  seeded,
  smallParameters,
} from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const m = 8;
const setup = ringPedersenKey(576, 6);
const { n, p, q, s, t } = setup;
const codec = prm.proof(repetitions(m));
const context = () => contextOf('prm', { parameters: repetitions(m) });
const statement: prm.Statement = { setup: publicSetup(setup) };
const { verify } = prm;
const honest = once(async () => ({ statement, proof: await prm.prove(statement, setup, context()), context: context() }));
const equation = (j: number) => `t^(z_${j}) ≡ A_${j}·s^(e_${j}) mod N̂`;
const withEntry = (list: readonly bigint[], j: number, value: bigint) => list.map((entry, k) => (k === j ? value : entry));

describe('Π^prm', () => {
  testCommon('prm', { verify, codec, honest });

  test('each repetition is checked by itself', async () => {
    const { proof } = await honest();
    for (let j = 0; j < m; j++)
      await rejects(verify(statement, { ...proof, z: withEntry(proof.z, j, proof.z[j]! + 1n) }, context()), equation(j));
  });

  test('every A_j is in the challenge', async () => {
    const { proof } = await honest();
    const e = prm.challenge(statement, proof, context());
    for (let j = 0; j < m; j++) {
      const A = withEntry(proof.A, j, (proof.A[j]! * 4n) % n);
      expect(prm.challenge(statement, { A }, context())).not.toEqual(e);
      await rejects(verify(statement, { ...proof, A }, context()));
    }
  });

  test('a proof is bound to N̂, s and t', async () => {
    const { proof } = await honest();
    for (const change of [{ n: n + 2n }, { s: (s * t) % n }, { t: (t * t) % n }]) {
      await rejects(verify({ setup: { ...statement.setup, ...change } }, proof, context()));
    }
  });

  test('s outside of ⟨t⟩ is rejected', async () => {
    // −1 is no square modulo safe primes, so −s is not in the group of squares that t generates.
    const lie = { setup: { n, s: n - s, t } };
    const proof = await prm.prove(lie, setup, context());
    const first = prm.challenge(lie, proof, context()).indexOf(true);
    await rejects(verify(lie, proof, context()), equation(first));
  });

  test('a prover that does not know λ is rejected at the first bit 1', async () => {
    const proof = await prm.prove(statement, { ...setup, lambda: setup.lambda + 1n }, context());
    await rejects(verify(statement, proof, context()), equation(prm.challenge(statement, proof, context()).indexOf(true)));
  });

  describe('what every set-up must satisfy', () => {
    const check = async (change: Partial<typeof statement.setup>, text: string) =>
      rejects(verify({ setup: { ...statement.setup, ...change } }, (await honest()).proof, context()), text);

    test('size: below and above', async () => {
      await check({ n: n >> 2n }, '1151 ≤ bitlen(N̂) ≤ 1152');
      await check({ n: n << 1n }, '1151 ≤ bitlen(N̂) ≤ 1152');
    });
    test('even', () => check({ n: n - 1n }, 'N̂ odd'));
    test('negative, 0, 1', () => Promise.all([-n, 0n, 1n].map((bad) => check({ n: bad }, 'N̂ > 1'))));
    test('prime', async () => {
      // With N̂ prime the order of t is known to all, and commitments bind nobody.
      const parameters = { ...repetitions(m), primeBits: 512 };
      const prime = safePrime(1024, 0);
      await rejects(verify({ setup: { n: prime, s: 16n, t: 4n } }, { A: [], z: [] }, { ...context(), parameters }), 'N̂ composite');
    });
    test.each([0n, n, p, q * 5n, n + 1n, -1n])('s is no unit', (bad) => check({ s: bad }, 's ∈ Z*_N̂'));
    test.each([0n, n, p, q * 5n, n + 1n, -1n])('t is no unit', (bad) => check({ t: bad }, 't ∈ Z*_N̂'));
    test('s = 1 would commit to nothing', async () => {
      const lie = { setup: { n, s: 1n, t } };
      await rejects(verify(lie, await prm.prove(lie, { ...setup, lambda: 0n }, context()), context()), 's ≠ 1');
    });
    test('t = 1 would hide nothing', async () => {
      const lie = { setup: { n, s: 1n, t: 1n } };
      await check({ t: 1n }, 't ≠ 1');
      await rejects(verify(lie, await prm.prove(lie, { ...setup, lambda: 0n }, context()), context()), 's ≠ 1');
    });
  });

  describe('entries', () => {
    test('A_j is no unit', async () => {
      const { proof } = await honest();
      for (const bad of [0n, n, p, n + 1n, -1n])
        await rejects(verify(statement, { ...proof, A: withEntry(proof.A, 3, bad) }, context()), 'A_3 ∈ Z*_N̂');
    });
    test('z_j outside of [0, N̂)', async () => {
      const { proof } = await honest();
      const order = (p - 1n) * (q - 1n);
      for (const bad of [n, -1n]) await rejects(verify(statement, { ...proof, z: withEntry(proof.z, 5, bad) }, context()), 'z_5 ∈ [0, N̂)');
      // The same residue modulo φ(N̂), beyond the range.
      await rejects(verify(statement, { ...proof, z: withEntry(proof.z, 5, proof.z[5]! + 2n * order) }, context()), 'z_5 ∈ [0, N̂)');
    });
    test('m − 1 or m + 1 entries are refused before any exponentiation', async () => {
      const { proof } = await honest();
      const lazy = { ...context(), core: unreachableCore };
      for (const [A, z, text] of [
        [proof.A.slice(1), proof.z, `m = ${m} entries of A`],
        [[...proof.A, 1n], proof.z, `m = ${m} entries of A`],
        [proof.A, proof.z.slice(1), `m = ${m} entries of z`],
        [proof.A, [...proof.z, 0n], `m = ${m} entries of z`],
        [[], [], `m = ${m} entries of A`],
      ] as const) {
        await rejects(verify(statement, { A, z }, lazy), text);
      }
    });
    test('the codec fixes the count and the size of entries', async () => {
      const { proof } = await honest();
      for (const other of [m - 1, m + 1]) {
        const lax = prm.proof(repetitions(other));
        const entries = (list: readonly bigint[]) => [...list, 1n].slice(0, other);
        expect(() => decode(codec, encode(lax, { A: entries(proof.A), z: entries(proof.z) }))).toThrow(DecodeError);
      }
      const lax = prm.proof({ ...repetitions(m), primeBits: 2048 });
      expect(() => decode(codec, encode(lax, { ...proof, z: withEntry(proof.z, 2, 1n << 2048n) }))).toThrow('z[2]: ');
      expect(() => decode(codec, encode(lax, { ...proof, A: withEntry(proof.A, 7, 1n << 2048n) }))).toThrow('A[7]: ');
    });
  });

  test('the number of repetitions is the verifier’s: a proof of fewer does not pass at its level', async () => {
    const cheap = await prm.prove(statement, setup, { ...context(), parameters: repetitions(1) });
    await rejects(verify(statement, cheap, context()), `m = ${m} entries of A`);
  });

  test('over 1000 transcripts every one of 128 bits takes both values and no two agree throughout', () => {
    const random = seeded('entropy');
    const columns = Array.from({ length: 128 }, () => '');
    for (let k = 0; k < 1000; k++) {
      const e = prm.challenge(statement, { A: [below(random, n)] }, { ...context(), parameters: smallParameters });
      expect(e.length).toBe(128);
      for (const [j, bit] of e.entries()) columns[j] += bit ? '1' : '0';
    }
    for (const column of columns) {
      expect(column).toContain('0');
      expect(column).toContain('1');
      const ones = column.replaceAll('0', '').length;
      expect(Math.abs(ones - 500)).toBeLessThan(120); // more than seven standard deviations
    }
    expect(new Set(columns).size).toBe(128);
  });

  test('the test set-up itself: t is a square and s = t^λ', () => {
    expect(modPow(t, setup.lambda, n)).toBe(s);
    for (const prime of [p, q]) expect(modPow(t, (prime - 1n) / 2n, prime)).toBe(1n);
    expect(paillierKey(576, 6).n).toBe(n);
  });
});
