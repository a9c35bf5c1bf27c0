/**
 * Π^enc-elg: a Paillier plaintext is small and equals the plaintext of an El-Gamal ciphertext.
 *
 * Knowledge of (x, ρ, b), x ∈ ±2^ℓ, with   C = enc_N0(x; ρ),   B = b·G,   X = b·A + x·G.
 *
 * Why presigning needs it: K_i and G_i are used by every peer as the base of its multiplication. A plaintext out of range would wrap around the
 * peer's modulus and leak its share bit by bit (the Alpha-Rays family); one that differs from the El-Gamal plaintext could not be tied to Γ_i and
 * Δ_i later (Π^elog).
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^enc-elg; cggmp24.md §5.5. Set-up (N̂, s, t) of the verifier.
 */
import { integer, natural, struct, type Codec } from '../base/codec.ts';
import {
  commit,
  commitPublic,
  encrypt,
  encryptPublic,
  modN,
  modN2,
  powerPublic,
  type PaillierKey,
  type RingPedersenKey,
} from '../core/types.ts';
import { G, modQ, mul, mulAddPublic, mulPublic, point, q, randomScalar, scalar, type Point } from '../curve/secp256k1.ts';
import { checkBounds, checkPoints, checkRange, checkResidues, checkSizes, checkUnits, type UnitGroup } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { abs, balances } from './integers.ts';
import { maskBits, modulusBits, type Parameters } from './parameters.ts';
import { maskOfCommitment, maskOfMask, maskOfWitness, unit } from './sampling.ts';

const NAME = 'enc-elg';

/** (N̂, s, t) of the verifier; key N0 of the prover with ciphertext C; El-Gamal key A with ciphertext (B, X). */
export interface Statement {
  readonly setup: RingPedersenKey;
  readonly N0: PaillierKey;
  readonly C: bigint;
  readonly A: Point;
  readonly B: Point;
  readonly X: Point;
}
/** x ∈ ±2^ℓ (signed), ρ ∈ Z*_N0, b ∈ Z_q. */
export interface Witness {
  readonly x: bigint;
  readonly rho: bigint;
  readonly b: bigint;
}
/** Commitment (S, T, D, Y, Z); z1, z3 signed, z2 ∈ Z*_N0, w ∈ Z_q. */
export interface Proof {
  readonly S: bigint;
  readonly T: bigint;
  readonly D: bigint;
  readonly Y: Point;
  readonly Z: Point;
  readonly z1: bigint;
  readonly z2: bigint;
  readonly z3: bigint;
  readonly w: bigint;
}
export type Commitment = Pick<Proof, 'S' | 'T' | 'D' | 'Y' | 'Z'>;

/** About 2600 bytes. */
export const proof = (parameters: Parameters): Codec<Proof> => {
  const bits = modulusBits(parameters).max;
  return struct({
    S: natural(bits),
    T: natural(bits),
    D: natural(2 * bits),
    Y: point,
    Z: point,
    z1: integer(parameters.ell + parameters.epsilon),
    z2: natural(bits),
    z3: integer(maskBits(parameters)),
    w: scalar,
  });
};

export async function prove(statement: Statement, { x, rho, b }: Witness, context: ProofContext): Promise<Proof> {
  const { setup, N0, A } = statement;
  const { core, parameters, random } = context;
  const alpha = maskOfWitness(random, parameters);
  const mu = maskOfCommitment(random, parameters, setup.n);
  const r = unit(random, N0.n);
  const beta = randomScalar(random);
  const gamma = maskOfMask(random, parameters, setup.n);

  const [S, T, D] = await core.run([
    commit(setup, x, mu), // s^x·t^μ
    commit(setup, alpha, gamma), // s^α·t^γ
    encrypt(N0, alpha, r),
  ]);
  const Y = mul(A, beta).add(mul(G, alpha));
  const Z = mul(G, beta);

  const e = challenge(statement, { S, T, D, Y, Z }, context);
  // r·ρ^e: e is public, and secret bases are treated alike on either path.
  const [z2] = await core.run([powerPublic(modN(N0), [r, 1n], [rho, e])]);
  return { S, T, D, Y, Z, z1: alpha + e * x, z2, z3: gamma + e * mu, w: modQ(beta + e * b) };
}

/**
 * All checks but the gcds and the equations. @throws ProofRejected naming the one that fails. Returns what must be units besides: verification
 * of many proofs takes one gcd per modulus.
 */
export function checkForm(statement: Statement, proof: Proof, { parameters }: Pick<ProofContext, 'parameters'>): UnitGroup[] {
  const { setup, N0, C, A, B, X } = statement;
  const { S, T, D, Y, Z, z1, z2, z3, w } = proof;
  const { ell, epsilon } = parameters;
  const groups: UnitGroup[] = [
    { name: 'N0', n: N0.n, squared: { C, D }, units: { z2 } },
    { name: 'N̂', n: setup.n, units: { S, T } },
  ];
  checkSizes(NAME, maskBits(parameters), { z3 });
  checkBounds(NAME, ...groups);
  checkResidues(NAME, { w }, q, 'Z_q');
  checkPoints(NAME, { A, B, X, Y, Z });
  checkRange(NAME, { z1 }, 1n << BigInt(ell + epsilon - 1), '2^(ℓ+ε−1)');
  return groups;
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, proof: Proof, context: ProofContext): Promise<void> {
  const { setup, N0, C, A, B, X } = statement;
  const { S, T, D, Y, Z, z1, z2, z3, w } = proof;
  const { core } = context;
  await checkUnits(NAME, core, ...checkForm(statement, proof, context));

  const e = challenge(statement, proof, context);
  const [encrypted, powerOfC, committed, powerOfS] = await core.run([
    encryptPublic(N0, z1, z2),
    powerPublic(modN2(N0), [C, abs(e)]),
    commitPublic(setup, z1, z3),
    powerPublic(modN(setup), [S, abs(e)]),
  ]);
  // enc_N0(z1; z2) ≡ D·C^e mod N0²
  check(NAME, balances(encrypted, D, powerOfC, e, N0.n * N0.n), 'enc_N0(z1; z2) ≡ D·C^e mod N0²');
  // w·A + z1·G = Y + e·X
  check(
    NAME,
    mulPublic(G, z1)
      .add(mulAddPublic(A, w, X, -e))
      .equals(Y),
    'w·A + z1·G = Y + e·X',
  );
  // w·G = Z + e·B
  check(NAME, mulPublic(G, w).equals(Z.add(mulPublic(B, e))), 'w·G = Z + e·B');
  // s^z1·t^z3 ≡ T·S^e mod N̂
  check(NAME, balances(committed, T, powerOfS, e, setup.n), 's^z1·t^z3 ≡ T·S^e mod N̂');
}

/** e ∈ ±q over (N̂, s, t, N0, C, A, B, X, S, T, D, Y, Z). */
export function challenge({ setup, N0, C, A, B, X }: Statement, { S, T, D, Y, Z }: Commitment, context: ProofContext): bigint {
  return beginChallenge(NAME, context)
    .integers(setup.n, setup.s, setup.t, N0.n, C)
    .points(A, B, X)
    .integers(S, T, D)
    .points(Y, Z)
    .challenge()
    .plusMinus(q);
}
