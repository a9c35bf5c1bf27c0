/**
 * Signing without a stock: presigning bound to the message, then the signing round (cggmp24.md §6.7). It works whenever t signers are there, for
 * any set of them; what it makes is used in the same breath and never stored.
 */
import { equalBytes } from '../base/bytes.ts';
import { struct } from '../base/codec.ts';
import { Fault, Refusal } from '../base/errors.ts';
import { scalar } from '../curve/secp256k1.ts';
import { broadcastRound } from '../protocol/rounds.ts';
import { presign, type PresignOptions } from './presign.ts';
import { signingSessionId } from './session.ts';
import type { Sighash } from './sighash.ts';
import { combine, partialSignature, type Signature } from './sign.ts';
import { blame } from './verify-each.ts';

/** σ_i. */
export const partialRound = broadcastRound('sign/partial', struct({ sigma: scalar }));

export interface InteractiveOptions extends PresignOptions {
  readonly message: Sighash;
  /** What the sid of `rounds` was made from, besides key, aux data and message: it is recomputed here. */
  readonly session: { readonly nonce: Uint8Array; readonly identities: readonly Uint8Array[] };
}

/**
 * @throws Refusal when the sid does not bind this message, Fault naming the culprits.
 */
export async function signInteractive({ message, session, ...options }: InteractiveOptions): Promise<Signature> {
  const { rounds, signers, key, aux, parameters, child } = options;
  // Signers with another message have another sid and never take part; the message was chosen before Γ could be known.
  const sid = signingSessionId({
    protocol: 'sign',
    signers,
    key,
    aux,
    parameters,
    ...session,
    message,
    ...(child !== undefined && { child }),
  });
  if (!equalBytes(sid, rounds.sid)) {
    throw new Refusal(
      'session',
      'sid',
      'the session is not bound to this message',
      'Open it under signingSessionId of the same inputs.',
      409,
    );
  }
  const presignature = await presign(options);
  const sigma = partialSignature(presignature, message);
  const received = await rounds.broadcast(partialRound, { sigma });
  const partials = new Map([[rounds.me, sigma], ...[...received].map(([j, partial]) => [j, partial.sigma] as const)]);
  try {
    return combine(presignature, message, partials);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // The same fault, with the signed share as evidence.
    throw blame(
      rounds,
      error.culprits.map((peer) => ({ peer, round: partialRound, check: 'partial', reason: error.reason })),
    );
  }
}
