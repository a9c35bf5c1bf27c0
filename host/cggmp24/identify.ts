/**
 * The error rounds of presigning: when δ·G = Σ Δ_j or δ·PK = Σ S_j does not hold although every proof did, everybody proves that its own summand
 * follows from the ciphertexts that all have seen. Whoever cannot, or will not, gave the wrong one.
 *
 * For every i:   D_i = ∏_{j≠i} D_{i,j}·F_{j,i}^−1 mod N_i²,   π_i = Π^dec that K_i^x·D_i decrypts to its δ_i (or χ_i),
 * and for every j ≠ i:   π_{j,i} = Π^aff-g* that D_{j,i} and F_{j,i} are made with that x and one mask. For "delta" x is γ_i, for "chi" x_i.
 *
 * Source: CGGMP24 (eprint 2021/060, revision 2024-10-21), figure 9 and §4.3.1; cggmp24.md §6.8. The sign of F is that of §5.6: F = enc(−β).
 *
 * A proof has up to 342 kB, so each is a message of its own: in round o everybody proves what it made for the o-th party after it. All are echoed, and
 * with them all verify the same and name the same. Nothing secret is shown; the run is dead afterwards.
 *
 * The π_i are verified before any π_{j,i} is made: whoever cannot prove its summand is at fault whatever the products are, and everybody stops there.
 * Only colluders, one of whom takes what the other did not prove, come further; it costs ten times as much.
 */
import { modInv } from 'bigint-crypto-utils';
import { Fault } from '../base/errors.ts';
import { decrypt, modN2, nthRoot, power, type PaillierKey, type PaillierSecret } from '../core/types.ts';
import { G, mulPublic, sgn, type Point } from '../curve/secp256k1.ts';
import type { ProofContext } from '../proofs/context.ts';
import type { Parameters } from '../proofs/parameters.ts';
import * as affGStar from '../proofs/pi-aff-g-star.ts';
import * as dec from '../proofs/pi-dec.ts';
import { echoRound, type Rounds } from '../protocol/rounds.ts';
import type { Output, Products } from './presign-messages.ts';
import { verifyEach, type Check } from './verify-each.ts';

/** Which sum fails. The first decides: when δ is wrong the sum of S_j fails as well, and proves nothing. */
export type Sum = 'delta' | 'chi';

/** The mask −β (or −β̂) that one multiplication hides its product with, and the nonces it was encrypted with. Secret. */
export interface Mask {
  readonly beta: bigint;
  /** Nonce under the peer's key, of D. */
  readonly s: bigint;
  /** Nonce under the own key, of F. */
  readonly r: bigint;
}

/** What everybody knows of one element of a batch, by position: from echoed messages, so the same at all signers. */
export interface PublicElement {
  readonly parties: number;
  readonly paillier: (j: number) => PaillierKey;
  readonly K: (j: number) => bigint;
  readonly X: (j: number) => Point;
  readonly Gamma_: (j: number) => Point;
  /** Γ = Σ Γ_j. */
  readonly Gamma: () => Point;
  /** D_{j,i}, F_{j,i}, D̂_{j,i}, F̂_{j,i}: what `author` i made for `receiver` j. */
  readonly products: (author: number, receiver: number) => Products;
  readonly output: (j: number) => Pick<Output, 'delta' | 'S'>;
}

/** What the own proofs need. */
export interface Secrets {
  readonly paillier: PaillierSecret;
  /** γ_i for "delta", x_i for "chi". */
  readonly factor: bigint;
  /** By peer: of its D, F, or of its D̂, F̂. */
  readonly mask: (j: number) => Mask;
}

const others = (n: number, i: number): number[] => Array.from({ length: n }, (_, j) => j).filter((j) => j !== i);
const pairOf = (sum: Sum, { D, F, hatD, hatF }: Products) => (sum === 'delta' ? { D, F } : { D: hatD, F: hatF });
const pointOf = (sum: Sum, element: PublicElement, i: number): Point => (sum === 'delta' ? element.Gamma_(i) : element.X(i));

/** That of π_i: K_i^x·D_i = enc_i(y), X = x·G, S = y·G'. For "delta" S = δ_i·G over G, for "chi" S = S_i over Γ. */
export function decStatement(sum: Sum, element: PublicElement, i: number): dec.Statement {
  const N0 = element.paillier(i);
  const square = N0.n * N0.n;
  const peers = others(element.parties, i);
  // D_i = ∏ D_{i,j} · ∏ F_{j,i}^−1, with one inversion. All are units: presigning has checked them.
  const numerator = peers.reduce((total, j) => (total * pairOf(sum, element.products(j, i)).D) % square, 1n);
  const denominator = peers.reduce((total, j) => (total * pairOf(sum, element.products(i, j)).F) % square, 1n);
  const { delta, S } = element.output(i);
  return {
    parties: element.parties,
    N0,
    K: element.K(i),
    X: pointOf(sum, element, i),
    D: (numerator * modInv(denominator, square)) % square,
    ...(sum === 'delta' ? { S: mulPublic(G, delta), base: G } : { S, base: element.Gamma() }),
  };
}

