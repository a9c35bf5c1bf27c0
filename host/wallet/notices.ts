/** What a coordinator tells the committee about a payment that was voted on: the signed transaction, or that there will be none. */
import { hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { Transaction } from '../bitcoin/library.ts';
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import { finalize, type SignedPayment } from '../bitcoin/transaction.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { WalletContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import { abandonNotice, accepted, signedNotice } from './messages.ts';
import type { Pending, PendingPayments } from './pending.ts';

export const signedMethod = method('payment.signed', signedNotice, accepted);
export const abandonMethod = method('payment.abandoned', abandonNotice, accepted);

/**
 * The signed transaction in `raw`, if it is exactly `payment` with signatures that hold; else undefined. Whoever brings it need not be trusted: the
 * signatures of the wallet's key are the proof.
 */
export function signedFrom(payment: UnsignedPayment, raw: Uint8Array): SignedPayment | undefined {
  try {
    const { ins } = Transaction.fromBuffer(raw);
    const signed = finalize(
      payment,
      ins.map((input, index) => ({ index, stack: input.witness })),
    );
    return signed.hex === hex(raw) ? signed : undefined;
  } catch {
    return undefined; // not a transaction, not this one, or a signature is wrong: the library and `finalize` say so by throwing
  }
}

export class Notices {
  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
  ) {}

  serve(): void {
    const { context } = this;
    const { calls } = context;
    calls.serve(signedMethod, async (from, { proposal, raw, mode, signers }) => {
      const pending = this.#of(from, proposal);
      // The transaction is checked against the payment this node voted on: same id, and every signature holds.
      const signed = signedFrom(pending.payment, raw);
      if (signed === undefined) {
        context.logger.warn({ tx_id: pending.txId, node: from }, 'told a transaction that is not the one that was voted on');
        throw new Refusal(
          'notice_refused',
          'raw',
          'not the transaction that was voted on, or without valid signatures',
          'send the signed payment itself',
          422,
        );
      }
      await this.store(pending, signed, mode, signers);
      return { ok: 1 };
    });
    calls.serve(abandonMethod, async (from, { proposal, state, reason }) => {
      const pending = this.#of(from, proposal);
      const event = ({ rejected: 'reject', timed_out: 'time_out', failed: 'fail', aborted_byzantine: 'abort_byzantine' } as const)[state];
      const change = { error: `${from}: ${reason}` };
      this.pending.remove(pending.id);
      // Where this node stands the proposer's word may not fit (it may have seen a quorum that the proposer has not): it ends all the same.
      if ((await this.ledger.apply(pending.txId, event, change)) === undefined) await this.ledger.apply(pending.txId, 'fail', change);
      return { ok: 1 };
    });
  }

  /** Records the signed transaction: from here on the payment can only be broadcast. */
  async store(
    pending: Pending,
    signed: { readonly hex: string; readonly vsize: number },
    mode: 'pool' | 'interactive' | 'frost',
    signers: readonly NodeId[],
    timings = {},
  ): Promise<void> {
    const { ledger } = this;
    const { txId } = pending;
    const change = { raw: signed.hex, vsize: signed.vsize, signing_mode: mode, signers, timings };
    if ((await ledger.apply(txId, 'signed', change)) === undefined) {
      // A node that was not asked to sign, or has not heard the quorum: what was told proves both.
      for (const event of ['approve', 'sign'] as const) await ledger.apply(txId, event);
      await ledger.apply(txId, 'signed', change);
    }
    this.pending.remove(pending.id);
  }

  #of(from: NodeId, id: Uint8Array): Pending {
    const pending = this.pending.get(id);
    if (pending === undefined)
      throw new Refusal(
        'notice_refused',
        'proposal',
        'this node does not know this proposal, or it has ended',
        'nothing: the record of this node stands',
        409,
      );
    if (pending.proposal.proposer !== from)
      throw new Refusal('notice_refused', 'proposal', `${from} did not propose this payment`, 'let the proposer tell', 403);
    return pending;
  }
}
