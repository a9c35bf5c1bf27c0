/**
 * Proposals that their proposer gave up before this node had judged them: it would hold their coins for nothing until they expire. Bounded by proposer.
 */
import { hex } from '../base/bytes.ts';
import type { Infer } from '../base/codec.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Ledger } from './ledger.ts';
import type { abandonNotice } from './messages.ts';
import type { Pending, PendingPayments } from './pending.ts';

const MAX_OF_ONE = 64;

export type Abandonment = Infer<typeof abandonNotice>;

export class EarlyEnds {
  readonly #byProposer = new Map<NodeId, Map<string, Abandonment>>();

  keep(from: NodeId, notice: Abandonment): void {
    const kept = this.#byProposer.get(from) ?? new Map<string, Abandonment>();
    kept.set(hex(notice.proposal), notice);
    if (kept.size > MAX_OF_ONE) kept.delete(kept.keys().next().value!);
    this.#byProposer.set(from, kept);
  }

  of(proposer: NodeId, proposal: Uint8Array): Abandonment | undefined {
    return this.#byProposer.get(proposer)?.get(hex(proposal));
  }
}

/** Ends a payment that its proposer has given up. */
export async function endAbandoned(
  { pending, ledger }: { readonly pending: PendingPayments; readonly ledger: Ledger },
  payment: Pending,
  { state, reason }: Pick<Abandonment, 'state' | 'reason'>,
): Promise<void> {
  const event = ({ rejected: 'reject', timed_out: 'time_out', failed: 'fail', aborted_byzantine: 'abort_byzantine' } as const)[state];
  const change = { error: `${payment.proposal.proposer}: ${reason}` };
  pending.remove(payment.id);
  // Where this node stands the proposer's word may not fit (it may have seen a quorum that the proposer has not): it ends all the same.
  if ((await ledger.apply(payment.txId, event, change)) === undefined) await ledger.apply(payment.txId, 'fail', change);
}
