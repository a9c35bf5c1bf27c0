/**
 * What each input signs. Signers get the preimage, never a bare digest: they can parse it, and nobody can pass off the hash of something else.
 *
 * Two messages: BIP-143 for version 0 programs (P2WPKH, P2WSH), signed under SHA-256 twice with SIGHASH_ALL; BIP-341 (SigMsg, with the epoch
 * byte in front) for the Taproot key path, signed under the tagged hash TapSighash with SIGHASH_DEFAULT.
 *
 * The preimages are built here byte by byte; their hashes are compared with bitcoinjs-lib's before they leave.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bigintToBytes, concatBytes, equalBytes, fromHex, utf8 } from '../base/bytes.ts';
import { Defect, invariant } from '../base/errors.ts';
import { Transaction } from './library.ts';
import { unsignedTransaction, type PaymentInput, type UnsignedPayment } from './payment.ts';
import { scriptType } from './scripts.ts';

/** The part of a payment that signatures commit to. */
export type SignedFields = Pick<UnsignedPayment, 'version' | 'locktime' | 'outputs'> & {
  readonly inputs: readonly Omit<PaymentInput, 'path'>[];
};

/** A 32-byte digest that was computed here from a transaction. */
export type Sighash = Uint8Array & { readonly brand: 'sighash' };

const SIGHASH_ALL = Uint8Array.of(1, 0, 0, 0);
const EPOCH = 0x00;
const SIGHASH_DEFAULT = 0x00;
/** ext_flag 0 (key path), no annex. */
const SPEND_TYPE = 0x00;

const u32le = (n: number): Uint8Array => bigintToBytes(BigInt(n), 4).reverse();
const u64le = (n: bigint): Uint8Array => bigintToBytes(n, 8).reverse();
const sha256d = (bytes: Uint8Array): Uint8Array => sha256(sha256(bytes));
const withLength = (script: Uint8Array): Uint8Array => {
  invariant(script.length < 0xfd, 'scripts of this wallet are below 253 bytes');
  return concatBytes(Uint8Array.of(script.length), script);
};

const prevouts = (tx: SignedFields): Uint8Array => concatBytes(...tx.inputs.flatMap((i) => [fromHex(i.txid).reverse(), u32le(i.vout)]));
const sequences = (tx: SignedFields): Uint8Array => concatBytes(...tx.inputs.map((i) => u32le(i.sequence)));
const outputs = (tx: SignedFields): Uint8Array => concatBytes(...tx.outputs.flatMap((o) => [u64le(o.value), withLength(o.script)]));

/** BIP-143 preimage with SIGHASH_ALL: 156 bytes and the script code with its length. */
function preimageV0(tx: SignedFields, index: number, scriptCode: Uint8Array): Uint8Array {
  const input = tx.inputs[index]!;
  return concatBytes(
    u32le(tx.version),
    sha256d(prevouts(tx)),
    sha256d(sequences(tx)),
    fromHex(input.txid).reverse(),
    u32le(input.vout),
    withLength(scriptCode),
    u64le(input.value),
    u32le(input.sequence),
    sha256d(outputs(tx)),
    u32le(tx.locktime),
    SIGHASH_ALL,
  );
}

/** BIP-341 SigMsg for the key path with SIGHASH_DEFAULT, the epoch in front: 175 bytes. It commits to the values and scripts of all inputs. */
function preimageV1(tx: SignedFields, index: number): Uint8Array {
  return concatBytes(
    Uint8Array.of(EPOCH, SIGHASH_DEFAULT),
    u32le(tx.version),
    u32le(tx.locktime),
    sha256(prevouts(tx)),
    sha256(concatBytes(...tx.inputs.map((i) => u64le(i.value)))),
    sha256(concatBytes(...tx.inputs.map((i) => withLength(i.script)))),
    sha256(sequences(tx)),
    sha256(outputs(tx)),
    Uint8Array.of(SPEND_TYPE),
    u32le(index),
  );
}

/** The script that a version 0 input runs: the P2PKH script of the key hash (P2WPKH) or the witness script (P2WSH). */
function scriptCodeOf(input: SignedFields['inputs'][number]): Uint8Array {
  if (scriptType(input.script) === 'p2wpkh')
    return concatBytes(Uint8Array.of(0x76, 0xa9, 20), input.script.subarray(2), Uint8Array.of(0x88, 0xac));
  invariant(input.witnessScript !== undefined, 'a P2WSH input carries its witness script');
  invariant(equalBytes(sha256(input.witnessScript), input.script.subarray(2)), 'the witness script is the one the output commits to');
  return input.witnessScript;
}

/**
 * The bytes that input `index` signs; {@link sighash} hashes them.
 * @throws Defect for an index out of range, an input of another type, or any difference from bitcoinjs-lib.
 */
export function sighashPreimage(tx: SignedFields, index: number): Uint8Array {
  const input = tx.inputs[index];
  if (input === undefined) throw new Defect(`no input ${index} in a transaction of ${tx.inputs.length}`);
  invariant(tx.outputs.length > 0, 'a transaction has outputs before it is signed');
  const reference = unsignedTransaction(tx);
  switch (scriptType(input.script)) {
    case 'p2wpkh':
    case 'p2wsh': {
      const scriptCode = scriptCodeOf(input);
      const preimage = preimageV0(tx, index, scriptCode);
      const expected = reference.hashForWitnessV0(index, scriptCode, input.value, Transaction.SIGHASH_ALL);
      invariant(equalBytes(sha256d(preimage), expected), 'BIP-143 preimage agrees with the library');
      return preimage;
    }
    case 'p2tr': {
      const preimage = preimageV1(tx, index);
      const scripts = tx.inputs.map((i) => i.script);
      const values = tx.inputs.map((i) => i.value);
      const expected = reference.hashForWitnessV1(index, scripts, values, Transaction.SIGHASH_DEFAULT);
      invariant(equalBytes(tapSighash(preimage), expected), 'BIP-341 preimage agrees with the library');
      return preimage;
    }
    case 'p2pkh':
    case 'p2sh':
    case 'op_return':
    case undefined:
      throw new Defect(`input ${index} is not of a type this wallet signs`);
  }
}

/** TapSighash tag (BIP-340 tagged hash). */
function tapSighash(preimage: Uint8Array): Uint8Array {
  const tag = sha256(utf8('TapSighash'));
  return sha256(concatBytes(tag, tag, preimage));
}

/** The digest of {@link sighashPreimage}: SHA-256 twice for version 0, TapSighash for Taproot. */
export function sighash(tx: SignedFields, index: number): Sighash {
  const preimage = sighashPreimage(tx, index);
  return (scriptType(tx.inputs[index]!.script) === 'p2tr' ? tapSighash(preimage) : sha256d(preimage)) as Sighash;
}
