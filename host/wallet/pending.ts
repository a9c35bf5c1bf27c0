/**
 * The payments this node has voted on and that are not final: proposal, decoded payment, ballot, own vote. In memory; what must survive a
 * crash is in the records. A node that was restarted knows nothing of a pending proposal and does not sign it: the others do.
 */
import type { WalletPath } from '../bitcoin/paths.ts';
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import type { Presignature } from '../cggmp24/presignature.ts';
import type { Ballot } from '../consensus/ballot.ts';
import type { Roster } from '../consensus/identity.ts';
import type { Proposal } from '../consensus/proposal.ts';
import type { Vote } from '../consensus/vote.ts';
import { hex } from '../base/bytes.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Opening } from '../presign/opening.ts';
import type { WalletKey } from './keyring.ts';

/** What a proposal says about how it is to be signed: with these presignatures, one for each input in input order. */
export interface Stock {
  /** Committee indices, ascending. */
  readonly signers: readonly number[];
  readonly nodes: readonly NodeId[];
  readonly presignatures: readonly Uint8Array[];
  /** Of each input, below the wallet's key. */
  readonly paths: readonly WalletPath[];
}
/** The own part of it, while the vote runs. */
export interface OpenedStock {
  readonly opening: Opening;
  /** By input. Their secrets go when the payment does: what is on disk is gone already. */
  readonly presignatures: readonly Presignature[];
}

export interface Pending {
  readonly id: Uint8Array;
  readonly txId: string;
  readonly proposal: Proposal;
  readonly payment: UnsignedPayment;
  readonly key: WalletKey;
  /** The committee of the key: who votes and who signs. */
  readonly roster: Roster;
  readonly quorum: number;
  readonly ballot: Ballot;
  readonly ownVote: Vote;
  /** How the proposal wants it signed from the pool, if it does. */
  readonly stock: Stock | undefined;
  /** This node's part of that, opened for this payment. */
  readonly opened: OpenedStock | undefined;
  /** Tries for which this node has given signatures; one answer per try. */
  readonly answered: Set<number>;
  /** Misbehaviour that is in the records already, as `type/node`: a node that repeats itself fills no table. */
  readonly accused: Set<string>;
}

/** Bound the memory that proposals can take, all together and those of one node: a node that floods leaves room for the others. */
const MAX_PENDING = 512;
const MAX_PENDING_OF_ONE = 64;
/** Payments that have ended here, kept for votes that arrive late. */
const MAX_ENDED = 128;

export class PendingPayments {
  readonly #byId = new Map<string, Pending>();
  /** Oldest first. */
  readonly #ended = new Map<string, Pending>();
  readonly #waiting = new Map<string, Set<() => void>>();

  /** `ended` hears of every payment that is pending no more. */
  constructor(private readonly ended: (pending: Pending) => void = () => undefined) {}

  /** Whether there is no room for another proposal of `proposer`, of which so many are `waiting` to be judged. */
  fullFor(proposer: string, waiting: number): boolean {
    const ofOne = this.all().filter(({ proposal }) => proposal.proposer === proposer).length + waiting;
    return this.#byId.size >= MAX_PENDING || ofOne >= MAX_PENDING_OF_ONE;
  }
  add(pending: Pending): void {
    this.#byId.set(hex(pending.id), pending);
  }
  get(id: Uint8Array): Pending | undefined {
    return this.#byId.get(hex(id));
  }
  /** Also one that has ended lately. */
  known(id: Uint8Array): Pending | undefined {
    return this.get(id) ?? this.#ended.get(hex(id));
  }
  has(txId: string): boolean {
    return this.all().some((pending) => pending.txId === txId);
  }
  remove(id: Uint8Array): void {
    const pending = this.get(id);
    if (pending !== undefined) {
      this.#byId.delete(hex(id));
      this.#ended.set(hex(id), pending);
      if (this.#ended.size > MAX_ENDED) this.#ended.delete(this.#ended.keys().next().value!);
      this.ended(pending);
    }
    this.changed(id);
  }
  all(): readonly Pending[] {
    return [...this.#byId.values()];
  }

  /** Tells {@link next} that a ballot has moved. */
  changed(id: Uint8Array): void {
    const waiters = this.#waiting.get(hex(id));
    this.#waiting.delete(hex(id));
    for (const wake of waiters ?? []) wake();
  }

  /** Resolves at the next change of the ballot, or after `timeoutMs`. */
  next(id: Uint8Array, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const key = hex(id);
      const waiters = this.#waiting.get(key) ?? new Set();
      this.#waiting.set(key, waiters);
      const done = () => {
        clearTimeout(timer);
        waiters.delete(done);
        if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      waiters.add(done);
    });
  }
}
