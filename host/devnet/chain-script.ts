/**
 * Script verification of the devnet: the three kinds of spend that the wallet makes, checked as a Bitcoin node's relay policy does. It shares
 * no code with the signing side: digests are bitcoinjs-lib's, signatures are parsed here and verified by @noble/curves.
 */
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { bytesToBigint, concatBytes, bigintToBytes, equalBytes } from '../base/bytes.ts';
import { crypto, Transaction } from '../bitcoin/library.ts';
import { scriptType, type Output } from './chain-types.ts';

const CURVE_ORDER = secp256k1.Point.Fn.ORDER;

/** @returns why the witness of input `index` does not satisfy the output it spends; undefined when it does. */
export function spendProblem(transaction: Transaction, index: number, spent: readonly Output[]): string | undefined {
  const { script: scriptSig, witness } = transaction.ins[index]!;
  const { script } = spent[index]!;
  switch (scriptType(script)) {
    case 'p2wpkh':
      return scriptSig.length > 0 ? failed('Witness requires empty scriptSig') : keyHashProblem(transaction, index, spent[index]!, witness);
    case 'p2wsh':
      return scriptSig.length > 0
        ? failed('Witness requires empty scriptSig')
        : scriptHashProblem(transaction, index, spent[index]!, witness);
    case 'p2tr':
      return scriptSig.length > 0 ? failed('Witness requires empty scriptSig') : keyPathProblem(transaction, index, spent, witness);
    case 'p2pkh':
    case 'p2sh':
    case 'op_return':
    case undefined:
      return 'not supported by the devnet: it spends P2WPKH, single-key P2WSH and the P2TR key path only';
  }
}

const failed = (problem: string): string => `mandatory-script-verify-flag-failed (${problem})`;

/** BIP-141: two items, the key hashes to the program; the script run is that key hash's P2PKH. */
function keyHashProblem(transaction: Transaction, index: number, spent: Output, witness: readonly Uint8Array[]): string | undefined {
  const [signature, publicKey, ...rest] = witness;
  if (signature === undefined || publicKey === undefined || rest.length > 0) return failed('Witness program hash mismatch');
  const program = spent.script.subarray(2);
  if (!equalBytes(crypto.hash160(publicKey), program)) return failed('Witness program hash mismatch');
  const scriptCode = concatBytes(Uint8Array.of(0x76, 0xa9, 20), program, Uint8Array.of(0x88, 0xac));
  return ecdsaProblem(transaction, index, scriptCode, spent.value, signature, publicKey);
}

/** BIP-141: the last item is the script and hashes to the program. Only `<33-byte key> OP_CHECKSIG` is run. */
function scriptHashProblem(transaction: Transaction, index: number, spent: Output, witness: readonly Uint8Array[]): string | undefined {
  const script = witness.at(-1);
  if (script === undefined) return failed('Witness program was passed an empty witness');
  if (!equalBytes(crypto.sha256(script), spent.script.subarray(2))) return failed('Witness program hash mismatch');
  if (script.length !== 35 || script[0] !== 33 || script[34] !== 0xac)
    return 'not supported by the devnet: P2WSH scripts other than <key> OP_CHECKSIG';
  const [signature] = witness;
  if (witness.length !== 2 || signature === undefined) return failed('Stack size must be exactly one after execution');
  return ecdsaProblem(transaction, index, script, spent.value, signature, script.subarray(1, 34));
}

/** BIP-341: one item of 64 bytes, verified under the output key itself. */
function keyPathProblem(
  transaction: Transaction,
  index: number,
  spent: readonly Output[],
  witness: readonly Uint8Array[],
): string | undefined {
  const [signature] = witness;
  if (signature === undefined) return failed('Witness program was passed an empty witness');
  if (witness.length !== 1) return 'not supported by the devnet: Taproot script path and annex';
  if (signature.length === 65) return 'not supported by the devnet: Taproot sighash types other than SIGHASH_DEFAULT';
  if (signature.length !== 64) return failed('Invalid Schnorr signature size');
  const digest = transaction.hashForWitnessV1(
    index,
    spent.map((output) => output.script),
    spent.map((output) => output.value),
    Transaction.SIGHASH_DEFAULT,
  );
  return schnorr.verify(signature, digest, spent[index]!.script.subarray(2)) ? undefined : failed('Invalid Schnorr signature');
}

function ecdsaProblem(
  transaction: Transaction,
  index: number,
  scriptCode: Uint8Array,
  value: bigint,
  encoded: Uint8Array,
  publicKey: Uint8Array,
): string | undefined {
  if (publicKey.length !== 33 || (publicKey[0] !== 2 && publicKey[0] !== 3)) return failed('Using non-compressed keys in segwit');
  const signature = parseStrictDer(encoded.subarray(0, -1));
  if (signature === undefined) return failed('Non-canonical DER signature');
  if (encoded.at(-1) !== Transaction.SIGHASH_ALL) return 'not supported by the devnet: sighash types other than SIGHASH_ALL';
  if (signature.s > CURVE_ORDER / 2n) return failed('Non-canonical signature: S value is unnecessarily high');
  const digest = transaction.hashForWitnessV0(index, scriptCode, value, Transaction.SIGHASH_ALL);
  return verifies(signature, digest, publicKey) ? undefined : failed('Signature must be zero for failed CHECK(MULTI)SIG operation');
}

function verifies({ r, s }: { r: bigint; s: bigint }, digest: Uint8Array, publicKey: Uint8Array): boolean {
  if (r === 0n || r >= CURVE_ORDER || s === 0n || !secp256k1.utils.isValidPublicKey(publicKey, true)) return false;
  const compact = concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32));
  return secp256k1.verify(compact, digest, publicKey, { prehash: false, lowS: true });
}

/**
 * BIP-66: SEQUENCE of two INTEGERs, lengths of one byte that add up exactly, no negative number, no needless zero in front.
 * Returns undefined for anything else.
 */
export function parseStrictDer(der: Uint8Array): { r: bigint; s: bigint } | undefined {
  if (der.length < 8 || der.length > 72 || der[0] !== 0x30 || der[1] !== der.length - 2) return undefined;
  const integer = (at: number): { value: bigint; end: number } | undefined => {
    const length = der[at + 1];
    if (der[at] !== 0x02 || length === undefined || length === 0 || length > 33) return undefined;
    const end = at + 2 + length;
    if (end > der.length) return undefined;
    const [first, second] = [der[at + 2]!, der[at + 3]];
    if (first >= 0x80) return undefined;
    if (first === 0 && length > 1 && second! < 0x80) return undefined;
    return { value: bytesToBigint(der.subarray(at + 2, end)), end };
  };
  const r = integer(2);
  const s = r === undefined ? undefined : integer(r.end);
  if (r === undefined || s === undefined || s.end !== der.length) return undefined;
  return { r: r.value, s: s.value };
}
