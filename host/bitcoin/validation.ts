/**
 * What every node checks by itself before it votes for a payment and before it signs one. Nothing is taken from the proposer: the wallet's
 * scripts, the network, the policy and the view of the chain are the node's own; only the intent comes with the request. A path says which of the
 * wallet's keys is meant; the script is derived here.
 */
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { outpoint, type Coin, type PaymentPolicy } from './coins.ts';
import { checkFee, checkFeeRate, feeFor, outputWeight, transactionWeight } from './fees.ts';
import type { Network } from './networks.ts';
import { amountOf, feeOf, LOCKTIME_THRESHOLD, SEQUENCE, type PaymentIntent, type UnsignedPayment } from './payment.ts';
import { CHANGE, changeAccount, isWalletPath, showPath, type WalletPath } from './paths.ts';
import { dustLimit, type ScriptAt, type WalletScript } from './scripts.ts';
import { intendedOutputs } from './transaction.ts';

/** What this node's own backend says. */
export interface ChainView {
  readonly tipHeight: number;
  /** Unspent outputs of the addresses that the payment spends from, each verified against its transaction (`Esplora.coinsOf`). */
  readonly coins: readonly Coin[];
}

export interface ValidationContext {
  readonly wallet: WalletScript;
  /** Keys below the wallet's; a wallet without them has one address. */
  readonly below?: ScriptAt;
  readonly network: Network;
  readonly policy: PaymentPolicy;
  readonly intent: PaymentIntent;
  readonly view: ChainView;
}

/** Largest weight nodes relay. */
const MAX_STANDARD_WEIGHT = 400_000;
const REBUILD = 'build the payment again from the current state of the chain';

/** @throws Refusal naming the rule that the payment breaks; returns when it breaks none. */
export function validatePayment(payment: UnsignedPayment, context: ValidationContext): void {
  checkFrame(payment, context);
  spentPaths(payment, context.policy);
  checkInputs(payment, context);
  checkOutputs(payment, context);
  checkCost(payment, context);
}

function checkFrame(payment: UnsignedPayment, { network, view }: ValidationContext): void {
  if (payment.network !== network) {
    throw new Refusal(
      'wrong_network',
      'network',
      `the payment is for ${payment.network}, this wallet for ${network}`,
      `build it for ${network}`,
    );
  }
  if (payment.version !== 2) throw new Refusal('bad_version', 'version', `transaction version ${payment.version}`, 'use version 2');
  if (payment.locktime >= LOCKTIME_THRESHOLD || payment.locktime > view.tipHeight) {
    throw new Refusal(
      'bad_locktime',
      'locktime',
      `lock time ${payment.locktime} is not a height up to the tip ${view.tipHeight}`,
      'use 0 or the height of the tip',
      422,
    );
  }
}

/**
 * The paths of the inputs, each once, so that a node knows which addresses to look at. @throws Refusal for a path of another shape, and for more inputs
 * than allowed: each address is a question to the backend.
 */
export function spentPaths({ inputs }: Pick<UnsignedPayment, 'inputs'>, policy: Pick<PaymentPolicy, 'maxInputs'>): WalletPath[] {
  if (inputs.length === 0) throw new Refusal('no_input', 'inputs', 'the payment spends nothing', REBUILD);
  if (inputs.length > policy.maxInputs) {
    throw new Refusal(
      'too_many_inputs',
      'inputs',
      `${inputs.length} inputs, at most ${policy.maxInputs} are allowed`,
      'send less at once',
      422,
    );
  }
  for (const [i, { path }] of inputs.entries()) if (!isWalletPath(path)) throw badPath(`inputs[${i}].path`, path);
  return [...new Map(inputs.map(({ path }) => [path.join('/'), path])).values()];
}

const badPath = (field: string, path: WalletPath): Refusal =>
  new Refusal(
    'bad_path',
    field,
    `${showPath(path)} is not the path of an address here`,
    'use account/0/index, account/1/index for change, or none',
  );

/** The wallet's script at a path. @throws Refusal where the wallet has no key. */
function scriptAt(path: WalletPath, field: string, { wallet, below }: ValidationContext): WalletScript {
  if (path.length === 0) return wallet;
  if (below === undefined) throw badPath(field, path);
  return below(path);
}

