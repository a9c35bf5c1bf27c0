/** From a request to an unsigned payment: which coins, which change address, which fee. What is built here is judged by every node like anybody's. */
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { outpoint, selectInOrder, type WalletCoin } from '../bitcoin/coins.ts';
import { feeRate } from '../bitcoin/fees.ts';
import { CHANGE, type WalletPath } from '../bitcoin/paths.ts';
import type { PaymentIntent, UnsignedPayment } from '../bitcoin/payment.ts';
import { buildPayment, intendedOutputs } from '../bitcoin/transaction.ts';
import { scriptOf } from './accounts.ts';
import type { AddressBook } from './address-book.ts';
import type { WalletContext } from './context.ts';
import type { Holdings } from './holdings.ts';
import type { WalletKey } from './keyring.ts';
import { NotFree, inOrderOf } from './spread.ts';
import type { SendRequest, TransactionState } from './types.ts';

/** Blocks within which a payment without a fee rate should confirm. */
const CONFIRMATION_TARGET = 6;
/** How often a payment is made from the coins that are remembered, when some of them turn out to be spent. */
const MAX_GUESSES = 4;
/** Of payments that a vote may still end, and that then free their coins. */
const UNDECIDED: ReadonlySet<TransactionState | undefined> = new Set<TransactionState>(['created', 'voting']);
/** Refusals that other coins could change. */
const SHORT: ReadonlySet<string> = new Set(['insufficient_funds', 'too_many_inputs']);

export interface Built {
  readonly intent: PaymentIntent;
  readonly payment: UnsignedPayment;
}

/** What the records say of coins, by outpoint: the state of the payment that holds it, and whether somebody may have a signature that spends it. */
interface CoinState {
  readonly held: ReadonlyMap<string, TransactionState>;
  readonly exposed: ReadonlySet<string>;
}

/** The coins that would pay are held by payments that are not decided yet, and may be free soon. */
export class Contested extends Refusal {
  constructor(amount: bigint) {
    super(
      'coins_reserved',
      'amount_sats',
      `the coins that could pay ${amount} sat are reserved by payments under way`,
      'wait until those are final, or fund the wallet',
      409,
    );
  }
}

/** What is known of the addresses below the key does not suffice; all have to be asked, which may take long. */
export class LookFurther extends Error {
  override readonly name = 'LookFurther';
}

export class Builder {
  /** Coins that others would not have spent lately. */
  readonly notFree: NotFree;

  constructor(
    private readonly context: WalletContext,
    private readonly book: AddressBook,
    private readonly holdings: Holdings,
  ) {
    this.notFree = new NotFree(context.clock);
  }

  /**
   * `complete`: all addresses below the key have been asked lately. `before`: what was built for the same request and has been given up; its change address is
   * free, and taken again.
   * @throws Refusal for a request that cannot be paid, {@link Contested} when it may be in a moment, {@link LookFurther} unless `complete`.
   */
  async build(
    key: WalletKey,
    request: SendRequest,
    { complete, before }: { complete: boolean; before: UnsignedPayment | undefined },
  ): Promise<Built> {
    const { esplora, policy, records } = this.context;
    const { holdings } = this;
    const [own, reserved, exposed, rate] = await Promise.all([
      holdings.own(key),
      records.transactions.reserved(key.walletId),
      records.transactions.exposed(key.walletId, this.context.self),
      request.fee_rate === undefined ? esplora.feeRate(CONFIRMATION_TARGET) : Promise.resolve(feeRate(request.fee_rate)),
    ]);
    const state = { held: new Map(reserved.map((coin) => [outpoint(coin), coin.state])), exposed: new Set(exposed.map(outpoint)) };
    const intent: PaymentIntent = {
      recipients: request.recipients.map(({ address: to, amount_sats: amount }, i) => ({
        address: to,
        amount: satoshis(amount, `recipients[${i}].amount_sats`),
      })),
      metadata: request.metadata === undefined ? undefined : utf8(request.metadata),
      feeRate: rate < policy.minFeeRate ? policy.minFeeRate : rate,
    };
    const from = (coins: readonly WalletCoin[]) => this.#from(key, intent, this.#choose(key, intent, coins, state), before);
    if (!holdings.hasMore(key)) return { intent, payment: from(own) };
    for (let attempt = 0; attempt < MAX_GUESSES; attempt++) {
      try {
        const payment = from([...own, ...holdings.remembered(key)]);
        if (await holdings.confirm(key, payment.inputs)) return { intent, payment };
      } catch (error) {
        if (complete || !(isShort(error) || error instanceof Contested)) throw error;
        // Of what is known; there may be more by now.
        break;
      }
    }
    if (!complete) throw new LookFurther();
    return { intent, payment: from([...own, ...holdings.remembered(key)]) };
  }

  /** @throws Refusal when the coins that are free do not suffice, {@link Contested} when with those of undecided payments they would. */
  #choose(key: WalletKey, intent: PaymentIntent, coins: readonly WalletCoin[], { held, exposed }: CoinState): readonly WalletCoin[] {
    const { network, policy, self } = this.context;
    const wallet = scriptOf(key);
    const outputs = intendedOutputs(intent, network, policy);
    const choose = (some: readonly WalletCoin[]) => selectInOrder({ coins: some, wallet, outputs, rate: intent.feeRate, policy }).inputs;
    const ordered = inOrderOf(self, key.committee, coins, exposed);
    const free = ordered.filter((coin) => !held.has(outpoint(coin)));
    const isDoubted = (coin: WalletCoin) => this.notFree.has(outpoint(coin));
    const undoubted = free.filter((coin) => !isDoubted(coin));
    try {
      return unlessShort(() => choose(undoubted)) ?? choose([...undoubted, ...free.filter(isDoubted)]);
    } catch (error) {
      if (!isShort(error)) throw error;
      const stateOf = (coin: WalletCoin) => held.get(outpoint(coin));
      const soon = ordered.filter((coin) => UNDECIDED.has(stateOf(coin)));
      if (soon.length > 0 && unlessShort(() => choose([...free, ...soon])) !== undefined) throw new Contested(totalOf(outputs));
      const spent = totalOf(ordered.filter((coin) => stateOf(coin) !== undefined));
      if (spent === 0n) throw error;
      const message = `${error.message}; payments under way spend coins of ${spent} sat more, and their change comes back with a block`;
      throw new Refusal(error.code, error.field, message, error.remedy, error.status);
    }
  }

  #from(key: WalletKey, intent: PaymentIntent, coins: readonly WalletCoin[], before: UnsignedPayment | undefined): UnsignedPayment {
    const { network, policy } = this.context;
    const changePath = (account: number): WalletPath =>
      before?.changePath[0] === account ? before.changePath : [account, CHANGE, this.book.next(key.walletId, account, CHANGE)];
    return buildPayment({ wallet: scriptOf(key), below: (path) => scriptOf(key, path), changePath, network, intent, coins, policy });
  }
}

const totalOf = (items: readonly { readonly value: bigint }[]): bigint => items.reduce((sum, { value }) => sum + value, 0n);

const isShort = (error: unknown): error is Refusal => error instanceof Refusal && SHORT.has(error.code);

/** What `choose` gives; undefined when the coins do not suffice. */
function unlessShort<T>(choose: () => T): T | undefined {
  try {
    return choose();
  } catch (error) {
    if (!isShort(error)) throw error;
    return undefined;
  }
}

function satoshis(amount: number, field: string): bigint {
  if (Number.isSafeInteger(amount) && amount > 0) return BigInt(amount);
  throw new Refusal('bad_amount', field, `${amount} is no amount in satoshis`, 'give a whole number above 0', 422);
}
