/** From a request to an unsigned payment: which coins, which change address, which fee. What is built here is judged by every node like anybody's. */
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { outpoint, type WalletCoin } from '../bitcoin/coins.ts';
import { feeRate } from '../bitcoin/fees.ts';
import { CHANGE } from '../bitcoin/paths.ts';
import type { PaymentIntent, UnsignedPayment } from '../bitcoin/payment.ts';
import { buildPayment } from '../bitcoin/transaction.ts';
import { scriptOf } from './accounts.ts';
import type { AddressBook } from './address-book.ts';
import type { WalletContext } from './context.ts';
import type { Holdings } from './holdings.ts';
import type { WalletKey } from './keyring.ts';
import type { SendRequest } from './types.ts';

/** Blocks within which a payment without a fee rate should confirm. */
const CONFIRMATION_TARGET = 6;
/** How often a payment is made from the coins that are remembered, when some of them turn out to be spent. */
const MAX_GUESSES = 4;
/** Refusals that other coins could change. */
const SHORT: ReadonlySet<string> = new Set(['insufficient_funds', 'too_many_inputs']);

export interface Built {
  readonly intent: PaymentIntent;
  readonly payment: UnsignedPayment;
}

export class Builder {
  constructor(
    private readonly context: WalletContext,
    private readonly book: AddressBook,
    private readonly holdings: Holdings,
  ) {}

  /** @throws Refusal for a request that cannot be paid. */
  async build(key: WalletKey, request: SendRequest): Promise<Built> {
    const { esplora, policy, records } = this.context;
    const { holdings } = this;
    const [own, held, rate] = await Promise.all([
      holdings.own(key),
      records.transactions.reserved(key.walletId),
      request.fee_rate === undefined ? esplora.feeRate(CONFIRMATION_TARGET) : Promise.resolve(feeRate(request.fee_rate)),
    ]);
    const taken = new Set(held.map(outpoint));
    const intent: PaymentIntent = {
      recipients: request.recipients.map(({ address: to, amount_sats: amount }, i) => ({
        address: to,
        amount: satoshis(amount, `recipients[${i}].amount_sats`),
      })),
      metadata: request.metadata === undefined ? undefined : utf8(request.metadata),
      feeRate: rate < policy.minFeeRate ? policy.minFeeRate : rate,
    };
    const from = (coins: readonly WalletCoin[]) => this.#from(key, intent, coins.filter((coin) => !taken.has(outpoint(coin)))); // prettier-ignore
    if (!holdings.hasMore(key)) return { intent, payment: from(own) };
    for (let attempt = 0; attempt < MAX_GUESSES; attempt++) {
      try {
        const payment = from([...own, ...holdings.remembered(key)]);
        if (await holdings.confirm(key, payment.inputs)) return { intent, payment };
      } catch (error) {
        if (!(error instanceof Refusal) || !SHORT.has(error.code)) throw error;
        // Of what is known; there may be more by now.
        break;
      }
    }
    return { intent, payment: from(await holdings.all(key)) };
  }

  #from(key: WalletKey, intent: PaymentIntent, coins: readonly WalletCoin[]): UnsignedPayment {
    const { network, policy } = this.context;
    return buildPayment({
      wallet: scriptOf(key),
      below: (path) => scriptOf(key, path),
      changePath: (account) => [account, CHANGE, this.book.next(key.walletId, account, CHANGE)],
      network,
      intent,
      coins,
      policy,
    });
  }
}

function satoshis(amount: number, field: string): bigint {
  if (Number.isSafeInteger(amount) && amount > 0) return BigInt(amount);
  throw new Refusal('bad_amount', field, `${amount} is no amount in satoshis`, 'give a whole number above 0', 422);
}
