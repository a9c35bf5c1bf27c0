import { describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { addressOf } from './address.ts';
import { DEFAULT_PAYMENT_POLICY } from './coins.ts';
import { feeOf, type PaymentIntent, type UnsignedPayment } from './payment.ts';
import { coinOf, singleKey } from './testing/single-key.ts';
import { buildPayment } from './transaction.ts';
import { validatePayment, type ValidationContext } from './validation.ts';

const { wallet } = singleKey('p2wpkh', 'payer');
const stranger = singleKey('p2wpkh', 'stranger').wallet;
const policy = DEFAULT_PAYMENT_POLICY;
const intent: PaymentIntent = {
  recipients: [{ address: addressOf(singleKey('p2tr', 'payee').wallet.script, 'regtest'), amount: 120_000n }],
  metadata: utf8('invoice 7'),
  feeRate: 2_000n,
};
const coins = [coinOf(wallet, 1, 100_000n, 3), coinOf(wallet, 2, 90_000n, 1), coinOf(wallet, 3, 80_000n, 0)];
const context: ValidationContext = { wallet, network: 'regtest', policy, intent, view: { tipHeight: 200, coins } };
const payment = buildPayment({ wallet, network: 'regtest', intent, coins, policy, locktime: 200 });

const [input] = payment.inputs;
const change = payment.outputs[2]!;
type Change = Partial<{ -readonly [K in keyof UnsignedPayment]: UnsignedPayment[K] }>;
const withInput = (part: Partial<UnsignedPayment['inputs'][number]>): Change => ({
  inputs: payment.inputs.with(0, { ...input!, ...part }),
});
const withChange = (part: Partial<UnsignedPayment['outputs'][number]>): Change => ({
  outputs: payment.outputs.with(2, { ...change, ...part }),
});

const code = (changed: Change, other: Partial<ValidationContext> = {}): string => {
  try {
    validatePayment({ ...payment, ...changed }, { ...context, ...other });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    expect(error.field).not.toBe('');
    expect(error.remedy).not.toBe('');
    return error.code;
  }
  return 'accepted';
};

test('what this wallet builds, it accepts: with change, without, and for every type', () => {
  expect(code({})).toBe('accepted');
  for (const type of ['p2wpkh', 'p2wsh', 'p2tr'] as const) {
    const own = singleKey(type, 'payer').wallet;
    const view = { tipHeight: 0, coins: [coinOf(own, 1, 121_000n)] };
    // Leaves between nothing and a few hundred satoshis: around the dust limit of the change.
    for (let amount = 119_900n; amount <= 120_680n; amount += 13n) {
      const request = { ...intent, recipients: [{ ...intent.recipients[0]!, amount }] };
      const built = buildPayment({ wallet: own, network: 'regtest', intent: request, coins: view.coins, policy });
      expect(() => validatePayment(built, { wallet: own, network: 'regtest', policy, intent: request, view })).not.toThrow();
    }
  }
});

describe('refused, each by its own rule', () => {
  test.each<[string, string, Change]>([
    ['another network', 'wrong_network', { network: 'mainnet' }],
    ['transaction version 1', 'bad_version', { version: 1 }],
    ['a lock in the future', 'bad_locktime', { locktime: 201 }],
    ['a lock by time', 'bad_locktime', { locktime: 1_700_000_000 }],
    ['no input', 'no_input', { inputs: [] }],
    ['the same coin twice', 'duplicate_input', { inputs: [input!, input!] }],
    ['a coin of somebody else', 'foreign_input', withInput({ script: stranger.script })],
    ['a witness script where none belongs', 'foreign_input', withInput({ witnessScript: new Uint8Array(35) })],
    ['a coin that does not exist', 'unknown_input', withInput({ txid: 'ff'.repeat(32) })],
    ['another output of the same transaction', 'unknown_input', withInput({ vout: input!.vout + 1 })],
    ['a larger value than the coin has', 'wrong_value', withInput({ value: input!.value + 1n })],
    ['a smaller value than the coin has', 'wrong_value', withInput({ value: input!.value - 1n })],
    ['an unconfirmed coin', 'unconfirmed_input', withInput({ txid: coins[2]!.txid, vout: coins[2]!.vout, value: coins[2]!.value })],
    ['a final sequence', 'bad_sequence', withInput({ sequence: 0xffffffff })],
    ['a relative lock', 'bad_sequence', withInput({ sequence: 10 })],
    ['another payee', 'wrong_output', { outputs: payment.outputs.with(0, { ...payment.outputs[0]!, script: stranger.script }) }],
    ['another amount', 'wrong_output', { outputs: payment.outputs.with(0, { ...payment.outputs[0]!, value: 119_999n }) }],
    ['other metadata', 'wrong_output', { outputs: payment.outputs.with(1, { ...payment.outputs[1]!, script: Uint8Array.of(0x6a, 1, 1) }) }],
    ['metadata left out', 'wrong_output', { outputs: payment.outputs.toSpliced(1, 1), changeIndex: 1 }],
    ['the payee left out', 'wrong_output', { outputs: payment.outputs.slice(1), changeIndex: 1 }],
    ['one output more', 'surplus_output', { outputs: [...payment.outputs, { script: stranger.script, value: 1_000n }] }],
    ['change that is not declared', 'surplus_output', { changeIndex: undefined }],
    ['the payee called change', 'surplus_output', { changeIndex: 0 }],
    ['change declared and missing', 'surplus_output', { outputs: payment.outputs.slice(0, 2) }],
    ['change to somebody else', 'foreign_change', withChange({ script: stranger.script })],
    ['change of dust', 'dust', withChange({ value: 293n })],
    ['more out than in', 'bad_amount', withChange({ value: change.value + feeOf(payment) + 1n })],
    ['a fee below what is relayed', 'fee_below_relay', withChange({ value: change.value + feeOf(payment) - 1n })],
    ['a fee of a tenth less than agreed', 'wrong_fee', withChange({ value: change.value + feeOf(payment) / 10n })],
    ['a satoshi too much in fees', 'wrong_fee', withChange({ value: change.value - 1n })],
    ['change burnt as fee', 'fee_over_cap', { outputs: payment.outputs.slice(0, 2), changeIndex: undefined }],
    ['another rate than agreed', 'wrong_fee_rate', { feeRate: 2_001n }],
  ])('%s', (_, expected, changed) => {
    expect(code(changed)).toBe(expected);
  });

  test.each<[string, string, Partial<ValidationContext>]>([
    ['a network of its own', 'wrong_network', { network: 'signet' }],
    ['a chain that does not have the coin', 'unknown_input', { view: { tipHeight: 200, coins: coins.slice(1) } }],
    [
      'a chain where the coin is worth less',
      'wrong_value',
      { view: { tipHeight: 200, coins: [{ ...coins[0]!, value: 1n }, ...coins.slice(1)] } },
    ],
    [
      'a chain where the coin is locked otherwise',
      'foreign_input',
      { view: { tipHeight: 200, coins: [{ ...coins[0]!, script: stranger.script }, ...coins.slice(1)] } },
    ],
    ['a shorter chain', 'bad_locktime', { view: { tipHeight: 199, coins } }],
    ['stricter confirmations', 'unconfirmed_input', { policy: { ...policy, minConfirmations: 4 } }],
    ['fewer inputs allowed', 'too_many_inputs', { policy: { ...policy, maxInputs: 1 } }],
    ['a lower fee cap', 'fee_over_cap', { policy: { ...policy, maxFee: 100n } }],
    ['a lower share', 'fee_over_cap', { policy: { ...policy, maxFeePermille: 1n, exemptFee: 0n } }],
    ['a lower rate cap', 'fee_rate_over_cap', { policy: { ...policy, maxFeeRate: 1_500n } }],
    ['another request', 'wrong_output', { intent: { ...intent, recipients: [{ ...intent.recipients[0]!, amount: 119_000n }] } }],
    ['a request at another rate', 'wrong_fee_rate', { intent: { ...intent, feeRate: 3_000n } }],
    ['another wallet', 'foreign_input', { wallet: stranger }],
  ])('a node with %s refuses', (_, expected, other) => {
    expect(code({}, other)).toBe(expected);
  });
});

describe('keys below the wallet’s', () => {
  const at = (path: readonly number[]) => singleKey('p2wpkh', `payer at ${path.join('/')}`).wallet;
  const derivedCoins = [
    { ...coinOf(wallet, 1, 50_000n, 3), path: [] },
    { ...coinOf(at([7, 0, 3]), 2, 60_000n, 3), path: [7, 0, 3] },
    { ...coinOf(at([8, 0, 0]), 4, 40_000n, 3), path: [8, 0, 0] },
  ];
  const mixed: ValidationContext = { ...context, below: at, view: { tipHeight: 200, coins: derivedCoins } };
  const build = (coins = derivedCoins, changePath: readonly number[] = [7, 1, 2]) =>
    buildPayment({ wallet, below: at, changePath: () => changePath, network: 'regtest', intent, coins, policy, locktime: 200 });
  const built = build();
  const input = (i: number, part: Partial<UnsignedPayment['inputs'][number]>): Change => ({
    inputs: built.inputs.with(i, { ...built.inputs[i]!, ...part }),
  });
  const verdict = (changed: Change, other: Partial<ValidationContext> = {}) => code({ ...built, ...changed }, { ...mixed, ...other });

  test('are spent beside its own; change goes to the account of the first of them, and to the own address when there is none', () => {
    expect(built.inputs.map(({ path }) => path)).toEqual([[7, 0, 3], [], [8, 0, 0]]);
    expect(built.changePath).toEqual([7, 1, 2]);
    expect(built.outputs[2]!.script).toEqual(at([7, 1, 2]).script);
    expect(verdict({})).toBe('accepted');
    expect(payment).toMatchObject({ changePath: [], inputs: [{ path: [] }, { path: [] }] });
  });

  test.each<[string, string, Change]>([
    ['a path of one step', 'bad_path', input(0, { path: [7] })],
    ['a path of two steps', 'bad_path', input(0, { path: [7, 0] })],
    ['a chain that is neither receive nor change', 'bad_path', input(0, { path: [7, 2, 3] })],
    ['a hardened account', 'bad_path', input(0, { path: [0x80000007, 0, 3] })],
    ['a hardened index', 'bad_path', input(0, { path: [7, 0, 0x80000003] })],
    ['the path of another key of the wallet', 'foreign_input', input(0, { path: [7, 0, 4] })],
    ['the path of another account', 'foreign_input', input(0, { path: [8, 0, 0] })],
    ['no path where the coin has one', 'foreign_input', input(0, { path: [] })],
    ['a path where the coin has none', 'foreign_input', input(1, { path: [7, 0, 3] })],
    ['a script that is not of its path', 'foreign_input', input(0, { script: wallet.script })],
    ['change to the own address', 'bad_path', { ...build(), changePath: [] }],
    ['change to another account', 'bad_path', { ...build(), changePath: [8, 1, 2] }],
    ['change to a receiving address', 'bad_path', { ...build(), changePath: [7, 0, 2] }],
    ['change at a path of four steps', 'bad_path', { ...build(), changePath: [7, 1, 2, 0] }],
    ['change at another index than its script', 'foreign_change', { ...build(), changePath: [7, 1, 3] }],
  ])('%s is refused', (_, expected, changed) => {
    expect(verdict(changed)).toBe(expected);
  });

  test('change of own coins stays at the own address; a path without change is refused', () => {
    expect(code({ changePath: [7, 1, 0] }, { below: at })).toBe('bad_path');
    const whole = { ...intent, recipients: [{ ...intent.recipients[0]!, amount: 149_300n }] };
    const exact = buildPayment({ wallet, below: at, network: 'regtest', intent: whole, coins: derivedCoins, policy });
    expect(exact.changePath).toEqual([]);
    expect(code(exact, { ...mixed, intent: whole })).toBe('accepted');
    expect(code({ ...exact, changePath: [7, 1, 0] }, { ...mixed, intent: whole })).toBe('bad_path');
  });

  test('a coin of an address that the node did not see there is unknown to it', () => {
    expect(verdict({}, { view: { tipHeight: 200, coins: derivedCoins.slice(0, 2) } })).toBe('unknown_input');
    expect(code(built, { ...context, view: mixed.view })).toBe('bad_path');
  });
});
