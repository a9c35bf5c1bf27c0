/**
 * The two sums that end presigning, δ·G = Σ Δ_j and δ·PK = Σ S_j, and all that is known of an element of the batch when one of them fails.
 *
 * All individual proofs hold by then, so a failing sum means that somebody's δ_j or S_j is not what its ciphertexts say. Only the error rounds of
 * cggmp24.md §6.8 can tell whose (identify.ts): {@link sumFailed} is the one door to them. The run is dead either way.
 */
import type { Fault } from '../base/errors.ts';
import { G, modQ, mulPublic, sum, type Point } from '../curve/secp256k1.ts';
import type { PaillierPublic, PaillierSecret } from '../core/types.ts';
import type { ProofContext } from '../proofs/context.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { identify, type Mask, type Sum } from './identify.ts';
import type { Output, Products } from './presign-messages.ts';

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
    /** N_j by position. */
    readonly paillier: readonly PaillierPublic[];
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
    readonly paillier: PaillierSecret;
    readonly k: bigint;
    readonly gamma: bigint;
    readonly x: bigint;
    readonly chi: bigint;
    /** By peer: of D, F (with γ) and of D̂, F̂ (with x). */
    readonly masks: ReadonlyMap<number, { readonly byGamma: Mask; readonly byX: Mask }>;
  };
}

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

/**
 * What follows a failing sum: the error round of it.
 * @throws Fault naming whose summand was wrong
 */
export function sumFailed(rounds: Rounds, element: Element, failing: Sum): Promise<Fault> {
  const { index, secret } = element;
  rounds.tracer.work(`error round for ${EQUATIONS[failing]}`, 0, 1);
  return identify({
    rounds,
    parameters: element.context('', rounds.me).parameters,
    index,
    sum: failing,
    context: (label, prover, receiver) => ({
      ...element.context(label, prover),
      ...(receiver !== undefined && { index: receiver }),
    }),
    element: {
      parties: rounds.n,
      paillier: (j) => (j === rounds.me ? secret.paillier : element.public.paillier[j]!),
      K: (j) => element.public.K[j]!,
      X: (j) => element.public.X[j]!,
      Gamma_: (j) => element.public.Gammas[j]!,
      Gamma: () => element.public.Gamma,
      products: element.public.products,
      output: (j) => element.public.outputs[j]!,
    },
    secrets: {
      paillier: secret.paillier,
      factor: failing === 'delta' ? secret.gamma : secret.x,
      mask: (j) => secret.masks.get(j)![failing === 'delta' ? 'byGamma' : 'byX'],
    },
  });
}