/** That of π_{j,i}: the statement of Π^aff-g, for everybody. */
export function affineStatement(sum: Sum, element: PublicElement, author: number, receiver: number): affGStar.Statement {
  const { D, F } = pairOf(sum, element.products(author, receiver));
  return {
    N0: element.paillier(receiver),
    N1: element.paillier(author),
    C: element.K(receiver),
    D,
    Y: F,
    X: pointOf(sum, element, author),
  };
}

export const LABELS = {
  delta: { dec: 'dec-delta', affine: 'affstar-gamma' },
  chi: { dec: 'dec-chi', affine: 'affstar-x' },
} as const;

/** How the names of the rounds begin. */
export const ERROR_ROUNDS = 'identify/';
/** The messages of the error round about one sum of element k, among t signers. `affine(o)` is about the o-th party after the author. */
export const identifyRounds = (parameters: Parameters, t: number, k: number, sum: Sum) => ({
  dec: echoRound(`${ERROR_ROUNDS}${k}/${sum}/dec`, dec.proof(parameters, t)),
  affine: (offset: number) => echoRound(`${ERROR_ROUNDS}${k}/${sum}/affine/${offset}`, affGStar.proof(parameters)),
});
export const receiverAt = (author: number, offset: number, t: number): number => (author + offset) % t;

export interface IdentifyOptions {
  readonly rounds: Rounds;
  readonly parameters: Parameters;
  /** Position in the batch. */
  readonly index: number;
  readonly sum: Sum;
  /** The context of a proof about this element. */
  readonly context: (label: string, prover: number, index?: number) => ProofContext;
  readonly element: PublicElement;
  readonly secrets: Secrets;
}

/**
 * Runs one error round.
 * @returns a fault that names nobody, when all proofs hold: with rounds 2 and 3 echoed that cannot be, but for a broken signature or hash
 * @throws Fault naming whoever sent an invalid proof, or none
 */
export async function identify({ rounds, parameters, index, sum, context, element, secrets }: IdentifyOptions): Promise<Fault> {
  const { me, n: t } = rounds;
  const messages = identifyRounds(parameters, t, index, sum);
  const labels = LABELS[sum];
  const offsets = Array.from({ length: t - 1 }, (_, o) => o + 1);

  const own = await dec.prove(decStatement(sum, element, me), await openedSum(), context(labels.dec, me));
  const decProofs = await rounds.echo(messages.dec, own);
  await verifyEach(rounds, {
    [labels.dec]: {
      round: messages.dec,
      verify: (j) => dec.verify(decStatement(sum, element, j), decProofs.get(j)!, context(labels.dec, j)),
    },
  });
  const affineProofs: ReadonlyMap<number, affGStar.Proof>[] = [];
  for (const offset of offsets) {
    const receiver = receiverAt(me, offset, t);
    const { beta, s, r } = secrets.mask(receiver);
    const proof = await affGStar.prove(
      affineStatement(sum, element, me, receiver),
      { x: sgn(secrets.factor), y: -beta, rho: s, rhoY: r },
      context(labels.affine, me, receiver),
    );
    affineProofs.push(await rounds.echo(messages.affine(offset), proof));
  }

  // Everybody verifies everything, what was made for others too.
  const checks: Record<string, Check> = {};
  for (const [o, offset] of offsets.entries()) {
    checks[`${labels.affine}/${offset}`] = {
      round: messages.affine(offset),
      verify: (j) => {
        const receiver = receiverAt(j, offset, t);
        return affGStar.verify(affineStatement(sum, element, j, receiver), affineProofs[o]!.get(j)!, context(labels.affine, j, receiver));
      },
    };
  }
  await verifyEach(rounds, checks);
  const detail = `all proofs of the error round "${sum}" hold, and the sum does not`;
  return new Fault([], detail, { round: messages.dec.name, detail });

  /** y and ρ of K_i^x·D_i = enc_i(y; ρ); y as an integer, not modulo q. */
  async function openedSum(): Promise<dec.Witness> {
    const { core } = context(labels.dec, me);
    const { K, D, N0 } = decStatement(sum, element, me);
    const { paillier: key } = secrets;
    const x = sgn(secrets.factor);
    const square = N0.n * N0.n;
    const [shifted] = await core.run([power(modN2(key), [K, x])]);
    const Y = (shifted * D) % square;
    // ρ = (Y mod N)^(N^−1 mod φ) mod N
    const [y, rho] = await core.run([decrypt(key, Y), nthRoot(key, Y % key.n)]);
    return { x, y, rho };
  }
}
