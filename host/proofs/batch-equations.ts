/**
 * The equations that a batch multiplies, by what they are equations of. Each function draws the weights itself, one for each equation, and says
 * under which condition its answer holds for every single one (cggmp24.md §9.4).
 *
 * All of it is public but the factors and the plaintexts of the verifier's own key, which take the constant-time paths of the core.
 */
import { invariant } from '../base/errors.ts';
import {
  commitPublic,
  decrypt,
  encryptPublic,
  MAX_TERMS,
  modN,
  modN2,
  powerPublic,
  type Core,
  type Modulus,
  type PaillierKey,
  type PaillierSecret,
  type RingPedersenSecret,
} from '../core/types.ts';
import { sumPublic, type Point } from '../curve/secp256k1.ts';
import { evenWeight, weight, type Verifier } from './batch.ts';
import { abs, mod } from './integers.ts';

type Terms = (readonly [base: bigint, exponent: bigint])[];

/** ∏ base^exponent mod n for any number of terms with non-negative exponents. */
async function product(core: Core, modulus: Modulus, n: bigint, terms: Terms): Promise<bigint> {
  const parts = Array.from({ length: Math.ceil(terms.length / MAX_TERMS) }, (_, i) => terms.slice(i * MAX_TERMS, (i + 1) * MAX_TERMS));
  const powers = await core.run(parts.map((part) => powerPublic(modulus, ...part)));
  return powers.reduce((total, power) => (total * power) % n, 1n % n);
}

/** right = ∏ M^δ·V^(eδ) over the e ≥ 0, left the V^(|e|δ) of the others: so nothing is inverted. */
const weighted = (equations: readonly { M: bigint; V: bigint; e: bigint; delta: bigint }[]): { left: Terms; right: Terms } => ({
  left: equations.flatMap(({ V, e, delta }) => (e < 0n ? [[V, abs(e) * delta] as const] : [])),
  right: equations.flatMap(({ M, V, e, delta }) => (e < 0n ? [[M, delta] as const] : [[M, delta] as const, [V, e * delta] as const])),
});

const total = <T>(items: readonly T[], of: (item: T) => bigint): bigint => items.reduce((all, item) => all + of(item), 0n);

/** enc(z; r) ≡ D·C^e mod N². */
export interface Encryption {
  readonly z: bigint;
  readonly r: bigint;
  readonly D: bigint;
  readonly C: bigint;
  readonly e: bigint;
}

/**
 * (h) (∏ r^δ mod N)^N·(1 + N·Σ δ·z) ≡ ∏ D^δ·C^(eδ) mod N²: one N-th power for all encryptions under one peer's key.
 *
 * Condition: N passed Π^mod and Π^fac. By gcd(N, φ(N)) = 1, Z*_{N²} is the direct product of ⟨1+N⟩, of order N, and the N-th residues. A wrong
 * plaintext relation leaves a component in ⟨1+N⟩ whose order has a prime factor above 2^128; for fixed other weights at most one δ makes the
 * product trivial there. All elements are units (checked before). What may pass is an N-th residue of small order, −1 always as δ is even: it changes r
 * only.
 */
export async function encryptionsHold(key: PaillierKey, equations: readonly Encryption[], { core, random }: Verifier): Promise<boolean> {
  const square = key.n * key.n;
  const drawn = equations.map((equation) => ({ ...equation, M: equation.D, V: equation.C, delta: evenWeight(random) }));
  const { left, right } = weighted(drawn);
  const nonces: Terms = drawn.map(({ r, delta }) => [r, delta]);
  const [nonce, moved, expected] = await Promise.all([
    product(core, modN(key), key.n, nonces),
    product(core, modN2(key), square, left),
    product(core, modN2(key), square, right),
  ]);
  const sum = mod(
    total(drawn, ({ z, delta }) => delta * z),
    key.n,
  );
  const [encrypted] = await core.run([encryptPublic(key, sum, nonce)]);
  return (encrypted * moved) % square === expected;
}

/** C^z1·enc(z2; w) ≡ A·D^e mod N², for some w, where C is an encryption of `plaintext`. */
export interface Affine {
  readonly plaintext: bigint;
  readonly z1: bigint;
  readonly z2: bigint;
  readonly A: bigint;
  readonly D: bigint;
  readonly e: bigint;
}

