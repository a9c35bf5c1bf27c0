import { describe, expect, test } from 'vitest';
import { bigintToBytes, concatBytes, fromHex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { systemRandom } from '../base/random.ts';
import {
  commitPolynomial,
  evaluate,
  evaluateCommitment,
  interpolatePoint,
  lagrangeAtZero,
  randomPolynomial,
  shamirPoint,
} from './polynomial.ts';
import { G, modQ, mul, mulAddPublic, mulPublic, O, point, q, randomNonZeroScalar, randomScalar, scalar, sgn } from './secp256k1.ts';

const p = 2n ** 256n - 2n ** 32n - 977n;

describe('points', () => {
  test('the parameters are those of SEC 2', () => {
    expect(q).toBe(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n);
    expect(encode(point, G)).toEqual(fromHex('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'));
    expect(mulPublic(G, q).is0()).toBe(true);
  });

  test.each([
    ['x ≥ p, although x − p is on the curve', 2, p + 1n],
    ['x = 2^256 − 1', 3, 2n ** 256n - 1n],
    ['x = 5, off the curve', 2, 5n],
    ['prefix 0', 0, 1n],
    ['prefix 4', 4, 1n],
    ['prefix 6', 6, 1n],
    ['all zeros, in place of the identity', 0, 0n],
    ['x = 0', 2, 0n],
  ])('%s is refused', (_what, prefix, x) => {
    expect(() => decode(point, concatBytes(Uint8Array.of(prefix), bigintToBytes(x, 32)))).toThrow('not a point of secp256k1');
  });

  test('x = 1 is on the curve, with both signs', () => {
    for (const prefix of [2, 3]) expect(decode(point, concatBytes(Uint8Array.of(prefix), bigintToBytes(1n, 32))).toAffine().x).toBe(1n);
  });

  test('the identity has no encoding, nor has any other length', () => {
    expect(() => encode(point, O)).toThrow();
    for (const length of [0, 1, 32, 34, 65]) expect(() => decode(point, new Uint8Array(length).fill(2))).toThrow();
  });

  test('multiplication by any integer, on either path: 0, negative, above q, and of the identity', () => {
    for (const multiply of [mul, mulPublic]) {
      expect(multiply(G, 0n).is0() && multiply(G, q).is0() && multiply(O, 5n).is0()).toBe(true);
      expect(multiply(G, -1n).equals(G.negate())).toBe(true);
      expect(multiply(G, q + 2n).equals(G.add(G))).toBe(true);
    }
  });
});

test('a sum of two multiples, of any points and integers', () => {
  const [P, Q] = [mul(G, 1234567n), mul(G, 89n)];
  const integers = [0n, 1n, -1n, 2n, q - 1n, q, q + 5n, 2n ** 255n + 7n, randomScalar(systemRandom)];
  for (const a of integers) {
    for (const b of integers) expect(mulAddPublic(P, a, Q, b).equals(mul(P, a).add(mul(Q, b)))).toBe(true);
    expect(mulAddPublic(P, a, P, -a).is0()).toBe(true);
    expect(mulAddPublic(O, 3n, Q, a).equals(mul(Q, a))).toBe(true);
    expect(mulAddPublic(P, a, O, 3n).equals(mul(P, a))).toBe(true);
  }
});

describe('scalars', () => {
  test('q and above are refused, never reduced', () => {
    expect(decode(scalar, bigintToBytes(q - 1n, 32))).toBe(q - 1n);
    for (const n of [q, q + 1n, 2n ** 256n - 1n]) expect(() => decode(scalar, bigintToBytes(n, 32))).toThrow('not below the group order');
    for (const n of [-1n, q]) expect(() => encode(scalar, n)).toThrow(RangeError);
  });

  test('sgn is the representative nearest to 0', () => {
    const half = (q - 1n) / 2n;
    expect([0n, 1n, half, half + 1n, q - 1n, q, -1n].map(sgn)).toEqual([0n, 1n, half, -half, -1n, 0n, -1n]);
  });

  test('a non-zero scalar is not zero even if the generator is', () => {
    const zeros = { bytes: (length: number) => new Uint8Array(length) };
    expect(randomScalar(zeros)).toBe(0n);
    expect(randomNonZeroScalar(zeros)).toBe(1n);
  });
});

describe('Shamir and Feldman', () => {
  const f = randomPolynomial(systemRandom, 3);
  const value = (party: number): bigint => evaluate(f, shamirPoint(party));

  test('no party sits at 0, where the secret is', () => {
    expect(Array.from({ length: 64 }, (_, j) => shamirPoint(j))).toEqual(Array.from({ length: 64 }, (_, j) => BigInt(j + 1)));
  });

  test('any three shares give the secret, as scalars and as points; two do not', () => {
    for (const set of [
      [0, 1, 2],
      [4, 1, 3],
      [0, 2, 4],
    ]) {
      const points = set.map(shamirPoint);
      expect(modQ(set.reduce((sum, j) => sum + lagrangeAtZero(points, shamirPoint(j)) * value(j), 0n))).toBe(f[0]);
      expect(interpolatePoint(new Map(set.map((j) => [j, mul(G, value(j))]))).equals(mul(G, f[0]!))).toBe(true);
    }
    expect(interpolatePoint(new Map([0, 1].map((j) => [j, mul(G, value(j))]))).equals(mul(G, f[0]!))).toBe(false);
  });

  test('the commitment evaluates to the shares’ points, and to the secret’s at 0', () => {
    const S = commitPolynomial(f);
    for (const j of [0, 1, 63]) expect(evaluateCommitment(S, shamirPoint(j)).equals(mul(G, value(j)))).toBe(true);
    expect(evaluateCommitment(S, 0n).equals(mul(G, f[0]!))).toBe(true);
  });

  test.each([
    ['a point twice', [1n, 2n, 2n], 1n],
    ['the own point twice', [1n, 1n, 2n], 1n],
    ['0', [0n, 1n, 2n], 1n],
    ['q, which is 0,', [1n, 2n, q], 1n],
    ['q + 2, which is 2,', [1n, 2n, q + 2n], 1n],
    ['not the own point', [1n, 2n, 3n], 4n],
  ])('%s among the points is refused', (_what, points, at) => {
    expect(() => lagrangeAtZero(points, at)).toThrow(RangeError);
  });
});
