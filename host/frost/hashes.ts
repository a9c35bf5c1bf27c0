/** The hashes of the suite FROST-secp256k1-SHA256-TR-v1 that signing does not already have in @noble/curves (cggmp24.md §10.1, RFC 9591 §6.5). */
import { schnorr, secp256k1_hasher } from '@noble/curves/secp256k1.js';
import { utf8 } from '../base/bytes.ts';

const SUITE = 'FROST-secp256k1-SHA256-TR-v1';

/** HDKG(m): expand_message_xmd with 48 bytes, reduced mod q (RFC 9380 hash_to_field); the challenge of the proof of possession. */
export const hashToDkgChallenge = (message: Uint8Array): bigint => secp256k1_hasher.hashToScalar(message, { DST: utf8(`${SUITE}dkg`) });

/** SHA256(SHA256(tag) ‖ SHA256(tag) ‖ m), BIP-340. 32 bytes. */
export const taggedHash = (tag: 'TapTweak' | 'TapSighash', ...parts: readonly Uint8Array[]): Uint8Array =>
  schnorr.utils.taggedHash(tag, ...parts);
