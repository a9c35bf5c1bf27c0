/**
 * A payment: what was asked for ({@link PaymentIntent}) and the unsigned transaction that does it ({@link UnsignedPayment}), both with
 * canonical codecs, so that they can be proposed, voted on and signed by their bytes. Inputs and change name the paths of their keys below the
 * wallet's; every node derives the scripts for itself.
 *
 * There is no sighash type in it: SIGHASH_ALL for ECDSA and SIGHASH_DEFAULT for Schnorr are the only ones this wallet signs.
 */
import { fromHex, hex } from '../base/bytes.ts';
import {
  bytes,
  bytesUpTo,
  DecodeError,
  list,
  map,
  oneOf,
  optional,
  struct,
  text,
  u32,
  u64,
  versioned,
  versions,
  type Codec,
  type Infer,
} from '../base/codec.ts';
import { Transaction } from './library.ts';
import { NETWORKS } from './networks.ts';
import { PATH_LENGTH } from './paths.ts';
import { MAX_METADATA, MAX_MONEY, scriptType } from './scripts.ts';

/** Hard bounds of the codec; a wallet's policy is usually tighter. */
export const MAX_INPUTS = 200;
export const MAX_RECIPIENTS = 100;
/** Signals replaceability (BIP-125) and enables the lock time; no relative lock (bit 31 set, BIP-68). */
export const SEQUENCE = 0xfffffffd;
/** Lock times from here on are times, not heights. */
export const LOCKTIME_THRESHOLD = 500_000_000;

/** 0 to 21 million bitcoins in satoshis. */
export const amount: Codec<bigint> = map(
  u64,
  (n) => {
    if (n > MAX_MONEY) throw new DecodeError('', `${n} sat is more than all bitcoins`);
    return n;
  },
  (n) => {
    if (n < 0n || n > MAX_MONEY) throw new RangeError(`not an amount in satoshis: ${n}`);
    return n;
  },
);

/** 32 bytes on the wire in the order people write them; 64 lower-case hex digits in memory. */
export const txid: Codec<string> = map(bytes(32), hex, fromHex);

export const paymentIntent = versioned(
  1,
  struct({
    recipients: list(struct({ address: text(100), amount }), { max: MAX_RECIPIENTS }),
    /** Payload of the OP_RETURN output. */
    metadata: optional(bytesUpTo(MAX_METADATA)),
    /** sat/kvB. */
    feeRate: u64,
  }),
);
export type PaymentIntent = Infer<typeof paymentIntent>;

const inputFields = {
  txid,
  vout: u32,
  value: amount,
  /** The output script being spent. */
  script: bytesUpTo(34),
  /** P2WSH only. */
  witnessScript: optional(bytes(35)),
  sequence: u32,
};
/** Empty for the wallet's own key. */
const path = list(u32, { max: PATH_LENGTH });
export const paymentInput = struct({ ...inputFields, path });
export type PaymentInput = Infer<typeof paymentInput>;

export const paymentOutput = struct({ script: bytesUpTo(83), value: amount });
export type PaymentOutput = Infer<typeof paymentOutput>;

const paymentOf = <I>(input: Codec<I>) => ({
  network: oneOf(NETWORKS),
  /** Of the Bitcoin transaction; 2. */
  version: u32,
  locktime: u32,
  inputs: list(input, { max: MAX_INPUTS }),
  /** Recipients in the order asked for, then metadata, then change. */
  outputs: list(paymentOutput, { max: MAX_RECIPIENTS + 2 }),
  changeIndex: optional(u32),
  /** sat/kvB that the fee was computed from. */
  feeRate: u64,
});
const withoutPaths = struct(paymentOf(struct(inputFields)));
const withPaths = struct({ ...paymentOf(paymentInput), changePath: path });
export type UnsignedPayment = Infer<typeof withPaths>;

/** Whether everything in it belongs to the wallet's own key. */
const isOwn = ({ inputs, changePath }: Pick<UnsignedPayment, 'inputs' | 'changePath'>): boolean =>
  changePath.length === 0 && inputs.every((input) => input.path.length === 0);

const own: Codec<UnsignedPayment> = map(
  withoutPaths,
  ({ inputs, ...rest }) => ({ ...rest, inputs: inputs.map((input) => ({ ...input, path: [] })), changePath: [] }),
  (value) => value,
);
/** Version 1: without paths, all of the wallet's own key. Version 2 has a path. */
export const unsignedPayment = versions({ 1: own, 2: withPaths }, (value) => (isOwn(value) ? 1 : 2));

const total = (items: readonly { readonly value: bigint }[]): bigint => items.reduce((sum, { value }) => sum + value, 0n);

/** Inputs minus outputs, satoshis. Negative for a payment that creates money, which {@link validatePayment} refuses. */
export const feeOf = (payment: UnsignedPayment): bigint => total(payment.inputs) - total(payment.outputs);

/** What the recipients get together: everything but change. */
export const amountOf = (payment: UnsignedPayment): bigint => total(payment.outputs.filter((_, i) => i !== payment.changeIndex));

/** The bytes of the OP_RETURN output, if there is one. */
export function metadataOf(payment: UnsignedPayment): Uint8Array | undefined {
  const script = payment.outputs.find((output) => scriptType(output.script) === 'op_return')?.script;
  return script?.slice(script.length > 77 ? 3 : 2);
}

/** The Bitcoin transaction without signatures. */
export function unsignedTransaction(
  payment: Pick<UnsignedPayment, 'version' | 'locktime' | 'outputs'> & { readonly inputs: readonly Omit<PaymentInput, 'path'>[] },
): Transaction {
  const transaction = new Transaction();
  transaction.version = payment.version;
  transaction.locktime = payment.locktime;
  for (const input of payment.inputs) transaction.addInput(fromHex(input.txid).reverse(), input.vout, input.sequence);
  for (const output of payment.outputs) transaction.addOutput(output.script, output.value);
  return transaction;
}

/** The transaction's id. SegWit: it does not depend on the signatures, so it is known before signing. */
export const txidOf = (payment: UnsignedPayment): string => unsignedTransaction(payment).getId();
