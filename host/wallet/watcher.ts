/**
 * What happens to payments without anybody asking: signed ones are broadcast again until the network has them, broadcast ones are followed to
 * their confirmations, proposals that nobody finished are ended and their coins freed.
 */
import { BROADCAST_ATTEMPTS, isOverdue } from '../consensus/machine.ts';
import type { WalletContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { Payments } from './payments.ts';
import type { PendingPayments } from './pending.ts';
import type { TransactionInfo } from './types.ts';

/** Confirmations after which a payment is no longer looked up. */
const FINAL_CONFIRMATIONS = 6;
const PAGE = 100;
/** After the expiry of a proposal, time for its signatures to arrive. */
const GRACE_MS = 30_000;

export class Watcher {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  /** Payments confirmed less than six blocks deep. */
  readonly #young = new Set<string>();

  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly payments: Payments,
    private readonly pending: PendingPayments,
  ) {}

  start(): void {
    const tick = () => {
      this.#running = this.look()
        .catch((error: unknown) => this.context.logger.warn({ error }, 'could not look after the payments'))
        .finally(() => {
          if (this.#timer !== undefined) this.#timer = setTimeout(tick, this.context.pollMs);
        });
    };
    this.#timer = setTimeout(tick, this.context.pollMs);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  /** One round over everything that is not final. */
  async look(): Promise<void> {
    await this.#expire();
    for (let offset = 0; ; offset += PAGE) {
      const { items, total } = await this.ledger.list({ pending: true, limit: PAGE, offset });
      for (const transaction of items) await this.#one(transaction);
      if (offset + PAGE >= total) break;
    }
    for (const txId of this.#young) await this.#follow(await this.ledger.get(txId));
  }

  async #one(transaction: TransactionInfo): Promise<void> {
    const { tx_id: txId, state, raw, updated_at: since } = transaction;
    const { context, ledger } = this;
    if (state === 'broadcasting' || state === 'broadcast') await this.#follow(transaction);
    if (
      (state === 'signed' || state === 'broadcasting') &&
      raw !== null &&
      isOverdue(state, Date.parse(since), context.clock(), { signed: 3_000, broadcasting: 3_000 })
    ) {
      await this.payments.broadcast(txId, raw, context.clock());
    }
    if (state === 'broadcast' && isOverdue(state, Date.parse(since), context.clock())) {
      context.logger.warn({ tx_id: txId, txid: transaction.txid, attempts: BROADCAST_ATTEMPTS }, 'still not confirmed');
      await ledger.apply(txId, 'time_out');
    }
  }

  async #follow({ tx_id: txId, txid }: TransactionInfo): Promise<void> {
    const { context, ledger } = this;
    const status = await context.esplora.txStatus(txid);
    if (status === undefined) {
      this.#young.delete(txId); // out of the chain again: the state stays, and the watcher broadcasts it anew when it is asked for
      return;
    }
    await ledger.apply(txId, 'accepted');
    if (!status.confirmed) return;
    const confirmations = Math.max(1, (await context.esplora.tipHeight()) - status.block_height + 1);
    await ledger.apply(txId, 'confirmed', { block_height: status.block_height, confirmations });
    await context.records.transactions.update(txId, { confirmations, block_height: status.block_height });
    if (confirmations >= FINAL_CONFIRMATIONS) this.#young.delete(txId);
    else this.#young.add(txId);
  }

  /** Proposals whose time is over without a signed transaction: their coins are free for another payment. */
  async #expire(): Promise<void> {
    const { context, ledger } = this;
    for (const pending of this.pending.all()) {
      if (context.clock() < pending.proposal.expiresAt + GRACE_MS) continue;
      this.pending.remove(pending.id);
      // A node that gave a signature keeps the coins for this payment: the coordinator may have completed it.
      if (pending.answered.size > 0) {
        context.logger.warn({ tx_id: pending.txId }, 'this node signed, but never heard of the finished payment; its coins stay reserved');
        continue;
      }
      await ledger.expired(pending.txId, pending.id, 'the proposal expired before it was signed');
    }
  }
}
