/** What a coordinator tells the committee about a payment that was voted on: the signed transaction, or that there will be none. */
import { hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { Transaction } from '../bitcoin/library.ts';
import { finalize } from '../bitcoin/transaction.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { WalletContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import { abandonNotice, accepted, signedNotice } from './messages.ts';
import type { Pending, PendingPayments } from './pending.ts';

export const signedMethod = method('payment.signed', signedNotice, accepted);
export const abandonMethod = method('payment.abandoned', abandonNotice, accepted);

export class Notices {
  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
  ) {}

  serve(): void {
    const { calls } = this.context;
    calls.serve(signedMethod, async (from, { proposal, raw, mode, signers }) => {
      const pending = this.#of(from, proposal);
      // The transaction is checked against the payment this node voted on: same id, and every signature holds.
      const transaction = Transaction.fromBuffer(raw);
      const signed = finalize(
        pending.payment,
        transaction.ins.map((input, index) => ({ index, stack: input.witness })),
      );
      if (signed.hex !== hex(raw))
        throw new Refusal('notice_refused', 'raw', 'not the transaction that was voted on', 'send the signed payment itself', 422);
      await this.store(pending, signed, mode, signers);
      return { ok: 1 };
    });
    calls.serve(abandonMethod, async (from, { proposal, state, reason }) => {
      const pending = this.#of(from, proposal);
      const event = state === 'aborted_byzantine' ? 'abort_byzantine' : state === 'timed_out' ? 'time_out' : 'fail';
      this.pending.remove(pending.id);
      await this.ledger.apply(pending.txId, event, { error: `${from}: ${reason}` });
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
    await ledger.apply(pending.txId, 'approve');
    await ledger.apply(pending.txId, 'sign');
    await ledger.apply(pending.txId, 'signed', { raw: signed.hex, vsize: signed.vsize, signing_mode: mode, signers, timings });
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
