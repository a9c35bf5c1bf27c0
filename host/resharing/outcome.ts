/**
 * What everybody computes from the echoed and opened messages of a refresh or resharing (cggmp24.md §6.10): the participants in the run, and whoever
 * judges one of them afterwards.
 */
import { equalBytes, xorBytes } from '../base/bytes.ts';
import { evaluateCommitment, shamirPoint } from '../curve/polynomial.ts';
import { O, sum, type Point } from '../curve/secp256k1.ts';
import { Transcript } from '../protocol/transcript.ts';
import { planHash, weighted, type Plan, type Roles } from './plan.ts';
import { memberCommitment, sharerCommitment, type MemberOpening, type SharerOpening } from './reshare-messages.ts';

/** Conditions on what a role says, in the words of whoever names the party that breaks them. */
export const OPENS = 'the opening matches the commitment';
export const DEALS = 'sharers deal, and nobody else';
export const PROVES = 'new members prove their share, and nobody else';
export const ACKNOWLEDGES = 'new members acknowledge, and nobody else';

export const TAGS = {
  refresh: { mask: 'refresh-mask/v1', proof: 'sch-refresh' },
  reshare: { mask: 'reshare-mask/v1', proof: 'sch-reshare' },
} as const;

/** Openings by old index of the sharer, and by new index of the member. */
export interface Opened {
  readonly sharers: ReadonlyMap<number, SharerOpening>;
  readonly members: readonly MemberOpening[];
}

/** V_i = Com(sid, i, S_i, A_i, Y_i, rid_i; u_i), V_j = Com(sid, j, Y_j, A_j, rid_j; u_j), each exactly where the party has that role. */
export function opens(
  sid: Uint8Array,
  { sharer: i, member: j }: Roles,
  V: { sharer: Uint8Array | undefined; member: Uint8Array | undefined },
  opening: { sharer: SharerOpening | undefined; member: MemberOpening | undefined },
): boolean {
  const one = <T>(
    index: number | undefined,
    committed: Uint8Array | undefined,
    opened: T | undefined,
    again: (index: number, opened: T) => Uint8Array,
  ) =>
    index === undefined
      ? committed === undefined && opened === undefined
      : committed !== undefined && opened !== undefined && equalBytes(committed, again(index, opened));
  return (
    one(i, V.sharer, opening.sharer, (index, opened) => sharerCommitment(sid, index, opened)) &&
    one(j, V.member, opening.member, (index, opened) => memberCommitment(sid, index, opened))
  );
}

/** rid = ⊕ of all rid_i and rid_j */
export const jointRandomness = ({ sharers, members }: Opened): Uint8Array =>
  [...sharers.values(), ...members].map(({ rid }) => rid).reduce(xorBytes);

/** S_i with S_{i,0} = λ_i·X_i in front, or O in a refresh: computed, so no sharer can move the constant term (2). */
export function commitmentsOf(plan: Plan, { sharers }: Opened): ReadonlyMap<number, readonly Point[]> {
  const W = weighted(plan);
  return new Map([...sharers].map(([i, { S }]) => [i, [plan.kind === 'refresh' ? O : W.get(i)!, ...S]]));
}

/** X*_k = Σ_i Σ_m I*(k)^m·S_{i,m}, in a refresh on top of X_k (6). */
export function nextPublicShares(plan: Plan, S: ReadonlyMap<number, readonly Point[]>): Point[] {
  const total = Array.from({ length: plan.nextT }, (_, k) => sum([...S.values()].map((points) => points[k]!)));
  return plan.newMembers.map((_, k) => {
    const dealt = evaluateCommitment(total, shamirPoint(k));
    return plan.kind === 'refresh' ? plan.X[k]!.add(dealt) : dealt;
  });
}

/** D = SHA-256(T("reshare-out/v1"), B(sid), plan, P(PK), L(P(X*_k)), B(aux hash)) */
export const outcome = (sid: Uint8Array, plan: Plan, nextX: readonly Point[]): Uint8Array =>
  new Transcript('reshare-out/v1')
    .bytes(sid)
    .bytes(planHash(plan))
    .point(plan.publicKey)
    .list(nextX, (hash, X_k) => hash.point(X_k))
    .bytes(plan.auxHash)
    .digest();
