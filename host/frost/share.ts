/** What a party keeps of a FROST key, and its form on disk (inside the vault: `s` is secret). */
import { bytes, DecodeError, list, map, struct, text, u32, versioned, type Codec } from '../base/codec.ts';
import { interpolatePoint } from '../curve/polynomial.ts';
import { G, mul, point, scalar, type Point } from '../curve/secp256k1.ts';
import { tweakPoint, xOnly } from './taproot.ts';

/** The part of a key that everybody knows. */
export interface FrostPublicKey {
  /** Number of signers needed, 2 ≤ t ≤ n. */
  readonly t: number;
  /** Number of parties. */
  readonly n: number;
  /** The key of the Taproot output, tweaked, with the sign it came out with: x(P) is on the chain, signing takes the even one. */
  readonly P: Point;
  /** The key before the tweak (even or odd): the internal key of BIP-341, which PSBTs name and derivation starts from. */
  readonly internal: Point;
  /** Public shares Y_j = s_j·G by party index, of the tweaked key. */
  readonly Y: readonly Point[];
}

export interface FrostShare extends FrostPublicKey {
  readonly version: 1;
  /** The wallet's name of the key, at most 64 bytes of UTF-8. */
  readonly keyId: string;
  /** Generation of the shares of this key: 0 after key generation. */
  readonly epoch: number;
  /** Own party index, 0 … n − 1; the Shamir point is index + 1. */
  readonly index: number;
  /** Own secret share of the tweaked key, in [1, q). */
  readonly s: bigint;
  /** 32 bytes that all parties contributed to: the BIP-32 chain code. */
  readonly chainCode: Uint8Array;
}

/** Bound on n, far above what a wallet uses. */
export const MAX_PARTIES = 64;
export const MAX_KEY_ID_BYTES = 64;

/** The relations between the fields of a share; undefined when all hold, otherwise the one that does not. */
export function brokenRelation(share: Omit<FrostShare, 'version'>): string | undefined {
  const { t, n, index, Y, s, P, internal } = share;
  if (n > MAX_PARTIES || t < 2 || t > n) return `threshold ${t} of ${n} is not between 2 and n`;
  if (Y.length !== n) return `${Y.length} public shares for ${n} parties`;
  if (index >= n) return `index ${index} is not below ${n}`;
  // s_i·G = Y_i, and not zero
  if (s === 0n || !mul(G, s).equals(Y[index]!)) return 'the secret share does not belong to the public share';
  // Σ λ_j·Y_j = P over every window of t neighbours. Two such windows share t − 1 points and P, hence their polynomial: all Y_j lie on one.
  for (let from = 0; from + t <= n; from++) {
    if (!interpolatePoint(new Map(Y.slice(from, from + t).map((Y_j, k) => [from + k, Y_j]))).equals(P))
      return 'the public shares do not add up to the key';
  }
  // P = even(internal) + H_TapTweak(x(internal))·G
  if (!tweakPoint(internal).equals(P)) return 'the key is not the tweaked internal key';
  return undefined;
}

/** Version 1. Decoding checks every relation between the fields, so a share that decodes can sign. */
export const frostShare: Codec<FrostShare> = map(
  versioned(
    1,
    struct({
      keyId: text(MAX_KEY_ID_BYTES),
      epoch: u32,
      index: u32,
      t: u32,
      n: u32,
      s: scalar,
      Y: list(point, { max: MAX_PARTIES }),
      P: point,
      internal: point,
      chainCode: bytes(32),
    }),
  ),
  (fields) => {
    const broken = brokenRelation(fields);
    if (broken !== undefined) throw new DecodeError('', broken);
    return { version: 1, ...fields };
  },
  (share) => ({ ...share, Y: [...share.Y] }),
);

/** The 32-byte x-only key that the P2TR address encodes. */
export const outputKey = (key: Pick<FrostPublicKey, 'P'>): Uint8Array => xOnly(key.P);
/** The 32-byte x-only internal key, as PSBTs carry it (BIP-371). */
export const internalKey = (key: Pick<FrostPublicKey, 'internal'>): Uint8Array => xOnly(key.internal);
