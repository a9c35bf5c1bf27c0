/**
 * bitcoinjs-lib with its curve library set, once. The room takes it from here only, so that Taproot outputs are never checked (or left
 * unchecked) before the set-up.
 */
import * as ecc from '@bitcoinerlab/secp256k1';
import { initEccLib } from 'bitcoinjs-lib';

initEccLib(ecc);

export { address, Block, crypto, networks, payments, script, Transaction } from 'bitcoinjs-lib';