/**
 * (e, f) dec(∏ A^δ·D^(eδ)) ≡ Σ δ·(z1·k + z2) mod N with k the plaintext of C: one decryption for everything under the own key.
 *
 * Condition: the verifier knows k, as it made C itself; p, q > 2^128; A and D are units (checked before). "Some w exists" is what the equation says about
 * plaintexts; the w that was sent is not looked at, and stays in the signed message as evidence.
 */
export async function affineHold(key: PaillierSecret, equations: readonly Affine[], { core, random }: Verifier): Promise<boolean> {
  const square = key.n * key.n;
  const drawn = equations.map((equation) => ({ ...equation, M: equation.A, V: equation.D, delta: weight(random) }));
  const { left, right } = weighted(drawn);
  const [moved, combined] = await Promise.all([product(core, modN2(key), square, left), product(core, modN2(key), square, right)]);
  const [inverse] = await core.run([powerPublic(modN2(key), [moved, -1n])]);
  const [decrypted] = await core.run([decrypt(key, (combined * inverse) % square)]);
  const expected = total(drawn, ({ z1, z2, plaintext, delta }) => delta * (z1 * plaintext + z2));
  return mod(decrypted - expected, key.n) === 0n;
}

/** s^x·t^y ≡ M·V^e mod N̂. */
export interface Opening {
  readonly x: bigint;
  readonly y: bigint;
  readonly M: bigint;
  readonly V: bigint;
  readonly e: bigint;
}

/**
 * (h′) t^(Σ δ·(λ·x + y)) ≡ ∏ M^δ·V^(eδ) mod N̂, δ even: one power of t for all openings under the own set-up, by its trapdoor.
 *
 * Condition: N̂ is the verifier's own product of two *safe* primes, asserted when the key is loaded (`checkAuxInfo`). Then every element has an order
 * dividing 2·p'·q' with p', q' > 2^128: a wrong opening whose quotient is not of order 1 or 2 is caught but for one δ. Even weights let the
 * elements of order 2 pass always, T → −T for instance, which is the sign ambiguity that ring-Pedersen openings have anyway.
 */
export async function openingsHold(setup: RingPedersenSecret, equations: readonly Opening[], { core, random }: Verifier): Promise<boolean> {
  const drawn = equations.map((equation) => ({ ...equation, delta: evenWeight(random) }));
  const { left, right } = weighted(drawn);
  const x = total(drawn, (opening) => opening.delta * opening.x);
  const y = total(drawn, (opening) => opening.delta * opening.y);
  const [[committed], moved, expected] = await Promise.all([
    core.run([commitPublic(setup, x, y)]),
    product(core, modN(setup), setup.n, left),
    product(core, modN(setup), setup.n, right),
  ]);
  return (committed * moved) % setup.n === expected;
}

/** Σ k·P = O. */
export type Sum = readonly (readonly [P: Point, k: bigint])[];

/**
 * Σ δ·Σ k·P = O over all sums. Condition: none but that the group has prime order above 2^128. A point that stands in several sums (G, a prover's
 * Y or a common base) is multiplied once; a factor of −1 goes to the point, so that δ stays half as long as a scalar.
 */
export function sumsVanish(sums: readonly Sum[], { random }: Verifier): Promise<boolean> {
  const terms = new Map<Point, bigint>();
  for (const sum of sums) {
    const delta = weight(random);
    for (const [P, k] of sum) terms.set(P, (terms.get(P) ?? 0n) + delta * k);
  }
  return Promise.resolve(sumPublic([...terms].map(([P, k]) => (k < 0n ? [P.negate(), -k] : [P, k]))).is0());
}

/** Items by the modulus of their key, for one equation each. */
export function byModulus<T>(items: readonly T[], keyOf: (item: T) => PaillierKey): { key: PaillierKey; items: T[] }[] {
  const groups = new Map<bigint, { key: PaillierKey; items: T[] }>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key.n) ?? { key, items: [] };
    groups.set(key.n, group);
    group.items.push(item);
  }
  return [...groups.values()];
}

/** All items are under one key, which the verifier owns. */
export function common<K extends { readonly n: bigint }>(keys: readonly K[]): K {
  const [first] = keys;
  invariant(first !== undefined && keys.every(({ n }) => n === first.n), 'a batch has one verifier');
  return first;
}
