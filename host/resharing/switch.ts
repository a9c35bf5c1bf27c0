/**
 * The switch of one key at one node from epoch to epoch, as a pure machine (cggmp24.md §6.10, "Switch and crash rules"): from a state and an event
 * to the next state, or to a refusal. What must be durable before anything leaves the node is exactly {@link Durable}; the run itself (SHARING)
 * is memory only.
 *
 * | state of the table | here |
 * | --- | --- |
 * | ACTIVE(E) | `epoch` = E with `share`, nothing prepared |
 * | SHARING | `sharing` |
 * | PREPARED(E*) | an entry of `prepared`; `aside` after somebody's REFUSE |
 * | COMMITTED(E*) | `epoch` = E*, `committed`, the old shares in `retained` |
 * | ERASED(E) | `committed.erased`, `retained` empty |
 *
 * No event is a time-out: only Cert or REFUSE, both signed by others, lead out of PREPARED.
 */
import { Refusal } from '../base/errors.ts';

/** What the switch must know of one try of a plan, seen from one node. */
export interface Move {
  /** Hex. */
  readonly sid: string;
  readonly from: number;
  readonly to: number;
  /** n* and t*. */
  readonly n: number;
  readonly t: number;
  /** Whether this node is of O, and its index in O*, if it has one. */
  readonly old: boolean;
  readonly member: number | undefined;
}

export interface Durable {
  /** The epoch in force here; undefined at a node that never was a member. */
  readonly epoch: number | undefined;
  /** Whether the node has a share of that epoch; a member of O alone has none after COMMITTED. */
  readonly share: boolean;
  /** The largest epoch number that any plan used, as far as this node knows; 0 if none. */
  readonly highest: number;
  /** The one plan of this epoch that this node has voted for, or prepared. */
  readonly lock: Move | undefined;
  readonly prepared: readonly { readonly move: Move; readonly aside: boolean }[];
  /** Tries that this node has refused, hence will never acknowledge. */
  readonly refused: readonly string[];
  /** How the epoch in force came to be, which members of O* say that they have stored its certificate, and whether the old shares are gone. */
  readonly committed: { readonly move: Move; readonly by: readonly number[]; readonly erased: boolean } | undefined;
  /** Earlier epochs whose shares are still here, sealed. */
  readonly retained: readonly number[];
}
export interface SwitchState extends Durable {
  /** Memory only. The try that this node voted for since it started: the only one that it may share in. */
  readonly voted: string | undefined;
  /** Memory only: the run under way. */
  readonly sharing: string | undefined;
}

/** A member of a key in epoch 0, or a node that has nothing. */
export const initial = (epoch: number | undefined): SwitchState => ({
  epoch,
  share: epoch !== undefined,
  highest: epoch ?? 0,
  lock: undefined,
  prepared: [],
  refused: [],
  committed: undefined,
  retained: [],
  voted: undefined,
  sharing: undefined,
});

/**
 * How far an epoch number may be above the largest that is known. Abandoned tries leave gaps, each of one; without a bound, one vote or one false answer
 * would use up all numbers of 32 bits, and the key could never change again.
 */
export const MAX_EPOCH_STEP = 64;

/** An epoch number for a new plan: above what this node knows, and above what others say as far as that can be true. */
export const nextEpoch = (highest: number, others: readonly number[]): number =>
  1 + Math.max(highest, ...others.filter((other) => other < highest + MAX_EPOCH_STEP));

/** After a crash: the run is lost, and with it the right to share in the try that was voted for. Never resume, never reuse g_i, y or α. */
export const afterCrash = (state: Durable): SwitchState => ({ ...state, voted: undefined, sharing: undefined });

const refuse = (field: string, message: string, remedy: string): never => {
  throw new Refusal('key_change', field, message, remedy, 409);
};
/** Prepared, not set aside, and not overtaken by the epoch in force: between this node's ACK and the others' word. */
export const pending = ({ prepared, epoch }: Durable): Move | undefined =>
  prepared.find(({ move, aside }) => !aside && move.to > (epoch ?? -1))?.move;

/** What no vote and no acknowledgement may do: leave the epoch in force, promise two things at once, use an epoch number again. */
function requireFree(state: Durable, move: Move): void {
  const { epoch, share, lock, highest } = state;
  if (move.old && (epoch !== move.from || !share))
    refuse('epoch', `this node is at epoch ${epoch ?? 'none'}, the plan starts from ${move.from}`, 'plan from the epoch in force');
  if (!move.old && epoch !== undefined && move.to <= epoch) refuse('nextEpoch', `this node is at epoch ${epoch}`, 'plan for a later epoch');
  if (lock !== undefined && lock.sid !== move.sid)
    refuse('plan', 'this node is bound to another plan of this epoch', 'wait until that one is committed, or refused by a new member');
  const other = pending(state);
  if (other !== undefined && other.sid !== move.sid)
    refuse('plan', `a share of epoch ${other.to} is prepared here`, 'wait until its certificate or a refusal is known');
  if (lock?.sid !== move.sid && move.to <= highest)
    refuse('nextEpoch', `epoch number ${move.to} was used before`, `take one above ${highest}`);
}

