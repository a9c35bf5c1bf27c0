/**
 * ECDSA verification as Bitcoin relays it, over signatures as numbers: what a signature of ours must pass before it leaves. The code is that of
 * @noble/curves; nothing of the threshold protocols takes part, so a mistake in them cannot make its own result look right.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bigintToBytes, concatBytes } from '../base/bytes.ts';
import { q, type Point } from './secp256k1.ts';

/** Whether (r, s) signs the 32-byte `digest` under `publicKey` and is the one of (r, s), (r, q − s) that Bitcoin relays: s ≤ (q − 1)/2. */
export function ecdsaHolds(publicKey: Point, digest: Uint8Array, { r, s }: { readonly r: bigint; readonly s: bigint }): boolean {
  if (r <= 0n || r >= q || s <= 0n || s > (q - 1n) / 2n) return false;
  const compact = concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32));
  return secp256k1.verify(compact, digest, publicKey.toBytes(true), { prehash: false, lowS: true });
}
