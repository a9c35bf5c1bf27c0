import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Refusal } from '../base/errors.ts';
import {
  DEFAULT_PAYMENT_POLICY,
  outpoint,
  selectCoins,
  selectInOrder,
  type Coin,
  type Output,
  type PaymentPolicy,
  type Selection,
} from './coins.ts';
import { feeFor, feeRate, inputWeight, outputWeight, transactionWeight } from './fees.ts';
import { dustLimit, metadataScript, walletScript, type SpendType } from './scripts.ts';
import { coinOf, singleKey } from './testing/single-key.ts';

const policy: PaymentPolicy = { ...DEFAULT_PAYMENT_POLICY, maxFeePermille: 1_000_000n, maxFee: 10_000_000n };
const wallets = { p2wpkh: singleKey('p2wpkh', 'a').wallet, p2wsh: singleKey('p2wsh', 'a').wallet, p2tr: singleKey('p2tr', 'a').wallet };
const recipient = walletScript('p2wpkh', singleKey('p2wpkh', 'recipient').wallet.publicKey).script;

const choose = (
  coins: readonly Coin[],
  value: bigint,
  options: { type?: SpendType; rate?: bigint; policy?: PaymentPolicy } = {},
): Selection =>
  selectCoins({
    coins,
    wallet: wallets[options.type ?? 'p2wpkh'],
    outputs: [{ script: recipient, value }],
    rate: options.rate ?? 1_000n,
    policy: options.policy ?? policy,
  });
