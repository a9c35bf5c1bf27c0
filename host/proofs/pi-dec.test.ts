import { afterAll, describe, expect, test } from 'vitest';
import { modPow, modInv } from 'bigint-crypto-utils';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { plusMinus } from '../base/random.ts';
import { createCore } from '../core/index.ts';
import { evaluateReference } from '../core/reference.ts';
import { decrypt, encrypt, modN2, power } from '../core/types.ts';
import { G, modQ, mul, O, randomScalar, sgn, type Point } from '../curve/secp256k1.ts';
import { productionParameters } from './parameters.ts';
import * as dec from './pi-dec.ts';
import { unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, repetitions, seeded, smallParameters } from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const m = 8;
/** So many repetitions are too slow on the oracle. */
const core = await createCore({ threads: 1 });
afterAll(() => core.close());
const PARTIES = 3;
const LAMBDA = 576 + 512 + 1 + 2; // ℓ' + ε + 1 + ⌈log2 3⌉
const key = paillierKey(576, 0);
const square = key.n ** 2n;
const random = seeded('dec');
const codec = dec.proof(repetitions(m), PARTIES);
const context = () => contextOf('dec-chi', { parameters: repetitions(m), core });
const base = mul(G, randomScalar(random));
const k = sgn(randomScalar(random));
const K = evaluateReference(encrypt(key, k, unit(random, key.n)));

/** nonce(C) = (C mod N)^(N^−1 mod φ) mod N (§3.2). */
const nonce = (C: bigint) => modPow(C % key.n, modInv(key.n, (key.p - 1n) * (key.q - 1n)), key.n);

/** What the prover sees, for D of the plaintext d: y = x·k + d. */
function instance(x: bigint, d: bigint, G_: Point = base): { statement: dec.Statement; witness: dec.Witness } {
  const D = evaluateReference(encrypt(key, d, unit(random, key.n)));
  const Y = (evaluateReference(power(modN2(key), [K, x])) * D) % square;
  const y = evaluateReference(decrypt(key, Y));
  return {
    statement: { parties: PARTIES, N0: key, K, X: mul(G, x), D, S: mul(G_, y), base: G_ },
    witness: { x, y, rho: nonce(Y) },
  };
}
/** What everybody else sees: no factors. */
const seen = (statement: dec.Statement): dec.Statement => ({ ...statement, N0: publicPart(key) });
const verify = (statement: dec.Statement, proof: dec.Proof, in_ = context()) => dec.verify(seen(statement), proof, in_);

const { statement, witness } = instance(sgn(randomScalar(random)), plusMinus(random, 1n << 578n));
const honest = once(async () => ({ statement, proof: await dec.prove(statement, witness, context()), context: context() }));

const edit = (proof: dec.Proof, j: number, part: (r: dec.Repetition) => Partial<dec.Repetition>): dec.Proof => ({
  repetitions: proof.repetitions.map((r, i) => (i === j ? { ...r, ...part(r) } : r)),
});

/** §5.8 once more, with α and β of the first repetition of the test's choosing, until its challenge bit is `bit`. */
function craft(
  { statement: of, witness: { x, y, rho } }: ReturnType<typeof instance>,
  alpha: bigint,
  beta: bigint,
  bit: boolean,
): dec.Proof {
  const mask = (a: bigint, b: bigint) => {
    const r = unit(random, key.n);
    const A = (evaluateReference(power(modN2(key), [K, -a])) * evaluateReference(encrypt(key, b, r))) % square;
    return { alpha: a, beta: b, r, A, B: mul(of.base, b), C: mul(G, a) };
  };
  const rest = Array.from({ length: m - 1 }, () => mask(1n << 700n, 1n << 900n));
  for (;;) {
    const masks = [mask(alpha, beta), ...rest];
    const e = dec.challenge(of, masks, context());
    if (e[0] !== bit) continue;
    return {
      repetitions: masks.map(({ alpha: a, beta: b, r, A, B, C }, j) => ({
        A,
        B,
        C,
        z: e[j] ? a + x : a,
        w: e[j] ? b + y : b,
        nu: e[j] ? (r * rho) % key.n : r,
      })),
    };
  }
}

const equation = (j: number) =>
  [
    `enc_N0(w_${j}; ν_${j})·K^(−z_${j}) ≡ A_${j}·D^(e_${j}) mod N0²`,
    `z_${j}·G = C_${j} + e_${j}·X`,
    `w_${j}·G' = B_${j} + e_${j}·S`,
  ] as const;

