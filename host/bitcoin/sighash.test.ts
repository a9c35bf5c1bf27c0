import { createPublicKey, verify } from 'node:crypto';
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, test } from 'vitest';
import bip143 from '../../fixtures/vectors/bip143.json' with { type: 'json' };
import bip341 from '../../fixtures/vectors/bip341.json' with { type: 'json' };
import { fromHex, hex } from '../base/bytes.ts';
import { Defect } from '../base/errors.ts';
import { Transaction } from './library.ts';
import { sighash, sighashPreimage, type SignedFields } from './sighash.ts';

/** The published unsigned transaction as the fields of a payment; `spent` gives value and script of each input. */
function fields(unsigned: string, spent: readonly { value: number; script: string; witnessScript?: string | undefined }[]): SignedFields {
  const tx = Transaction.fromHex(unsigned);
  return {
    version: tx.version,
    locktime: tx.locktime,
    inputs: tx.ins.map((input, i) => ({
      txid: hex(Uint8Array.from(input.hash).reverse()),
      vout: input.index,
      value: BigInt(spent[i]!.value),
      script: fromHex(spent[i]!.script),
      witnessScript: spent[i]!.witnessScript === undefined ? undefined : fromHex(spent[i]!.witnessScript),
      sequence: input.sequence,
    })),
    outputs: tx.outs.map(({ script, value }) => ({ script, value })),
  };
}

const opensslKey = (publicKey: Uint8Array) => {
  const point = secp256k1.Point.fromBytes(publicKey).toBytes(false);
  const coordinate = (at: number): string => Buffer.from(point.subarray(at, at + 32)).toString('base64url');
  return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'secp256k1', x: coordinate(1), y: coordinate(33) } });
};

describe.each(bip143.cases)('BIP-143: $name', (vector) => {
  const other = { value: 0, script: '6a' };
  const own = { value: vector.value, script: vector.script, witnessScript: vector.witness_script };
  const tx = fields(vector.unsigned_transaction, [...Array<typeof other>(vector.index).fill(other), own]);

  test('preimage and digest', () => {
    expect(hex(sighashPreimage(tx, vector.index))).toBe(vector.preimage);
    expect(hex(sighash(tx, vector.index))).toBe(vector.digest);
  });

  test('OpenSSL verifies the published signature over the preimage', () => {
    const message = sha256(sighashPreimage(tx, vector.index));
    expect(verify('sha256', message, opensslKey(fromHex(vector.public_key)), fromHex(vector.signature))).toBe(true);
  });

  test('another amount, sequence, output or lock time is another message', () => {
    const [input] = tx.inputs.slice(vector.index);
    const changed: SignedFields[] = [
      { ...tx, inputs: tx.inputs.with(vector.index, { ...input!, value: input!.value + 1n }) },
      { ...tx, inputs: tx.inputs.with(vector.index, { ...input!, sequence: 7 }) },
      { ...tx, outputs: tx.outputs.with(0, { ...tx.outputs[0]!, value: 1n }) },
      { ...tx, locktime: tx.locktime + 1 },
    ];
    for (const variant of changed) expect(hex(sighash(variant, vector.index))).not.toBe(vector.digest);
  });
});

describe('BIP-341 key path, SIGHASH_DEFAULT', () => {
  const tx = fields(bip341.unsigned_transaction, bip341.spent);
  test.each(bip341.inputs)('input $index', ({ index, preimage, digest, tweaked_private_key, signature }) => {
    expect(hex(sighashPreimage(tx, index))).toBe(preimage);
    expect(hex(sighash(tx, index))).toBe(digest);
    const outputKey = tx.inputs[index]!.script.subarray(2);
    expect(hex(schnorr.getPublicKey(fromHex(tweaked_private_key)))).toBe(hex(outputKey));
    expect(schnorr.verify(fromHex(signature), sighash(tx, index), outputKey)).toBe(true);
  });

  test('it commits to the values and scripts of all inputs, and to the position', () => {
    const [{ index, digest }] = bip341.inputs as [(typeof bip341.inputs)[0]];
    const neighbour = index === 0 ? 1 : 0;
    const changed = { ...tx, inputs: tx.inputs.with(neighbour, { ...tx.inputs[neighbour]!, value: 1n }) };
    expect(hex(sighash(changed, index))).not.toBe(digest);
    const swapped = { ...tx, inputs: tx.inputs.with(neighbour, tx.inputs[index]!).with(index, tx.inputs[neighbour]!) };
    expect(hex(sighash(swapped, neighbour))).not.toBe(digest);
  });
});

describe('what is never signed', () => {
  const [vector] = bip143.cases as [(typeof bip143.cases)[0]];
  const tx = fields(vector.unsigned_transaction, [
    { value: 1, script: '76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac' },
    { value: vector.value, script: vector.script },
  ]);
  test('an input of a legacy type', () => expect(() => sighashPreimage(tx, 0)).toThrow(Defect));
  test('an input that is not there', () => expect(() => sighashPreimage(tx, 2)).toThrow(Defect));
  test('a P2WSH input without its script, or with another', () => {
    const wsh = { ...tx.inputs[1]!, script: fromHex(`0020${'11'.repeat(32)}`) };
    expect(() => sighashPreimage({ ...tx, inputs: [wsh] }, 0)).toThrow(Defect);
    expect(() => sighashPreimage({ ...tx, inputs: [{ ...wsh, witnessScript: new Uint8Array(35) }] }, 0)).toThrow(Defect);
  });
});
