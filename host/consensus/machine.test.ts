import { describe, expect, test } from 'vitest';
import { TRANSACTION_STATES as WALLET_STATES } from '../wallet/types.ts';
import {
  allowed, deadline, DEFAULT_TIMEOUTS, isFinal, isOverdue, next,
  TRANSACTION_EVENTS, TRANSACTION_STATES, type TransactionEvent, type TransactionState,
} from './machine.ts'; // prettier-ignore

/** Everything that is allowed, written down a second time; all else must be refused. */
const TABLE = `
created       propose         voting
created       time_out        timed_out
created       fail            failed
voting        approve         approved
voting        reject          rejected
voting        time_out        timed_out
voting        fail            failed
voting        abort_byzantine aborted_byzantine
approved      sign            signing
approved      time_out        timed_out
approved      fail            failed
approved      abort_byzantine aborted_byzantine
signing       signed          signed
signing       time_out        timed_out
signing       fail            failed
signing       abort_byzantine aborted_byzantine
signed        send            broadcasting
signed        time_out        signed
broadcasting  accepted        broadcast
broadcasting  confirmed       confirmed
broadcasting  refused         failed
broadcasting  time_out        broadcasting
broadcast     confirmed       confirmed
broadcast     refused         failed
broadcast     time_out        broadcast
`;
const expected = new Map(
  TABLE.trim()
    .split('\n')
    .map((line) => line.split(/\s+/) as [TransactionState, TransactionEvent, TransactionState])
    .map(([from, event, to]) => [`${from}/${event}`, to]),
);
const FINAL = ['confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine'];

describe('transaction machine', () => {
  test('has the states that the wallet shows', () => {
    expect(TRANSACTION_STATES).toEqual(WALLET_STATES);
    expect(TRANSACTION_STATES.filter(isFinal)).toEqual(FINAL);
  });

  test.each(TRANSACTION_STATES)('%s × every event', (state) => {
    for (const event of TRANSACTION_EVENTS) {
      const to = expected.get(`${state}/${event}`);
      expect(allowed(state, event)).toBe(to !== undefined);
      if (to !== undefined) expect(next(state, event)).toBe(to);
      else
        expect(() => next(state, event), `${state} ${event}`).toThrow(
          expect.objectContaining({ name: 'Refusal', status: 409, field: 'state' }),
        );
    }
  });

  test('what is no state or no event is our own mistake', () => {
    expect(() => next('paid' as TransactionState, 'sign')).toThrow(expect.objectContaining({ name: 'Defect' }));
    expect(() => next('created', 'toString' as TransactionEvent)).toThrow(expect.objectContaining({ name: 'Defect' }));
    expect(() => next('constructor' as TransactionState, 'sign')).toThrow(expect.objectContaining({ name: 'Defect' }));
  });

  /** All states that some sequence of events reaches from `start` without passing through `avoid`. */
  const reachable = (start: TransactionState, avoid?: TransactionState): Set<TransactionState> => {
    const seen = new Set<TransactionState>([start]);
    for (const state of seen)
      for (const event of TRANSACTION_EVENTS) if (allowed(state, event) && next(state, event) !== avoid) seen.add(next(state, event));
    return seen;
  };

  test('every state is reachable, and every state can end', () => {
    expect([...reachable('created')].sort()).toEqual([...TRANSACTION_STATES].sort());
    for (const state of TRANSACTION_STATES) expect([...reachable(state)].some(isFinal)).toBe(true);
  });

  test.each<[TransactionState, TransactionState]>([
    ['signing', 'approved'],
    ['approved', 'voting'],
    ['broadcasting', 'signed'],
    ['confirmed', 'broadcasting'],
  ])('nothing is %s that has not been %s', (state, before) => {
    expect(reachable('created', before).has(state)).toBe(false);
  });

  test('what is signed is never timed out, rejected or aborted: its coins are spent unless the chain says otherwise', () => {
    for (const state of ['signed', 'broadcasting', 'broadcast'] as const)
      for (const end of ['timed_out', 'rejected', 'aborted_byzantine'] as const) expect(reachable(state).has(end)).toBe(false);
  });

  test('no way leads back', () => {
    const order = (state: TransactionState) => TRANSACTION_STATES.indexOf(state);
    for (const state of TRANSACTION_STATES)
      for (const event of TRANSACTION_EVENTS)
        if (allowed(state, event)) expect(order(next(state, event))).toBeGreaterThanOrEqual(order(state));
  });
});

describe('time-outs', () => {
  test('every state that is not final has one, and takes the event; final ones have none', () => {
    for (const state of TRANSACTION_STATES) {
      expect(deadline(state, 0) !== undefined).toBe(!isFinal(state));
      expect(allowed(state, 'time_out')).toBe(!isFinal(state));
    }
    expect(DEFAULT_TIMEOUTS).toMatchObject({ voting: 30_000, signing: 60_000, broadcasting: 30_000, broadcast: 3_600_000 });
  });

  test('are up exactly then, and may be configured', () => {
    expect(isOverdue('voting', 1_000, 30_999)).toBe(false);
    expect(isOverdue('voting', 1_000, 31_000)).toBe(true);
    expect(isOverdue('voting', 1_000, 6_000, { voting: 5_000 })).toBe(true);
    expect(isOverdue('signing', 0, 1e15, { voting: 5_000 })).toBe(false);
    expect(isOverdue('confirmed', 0, 1e15)).toBe(false);
  });
});
