import { modInv, modPow } from 'bigint-crypto-utils';
import { describe, expect, test } from 'vitest';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { jacobi, mod } from './integers.ts';
import * as piMod from './pi-mod.ts';
import { unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, repetitions, safePrime, seeded } from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const m = 8;
const own = paillierKey(576, 0);
const { n, p, q } = own;
const codec = piMod.proof(repetitions(m));
const context = () => contextOf('mod', { parameters: repetitions(m), rid: new Uint8Array(32).fill(5) });
const statement: piMod.Statement = { N: publicPart(own) };
const { verify } = piMod;
const honest = once(async () => ({ statement, proof: await piMod.prove(statement, own, context()), context: context() }));
const zEquation = (j: number) => `z_${j}^N ≡ y_${j} mod N`;
const xEquation = (j: number) => `x_${j}^4 ≡ (−1)^(a_${j})·w^(b_${j})·y_${j} mod N`;
const change = (proof: piMod.Proof, j: number, part: Partial<piMod.Repetition>): piMod.Proof => ({
  ...proof,
  repetitions: proof.repetitions.map((repetition, k) => (k === j ? { ...repetition, ...part } : repetition)),
});

/** A fourth root modulo a prime that is ≡ 3 mod 4, or small enough to try all numbers. */
function fourthRoot(value: bigint, prime: bigint): bigint | undefined {
  if (prime % 4n === 3n) return jacobi(value, prime) === -1 ? undefined : modPow(value, ((prime + 1n) / 4n) ** 2n % (prime - 1n), prime);
  for (let x = 1n; x < prime; x++) if (x ** 4n % prime === value) return x;
  return undefined;
}

/** The best a prover can do for any N whose factors it knows: N-th roots where they exist, fourth roots of the y_j that have one. */
async function cheat(
  primes: readonly bigint[],
  w: bigint,
  parameters = repetitions(m),
): Promise<{ statement: piMod.Statement; proof: piMod.Proof; rooted: boolean[] }> {
  const N = primes.reduce((product, prime) => product * prime, 1n);
  const order = primes.reduce((product, prime) => product * (prime - 1n), 1n);
  const lie = { N: { n: N } };
  const y = await piMod.challenge(lie, { w }, { ...context(), parameters });
  const rooted: boolean[] = [];
  const attempts = y.map((value): piMod.Repetition => {
    const z = modPow(value, modInv(N, order), N);
    for (const [a, b] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const target = mod((a ? -1n : 1n) * (b ? w : 1n) * value, N);
      const roots = primes.map((prime) => fourthRoot(target % prime, prime));
      if (roots.includes(undefined)) continue;
      // Put together by the Chinese remainder theorem.
      const x = primes.reduce((sum, prime, k) => {
        const rest = N / prime;
        return (sum + roots[k]! * rest * modInv(rest, prime)) % N;
      }, 0n);
      rooted.push(true);
      return { x, a, b, z };
    }
    rooted.push(false);
    return { x: 1n, a: false, b: false, z };
  });
  return { statement: lie, proof: { w, repetitions: attempts }, rooted };
}

