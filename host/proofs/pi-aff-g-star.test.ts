import { afterAll, describe, expect, test } from 'vitest';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { plusMinus } from '../base/random.ts';
import { createCore } from '../core/index.ts';
import { evaluateReference } from '../core/reference.ts';
import { decrypt, encrypt, modN2, power } from '../core/types.ts';
import { G, modQ, mul, O, randomScalar, sgn, type Point } from '../curve/secp256k1.ts';
import * as affGStar from './pi-aff-g-star.ts';
import { unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, repetitions, seeded, smallParameters } from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const m = 8;
/** So many repetitions are too slow on the oracle. */
const core = await createCore({ threads: 1 });
afterAll(() => core.close());
const prover = paillierKey(576, 0); // N1
const peer = paillierKey(576, 4); // N0
const [square0, square1] = [peer.n ** 2n, prover.n ** 2n];
const random = seeded('aff-g*');
const codec = affGStar.proof(repetitions(m));
const context = () => contextOf('affstar-x', { parameters: repetitions(m), core });
const k = sgn(randomScalar(random));
const C = evaluateReference(encrypt(peer, k, unit(random, peer.n)));

const affine = (x: bigint, y: bigint, rho: bigint) =>
  (evaluateReference(power(modN2(peer), [C, x])) * evaluateReference(encrypt(peer, y, rho))) % square0;

/** What the prover sees. */
function instance(x: bigint, y: bigint): { statement: affGStar.Statement; witness: affGStar.Witness } {
  const [rho, rhoY] = [unit(random, peer.n), unit(random, prover.n)];
  const statement = {
    N0: publicPart(peer),
    N1: prover,
    C,
    D: affine(x, y, rho),
    Y: evaluateReference(encrypt(prover, y, rhoY)),
    X: mul(G, x),
  };
  return { statement, witness: { x, y, rho, rhoY } };
}
/** What everybody else sees: no factors. */
const seen = (statement: affGStar.Statement): affGStar.Statement => ({ ...statement, N1: publicPart(prover) });
const verify = (statement: affGStar.Statement, proof: affGStar.Proof, in_ = context()) => affGStar.verify(seen(statement), proof, in_);

const { statement, witness } = instance(sgn(randomScalar(random)), -plusMinus(random, 1n << 576n));
const honest = once(async () => ({ statement, proof: await affGStar.prove(statement, witness, context()), context: context() }));

const edit = (proof: affGStar.Proof, j: number, part: (r: affGStar.Repetition) => Partial<affGStar.Repetition>): affGStar.Proof => ({
  repetitions: proof.repetitions.map((r, i) => (i === j ? { ...r, ...part(r) } : r)),
});

/** §5.9 once more, with α and β of the first repetition of the test's choosing, until its challenge bit is `bit`. */
function craft(of: ReturnType<typeof instance>, alpha: bigint, beta: bigint, bit: boolean): affGStar.Proof {
  const { x, y, rho, rhoY } = of.witness;
  const mask = (a: bigint, b: bigint) => {
    const [r, s] = [unit(random, peer.n), unit(random, prover.n)];
    return { alpha: a, beta: b, r, s, A: affine(a, b, r), R: mul(G, a), B: evaluateReference(encrypt(prover, b, s)) };
  };
  const rest = Array.from({ length: m - 1 }, () => mask(1n << 700n, 1n << 900n));
  for (;;) {
    const masks = [mask(alpha, beta), ...rest];
    const e = affGStar.challenge(of.statement, masks, context());
    if (e[0] !== bit) continue;
    return {
      repetitions: masks.map(({ alpha: a, beta: b, r, s, A, R, B }, j) => ({
        A,
        R,
        B,
        z: e[j] ? a + x : a,
        zPrime: e[j] ? b + y : b,
        w: e[j] ? (r * rho) % peer.n : r,
        lambda: e[j] ? (s * rhoY) % prover.n : s,
      })),
    };
  }
}

const equation = (j: number) =>
  [
    `C^(z_${j})·enc_N0(z'_${j}; w_${j}) ≡ A_${j}·D^(e_${j}) mod N0²`,
    `z_${j}·G = R_${j} + e_${j}·X`,
    `enc_N1(z'_${j}; λ_${j}) ≡ B_${j}·Y^(e_${j}) mod N1²`,
  ] as const;

