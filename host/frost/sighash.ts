/**
 * What FROST signs: the hash of a Taproot transaction, never a bare digest. The signing path takes {@link TaprootSighash} only, and the one way
 * to get it is to hand over the bytes it hashes, so whoever signs has seen what it commits to (BIP-341, "Common signature message").
 */
import { Refusal } from '../base/errors.ts';
import { taggedHash } from './hashes.ts';

declare const brand: unique symbol;
/** 32 bytes: the tagged hash "TapSighash" of a well-formed key-path signature message. */
export type TaprootSighash = Uint8Array & { readonly [brand]: 'TaprootSighash' };

/** SIGHASH_DEFAULT, ALL, NONE, SINGLE, and the last three with ANYONECANPAY. */
const HASH_TYPES = [0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83];

/** Bytes of the epoch and SigMsg(hash_type, ext_flag = 0) for one hash type, BIP-341. */
function preimageLength(hashType: number, annex: boolean): number {
  const anyoneCanPay = (hashType & 0x80) !== 0;
  const outputs = hashType & 0x03;
  const epochTypeVersionLocktime = 1 + 1 + 4 + 4;
  const inputs = anyoneCanPay ? 0 : 4 * 32; // sha_prevouts, sha_amounts, sha_scriptpubkeys, sha_sequences
  const shaOutputs = outputs === 0x02 || outputs === 0x03 ? 0 : 32;
  const thisInput = anyoneCanPay ? 36 + 8 + 35 + 4 : 4; // outpoint, amount, scriptPubKey of a P2TR output, nSequence; or the index
  return epochTypeVersionLocktime + inputs + shaOutputs + 1 + thisInput + (annex ? 32 : 0) + (outputs === 0x03 ? 32 : 0);
}

/** Where spend_type stands: after the hashes that come before the data of this input. */
const spendTypeAt = (hashType: number): number =>
  preimageLength(hashType, false) - ((hashType & 0x03) === 0x03 ? 32 : 0) - ((hashType & 0x80) !== 0 ? 83 : 4) - 1;

/**
 * TapSighash over `preimage` = 0x00 ‖ SigMsg(hash_type, 0), as the caller derived it from the transaction itself.
 * @throws Refusal when the bytes cannot be a key-path message: wrong epoch, unknown hash type, script path, or a length that does not fit.
 */
export function taprootSighash(preimage: Uint8Array): TaprootSighash {
  const refuse = (message: string): never => {
    throw new Refusal(
      'sighash_malformed',
      'preimage',
      message,
      'pass the epoch byte 0x00 followed by SigMsg of BIP-341 for a key-path spend, not a digest',
    );
  };
  if (preimage[0] !== 0x00) refuse(`the signature message must begin with epoch 0, got ${preimage[0] ?? 'nothing'}`);
  const hashType = preimage[1];
  if (hashType === undefined || !HASH_TYPES.includes(hashType))
    return refuse(`hash type ${hashType ?? 'missing'} is not defined by BIP-341`);
  const spendType = preimage[spendTypeAt(hashType)];
  if (spendType !== 0 && spendType !== 1) return refuse(`spend type ${spendType ?? 'missing'} is not a key-path spend`);
  const length = preimageLength(hashType, spendType === 1);
  if (preimage.length !== length) refuse(`a signature message of this kind has ${length} bytes, got ${preimage.length}`);
  return taggedHash('TapSighash', preimage) as TaprootSighash;
}
