import type { Random } from '../base/random.ts';
import type { Core } from '../core/types.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { Parameters } from './parameters.ts';

/** What a proof is bound to besides its statement (§2.3), and where its randomness and arithmetic come from. */
export interface ProofContext {
  readonly sid: Uint8Array;
  /** Index of the prover in the participant list of this run. */
  readonly prover: number;
  /** Index of the verifier, for proofs made to one verifier. */
  readonly verifier?: number;
  /** Distinguishes the uses of one proof in a run: `enc-K`, `aff-gamma`, `elog-Delta` … */
  readonly label: string;
  /** Joint randomness that later rounds bind to (ρ of aux info, rid of key generation); empty otherwise. */
  readonly rid?: Uint8Array;
  /** Index of the statement where one party proves several of a kind. */
  readonly index?: number;
  readonly parameters: Parameters;
  readonly random: Random;
  readonly core: Core;
}

/** The part of a context that a challenge binds. A proof without ranges and repetitions (Π^sch) has no parameters: they are hashed as zeros. */
export type ChallengeContext = Omit<ProofContext, 'random' | 'core' | 'parameters'> & { readonly parameters?: Parameters };

/** The transcript of a challenge up to the point where set-up, statement and commitment follow. */
export function beginChallenge(proof: string, context: ChallengeContext): Transcript {
  const { ell, ellPrime, epsilon, m } = context.parameters ?? { ell: 0, ellPrime: 0, epsilon: 0, m: 0 };
  const transcript = new Transcript(`cggmp24/v1/${proof}`).bytes(context.sid).u32(context.prover);
  transcript.list(context.verifier === undefined ? [] : [context.verifier], (t, j) => t.u32(j));
  transcript.text(context.label).list(context.index === undefined ? [] : [context.index], (t, k) => t.u32(k));
  return transcript
    .bytes(context.rid ?? new Uint8Array())
    .u32(ell)
    .u32(ellPrime)
    .u32(epsilon)
    .u32(m);
}

/** A proof failed one of its checks. The protocol turns it into a fault of the prover, with the signed message as evidence. */
export class ProofRejected extends Error {
  override readonly name = 'ProofRejected';
  constructor(
    readonly proof: string,
    readonly check: string,
  ) {
    super(`Π^${proof}: ${check} does not hold`);
  }
}

/** Throws {@link ProofRejected} unless `holds`. `check` is the equation or condition in paper notation. */
export function check(proof: string, holds: boolean, check: string): void {
  if (!holds) throw new ProofRejected(proof, check);
}
