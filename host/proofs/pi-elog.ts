/**
 * Π^elog: the discrete logarithm of Y to the base H is the plaintext of the El-Gamal ciphertext (L, M).
 *
 * Knowledge of (y, λ) with   L = λ·G,   M = y·G + λ·X,   Y = y·H.
 *
 * Why presigning needs it: it ties Γ_i to the γ_i encrypted in round 1 (H = G), and Δ_i to the k_i encrypted in round 1 (H = Γ). Without it a
 * signer could use one value in the ciphertexts and another in the group.
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^elog; cggmp24.md §5.7. Soundness error 1/q, honest-verifier zero-knowledge,
 * no set-up.
 */
import { struct, type Codec } from '../base/codec.ts';
import { G, modQ, mul, mulAddPublic, mulPublic, point, q, randomScalar, scalar, type Point } from '../curve/secp256k1.ts';
import { checkPoints, checkResidues } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import type { Parameters } from './parameters.ts';

const NAME = 'elog';

/** El-Gamal key X and ciphertext (L, M); base H, point Y. None is the identity. */
export interface Statement {
  readonly L: Point;
  readonly M: Point;
  readonly X: Point;
  readonly Y: Point;
  readonly H: Point;
}
/** Plaintext y and randomness λ, in Z_q. */
export interface Witness {
  readonly y: bigint;
  readonly lambda: bigint;
}
/** Commitment (A, N, B), responses z, u in Z_q. */
export interface Proof {
  readonly A: Point;
  readonly N: Point;
  readonly B: Point;
  readonly z: bigint;
  readonly u: bigint;
}

const codec: Codec<Proof> = struct({ A: point, N: point, B: point, z: scalar, u: scalar });
/** 163 bytes. */
export const proof = (_parameters: Parameters): Codec<Proof> => codec;

export async function prove(statement: Statement, { y, lambda }: Witness, context: ProofContext): Promise<Proof> {
  const { X, H } = statement;
  const alpha = randomScalar(context.random);
  const m = randomScalar(context.random);
  const A = mul(G, alpha);
  const N = mul(G, m).add(mul(X, alpha));
  const B = mul(H, m);
  const e = challenge(statement, { A, N, B }, context);
  return { A, N, B, z: modQ(alpha + e * lambda), u: modQ(m + e * y) };
}

/** All checks but the equations. @throws ProofRejected naming the one that fails. */
export function checkForm({ L, M, X, Y, H }: Statement, { A, N, B, z, u }: Proof): void {
  checkPoints(NAME, { L, M, X, Y, H, A, N, B });
  checkResidues(NAME, { z, u }, q, 'Z_q');
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, proof: Proof, context: ProofContext): Promise<void> {
  const { L, M, X, Y, H } = statement;
  const { A, N, B, z, u } = proof;
  checkForm(statement, proof);

  const e = challenge(statement, proof, context);
  // z·G = A + e·L
  check(NAME, mulPublic(G, z).equals(A.add(mulPublic(L, e))), 'z·G = A + e·L');
  // u·G + z·X = N + e·M
  check(
    NAME,
    mulPublic(G, u)
      .add(mulAddPublic(X, z, M, -e))
      .equals(N),
    'u·G + z·X = N + e·M',
  );
  // u·H = B + e·Y
  check(NAME, mulAddPublic(H, u, Y, -e).equals(B), 'u·H = B + e·Y');
}

/** e ∈ Z_q over (L, M, X, Y, H, A, N, B). */
export function challenge(statement: Statement, commitment: Pick<Proof, 'A' | 'N' | 'B'>, context: ProofContext): bigint {
  const { L, M, X, Y, H } = statement;
  const { A, N, B } = commitment;
  return beginChallenge(NAME, context).points(L, M, X, Y, H, A, N, B).challenge().below(q);
}
