/** Shamir and Feldman: polynomials over Z_q, their commitments, Lagrange coefficients (cggmp24.md §6.1, 6.3). */
import type { Random } from '../base/random.ts';
import { G, invQ, modQ, mul, mulPublic, O, randomScalar, sum, type Point } from './secp256k1.ts';

/** The Shamir point of party i: never received from a peer, distinct and non-zero by construction. */
export const shamirPoint = (party: number): bigint => BigInt(party + 1);

/** Coefficients a_0 … a_{t−1} of a polynomial of degree t − 1. Secret. */
export type Polynomial = readonly bigint[];

export const randomPolynomial = (random: Random, t: number): Polynomial => Array.from({ length: t }, () => randomScalar(random));

/** f(x) mod q (Horner). */
export const evaluate = (f: Polynomial, x: bigint): bigint => f.reduceRight((value, a) => modQ(value * x + a), 0n);

/** Feldman commitment (a_k·G)_k. */
export const commitPolynomial = (f: Polynomial): Point[] => f.map((a) => mul(G, a));

/** Σ_k x^k·S_k: the commitment evaluated at a public x. */
export const evaluateCommitment = (S: readonly Point[], x: bigint): Point => S.reduceRight((value, A) => mulPublic(value, x).add(A), O);

/** Lagrange coefficient at 0 of the point `at` among the distinct non-zero `points`. @throws RangeError for points equal or zero mod q. */
export function lagrangeAtZero(points: readonly bigint[], at: bigint): bigint {
  let numerator = 1n;
  let denominator = 1n;
  const residues = new Set(points.map(modQ));
  if (residues.size !== points.length || residues.has(0n)) throw new RangeError('Shamir points must be distinct and non-zero');
  if (!points.includes(at)) throw new RangeError('the Shamir point must be one of the points');
  for (const x of points) {
    if (x === at) continue;
    numerator = modQ(numerator * x);
    denominator = modQ(denominator * (x - at));
  }
  return modQ(numerator * invQ(denominator));
}

/** Σ λ_i·X_i over the parties: the point shared by `shares` (party index → point). */
export function interpolatePoint(shares: ReadonlyMap<number, Point>): Point {
  const points = [...shares.keys()].map(shamirPoint);
  return sum([...shares].map(([party, X]) => mulPublic(X, lagrangeAtZero(points, shamirPoint(party)))));
}
