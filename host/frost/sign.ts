/**
 * FROST signing among a set of signers, each of which aggregates and verifies by itself (cggmp24.md §10.4–10.6).
 *
 * | round | message | delivery |
 * | --- | --- | --- |
 * | commit | D_i, E_i | broadcast |
 * | share | z_i, and a digest of what it was made for | broadcast |
 *
 * The commitments are not echoed before shares are sent: a share signs exactly one (message, list of commitments), so showing different lists
 * or messages to different signers yields shares that do not fit together and no signature. But then honest shares look wrong to those with
 * the other view, so every share names its view, and nobody is blamed for a share that was made for another one. Signers whose views differ show each
 * other the signatures of the commitments that they saw: whoever signed two is named. Where there are no two, the messages were different, or a share
 * names a view that is nobody's; which of them cannot be told, and nobody is named.
 */
import { equalBytes } from '../base/bytes.ts';
import { bytes, encode, struct } from '../base/codec.ts';
import { invariant, joint, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { point, scalar } from '../curve/secp256k1.ts';
import { hedged } from '../protocol/hedged.ts';
import { broadcastRound, type Rounds } from '../protocol/rounds.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { FrostShare } from './share.ts';
import type { TaprootSighash } from './sighash.ts';
import { aggregate, checkSigners, commit, nonceCommitment, signShare, type NonceCommitment } from './signing.ts';

export const nonceRound = broadcastRound('frost-sign/commit', struct({ D: point, E: point }));
export const signatureShareRound = broadcastRound('frost-sign/share', struct({ z: scalar, view: bytes(32) }));

/** What a signature share was made for: session, key, message, and the commitments of all signers. */
export const viewOf = (
  sid: Uint8Array,
  key: Pick<FrostShare, 'keyId' | 'epoch' | 'P'>,
  message: TaprootSighash,
  commitments: readonly NonceCommitment[],
): Uint8Array =>
  new Transcript('frost-sign/view/v1')
    .bytes(sid)
    .text(key.keyId)
    .u32(key.epoch)
    .point(key.P)
    .bytes(message)
    .list(commitments, (t, c) => t.bytes(encode(nonceCommitment, c)))
    .digest();

/**
 * Signs `message` with the parties `signers` (ascending party indices of the key; the position in the list is the index in `rounds`).
 * Resolves with the 64-byte BIP-340 signature under the output key. The nonces are fresh, used once, and erased however the run ends; after a
 * fault, sign again without the culprits in a new session.
 *
 * @throws Refusal when `signers` do not fit the key, the run, or this party.
 * @throws Fault naming all whose shares are wrong, or who sent different commitments; without culprits when a signer worked on another message.
 */
export async function sign(options: {
  rounds: Rounds;
  signers: readonly number[];
  share: FrostShare;
  message: TaprootSighash;
  random: Random;
}): Promise<Uint8Array> {
  const { rounds, signers, share, message, random } = options;
  checkSigners(share, signers);
  if (rounds.n !== signers.length || signers[rounds.me] !== share.index) {
    throw new Refusal(
      'signers_mismatch',
      'signers',
      'the signers are not the parties of this run',
      'open the session with exactly these signers, in this order',
    );
  }

  // d = H3(random ‖ s) alone repeats with the generator, and a pair (d, e) that signs three times gives s away.
  const nonces = commit(share, hedged(random, share.s, rounds.sid, message));
  try {
    const { D, E } = nonces.commitment;
    const theirs = await rounds.broadcast(nonceRound, { D, E });
    const commitments = signers.map((index, a) => ({ index, ...(a === rounds.me ? { D, E } : theirs.get(a)!) }));

    const view = viewOf(rounds.sid, share, message, commitments);
    const z = signShare(share, nonces, commitments, message);
    const answers = await rounds.broadcast(signatureShareRound, { z, view });
    const others = [...answers].filter(([, answer]) => !equalBytes(answer.view, view)).map(([a]) => a);
    if (others.length > 0) throw await rounds.differ(nonceRound, others, `parties ${rounds.me} and ${others.join(', ')} signed different messages or commitments`); // prettier-ignore

    const shares = new Map(signers.map((index, a) => [index, a === rounds.me ? z : answers.get(a)!.z]));
    const result = aggregate(share, commitments, message, shares);
    if (result.cheaters === undefined) return result.signature;
    invariant(!result.cheaters.includes(share.index), 'our own signature share does not verify');
    const culprits = result.cheaters.map((index) => signers.indexOf(index));
    throw joint(culprits.map((a) => rounds.fault(a, signatureShareRound, 'wrong signature share', 'signature-share')));
  } finally {
    nonces.erase();
  }
}
