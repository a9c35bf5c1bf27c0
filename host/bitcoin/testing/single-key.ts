/** A wallet of one key, for tests: what the threshold signers do together, done by one. */
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToBigint, utf8 } from '../../base/bytes.ts';
import type { Coin } from '../coins.ts';
import type { UnsignedPayment } from '../payment.ts';
import { walletScript, type SpendType, type WalletScript } from '../scripts.ts';
import { sighash } from '../sighash.ts';
import { attachEcdsa, attachSchnorr, finalize, type InputWitness, type SignedPayment } from '../transaction.ts';

export interface SingleKey {
  readonly wallet: WalletScript;
  witness(payment: UnsignedPayment, index: number): InputWitness;
  sign(payment: UnsignedPayment): SignedPayment;
}

/** The same name gives the same key. */
export function singleKey(type: SpendType, name: string): SingleKey {
  const secret = sha256(utf8(`test key ${name}`));
  const wallet = walletScript(type, type === 'p2tr' ? schnorr.getPublicKey(secret) : secp256k1.getPublicKey(secret, true));
  const witness = (payment: UnsignedPayment, index: number): InputWitness => {
    const digest = sighash(payment, index);
    if (type === 'p2tr') return attachSchnorr(payment, index, schnorr.sign(digest, secret));
    const compact = secp256k1.sign(digest, secret, { prehash: false, lowS: true });
    return attachEcdsa(
      payment,
      index,
      { r: bytesToBigint(compact.subarray(0, 32)), s: bytesToBigint(compact.subarray(32)) },
      wallet.publicKey,
    );
  };
  return { wallet, witness, sign: (payment) => finalize(payment, payment.inputs.map((_, i) => witness(payment, i))) }; // prettier-ignore
}

/** A confirmed coin of the wallet; `n` makes its id. */
export const coinOf = (wallet: WalletScript, n: number, value: bigint, confirmations = 1): Coin => ({
  txid: n.toString(16).padStart(64, '0'),
  vout: n % 3,
  value,
  script: wallet.script,
  confirmations,
});
