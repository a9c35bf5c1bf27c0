/** The messages of a refresh or resharing (cggmp24.md §6.10). Everybody says something in every round; what is absent belongs to a role it has not. */
import { bytes, list, optional, struct, u32 } from '../base/codec.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import { point, scalar, type Point } from '../curve/secp256k1.ts';
import { broadcastRound, echoRound } from '../protocol/rounds.ts';
import { commitment } from '../protocol/transcript.ts';
import type { Plan } from './plan.ts';

/** Coefficients that a sharer proves knowledge of. A refresh deals 0, about which nothing is proven. */
export const provenCoefficients = ({ kind, nextT }: Plan): number[] =>
  Array.from({ length: nextT }, (_, k) => k).slice(kind === 'refresh' ? 1 : 0);

/**
 * Every vector has exactly the length that the plan says: one coefficient more is *threshold raising*, one fewer loses a sharer's randomness.
 * S_{i,0} is never sent: everybody computes it from the plan, so no sharer can move the constant term.
 */
export function reshareRounds(plan: Plan) {
  const proven = provenCoefficients(plan).length;
  const n = plan.newMembers.length;
  return {
    /** V_i and V_j. */
    commit: echoRound('reshare/commit', struct({ sharer: optional(bytes(32)), member: optional(bytes(32)) })),
    /** Their openings. */
    open: broadcastRound(
      'reshare/open',
      struct({
        sharer: optional(
          struct({
            /** S_{i,k}, k = 1 … t* − 1. */
            S: list(point, { exact: plan.nextT - 1 }),
            /** A_{i,k}, one for each proven coefficient. */
            A: list(point, { exact: proven }),
            /** Y_{i,j}, j ∈ O*. */
            Y: list(point, { exact: n }),
            rid: bytes(32),
            u: bytes(32),
          }),
        ),
        member: optional(
          struct({
            /** Y_{j,i}, i ∈ H. */
            Y: list(point, { exact: plan.sharers.length }),
            A: point,
            rid: bytes(32),
            u: bytes(32),
          }),
        ),
      }),
    ),
    /** C_{j,i} for every j, and ψ_{i,k}. */
    deal: echoRound(
      'reshare/deal',
      struct({ sharer: optional(struct({ C: list(scalar, { exact: n }), psi: list(scalar, { exact: proven }) })) }),
    ),
    /** ψ_j; or complaints about sharers (old indices), each with the one-time key that decides it. And D, which everybody can compute. */
    result: broadcastRound(
      'reshare/result',
      struct({
        psi: optional(scalar),
        complaints: list(struct({ against: u32, y: scalar }), { max: MAX_PARTIES }),
        digest: bytes(32),
      }),
    ),
    /** ACK_j: the new share is durable. */
    ack: broadcastRound('reshare/ack', struct({ signature: optional(bytes(64)) })),
  };
}

export interface SharerOpening {
  readonly S: readonly Point[];
  readonly A: readonly Point[];
  readonly Y: readonly Point[];
  readonly rid: Uint8Array;
  readonly u: Uint8Array;
}
export interface MemberOpening {
  readonly Y: readonly Point[];
  readonly A: Point;
  readonly rid: Uint8Array;
  readonly u: Uint8Array;
}

/** V_i = Com(reshare-old; sid, i, L(S_i), L(A_i), L(Y_i), rid_i; u_i), i an old index. */
export const sharerCommitment = (sid: Uint8Array, i: number, { S, A, Y, rid, u }: SharerOpening): Uint8Array =>
  commitment(
    'reshare-old/v1',
    (hash) => {
      hash.bytes(sid).u32(i);
      for (const points of [S, A, Y]) hash.list(points, (h, P) => h.point(P));
      hash.bytes(rid);
    },
    u,
  );

/** V_j = Com(reshare-new; sid, j, L(Y_j), A_j, rid_j; u_j), j a new index. */
export const memberCommitment = (sid: Uint8Array, j: number, { Y, A, rid, u }: MemberOpening): Uint8Array =>
  commitment(
    'reshare-new/v1',
    (hash) => {
      hash.bytes(sid).u32(j);
      hash.list(Y, (h, P) => h.point(P));
      hash.point(A).bytes(rid);
    },
    u,
  );
