/** The messages of presigning, and the statements of its proofs: prover and verifier build each statement with the same function (§5, 6.7). */
import { bytes, list, natural, struct, type Infer } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import type { PaillierKey, RingPedersenKey } from '../core/types.ts';
import { G, point, scalar, type Point } from '../curve/secp256k1.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import * as affG from '../proofs/pi-aff-g.ts';
import * as elog from '../proofs/pi-elog.ts';
import * as encElg from '../proofs/pi-enc-elg.ts';
import { echoRound, MAX_MESSAGE_BYTES, p2pRound } from '../protocol/rounds.ts';

/** More presignatures than this in one run gain nothing, and each holds memory until the run ends. */
const MAX_BATCH = 20;

/**
 * Presignatures that one run of `t` signers can make. Every message has to stay below {@link MAX_MESSAGE_BYTES}, and so has the evidence of a wrong private
 * proof, or the one who saw it could not tell the others. The largest of both is that of round 2: the echoed message, with four ciphertexts for each
 * peer, beside the two proofs and the round-1 message of their receiver.
 */
export function batchLimit({ primeBits }: Parameters, t: number): number {
  const ciphertext = 4 + (4 * primeBits) / 8;
  const element = 4 + (t - 1) * 4 * ciphertext + POINT_AND_ELOG_BYTES;
  return Math.min(MAX_BATCH, Math.floor((MAX_MESSAGE_BYTES - FACTS_BYTES) / (element + SHOWN_CIPHERTEXTS * ciphertext)));
}
/** Γ_i and ψ̃: four points, two scalars. */
const POINT_AND_ELOG_BYTES = 4 * 33 + 2 * 32;
/** Of what ψ, ψ̂ and an entry of round 1 are not longer than. */
const SHOWN_CIPHERTEXTS = 17;
/** And the session, keys and hashes in a file of evidence, for the largest group at full strength. */
const FACTS_BYTES = 128 << 10;

/** @throws Refusal */
export function checkBatch(parameters: Parameters, t: number, count: number): void {
  const limit = batchLimit(parameters, t);
  if (Number.isInteger(count) && count >= 1 && count <= limit) return;
  throw new Refusal(
    'batch_size',
    'count',
    `${count} presignatures in one run of ${t} signers`,
    `Ask for 1 to ${limit} at a time, and for the rest in further runs.`,
    422,
  );
}

/** The rounds of a run of `t` signers that makes `count` presignatures: every message is a list of exactly `count` entries. */
export const presignRounds = (parameters: Parameters, t: number, count: number) => {
  const ciphertext = natural(2 * modulusBits(parameters).max);
  const encProof = encElg.proof(parameters);
  const affProof = affG.proof(parameters);
  const elogProof = elog.proof(parameters);
  const products = struct({ D: ciphertext, F: ciphertext, hatD: ciphertext, hatF: ciphertext });
  const each = { exact: count };
  return {
    /** Round 1: K_i, G_i; Y_i; El-Gamal ciphertexts (A1, A2) of k_i and (B1, B2) of γ_i under Y_i; Co_i. */
    encrypted: echoRound(
      'presign/1',
      list(struct({ K: ciphertext, G: ciphertext, Y: point, A1: point, A2: point, B1: point, B2: point, Co: bytes(32) }), each),
    ),
    /** Round 1: ψ⁰ (enc-K) and ψ¹ (enc-G), to the receiver's set-up. */
    encryptedProofs: p2pRound('presign/1/proofs', list(struct({ encK: encProof, encG: encProof }), each)),
    /**
     * Round 2: Γ_i and ψ̃ (elog-Gamma); D, F, D̂, F̂ for every j ≠ i in the order of positions. The ciphertexts are echoed because the error rounds
     * (§6.8) judge everybody by them: a third party must hold the same as the receiver.
     */
    products: echoRound(
      'presign/2',
      list(struct({ Gamma: point, elogGamma: elogProof, products: list(products, { exact: t - 1 }) }), each),
    ),
    /** Round 2: ψ (aff-gamma) of D, F and ψ̂ (aff-x) of D̂, F̂, to the receiver's set-up. */
    productProofs: p2pRound('presign/2/proofs', list(struct({ affGamma: affProof, affX: affProof }), each)),
    /** Round 3: δ_i, S_i, Δ_i and ψ' (elog-Delta). Echoed: a partial signature is judged by the same S̃_j, Δ̃_j everywhere. */
    delta: echoRound('presign/3', list(struct({ delta: scalar, S: point, Delta: point, elogDelta: elogProof }), each)),
  };
};
type Messages = ReturnType<typeof presignRounds>;
type Entry<Name extends keyof Messages> = Infer<Messages[Name]['codec']>[number];
export type Encrypted = Entry<'encrypted'>;
export type Products = Entry<'products'>['products'][number];
export type Multiplied = Entry<'products'>;
export type Output = Entry<'delta'>;

/** What `author` made for `receiver`: its message lists all positions but its own. */
export const productsFor = (author: number, receiver: number, { products }: Multiplied): Products =>
  products[receiver < author ? receiver : receiver - 1]!;

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
