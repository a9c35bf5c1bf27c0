/** Building a payment from what was asked for, and turning its signatures into the transaction that is broadcast. */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bigintToBytes, concatBytes, equalBytes } from '../base/bytes.ts';
import { Defect, invariant, Refusal } from '../base/errors.ts';
import { parseRecipient } from './address.ts';
import { selectCoins, type Output, type PaymentPolicy, type WalletCoin } from './coins.ts';
import { crypto, script as scripts, Transaction } from './library.ts';
import type { Network } from './networks.ts';
import { feeOf, LOCKTIME_THRESHOLD, SEQUENCE, unsignedTransaction, type PaymentIntent, type UnsignedPayment } from './payment.ts';
import { changeAccount, type WalletPath } from './paths.ts';
import {
  dustLimit,
  MAX_METADATA,
  MAX_MONEY,
  metadataScript,
  scriptType,
  singleKeyScript,
  type ScriptAt,
  type WalletScript,
} from './scripts.ts';
import { sighash } from './sighash.ts';
import { ecdsaHolds, schnorrHolds } from './signatures.ts';

/**
 * The outputs that were asked for: recipients in order, then the OP_RETURN with the metadata.
 * @throws Refusal: no or too many recipients, bad address, amount not positive or dust or beyond all bitcoins, metadata empty or above 80 bytes.
 */
export function intendedOutputs(intent: PaymentIntent, network: Network, policy: Pick<PaymentPolicy, 'maxRecipients'>): Output[] {
  const { recipients, metadata } = intent;
  if (recipients.length === 0)
    throw new Refusal('no_recipient', 'recipients', 'the payment has no recipient', 'give at least one address and amount');
  if (recipients.length > policy.maxRecipients) {
    throw new Refusal(
      'too_many_recipients',
      'recipients',
      `${recipients.length} recipients, at most ${policy.maxRecipients} are allowed`,
      'split the payment',
      422,
    );
  }
  const outputs = recipients.map(({ address, amount }, i) => {
    const script = parseRecipient(address, network, `recipients[${i}].address`);
    const field = `recipients[${i}].amount_sats`;
    if (amount <= 0n || amount > MAX_MONEY)
      throw new Refusal('bad_amount', field, `${amount} sat is not an amount`, 'give a positive number of satoshis');
    if (amount < dustLimit(script)) {
      throw new Refusal(
        'dust',
        field,
        `${amount} sat is dust: no node relays it`,
        `send at least ${dustLimit(script)} sat to this type of address`,
        422,
      );
    }
    return { script, value: amount };
  });
  if (metadata === undefined) return outputs;
  if (metadata.length === 0 || metadata.length > MAX_METADATA) {
    throw new Refusal('bad_metadata', 'metadata', `the metadata is ${metadata.length} bytes`, `give 1 to ${MAX_METADATA} bytes, or none`);
  }
  return [...outputs, { script: metadataScript(metadata), value: 0n }];
}

export interface BuildRequest {
  readonly wallet: WalletScript;
  /** Keys below the wallet's; needed for coins that have a path. */
  readonly below?: ScriptAt;
  /** A fresh change address of that account; needed for coins that have a path. */
  readonly changePath?: (account: number) => WalletPath;
  readonly network: Network;
  readonly intent: PaymentIntent;
  /** What may be spent: the caller leaves out coins that pending payments have reserved. */
  readonly coins: readonly WalletCoin[];
  readonly policy: PaymentPolicy;
  /** A block height, 0 for none; at most the current tip. */
  readonly locktime?: number;
}

/**
 * Chooses coins and lays out the transaction. Change goes to the wallet's own address when all coins are from there, else to the account of the first
 * that is not.
 * @throws Refusal naming field and remedy when the payment cannot be made.
 */
export function buildPayment(request: BuildRequest): UnsignedPayment {
  const { wallet, below, network, intent, coins, policy, locktime = 0 } = request;
  invariant(Number.isInteger(locktime) && locktime >= 0 && locktime < LOCKTIME_THRESHOLD, 'the lock time is a block height');
  const scriptAt: ScriptAt = (path) => {
    if (path.length === 0) return wallet;
    invariant(below !== undefined, 'a coin with a path comes with the keys below the wallet’s');
    return below(path);
  };
  const outputs = intendedOutputs(intent, network, policy);
  const selected = selectCoins({ coins, wallet, outputs, rate: intent.feeRate, policy });
  const inputs = selected.inputs.map(({ txid, vout, value, script, path = [] }) => {
    const own = scriptAt(path);
    invariant(equalBytes(script, own.script), 'the coins to choose from are the wallet’s own');
    return { txid, vout, value, script, witnessScript: own.witnessScript, sequence: SEQUENCE, path: [...path] };
  });
  const layout = { network, version: 2, locktime, inputs, feeRate: intent.feeRate };
  if (selected.change === 0n) return { ...layout, outputs, changeIndex: undefined, changePath: [] };

  const account = changeAccount(inputs);
  const changePath = account === undefined ? [] : request.changePath?.(account);
  invariant(changePath !== undefined, 'a coin with a path comes with change addresses');
  const change = { script: scriptAt(changePath).script, value: selected.change };
  return { ...layout, outputs: [...outputs, change], changeIndex: outputs.length, changePath: [...changePath] };
}

