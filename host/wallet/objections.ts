/**
 * What votes against a payment say: a reason for people, and, where other coins would do, which of its coins are not free. The proposer believes them only so far
 * that it tries others (proposing.ts).
 */
import { decode, DecodeError, encode } from '../base/codec.ts';
import { outpoint } from '../bitcoin/coins.ts';
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import { rejectionQuorum } from '../consensus/quorum.ts';
import type { Vote } from '../consensus/vote.ts';
import { voteObjection } from './messages.ts';
import type { Pending } from './pending.ts';

/** Why a node will not have a payment. */
export interface Objection {
  readonly reason: string;
  /** Inputs, by position, that are not free; undefined when other coins would change nothing. */
  readonly notFree?: readonly number[];
}

/** For the extension of a vote against a payment. */
export const objectionExtension = ({ notFree }: Objection): Uint8Array =>
  notFree === undefined ? new Uint8Array() : encode(voteObjection, { notFree: [...notFree] });

/** Outpoints of the inputs that a vote against the payment says are not free; undefined when it is against for another reason. */
export function notFreeIn({ value, extension }: Vote, { inputs }: Pick<UnsignedPayment, 'inputs'>): string[] | undefined {
  if (value !== 'reject' || extension.length === 0) return undefined;
  try {
    return decode(voteObjection, extension).notFree.flatMap((position) =>
      inputs[position] === undefined ? [] : [outpoint(inputs[position])],
    );
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

/** Of a payment that was rejected: the coins that were not free, when without those votes it would not have been; else undefined. */
export function contested({
  ballot,
  payment,
  quorum,
  roster,
}: Pick<Pending, 'ballot' | 'payment' | 'quorum' | 'roster'>): string[] | undefined {
  const against = ballot.votes.filter(({ vote, counted }) => counted && vote.value === 'reject');
  const said = against.map(({ vote }) => notFreeIn(vote, payment));
  const otherwise = said.filter((coins) => coins === undefined).length;
  if (otherwise === against.length || otherwise >= rejectionQuorum(quorum, roster.size)) return undefined;
  return [...new Set(said.flatMap((coins) => coins ?? []))];
}

/** What the rejecting nodes said, for the person who asked for the payment. */
export const objections = ({ ballot }: Pick<Pending, 'ballot'>): string =>
  ballot.votes
    .filter(({ vote }) => vote.value === 'reject')
    .map(({ vote }) => `${vote.voter}: ${vote.reason}`)
    .join('; ');