function checkInputs({ inputs }: UnsignedPayment, context: ValidationContext): void {
  const { policy, view } = context;
  const coins = new Map(view.coins.map((coin) => [outpoint(coin), coin]));
  const seen = new Set<string>();
  for (const [i, input] of inputs.entries()) {
    const field = `inputs[${i}]`;
    const name = outpoint(input);
    if (seen.has(name)) throw new Refusal('duplicate_input', field, `${name} is spent twice in one payment`, REBUILD);
    seen.add(name);

    const own = scriptAt(input.path, `${field}.path`, context);
    if (!equalBytes(input.script, own.script) || !sameBytes(input.witnessScript, own.witnessScript)) {
      throw new Refusal(
        'foreign_input',
        `${field}.script`,
        `${name} is not locked to this wallet's key at ${showPath(input.path)}`,
        'spend only coins of the wallet',
      );
    }
    const coin = coins.get(name);
    if (coin === undefined) throw new Refusal('unknown_input', field, `${name} is not an unspent coin of this wallet`, REBUILD, 409);
    if (!equalBytes(coin.script, input.script)) {
      throw new Refusal(
        'foreign_input',
        `${field}.script`,
        `${name} is locked by another script on the chain`,
        'spend only coins of the wallet',
      );
    }
    if (coin.value !== input.value) {
      throw new Refusal('wrong_value', `${field}.value`, `${name} holds ${coin.value} sat, not ${input.value}`, REBUILD);
    }
    if (coin.confirmations < Math.max(1, policy.minConfirmations)) {
      throw new Refusal(
        'unconfirmed_input',
        field,
        `${name} has ${coin.confirmations} confirmations, ${policy.minConfirmations} are needed`,
        'wait for the next block',
        409,
      );
    }
    if (input.sequence !== SEQUENCE) {
      throw new Refusal('bad_sequence', `${field}.sequence`, `sequence 0x${input.sequence.toString(16)}`, `use 0x${SEQUENCE.toString(16)}`);
    }
  }
}

/** Recipients and metadata exactly as asked for, then at most one output more: change to the wallet. */
function checkOutputs(payment: UnsignedPayment, context: ValidationContext): void {
  const { network, policy, intent } = context;
  const { outputs, changeIndex, changePath } = payment;
  const expected = intendedOutputs(intent, network, policy);
  for (const [i, output] of expected.entries()) {
    const actual = outputs[i];
    if (actual === undefined || actual.value !== output.value || !equalBytes(actual.script, output.script)) {
      throw new Refusal(
        'wrong_output',
        `outputs[${i}]`,
        `output ${i} is not what was asked for`,
        'build the payment again from the request',
      );
    }
  }
  if (outputs.length === expected.length && changeIndex === undefined) {
    if (changePath.length > 0) throw badPath('changePath', changePath);
    return;
  }

  const change = outputs[expected.length];
  if (change === undefined || outputs.length > expected.length + 1 || changeIndex !== expected.length) {
    throw new Refusal(
      'surplus_output',
      'outputs',
      'the payment has outputs nobody asked for, or misnames its change',
      'build the payment again from the request',
    );
  }
  // To the own address if all coins are from there, so that nobody learns of other keys; else to the account of the first that is not.
  const account = changeAccount(payment.inputs);
  const fits = account === undefined ? changePath.length === 0 : changePath[0] === account && changePath[1] === CHANGE;
  if (!fits || !isWalletPath(changePath)) throw badPath('changePath', changePath);
  if (!equalBytes(change.script, scriptAt(changePath, 'changePath', context).script)) {
    throw new Refusal(
      'foreign_change',
      `outputs[${changeIndex}].script`,
      'the change does not go back to the wallet',
      "send change to the wallet's own script",
    );
  }
  if (change.value < dustLimit(change.script)) {
    throw new Refusal(
      'dust',
      `outputs[${changeIndex}].value`,
      `change of ${change.value} sat is dust`,
      'leave it out; it then adds to the fee',
      422,
    );
  }
}

function checkCost(payment: UnsignedPayment, { wallet, policy, intent }: ValidationContext): void {
  const fee = feeOf(payment);
  if (fee < 0n) {
    throw new Refusal('bad_amount', 'outputs', `the payment gives out ${-fee} sat more than it spends`, 'spend more coins or send less');
  }
  if (payment.feeRate !== intent.feeRate) {
    throw new Refusal(
      'wrong_fee_rate',
      'feeRate',
      `the payment is computed for ${payment.feeRate} sat/kvB, ${intent.feeRate} were agreed`,
      'build the payment again from the request',
    );
  }
  checkFeeRate(payment.feeRate, policy);
  const scripts = payment.outputs.map((output) => output.script);
  const weight = transactionWeight(wallet.type, payment.inputs.length, scripts);
  if (weight > MAX_STANDARD_WEIGHT) {
    throw new Refusal(
      'too_large',
      'inputs',
      `a transaction of ${weight} weight units is not relayed`,
      'send to fewer recipients or spend fewer coins',
      422,
    );
  }
  checkFee(fee, amountOf(payment), weight, policy);

  // The fee is the rate's; without change it may also hold what was too little for a change output. A proposer cannot burn more than that.
  const due = feeFor(weight, payment.feeRate);
  const slack = payment.changeIndex === undefined ? dustLimit(wallet.script) + feeFor(outputWeight(wallet.script), payment.feeRate) : 0n;
  if (fee < due || fee > due + slack) {
    throw new Refusal('wrong_fee', 'outputs', `the fee is ${fee} sat; the agreed rate asks for ${due}`, REBUILD);
  }
}

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : equalBytes(a, b);
