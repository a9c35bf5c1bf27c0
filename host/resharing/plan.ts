/**
 * The plan of a refresh or resharing: all that is fixed before the first round, and voted on (cggmp24.md §6.10). Its hash is in the session id,
 * so nodes that disagree about any of it never meet in a run.
 *
 * A refresh (§6.5, 6.6) is the plan whose new committee is the old one, with all of its members sharing.
 */
import { equalBytes, hex, utf8 } from '../base/bytes.ts';
import { bytes, bytesUpTo, list, oneOf, optional, struct, text, u32, versions, type Codec } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import { sessionId, type SessionBinding } from '../cggmp24/session.ts';
import { interpolatePoint, lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { mulPublic, point, type Point } from '../curve/secp256k1.ts';
import { tweakPoint } from '../frost/taproot.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { Transcript } from '../protocol/transcript.ts';
import { SCHEMES, type Scheme, type SharedKey } from './shared-key.ts';

export const PLAN_KINDS = ['refresh', 'reshare'] as const;

export interface Plan {
  readonly kind: (typeof PLAN_KINDS)[number];
  readonly keyId: string;
  readonly scheme: Scheme;
  readonly publicKey: Point;
  readonly chainCode: Uint8Array;
  /** FROST: the key before the tweak, which new members could not compute; absent for ECDSA. */
  readonly internal: Point | undefined;
  /** E, and E* > every epoch number that was ever used for this key. */
  readonly epoch: number;
  readonly nextEpoch: number;
  readonly t: number;
  /** Identity keys of O by index. */
  readonly oldMembers: readonly Uint8Array[];
  /** X_i of epoch E, i ∈ O. */
  readonly X: readonly Point[];
  /** H: indices of O, ascending. */
  readonly sharers: readonly number[];
  readonly nextT: number;
  /** Identity keys of O* by index. */
  readonly newMembers: readonly Uint8Array[];
  /** Of the auxiliary information that O* made for this epoch; empty for FROST. */
  readonly auxHash: Uint8Array;
  /**
   * What the key is for, in the words of its holders (a wallet: the type of its addresses); absent for the usual purpose of the scheme. Not understood
   * here, but voted on, compared with what old members hold, and bound to the run: new members come to know it by a plan that no holder would lie in.
   */
  readonly purpose?: string;
}

const IDENTITY_BYTES = 32;
const identities = list(bytes(IDENTITY_BYTES), { max: MAX_PARTIES });
const fields = {
  kind: oneOf(PLAN_KINDS),
  keyId: text(64),
  scheme: oneOf(SCHEMES),
  publicKey: point,
  chainCode: bytes(32),
  internal: optional(point),
  epoch: u32,
  nextEpoch: u32,
  t: u32,
  oldMembers: identities,
  X: list(point, { max: MAX_PARTIES }),
  sharers: list(u32, { max: MAX_PARTIES }),
  nextT: u32,
  newMembers: identities,
  auxHash: bytesUpTo(32),
};
const usual = struct(fields) as Codec<Plan>;
const withPurpose = struct({ ...fields, purpose: text(32) }) as Codec<Plan>;

/** As it travels and is stored; version 2 has a purpose. Whether it makes sense is {@link checkPlan}'s to say. */
export const plan = versions<Plan>({ 1: usual, 2: withPurpose }, ({ purpose }) => (purpose === undefined ? 1 : 2));

/**
 * plan = SHA-256(T("reshare-plan/v1"), …) with the fields of §6.10 in their order, the kind in front and the internal key at the end; with a purpose
 * T("reshare-plan/v2"), and the purpose after all.
 */
export function planHash(value: Plan): Uint8Array {
  const n = value.oldMembers.length;
  const hash = new Transcript(value.purpose === undefined ? 'reshare-plan/v1' : 'reshare-plan/v2')
    .text(value.kind)
    .bytes(utf8(value.keyId))
    .text(value.scheme);
  hash.point(value.publicKey).bytes(value.chainCode).u32(value.epoch).u32(value.nextEpoch).u32(value.t).u32(n);
  hash.list([...value.oldMembers.keys()], (t, i) => t.u32(Number(shamirPoint(i))));
  hash.list(value.oldMembers, (t, key) => t.bytes(key));
  hash.list(value.X, (t, X_i) => t.point(X_i));
  hash.list(value.sharers, (t, i) => t.u32(i));
  hash.u32(value.nextT).u32(value.newMembers.length);
  hash.list(value.newMembers, (t, key) => t.bytes(key));
  hash.bytes(value.auxHash);
  hash.list(value.internal === undefined ? [] : [value.internal], (t, P) => t.point(P));
  if (value.purpose !== undefined) hash.text(value.purpose);
  return hash.digest();
}

/** A plan and 16 random bytes: one try. Every try has its own session, and is voted on for itself. */
export interface Ticket {
  readonly plan: Plan;
  readonly nonce: Uint8Array;
}
export const NONCE_BYTES = 16;
export const ticket: Codec<Ticket> = struct({ plan, nonce: bytes(NONCE_BYTES) });

/** Nodes of the run, in its order: the sharers by old index, then the other members of O* by new index. */
export const participants = ({ oldMembers, sharers, newMembers }: Plan): Uint8Array[] => {
  const first = sharers.map((i) => oldMembers[i]!);
  return [...first, ...newMembers.filter((key) => !first.some((other) => equalBytes(other, key)))];
};

/** The parts that one node plays: sharer i of H, member j of O*, or both. */
export interface Roles {
  readonly sharer: number | undefined;
  readonly member: number | undefined;
}
export const rolesOf = (value: Plan, identity: Uint8Array): Roles => {
  const found = (keys: readonly Uint8Array[]): number | undefined => {
    const at = keys.findIndex((key) => equalBytes(key, identity));
    return at < 0 ? undefined : at;
  };
  const i = found(value.oldMembers);
  return { sharer: i !== undefined && value.sharers.includes(i) ? i : undefined, member: found(value.newMembers) };
};

/** What the sid of a try is a hash of (§2.2): the epoch E, and as nonce 16 random bytes ‖ plan. */
export const runBinding = ({ plan: value, nonce }: Ticket, parameters: Parameters): SessionBinding => ({
  protocol: value.kind,
  parameters,
  nonce: new Uint8Array([...nonce, ...planHash(value)]),
  identities: participants(value),
  t: value.t,
  n: value.oldMembers.length,
  keyId: value.keyId,
  epoch: value.epoch,
  publicKey: value.publicKey,
  ...(value.auxHash.length > 0 && { auxHash: value.auxHash }),
});
export const runId = (value: Ticket, parameters: Parameters): Uint8Array => sessionId(runBinding(value, parameters));

/** W_i = λ_i·X_i over H: what sharer i's constant term must be. */
export const weighted = ({ sharers, X }: Plan): ReadonlyMap<number, Point> => {
  const points = sharers.map(shamirPoint);
  return new Map(sharers.map((i) => [i, mulPublic(X[i]!, lagrangeAtZero(points, shamirPoint(i)))]));
};

const refuse = (field: string, message: string, remedy: string, status: 403 | 409 | 422 = 422): never => {
  throw new Refusal('plan', field, message, remedy, status);
};
const distinct = (keys: readonly Uint8Array[]): boolean => new Set(keys.map(hex)).size === keys.length;

/**
 * What everybody can check of a plan, also a new member that knows nothing but `publicKey`: the key that its own configuration names, never one
 * that a sharer told it.
 * @throws Refusal naming the field.
 */
export function checkPlan(value: Plan, publicKey: Point): void {
  const { t, oldMembers, X, sharers, nextT, newMembers, epoch, nextEpoch, auxHash, scheme, internal } = value;
  const [n, nextN] = [oldMembers.length, newMembers.length];
  if (!(2 <= t && t <= n && n <= MAX_PARTIES && X.length === n))
    refuse('t', `an old committee of ${t}-of-${n} with ${X.length} public shares`, 'describe the key as it is');
  if (!(2 <= nextT && nextT <= nextN && nextN <= MAX_PARTIES))
    refuse('threshold', `a ${nextT}-of-${nextN} key is not possible`, `choose a threshold from 2 to the number of nodes (${nextN})`);
  if (!distinct(oldMembers)) refuse('oldMembers', 'an old member is listed twice', 'list every member once');
  if (!distinct(newMembers)) refuse('nodes', 'a new member is listed twice', 'list every member once');
  if (sharers.some((i, a) => i >= n || (a > 0 && i <= sharers[a - 1]!)))
    refuse(
      'sharers',
      `[${sharers.join(', ')}] is not an ascending list of old members`,
      'list indices of the old committee in their order',
    );
  if (sharers.length < t) refuse('sharers', `${sharers.length} sharers, ${t} needed`, `start at least ${t} members that hold a share`);
  if (nextEpoch <= epoch) refuse('nextEpoch', `epoch ${nextEpoch} after epoch ${epoch}`, 'take an epoch number that was never used');
  if (value.kind === 'refresh') {
    const same = n === nextN && oldMembers.every((key, i) => equalBytes(key, newMembers[i]!)) && t === nextT && sharers.length === n;
    if (!same) refuse('kind', 'a refresh keeps committee and threshold, and all members share', 'plan a resharing instead');
  }
  if (scheme === 'cggmp24' ? auxHash.length !== 32 || internal !== undefined : auxHash.length !== 0 || internal === undefined)
    refuse('auxHash', 'ECDSA keys have auxiliary information, FROST keys an internal key', 'plan with what belongs to the scheme');
  if (internal !== undefined && !tweakPoint(internal).equals(value.publicKey))
    refuse('internal', 'the key is not the tweaked internal key', 'use the key as it is stored');
  if (!value.publicKey.equals(publicKey))
    refuse('publicKey', 'the plan is for another key than this node was told to join', 'compare the public keys by another way', 403);
  // X_0 … X_{n−1} on one polynomial of degree t − 1 whose value at 0 is PK; then Σ_{i∈H} λ_i·X_i = PK for any H of at least t.
  for (let last = t - 1; last < n; last++) {
    const some = [...Array.from({ length: t - 1 }, (_, j) => j), last];
    if (!interpolatePoint(new Map(some.map((j) => [j, X[j]!]))).equals(value.publicKey))
      refuse('X', 'the public shares do not add up to the key', 'plan with the public shares of the epoch in force');
  }
}

/** A share, and whose the others are: identity keys of the committee by index, as this node knows them from the making of the key. */
export interface Held {
  readonly share: SharedKey;
  readonly members: readonly Uint8Array[];
  /** {@link Plan.purpose}, as it is known here. */
  readonly purpose?: string;
}

/**
 * What an old member checks before it votes, takes part, or believes a certificate: that the plan can be carried out, and starts from the very key,
 * share and committee that it holds. Votes count by the identity keys that the plan names, so a plan with other old members than the true ones would
 * bring its own quorum.
 * @throws Refusal naming the field.
 */
export function checkHeld(value: Plan, { share, members, purpose }: Held): void {
  checkPlan(value, share.publicKey);
  checkOwnShare(value, share, members[share.index]!);
  if (value.purpose !== purpose) {
    const what = `the plan is of a key for ${value.purpose ?? 'the usual'}, this node holds it for ${purpose ?? 'the usual'}`;
    refuse('purpose', what, 'plan with the purpose that the key was made for', 403);
  }
  if (!sameMembers(value.oldMembers, members))
    refuse('oldMembers', 'the plan names another old committee than this node knows', 'plan with the committee of the epoch in force', 403);
}

export const sameMembers = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((key, i) => equalBytes(key, b[i]!));

/** What an old member checks besides: that the plan describes the very share that it holds. @throws Refusal naming the field. */
export function checkOwnShare(value: Plan, own: SharedKey, identity: Uint8Array): void {
  const differs = (field: string) =>
    refuse(field, `the plan and the share of this node differ in ${field}`, 'plan with the epoch in force', 409);
  if (value.keyId !== own.keyId) differs('keyId');
  if (value.scheme !== own.scheme) differs('scheme');
  if (value.epoch !== own.epoch) differs('epoch');
  if (value.t !== own.t || value.oldMembers.length !== own.n) differs('t');
  if (!value.publicKey.equals(own.publicKey)) differs('publicKey');
  if (!equalBytes(value.chainCode, own.chainCode)) differs('chainCode');
  if (value.internal === undefined ? own.internal !== undefined : own.internal?.equals(value.internal) !== true) differs('internal');
  if (value.X.length !== own.X.length || !value.X.every((X_i, i) => X_i.equals(own.X[i]!))) differs('X');
  if (!equalBytes(value.oldMembers[own.index]!, identity)) differs('oldMembers');
}
