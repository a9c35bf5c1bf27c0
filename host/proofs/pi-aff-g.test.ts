import { describe, expect, test } from 'vitest';
import { decode, encode } from '../base/codec.ts';
import { evaluateReference } from '../core/reference.ts';
import { commit, decrypt, encrypt, modN, modN2, power } from '../core/types.ts';
import { plusMinus } from '../base/random.ts';
import { G, modQ, mul, O, randomScalar, sgn } from '../curve/secp256k1.ts';
import * as affG from './pi-aff-g.ts';
import { maskBits } from './parameters.ts';
import { unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, publicSetup, ringPedersenKey, seeded, smallParameters } from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const prover = paillierKey(576, 0); // N1
const verifier = paillierKey(576, 4); // N0
const verifierSetup = ringPedersenKey(576, 6);
const random = seeded('aff-g');
const codec = affG.proof(smallParameters);
const context = () => contextOf('aff-x', { verifier: 1 });
const k = sgn(randomScalar(random));
const C = evaluateReference(encrypt(verifier, k, unit(random, verifier.n)));

const affine = (x: bigint, y: bigint, rho: bigint) =>
  (evaluateReference(power(modN2(verifier), [C, x])) * evaluateReference(encrypt(verifier, y, rho))) % verifier.n ** 2n;

/** What the prover sees. */
function instance(x: bigint, y: bigint): { statement: affG.Statement; witness: affG.Witness } {
  const [rho, rhoY] = [unit(random, verifier.n), unit(random, prover.n)];
  const statement = {
    setup: publicSetup(verifierSetup),
    N0: publicPart(verifier),
    N1: prover,
    C,
    D: affine(x, y, rho),
    Y: evaluateReference(encrypt(prover, y, rhoY)),
    X: mul(G, x),
  };
  return { statement, witness: { x, y, rho, rhoY } };
}
/** What the verifier sees: its own key and set-up with factors, the prover's without. */
const seen = (statement: affG.Statement): affG.Statement => ({ ...statement, setup: verifierSetup, N0: verifier, N1: publicPart(prover) });
const verify = (statement: affG.Statement, proof: affG.Proof, in_ = context()) => affG.verify(seen(statement), proof, in_);

const { statement, witness } = instance(sgn(randomScalar(random)), -plusMinus(random, 1n << 576n));
const honest = once(async () => ({ statement, proof: await affG.prove(statement, witness, context()), context: context() }));

/** §5.6 once more, with α and β of the test's choosing. */
function craft({ statement, witness: { x, y, rho, rhoY } }: ReturnType<typeof instance>, alpha: bigint, beta: bigint): affG.Proof {
  const { setup, N0, N1 } = statement;
  const [gamma, delta, m, mu] = [3n << 1900n, -(5n << 1800n), 7n << 1400n, -(11n << 1300n)];
  const [r, rY] = [unit(random, N0.n), unit(random, N1.n)];
  const commitment = {
    A: affine(alpha, beta, r),
    Bx: mul(G, alpha),
    By: evaluateReference(encrypt(N1, beta, rY)),
    E: evaluateReference(commit(setup, alpha, gamma)),
    S: evaluateReference(commit(setup, x, m)),
    F: evaluateReference(commit(setup, beta, delta)),
    T: evaluateReference(commit(setup, y, mu)),
  };
  const e = affG.challenge(statement, commitment, context());
  return {
    ...commitment,
    z1: alpha + e * x,
    z2: beta + e * y,
    z3: gamma + e * m,
    z4: delta + e * mu,
    w: evaluateReference(power(modN(N0), [r, 1n], [rho, e])),
    wy: evaluateReference(power(modN(N1), [rY, 1n], [rhoY, e])),
  };
}

const equations = [
  'C^z1·enc_N0(z2; w) ≡ A·D^e mod N0²',
  'z1·G = B_x + e·X',
  'enc_N1(z2; w_y) ≡ B_y·Y^e mod N1²',
  's^z1·t^z3 ≡ E·S^e mod N̂',
  's^z2·t^z4 ≡ F·T^e mod N̂',
] as const;

