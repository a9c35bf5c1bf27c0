import { describe, expect, test } from 'vitest';
import { decode, encode } from '../base/codec.ts';
import { G, modQ, mul, O, q, randomScalar, type Point } from '../curve/secp256k1.ts';
import * as elog from './pi-elog.ts';
import { contextOf, seeded, smallParameters } from './testing/instances.ts';
import { once, rejects, testCommon } from './testing/suite.ts';

const random = seeded('elog');
const [y, lambda] = [randomScalar(random), randomScalar(random)];
const [X, H] = [mul(G, randomScalar(random)), mul(G, randomScalar(random))];
const statement: elog.Statement = { L: mul(G, lambda), M: mul(G, y).add(mul(X, lambda)), X, Y: mul(H, y), H };
const context = () => contextOf('elog-Delta');
const equations = ['z·G = A + e·L', 'u·G + z·X = N + e·M', 'u·H = B + e·Y'] as const;

const honest = once(async () => ({ statement, proof: await elog.prove(statement, { y, lambda }, context()), context: context() }));

describe('Π^elog', () => {
  testCommon('elog', { verify: elog.verify, codec: elog.proof(smallParameters), honest });

  test('163 bytes on the wire', async () => expect(encode(elog.proof(smallParameters), (await honest()).proof).length).toBe(163));

  test.each(['L', 'M', 'X', 'Y', 'H'] as const)('a proof is bound to %s of its statement', async (field) => {
    const { proof } = await honest();
    await rejects(elog.verify({ ...statement, [field]: statement[field].add(G) }, proof, context()), equations[0]);
  });

  test.each(['A', 'N', 'B'] as const)('a proof is bound to %s of its commitment', async (field) => {
    const { proof } = await honest();
    await rejects(elog.verify(statement, { ...proof, [field]: proof[field].add(G) }, context()), equations[0]);
  });

  test.each([
    ['z', equations[0]],
    ['u', equations[1]],
  ] as const)('a wrong %s fails exactly "%s"', async (field, equation) => {
    const { proof } = await honest();
    await rejects(elog.verify(statement, { ...proof, [field]: modQ(proof[field] + 1n) }, context()), equation);
  });

  test.each([
    ['L', equations[0]],
    ['M', equations[1]],
    ['Y', equations[2]],
  ] as const)('a prover whose %s is false fails exactly "%s"', async (field, equation) => {
    const lie = { ...statement, [field]: statement[field].add(G) };
    await rejects(elog.verify(lie, await elog.prove(lie, { y, lambda }, context()), context()), equation);
  });

  test.each(['L', 'M', 'X', 'Y', 'H'] as const)('%s = O is refused', async (field) => {
    const { proof } = await honest();
    await rejects(elog.verify({ ...statement, [field]: O }, proof, context()), `${field} ≠ O`);
  });

  test('with H = O any plaintext would pass: refused', async () => {
    const lie = { ...statement, H: O, Y: O };
    await rejects(elog.verify(lie, await elog.prove(lie, { y, lambda }, context()), context()), 'Y ≠ O');
    await rejects(elog.verify({ ...lie, Y: G }, await elog.prove(lie, { y, lambda }, context()), context()), 'H ≠ O');
  });

  test.each(['A', 'N', 'B'] as const)('%s = O is refused', async (field) => {
    const { proof } = await honest();
    await rejects(elog.verify(statement, { ...proof, [field]: O }, context()), `${field} ≠ O`);
  });

  test.each(['z', 'u'] as const)('%s outside of Z_q is refused, and not encodable', async (field) => {
    const { proof } = await honest();
    for (const value of [proof[field] + q, -1n])
      await rejects(elog.verify(statement, { ...proof, [field]: value }, context()), `${field} ∈ Z_q`);
    const encoded = encode(elog.proof(smallParameters), proof);
    const at = field === 'z' ? 99 : 131;
    encoded.fill(255, at, at + 32);
    expect(() => decode(elog.proof(smallParameters), encoded)).toThrow(`${field}: scalar is not below the group order`);
  });

  test('the base G is as good as any other (elog-Gamma)', async () => {
    const gamma = { ...statement, H: G, Y: mul(G, y) };
    await elog.verify(gamma, await elog.prove(gamma, { y, lambda }, contextOf('elog-Gamma')), contextOf('elog-Gamma'));
  });

  test('proofs under other randomness share nothing', async () => {
    const { proof } = await honest();
    const other = await elog.prove(statement, { y, lambda }, { ...context(), random: seeded('another') });
    const flat = (p: elog.Proof) => Object.values(p).map((v: bigint | Point) => (typeof v === 'bigint' ? `${v}` : v.toHex()));
    expect(flat(other).filter((v) => flat(proof).includes(v))).toEqual([]);
  });
});
