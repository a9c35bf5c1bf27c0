/**
 * Π^aff-g*: an affine operation on a peer's ciphertext, as Π^aff-g, without a set-up: one proof convinces everybody.
 *
 * Knowledge of (x, y, ρ, ρ_y), x ∈ ±2^ℓ, y ∈ ±2^ℓ', with   D = C^x·enc_N0(y; ρ) mod N0²,   Y = enc_N1(y; ρ_y),   X = x·G.
 * N1 is the prover's key, N0 that of the peer whose ciphertext C is.
 *
 * Why presigning needs it: Π^aff-g was made to the owner of N0 alone. In the error rounds everybody must know that each D and F of the sum is what
 * its author says, or a pair of colluders could pass a false D between them and put the blame on nobody.
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^aff-g*; cggmp24.md §5.9. Soundness error 2^−m.
 */
import { modInv } from 'bigint-crypto-utils';
import { integer, list, natural, struct, type Codec } from '../base/codec.ts';
import { encrypt, encryptPublic, modN2, power, powerPublic, type PaillierKey } from '../core/types.ts';
import { G, mul, mulPublic, point, type Point } from '../curve/secp256k1.ts';
import { checkPoints, checkRange, checkUnits } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { abs, mod } from './integers.ts';
import { modulusBits, type Parameters } from './parameters.ts';
import { maskOfWitness, plusMinusPower, unit } from './sampling.ts';

const NAME = 'aff-g*';

/** N0 of the peer, N1 of the prover; ciphertexts C, D under N0, Y under N1; point X. */
export interface Statement {
  readonly N0: PaillierKey;
  readonly N1: PaillierKey;
  readonly C: bigint;
  readonly D: bigint;
  readonly Y: bigint;
  readonly X: Point;
}
/** x ∈ ±2^ℓ and y ∈ ±2^ℓ' (signed), ρ ∈ Z*_N0, ρ_y ∈ Z*_N1. */
export interface Witness {
  readonly x: bigint;
  readonly y: bigint;
  readonly rho: bigint;
  readonly rhoY: bigint;
}
/** Commitment (A, R, B); z, z' signed, w ∈ Z*_N0, λ ∈ Z*_N1. */
export interface Repetition {
  readonly A: bigint;
  readonly R: Point;
  readonly B: bigint;
  readonly z: bigint;
  readonly zPrime: bigint;
  readonly w: bigint;
  readonly lambda: bigint;
}
/** m of them. */
export interface Proof {
  readonly repetitions: readonly Repetition[];
}
export type Commitment = Pick<Repetition, 'A' | 'R' | 'B'>;

/** About 342 kB. */
export const proof = (parameters: Parameters): Codec<Proof> => {
  const { ell, ellPrime, epsilon, m } = parameters;
  const bits = modulusBits(parameters).max;
  return struct({
    repetitions: list(
      struct({
        A: natural(2 * bits),
        R: point,
        B: natural(2 * bits),
        z: integer(ell + epsilon),
        zPrime: integer(ellPrime + epsilon),
        w: natural(bits),
        lambda: natural(bits),
      }),
      { exact: m },
    ),
  });
};

