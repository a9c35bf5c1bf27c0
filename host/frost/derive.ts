/**
 * Shares of Taproot keys below a key (BIP-32 and BIP-86). A stored share is of the tweaked key of the wallet's own output; children are derived
 * from the internal key, the one before the tweak, as every watch-only wallet derives them, and are then tweaked on their own. Each party turns its
 * own share; nothing is sent.
 */
import { invariant } from '../base/errors.ts';
import { Child } from '../curve/bip32.ts';
import { G, modQ, mulPublic } from '../curve/secp256k1.ts';
import { brokenRelation, type FrostShare } from './share.ts';
import { tweakKey, untweakKey } from './taproot.ts';

/**
 * The share of the output key at `path` below the key of `share`; the share itself for the empty path. It signs and verifies like any other; its
 * chain code is the child's. Not for storing: what is stored is the wallet's share.
 * @throws Refusal for a path without a key.
 */
export function deriveShare(share: FrostShare, path: readonly number[]): FrostShare {
  if (path.length === 0) return share;
  const { publicKey, chainCode, shift } = Child.of({ publicKey: share.internal, chainCode: share.chainCode }, path);
  const { s, Y } = untweakKey(share);
  const T = mulPublic(G, shift);
  // s_i + shift, Y_j + shift·G, P + shift·G: a constant added to every Shamir share is added to the secret. Then even Y and tweak (§10.3).
  const tweaked = tweakKey({ P: publicKey, Y: Y.map((Y_j) => Y_j.add(T)), s: modQ(s + shift) });
  const child: FrostShare = { ...share, ...tweaked, internal: publicKey, chainCode };
  const broken = brokenRelation(child);
  invariant(broken === undefined, `the share of a child is consistent: ${broken}`);
  return child;
}
