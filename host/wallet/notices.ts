/** What a coordinator tells the committee about a payment that was voted on: the signed transaction, or that there will be none. */
import { equalBytes, hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { Transaction } from '../bitcoin/library.ts';
import { isWalletPath } from '../bitcoin/paths.ts';
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import { finalize, type SignedPayment } from '../bitcoin/transaction.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import { scriptOf } from './accounts.ts';
import type { AddressBook } from './address-book.ts';
import type { WalletContext } from './context.ts';
import { endAbandoned, type EarlyEnds } from './early-ends.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { abandonNotice, accepted, signedNotice } from './messages.ts';
import type { Pending, PendingPayments } from './pending.ts';

export const signedMethod = method('payment.signed', signedNotice, accepted);
export const abandonMethod = method('payment.abandoned', abandonNotice, accepted);

/**
 * The signed transaction in `raw`, if it is exactly `payment` with signatures that hold; else undefined. Whoever brings it need not be trusted: the
 * signatures of the wallet's keys are the proof, so a payment of other keys, which this node has voted against, is none.
 */
export function signedFrom(payment: UnsignedPayment, key: WalletKey, raw: Uint8Array): SignedPayment | undefined {
  try {
    if (!isOf(key, payment)) return undefined;
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

/** Whether all inputs, and the change, are locked to the keys that their paths say. */
function isOf(key: WalletKey, { inputs, outputs, changeIndex, changePath }: UnsignedPayment): boolean {
  const change = changeIndex === undefined ? changePath.length === 0 && [] : [{ script: outputs[changeIndex]?.script, path: changePath }];
  return (
    change !== false &&
    [...inputs, ...change].every(
      ({ script, path }) => script !== undefined && isWalletPath(path) && equalBytes(script, scriptOf(key, path).script),
    )
  );
}

export class Notices {
  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    readonly ledger: Ledger,
    readonly pending: PendingPayments,
    private readonly book: AddressBook,
    private readonly early: EarlyEnds,
  ) {}

  serve(): void {
    const { context } = this;
    const { calls } = context;
    calls.serve(signedMethod, async (from, { proposal, raw, mode, signers }) => {
      const pending = this.#of(from, proposal);
      // The transaction is checked against the payment this node voted on: same id, and every signature holds.
      const signed = signedFrom(pending.payment, pending.key, raw);
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
    calls.serve(abandonMethod, async (from, notice) => {
      // It may still be judged here, or be on its way.
      if (this.pending.known(notice.proposal) === undefined) this.early.keep(from, notice);
      else await endAbandoned(this, this.#of(from, notice.proposal), notice);
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
    const { txId, payment, key, proposal } = pending;
    await this.#paid(key.walletId, payment, proposal.proposer);
    const change = { raw: signed.hex, vsize: signed.vsize, signing_mode: mode, signers, timings };
    if ((await ledger.apply(txId, 'signed', change)) === undefined) {
      // A node that was not asked to sign, or has not heard the quorum: what was told proves both.
      await ledger.signing(txId, pending.id, { mode, signers, votes: [], used: [] });
      await ledger.apply(txId, 'signed', change);
    }
    this.pending.remove(pending.id);
  }

  /**
   * The same of a payment that other nodes have finished, as this node's backend shows it. A node that has no share of the wallet any more looks after
   * none of its payments.
   */
  async found(walletId: string, payment: UnsignedPayment, raw: Uint8Array): Promise<SignedPayment | undefined> {
    const key = this.keyring.find(walletId);
    const signed = key && signedFrom(payment, key, raw);
    if (signed !== undefined) await this.#paid(walletId, payment, this.context.self);
    return signed;
  }

  /** From here on the change is looked at, also by a node that has voted against the payment: its backend may have lagged behind. */
  async #paid(walletId: string, { changePath: [account, , index] }: UnsignedPayment, proposer: NodeId): Promise<void> {
    if (account !== undefined && index !== undefined) await this.book.paid(walletId, { account, index }, proposer);
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
