/** The last look at a signature before its transaction leaves: standard verifiers over the encodings that stand in the witness. */
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';

/** Whether `der` (without the sighash type) is a strictly encoded ECDSA signature with the lower s, of the 32-byte digest, by the key. */
export const ecdsaHolds = (der: Uint8Array, digest: Uint8Array, publicKey: Uint8Array): boolean =>
  secp256k1.verify(der, digest, publicKey, { prehash: false, lowS: true, format: 'der' });

/** Whether `signature` has 64 bytes and is a BIP-340 signature of `digest` by the 32-byte x-only key. */
export const schnorrHolds = (signature: Uint8Array, digest: Uint8Array, publicKey: Uint8Array): boolean =>
  signature.length === 64 && schnorr.verify(signature, digest, publicKey);
