/**
 * Coin selection: confirmed coins only, largest first, as few as needed; the rest comes back as change unless it would be dust, in which case
 * it goes into the fee. Deterministic: the same coins, outputs and rate give the same selection on every node.
 */
import { Refusal } from '../base/errors.ts';
import { checkFee, checkFeeRate, DEFAULT_FEE_POLICY, feeFor, transactionWeight, type FeePolicy, type FeeRate } from './fees.ts';
import type { WalletPath } from './paths.ts';
import { dustLimit, type WalletScript } from './scripts.ts';

/** An unspent output. */
export interface Coin {
  /** As people write it: byte-reversed hash, 64 lower-case hex digits. */
  readonly txid: string;
  readonly vout: number;
  /** Satoshis. */
  readonly value: bigint;
  readonly script: Uint8Array;
  /** 0 while in the mempool. */
  readonly confirmations: number;
}

/** A coin of the wallet; `path` is where its key is below the wallet's, absent for the wallet's own. */
export interface WalletCoin extends Coin {
  readonly path?: WalletPath;
}

export interface PaymentPolicy extends FeePolicy {
  /** Confirmations a coin needs before it is spent; at least 1. */
  readonly minConfirmations: number;
  /** Each input costs one signature, so one presignature per signer. */
  readonly maxInputs: number;
  readonly maxRecipients: number;
}

export const DEFAULT_PAYMENT_POLICY: PaymentPolicy = { ...DEFAULT_FEE_POLICY, minConfirmations: 1, maxInputs: 20, maxRecipients: 20 };

export interface Output {
  readonly script: Uint8Array;
  readonly value: bigint;
}

export interface Selection {
  readonly inputs: readonly WalletCoin[];
  /** Satoshis back to the wallet; 0 for none. */
  readonly change: bigint;
  readonly fee: bigint;
  /** Estimated weight of the signed transaction: an upper bound. */
  readonly weight: number;
}

export const outpoint = (coin: { readonly txid: string; readonly vout: number }): string => `${coin.txid}:${coin.vout}`;

/** Largest first; equal values by txid, then by output index. */
export function compareCoins(a: Coin, b: Coin): number {
  if (a.value !== b.value) return a.value > b.value ? -1 : 1;
  if (a.txid !== b.txid) return a.txid < b.txid ? -1 : 1;
  return a.vout - b.vout;
}

/**
 * Chooses coins of `wallet` for `outputs` (metadata output included, change not) at `rate`.
 * @throws Refusal: rate outside policy, not enough (says what is available after the fee), too many inputs needed, fee over a cap.
 */
export function selectCoins(request: {
  readonly coins: readonly WalletCoin[];
  /** Of any of the wallet's keys: type and length of its scripts are the same for all. */
  readonly wallet: WalletScript;
  readonly outputs: readonly Output[];
  readonly rate: FeeRate;
  readonly policy: PaymentPolicy;
}): Selection {
  const { wallet, outputs, rate, policy } = request;
  checkFeeRate(rate, policy);
  const usable = request.coins.filter((coin) => coin.confirmations >= Math.max(1, policy.minConfirmations)).sort(compareCoins);
  const scripts = outputs.map((output) => output.script);
  const amount = outputs.reduce((sum, output) => sum + output.value, 0n);
  const weightOf = (inputs: number): number => transactionWeight(wallet.type, inputs, scripts);

  let total = 0n;
  for (const [i, coin] of usable.slice(0, policy.maxInputs).entries()) {
    total += coin.value;
    const count = i + 1;
    const rest = total - amount - feeFor(weightOf(count), rate);
    if (rest < 0n) continue;

    const inputs = usable.slice(0, count);
    const weightWithChange = transactionWeight(wallet.type, count, [...scripts, wallet.script]);
    const change = total - amount - feeFor(weightWithChange, rate);
    const selection =
      change >= dustLimit(wallet.script)
        ? { inputs, change, fee: total - amount - change, weight: weightWithChange }
        : { inputs, change: 0n, fee: total - amount, weight: weightOf(count) };
    checkFee(selection.fee, amount, selection.weight, policy);
    return selection;
  }
  return refuseShortage(usable, request.coins, amount, policy, (inputs) => feeFor(weightOf(inputs), rate));
}

/**
 * The same with a preference: as few coins as {@link selectCoins} takes, but from the shortest beginning of `coins` that has them. More coins never need more
 * inputs, so its length is found by doubling and halving.
 * @throws as {@link selectCoins}
 */
export function selectInOrder(request: Parameters<typeof selectCoins>[0]): Selection {
  const { coins } = request;
  let best = selectCoins(request);
  const fewest = best.inputs.length;
  const within = (length: number): Selection | undefined => {
    try {
      const selection = selectCoins({ ...request, coins: coins.slice(0, length) });
      return selection.inputs.length === fewest ? selection : undefined;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return undefined;
    }
  };
  const take = (length: number): boolean => {
    const found = within(length);
    best = found ?? best;
    return found !== undefined;
  };
  let [less, enough] = [fewest - 1, fewest];
  while (enough < coins.length && !take(enough)) [less, enough] = [enough, 2 * enough];
  enough = Math.min(enough, coins.length);
  while (enough - less > 1) {
    const middle = (less + enough) >> 1;
    if (take(middle)) enough = middle;
    else less = middle;
  }
  return best;
}

/** The most that can be paid with the `max` largest of the sorted coins; `fee` gives the fee by number of inputs. */
function payable(sorted: readonly Coin[], max: number, fee: (inputs: number) => bigint): bigint {
  let best = 0n;
  let total = 0n;
  for (const [i, coin] of sorted.slice(0, max).entries()) {
    total += coin.value;
    const after = total - fee(i + 1);
    if (after > best) best = after;
  }
  return best;
}

function refuseShortage(
  usable: readonly Coin[],
  all: readonly Coin[],
  amount: bigint,
  policy: PaymentPolicy,
  fee: (inputs: number) => bigint,
): never {
  const available = payable(usable, policy.maxInputs, fee);
  if (payable(usable, usable.length, fee) >= amount) {
    throw new Refusal(
      'too_many_inputs',
      'amount_sats',
      `paying ${amount} sat takes more than the ${policy.maxInputs} coins one payment may spend`,
      `send at most ${available} sat at once, or first join small coins by a payment to the wallet's own address`,
      422,
    );
  }
  const balance = usable.reduce((sum, coin) => sum + coin.value, 0n);
  const waiting = all.reduce((sum, coin) => sum + coin.value, 0n) - balance;
  throw new Refusal(
    'insufficient_funds',
    'amount_sats',
    `the wallet cannot pay ${amount} sat plus the fee: its confirmed coins are worth ${balance} sat${waiting > 0n ? ` (${waiting} sat more are not confirmed yet)` : ''}`,
    available > 0n ? `send at most ${available} sat at this fee rate` : 'fund the wallet, and wait for the confirmation',
    422,
  );
}
