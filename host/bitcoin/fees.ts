/**
 * Fees. Weights are in weight units (BIP-141, 4 per virtual byte), rates in satoshis per 1000 virtual bytes (sat/kvB) as integers, so that
 * every node computes the same fee to the satoshi.
 */
import { Refusal } from '../base/errors.ts';
import { outputSize, varIntSize, type SpendType } from './scripts.ts';

/** Satoshis per 1000 virtual bytes. 1 sat/vB = 1000. */
export type FeeRate = bigint;

/**
 * Bytes of an input's witness at most. ECDSA: DER of (r < 2^256, s ≤ q/2) is at most 71 bytes and one for the sighash type; a real signature
 * is that or one byte shorter, so what is paid is at least the rate asked for. Schnorr with SIGHASH_DEFAULT is always 64.
 */
const WITNESS_BYTES: Readonly<Record<SpendType, number>> = {
  p2wpkh: 1 + (1 + 72) + (1 + 33),
  p2wsh: 1 + (1 + 72) + (1 + 35),
  p2tr: 1 + (1 + 64),
};
/** Outpoint 36, empty script 1, sequence 4. */
const INPUT_BYTES = 41;

/** Weight of one input, its witness included: 272 (P2WPKH), 274 (P2WSH), 230 (P2TR). */
export const inputWeight = (type: SpendType): number => INPUT_BYTES * 4 + WITNESS_BYTES[type];

/** Weight of one output. */
export const outputWeight = (script: Uint8Array): number => outputSize(script) * 4;

/** Weight, at most, of the signed transaction: `inputs` inputs of one type, these output scripts. */
export function transactionWeight(type: SpendType, inputs: number, outputScripts: readonly Uint8Array[]): number {
  const frame = (4 + varIntSize(inputs) + varIntSize(outputScripts.length) + 4) * 4 + 2;
  return frame + inputs * inputWeight(type) + outputScripts.reduce((sum, script) => sum + outputWeight(script), 0);
}

/** Virtual bytes: weight / 4, rounded up. */
export const virtualSize = (weight: number): number => Math.ceil(weight / 4);

/** The least fee that pays `rate` for the virtual size of `weight`, rounded up to a satoshi. */
export const feeFor = (weight: number, rate: FeeRate): bigint => (BigInt(virtualSize(weight)) * rate + 999n) / 1000n;

/** sat/vB as people write it → sat/kvB, rounded up. @throws Refusal unless it is a positive number of at most 100 000 sat/vB. */
export function feeRate(satPerVirtualByte: number, field = 'fee_rate'): FeeRate {
  if (!Number.isFinite(satPerVirtualByte) || satPerVirtualByte <= 0 || satPerVirtualByte > 100_000) {
    throw new Refusal(
      'bad_fee_rate',
      field,
      `a fee rate of ${satPerVirtualByte} sat/vB is not usable`,
      'give a positive number of satoshis per virtual byte, or none',
    );
  }
  // toFixed first: 1.1 · 1000 is 1100.0000000000002, which must not round up to 1101.
  return BigInt(Math.ceil(Number((satPerVirtualByte * 1000).toFixed(6))));
}

/** sat/kvB → sat/vB for display. */
export const satPerVirtualByte = (rate: FeeRate): number => Number(rate) / 1000;

/** What a payment may cost. Every node holds its own and checks by it. */
export interface FeePolicy {
  /** Below it no node relays. */
  readonly minFeeRate: FeeRate;
  readonly maxFeeRate: FeeRate;
  /** Satoshis, whatever the amount. */
  readonly maxFee: bigint;
  /** Largest fee as thousandths of the amount paid, applied to fees above `exemptFee` (a small payment may cost a large share). */
  readonly maxFeePermille: bigint;
  readonly exemptFee: bigint;
}

export const DEFAULT_FEE_POLICY: FeePolicy = {
  minFeeRate: 1_000n,
  maxFeeRate: 1_000_000n,
  maxFee: 1_000_000n,
  maxFeePermille: 100n,
  exemptFee: 10_000n,
};

/** @throws Refusal when the rate is outside the policy. */
export function checkFeeRate(rate: FeeRate, policy: FeePolicy, field = 'fee_rate'): void {
  const show = (r: FeeRate): string => `${satPerVirtualByte(r)} sat/vB`;
  if (rate < policy.minFeeRate) {
    throw new Refusal(
      'fee_below_relay',
      field,
      `${show(rate)} is below the least rate nodes relay`,
      `use at least ${show(policy.minFeeRate)}`,
      422,
    );
  }
  if (rate > policy.maxFeeRate) {
    throw new Refusal(
      'fee_rate_over_cap',
      field,
      `${show(rate)} is above the cap of this wallet's policy`,
      `use at most ${show(policy.maxFeeRate)}`,
      422,
    );
  }
}

/** @throws Refusal when the fee, for this amount and weight, is over a cap or under the relay minimum. */
export function checkFee(fee: bigint, amount: bigint, weight: number, policy: FeePolicy, field = 'fee_rate'): void {
  if (fee < feeFor(weight, policy.minFeeRate)) {
    throw new Refusal(
      'fee_below_relay',
      field,
      `a fee of ${fee} sat for ${virtualSize(weight)} vB is not relayed`,
      `pay at least ${feeFor(weight, policy.minFeeRate)} sat`,
      422,
    );
  }
  if (fee > policy.maxFee) {
    throw new Refusal(
      'fee_over_cap',
      field,
      `a fee of ${fee} sat is over the cap of ${policy.maxFee} sat`,
      'use a lower fee rate, or raise the cap in the policy of every node',
      422,
    );
  }
  if (fee > policy.exemptFee && fee * 1000n > amount * policy.maxFeePermille) {
    throw new Refusal(
      'fee_over_cap',
      field,
      `a fee of ${fee} sat is more than ${Number(policy.maxFeePermille) / 10} % of the ${amount} sat paid`,
      'use a lower fee rate, send more at once, or raise the cap in the policy of every node',
      422,
    );
  }
}
