/**
 * From a request to a payment that a quorum has approved: proposed again with other coins, or a moment later, when other payments spend the same ones.
 *
 * One request leads to one signature at most, although its tries may spend disjoint coins, so that two of them, both signed, would both be paid:
 *
 *  1. An honest member gives a signature, or takes part in a session for one, only when the proposer of this very proposal asks for it, over the link that the
 *     proposer's certificate has opened (signer.ts). A certificate alone moves nobody.
 *  2. The proposer, this node, asks for signatures on the try that this file ends with, which is its last, and on no other. A try that it gives up is out of
 *     `pending`, without which it cannot ask, before the next is built; and after a restart there is nothing in `pending`.
 *  3. So of a try that was given up no honest member ever gives a part, and t − 1 others cannot sign.
 *
 * How the votes on such a try stand, and come to stand, is no part of the argument: with members that say one thing here and another there, and votes that are
 * late, a certificate of it may well exist. So a false objection costs tries, of which there are few, and never a second payment. And a payment for which
 * signatures were asked is never proposed again, whatever became of it.
 */
import { below } from '../base/random.ts';
import type { UnsignedPayment } from '../bitcoin/payment.ts';
import { Contested, LookFurther, type Builder } from './building.ts';
import type { WalletContext } from './context.ts';
import type { Holdings } from './holdings.ts';
import type { WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import type { Pending } from './pending.ts';
import { Places, type Visitor } from './places.ts';
import { NoPlace, type Proposals } from './proposing.ts';
import { inTurn } from './turns.ts';
import type { SendRequest } from './types.ts';

/** Proposals for one request. */
const MAX_TRIES = 10;
/** How long a request waits before another try: up to the first, then twice as long, up to the second; and in all. */
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_600;
const MAX_PAUSES_MS = 30_000;
/** After a try, time for the others to hear that its coins are free. */
const TOLD_MS = 500;
/**
 * ECDSA payments of this node that are signed without the pool at a time. Each keeps t nodes at work for seconds, and every node may coordinate one, so that more
 * would only let all of them come too late; the others wait before they are proposed.
 */
const MAX_INTERACTIVE = 1;

/** Is told of every try that this node approves, when it is in the records and before others hear of it, and which earlier one it takes the place of. */
export type Recorded = (txId: string, instead: string | undefined) => Promise<unknown>;

export class Agreement {
  /** Building and proposing, one after the other per wallet, so that two requests do not choose the same coins. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #interactive = new Places(MAX_INTERACTIVE);

  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly proposals: Proposals,
    private readonly builder: Builder,
    private readonly holdings: Holdings,
  ) {}

  /**
   * What `sign` makes of the payment that a quorum has approved, or the id of the record that says why there is none.
   * @throws Refusal for a request that cannot be paid, Unavailable when too few nodes are linked.
   */
  async reach<T>(
    key: WalletKey,
    request: SendRequest,
    recorded: Recorded,
    sign: (pending: Pending) => Promise<T>,
  ): Promise<T | { readonly ended: string }> {
    const place = this.#interactive.visitor();
    try {
      const outcome = await this.#approved(key, request, recorded, place);
      return 'ended' in outcome ? outcome : await sign(outcome);
    } finally {
      place.leave();
    }
  }

  async #approved(key: WalletKey, request: SendRequest, recorded: Recorded, place: Visitor): Promise<Pending | { readonly ended: string }> {
    const { context, proposals, builder } = this;
    let before: { readonly txId: string; readonly payment: UnsignedPayment } | undefined;
    let known: string | undefined;
    let complete = false;
    let paused = 0;
    for (let tries = 0; ;) {
      const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries);
      const last = tries + 1 >= MAX_TRIES || paused + pause > MAX_PAUSES_MS;
      let told: Promise<unknown> = Promise.resolve();
      try {
        const options = { complete, before: before?.payment };
        const outcome = await proposals.decide(
          await inTurn(this.#turns, key.walletId, async () => proposals.propose(key, await builder.build(key, request, options), place)),
          async ({ txId }) => {
            await recorded(txId, known);
            known = txId;
            if (before !== undefined) await this.#note(before.txId, txId);
          },
        );
        if ('pending' in outcome) return outcome.pending;
        const { lost, payment, txId } = outcome;
        if (lost === undefined || last) return outcome.end();
        builder.notFree.note(lost);
        context.logger.info({ tx_id: txId, coins: lost }, 'these coins are not free; the payment is proposed again');
        ({ told } = outcome);
        before = { txId, payment };
        tries++;
      } catch (error) {
        if (error instanceof LookFurther) {
          // Out of the turn: a wallet may have thousands of addresses, and other payments need not wait for them.
          await this.holdings.all(key);
          complete = true;
          continue;
        }
        if (error instanceof NoPlace) {
          await place.enter();
          continue;
        }
        if (!(error instanceof Contested) || last) throw error;
      }
      paused += pause;
      // By chance, so that of two that meet over a coin one comes first the next time.
      const ms = 1 + Number(below(context.random, BigInt(pause)));
      await Promise.all([sleep(ms), Promise.race([told, sleep(TOLD_MS)])]);
    }
  }

  /** For whoever reads the records: an id that was shown as under way has come to an end, and leads to the next. */
  async #note(before: string, txId: string): Promise<void> {
    const { error } = await this.ledger.get(before);
    await this.ledger.note(before, `${error ?? 'rejected'}; proposed again with other coins as ${txId}`);
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
