/**
 * A key as resharing sees it: the same maths serves ECDSA shares (x_i, X_i, PK) and FROST shares (s_i, Y_i, P). FROST values are taken as they
 * are stored: tweaked, and with the sign that P came out with (cggmp24.md §6.10, 10.3).
 */
import { Refusal } from '../base/errors.ts';
import { keyShareProblem, type KeyShare } from '../cggmp24/key-share.ts';
import type { Point } from '../curve/secp256k1.ts';
import { brokenRelation, type FrostShare } from '../frost/share.ts';

export const SCHEMES = ['cggmp24', 'frost'] as const;
export type Scheme = (typeof SCHEMES)[number];

export interface SharedKey {
  readonly scheme: Scheme;
  readonly keyId: string;
  readonly epoch: number;
  readonly index: number;
  readonly t: number;
  readonly n: number;
  /** x_i or s_i, secret. */
  readonly x: bigint;
  /** X_j = x_j·G of every member. */
  readonly X: readonly Point[];
  /** PK, or the tweaked P with its stored sign. */
  readonly publicKey: Point;
  readonly chainCode: Uint8Array;
  /** FROST: the key before the tweak. */
  readonly internal?: Point;
}

export const ofEcdsa = ({ keyId, epoch, index, t, n, x, X, publicKey, chainCode }: KeyShare): SharedKey => ({
  scheme: 'cggmp24', keyId, epoch, index, t, n, x, X, publicKey, chainCode,
}); // prettier-ignore

export const ofFrost = ({ keyId, epoch, index, t, n, s, Y, P, internal, chainCode }: FrostShare): SharedKey => ({
  scheme: 'frost', keyId, epoch, index, t, n, x: s, X: Y, publicKey: P, chainCode, internal,
}); // prettier-ignore

/** The ECDSA share of a run; `rid` is the joint randomness of that run. @throws Refusal when its fields do not belong together. */
export function toEcdsa({ keyId, epoch, index, t, n, x, X, publicKey, chainCode }: SharedKey, rid: Uint8Array): KeyShare {
  const share: KeyShare = { version: 1, keyId, epoch, index, t, n, x, X, publicKey, chainCode, rid };
  return consistent(share, keyShareProblem(share));
}

/** @throws Refusal when its fields do not belong together. */
export function toFrost({ keyId, epoch, index, t, n, x, X, publicKey, chainCode, internal }: SharedKey): FrostShare {
  if (internal === undefined) throw new Refusal('share', 'internal', 'a FROST key without its internal key', 'convert FROST keys only');
  const share: FrostShare = { version: 1, keyId, epoch, index, t, n, s: x, Y: X, P: publicKey, internal, chainCode };
  return consistent(share, brokenRelation(share));
}

function consistent<T>(share: T, problem: string | undefined): T {
  if (problem === undefined) return share;
  throw new Refusal('share', 'share', `the share is not consistent: ${problem}`, 'restore it from a backup, or let it be dealt anew', 409);
}
