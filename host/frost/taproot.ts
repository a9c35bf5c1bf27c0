/**
 * Even Y and the BIP-341 tweak on shared keys (cggmp24.md §10.3). A constant added to every Shamir share is added to the shared secret, so each
 * party turns its own share and everybody's public shares alone, without a message.
 */
import { Defect } from '../base/errors.ts';
import { bytesToBigint } from '../base/bytes.ts';
import { G, modQ, mulPublic, q, type Point } from '../curve/secp256k1.ts';
import { taggedHash } from './hashes.ts';

/** x(P), 32 bytes big endian: what BIP-340 calls the public key. */
export const xOnly = (P: Point): Uint8Array => P.toBytes(true).slice(1);

export const hasEvenY = (P: Point): boolean => P.toBytes(true)[0] === 0x02;

/**
 * t = int(H_TapTweak(x(P))) for an output without scripts: no root bytes (BIP-341, "if the spending conditions do not require a script path").
 * @throws Defect when t ≥ q, with probability 2^−128, as BIP-341 demands.
 */
export function tapTweak(P: Point): bigint {
  const t = bytesToBigint(taggedHash('TapTweak', xOnly(P)));
  if (t >= q) throw new Defect('TapTweak hash is not below the group order');
  return t;
}

/** Q = even(P) + t·G: the key of the output whose internal key is P, and which provably has no script path. */
export const tweakPoint = (P: Point): Point => evenPoint(P, P).add(mulPublic(G, tapTweak(P)));

const evenPoint = (P: Point, X: Point): Point => (hasEvenY(P) ? X : X.negate());

/** A key shared among parties: P = Σ λ_j·Y_j, Y_j = s_j·G. `s` is this party's share. */
export interface SharedKey {
  readonly P: Point;
  readonly Y: readonly Point[];
  readonly s: bigint;
}

/** even(P) and the tweak: from the key of the generation to the key of the output. The result may have odd Y again; signing evens once more. */
export function tweakKey({ P, Y, s }: SharedKey): SharedKey {
  const t = tapTweak(P);
  const T = mulPublic(G, t);
  return {
    // Q = even(P) + t·G
    P: evenPoint(P, P).add(T),
    // Y_j := ±Y_j + t·G
    Y: Y.map((Y_j) => evenPoint(P, Y_j).add(T)),
    // s_i := ±s_i + t
    s: modQ((hasEvenY(P) ? s : -s) + t),
  };
}

/** The inverse of {@link tweakKey}, given the key before the tweak: back to shares of `internal`, with the sign it had. */
export function untweakKey({ internal, Y, s }: { readonly internal: Point; readonly Y: readonly Point[]; readonly s: bigint }): SharedKey {
  const t = tapTweak(internal);
  const T = mulPublic(G, t);
  return {
    P: internal,
    // Y_j := ±(Y_j − t·G)
    Y: Y.map((Y_j) => evenPoint(internal, Y_j.subtract(T))),
    // s_i := ±(s_i − t)
    s: modQ(hasEvenY(internal) ? s - t : t - s),
  };
}
