/**
 * Coordinating a payment: build → propose → collect votes → ask for signatures → broadcast. The coordinator is whichever node was asked; it has
 * no say that the others do not check.
 */
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { invariant, Refusal, Unavailable } from '../base/errors.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { txidOf } from '../bitcoin/payment.ts';
import { sha256 } from '../protocol/transcript.ts';
import { addressAt } from './accounts.ts';
import type { Agreement, Recorded } from './agreement.ts';
import type { Attempts } from './attempts.ts';
import type { WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { signedMethod, type Notices } from './notices.ts';
import type { Pending } from './pending.ts';
import type { Proposals } from './proposing.ts';
import type { SendRequest, TransactionInfo } from './types.ts';

/** Confirmations after which a transaction counts as in the chain for good. */
export const FINAL_CONFIRMATIONS = 6;

export class Payments {
  /** Requests under way by idempotency key. */
  readonly #requests = new Map<string, { readonly hash: string; readonly outcome: Promise<TransactionInfo> }>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ledger: Ledger,
    private readonly agreement: Agreement,
    private readonly proposals: Proposals,
    private readonly attempts: Attempts,
    private readonly notices: Notices,
  ) {}

  /** Resolves when the payment is broadcast, or has failed: the record says which. The same idempotency key never pays twice on this node. */
  async send(walletId: string, request: SendRequest): Promise<TransactionInfo> {
    const key = this.keyring.active(walletId);
    const idempotency = request.idempotency_key;
    if (idempotency === undefined) return this.#pay(key, request);

    const hash = requestHash(walletId, request);
    const name = `${walletId}/${idempotency}`;
    // Found and entered without waiting in between: of any number of equal requests one is carried out, the others share its outcome.
    const known = this.#requests.get(name);
    if (known !== undefined) {
      if (known.hash === hash) return known.outcome;
      throw new Refusal(
        'idempotency.other_request',
        'idempotency_key',
        'this idempotency key is in use for another request',
        'use a new key for a new request',
        409,
      );
    }
    const outcome = this.#payOnce(key, request, idempotency, hash).finally(() => this.#requests.delete(name));
    this.#requests.set(name, { hash, outcome });
    return outcome;
  }

  async #payOnce(key: WalletKey, request: SendRequest, idempotency: string, hash: string): Promise<TransactionInfo> {
    const { idempotency: keys } = this.context.records;
    const { walletId } = key;
    const { first, row } = await keys.put(walletId, idempotency, hash);
    if (!first) {
      if (row.tx_id !== null) return this.ledger.get(row.tx_id);
      throw new Refusal(
        'idempotency_unsettled',
        'Idempotency-Key',
        'a request with this key was interrupted before it became a payment',
        'look at the list of payments, then use a new key',
        409,
      );
    }
    try {
      return await this.#pay(key, request, async (txId, instead) => {
        const settled = await keys.settle(walletId, idempotency, txId, instead);
        invariant(settled, 'the key leads to the payment that is made of its request');
      });
    } catch (error) {
      // Only if no payment came of it: the key may then be used for the corrected request.
      await keys.withdraw(walletId, idempotency).catch((failure: unknown) => {
        this.context.logger.warn({ error: failure }, 'an idempotency key could not be withdrawn');
      });
      throw error;
    }
  }

  async #pay(key: WalletKey, request: SendRequest, recorded: Recorded = () => Promise.resolve()): Promise<TransactionInfo> {
    const begin = this.context.clock();
    const outcome = await this.agreement.reach(key, request, recorded, (pending) => this.#sign(pending, begin));
    if ('ended' in outcome) return this.ledger.get(outcome.ended);
    this.proposals.fillNonces(key);
    return this.broadcast(outcome.txId, outcome.hex, outcome.signedAt);
  }

  /** Of a payment that was approved: signed, recorded and told to the others, or ended. */
  async #sign(
    pending: Pending,
    begin: number,
  ): Promise<{ readonly txId: string; readonly hex: string; readonly signedAt: number } | { readonly ended: string }> {
    const { context } = this;
    const { txId, proposal } = pending;
    const voted = context.clock();
    let exposed = false;
    // The record may be what fails, so this is made without it.
    const caution = (): string =>
      exposed ? `; a signer may hold a signature all the same, so look for ${txidOf(pending.payment)} before paying again` : '';
    try {
      const outcome = await this.attempts.sign(pending);
      if ('problem' in outcome) {
        // Its coins are free again: another payment takes the same ones first, so of the two, as a rule, only one can be in the chain.
        exposed = outcome.exposed;
        await this.proposals.abandon(pending, 'failed', `not signed: ${outcome.problem}${caution()}`);
        return { ended: txId };
      }
      const { payment, mode, signers } = outcome;
      exposed = outcome.shared;
      const signedAt = context.clock();
      const timings = { build: proposal.createdAt - begin, vote: voted - proposal.createdAt, sign: signedAt - voted };
      await this.notices.store(pending, payment, mode, signers, timings);
      // So that any of them can broadcast it.
      void this.proposals.tell(pending, signedMethod, { proposal: pending.id, raw: fromHex(payment.hex), mode, signers: [...signers] });
      return { txId, hex: payment.hex, signedAt };
    } catch (error) {
      // Nothing that was signed has left this node as long as its record does not say so; what a session signed, its signers have as well.
      await this.proposals.interrupted(pending, error, caution());
      throw error;
    }
  }

  /**
   * Gives a signed transaction to the network. What cannot be reached now, or is refused for a reason that may pass, is tried again by the watcher:
   * other nodes have the transaction too, and their backends may take it. Only coins that the chain has spent otherwise end the payment.
   */
  async broadcast(txId: string, rawHex: string, since: number): Promise<TransactionInfo> {
    const { context, ledger } = this;
    await ledger.apply(txId, 'send');
    try {
      await context.esplora.broadcast(rawHex);
      await ledger.apply(txId, 'accepted', { timings: { broadcast: context.clock() - since } });
    } catch (error) {
      if (error instanceof Refusal) await this.#refused(txId, error);
      else if (!(error instanceof Unavailable)) throw error;
      else context.logger.warn({ tx_id: txId, error }, 'not broadcast yet');
    }
    return ledger.get(txId);
  }

  async #refused(txId: string, refusal: Refusal): Promise<void> {
    const { context, ledger } = this;
    const rival = await this.#spentBy(txId);
    if (rival !== undefined) {
      context.logger.error({ tx_id: txId, rival, error: refusal }, 'the coins of a signed payment were spent otherwise');
      await ledger.apply(txId, 'refused', { error: `its coins were spent by ${rival}` });
      return;
    }
    context.logger.warn({ tx_id: txId, error: refusal }, 'the backend refuses a signed payment; it is tried again');
    await ledger.note(txId, `${refusal.message}; it may still be broadcast, do not pay again`);
  }

  /** The transaction that has spent a coin of this payment for good, if there is one. */
  async #spentBy(txId: string): Promise<string | undefined> {
    const { esplora, network } = this.context;
    const { wallet_id: walletId, txid } = await this.ledger.get(txId);
    const key = this.keyring.active(walletId);
    const { inputs } = await this.ledger.payment(txId);
    const coins = new Set(inputs.map(outpoint));
    const addresses = new Set(inputs.map(({ path }) => addressAt(key, path, network)));
    const [transactions, tip] = await Promise.all([
      Promise.all([...addresses].map((address) => esplora.addressTxs(address))),
      esplora.tipHeight(),
    ]);
    return transactions
      .flat()
      .find(
        ({ txid: other, vin, status }) =>
          other !== txid &&
          status.confirmed &&
          tip - status.block_height + 1 >= FINAL_CONFIRMATIONS &&
          vin.some((input) => coins.has(outpoint(input))),
      )?.txid;
  }
}

/** What makes two requests the same request. */
const requestHash = (walletId: string, { recipients, fee_rate, metadata }: SendRequest): string =>
  hex(
    sha256(
      utf8(
        JSON.stringify([
          walletId,
          recipients.map(({ address, amount_sats }) => [address, amount_sats]),
          fee_rate ?? null,
          metadata ?? null,
        ]),
      ),
    ),
  );