describe('Π^dec', () => {
  testCommon('dec', { verify, codec, honest });

  test('the statement is that of the error rounds: y = dec(K^x·D), S = y·G′', () => {
    expect(modQ(witness.y)).toBe(modQ(witness.x * k + evaluateReference(decrypt(key, statement.D))));
    expect(statement.S.equals(mul(base, witness.y))).toBe(true);
  });

  describe('each equation alone, in every repetition', () => {
    test.each([0, 1, m - 1])('repetition %i: z, w, ν', async (j) => {
      const { proof } = await honest();
      await rejects(verify(statement, edit(proof, j, ({ z }) => ({ z: z + 1n }))), equation(j)[0]); // prettier-ignore
      await rejects(verify(statement, edit(proof, j, ({ w }) => ({ w: w - 1n }))), equation(j)[0]); // prettier-ignore
      await rejects(verify(statement, edit(proof, j, ({ nu }) => ({ nu: nu + 1n }))), equation(j)[0]); // prettier-ignore
    });

    test.each([
      ['S (another plaintext)', { S: statement.S.add(base) }, 2],
      ['S (over G)', { S: mul(G, witness.y) }, 2],
      ['X', { X: statement.X.add(G) }, 1],
      ['D', { D: (statement.D * (1n + key.n)) % square }, 0],
    ] as [string, Partial<dec.Statement>, 0 | 1 | 2][])('a prover whose %s is false', async (_, change, which) => {
      const lie = { ...statement, ...change };
      const proof = await dec.prove(lie, witness, context());
      const e = dec.challenge(lie, proof.repetitions, context());
      // Only the repetitions with e = 1 can tell: m bits, m chances.
      await rejects(verify(lie, proof), equation(e.indexOf(true))[which]);
    });
  });

  describe('the challenge', () => {
    test.each(['A', 'B', 'C'] as const)('binds every %s', async (field) => {
      const { proof } = await honest();
      const before = dec.challenge(statement, proof.repetitions, contextOf('dec-chi'));
      for (let j = 0; j < m; j++) {
        const changed = edit(proof, j, (r) => ({ [field]: field === 'A' ? r.A + 1n : r[field].add(G) }));
        expect(dec.challenge(statement, changed.repetitions, contextOf('dec-chi'))).not.toEqual(before);
      }
    });
    test.each([
      ['n', { parties: 4 }],
      ['N0', { N0: publicPart(paillierKey(576, 2)) }],
      ['K', { K: statement.K + 1n }],
      ['X', { X: statement.X.add(G) }],
      ['D', { D: statement.D + 1n }],
      ['S', { S: statement.S.add(G) }],
      ["G'", { base: base.add(G) }],
    ] as [string, Partial<dec.Statement>][])('binds %s', async (_, change) => {
      const { proof } = await honest();
      const at = contextOf('dec-chi');
      expect(dec.challenge({ ...statement, ...change }, proof.repetitions, at)).not.toEqual(
        dec.challenge(statement, proof.repetitions, at),
      );
      await rejects(dec.verify({ ...seen(statement), ...change }, proof, context()));
    });
    test('has a fresh bit for every repetition', async () => {
      const { proof } = await honest();
      const columns = Array.from({ length: smallParameters.m }, () => '');
      for (let run = 0; run < 200; run++) {
        const changed = edit(proof, 0, () => ({ A: BigInt(run + 1) }));
        for (const [j, bit] of dec.challenge(statement, changed.repetitions, contextOf('dec-chi')).entries()) columns[j] += bit ? '1' : '0';
      }
      for (const column of columns) expect(column).toMatch(/01|10/);
      expect(new Set(columns).size).toBe(columns.length);
    });
  });

  describe('the ranges', () => {
    const boundZ = 1n << 767n; // 2^(ℓ+ε−1)
    const boundW = 1n << BigInt(LAMBDA + 512); // 2^(Λ+ε)
    const at = instance(witness.x, 0n);
    test.each([boundZ, -boundZ])('|z| = 2^(ℓ+ε−1) is accepted', (alpha) => verify(at.statement, craft(at, alpha, 1n << 900n, false)));
    test.each([boundZ + 1n, -boundZ - 1n])('one more is rejected', (alpha) =>
      rejects(verify(at.statement, craft(at, alpha, 1n << 900n, false)), '|z_0| ≤ 2^(ℓ+ε−1)'),
    );
    test.each([boundW, -boundW])('|w| = 2^(Λ+ε) is accepted', (beta) => verify(at.statement, craft(at, 1n << 700n, beta, false)));
    test.each([boundW + 1n, -boundW - 1n])('one more is rejected', (beta) =>
      rejects(verify(at.statement, craft(at, 1n << 700n, beta, false)), '|w_0| ≤ 2^(Λ+ε)'),
    );
    test('a witness out of range shows as soon as a bit is 1', async () => {
      const large = instance(1n << 768n, 0n);
      await rejects(verify(large.statement, craft(large, 0x1234n, 1n << 900n, true)), '|z_0| ≤ 2^(ℓ+ε−1)');
    });
  });

  test('at full strength N is out of range: a summand with N added decrypts alike, and is no witness', async () => {
    const parameters = { ...productionParameters, m: 12 };
    const own = paillierKey(1536, 0);
    const [C, D] = [5n, 7n].map((plain) => evaluateReference(encrypt(own, plain, 2n))) as [bigint, bigint];
    const x = sgn(randomScalar(random));
    // K^x·D = enc(5x + 7; 2^(x+1))
    const rho = modPow(2n, x + 1n, own.n);
    const y = 5n * x + 7n;
    const of = (added: bigint): dec.Statement => ({
      parties: PARTIES,
      N0: own,
      K: C,
      X: mul(G, x),
      D,
      S: mul(G, modQ(y + added)),
      base: G,
    });
    const at = contextOf('dec-delta', { parameters, core });
    const judged = async (added: bigint) => {
      const proof = await dec.prove(of(added), { x, y: y + added, rho }, at);
      await dec.verify({ ...of(added), N0: publicPart(own) }, proof, at);
    };
    await judged(0n);
    await rejects(judged(own.n));
  });

  describe('membership', () => {
    test.each([
      ['K', { K: 0n }, 'K ∈ Z*_{N0²}'],
      ['K', { K: key.p * 7n }, 'K ∈ Z*_{N0²}'],
      ['K', { K: square + 1n }, 'K ∈ Z*_{N0²}'],
      ['D', { D: key.n }, 'D ∈ Z*_{N0²}'],
      ['D', { D: -1n }, 'D ∈ Z*_{N0²}'],
      ["G'", { base: O }, "G' ≠ O"],
      ['X', { X: O }, 'X ≠ O'],
      ['S', { S: O }, 'S ≠ O'],
    ] as [string, Partial<dec.Statement>, string][])('%s of the statement', async (_, change, check) => {
      const { proof } = await honest();
      await rejects(verify({ ...statement, ...change }, proof), check);
    });
    test.each([
      ['A', 0n, 'A_2 ∈ Z*_{N0²}'],
      ['A', key.n, 'A_2 ∈ Z*_{N0²}'],
      ['A', key.q, 'A_2 ∈ Z*_{N0²}'],
      ['A', square, 'A_2 ∈ Z*_{N0²}'],
      ['nu', 0n, 'ν_2 ∈ Z*_N0'],
      ['nu', key.p, 'ν_2 ∈ Z*_N0'],
      ['nu', key.n + 1n, 'ν_2 ∈ Z*_N0'],
      ['B', O, 'B_2 ≠ O'],
      ['C', O, 'C_2 ≠ O'],
    ] as [keyof dec.Repetition, bigint | Point, string][])('%s of a repetition = %s', async (field, value, check) => {
      const { proof } = await honest();
      await rejects(verify(statement, edit(proof, 2, () => ({ [field]: value }))), check); // prettier-ignore
    });
    test('a response of zeros is no way around the first equation', async () => {
      const { proof } = await honest();
      await rejects(verify(statement, edit(proof, 0, () => ({ A: 0n, nu: 0n, w: 0n, z: 0n }))), 'A_0 ∈ Z*_{N0²}'); // prettier-ignore
    });
  });

  describe('lengths and sizes', () => {
    test.each([0, m - 1, m + 1])('%i repetitions are refused before any arithmetic', async (count) => {
      const { proof } = await honest();
      const wrong = { repetitions: Array.from({ length: count }, (_, j) => proof.repetitions[j % m]!) };
      await rejects(verify(statement, wrong, { ...context(), core: unreachableCore }), `m = ${m} repetitions`);
      const lax = dec.proof(repetitions(count), PARTIES);
      expect(() => decode(codec, encode(lax, wrong))).toThrow(DecodeError);
    });
    test.each([
      ['A', 2305],
      ['z', 769],
      ['w', LAMBDA + 512 + 2],
      ['nu', 1153],
    ] as const)('the codec refuses %s of %i bits', async (field, bits) => {
      const { proof } = await honest();
      const lax = dec.proof({ ...repetitions(m), primeBits: 2048, epsilon: 2048 }, PARTIES);
      const wide = edit(proof, 1, () => ({ [field]: (1n << BigInt(bits)) - 1n }));
      expect(() => decode(codec, encode(lax, wide))).toThrow(`${field}: `);
    });
    test('the number of repetitions is the verifier’s: a proof of one does not pass at its level', async () => {
      const cheap = await dec.prove(statement, witness, { ...context(), parameters: repetitions(1) });
      await rejects(verify(statement, cheap), `m = ${m} repetitions`);
    });
  });

  test('repetitions in another order are another proof', async () => {
    const { proof } = await honest();
    await rejects(verify(statement, { repetitions: [...proof.repetitions].reverse() }));
  });
});