describe('Π^aff-g', () => {
  testCommon('aff-g', { verify, codec, honest });

  test('the statement is the multiplicative-to-additive step: dec(D) = x·k + y', () => {
    expect(modQ(evaluateReference(decrypt(verifier, statement.D)))).toBe(modQ(witness.x * k + witness.y));
  });

  describe('each equation alone', () => {
    test.each([
      ['w', (p) => ({ w: p.w + 1n }), equations[0]],
      ['z1', (p) => ({ z1: p.z1 + 1n }), equations[0]],
      ['z2', (p) => ({ z2: p.z2 - 1n }), equations[0]],
      ['w_y', (p) => ({ wy: p.wy + 1n }), equations[2]],
      ['z3', (p) => ({ z3: p.z3 + 1n }), equations[3]],
      ['z4', (p) => ({ z4: p.z4 - 1n }), equations[4]],
    ] as [string, (p: affG.Proof) => Partial<affG.Proof>, string][])('a wrong %s', async (_, change, equation) => {
      const { proof } = await honest();
      await rejects(verify(statement, { ...proof, ...change(proof) }), equation);
    });

    test.each([
      ['D (another x)', { D: affine(witness.x + 1n, witness.y, witness.rho) }, equations[0]],
      ['D (another y)', { D: affine(witness.x, witness.y + 1n, witness.rho) }, equations[0]],
      ['D (the sign of y)', { D: affine(witness.x, -witness.y, witness.rho) }, equations[0]],
      ['X', { X: statement.X.add(G) }, equations[1]],
      ['Y', { Y: evaluateReference(encrypt(prover, witness.y + 1n, witness.rhoY)) }, equations[2]],
      ['Y (the sign of y)', { Y: evaluateReference(encrypt(prover, -witness.y, witness.rhoY)) }, equations[2]],
    ] as [string, Partial<affG.Statement>, string][])('a prover whose %s is false', async (_, change, equation) => {
      const lie = { ...statement, ...change };
      await rejects(verify(lie, await affG.prove(lie, witness, context())), equation);
    });
  });

  test.each(['A', 'By', 'E', 'S', 'F', 'T'] as const)('the challenge binds %s', async (field) => {
    const { proof } = await honest();
    await rejects(verify(statement, { ...proof, [field]: proof[field] + 1n }), equations[0]);
  });
  test('the challenge binds B_x', async () => {
    const { proof } = await honest();
    await rejects(verify(statement, { ...proof, Bx: proof.Bx.add(G) }), equations[0]);
  });
  test.each([
    ['C', { C: statement.C + 1n }],
    ['D', { D: statement.D + 1n }],
    ['Y', { Y: statement.Y + 1n }],
    ['X', { X: statement.X.add(G) }],
    ['N0', { N0: publicPart(paillierKey(576, 2)) }],
    ['N1', { N1: publicPart(paillierKey(576, 2)) }],
    ['N̂', { setup: { ...publicSetup(verifierSetup), n: ringPedersenKey(576, 8).n } }],
    ['s', { setup: { ...publicSetup(verifierSetup), s: verifierSetup.s + 1n } }],
    ['t', { setup: { ...publicSetup(verifierSetup), t: verifierSetup.t + 1n } }],
  ] as [string, Partial<affG.Statement>][])('a proof is bound to %s', async (_, change) => {
    const { proof } = await honest();
    await rejects(affG.verify({ ...statement, ...change }, proof, context()));
  });

  describe('the ranges', () => {
    const bound1 = 1n << 767n; // 2^(ℓ+ε−1)
    const bound2 = 1n << 1087n; // 2^(ℓ'+ε−1)
    // z1 is fixed modulo q by (2) and x = 0 means X = O, so no prover can aim at the bound of z1: there the order of the checks shows that it is inclusive.
    const noY = instance(witness.x, 0n); // y = 0, so z2 = β
    test.each([bound2, -bound2])('|z2| = 2^(ℓ′+ε−1) is accepted', (beta) => verify(noY.statement, craft(noY, 1n << 700n, beta)));
    test.each([bound2 + 1n, -bound2 - 1n])('one more is rejected', (beta) =>
      rejects(verify(noY.statement, craft(noY, 1n << 700n, beta)), "|z2| ≤ 2^(ℓ'+ε−1)"),
    );
    test.each([bound1 + 1n, -bound1 - 1n])('|z1| = 2^(ℓ+ε−1) + 1 is rejected', async (z1) => {
      const { proof } = await honest();
      await rejects(verify(statement, { ...proof, z1 }), '|z1| ≤ 2^(ℓ+ε−1)');
    });
    test.each([bound1, -bound1])('|z1| = 2^(ℓ+ε−1) is in range: only the equation speaks', async (z1) => {
      const { proof } = await honest();
      await rejects(verify(statement, { ...proof, z1 }), equations[0]);
    });
    test('an x that would wrap around the verifier’s modulus is rejected', async () => {
      const large = instance(1n << 600n, 0n);
      await rejects(verify(large.statement, craft(large, 1n, 0n)), '|z1| ≤ 2^(ℓ+ε−1)');
    });
    test('a y that would wrap around the verifier’s modulus is rejected', async () => {
      const large = instance(witness.x, 1n << 1000n);
      await rejects(verify(large.statement, craft(large, 1n, 0n)), "|z2| ≤ 2^(ℓ'+ε−1)");
    });
  });

  describe('membership', () => {
    const [n0, n1, nHat] = [verifier.n, prover.n, verifierSetup.n];
    test.each([
      ['C', [0n, n0, verifier.p * 7n, n0 * n0, -1n], 'C ∈ Z*_{N0²}'],
      ['D', [0n, n0, verifier.p, n0 * n0], 'D ∈ Z*_{N0²}'],
      ['Y', [0n, n1, prover.q, n1 * n1], 'Y ∈ Z*_{N1²}'],
    ] as const)('%s of the statement', async (field, values, check) => {
      const { proof } = await honest();
      for (const value of values) await rejects(verify({ ...statement, [field]: value }, proof), check);
    });
    test.each([
      ['A', [0n, n0, verifier.q, n0 * n0, -1n], 'A ∈ Z*_{N0²}'],
      ['By', [0n, n1, prover.p, n1 * n1], 'B_y ∈ Z*_{N1²}'],
      ['w', [0n, n0, verifier.p, n0 + 1n], 'w ∈ Z*_N0'],
      ['wy', [0n, n1, prover.p, n1 + 1n], 'w_y ∈ Z*_N1'],
      ['E', [0n, nHat, verifierSetup.p], 'E ∈ Z*_N̂'],
      ['S', [0n, nHat, verifierSetup.p], 'S ∈ Z*_N̂'],
      ['F', [0n, nHat, verifierSetup.q], 'F ∈ Z*_N̂'],
      ['T', [0n, nHat, verifierSetup.q], 'T ∈ Z*_N̂'],
    ] as const)('%s of the proof', async (field, values, check) => {
      const { proof } = await honest();
      for (const value of values) await rejects(verify(statement, { ...proof, [field]: value }), check);
    });
    test('X = O, B_x = O', async () => {
      const { proof } = await honest();
      await rejects(verify({ ...statement, X: O }, proof), 'X ≠ O');
      await rejects(verify(statement, { ...proof, Bx: O }), 'B_x ≠ O');
    });
  });

  describe('sizes', () => {
    test.each(['z3', 'z4'] as const)('an oversize %s is refused before any arithmetic', async (field) => {
      const { proof } = await honest();
      const bits = maskBits(smallParameters);
      for (const value of [1n << BigInt(bits), -(1n << 100_000n)]) {
        await rejects(
          verify(statement, { ...proof, [field]: value }, { ...context(), core: unreachableCore }),
          `bitlen(${field}) ≤ ${bits}`,
        );
      }
    });
    test.each([
      ['A', 2305],
      ['By', 2305],
      ['E', 1153],
      ['S', 1153],
      ['F', 1153],
      ['T', 1153],
      ['z1', 769],
      ['z2', 1089],
      ['z3', 1922],
      ['z4', 1922],
      ['w', 1153],
      ['wy', 1153],
    ] as const)('the codec refuses %s of %i bits', async (field, bits) => {
      const { proof } = await honest();
      const wide = { ...proof, [field]: (1n << BigInt(bits)) - 1n };
      const lax = affG.proof({ ...smallParameters, primeBits: 2048, epsilon: 1024 });
      expect(() => decode(codec, encode(lax, wide))).toThrow(`${field}: `);
    });
  });

  test('the two instances of a run do not stand for each other', async () => {
    const { proof } = await honest();
    await rejects(verify(statement, proof, { ...context(), label: 'aff-gamma' }), equations[0]);
  });
});