export async function prove(statement: Statement, { x, y, rho, rhoY }: Witness, context: ProofContext): Promise<Proof> {
  const { N0, N1, C } = statement;
  const { core, parameters, random } = context;
  const { m, ellPrime, epsilon } = parameters;
  const masks = Array.from({ length: m }, () => ({
    alpha: maskOfWitness(random, parameters),
    beta: plusMinusPower(random, ellPrime + epsilon),
    r: unit(random, N0.n),
    s: unit(random, N1.n),
  }));

  const powers = await core.run([
    ...masks.map(({ alpha }) => power(modN2(N0), [C, alpha])),
    ...masks.map(({ beta, r }) => encrypt(N0, beta, r)),
    ...masks.map(({ beta, s }) => encrypt(N1, beta, s)),
  ]);
  const commitments = masks.map(({ alpha }, j): Commitment => ({
    A: (powers[j]! * powers[m + j]!) % (N0.n * N0.n), // C^α·enc_N0(β; r)
    R: mul(G, alpha),
    B: powers[2 * m + j]!, // enc_N1(β; s)
  }));

  const e = challenge(statement, commitments, context);
  const repetitions = masks.map(({ alpha, beta, r, s }, j): Repetition => {
    const one = e[j] === true;
    return {
      ...commitments[j]!,
      z: one ? alpha + x : alpha,
      zPrime: one ? beta + y : beta,
      w: one ? (r * rho) % N0.n : r,
      lambda: one ? (s * rhoY) % N1.n : s,
    };
  });
  return { repetitions };
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, { repetitions }: Proof, context: ProofContext): Promise<void> {
  const { N0, N1, C, D, Y, X } = statement;
  const { core, parameters } = context;
  const { ell, ellPrime, epsilon, m } = parameters;
  const [square0, square1] = [N0.n * N0.n, N1.n * N1.n];

  check(NAME, repetitions.length === m, `m = ${m} repetitions`);
  await checkUnits(
    NAME,
    core,
    {
      name: 'N0',
      n: N0.n,
      squared: { C, D, ...indexed('A', repetitions, ({ A }) => A) },
      units: indexed('w', repetitions, ({ w }) => w),
    },
    {
      name: 'N1',
      n: N1.n,
      squared: { Y, ...indexed('B', repetitions, ({ B }) => B) },
      units: indexed('λ', repetitions, ({ lambda }) => lambda),
    },
  );
  checkPoints(NAME, { X, ...indexed('R', repetitions, ({ R }) => R) });
  checkRange(NAME, indexed('z', repetitions, ({ z }) => z), 1n << BigInt(ell + epsilon - 1), '2^(ℓ+ε−1)'); // prettier-ignore
  checkRange(NAME, indexed("z'", repetitions, ({ zPrime }) => zPrime), 1n << BigInt(ellPrime + epsilon - 1), "2^(ℓ'+ε−1)"); // prettier-ignore

  const e = challenge(statement, repetitions, context);
  const inverse = modInv(C, square0); // C is a unit: one inversion instead of one for every negative z
  const powers = await core.run([
    ...repetitions.map(({ z, w }) => powerPublic(modN2(N0), [w, N0.n], [z < 0n ? inverse : C, abs(z)])),
    ...repetitions.map(({ zPrime, lambda }) => encryptPublic(N1, zPrime, lambda)),
  ]);
  for (const [j, { A, R, B, z, zPrime }] of repetitions.entries()) {
    const one = e[j] === true;
    // C^z·enc_N0(z'; w) ≡ A·D^e mod N0²
    const left = mod((1n + zPrime * N0.n) * powers[j]!, square0);
    check(NAME, left === (one ? (A * D) % square0 : A), `C^(z_${j})·enc_N0(z'_${j}; w_${j}) ≡ A_${j}·D^(e_${j}) mod N0²`);
    // z·G = R + e·X
    check(NAME, mulPublic(G, z).equals(one ? R.add(X) : R), `z_${j}·G = R_${j} + e_${j}·X`);
    // enc_N1(z'; λ) ≡ B·Y^e mod N1²
    check(NAME, powers[m + j]! === (one ? (B * Y) % square1 : B), `enc_N1(z'_${j}; λ_${j}) ≡ B_${j}·Y^(e_${j}) mod N1²`);
  }
}

/** e ∈ {0,1}^m, a bit of its own for every repetition, over (N0, N1, C, D, Y, X, all A, R, B). */
export function challenge({ N0, N1, C, D, Y, X }: Statement, commitments: readonly Commitment[], context: ProofContext): boolean[] {
  return beginChallenge(NAME, context)
    .integers(N0.n, N1.n, C, D, Y)
    .point(X)
    .list(commitments, (transcript, { A, R, B }) => transcript.integer(A).point(R).integer(B))
    .challenge()
    .bits(context.parameters.m);
}

const indexed = <T>(name: string, repetitions: readonly Repetition[], pick: (repetition: Repetition) => T): Record<string, T> =>
  Object.fromEntries(repetitions.map((repetition, j) => [`${name}_${j}`, pick(repetition)]));