/** An old member votes: for one plan per epoch. Durable before the approval leaves. */
export function vote(state: SwitchState, move: Move): SwitchState {
  if (!move.old) refuse('voter', 'only members of the old committee vote', 'ask them');
  requireFree(state, move);
  if (state.refused.includes(move.sid)) refuse('plan', 'this node has refused the plan', 'make a new plan');
  if (state.lock?.sid === move.sid) return state;
  const top = Math.max(state.highest, move.from) + MAX_EPOCH_STEP;
  if (move.to > top) refuse('nextEpoch', `epoch number ${move.to} leaves out too many`, `take one up to ${top}`);
  return { ...state, lock: move, highest: Math.max(state.highest, move.to), voted: move.sid };
}

/** A node enters the run; memory only. A sharer must have voted for it in this life, so that no sid is ever dealt in twice. */
export function share(state: SwitchState, move: Move, sharer: boolean): SwitchState {
  requireFree(state, move);
  if (state.refused.includes(move.sid)) refuse('plan', 'this node has refused the plan', 'make a new plan');
  if (sharer && (state.lock?.sid !== move.sid || state.voted !== move.sid))
    refuse('plan', 'this node did not vote for the plan since it started', 'make a new plan');
  if (state.sharing === move.sid || state.prepared.some((entry) => entry.move.sid === move.sid))
    refuse('plan', 'the run of this plan was begun before', 'make a new plan');
  return { ...state, voted: undefined, sharing: move.sid };
}

/** A new member has its share: durable, beside the old one, before ACK leaves. Only in the run itself, so never after a crash. */
export function prepare(state: SwitchState, move: Move): SwitchState {
  requireFree(state, move);
  if (move.member === undefined) refuse('member', 'this node is not of the new committee', 'prepare at its members');
  if (state.sharing !== move.sid) refuse('plan', 'the run of this plan is not under way here', 'make a new plan');
  if (state.refused.includes(move.sid)) refuse('plan', 'this node has refused the plan', 'make a new plan');
  return {
    ...state,
    ...(move.old && { lock: move }),
    highest: Math.max(state.highest, move.to),
    prepared: [...state.prepared, { move, aside: false }],
    sharing: undefined,
  };
}

/** REFUSE_k: this node has not acknowledged, and never will. Durable before the statement leaves. */
export function decline(state: SwitchState, move: Move): SwitchState {
  if (move.member === undefined) refuse('member', 'only a new member can refuse', 'ask the new members');
  if (state.prepared.some((entry) => entry.move.sid === move.sid) || state.committed?.move.sid === move.sid)
    refuse('plan', 'this node has acknowledged the plan', 'wait for its certificate, or for the refusal of another member');
  if (state.refused.includes(move.sid)) return state;
  return released({ ...state, refused: [...state.refused, move.sid] }, move);
}

/** A REFUSE of another member. The pending share is set aside, not erased: its author could have signed both. */
export const refusalHeard = (state: SwitchState, move: Move): SwitchState =>
  released({ ...state, prepared: state.prepared.map((entry) => (entry.move.sid === move.sid ? { ...entry, aside: true } : entry)) }, move);

const released = (state: SwitchState, { sid }: Move): SwitchState => ({
  ...state,
  ...(state.lock?.sid === sid && { lock: undefined }),
  ...(state.voted === sid && { voted: undefined }),
  ...(state.sharing === sid && { sharing: undefined }),
});

/**
 * Cert. It overrides REFUSE, and one of a higher epoch supersedes a lower one, also when both start from E. The old share stays until ERASED;
 * prepared shares of epochs up to this one go, later ones stay.
 */
export function certified(state: SwitchState, move: Move): SwitchState {
  const { epoch, share: had, prepared, retained } = state;
  if (epoch !== undefined && move.to <= epoch) return state;
  const mine = prepared.some((entry) => entry.move.sid === move.sid);
  return {
    ...state,
    epoch: move.to,
    share: mine,
    highest: Math.max(state.highest, move.to),
    lock: undefined,
    prepared: prepared.filter((entry) => entry.move.to > move.to),
    committed: { move, by: mine && move.member !== undefined ? [move.member] : [], erased: false },
    retained: epoch !== undefined && had ? [...retained, epoch] : retained,
    voted: undefined,
    sharing: undefined,
  };
}

/** Member j of O* says that it is COMMITTED. With all n* the old shares may go. */
export function committedHeard(state: SwitchState, sid: string, member: number): SwitchState {
  const { committed } = state;
  if (committed?.move.sid !== sid || committed.by.includes(member) || member >= committed.move.n) return state;
  return { ...state, committed: { ...committed, by: [...committed.by, member].sort((a, b) => a - b) } };
}

/** Whether the old shares may be destroyed: all members of O* are COMMITTED, or at least min(t* + 1, n*) of them and an operator orders it. */
export function mayErase({ committed }: Durable, ordered = false): boolean {
  if (committed === undefined || committed.erased) return false;
  const { n, t } = committed.move;
  return committed.by.length >= (ordered ? Math.min(t + 1, n) : n);
}

/** ERASED: durable when the files are gone. Erasing again does no harm. */
export function erased(state: SwitchState, ordered = false): SwitchState {
  if (state.committed?.erased === true) return state;
  if (!mayErase(state, ordered))
    refuse('epoch', 'too few new members have stored the certificate', 'start all nodes of the new committee, then try again');
  return { ...state, retained: [], committed: { ...state.committed!, erased: true } };
}

/** What an epoch permits now. `presign`: a presignature made while a share is prepared could outlive its epoch. */
export const permits = (state: Durable): { sign: boolean; presign: boolean } => ({
  sign: state.share,
  presign: state.share && pending(state) === undefined,
});
