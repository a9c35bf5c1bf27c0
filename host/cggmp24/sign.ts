/**
 * Signing with a presignature: one linear equation per signer, one share each, and a signature that every ECDSA verifier accepts
 * (cggmp24.md §6.7, 7). The message is hashed here, never taken as a hash.
 *
 * The caller has burnt the presignature durably before a share leaves the process, whatever becomes of the share.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bigintToBytes, concatBytes } from '../base/bytes.ts';
import { Fault, invariant } from '../base/errors.ts';
import { modQ, mulPublic, q } from '../curve/secp256k1.ts';
import { nonceScalar, type Presignature, type PresignaturePublic } from './presignature.ts';
import { scalarOf, Sighash } from './sighash.ts';

/** An ECDSA signature with s ≤ (q − 1)/2. */
export interface Signature {
  readonly r: bigint;
  readonly s: bigint;
  /** Which of the up to four keys with this signature is the signer's: parity(y(R)) + 2·[x(R) ≥ q]. */
  readonly recovery: number;
}

/** σ_i = k̃_i·m + r·χ̃_i mod q. */
export const partialSignature = (presignature: Presignature, message: Sighash): bigint =>
  modQ(presignature.kTilde * scalarOf(message) + nonceScalar(presignature) * presignature.chiTilde);

/**
 * The signature from the shares of all signers, by position, the own included.
 * @throws Fault naming every signer whose share does not fit the presignature
 */
export function combine(presignature: PresignaturePublic, message: Sighash, partials: ReadonlyMap<number, bigint>): Signature {
  const { signers, Gamma, DeltaTilde, STilde, publicKey } = presignature;
  const positions = signers.map((_, position) => position);
  invariant(partials.size === positions.length && positions.every((j) => partials.has(j)), 'one partial signature per signer');
  const m = scalarOf(message);
  const r = nonceScalar(presignature);

  // σ_j·Γ = m·Δ̃_j + r·S̃_j, for every j
  const cheaters = positions.filter((j) => {
    const sigma = partials.get(j)!;
    const fits = sigma >= 0n && sigma < q && mulPublic(Gamma, sigma).equals(mulPublic(DeltaTilde[j]!, m).add(mulPublic(STilde[j]!, r)));
    return !fits;
  });
  if (cheaters.length > 0) {
    throw new Fault(cheaters, 'wrong partial signature', { round: 'sign', detail: 'σ_j·Γ = m·Δ̃_j + r·S̃_j does not hold' });
  }

  // s = Σ σ_j. Only the sum is normalised: s and q − s are both valid, and Bitcoin relays the smaller.
  const sum = modQ(positions.reduce((total, j) => total + partials.get(j)!, 0n));
  const { x, y } = Gamma.toAffine();
  const high = sum > (q - 1n) / 2n;
  const parity = Number(y & 1n) ^ (high ? 1 : 0);
  const signature: Signature = { r, s: high ? q - sum : sum, recovery: parity + (x >= q ? 2 : 0) };
  const compact = concatBytes(bigintToBytes(r, 32), bigintToBytes(signature.s, 32));
  const valid = secp256k1.verify(compact, message.digest, publicKey.toBytes(true), { prehash: false, lowS: true });
  invariant(r !== 0n && signature.s !== 0n && valid, 'a signature of verified shares is valid');
  return signature;
}
