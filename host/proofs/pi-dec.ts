/**
 * Π^dec: a party's own decryption is what it says it is, without showing the plaintext.
 *
 * Knowledge of (x, y, ρ), x ∈ ±2^ℓ, |y| ≤ 2^Λ, with   K^x·D = enc_N0(y; ρ) mod N0²,   X = x·G,   S = y·G'.
 * N0 is the prover's key; Λ = ℓ' + ε + 1 + ⌈log2 n⌉ bounds the sum of what n − 1 peers contribute to D.
 *
 * Why presigning needs it: when a sum of round 3 does not hold, everybody proves with it that its δ_i (S = δ_i·G, G' = G) or its S_i (G' = Γ) follows
 * from the ciphertexts that all have seen. It has no set-up, so that one proof convinces everybody, and pays for that with m repetitions.
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^dec; cggmp24.md §5.8. Soundness error 2^−m.
 */
import { modInv } from 'bigint-crypto-utils';
import { integer, list, natural, struct, type Codec } from '../base/codec.ts';
import { encrypt, modN2, power, powerPublic, type PaillierKey } from '../core/types.ts';
import { G, mul, mulPublic, point, type Point } from '../curve/secp256k1.ts';
import { checkPoints, checkRange, checkUnits } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { abs, mod } from './integers.ts';
import { modulusBits, type Parameters } from './parameters.ts';
import { maskOfWitness, plusMinusPower, unit } from './sampling.ts';

const NAME = 'dec';

/** N0 of the prover; ciphertexts K, D under N0; points X, S; base G'. `parties` is n of Λ: those of the run. */
export interface Statement {
  readonly parties: number;
  readonly N0: PaillierKey;
  readonly K: bigint;
  readonly X: Point;
  readonly D: bigint;
  readonly S: Point;
  readonly base: Point;
}
/** x ∈ ±2^ℓ and the integer plaintext y of K^x·D (signed, not reduced modulo q), ρ the nonce of K^x·D, in Z*_N0. */
export interface Witness {
  readonly x: bigint;
  readonly y: bigint;
  readonly rho: bigint;
}
/** Commitment (A, B, C); z, w signed, ν ∈ Z*_N0. */
export interface Repetition {
  readonly A: bigint;
  readonly B: Point;
  readonly C: Point;
  readonly z: bigint;
  readonly w: bigint;
  readonly nu: bigint;
}
/** m of them. */
export interface Proof {
  readonly repetitions: readonly Repetition[];
}
export type Commitment = Pick<Repetition, 'A' | 'B' | 'C'>;

/** Λ = ℓ' + ε + 1 + ⌈log2 n⌉. */
export const plaintextBits = ({ ellPrime, epsilon }: Parameters, parties: number): number =>
  ellPrime + epsilon + 1 + Math.ceil(Math.log2(parties));

/** About 207 kB. */
export const proof = (parameters: Parameters, parties: number): Codec<Proof> => {
  const bits = modulusBits(parameters).max;
  return struct({
    repetitions: list(
      struct({
        A: natural(2 * bits),
        B: point,
        C: point,
        z: integer(parameters.ell + parameters.epsilon),
        w: integer(plaintextBits(parameters, parties) + parameters.epsilon + 1),
        nu: natural(bits),
      }),
      { exact: parameters.m },
    ),
  });
};

