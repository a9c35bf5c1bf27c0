/**
 * Π^aff-g: an affine operation on a peer's ciphertext, with both of its coefficients in range and tied to what others see.
 *
 * Knowledge of (x, y, ρ, ρ_y), x ∈ ±2^ℓ, y ∈ ±2^ℓ', with   D = C^x·enc_N0(y; ρ) mod N0²,   Y = enc_N1(y; ρ_y),   X = x·G.
 * N0 is the verifier's key, N1 the prover's.
 *
 * Why presigning needs it: D is what the verifier decrypts in the multiplicative-to-additive conversion. Out of range, x or y would wrap around N0
 * and whether signing then fails would leak the verifier's k; another x than that of X would spoil the signature without blame.
 *
 * Sign convention: presigning masks with −β, so its witness is y = −β in D and in Y alike, and this proof stays as printed.
 *
 * Source: CGGMP24 (eprint 2021/060, revision of October 2024), Π^aff-g; cggmp24.md §5.6. Set-up (N̂, s, t) of the verifier.
 */
import { integer, natural, struct, type Codec } from '../base/codec.ts';
import {
  commit,
  commitPublic,
  encrypt,
  encryptPublic,
  modN,
  modN2,
  power,
  powerPublic,
  type PaillierKey,
  type RingPedersenKey,
} from '../core/types.ts';
import { G, mul, mulPublic, point, q, type Point } from '../curve/secp256k1.ts';
import { checkBounds, checkPoints, checkRange, checkSizes, checkUnits, type UnitGroup } from './checks.ts';
import { beginChallenge, check, type ProofContext } from './context.ts';
import { abs, balances } from './integers.ts';
import { maskBits, modulusBits, type Parameters } from './parameters.ts';
import { maskOfCommitment, maskOfMask, maskOfWitness, plusMinusPower, unit } from './sampling.ts';

const NAME = 'aff-g';

