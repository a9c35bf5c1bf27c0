/**
 * Π^fac: N has no small factor.
 *
 * Knowledge of (p, q) with N = p·q and both of about √N: up to the slack of the range check, each is at most 2^(ℓ+ε)·√N.
 *
 * Why aux info needs it: Π^mod admits a Blum modulus with one tiny factor. Decryptions modulo such an N reveal the peer's share modulo that
 * factor, signature by signature (BitForge, CVE-2023-33241).
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^fac without the σ of CGGMP21; cggmp24.md §5.4. Set-up (N̂, s, t) of the verifier.
 */
import { integer, natural, struct, type Codec } from '../base/codec.ts';
import { plusMinus } from '../base/random.ts';
import { commit, commitPublic, modN, power, powerPublic, type PaillierPublic, type RingPedersenKey } from '../core/types.ts';
import { checkRange, checkSizes, checkUnits } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { abs, balances, isqrt } from './integers.ts';
import { maskBits, modulusBits, type Parameters } from './parameters.ts';
import { maskOfCommitment, maskOfMask } from './sampling.ts';

const NAME = 'fac';

/** (N̂, s, t) of the verifier; N of the prover. */
export interface Statement {
  readonly setup: RingPedersenKey;
  readonly N: PaillierPublic;
}
/** The prime factors of N. */
export interface Witness {
  readonly p: bigint;
  readonly q: bigint;
}
/** Commitment (P, Q, A, B, T) in Z*_N̂; signed responses. */
export interface Proof {
  readonly P: bigint;
  readonly Q: bigint;
  readonly A: bigint;
  readonly B: bigint;
  readonly T: bigint;
  readonly z1: bigint;
  readonly z2: bigint;
  readonly w1: bigint;
  readonly w2: bigint;
  readonly v: bigint;
}
export type Commitment = Pick<Proof, 'P' | 'Q' | 'A' | 'B' | 'T'>;

/** Bits of v: the honest maximum 2^(ℓ+ε−1)·N·N̂ and one more. */
export const vBits = ({ ell, epsilon, primeBits }: Parameters): number => ell + epsilon + 4 * primeBits;

/** About 4300 bytes. */
export const proof = (parameters: Parameters): Codec<Proof> => {
  const { ell, epsilon, primeBits } = parameters;
  const element = natural(modulusBits(parameters).max);
  const range = integer(ell + epsilon + primeBits);
  const mask = integer(maskBits(parameters));
  return struct({
    P: element,
    Q: element,
    A: element,
    B: element,
    T: element,
    z1: range,
    z2: range,
    w1: mask,
    w2: mask,
    v: integer(vBits(parameters)),
  });
};

export async function prove(statement: Statement, { p, q }: Witness, context: ProofContext): Promise<Proof> {
  const { setup, N } = statement;
  const { core, parameters, random } = context;
  const slack = 1n << BigInt(parameters.ell + parameters.epsilon);
  const root = isqrt(N.n);
  const alpha = plusMinus(random, slack * root);
  const beta = plusMinus(random, slack * root);
  const mu = maskOfCommitment(random, parameters, setup.n);
  const nu = maskOfCommitment(random, parameters, setup.n);
  const r = plusMinus(random, slack * N.n * setup.n);
  const x = maskOfMask(random, parameters, setup.n);
  const y = maskOfMask(random, parameters, setup.n);

  const [P, Q, A, B] = await core.run([
    commit(setup, p, mu), // s^p·t^μ
    commit(setup, q, nu), // s^q·t^ν
    commit(setup, alpha, x), // s^α·t^x
    commit(setup, beta, y), // s^β·t^y
  ]);
  const [T] = await core.run([power(modN(setup), [Q, alpha], [setup.t, r])]); // Q^α·t^r

  const e = challenge(statement, { P, Q, A, B, T }, context);
  return { P, Q, A, B, T, z1: alpha + e * p, z2: beta + e * q, w1: x + e * mu, w2: y + e * nu, v: r - e * nu * p };
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, proof: Proof, context: ProofContext): Promise<void> {
  const { setup, N } = statement;
  const { P, Q, A, B, T, z1, z2, w1, w2, v } = proof;
  const { core, parameters } = context;
  const { ell, epsilon } = parameters;

  check(NAME, N.n > 1n << BigInt(4 * ell), 'N > 2^(4ℓ)');
  checkSizes(NAME, maskBits(parameters), { w1, w2 });
  checkSizes(NAME, vBits(parameters), { v });
  await checkUnits(NAME, core, { name: 'N̂', n: setup.n, units: { P, Q, A, B, T } });
  checkRange(NAME, { z1, z2 }, isqrt(N.n) << BigInt(ell + epsilon - 1), '2^(ℓ+ε−1)·√N');

  const e = challenge(statement, proof, context);
  const [committedP, powerOfP, committedQ, powerOfQ, product, masked] = await core.run([
    commitPublic(setup, z1, w1),
    powerPublic(modN(setup), [P, abs(e)]),
    commitPublic(setup, z2, w2),
    powerPublic(modN(setup), [Q, abs(e)]),
    powerPublic(modN(setup), [Q, z1]),
    commitPublic(setup, -N.n * e, v), // t^v·(s^N)^−e
  ]);
  // s^z1·t^w1 ≡ A·P^e mod N̂
  check(NAME, balances(committedP, A, powerOfP, e, setup.n), 's^z1·t^w1 ≡ A·P^e mod N̂');
  // s^z2·t^w2 ≡ B·Q^e mod N̂
  check(NAME, balances(committedQ, B, powerOfQ, e, setup.n), 's^z2·t^w2 ≡ B·Q^e mod N̂');
  // Q^z1·t^v ≡ T·(s^N)^e mod N̂
  check(NAME, (product * masked) % setup.n === T, 'Q^z1·t^v ≡ T·(s^N)^e mod N̂');
}

/** e ∈ ±2^ℓ over (N̂, s, t, N, P, Q, A, B, T). */
export function challenge({ setup, N }: Statement, { P, Q, A, B, T }: Commitment, context: ProofContext): bigint {
  return beginChallenge(NAME, context)
    .integers(setup.n, setup.s, setup.t, N.n, P, Q, A, B, T)
    .challenge()
    .plusMinus(1n << BigInt(context.parameters.ell));
}
