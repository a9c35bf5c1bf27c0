/** ECDSA verifiers that this project did not write. */
import { createPublicKey, verify } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bigintToBytes, concatBytes } from '../../base/bytes.ts';
import type { Point } from '../../curve/secp256k1.ts';
import { sha256 } from '../../protocol/transcript.ts';
import type { Signature } from '../sign.ts';

/** SubjectPublicKeyInfo of an uncompressed secp256k1 point, up to the point. */
const SPKI = Buffer.from('3056301006072a8648ce3d020106052b8104000a034200', 'hex');

/** OpenSSL: SPKI key, DER signature; it computes the second SHA-256 of the double hash itself. */
export function opensslAccepts(publicKey: Point, preimage: Uint8Array, { r, s }: Signature): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey.toBytes(false)]), format: 'der', type: 'spki' });
  return verify('sha256', sha256(preimage), { key, dsaEncoding: 'der' }, new secp256k1.Signature(r, s).toBytes('der'));
}

/** noble-curves, also that the recovery id leads back to the key. */
export function nobleAccepts(publicKey: Point, preimage: Uint8Array, { r, s, recovery }: Signature): boolean {
  const digest = sha256(sha256(preimage));
  const compact = concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32));
  const recovered = new secp256k1.Signature(r, s, recovery).recoverPublicKey(digest);
  return recovered.equals(publicKey) && secp256k1.verify(compact, digest, publicKey.toBytes(true), { prehash: false, lowS: true });
}
