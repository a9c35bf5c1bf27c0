import { describe, expect, test } from 'vitest';
import { decode, encode } from '../base/codec.ts';
import { evaluateReference } from '../core/reference.ts';
import { commit, encrypt, modN, power } from '../core/types.ts';
import { G, modQ, mul, O, q, randomScalar, sgn, type Point } from '../curve/secp256k1.ts';
import * as encElg from './pi-enc-elg.ts';
import { maskBits } from './parameters.ts';
import { unit } from './sampling.ts';
import {
  contextOf,
  paillierKey,
  publicPart,
  publicSetup,
  ringPedersenKey,
  safePrime,
  seeded,
  smallParameters,
} from './testing/instances.ts';
import { once, rejects, testCommon, unreachableCore } from './testing/suite.ts';

const own = paillierKey(576, 0);
const verifierSetup = ringPedersenKey(576, 6);
const random = seeded('enc-elg');
const A = mul(G, randomScalar(random));
const codec = encElg.proof(smallParameters);
const context = () => contextOf('enc-K', { verifier: 1 });

/** What the prover sees: its own key with factors, the verifier's set-up without. */
function instance(x: bigint): { statement: encElg.Statement; witness: encElg.Witness } {
  const rho = unit(random, own.n);
  const b = randomScalar(random);
  const C = evaluateReference(encrypt(own, x, rho));
  return {
    statement: { setup: publicSetup(verifierSetup), N0: own, C, A, B: mul(G, b), X: mul(A, b).add(mul(G, x)) },
    witness: { x, rho, b },
  };
}
/** What the verifier sees: the other way round. */
const seen = (statement: encElg.Statement): encElg.Statement => ({ ...statement, setup: verifierSetup, N0: publicPart(own) });
const verify = (statement: encElg.Statement, proof: encElg.Proof, in_ = context()) => encElg.verify(seen(statement), proof, in_);

const { statement, witness } = instance(sgn(randomScalar(random)));
const honest = once(async () => ({ statement, proof: await encElg.prove(statement, witness, context()), context: context() }));

/** §5.5 once more, with α of the test's choosing. */
function craft({ statement, witness: { x, rho, b } }: ReturnType<typeof instance>, alpha: bigint): encElg.Proof {
  const { setup, N0 } = statement;
  const [mu, gamma, beta, r] = [5n << 1000n, -(7n << 1800n), randomScalar(random), unit(random, own.n)];
  const commitment = {
    S: evaluateReference(commit(setup, x, mu)),
    T: evaluateReference(commit(setup, alpha, gamma)),
    D: evaluateReference(encrypt(N0, alpha, r)),
    Y: mul(A, beta).add(mul(G, alpha)),
    Z: mul(G, beta),
  };
  const e = encElg.challenge(statement, commitment, context());
  return {
    ...commitment,
    z1: alpha + e * x,
    z2: evaluateReference(power(modN(N0), [r, 1n], [rho, e])),
    z3: gamma + e * mu,
    w: modQ(beta + e * b),
  };
}

const equations = ['enc_N0(z1; z2) ≡ D·C^e mod N0²', 'w·A + z1·G = Y + e·X', 'w·G = Z + e·B', 's^z1·t^z3 ≡ T·S^e mod N̂'] as const;