describe('Π^mod', () => {
  testCommon('mod', { verify, codec, honest });

  test('x_j is the principal fourth root of the specification, and both twists occur', async () => {
    const { proof } = await honest();
    const y = await piMod.challenge(statement, proof, context());
    const order = (p - 1n) * (q - 1n);
    for (const [j, { x, a, b, z }] of proof.repetitions.entries()) {
      const twisted = mod((a ? -1n : 1n) * (b ? proof.w : 1n) * y[j]!, n);
      expect([jacobi(twisted, p), jacobi(twisted, q)]).toEqual([1, 1]);
      expect(x).toBe(modPow(twisted, ((order + 4n) / 8n) ** 2n % order, n));
      expect(z).toBe(modPow(y[j]!, modInv(n, order), n));
    }
    for (const flag of ['a', 'b'] as const) expect(new Set(proof.repetitions.map((repetition) => repetition[flag])).size).toBe(2);
  });

  test.each([
    [0, 1],
    [2, 3],
    [4, 5],
    [8, 9],
  ])('every pair of safe primes proves (%i, %i)', async (i, j) => {
    const key = { p: safePrime(576, i), q: safePrime(576, j) };
    const N = { N: { n: key.p * key.q } };
    await verify(N, await piMod.prove(N, key, context()), context());
  });

  describe('each equation of each repetition', () => {
    test('z_j', async () => {
      const { proof } = await honest();
      for (let j = 0; j < m; j++)
        await rejects(verify(statement, change(proof, j, { z: proof.repetitions[j]!.z + 1n }), context()), zEquation(j));
    });
    test('x_j, a_j, b_j', async () => {
      const { proof } = await honest();
      for (let j = 0; j < m; j++) {
        const { x, a, b } = proof.repetitions[j]!;
        await rejects(verify(statement, change(proof, j, { x: x + 1n }), context()), xEquation(j));
        await rejects(verify(statement, change(proof, j, { a: !a }), context()), xEquation(j));
        await rejects(verify(statement, change(proof, j, { b: !b }), context()), xEquation(j));
      }
    });
    test('repetitions do not stand for each other', async () => {
      const { proof } = await honest();
      await rejects(verify(statement, change(proof, 0, proof.repetitions[1]!), context()), zEquation(0));
    });
  });

  test('a proof is bound to N and w', async () => {
    const { proof } = await honest();
    await rejects(verify({ N: { n: paillierKey(576, 2).n } }, proof, context()));
    let w = proof.w;
    do w++;
    while (jacobi(w, n) !== -1);
    await rejects(verify(statement, { ...proof, w }, context()), zEquation(0));
  });

  describe('w (CVE-2025-66016)', () => {
    test.each([0n, n, p, q * 3n, n + 1n, -1n])('that is no unit', async (w) => {
      await rejects(verify(statement, { ...(await honest()).proof, w }, context()), 'w ∈ Z*_N');
    });
    test('with Jacobi symbol +1', async () => {
      const { proof } = await honest();
      for (const w of [1n, 4n, n - 1n]) await rejects(verify(statement, { ...proof, w }, context()), 'Jacobi(w/N) = −1');
    });
    test('the forgery for a modulus of three primes: w = 0 and every x_j = 0', async () => {
      const parameters = { ...repetitions(m), primeBits: 864 };
      const { statement: lie, proof } = await cheat([safePrime(576, 0), safePrime(576, 2), safePrime(576, 4)], 0n, parameters);
      const forged = { w: 0n, repetitions: proof.repetitions.map(({ z }) => ({ x: 0n, a: false, b: true, z })) };
      await rejects(verify(lie, forged, { ...context(), parameters }), 'w ∈ Z*_N');
      // Nor with a unit for w in its place: then the roots are no units.
      let w = 2n;
      while (jacobi(w, lie.N.n) !== -1) w++;
      await rejects(verify(lie, { ...forged, w }, { ...context(), parameters }), 'x_0 ∈ Z*_N');
    });
  });

  describe('moduli of another form', () => {
    test('size: below and above', async () => {
      const { proof } = await honest();
      for (const bad of [n >> 2n, n << 1n]) await rejects(verify({ N: { n: bad } }, proof, context()), '1151 ≤ bitlen(N) ≤ 1152');
    });
    test('negative, 0, 1', async () => {
      for (const bad of [-n, 0n, 1n]) await rejects(verify({ N: { n: bad } }, (await honest()).proof, context()), 'N > 1');
    });
    test('even', async () => rejects(verify({ N: { n: n - 1n } }, (await honest()).proof, context()), 'N odd'));
    test('prime', async () => {
      const parameters = { ...repetitions(m), primeBits: 512 };
      await rejects(verify({ N: { n: safePrime(1024, 0) } }, (await honest()).proof, { ...context(), parameters }), 'N composite');
    });
    test('the square of a prime has no N-th roots', async () => {
      const square = { N: { n: p * p } };
      // Jacobi(w/p²) is never −1, so no w passes …
      await rejects(verify(square, (await honest()).proof, context()), 'Jacobi(w/N) = −1');
    });
    test('a prime power times a prime has no N-th roots', async () => {
      const parameters = { ...repetitions(m), primeBits: 864 };
      const N = p * p * q;
      let w = 2n;
      while (jacobi(w, N) !== -1) w++;
      const y = await piMod.challenge({ N: { n: N } }, { w }, { ...context(), parameters });
      // gcd(N, φ(N)) = p: the power N is not a bijection, and a random y is no N-th power but with probability 1/p. N^−1 exists only modulo (p − 1)(q − 1).
      const inverse = modInv(N, (p - 1n) * (q - 1n));
      const tried = y.map((value) => ({ x: 1n, a: false, b: false, z: modPow(value, inverse, N) }));
      await rejects(verify({ N: { n: N } }, { w, repetitions: tried }, { ...context(), parameters }), zEquation(0));
    });
    test('of three primes about half of the y_j have no fourth root', async () => {
      const parameters = { ...repetitions(m), primeBits: 864 };
      const primes = [safePrime(576, 0), safePrime(576, 2), safePrime(576, 4)];
      const N = primes[0]! * primes[1]! * primes[2]!;
      const random = seeded('three primes');
      let w: bigint;
      do w = unit(random, N);
      while (jacobi(w, N) !== -1);
      const { statement: lie, proof, rooted } = await cheat(primes, w, parameters);
      expect(new Set(rooted).size).toBe(2);
      await rejects(verify(lie, proof, { ...context(), parameters }), xEquation(rooted.indexOf(false)));
    });
    test('primes ≡ 1 mod 4 have no fourth roots for every y_j', async () => {
      // Safe primes are ≡ 3 mod 4, so the other kind is a small one. Of the units modulo it only a quarter are fourth powers.
      const parameters = { ...repetitions(m), primeBits: 296 };
      const primes = [65537n, safePrime(576, 0)];
      const N = primes[0]! * primes[1]!;
      let w = 2n;
      while (jacobi(w, N) !== -1) w++;
      const { statement: lie, proof, rooted } = await cheat(primes, w, parameters);
      await rejects(verify(lie, proof, { ...context(), parameters }), xEquation(rooted.indexOf(false)));
    });
  });

  describe('entries', () => {
    test.each(['x', 'z'] as const)('%s_j that is no unit', async (field) => {
      const { proof } = await honest();
      for (const bad of [0n, n, p, n + 1n, -1n])
        await rejects(verify(statement, change(proof, 3, { [field]: bad }), context()), `${field}_3 ∈ Z*_N`);
    });
    test('m − 1 or m + 1 repetitions are refused before any exponentiation', async () => {
      const { proof } = await honest();
      const lazy = { ...context(), core: unreachableCore };
      for (const list of [proof.repetitions.slice(1), [...proof.repetitions, proof.repetitions[0]!], []]) {
        await rejects(verify(statement, { ...proof, repetitions: list }, lazy), `m = ${m} repetitions`);
      }
    });
    test('the codec fixes count, bits and sizes', async () => {
      const { proof } = await honest();
      for (const other of [m - 1, m + 1]) {
        const list = [...proof.repetitions, proof.repetitions[0]!].slice(0, other);
        expect(() => decode(codec, encode(piMod.proof(repetitions(other)), { ...proof, repetitions: list }))).toThrow(DecodeError);
      }
      const lax = piMod.proof({ ...repetitions(m), primeBits: 2048 });
      expect(() => decode(codec, encode(lax, { ...proof, w: 1n << 2048n }))).toThrow('w: ');
      expect(() => decode(codec, encode(lax, change(proof, 1, { x: 1n << 2048n })))).toThrow('repetitions[1].x: ');
      expect(() => decode(codec, encode(lax, change(proof, 1, { z: 1n << 2048n })))).toThrow('repetitions[1].z: ');
    });
    test('a and b are bits on the wire', async () => {
      const { proof } = await honest();
      const encoded = encode(codec, proof);
      const x = proof.repetitions[0]!.x;
      const at = 4 + Math.ceil(proof.w.toString(16).length / 2) + 4 + 4 + Math.ceil(x.toString(16).length / 2);
      expect(() => decode(codec, encoded.with(at, 2))).toThrow('repetitions[0].a: boolean must be 0 or 1');
      expect(() => decode(codec, encoded.with(at + 1, 2))).toThrow('repetitions[0].b: boolean must be 0 or 1');
    });
  });

  describe('the challenge', () => {
    test('y_1 … y_m are distinct units, and others for every w', async () => {
      const all = [];
      for (const w of [2n, 3n, 5n]) all.push(...(await piMod.challenge(statement, { w }, contextOf('mod'))));
      expect(all.length).toBe(3 * 128);
      expect(new Set(all).size).toBe(all.length);
      for (const y of all) expect(y > 0n && y < n).toBe(true);
    });
    test('for a modulus with small factors prover and verifier draw the same units, skipping the others', async () => {
      const N = 3n * 5n * 7n * safePrime(576, 0);
      const y = await piMod.challenge({ N: { n: N } }, { w: 2n }, { ...context(), parameters: repetitions(32) });
      expect(y.length).toBe(32);
      for (const value of y) expect([value % 3n, value % 5n, value % 7n].includes(0n)).toBe(false);
      expect(await piMod.challenge({ N: { n: N } }, { w: 2n }, { ...context(), parameters: repetitions(32) })).toEqual(y);
    });
  });
});
