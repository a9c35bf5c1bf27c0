/**
 * Sub-shares on their way: g_i(I(j)) from dealer i to receiver j, masked by a one-time Diffie–Hellman key and broadcast, so that everybody holds
 * the same signed ciphertext and can judge a complaint about it (cggmp24.md §6.5, 6.6, 6.10).
 */
import { G, modQ, mul, mulPublic, randomNonZeroScalar, type Point } from '../curve/secp256k1.ts';
import type { Random } from '../base/random.ts';
import { evaluateCommitment, shamirPoint } from '../curve/polynomial.ts';
import { Transcript } from '../protocol/transcript.ts';

/** y, Y = y·G: for one dealer, one receiver and one run. */
export interface OneTimeKey {
  readonly y: bigint;
  readonly Y: Point;
}
export function oneTimeKey(random: Random): OneTimeKey {
  const y = randomNonZeroScalar(random);
  return { y, Y: mul(G, y) };
}

/** What a mask is for: session and joint randomness, dealer i by its old index, receiver j by its new one, and the tag of the protocol. */
export interface MaskContext {
  readonly tag: 'refresh-mask/v1' | 'reshare-mask/v1';
  readonly sid: Uint8Array;
  readonly rid: Uint8Array;
}

/** H_q(mask; sid, rid, i, j, y·Y) */
function mask({ tag, sid, rid }: MaskContext, i: number, j: number, shared: Point): bigint {
  return new Transcript(tag).bytes(sid).bytes(rid).u32(i).u32(j).point(shared).hashToScalar();
}

/** C_{j,i} = v + H_q(mask; sid, rid, i, j, y·Y) mod q, with y of the dealer and Y of the receiver. */
export const conceal = (context: MaskContext, i: number, j: number, v: bigint, y: bigint, Y: Point): bigint =>
  modQ(v + mask(context, i, j, mul(Y, y)));

/** v = C_{j,i} − H_q(mask; sid, rid, i, j, y·Y) mod q, with y of the receiver and Y of the dealer. */
export const reveal = (context: MaskContext, i: number, j: number, C: bigint, y: bigint, Y: Point): bigint =>
  modQ(C - mask(context, i, j, mul(Y, y)));

/** v·G = Σ_k I(j)^k·S_{i,k} */
export const fits = (v: bigint, S: readonly Point[], j: number): boolean => mulPublic(G, v).equals(evaluateCommitment(S, shamirPoint(j)));

/** What everybody has when j complains about i: S_i, Y_{i,j} and C_{j,i} of the dealer, Y_{j,i} of the receiver. */
export interface Disputed {
  readonly S: readonly Point[];
  readonly dealerY: Point;
  readonly C: bigint;
  readonly receiverY: Point;
}

/** Who is at fault when receiver j publishes y_{j,i}: the dealer if the key is the receiver's and what it opens does not fit S_i. */
export function judge(
  context: MaskContext,
  i: number,
  j: number,
  { S, dealerY, C, receiverY }: Disputed,
  y: bigint,
): 'dealer' | 'receiver' {
  // y_{j,i}·G = Y_{j,i}
  if (!mulPublic(G, y).equals(receiverY)) return 'receiver';
  return fits(reveal(context, i, j, C, y, dealerY), S, j) ? 'receiver' : 'dealer';
}
