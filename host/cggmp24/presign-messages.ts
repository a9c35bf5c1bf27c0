/** The messages of presigning, and the statements of its proofs: prover and verifier build each statement with the same function (§5, 6.7). */
import { bytes, natural, struct, type Infer } from '../base/codec.ts';
import type { PaillierKey, RingPedersenKey } from '../core/types.ts';
import { G, point, scalar, type Point } from '../curve/secp256k1.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import * as affG from '../proofs/pi-aff-g.ts';
import * as elog from '../proofs/pi-elog.ts';
import * as encElg from '../proofs/pi-enc-elg.ts';
import { echoRound, p2pRound } from '../protocol/rounds.ts';

export const presignRounds = (parameters: Parameters) => {
  const ciphertext = natural(2 * modulusBits(parameters).max);
  const encProof = encElg.proof(parameters);
  const affProof = affG.proof(parameters);
  const elogProof = elog.proof(parameters);
  return {
    /** Round 1: K_i, G_i; Y_i; El-Gamal ciphertexts (A1, A2) of k_i and (B1, B2) of γ_i under Y_i; Co_i. */
    encrypted: echoRound(
      'presign/1',
      struct({ K: ciphertext, G: ciphertext, Y: point, A1: point, A2: point, B1: point, B2: point, Co: bytes(32) }),
    ),
    /** Round 1: ψ⁰ (enc-K) and ψ¹ (enc-G), to the receiver's set-up. */
    encryptedProofs: p2pRound('presign/1/proofs', struct({ encK: encProof, encG: encProof })),
    /** Round 2: Γ_i and ψ̃ (elog-Gamma). */
    gamma: echoRound('presign/2', struct({ Gamma: point, elogGamma: elogProof })),
    /** Round 2: D, F with ψ (aff-gamma); D̂, F̂ with ψ̂ (aff-x). */
    affine: p2pRound(
      'presign/2/affine',
      struct({ D: ciphertext, F: ciphertext, hatD: ciphertext, hatF: ciphertext, affGamma: affProof, affX: affProof }),
    ),
    /** Round 3: δ_i, S_i, Δ_i and ψ' (elog-Delta). Echoed: a partial signature is judged by the same S̃_j, Δ̃_j everywhere. */
    delta: echoRound('presign/3', struct({ delta: scalar, S: point, Delta: point, elogDelta: elogProof })),
  };
};
type Messages = ReturnType<typeof presignRounds>;
export type Encrypted = Infer<Messages['encrypted']['codec']>;

/** enc-K: K encrypts the plaintext of (A1, A2). */
export const encKStatement = (setup: RingPedersenKey, N0: PaillierKey, { K, Y, A1, A2 }: Encrypted): encElg.Statement => ({
  setup,
  N0,
  C: K,
  A: Y,
  B: A1,
  X: A2,
});
/** enc-G: G encrypts the plaintext of (B1, B2). */
export const encGStatement = (setup: RingPedersenKey, N0: PaillierKey, message: Encrypted): encElg.Statement => ({
  setup,
  N0,
  C: message.G,
  A: message.Y,
  B: message.B1,
  X: message.B2,
});
/** elog-Gamma: Γ_i = γ_i·G for the γ_i of (B1, B2). */
export const elogGammaStatement = ({ B1, B2, Y }: Encrypted, Gamma: Point): elog.Statement => ({ L: B1, M: B2, X: Y, Y: Gamma, H: G });
/** elog-Delta: Δ_i = k_i·Γ for the k_i of (A1, A2). */
export const elogDeltaStatement = ({ A1, A2, Y }: Encrypted, Delta: Point, Gamma: Point): elog.Statement => ({
  L: A1,
  M: A2,
  X: Y,
  Y: Delta,
  H: Gamma,
});
