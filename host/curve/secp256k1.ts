/**
 * secp256k1 on @noble/curves: points, scalars, and their encodings (cggmp24.md §1.1).
 * Points are written additively; O is the identity.
 */
import { interleavedMSMUnsafe } from '@noble/curves/abstract/curve.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bigintToBytes, bytesToBigint } from '../base/bytes.ts';
import { bytes, DecodeError, map, type Codec } from '../base/codec.ts';
import { below, type Random } from '../base/random.ts';

export const Point = secp256k1.Point;
export type Point = InstanceType<typeof Point>;

/** The generator. */
export const G: Point = Point.BASE;
/** O, the identity. */
export const O: Point = Point.ZERO;
/** q, the prime order of the group. */
export const q: bigint = Point.Fn.ORDER;

/** n mod q in [0, q), also for negative n. */
export const modQ = (n: bigint): bigint => {
  const r = n % q;
  return r < 0n ? r + q : r;
};

/** sgn(x): the representative of x mod q in {−(q−1)/2 … (q−1)/2}, applied to every scalar before it becomes a Paillier plaintext or an exponent. */
export const sgn = (x: bigint): bigint => {
  const r = modQ(x);
  return r > (q - 1n) / 2n ? r - q : r;
};

/** n^−1 mod q. @throws Error when n ≡ 0. */
export const invQ = (n: bigint): bigint => Point.Fn.inv(modQ(n));

/** k·P for any integer k, zero included. For secret k: the library's constant-time ladder. */
export const mul = (P: Point, k: bigint): Point => {
  const scalar = modQ(k);
  return scalar === 0n || P.is0() ? O : P.multiply(scalar);
};

/** k·P in variable time: public k only (verification). */
export const mulPublic = (P: Point, k: bigint): Point => (P.is0() ? O : P.multiplyUnsafe(modQ(k)));

/** a·P + b·Q in variable time, with shared doublings: public a and b only. About two thirds of two {@link mulPublic}. */
export const mulAddPublic = (P: Point, a: bigint, Q: Point, b: bigint): Point => {
  if (P.is0()) return mulPublic(Q, b);
  return Q.is0() ? mulPublic(P, a) : P.mulAddUnsafe(modQ(a), Q, modQ(b));
};

/** Σ k·P in variable time, with shared doublings: public scalars only. No point is O. About a quarter of as many {@link mulPublic} when there are many. */
export const sumPublic = (terms: readonly (readonly [P: Point, k: bigint])[]): Point =>
  terms.length === 0
    ? O
    : interleavedMSMUnsafe(
        Point,
        terms.map(([P]) => P),
        5,
      )(terms.map(([, k]) => modQ(k)));

export const sum = (points: Iterable<Point>): Point => {
  let total = O;
  for (const P of points) total = total.add(P);
  return total;
};

/** Uniform in Z_q. */
export const randomScalar = (random: Random): bigint => below(random, q);
/** Uniform in Z_q \ {0}. */
export const randomNonZeroScalar = (random: Random): bigint => 1n + below(random, q - 1n);

/** A point, 33 bytes SEC1 compressed; the identity, points off the curve and x ≥ p are rejected. */
export const point: Codec<Point> = map(
  bytes(33),
  (b) => {
    try {
      const P = Point.fromBytes(b);
      P.assertValidity();
      return P;
    } catch (cause) {
      throw new DecodeError('', `not a point of secp256k1: ${(cause as Error).message}`);
    }
  },
  (P) => P.toBytes(true),
);

/** A scalar, 32 bytes big endian, < q: rejected, never reduced. */
export const scalar: Codec<bigint> = map(
  bytes(32),
  (b) => {
    const n = bytesToBigint(b);
    if (n >= q) throw new DecodeError('', 'scalar is not below the group order');
    return n;
  },
  (n) => {
    if (n < 0n || n >= q) throw new RangeError('scalar is not in [0, q)');
    return bigintToBytes(n, 32);
  },
);