describe('Π^aff-g*', () => {
  testCommon('aff-g*', { verify, codec, honest });

  test('the owner of N0 comes to the same verdict', async () => {
    const { proof } = await honest();
    await affGStar.verify({ ...seen(statement), N0: peer }, proof, context());
    await rejects(affGStar.verify({ ...seen(statement), N0: peer }, edit(proof, 1, ({ w }) => ({ w: w + 1n })), context()), equation(1)[0]); // prettier-ignore
  });

  test('the statement is that of Π^aff-g: dec(D) = x·k + y', () => {
    expect(modQ(evaluateReference(decrypt(peer, statement.D)))).toBe(modQ(witness.x * k + witness.y));
  });

  describe('each equation alone, in every repetition', () => {
    test.each([0, 1, m - 1])('repetition %i: z, z′, w, λ', async (j) => {
      const { proof } = await honest();
      await rejects(verify(statement, edit(proof, j, ({ z }) => ({ z: z + 1n }))), equation(j)[0]); // prettier-ignore
      await rejects(verify(statement, edit(proof, j, ({ zPrime }) => ({ zPrime: zPrime - 1n }))), equation(j)[0]); // prettier-ignore
      await rejects(verify(statement, edit(proof, j, ({ w }) => ({ w: w + 1n }))), equation(j)[0]); // prettier-ignore
      await rejects(verify(statement, edit(proof, j, ({ lambda }) => ({ lambda: lambda + 1n }))), equation(j)[2]); // prettier-ignore
    });

    test.each([
      ['D (another x)', { D: affine(witness.x + 1n, witness.y, witness.rho) }, 0],
      ['D (another y)', { D: affine(witness.x, witness.y + 1n, witness.rho) }, 0],
      ['X', { X: statement.X.add(G) }, 1],
      ['Y', { Y: evaluateReference(encrypt(prover, witness.y + 1n, witness.rhoY)) }, 2],
      ['Y (the sign of y)', { Y: evaluateReference(encrypt(prover, -witness.y, witness.rhoY)) }, 2],
    ] as [string, Partial<affGStar.Statement>, 0 | 1 | 2][])('a prover whose %s is false', async (_, change, which) => {
      const lie = { ...statement, ...change };
      const proof = await affGStar.prove(lie, witness, context());
      const e = affGStar.challenge(lie, proof.repetitions, context());
      // Only the repetitions with e = 1 can tell: m bits, m chances.
      await rejects(verify(lie, proof), equation(e.indexOf(true))[which]);
    });
  });

  describe('the challenge', () => {
    const at = contextOf('affstar-x');
    test.each(['A', 'R', 'B'] as const)('binds every %s', async (field) => {
      const { proof } = await honest();
      const before = affGStar.challenge(statement, proof.repetitions, at);
      for (let j = 0; j < m; j++) {
        const changed = edit(proof, j, (r) => ({ [field]: field === 'R' ? r.R.add(G) : r[field] + 1n }));
        expect(affGStar.challenge(statement, changed.repetitions, at)).not.toEqual(before);
      }
    });
    test.each([
      ['N0', { N0: publicPart(paillierKey(576, 2)) }],
      ['N1', { N1: publicPart(paillierKey(576, 2)) }],
      ['C', { C: statement.C + 1n }],
      ['D', { D: statement.D + 1n }],
      ['Y', { Y: statement.Y + 1n }],
      ['X', { X: statement.X.add(G) }],
    ] as [string, Partial<affGStar.Statement>][])('binds %s', async (_, change) => {
      const { proof } = await honest();
      expect(affGStar.challenge({ ...statement, ...change }, proof.repetitions, at)).not.toEqual(
        affGStar.challenge(statement, proof.repetitions, at),
      );
      await rejects(affGStar.verify({ ...seen(statement), ...change }, proof, context()));
    });
    test('has a fresh bit for every repetition', async () => {
      const { proof } = await honest();
      const columns = Array.from({ length: smallParameters.m }, () => '');
      for (let run = 0; run < 200; run++) {
        const changed = edit(proof, 0, () => ({ A: BigInt(run + 1) }));
        for (const [j, bit] of affGStar.challenge(statement, changed.repetitions, at).entries()) columns[j] += bit ? '1' : '0';
      }
      for (const column of columns) expect(column).toMatch(/01|10/);
      expect(new Set(columns).size).toBe(columns.length);
    });
  });

  describe('the ranges', () => {
    const boundX = 1n << 767n; // 2^(ℓ+ε−1)
    const boundY = 1n << 1087n; // 2^(ℓ'+ε−1)
    const at = instance(witness.x, 0n);
    test.each([boundX, -boundX])('|z| = 2^(ℓ+ε−1) is accepted', (alpha) => verify(at.statement, craft(at, alpha, 1n << 900n, false)));
    test.each([boundX + 1n, -boundX - 1n])('one more is rejected', (alpha) =>
      rejects(verify(at.statement, craft(at, alpha, 1n << 900n, false)), '|z_0| ≤ 2^(ℓ+ε−1)'),
    );
    test.each([boundY, -boundY])('|z′| = 2^(ℓ′+ε−1) is accepted', (beta) => verify(at.statement, craft(at, 1n << 700n, beta, false)));
    test.each([boundY + 1n, -boundY - 1n])('one more is rejected', (beta) =>
      rejects(verify(at.statement, craft(at, 1n << 700n, beta, false)), "|z'_0| ≤ 2^(ℓ'+ε−1)"),
    );
    test('a witness that would wrap around N0 shows as soon as a bit is 1', async () => {
      const wideX = instance(1n << 768n, 0n);
      await rejects(verify(wideX.statement, craft(wideX, 0x1234n, 1n << 900n, true)), '|z_0| ≤ 2^(ℓ+ε−1)');
      const wideY = instance(witness.x, 1n << 1090n);
      await rejects(verify(wideY.statement, craft(wideY, 1n << 700n, 0x1234n, true)), "|z'_0| ≤ 2^(ℓ'+ε−1)");
    });
  });

  describe('membership', () => {
    test.each([
      ['C', { C: 0n }, 'C ∈ Z*_{N0²}'],
      ['C', { C: peer.p * 7n }, 'C ∈ Z*_{N0²}'],
      ['D', { D: peer.n }, 'D ∈ Z*_{N0²}'],
      ['D', { D: square0 }, 'D ∈ Z*_{N0²}'],
      ['Y', { Y: prover.q }, 'Y ∈ Z*_{N1²}'],
      ['Y', { Y: -1n }, 'Y ∈ Z*_{N1²}'],
      ['X', { X: O }, 'X ≠ O'],
    ] as [string, Partial<affGStar.Statement>, string][])('%s of the statement', async (_, change, check) => {
      const { proof } = await honest();
      await rejects(verify({ ...statement, ...change }, proof), check);
    });
    test.each([
      ['A', 0n, 'A_2 ∈ Z*_{N0²}'],
      ['A', peer.q, 'A_2 ∈ Z*_{N0²}'],
      ['A', square0, 'A_2 ∈ Z*_{N0²}'],
      ['B', 0n, 'B_2 ∈ Z*_{N1²}'],
      ['B', prover.p, 'B_2 ∈ Z*_{N1²}'],
      ['B', square1, 'B_2 ∈ Z*_{N1²}'],
      ['w', 0n, 'w_2 ∈ Z*_N0'],
      ['w', peer.p, 'w_2 ∈ Z*_N0'],
      ['w', peer.n + 1n, 'w_2 ∈ Z*_N0'],
      ['lambda', 0n, 'λ_2 ∈ Z*_N1'],
      ['lambda', prover.q, 'λ_2 ∈ Z*_N1'],
      ['lambda', prover.n, 'λ_2 ∈ Z*_N1'],
      ['R', O, 'R_2 ≠ O'],
    ] as [keyof affGStar.Repetition, bigint | Point, string][])('%s of a repetition = %s', async (field, value, check) => {
      const { proof } = await honest();
      await rejects(verify(statement, edit(proof, 2, () => ({ [field]: value }))), check); // prettier-ignore
    });
  });

  describe('lengths and sizes', () => {
    test.each([0, m - 1, m + 1])('%i repetitions are refused before any arithmetic', async (count) => {
      const { proof } = await honest();
      const wrong = { repetitions: Array.from({ length: count }, (_, j) => proof.repetitions[j % m]!) };
      await rejects(verify(statement, wrong, { ...context(), core: unreachableCore }), `m = ${m} repetitions`);
      expect(() => decode(codec, encode(affGStar.proof(repetitions(count)), wrong))).toThrow(DecodeError);
    });
    test.each([
      ['A', 2305],
      ['B', 2305],
      ['z', 769],
      ['zPrime', 1089],
      ['w', 1153],
      ['lambda', 1153],
    ] as const)('the codec refuses %s of %i bits', async (field, bits) => {
      const { proof } = await honest();
      const lax = affGStar.proof({ ...repetitions(m), primeBits: 2048, epsilon: 2048 });
      const wide = edit(proof, 1, () => ({ [field]: (1n << BigInt(bits)) - 1n }));
      expect(() => decode(codec, encode(lax, wide))).toThrow(`${field}: `);
    });
    test('the number of repetitions is the verifier’s: a proof of one does not pass at its level', async () => {
      const cheap = await affGStar.prove(statement, witness, { ...context(), parameters: repetitions(1) });
      await rejects(verify(statement, cheap), `m = ${m} repetitions`);
    });
  });

  test('a proof for one peer does not stand for another', async () => {
    const { proof } = await honest();
    await rejects(verify(statement, proof, { ...context(), label: 'affstar-gamma' }));
    await rejects(verify(statement, proof, { ...context(), index: 1 }));
  });
});