describe('Π^enc-elg', () => {
  testCommon('enc-elg', { verify, codec, honest });

  test('the extremes of ±2^ℓ and 0 are accepted', async () => {
    for (const x of [(q - 1n) / 2n, -(q - 1n) / 2n, 0n]) {
      const edge = instance(x);
      await verify(edge.statement, await encElg.prove(edge.statement, edge.witness, context()));
    }
  });

  describe('each equation alone', () => {
    test.each([
      ['z2', (p) => ({ z2: p.z2 + 1n }), equations[0]],
      ['z1', (p) => ({ z1: p.z1 + 1n }), equations[0]],
      ['w', (p) => ({ w: modQ(p.w + 1n) }), equations[1]],
      ['z3', (p) => ({ z3: p.z3 + 1n }), equations[3]],
    ] as [string, (p: encElg.Proof) => Partial<encElg.Proof>, string][])('a wrong %s', async (_, change, equation) => {
      const { proof } = await honest();
      await rejects(verify(statement, { ...proof, ...change(proof) }), equation);
    });

    test.each([
      ['C', { C: evaluateReference(encrypt(own, witness.x + 1n, witness.rho)) }, equations[0]],
      ['X', { X: statement.X.add(G) }, equations[1]],
      ['B', { B: statement.B.add(G) }, equations[2]],
    ] as [string, Partial<encElg.Statement>, string][])('a prover whose %s is false', async (_, change, equation) => {
      const lie = { ...statement, ...change };
      await rejects(verify(lie, await encElg.prove(lie, witness, context())), equation);
    });
  });

  test.each(['S', 'T', 'D'] as const)('the challenge binds %s', async (field) => {
    const { proof } = await honest();
    await rejects(verify(statement, { ...proof, [field]: proof[field] + 1n }), equations[0]);
  });
  test.each(['Y', 'Z'] as const)('the challenge binds %s', async (field) => {
    const { proof } = await honest();
    await rejects(verify(statement, { ...proof, [field]: proof[field].add(G) }), equations[0]);
  });
  test.each(['A', 'B', 'X'] as const)('a proof is bound to %s', async (field) => {
    const { proof } = await honest();
    await rejects(verify({ ...statement, [field]: statement[field].add(G) }, proof), equations[0]);
  });
  test.each([
    ['C', { C: statement.C + 1n }],
    ['N0', { N0: publicPart(paillierKey(576, 2)) }],
    ['N̂', { setup: { ...publicSetup(verifierSetup), n: ringPedersenKey(576, 8).n } }],
    ['s', { setup: { ...publicSetup(verifierSetup), s: verifierSetup.s + 1n } }],
    ['t', { setup: { ...publicSetup(verifierSetup), t: verifierSetup.t + 1n } }],
  ] as [string, Partial<encElg.Statement>][])('a proof is bound to %s', async (_, change) => {
    const { proof } = await honest();
    await rejects(encElg.verify({ ...statement, ...change }, proof, context()));
  });

  describe('the range of z1', () => {
    const bound = 1n << 767n; // 2^(ℓ+ε−1)
    const zero = instance(0n); // x = 0, so z1 = α
    test.each([bound, -bound])('|z1| = 2^(ℓ+ε−1) is accepted', (alpha) => verify(zero.statement, craft(zero, alpha)));
    test.each([bound + 1n, -bound - 1n])('one more is rejected', (alpha) =>
      rejects(verify(zero.statement, craft(zero, alpha)), '|z1| ≤ 2^(ℓ+ε−1)'),
    );
    test('a witness far out of range is rejected', async () => {
      const large = instance(1n << 520n);
      await rejects(verify(large.statement, craft(large, 0n)), '|z1| ≤ 2^(ℓ+ε−1)');
    });
  });

  describe('membership', () => {
    const { n, p } = own;
    test.each([0n, n, p * 12345n, n * n, n * n + 1n, -1n])('C must be a unit modulo N0²', async (C) => {
      await rejects(verify({ ...statement, C }, (await honest()).proof), 'C ∈ Z*_{N0²}');
    });
    test.each([
      ['D', [0n, n, p, n * n], 'D ∈ Z*_{N0²}'],
      ['z2', [0n, n, p, n + 1n, -1n], 'z2 ∈ Z*_N0'],
      ['S', [0n, verifierSetup.n, verifierSetup.p], 'S ∈ Z*_N̂'],
      ['T', [0n, verifierSetup.n, verifierSetup.q], 'T ∈ Z*_N̂'],
      ['w', [q, -1n], 'w ∈ Z_q'],
    ] as const)('%s', async (field, values, check) => {
      const { proof } = await honest();
      for (const value of values) await rejects(verify(statement, { ...proof, [field]: value }), check);
    });
    test.each(['A', 'B', 'X'] as const)('%s = O', async (field) => {
      await rejects(verify({ ...statement, [field]: O }, (await honest()).proof), `${field} ≠ O`);
    });
    test.each(['Y', 'Z'] as const)('%s = O', async (field) => {
      await rejects(verify(statement, { ...(await honest()).proof, [field]: O }), `${field} ≠ O`);
    });
    test('a ciphertext and a nonce of 0 together cannot satisfy the equation', async () => {
      const { proof } = await honest();
      await rejects(verify({ ...statement, C: 0n }, { ...proof, D: 0n, z2: 0n }), 'C ∈ Z*_{N0²}');
      await rejects(verify(statement, { ...proof, D: 0n, z2: 0n }), 'D ∈ Z*_{N0²}');
    });
  });

  describe('sizes', () => {
    test('an oversize z3 is refused before any arithmetic', async () => {
      const { proof } = await honest();
      const bits = maskBits(smallParameters);
      for (const z3 of [1n << BigInt(bits), -(1n << 100_000n)]) {
        await rejects(verify(statement, { ...proof, z3 }, { ...context(), core: unreachableCore }), `bitlen(z3) ≤ ${bits}`);
      }
    });
    test.each([
      ['S', 1153],
      ['T', 1153],
      ['D', 2305],
      ['z1', 769],
      ['z2', 1153],
      ['z3', 1922],
    ] as const)('the codec refuses %s of %i bits', async (field, bits) => {
      const { proof } = await honest();
      const wide = { ...proof, [field]: (1n << BigInt(bits)) - 1n };
      expect(() => encode(codec, wide)).toThrow(RangeError);
      // The same from a peer with a laxer codec.
      const lax = encElg.proof({ ...smallParameters, primeBits: 2048, epsilon: 1024 });
      expect(() => decode(codec, encode(lax, wide))).toThrow(`${field}: `);
    });
  });

  test('a set-up of the prover’s own is of no use: the verifier uses its own', async () => {
    const mine = ringPedersenKey(576, 8);
    const { proof } = { proof: await encElg.prove({ ...statement, setup: mine }, witness, context()) };
    await rejects(verify(statement, proof));
  });

  test('a proof for another key, label or direction does not carry over', async () => {
    const { proof } = await honest();
    const other = instance(witness.x);
    await rejects(verify(other.statement, proof), equations[0]);
    await rejects(
      verify({ ...statement, N0: { n: safePrime(576, 8) * safePrime(576, 9) } } as encElg.Statement, proof, {
        ...context(),
        label: 'enc-G',
      }),
    );
  });

  test('proofs under other randomness share nothing', async () => {
    const { proof } = await honest();
    const other = await encElg.prove(statement, witness, { ...context(), random: seeded('another') });
    const flat = (p: encElg.Proof) => Object.values(p).map((v: bigint | Point) => (typeof v === 'bigint' ? `${v}` : v.toHex()));
    expect(flat(other).filter((v) => flat(proof).includes(v))).toEqual([]);
  });
});
