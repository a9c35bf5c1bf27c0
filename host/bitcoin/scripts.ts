/**
 * Output scripts: which standard type one is, what it may hold at least, and the scripts of a wallet's own key.
 * Sizes are bytes, amounts satoshis.
 */
import { secp256k1, schnorr } from '@noble/curves/secp256k1.js';
import { concatBytes } from '../base/bytes.ts';
import { invariant } from '../base/errors.ts';
import { crypto } from './library.ts';
import type { WalletPath } from './paths.ts';

/** 21 million bitcoins: no amount or sum of amounts is above it. */
export const MAX_MONEY = 2_100_000_000_000_000n;
/** Longest OP_RETURN payload that every node relays. */
export const MAX_METADATA = 80;

export type ScriptType = 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2wsh' | 'p2tr' | 'op_return';
/** What a wallet's coins can be locked by. */
export type SpendType = 'p2wpkh' | 'p2wsh' | 'p2tr';

const OP_0 = 0x00;
const OP_1 = 0x51;
const OP_RETURN = 0x6a;
const OP_DUP = 0x76;
const OP_EQUAL = 0x87;
const OP_EQUALVERIFY = 0x88;
const OP_HASH160 = 0xa9;
const OP_CHECKSIG = 0xac;
const OP_PUSHDATA1 = 0x4c;
const PUSH_20 = 20;
const PUSH_32 = 32;
const PUSH_33 = 33;

const startsWith = (script: Uint8Array, ...prefix: number[]): boolean => prefix.every((byte, i) => script[i] === byte);

/** The standard type of an output script; undefined for anything else. */
export function scriptType(script: Uint8Array): ScriptType | undefined {
  const { length } = script;
  if (length === 22 && startsWith(script, OP_0, PUSH_20)) return 'p2wpkh';
  if (length === 34 && startsWith(script, OP_0, PUSH_32)) return 'p2wsh';
  if (length === 34 && startsWith(script, OP_1, PUSH_32)) return 'p2tr';
  if (length === 25 && startsWith(script, OP_DUP, OP_HASH160, PUSH_20) && script[23] === OP_EQUALVERIFY && script[24] === OP_CHECKSIG)
    return 'p2pkh';
  if (length === 23 && startsWith(script, OP_HASH160, PUSH_20) && script[22] === OP_EQUAL) return 'p2sh';
  if (script[0] === OP_RETURN) return 'op_return';
  return undefined;
}

/**
 * The least amount an output of this script may hold: below it, spending the output costs more than a third of it at Core's dust relay rate
 * of 3 sat/vB. 294 for P2WPKH, 330 for P2WSH and P2TR, 546 for P2PKH, 540 for P2SH, 0 for OP_RETURN (never spent).
 * Source: Bitcoin Core, policy/policy.cpp, GetDustThreshold.
 */
export function dustLimit(script: Uint8Array): bigint {
  const type = scriptType(script);
  if (type === 'op_return') return 0n;
  const spend = type === 'p2wpkh' || type === 'p2wsh' || type === 'p2tr' ? 67 : 148;
  return 3n * BigInt(outputSize(script) + spend);
}

/** Bytes of Bitcoin's variable-length integer for n < 2^32. */
export const varIntSize = (n: number): number => (n < 0xfd ? 1 : n <= 0xffff ? 3 : 5);

/** Serialised bytes of an output: value, script length, script. */
export const outputSize = (script: Uint8Array): number => 8 + varIntSize(script.length) + script.length;

/** The OP_RETURN output script of 1 to 80 bytes. */
export function metadataScript(metadata: Uint8Array): Uint8Array {
  invariant(metadata.length >= 1 && metadata.length <= MAX_METADATA, 'metadata is 1 to 80 bytes');
  const push = metadata.length < OP_PUSHDATA1 ? [metadata.length] : [OP_PUSHDATA1, metadata.length];
  return concatBytes(Uint8Array.of(OP_RETURN, ...push), metadata);
}

/** How a wallet's coins are locked: one key, one script. */
export interface WalletScript {
  readonly type: SpendType;
  /** 33 bytes compressed for P2WPKH and P2WSH; the 32-byte output key (already tweaked, BIP-341) for P2TR. */
  readonly publicKey: Uint8Array;
  /** The output script. */
  readonly script: Uint8Array;
  /** P2WSH only: `<publicKey> OP_CHECKSIG`. */
  readonly witnessScript: Uint8Array | undefined;
}

/** The script of a key below the wallet's. */
export type ScriptAt = (path: WalletPath) => WalletScript;

/** @throws Defect when the key, which the wallet's own records supply, is not a key of that type. */
export function walletScript(type: SpendType, publicKey: Uint8Array): WalletScript {
  switch (type) {
    case 'p2wpkh':
      assertCompressed(publicKey);
      return { type, publicKey, script: concatBytes(Uint8Array.of(OP_0, PUSH_20), crypto.hash160(publicKey)), witnessScript: undefined };
    case 'p2wsh': {
      assertCompressed(publicKey);
      const witnessScript = singleKeyScript(publicKey);
      return { type, publicKey, script: concatBytes(Uint8Array.of(OP_0, PUSH_32), crypto.sha256(witnessScript)), witnessScript };
    }
    case 'p2tr':
      invariant(publicKey.length === 32 && isXOnlyKey(publicKey), 'a P2TR output key is the x-coordinate of a curve point, 32 bytes');
      return { type, publicKey, script: concatBytes(Uint8Array.of(OP_1, PUSH_32), publicKey), witnessScript: undefined };
  }
}

/** `<publicKey> OP_CHECKSIG`, 35 bytes. */
export const singleKeyScript = (publicKey: Uint8Array): Uint8Array =>
  concatBytes(Uint8Array.of(PUSH_33), publicKey, Uint8Array.of(OP_CHECKSIG));

/** Whether the 32 bytes are the x-coordinate of a point (BIP-340 lift_x). */
export function isXOnlyKey(x: Uint8Array): boolean {
  try {
    schnorr.utils.lift_x(BigInt(`0x${Buffer.from(x).toString('hex')}`));
    return true;
  } catch {
    return false;
  }
}

function assertCompressed(publicKey: Uint8Array): void {
  invariant(
    publicKey.length === 33 && secp256k1.utils.isValidPublicKey(publicKey, true),
    'the public key is a compressed curve point, 33 bytes',
  );
}
