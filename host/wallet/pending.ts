/**
 * The payments this node has voted on and that are not final: proposal, decoded payment, ballot, own vote. In memory; what must survive a
 * crash is in the records. A node that was restarted knows nothing of a pending proposal and does not sign it: the others do.
 */
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import type { Ballot } from '../consensus/ballot.ts';
import type { Roster } from '../consensus/identity.ts';
import type { Proposal } from '../consensus/proposal.ts';
import type { Vote } from '../consensus/vote.ts';
import { hex } from '../base/bytes.ts';
import type { WalletKey } from './keyring.ts';

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
  /** Tries for which this node has given signatures; one answer per try. */
  readonly answered: Set<number>;
}

/** Bounds the memory that proposals can take. */
const MAX_PENDING = 500;

export class PendingPayments {
  readonly #byId = new Map<string, Pending>();
  readonly #waiting = new Map<string, Set<() => void>>();

  get full(): boolean {
    return this.#byId.size >= MAX_PENDING;
  }
  add(pending: Pending): void {
    this.#byId.set(hex(pending.id), pending);
  }
  get(id: Uint8Array): Pending | undefined {
    return this.#byId.get(hex(id));
  }
  remove(id: Uint8Array): void {
    this.#byId.delete(hex(id));
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
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      waiters.add(done);
    });
  }
}