/** (N̂, s, t) and N0 of the verifier, N1 of the prover; ciphertexts C, D under N0, Y under N1; point X. */
export interface Statement {
  readonly setup: RingPedersenKey;
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
/** Commitment (A, B_x, B_y, E, S, F, T); z1 … z4 signed, w ∈ Z*_N0, w_y ∈ Z*_N1. */
export interface Proof {
  readonly A: bigint;
  readonly Bx: Point;
  readonly By: bigint;
  readonly E: bigint;
  readonly S: bigint;
  readonly F: bigint;
  readonly T: bigint;
  readonly z1: bigint;
  readonly z2: bigint;
  readonly z3: bigint;
  readonly z4: bigint;
  readonly w: bigint;
  readonly wy: bigint;
}
export type Commitment = Pick<Proof, 'A' | 'Bx' | 'By' | 'E' | 'S' | 'F' | 'T'>;

/** About 5200 bytes. */
export const proof = (parameters: Parameters): Codec<Proof> => {
  const { ell, ellPrime, epsilon } = parameters;
  const bits = modulusBits(parameters).max;
  const mask = maskBits(parameters);
  return struct({
    A: natural(2 * bits),
    Bx: point,
    By: natural(2 * bits),
    E: natural(bits),
    S: natural(bits),
    F: natural(bits),
    T: natural(bits),
    z1: integer(ell + epsilon),
    z2: integer(ellPrime + epsilon),
    z3: integer(mask),
    z4: integer(mask),
    w: natural(bits),
    wy: natural(bits),
  });
};

export async function prove(statement: Statement, { x, y, rho, rhoY }: Witness, context: ProofContext): Promise<Proof> {
  const { setup, N0, N1, C } = statement;
  const { core, parameters, random } = context;
  const alpha = maskOfWitness(random, parameters);
  const beta = plusMinusPower(random, parameters.ellPrime + parameters.epsilon);
  const r = unit(random, N0.n);
  const rY = unit(random, N1.n);
  const gamma = maskOfMask(random, parameters, setup.n);
  const m = maskOfCommitment(random, parameters, setup.n);
  const delta = maskOfMask(random, parameters, setup.n);
  const mu = maskOfCommitment(random, parameters, setup.n);

  const [shifted, masked, By, E, S, F, T] = await core.run([
    power(modN2(N0), [C, alpha]),
    encrypt(N0, beta, r),
    encrypt(N1, beta, rY),
    commit(setup, alpha, gamma), // s^α·t^γ
    commit(setup, x, m), // s^x·t^m
    commit(setup, beta, delta), // s^β·t^δ
    commit(setup, y, mu), // s^y·t^μ
  ]);
  const A = (shifted * masked) % (N0.n * N0.n); // C^α·enc_N0(β; r)
  const Bx = mul(G, alpha);

  const e = challenge(statement, { A, Bx, By, E, S, F, T }, context);
  // e is public, and secret bases are treated alike on either path.
  const [w, wy] = await core.run([
    powerPublic(modN(N0), [r, 1n], [rho, e]), // r·ρ^e
    powerPublic(modN(N1), [rY, 1n], [rhoY, e]), // r_y·ρ_y^e
  ]);
  return { A, Bx, By, E, S, F, T, z1: alpha + e * x, z2: beta + e * y, z3: gamma + e * m, z4: delta + e * mu, w, wy };
}

/**
 * All checks but the gcds and the equations. @throws ProofRejected naming the one that fails. Returns what must be units besides: verification
 * of many proofs takes one gcd per modulus.
 */
export function checkForm(statement: Statement, proof: Proof, { parameters }: Pick<ProofContext, 'parameters'>): UnitGroup[] {
  const { setup, N0, N1, C, D, Y, X } = statement;
  const { A, Bx, By, E, S, F, T, z1, z2, z3, z4, w, wy } = proof;
  const { ell, ellPrime, epsilon } = parameters;
  const groups: UnitGroup[] = [
    { name: 'N0', n: N0.n, squared: { C, D, A }, units: { w } },
    { name: 'N1', n: N1.n, squared: { Y, B_y: By }, units: { w_y: wy } },
    { name: 'N̂', n: setup.n, units: { E, S, F, T } },
  ];
  checkSizes(NAME, maskBits(parameters), { z3, z4 });
  checkBounds(NAME, ...groups);
  checkPoints(NAME, { X, B_x: Bx });
  checkRange(NAME, { z1 }, 1n << BigInt(ell + epsilon - 1), '2^(ℓ+ε−1)');
  checkRange(NAME, { z2 }, 1n << BigInt(ellPrime + epsilon - 1), "2^(ℓ'+ε−1)");
  return groups;
}

/** Resolves when the proof holds. @throws ProofRejected naming the check that fails. */
export async function verify(statement: Statement, proof: Proof, context: ProofContext): Promise<void> {
  const { setup, N0, N1, C, D, Y, X } = statement;
  const { A, Bx, By, E, S, F, T, z1, z2, z3, z4, w, wy } = proof;
  const { core } = context;
  await checkUnits(NAME, core, ...checkForm(statement, proof, context));

  const e = challenge(statement, proof, context);
  const [shifted, masked, encrypted, powerOfY, committedX, powerOfS, committedY, powerOfT] = await core.run([
    powerPublic(modN2(N0), [C, z1], [D, -e]), // D is a unit: both powers on one side share their squarings; the verifier's factors spare the inversion
    encryptPublic(N0, z2, w),
    encryptPublic(N1, z2, wy),
    powerPublic(modN2(N1), [Y, abs(e)]),
    commitPublic(setup, z1, z3),
    powerPublic(modN(setup), [S, abs(e)]),
    commitPublic(setup, z2, z4),
    powerPublic(modN(setup), [T, abs(e)]),
  ]);
  // (1) C^z1·enc_N0(z2; w) ≡ A·D^e mod N0²
  check(NAME, (shifted * masked) % (N0.n * N0.n) === A, 'C^z1·enc_N0(z2; w) ≡ A·D^e mod N0²');
  // (2) z1·G = B_x + e·X
  check(NAME, mulPublic(G, z1).equals(Bx.add(mulPublic(X, e))), 'z1·G = B_x + e·X');
  // (3) enc_N1(z2; w_y) ≡ B_y·Y^e mod N1²
  check(NAME, balances(encrypted, By, powerOfY, e, N1.n * N1.n), 'enc_N1(z2; w_y) ≡ B_y·Y^e mod N1²');
  // (4) s^z1·t^z3 ≡ E·S^e mod N̂
  check(NAME, balances(committedX, E, powerOfS, e, setup.n), 's^z1·t^z3 ≡ E·S^e mod N̂');
  // (5) s^z2·t^z4 ≡ F·T^e mod N̂
  check(NAME, balances(committedY, F, powerOfT, e, setup.n), 's^z2·t^z4 ≡ F·T^e mod N̂');
}

/** e ∈ ±q over (N̂, s, t, N0, N1, C, D, Y, X, A, B_x, B_y, E, S, F, T). */
export function challenge({ setup, N0, N1, C, D, Y, X }: Statement, { A, Bx, By, E, S, F, T }: Commitment, context: ProofContext): bigint {
  return beginChallenge(NAME, context)
    .integers(setup.n, setup.s, setup.t, N0.n, N1.n, C, D, Y)
    .point(X)
    .integer(A)
    .point(Bx)
    .integers(By, E, S, F, T)
    .challenge()
    .plusMinus(q);
}
