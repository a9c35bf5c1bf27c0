/** What the chain asks of a transaction before it enters the mempool: Bitcoin Core's consensus and relay rules as far as the wallet meets them. */
import { hex as toHex } from '../base/bytes.ts';
import { Transaction } from '../bitcoin/library.ts';
import { dustLimit, MAX_MONEY } from '../bitcoin/scripts.ts';
import { spendProblem } from './chain-script.ts';
import { Rejected, scriptType, type Output } from './chain-types.ts';

export const COINBASE_MATURITY = 100;
/** sat/vB. */
export const MIN_RELAY_RATE = 1n;
/** Core refuses to be handed a transaction that pays more than 0.1 BTC per 1000 vB: almost surely a mistake. */
const MAX_FEE_RATE = 10_000n;
const MAX_STANDARD_WEIGHT = 400_000;
const MIN_STANDARD_SIZE = 65;
const MAX_OP_RETURN_SCRIPT = 83;
const LOCKTIME_THRESHOLD = 500_000_000;
const SEQUENCE_FINAL = 0xffffffff;
const RELATIVE_LOCK_DISABLED = 0x80000000;

/** What the rules need to know of the chain. */
export interface Surroundings {
  readonly tipHeight: number;
  /** An output that exists, spent or not; height undefined while in the mempool. */
  output(txid: string, vout: number): (Output & { readonly height: number | undefined; readonly coinbase: boolean }) | undefined;
  /** What spends it, if anything does. */
  spender(txid: string, vout: number): { readonly confirmed: boolean } | undefined;
}

/** Parses canonical hex. @throws Rejected */
export function parseTransaction(text: string): Transaction {
  const decodeFailed = new Rejected(-22, 'TX decode failed. Make sure the tx has at least one input.');
  if (!/^([0-9a-f]{2})+$/i.test(text)) throw decodeFailed;
  let transaction: Transaction;
  try {
    transaction = Transaction.fromHex(text);
  } catch {
    throw decodeFailed;
  }
  // A second encoding of the same transaction (a padded length) would have another size than its id says.
  if (transaction.ins.length === 0 || transaction.toHex() !== text.toLowerCase()) throw decodeFailed;
  return transaction;
}

/** The id of the transaction that an input spends from, as people write it. */
export const previousTxid = (hash: Uint8Array): string => toHex(Uint8Array.from(hash).reverse());

/** @returns the fee in satoshis. @throws Rejected naming the rule. */
export function checkTransaction(transaction: Transaction, chain: Surroundings): bigint {
  checkForm(transaction);
  checkLocks(transaction, chain.tipHeight);
  const spent = transaction.ins.map(({ hash, index }) => spendable(previousTxid(hash), index, chain));
  const fee = checkAmounts(transaction, spent);
  for (const index of transaction.ins.keys()) {
    const problem = spendProblem(transaction, index, spent);
    if (problem !== undefined) throw new Rejected(-26, problem);
  }
  return fee;
}

function checkForm(transaction: Transaction): void {
  if (transaction.outs.length === 0) throw new Rejected(-26, 'bad-txns-vout-empty');
  if (transaction.isCoinbase()) throw new Rejected(-26, 'coinbase');
  if (transaction.version < 1 || transaction.version > 2) throw new Rejected(-26, 'version');
  if (transaction.weight() > MAX_STANDARD_WEIGHT) throw new Rejected(-26, 'tx-size');
  if (transaction.byteLength(false) < MIN_STANDARD_SIZE) throw new Rejected(-26, 'tx-size-small');
  const inputs = new Set(transaction.ins.map(({ hash, index }) => `${previousTxid(hash)}:${index}`));
  if (inputs.size !== transaction.ins.length) throw new Rejected(-26, 'bad-txns-inputs-duplicate');

  let total = 0n;
  for (const { value } of transaction.outs) {
    total += value;
    if (value < 0n) throw new Rejected(-26, 'bad-txns-vout-negative');
    if (value > MAX_MONEY || total > MAX_MONEY) throw new Rejected(-26, 'bad-txns-vout-toolarge');
  }
  for (const { script, value } of transaction.outs) {
    const type = scriptType(script);
    if (type === undefined || (type === 'op_return' && script.length > MAX_OP_RETURN_SCRIPT)) throw new Rejected(-26, 'scriptpubkey');
    if (value < dustLimit(script)) throw new Rejected(-26, 'dust');
  }
  if (transaction.outs.filter(({ script }) => scriptType(script) === 'op_return').length > 1) throw new Rejected(-26, 'multi-op-return');
}

/** Absolute locks by height; locks by time and relative locks (BIP-68) are not modelled, so they are refused. */
function checkLocks(transaction: Transaction, tipHeight: number): void {
  const { version, locktime, ins } = transaction;
  if (locktime > 0 && ins.some(({ sequence }) => sequence !== SEQUENCE_FINAL)) {
    if (locktime >= LOCKTIME_THRESHOLD) throw new Rejected(-26, 'not supported by the devnet: lock times that are not heights');
    // Valid in the next block when the lock is below that block's height.
    if (locktime > tipHeight) throw new Rejected(-26, 'non-final');
  }
  if (version >= 2 && ins.some(({ sequence }) => sequence < RELATIVE_LOCK_DISABLED)) {
    throw new Rejected(-26, 'not supported by the devnet: relative lock times (BIP-68)');
  }
}

function spendable(txid: string, vout: number, chain: Surroundings): Output {
  const output = chain.output(txid, vout);
  const spender = chain.spender(txid, vout);
  if (output === undefined || spender?.confirmed === true) throw new Rejected(-25, 'bad-txns-inputs-missingorspent');
  if (spender !== undefined) throw new Rejected(-26, 'txn-mempool-conflict');
  if (output.coinbase && chain.tipHeight + 1 - (output.height ?? 0) < COINBASE_MATURITY) {
    throw new Rejected(-26, 'bad-txns-premature-spend-of-coinbase');
  }
  return output;
}

function checkAmounts(transaction: Transaction, spent: readonly Output[]): bigint {
  const sum = (outputs: readonly { readonly value: bigint }[]): bigint => outputs.reduce((total, { value }) => total + value, 0n);
  const fee = sum(spent) - sum(transaction.outs);
  if (fee < 0n) throw new Rejected(-26, 'bad-txns-in-belowout');
  const vsize = BigInt(transaction.virtualSize());
  if (fee < vsize * MIN_RELAY_RATE) throw new Rejected(-26, `min relay fee not met, ${fee} < ${vsize * MIN_RELAY_RATE}`);
  if (fee > vsize * MAX_FEE_RATE) throw new Rejected(-25, 'Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)');
  return fee;
}
