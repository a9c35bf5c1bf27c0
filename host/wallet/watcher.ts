/**
 * What happens to payments without anybody asking: signed ones are broadcast again until the network has them, broadcast ones are followed to
 * their confirmations, and those that nobody finishes are ended and their coins freed, after a look at the chain.
 */
import { fromHex } from '../base/bytes.ts';
import { Unavailable } from '../base/errors.ts';
import { BROADCAST_ATTEMPTS, isOverdue } from '../consensus/machine.ts';
import type { WalletContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { Notices } from './notices.ts';
import { FINAL_CONFIRMATIONS, type Payments } from './payments.ts';
import type { PendingPayments } from './pending.ts';
import { Repeated } from './repeated.ts';
import type { TransactionInfo } from './types.ts';
import { MAX_PROPOSAL_MS } from './voting.ts';

const PAGE = 100;
/** After the expiry of a proposal, time for its signatures to arrive. */
const GRACE_MS = 30_000;
/** Between two tries to broadcast. */
const BROADCAST_MS = 3_000;
/** A payment that was found is looked for again when a block has come; without one after this long, since backends forget what stays unconfirmed. */
const FORGETFUL_MS = 30_000;
/**
 * How long the coins of a payment are held after signers were asked and nobody told the end of it. A signature may exist somewhere for ever, so no time
 * would be long enough to be sure; but held coins would push the next payment to other coins, and then both could be made. Free again, they are
 * what the next payment takes first, and then, as a rule, only one of the two can be in the chain.
 */
const SIGNING_HOLD_MS = 10 * 60_000;

export class Watcher {
  readonly #looks: Repeated;
  /** Payments confirmed less than six blocks deep; undefined until they were read from the records. */
  #young: Set<string> | undefined;
  /** Payments that were found under some tip, with all that this says recorded: until the tip moves there is nothing to learn about them. */
  readonly #found = new Map<string, { readonly tip: string; readonly at: number }>();

  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly payments: Payments,
    private readonly notices: Notices,
    private readonly pending: PendingPayments,
  ) {
    this.#looks = new Repeated(() => this.look(), {
      firstMs: context.pollMs,
      thenMs: context.pollMs,
      failed: (error) => context.logger.warn({ error }, 'could not look after the payments'),
    });
  }

  start(): void {
    this.#looks.start();
  }
  stop(): Promise<void> {
    return this.#looks.stop();
  }

  /** One round over everything that is not final. */
  async look(): Promise<void> {
    const { context, ledger } = this;
    for (const { id, proposal } of this.pending.all()) if (context.clock() >= proposal.expiresAt + GRACE_MS) this.pending.remove(id);
    const young = (this.#young ??= await this.#youngOnes());
    // Read at once: what ends during the round must not shift the pages.
    const open: TransactionInfo[] = [];
    for (let offset = 0; ; offset += PAGE) {
      const { items, total } = await ledger.list({ pending: true, limit: PAGE, offset });
      open.push(...items);
      if (offset + PAGE >= total) break;
    }
    if (open.length === 0 && young.size === 0) return;
    const tip = await this.#tip();
    const news = (txId: string): boolean => {
      const found = this.#found.get(txId);
      return found?.tip !== tip || context.clock() - found.at >= FORGETFUL_MS;
    };
    for (const transaction of open) if (news(transaction.tx_id)) await this.#alone(transaction.tx_id, () => this.#one(transaction, tip));
    for (const txId of young) if (news(txId)) await this.#alone(txId, async () => void (await this.#follow(await ledger.get(txId), tip)));
  }

  /** Names the best block, by height and hash. */
  async #tip(): Promise<string> {
    const { esplora } = this.context;
    const height = await esplora.tipHeight();
    return `${height}/${(await esplora.blockHash(height)) ?? ''}`;
  }

  /** What fails for one payment must not stop the others; what is down is down for all. */
  async #alone(txId: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof Unavailable) throw error;
      this.context.logger.error({ tx_id: txId, error }, 'could not look after a payment');
    }
  }

  async #youngOnes(): Promise<Set<string>> {
    const { items } = await this.ledger.list({ state: 'confirmed', limit: PAGE, offset: 0 });
    return new Set(items.filter(({ confirmations }) => confirmations < FINAL_CONFIRMATIONS).map(({ tx_id: txId }) => txId));
  }

  async #one(transaction: TransactionInfo, tip: string): Promise<void> {
    const { tx_id: txId, txid, state, raw, updated_at: since } = transaction;
    const { context, ledger } = this;
    if (raw === null) return this.#unsigned(transaction, tip);

    const found = await this.#follow(transaction, tip);
    const overdue = isOverdue(state, Date.parse(since), context.clock(), {
      signed: BROADCAST_MS,
      broadcasting: BROADCAST_MS,
      broadcast: BROADCAST_MS,
    });
    // Also one that was broadcast: backends forget what stays unconfirmed.
    if (!found && overdue) await this.payments.broadcast(txId, raw, context.clock());
    if (state === 'broadcast' && isOverdue(state, Date.parse(since), context.clock())) {
      context.logger.warn({ tx_id: txId, txid, attempts: BROADCAST_ATTEMPTS }, 'still not confirmed');
      await ledger.apply(txId, 'time_out');
    }
  }

  /**
   * A payment without a signature. Others may have finished it while this node was cut off or restarted, which the chain shows; one that nobody
   * here works on any more ends when its time is over.
   */
  async #unsigned({ tx_id: txId, wallet_id: walletId, txid, state, created_at: since }: TransactionInfo, tip: string): Promise<void> {
    const { context, ledger } = this;
    const found = await context.esplora.txHex(txid);
    const signed = found === undefined ? undefined : await this.notices.found(walletId, await ledger.payment(txId), fromHex(found));
    if (signed !== undefined) {
      for (const event of ['propose', 'approve', 'sign'] as const) await ledger.apply(txId, event);
      await ledger.apply(txId, 'signed', { raw: signed.hex, vsize: signed.vsize });
      context.logger.info({ tx_id: txId, txid }, 'a payment that other nodes have finished is on the chain');
      await this.#follow(await ledger.get(txId), tip);
      return;
    }
    if (this.pending.has(txId)) return;
    const hold = state === 'signing' ? SIGNING_HOLD_MS : MAX_PROPOSAL_MS + GRACE_MS;
    if (context.clock() - Date.parse(since) < hold) return;
    const error =
      state === 'signing'
        ? `${context.self} gave its signature and heard of no finished payment; look for ${txid} before paying again`
        : `not signed in time, as far as ${context.self} knows`;
    await ledger.expired(txId, error);
  }

  /** Whether the backend knows the transaction; if so, the record says how far it is. */
  async #follow({ tx_id: txId, txid }: TransactionInfo, tip: string): Promise<boolean> {
    const { context, ledger } = this;
    const status = await context.esplora.txStatus(txid);
    if (status === undefined) {
      this.#young?.delete(txId);
      this.#found.delete(txId);
      return false;
    }
    for (const event of ['send', 'accepted'] as const) await ledger.apply(txId, event);
    if (!status.confirmed) {
      this.#found.set(txId, { tip, at: context.clock() });
      return true;
    }
    const confirmations = Math.max(1, (await context.esplora.tipHeight()) - status.block_height + 1);
    const place = { block_height: status.block_height, confirmations };
    if ((await ledger.apply(txId, 'confirmed', place)) === undefined) await context.records.transactions.update(txId, place);
    if (confirmations >= FINAL_CONFIRMATIONS) {
      this.#young?.delete(txId);
      this.#found.delete(txId);
    } else {
      this.#young?.add(txId);
      this.#found.set(txId, { tip, at: context.clock() });
    }
    return true;
  }
}
