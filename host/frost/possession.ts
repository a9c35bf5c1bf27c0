/**
 * The proof that a dealer knows the constant term of its polynomial: a Schnorr proof bound to the dealer's identifier (cggmp24.md §10.2).
 * It excludes rogue keys (φ_j chosen as the negative of everybody else's). Byte-compatible with frost-secp256k1-tr and @noble/curves; the hash
 * has no session in it, therefore key generation commits to the proof under its sid first.
 */
import { concatBytes } from '../base/bytes.ts';
import { bytes, decode, DecodeError, encode, map, struct, type Codec } from '../base/codec.ts';
import type { Random } from '../base/random.ts';
import { shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, mulPublic, point, randomNonZeroScalar, scalar, type Point } from '../curve/secp256k1.ts';
import { hashToDkgChallenge } from './hashes.ts';
import { hasEvenY, xOnly } from './taproot.ts';

export interface ProofOfPossession {
  /** Nonce point, even Y. */
  readonly R: Point;
  readonly mu: bigint;
}

/** lift_x: the point of even Y with this x-coordinate; 32 bytes. */
const liftedPoint: Codec<Point> = map(
  bytes(32),
  (x) => decode(point, concatBytes(Uint8Array.of(0x02), x)),
  (R) => {
    if (!hasEvenY(R)) throw new DecodeError('', 'nonce point has odd Y');
    return xOnly(R);
  },
);

/** x(R) ‖ μ, 64 bytes. */
export const proofOfPossession: Codec<ProofOfPossession> = struct({ R: liftedPoint, mu: scalar });

/** c = HDKG(id(32) ‖ φ_0(33) ‖ R(33)) */
const challenge = (party: number, phi0: Point, R: Point): bigint =>
  hashToDkgChallenge(concatBytes(encode(scalar, shamirPoint(party)), encode(point, phi0), encode(point, R)));

/** Proves knowledge of a0 with φ_0 = a0·G. */
export function provePossession(random: Random, party: number, a0: bigint): ProofOfPossession {
  const nonce = randomNonZeroScalar(random);
  const kG = mul(G, nonce);
  // R has even Y: k and R change sign together.
  const [k, R] = hasEvenY(kG) ? [nonce, kG] : [modQ(-nonce), kG.negate()];
  // μ = k + a0·c
  return { R, mu: modQ(k + a0 * challenge(party, mul(G, a0), R)) };
}

/** μ·G = R + c·φ_0 */
export const verifyPossession = (party: number, phi0: Point, { R, mu }: ProofOfPossession): boolean =>
  mulPublic(G, mu).equals(R.add(mulPublic(phi0, challenge(party, phi0, R))));
