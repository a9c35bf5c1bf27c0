/**
 * Π^sch: knowledge of the discrete logarithm x of X = x·G, in commit–reveal form.
 *
 * Why key generation needs it: a party that could derive its X from those of others (or copy one) would choose the joint key. The commitment A
 * is fixed inside the round-1 commitment, before anything of others is seen, and the challenge binds the joint rid that exists only after
 * every commitment is opened.
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^sch; cggmp24.md §5.1. Soundness error 1/q, honest-verifier zero-knowledge,
 * no set-up.
 */
import { struct, type Codec } from '../base/codec.ts';
import type { Random } from '../base/random.ts';
import { G, modQ, mul, mulPublic, point, q, randomScalar, scalar, type Point } from '../curve/secp256k1.ts';
import { checkPoints, checkResidues } from './checks.ts';
import { beginChallenge, check, type ChallengeContext } from './context.ts';

const NAME = 'sch';

export interface Statement {
  readonly X: Point;
}
/** x in Z_q. */
export interface Witness {
  readonly x: bigint;
}
/** α in Z_q, secret and for one response only: two responses with one α reveal x. */
export interface Nonce {
  readonly alpha: bigint;
  readonly A: Point;
}
/** A was sent (committed to) earlier; z in Z_q is what the last round carries. */
export interface Proof {
  readonly A: Point;
  readonly z: bigint;
}
/** What the challenge binds: no ranges, no repetitions, no arithmetic core, and once the nonce exists no randomness. */
export type Context = Omit<ChallengeContext, 'parameters'> & { readonly parameters?: never };

/** 65 bytes. */
export const proof: Codec<Proof> = struct({ A: point, z: scalar });
/** z alone, 32 bytes. */
export const response: Codec<bigint> = scalar;

/** α ← Z_q, A = α·G. */
export function commit(random: Random): Nonce {
  const alpha = randomScalar(random);
  return { alpha, A: mul(G, alpha) };
}

/** z = α + e·x mod q. */
export function respond({ X }: Statement, { x }: Witness, { alpha, A }: Nonce, context: Context): bigint {
  return modQ(alpha + challenge({ X }, { A }, context) * x);
}

/** @throws ProofRejected naming the check that fails. */
export function verify({ X }: Statement, { A, z }: Proof, context: Context): void {
  checkPoints(NAME, { X, A });
  checkResidues(NAME, { z }, q, 'Z_q');

  const e = challenge({ X }, { A }, context);
  // z·G = A + e·X
  check(NAME, mulPublic(G, z).equals(A.add(mulPublic(X, e))), 'z·G = A + e·X');
}

/** e ∈ Z_q over (X, A). */
export function challenge({ X }: Statement, { A }: Pick<Proof, 'A'>, context: Context): bigint {
  return beginChallenge(NAME, context).points(X, A).challenge().below(q);
}