const coins = (...values: number[]): Coin[] => values.map((value, i) => coinOf(wallets.p2wpkh, i + 1, BigInt(value)));
const refusal = (act: () => unknown): Refusal => {
  try {
    act();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('weights', () => {
  test('known virtual sizes', () => {
    expect([inputWeight('p2wpkh'), inputWeight('p2wsh'), inputWeight('p2tr')]).toEqual([272, 274, 230]);
    expect(outputWeight(wallets.p2wpkh.script) / 4).toBe(31);
    expect(outputWeight(wallets.p2tr.script) / 4).toBe(43);
    expect(outputWeight(metadataScript(new Uint8Array(80))) / 4).toBe(92);
    // One input, two outputs: the everyday payment.
    expect(transactionWeight('p2wpkh', 1, [recipient, wallets.p2wpkh.script])).toBe(562);
    expect(transactionWeight('p2tr', 1, [recipient, wallets.p2tr.script])).toBe(568);
  });

  test('rates: sat/vB to sat/kvB, rounded up', () => {
    expect([feeRate(1), feeRate(1.1), feeRate(2.0005), feeRate(0.0001)]).toEqual([1000n, 1100n, 2001n, 1n]);
    for (const bad of [0, -1, NaN, Infinity, 1e9]) expect(() => feeRate(bad)).toThrow(Refusal);
    expect(feeFor(561, 1_000n)).toBe(141n);
    expect(feeFor(561, 1_001n)).toBe(142n);
  });
});

describe('selection', () => {
  test('largest first, as few as needed', () => {
    const chosen = choose(coins(10_000, 50_000, 20_000), 60_000n);
    expect(chosen.inputs.map((coin) => coin.value)).toEqual([50_000n, 20_000n]);
    expect(chosen.change).toBe(10_000n - chosen.fee);
  });

  test('equal values: by txid, then by output index, whatever the order they come in', () => {
    const same = [3, 1, 2].map((n) => coinOf(wallets.p2wpkh, n, 10_000n));
    const twins = [
      { ...same[0]!, vout: 7 },
      { ...same[0]!, vout: 5 },
    ];
    const expected = ['1', '2', '3'].map((n) => n.padStart(64, '0'));
    expect(choose(same, 25_000n).inputs.map((coin) => coin.txid)).toEqual(expected);
    expect(choose(twins, 15_000n).inputs.map((coin) => coin.vout)).toEqual([5, 7]);
  });

  test('unconfirmed coins are never spent, and said to be waiting', () => {
    const waiting = [coinOf(wallets.p2wpkh, 1, 90_000n, 0), coinOf(wallets.p2wpkh, 2, 10_000n, 1)];
    const error = refusal(() => choose(waiting, 50_000n));
    expect(error.code).toBe('insufficient_funds');
    expect(error.message).toContain('90000 sat more are not confirmed yet');
    // A policy of 0 does not change that.
    expect(() => choose(waiting, 50_000n, { policy: { ...policy, minConfirmations: 0 } })).toThrow(Refusal);
    expect(() => choose([coinOf(wallets.p2wpkh, 1, 90_000n, 2)], 50_000n, { policy: { ...policy, minConfirmations: 3 } })).toThrow(Refusal);
  });

  test('change at the dust limit stays, one satoshi less goes into the fee', () => {
    const feeWithChange = feeFor(transactionWeight('p2wpkh', 1, [recipient, wallets.p2wpkh.script]), 1_000n);
    const exact = choose(coins(100_000), 100_000n - feeWithChange - 294n);
    expect(exact).toMatchObject({ change: 294n, fee: feeWithChange });
    const below = choose(coins(100_000), 100_000n - feeWithChange - 293n);
    expect(below).toMatchObject({ change: 0n, fee: feeWithChange + 293n });
  });

  test('the most that is said to be available can be sent, one satoshi more cannot', () => {
    const three = coins(10_000, 50_000, 100);
    const error = refusal(() => choose(three, 1_000_000n, { rate: 5_000n }));
    const available = BigInt(/at most (\d+) sat/.exec(error.remedy)![1]!);
    expect(choose(three, available, { rate: 5_000n }).change).toBe(0n);
    expect(() => choose(three, available + 1n, { rate: 5_000n })).toThrow(Refusal);
    // The coin of 100 sat costs more than it brings.
    expect(choose(three, available, { rate: 5_000n }).inputs).toHaveLength(2);
  });

  test('an empty wallet says what to do', () => {
    expect(refusal(() => choose([], 1_000n)).remedy).toMatch(/fund the wallet/);
  });

  test('more inputs than allowed', () => {
    const error = refusal(() => choose(coins(...Array<number>(5).fill(10_000)), 25_000n, { policy: { ...policy, maxInputs: 2 } }));
    expect(error.code).toBe('too_many_inputs');
    const available = BigInt(/at most (\d+) sat/.exec(error.remedy)![1]!);
    expect(choose(coins(...Array<number>(5).fill(10_000)), available, { policy: { ...policy, maxInputs: 2 } }).inputs).toHaveLength(2);
  });

  test.each([
    ['absolute', { ...policy, maxFee: 1_000n }, 50_000n, /cap of 1000 sat/],
    ['share of the amount', { ...policy, maxFeePermille: 100n, exemptFee: 0n }, 10_000n, /10 % of the 10000 sat/],
  ] as const)('fee cap, %s', (_, capped, amount, message) => {
    const error = refusal(() => choose(coins(100_000), amount, { rate: 10_000n, policy: capped }));
    expect(error.code).toBe('fee_over_cap');
    expect(error.message).toMatch(message);
  });

  test('the share does not bind fees below the exemption', () => {
    expect(choose(coins(100_000), 1_000n, { rate: 10_000n, policy: { ...policy, maxFeePermille: 100n, exemptFee: 10_000n } }).fee).toBe(
      1_410n,
    );
  });

  test('rates outside the policy', () => {
    expect(refusal(() => choose(coins(100_000), 1_000n, { rate: 999n })).code).toBe('fee_below_relay');
    expect(refusal(() => choose(coins(100_000), 1_000n, { rate: policy.maxFeeRate + 1n })).code).toBe('fee_rate_over_cap');
  });

  test('for any coins and payment: it balances, pays the rate, makes no dust, and does not depend on the order', () => {
    const value = fc.bigInt({ min: 1n, max: 500_000n });
    const world = fc.record({
      type: fc.constantFrom<SpendType>('p2wpkh', 'p2wsh', 'p2tr'),
      values: fc.array(fc.tuple(value, fc.nat({ max: 3 })), { maxLength: 25 }),
      amounts: fc.array(fc.bigInt({ min: 546n, max: 400_000n }), { minLength: 1, maxLength: 4 }),
      metadata: fc.option(fc.uint8Array({ minLength: 1, maxLength: 80 }), { nil: undefined }),
      rate: fc.bigInt({ min: 1_000n, max: 50_000n }),
    });
    let paid = 0;
    fc.assert(
      fc.property(world, ({ type, values, amounts, metadata, rate }) => {
        const wallet = wallets[type];
        const all = values.map(([v, confirmations], i) => coinOf(wallet, i + 1, v, confirmations));
        const outputs: Output[] = amounts.map((v) => ({ script: recipient, value: v }));
        if (metadata !== undefined) outputs.push({ script: metadataScript(metadata), value: 0n });
        const select = (coins: readonly Coin[]): Selection => selectCoins({ coins, wallet, outputs, rate, policy });

        let chosen: Selection;
        try {
          chosen = select(all);
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal);
          // Refused for good reason: all confirmed coins within the limit do not cover amount and fee.
          const sorted = all.filter((coin) => coin.confirmations > 0).sort((a, b) => Number(b.value - a.value));
          const wanted = amounts.reduce((sum, v) => sum + v, 0n);
          const covers = sorted.slice(0, policy.maxInputs).some((_, i) => {
            const total = sorted.slice(0, i + 1).reduce((sum, coin) => sum + coin.value, 0n);
            return total >= wanted + feeFor(transactionWeight(type, i + 1, outputs.map((o) => o.script)), rate); // prettier-ignore
          });
          expect(covers).toBe(false);
          return;
        }
        paid++;
        const inputs = chosen.inputs.reduce((sum, coin) => sum + coin.value, 0n);
        expect(inputs).toBe(amounts.reduce((sum, v) => sum + v, 0n) + chosen.change + chosen.fee);
        expect(new Set(chosen.inputs.map(outpoint)).size).toBe(chosen.inputs.length);
        expect(chosen.inputs.every((coin) => coin.confirmations >= 1)).toBe(true);
        expect(chosen.fee).toBeGreaterThanOrEqual(feeFor(chosen.weight, rate));
        if (chosen.change > 0n) {
          expect(chosen.change).toBeGreaterThanOrEqual(dustLimit(wallet.script));
          expect(chosen.fee).toBe(feeFor(chosen.weight, rate));
        }
        expect(select([...all].reverse())).toEqual(chosen);
      }),
      { numRuns: 500 },
    );
    expect(paid).toBeGreaterThan(100);
  });

  test('in an order: as few coins as of all, from the shortest beginning that has them', () => {
    const world = fc.record({
      values: fc.array(fc.bigInt({ min: 1n, max: 200_000n }), { minLength: 1, maxLength: 40 }),
      amount: fc.bigInt({ min: 546n, max: 600_000n }),
    });
    let several = 0;
    fc.assert(
      fc.property(world, ({ values, amount }) => {
        const request = { wallet: wallets.p2wpkh, outputs: [{ script: recipient, value: amount }], rate: 1_000n, policy };
        const of = (some: readonly Coin[]): Selection | undefined => {
          try {
            return selectCoins({ ...request, coins: some });
          } catch {
            return undefined; // these do not suffice
          }
        };
        const all = values.map((value, i) => coinOf(wallets.p2wpkh, i + 1, value));
        const fewest = of(all);
        if (fewest === undefined) {
          expect(() => selectInOrder({ ...request, coins: all })).toThrow(Refusal);
          return;
        }
        const beginnings = all.map((_, i) => of(all.slice(0, i + 1)));
        expect(selectInOrder({ ...request, coins: all })).toEqual(beginnings.find((chosen) => chosen?.inputs.length === fewest.inputs.length)); // prettier-ignore
        if (fewest.inputs.length > 1) several++;
      }),
      { numRuns: 200 },
    );
    expect(several).toBeGreaterThan(20);
  });
});
