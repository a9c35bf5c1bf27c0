/**
 * The life of a payment: which state may follow which, and how long each may last. Pure: who holds the state stores it before acting on it.
 *
 * Once a transaction is signed, no time-out ends it: whoever has seen it can broadcast it, so its coins are spent until the chain says otherwise.
 * From then on a time-out means "try again" or "tell somebody", and only a definite refusal by the network ends the payment.
 */
import { Defect, Refusal } from '../base/errors.ts';

/** In order; the last five are final. */
export const TRANSACTION_STATES = [
  'created', 'voting', 'approved', 'signing', 'signed', 'broadcasting', 'broadcast',
  'confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine',
] as const; // prettier-ignore
export type TransactionState = (typeof TRANSACTION_STATES)[number];

export const TRANSACTION_EVENTS = [
  /** The proposal is out. */
  'propose',
  /** The ballot's result. */
  'approve',
  'reject',
  /** Signers have been chosen and asked. */
  'sign',
  /** Every input has its verified signature. */
  'signed',
  /** The transaction is being given to the Bitcoin backend. */
  'send',
  /** The backend has it, or it was seen in the mempool. */
  'accepted',
  /** It is in a block. */
  'confirmed',
  /** The backend refused it for good, or the chain spent its coins otherwise. */
  'refused',
  /** The state's time is up. */
  'time_out',
  /** It cannot go on, for a reason that nobody is to blame for. */
  'fail',
  /** Misbehaving nodes have made it impossible. */
  'abort_byzantine',
] as const;
export type TransactionEvent = (typeof TRANSACTION_EVENTS)[number];

const TRANSITIONS: { readonly [S in TransactionState]: { readonly [E in TransactionEvent]?: TransactionState } } = {
  created: { propose: 'voting', time_out: 'timed_out', fail: 'failed' },
  voting: { approve: 'approved', reject: 'rejected', time_out: 'timed_out', fail: 'failed', abort_byzantine: 'aborted_byzantine' },
  approved: { sign: 'signing', time_out: 'timed_out', fail: 'failed', abort_byzantine: 'aborted_byzantine' },
  signing: { signed: 'signed', time_out: 'timed_out', fail: 'failed', abort_byzantine: 'aborted_byzantine' },
  signed: { send: 'broadcasting', time_out: 'signed' },
  broadcasting: { accepted: 'broadcast', confirmed: 'confirmed', refused: 'failed', time_out: 'broadcasting' },
  broadcast: { confirmed: 'confirmed', refused: 'failed', time_out: 'broadcast' },
  confirmed: {},
  rejected: {},
  timed_out: {},
  failed: {},
  aborted_byzantine: {},
};

export const isFinal = (state: TransactionState): boolean => Object.keys(TRANSITIONS[state]).length === 0;

/** Whether `event` leads anywhere from `state`. */
export const allowed = (state: TransactionState, event: TransactionEvent): boolean => TRANSITIONS[state][event] !== undefined;

/**
 * The state after `event`; the same state where the event calls for another try.
 * @throws Refusal (409) when the event is not possible in this state: it came late, twice, or out of order.
 * @throws Defect for a word that is no state or no event.
 */
export function next(state: TransactionState, event: TransactionEvent): TransactionState {
  if (!TRANSACTION_STATES.includes(state)) throw new Defect(`unknown transaction state ${String(state)}`);
  if (!TRANSACTION_EVENTS.includes(event)) throw new Defect(`unknown transaction event ${String(event)}`);
  const after = TRANSITIONS[state][event];
  if (after !== undefined) return after;
  const message = `a payment that is ${state} cannot ${event.replace('_', ' ')}`;
  const remedy = isFinal(state) ? 'the payment has ended; make a new one' : `wait for the payment to leave the state ${state}`;
  throw new Refusal('consensus.transition', 'state', message, remedy, 409);
}

/** Milliseconds that a payment may stay in a state before the event `time_out`; a state that is not here has no limit. */
export type StateTimeouts = { readonly [S in TransactionState]?: number };
export const DEFAULT_TIMEOUTS = {
  created: 30_000,
  voting: 30_000,
  // Choosing signers and asking them is part of signing.
  approved: 60_000,
  signing: 60_000,
  signed: 30_000,
  broadcasting: 30_000,
  broadcast: 60 * 60_000,
} as const satisfies StateTimeouts;

/** Tries of a broadcast before an operator is told; further ones follow on every time-out. */
export const BROADCAST_ATTEMPTS = 3;

/** When a payment that entered `state` at `since` times out, in milliseconds since the epoch; undefined for never. */
export function deadline(state: TransactionState, since: number, timeouts: StateTimeouts = DEFAULT_TIMEOUTS): number | undefined {
  const limit = timeouts[state];
  return limit === undefined ? undefined : since + limit;
}

/** Whether the time of `state` is up at `now`. */
export const isOverdue = (state: TransactionState, since: number, now: number, timeouts: StateTimeouts = DEFAULT_TIMEOUTS): boolean => {
  const limit = deadline(state, since, timeouts);
  return limit !== undefined && now >= limit;
};
