/**
 * The two sums that end presigning, δ·G = Σ Δ_j and δ·PK = Σ S_j, and all that is known of an element of the batch when one of them fails.
 *
 * All individual proofs hold by then, so a failing sum means that somebody's δ_j or S_j is not what its ciphertexts say. Only the error rounds of
 * cggmp24.md §6.8 can tell whose: {@link sumFailed} is the one door to them. The run is dead either way.
 */
import { Fault } from '../base/errors.ts';
import { G, modQ, mulPublic, sum, type Point } from '../curve/secp256k1.ts';
import type { ProofContext } from '../proofs/context.ts';
import type { Rounds } from '../protocol/rounds.ts';
import type { Output, Products } from './presign-messages.ts';

/** The mask −β (or −β̂) that one multiplication hides its product with, and the nonces it was encrypted with. Secret. */
export interface Mask {
  readonly beta: bigint;
  /** Nonce under the peer's key, of D. */
  readonly s: bigint;
  /** Nonce under the own key, of F. */
  readonly r: bigint;
}

/**
 * One element of a batch as this party sees it at the end. The public half is the same at all signers: it comes from echoed messages. The secret half
 * serves the own proofs of an error round, and becomes unreachable when the run ends.
 */
export interface Element {
  /** Position in the batch. */
  readonly index: number;
  /** The element's own sid: proofs about it are bound to this one, not to that of the run. */
  readonly sid: Uint8Array;
  /** The context of a proof about this element. */
  readonly context: (label: string, prover: number, verifier?: number) => ProofContext;
  readonly public: {
    readonly publicKey: Point;
    /** K_j and X_j by position. */
    readonly K: readonly bigint[];
    readonly X: readonly Point[];
    /** Γ_j by position, and their sum. */
    readonly Gammas: readonly Point[];
    readonly Gamma: Point;
    /** D_{j,i}, F_{j,i}, D̂_{j,i}, F̂_{j,i}: what `author` i made for `receiver` j. */
    readonly products: (author: number, receiver: number) => Products;
    /** δ_j, S_j, Δ_j by position. */
    readonly outputs: readonly Pick<Output, 'delta' | 'S' | 'Delta'>[];
  };
  readonly secret: {
    readonly k: bigint;
    readonly gamma: bigint;
    readonly x: bigint;
    readonly chi: bigint;
    /** By peer: of D, F (with γ) and of D̂, F̂ (with x). */
    readonly masks: ReadonlyMap<number, { readonly byGamma: Mask; readonly byX: Mask }>;
  };
}

/** Which sum fails. The first decides: when δ is wrong the sum of S_j fails as well, and proves nothing. */
export type Sum = 'delta' | 'chi';

export const totalDelta = ({ public: { outputs } }: Element): bigint => modQ(outputs.reduce((total, { delta }) => total + delta, 0n));

/** Everything compared here was echoed, so all honest signers find the same sum of the same element. */
export function failingSum(element: Element): Sum | undefined {
  const { outputs, publicKey } = element.public;
  const delta = totalDelta(element);
  // δ·G = Σ Δ_j
  if (!mulPublic(G, delta).equals(sum(outputs.map(({ Delta }) => Delta)))) return 'delta';
  // δ·PK = Σ S_j
  if (!mulPublic(publicKey, delta).equals(sum(outputs.map(({ S }) => S)))) return 'chi';
  return undefined;
}

const EQUATIONS: Readonly<Record<Sum, string>> = { delta: 'δ·G = Σ Δ_j', chi: 'δ·PK = Σ S_j' };

/** What follows a failing sum; ends with a fault in any case. `round` is the name of the round of the summands. */
export function sumFailed(_rounds: Rounds, _element: Element, failing: Sum, round: string): Promise<Fault> {
  const equation = EQUATIONS[failing];
  return Promise.resolve(new Fault([], `${equation} does not hold: a signer gave a wrong value in ${round}`, { round, detail: equation }));
}
