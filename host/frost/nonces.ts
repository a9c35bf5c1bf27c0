/**
 * Nonces of FROST prepared before there is a message (RFC 9591 §5.1; cggmp24.md §10.4): with the commitments of all signers at hand, a signature takes
 * one round. Unlike a presignature, a pair (d, e) is its signer's own: it belongs to no set, and the message and the set enter by ρ when it is used.
 * Used for two messages or two sets it gives the share away, so whoever keeps prepared pairs uses each once (host/presign/nonces.ts).
 */
import type { Random } from '../base/random.ts';
import { hedged } from '../protocol/hedged.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { FrostShare } from './share.ts';
import { commit, type NonceCommitment, type SigningNonces } from './signing.ts';

/**
 * `count` fresh pairs. `context` is at least 16 bytes that no other call has, best from another machine: should the generator of this one repeat itself,
 * the pairs differ all the same.
 */
export function prepareNonces(share: FrostShare, random: Random, context: Uint8Array, count: number): SigningNonces[] {
  const source = hedged(random, share.s, context);
  return Array.from({ length: count }, () => commit(share, source));
}

/** 32 bytes that name a pair by what is public of it: key, epoch, signer, commitments. */
export const nonceId = ({ keyId, epoch, P }: Pick<FrostShare, 'keyId' | 'epoch' | 'P'>, { index, D, E }: NonceCommitment): Uint8Array =>
  new Transcript('frost-nonce/v1').text(keyId).u32(epoch).point(P).u32(index).points(D, E).digest();