/** The witness of one input, its signature included. */
export interface InputWitness {
  readonly index: number;
  readonly stack: readonly Uint8Array[];
}

const HALF_ORDER = secp256k1.Point.Fn.ORDER >> 1n;

/**
 * Puts an ECDSA signature into the witness of a P2WPKH or P2WSH input: strict DER, SIGHASH_ALL.
 * {@link finalize} checks that it holds and that the key is the one the input is locked to.
 * @throws Defect unless 0 < r < q and 0 < s ≤ q/2 (BIP-146: a high s is not relayed).
 */
export function attachEcdsa(
  payment: UnsignedPayment,
  index: number,
  signature: { r: bigint; s: bigint },
  publicKey: Uint8Array,
): InputWitness {
  const input = inputAt(payment, index);
  const { r, s } = signature;
  invariant(r > 0n && r < secp256k1.Point.Fn.ORDER && s > 0n && s <= HALF_ORDER, 'r is in [1, q) and s in [1, q/2]');
  const encoded = scripts.signature.encode(concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32)), Transaction.SIGHASH_ALL);
  switch (scriptType(input.script)) {
    case 'p2wpkh':
      return { index, stack: [encoded, publicKey] };
    case 'p2wsh':
      return { index, stack: [encoded, singleKeyScript(publicKey)] };
    case 'p2tr':
    case 'p2pkh':
    case 'p2sh':
    case 'op_return':
    case undefined:
      throw new Defect(`input ${index} does not take an ECDSA signature`);
  }
}

/** Puts a 64-byte BIP-340 signature into the witness of a P2TR input (key path, SIGHASH_DEFAULT). @throws Defect for another input or length. */
export function attachSchnorr(payment: UnsignedPayment, index: number, signature: Uint8Array): InputWitness {
  invariant(scriptType(inputAt(payment, index).script) === 'p2tr', `input ${index} takes a Schnorr signature`);
  invariant(signature.length === 64, 'a Schnorr signature is 64 bytes');
  return { index, stack: [signature] };
}

export interface SignedPayment {
  /** The serialised transaction, ready to broadcast. */
  readonly hex: string;
  readonly txid: string;
  readonly vsize: number;
  readonly weight: number;
  readonly fee: bigint;
}

/**
 * The signed transaction, after verifying every signature against the output it spends.
 * @throws Defect for a missing, surplus or wrong signature: what leaves here is valid.
 */
export function finalize(payment: UnsignedPayment, witnesses: readonly InputWitness[]): SignedPayment {
  const transaction = unsignedTransaction(payment);
  const unsignedId = transaction.getId();
  invariant(witnesses.length === payment.inputs.length, 'one witness for each input');
  for (const i of payment.inputs.keys()) {
    const witness = witnesses.find(({ index }) => index === i);
    invariant(witness !== undefined, `input ${i} has a witness`);
    invariant(verifyWitness(payment, i, witness.stack), `the signature of input ${i} holds`);
    transaction.setWitness(i, [...witness.stack]);
  }
  invariant(transaction.getId() === unsignedId, 'signatures do not change the transaction id');
  return {
    hex: transaction.toHex(),
    txid: unsignedId,
    vsize: transaction.virtualSize(),
    weight: transaction.weight(),
    fee: feeOf(payment),
  };
}

/** Whether the witness satisfies the output script that input `index` spends. */
function verifyWitness(payment: UnsignedPayment, index: number, stack: readonly Uint8Array[]): boolean {
  const { script } = inputAt(payment, index);
  const digest = sighash(payment, index);
  const [signature, lock] = stack;
  if (signature === undefined) return false;
  if (scriptType(script) === 'p2tr') return stack.length === 1 && schnorrHolds(signature, digest, script.subarray(2));
  if (lock === undefined || stack.length !== 2 || signature.at(-1) !== Transaction.SIGHASH_ALL) return false;

  const isKeyHash = scriptType(script) === 'p2wpkh';
  const commitment = isKeyHash ? crypto.hash160(lock) : sha256(lock);
  if (!equalBytes(commitment, script.subarray(2))) return false;
  const publicKey = isKeyHash ? lock : lock.subarray(1, 34);
  return ecdsaHolds(signature.subarray(0, -1), digest, publicKey);
}

function inputAt(payment: UnsignedPayment, index: number): UnsignedPayment['inputs'][number] {
  const input = payment.inputs[index];
  if (input === undefined) throw new Defect(`no input ${index} in a payment of ${payment.inputs.length}`);
  return input;
}