export async function prove(statement: Statement, { x, y, rho }: Witness, context: ProofContext): Promise<Proof> {
  const { parties, N0, K, base } = statement;
  const { core, parameters, random } = context;
  const { m, epsilon } = parameters;
  const masks = Array.from({ length: m }, () => ({
    alpha: maskOfWitness(random, parameters),
    beta: plusMinusPower(random, plaintextBits(parameters, parties) + 1 + epsilon),
    r: unit(random, N0.n),
  }));

  const powers = await core.run([
    ...masks.map(({ alpha }) => power(modN2(N0), [K, -alpha])),
    ...masks.map(({ beta, r }) => encrypt(N0, beta, r)),
  ]);
  const commitments = masks.map(({ alpha, beta }, j): Commitment => ({
    A: (powers[j]! * powers[m + j]!) % (N0.n * N0.n), // K^(−α)·enc_N0(β; r)
    B: mul(base, beta),
    C: mul(G, alpha),
  }));

  const e = challenge(statement, commitments, context);
  const repetitions = masks.map(({ alpha, beta, r }, j): Repetition => {
    const one = e[j] === true;
    return { ...commitments[j]!, z: one ? alpha + x : alpha, w: one ? beta + y : beta, nu: one ? (r * rho) % N0.n : r };
  });
  return { repetitions };
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, { repetitions }: Proof, context: ProofContext): Promise<void> {
  const { parties, N0, K, X, D, S, base } = statement;
  const { core, parameters } = context;
  const { ell, epsilon, m } = parameters;
  const square = N0.n * N0.n;

  check(NAME, repetitions.length === m, `m = ${m} repetitions`);
  await checkUnits(NAME, core, {
    name: 'N0',
    n: N0.n,
    squared: { K, D, ...indexed('A', repetitions, ({ A }) => A) },
    units: indexed('ν', repetitions, ({ nu }) => nu),
  });
  checkPoints(NAME, { X, S, "G'": base, ...indexed('B', repetitions, ({ B }) => B), ...indexed('C', repetitions, ({ C }) => C) });
  checkRange(NAME, indexed('z', repetitions, ({ z }) => z), 1n << BigInt(ell + epsilon - 1), '2^(ℓ+ε−1)'); // prettier-ignore
  checkRange(NAME, indexed('w', repetitions, ({ w }) => w), 1n << BigInt(plaintextBits(parameters, parties) + epsilon), '2^(Λ+ε)'); // prettier-ignore

  const e = challenge(statement, repetitions, context);
  const inverse = modInv(K, square); // K is a unit: one inversion instead of one for every positive z
  const products = await core.run(repetitions.map(({ z, nu }) => powerPublic(modN2(N0), [nu, N0.n], [z < 0n ? K : inverse, abs(z)])));
  for (const [j, { A, B, C, z, w }] of repetitions.entries()) {
    const one = e[j] === true;
    // enc_N0(w; ν)·K^(−z) ≡ A·D^e mod N0²
    const left = mod((1n + w * N0.n) * products[j]!, square);
    check(NAME, left === (one ? (A * D) % square : A), `enc_N0(w_${j}; ν_${j})·K^(−z_${j}) ≡ A_${j}·D^(e_${j}) mod N0²`);
    // z·G = C + e·X
    check(NAME, mulPublic(G, z).equals(one ? C.add(X) : C), `z_${j}·G = C_${j} + e_${j}·X`);
    // w·G' = B + e·S
    check(NAME, mulPublic(base, w).equals(one ? B.add(S) : B), `w_${j}·G' = B_${j} + e_${j}·S`);
  }
}

/** e ∈ {0,1}^m, a bit of its own for every repetition, over (n, N0, K, X, D, S, G', all A, B, C). */
export function challenge(
  { parties, N0, K, X, D, S, base }: Statement,
  commitments: readonly Commitment[],
  context: ProofContext,
): boolean[] {
  return beginChallenge(NAME, context)
    .u32(parties)
    .integers(N0.n, K)
    .point(X)
    .integer(D)
    .points(S, base)
    .list(commitments, (transcript, { A, B, C }) => transcript.integer(A).points(B, C))
    .challenge()
    .bits(context.parameters.m);
}

const indexed = <T>(name: string, repetitions: readonly Repetition[], pick: (repetition: Repetition) => T): Record<string, T> =>
  Object.fromEntries(repetitions.map((repetition, j) => [`${name}_${j}`, pick(repetition)]));
