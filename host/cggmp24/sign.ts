/**
 * Signing with a presignature: one linear equation per signer, one share each, and a signature that every ECDSA verifier accepts
 * (cggmp24.md §6.7, 7). The message is hashed here, never taken as a hash.
 *
 * The caller has burnt the presignature durably before a share leaves the process, whatever becomes of the share.
 */
import { Fault, invariant } from '../base/errors.ts';
import { ecdsaHolds } from '../curve/ecdsa.ts';
import { modQ, mulAddPublic, mulPublic, q } from '../curve/secp256k1.ts';
import { nonceScalar, type Presignature, type PresignaturePublic } from './presignature.ts';
import { scalarOf, Sighash } from './sighash.ts';

/** An ECDSA signature with s ≤ (q − 1)/2. */
export interface Signature {
  readonly r: bigint;
  readonly s: bigint;
  /** Which of the up to four keys with this signature is the signer's: parity(y(R)) + 2·[x(R) ≥ q]. */
  readonly recovery: number;
}

/** What the shares of a signature are checked against: a presignature, or what re-randomisation makes of one. */
export type SigningPublic = Pick<PresignaturePublic, 'signers' | 'publicKey' | 'Gamma' | 'DeltaTilde' | 'STilde'>;
export type SigningSecret = Pick<Presignature, 'kTilde' | 'chiTilde'>;

/** σ_i = k̃_i·m + r·χ̃_i mod q. */
export const partialSignature = (presignature: SigningSecret & Pick<SigningPublic, 'Gamma'>, message: Sighash): bigint =>
  modQ(presignature.kTilde * scalarOf(message) + nonceScalar(presignature) * presignature.chiTilde);

/**
 * The signature from the shares of all signers, by position, the own included. The sum is tried first, by verifying the signature as anybody would: a
 * valid signature needs no look at its shares, and honest signers pay one verification instead of one per signer. Only when it fails is every share
 * checked.
 *
 * @throws Fault naming every signer whose share does not fit the presignature
 */
export function combine(presignature: SigningPublic, message: Sighash, partials: ReadonlyMap<number, bigint>): Signature {
  const { signers, Gamma, publicKey } = presignature;
  const positions = signers.map((_, position) => position);
  invariant(partials.size === positions.length && positions.every((j) => partials.has(j)), 'one partial signature per signer');
  const r = nonceScalar(presignature);

  // s = Σ σ_j. Only the sum is normalised: s and q − s are both valid, and Bitcoin relays the smaller.
  const sum = modQ(positions.reduce((total, j) => total + partials.get(j)!, 0n));
  const { x, y } = Gamma.toAffine();
  const high = sum > (q - 1n) / 2n;
  const parity = Number(y & 1n) ^ (high ? 1 : 0);
  const signature: Signature = { r, s: high ? q - sum : sum, recovery: parity + (x >= q ? 2 : 0) };
  const reduced = positions.every((j) => partials.get(j)! >= 0n && partials.get(j)! < q);
  if (reduced && ecdsaHolds(publicKey, message.digest, signature)) return signature;

  const cheaters = positions.filter((j) => !partialFits(presignature, message, j, partials.get(j)!));
  invariant(cheaters.length > 0, 'a signature of right shares is valid');
  throw new Fault(cheaters, 'wrong partial signature', { round: 'sign', detail: 'σ_j·Γ = m·Δ̃_j + r·S̃_j does not hold' });
}

/** Whether σ_j ∈ Z_q and σ_j·Γ = m·Δ̃_j + r·S̃_j: the share of position j is what its presignature and the message determine. */
export function partialFits(presignature: SigningPublic, message: Sighash, j: number, sigma: bigint): boolean {
  const { Gamma, DeltaTilde, STilde } = presignature;
  if (sigma < 0n || sigma >= q) return false;
  return mulPublic(Gamma, sigma).equals(mulAddPublic(DeltaTilde[j]!, scalarOf(message), STilde[j]!, nonceScalar(presignature)));
}
