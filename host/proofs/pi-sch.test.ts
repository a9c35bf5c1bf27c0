import { describe, expect, test } from 'vitest';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { hex } from '../base/bytes.ts';
import { G, invQ, modQ, mul, O, q } from '../curve/secp256k1.ts';
import { sha256 } from '../protocol/transcript.ts';
import * as sch from './pi-sch.ts';
import { seeded } from './testing/instances.ts';
import { known } from './testing/suite.ts';

const context: sch.Context = { sid: new Uint8Array(32).fill(7), prover: 0, label: 'sch-dkg', rid: new Uint8Array(32).fill(3) };
const x = 123456789n;
const X = mul(G, x);
const nonce = sch.commit(seeded('sch'));
const honest = (in_: sch.Context = context): sch.Proof => ({ A: nonce.A, z: sch.respond({ X }, { x }, nonce, in_) });
/** The check that rejects, or undefined. */
const verdict = (statement: sch.Statement, proof: sch.Proof, in_ = context): string | undefined => {
  try {
    sch.verify(statement, proof, in_);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ name: 'ProofRejected', proof: 'sch' });
    return (error as { check: string }).check;
  }
};
const equation = 'z·G = A + e·X';

describe('Π^sch', () => {
  test('an honest proof is accepted, also from its 65 bytes', () => {
    const encoded = encode(sch.proof, honest());
    expect(encoded.length).toBe(65);
    expect(verdict({ X }, honest())).toBeUndefined();
    expect(verdict({ X }, decode(sch.proof, encoded))).toBeUndefined();
    expect(decode(sch.response, encode(sch.response, honest().z))).toBe(honest().z);
    expect(() => decode(sch.proof, Uint8Array.of(...encoded, 0))).toThrow(DecodeError);
  });

  test('the same randomness gives the known transcript', () => expect(hex(sha256(encode(sch.proof, honest())))).toBe(known.sch));

  test('z, A and X are each bound', () => {
    const { A, z } = honest();
    expect(verdict({ X }, { A, z: modQ(z + 1n) })).toBe(equation);
    expect(verdict({ X }, { A: A.add(G), z })).toBe(equation);
    expect(verdict({ X: X.add(G) }, { A, z })).toBe(equation);
  });

  test.each([
    ['sid', { sid: new Uint8Array(32) }],
    ['prover', { prover: 1 }],
    ['verifier', { verifier: 1 }],
    ['label', { label: 'sch-refresh' }],
    ['index', { index: 0 }],
    ['rid', { rid: new Uint8Array(32) }],
  ])('a proof is bound to its context: %s', (_, change) => expect(verdict({ X }, honest(), { ...context, ...change })).toBe(equation));

  test('a copied commitment does not answer for another prover', () => {
    expect(verdict({ X }, honest({ ...context, prover: 1 }))).toBe(equation);
  });

  test('out of range and identity', () => {
    const { A, z } = honest();
    expect(verdict({ X }, { A, z: z + q })).toBe('z ∈ Z_q');
    expect(verdict({ X }, { A, z: -1n })).toBe('z ∈ Z_q');
    expect(verdict({ X: O }, { A, z })).toBe('X ≠ O');
    expect(verdict({ X }, { A: O, z })).toBe('A ≠ O');
    // With X = O anybody could answer: z·G = A holds for z = α.
    expect(verdict({ X: O }, { A, z: nonce.alpha })).toBe('X ≠ O');
  });

  test('encodings of z ≥ q and of points off the curve are refused', () => {
    const { A, z } = honest();
    const encoded = encode(sch.proof, { A, z });
    expect(() => decode(sch.proof, Uint8Array.of(...encoded.slice(0, 33), ...new Uint8Array(32).fill(255)))).toThrow(
      'z: scalar is not below the group order',
    );
    expect(() => decode(sch.proof, Uint8Array.of(2, ...new Uint8Array(32).fill(255), ...encoded.slice(33)))).toThrow('A: not a point');
    expect(() => decode(sch.proof, Uint8Array.of(4, ...encoded.slice(1)))).toThrow('A: not a point');
  });

  test('special soundness: two answers to one commitment give x, which is why a nonce answers once', () => {
    const other = { ...context, rid: new Uint8Array(32) };
    const [z1, z2] = [honest().z, honest(other).z];
    const [e1, e2] = [sch.challenge({ X }, nonce, context), sch.challenge({ X }, nonce, other)];
    expect(modQ((z1 - z2) * invQ(e1 - e2))).toBe(x);
  });

  test('nonces of different randomness differ', () => expect(sch.commit(seeded('other')).alpha).not.toBe(nonce.alpha));
});
