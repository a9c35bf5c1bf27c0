/**
 * FROST for BIP-340 and Taproot (RFC 9591 with the suite FROST-secp256k1-SHA256-TR-v1) for programs that embed it. A message to sign is the
 * signature message of BIP-341, which is checked and hashed here; nothing takes a digest.
 */
import type { Random } from '../base/random.ts';
import { sessionId, sharesHash } from '../cggmp24/session.ts';
import type { FrostShare } from '../frost/share.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { sign as signHash } from '../frost/sign.ts';
import { productionParameters as parameters } from '../proofs/parameters.ts';
import type { Rounds } from '../protocol/rounds.ts';

export { keygen } from '../frost/keygen.ts';
export { deriveShare } from '../frost/derive.ts';
export { frostShare as shareCodec, internalKey, outputKey, type FrostPublicKey, type FrostShare } from '../frost/share.ts';

export interface SignOptions {
  /** A run of the signers alone, in ascending order of their indices. */
  readonly rounds: Rounds;
  /** t to n ascending party indices of the key, the same at all signers. */
  readonly signers: readonly number[];
  readonly share: FrostShare;
  /** 0x00 and SigMsg(hash_type, 0) of BIP-341 for a key-path spend, as this party derived it from the transaction. */
  readonly preimage: Uint8Array;
  readonly random: Random;
}

/**
 * The 64-byte BIP-340 signature of TapSighash(preimage) under the output key of the share.
 * @throws Refusal for a preimage that is none, or signers that do not fit; Fault naming all whose shares are wrong.
 */
export const sign = async ({ preimage, ...options }: SignOptions): Promise<Uint8Array> =>
  signHash({ ...options, message: taprootSighash(preimage) });

export interface SigningSession {
  readonly share: FrostShare;
  readonly signers: readonly number[];
  /** At least 16 bytes that no other run of this group uses. */
  readonly nonce: Uint8Array;
  /** Identity keys of the signers, in the order of the signer set. */
  readonly identities: readonly Uint8Array[];
}

/** The sid of a run of signing: key, epoch, public shares and signers are bound by it. */
export const signingSessionId = ({ share, signers, nonce, identities }: SigningSession): Uint8Array => {
  const { t, n, keyId, epoch, P, Y } = share;
  const shares = sharesHash(signers, Y);
  return sessionId({ protocol: 'frost-sign', parameters, nonce, identities, t, n, keyId, epoch, publicKey: P, shares });
};
