/** Payments through the REST API of a running cluster, and what they tell about the time they took. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DevnetClient } from '../host/devnet/client.ts';
import type { TransactionInfo, WalletInfo } from '../host/wallet/types.ts';
import type { RunOptions } from './scenario.ts';

/** Satoshis: what a single payment spends, and what it pays. */
const COIN = 1_000_000;
const PAYMENT = 20_000;
/** Coins of a payment with many inputs: larger than any other coin, so that the wallet, which prefers large coins, takes exactly these. */
const LARGE_COIN = 50_000_000;
/** Left for the fee of such a payment, and as change. */
const MARGIN = 200_000;

export interface Paid {
  readonly transaction: TransactionInfo;
  /** From the request to the answer, which comes when the network has accepted the payment. */
  readonly requestMs: number;
}

export class Payer {
  constructor(
    private readonly client: DevnetClient,
    private readonly wallet: WalletInfo,
    private readonly options: Pick<RunOptions, 'signal'>,
  ) {}

  async #pay(amount: number): Promise<Paid> {
    this.options.signal.throwIfAborted();
    const begin = performance.now();
    const body = { recipients: [{ address: this.wallet.address, amount_sats: amount }] };
    const transaction = await this.client.send(this.wallet.wallet_id, body, randomUUID());
    const requestMs = performance.now() - begin;
    if (transaction.state !== 'broadcast' && transaction.state !== 'confirmed')
      throw new Error(`payment ${transaction.tx_id} ended as ${transaction.state}: ${transaction.error ?? 'no reason given'}`);
    return { transaction, requestMs };
  }

  async #fund(coins: number, satoshis: number): Promise<void> {
    for (let coin = 0; coin < coins; coin++) await this.client.fund(this.wallet.address, satoshis);
  }

  /** `count` payments of one input, each after the one before. */
  async inTurn(count: number): Promise<Paid[]> {
    await this.#fund(count, COIN);
    const paid: Paid[] = [];
    for (let i = 0; i < count; i++) paid.push(await this.#pay(PAYMENT));
    return paid;
  }

  /** `count` payments of one input, `perSecond` begun each second whether or not earlier ones have ended. */
  async paced(count: number, perSecond: number): Promise<Paid[]> {
    await this.#fund(count, COIN);
    const begin = performance.now();
    const paid: Promise<Paid>[] = [];
    for (let i = 0; i < count; i++) {
      const due = begin + (i * 1000) / perSecond;
      await sleep(Math.max(0, due - performance.now()), undefined, { signal: this.options.signal });
      const late = performance.now() - due;
      // A request that this process begins late counts from when it was due.
      paid.push(this.#pay(PAYMENT).then(({ transaction, requestMs }) => ({ transaction, requestMs: requestMs + late })));
    }
    return Promise.all(paid);
  }

  /** `count` payments of one input, up to `atOnce` under way at any time. Resolves with payments per second. */
  async burst(count: number, atOnce: number): Promise<number> {
    await this.#fund(count, COIN);
    const begin = performance.now();
    let begun = 0;
    const one = async (): Promise<void> => {
      while (begun++ < count) await this.#pay(PAYMENT);
    };
    await Promise.all(Array.from({ length: atOnce }, one));
    return (count * 1000) / (performance.now() - begin);
  }

  /** `count` payments of one input, all begun together: those that were made, how many were not, and the time of all. */
  async atOnce(count: number): Promise<{ paid: Paid[]; failed: number; ms: number }> {
    await this.#fund(count, COIN);
    const begin = performance.now();
    const settled = await Promise.allSettled(Array.from({ length: count }, () => this.#pay(PAYMENT)));
    const ms = performance.now() - begin;
    const paid = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    return { paid, failed: count - paid.length, ms };
  }

  /** One payment that spends exactly `inputs` coins: as many signatures. */
  async manyInputs(inputs: number): Promise<Paid> {
    await this.#fund(inputs, LARGE_COIN);
    return this.#pay(inputs * LARGE_COIN - MARGIN);
  }
}

/** Milliseconds of one stage of the payments. Nodes measure whole milliseconds. @throws Error when one has no such time. */
export const stage = (paid: readonly Paid[], name: 'vote' | 'sign'): number[] =>
  paid.map(({ transaction: { tx_id, timings } }) => {
    const ms = timings[name];
    if (ms === undefined) throw new Error(`payment ${tx_id} has no time of the stage ${name}`);
    return ms;
  });

/** @throws Error when a payment was signed in another way than the figure is about. */
export function requireMode(paid: readonly Paid[], mode: NonNullable<TransactionInfo['signing_mode']>): void {
  const other = paid.find(({ transaction }) => transaction.signing_mode !== mode);
  if (other !== undefined)
    throw new Error(`payment ${other.transaction.tx_id} was signed in mode ${other.transaction.signing_mode ?? 'none'}, not ${mode}`);
}
