import { describe, expect, test } from 'vitest';
import { sha256 } from '@noble/hashes/sha2.js';
import bip340 from '../../fixtures/vectors/frost-bip340.json' with { type: 'json' };
import relayed from '../../fixtures/vectors/wycheproof-secp256k1-bitcoin.json' with { type: 'json' };
import { concatBytes, fromHex } from '../base/bytes.ts';
import { ecdsaHolds, schnorrHolds } from './signatures.ts';

describe('the last look at a signature', () => {
  test('ECDSA: every row of Wycheproof for Bitcoin', () => {
    const wrong = relayed.rows.filter(
      ({ signature, message, publicKey, valid }) => ecdsaHolds(fromHex(signature), sha256(fromHex(message)), fromHex(publicKey)) !== valid,
    );
    expect(wrong.map(({ id, comment }) => `${id}: ${comment}`)).toEqual([]);
  });

  test.each(bip340.rows)('BIP-340 row $index: $comment', ({ publicKey, message, signature, valid }) => {
    expect(schnorrHolds(fromHex(signature), fromHex(message), fromHex(publicKey))).toBe(valid);
    // 65 bytes: a sighash type behind it, which none of our inputs has.
    expect(schnorrHolds(concatBytes(fromHex(signature), Uint8Array.of(1)), fromHex(message), fromHex(publicKey))).toBe(false);
  });
});
