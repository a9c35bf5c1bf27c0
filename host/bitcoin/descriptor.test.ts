import { describe, expect, test } from 'vitest';
import { fromHex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import bip32 from '../../fixtures/vectors/bip32.json' with { type: 'json' };
import { fromBase58Check, toBase58Check } from './base58.ts';
import { decodeExtendedKey, descriptorChecksum, encodeExtendedKey, outputDescriptor } from './descriptor.ts';

const root = bip32.cases.find(({ chain }) => chain === 'm')!.parent;

describe('an extended public key', () => {
  test('of a root is written as BIP-32 writes it', () => {
    expect(encodeExtendedKey(decodeExtendedKey(root), 'mainnet')).toBe(root);
  });

  test('of a test network begins with tpub and reads back', () => {
    const key = { publicKey: fromHex('02'.padEnd(66, '1')), chainCode: new Uint8Array(32).fill(3) };
    const text = encodeExtendedKey(key, 'regtest');
    expect(text).toMatch(/^tpub/);
    expect(decodeExtendedKey(text)).toEqual(key);
  });

  test.each([
    ['one letter changed', root.replace('FW31', 'FW32')],
    ['cut short', root.slice(0, -1)],
    ['of a secret key', 'xprv9s21ZrQH143K31xYSDQpPDxsXRTUcvj2iNHm5NUtrGiGG5e2DtALGdso3pGz6ssrdK4PFmM8NSpSBHNqPqm55Qn3LqFtT2emdEXVYsCzC2U'],
    ['an address', '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2'],
    ['a letter that Base58 has not', root.replace('x', '0')],
    ['nothing', ''],
  ])('%s is refused', (_what, text) => {
    expect(() => decodeExtendedKey(text)).toThrow(Refusal);
  });

  test('leading zeros survive Base58', () => {
    for (const bytes of ['', '00', '0000ff', '00'.repeat(40)])
      expect(fromBase58Check(toBase58Check(fromHex(bytes)), 'text')).toEqual(fromHex(bytes));
  });
});

describe('a descriptor', () => {
  // BIP-380, test vectors; the descriptor documentation of Bitcoin Core.
  test.each([
    ['raw(deadbeef)', '89f8spxm'],
    ['wpkh(02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9)', '8zl0zxma'],
  ])('%s has the checksum %s', (script, checksum) => {
    expect(descriptorChecksum(script)).toBe(checksum);
  });

  test('names the key, or the chain of keys below it', () => {
    expect(outputDescriptor('p2wpkh', root)).toMatch(new RegExp(`^wpkh\\(${root}\\)#[a-z0-9]{8}$`));
    expect(outputDescriptor('p2wsh', root, [7, 0])).toMatch(new RegExp(`^wsh\\(pk\\(${root}/7/0/\\*\\)\\)#[a-z0-9]{8}$`));
    expect(outputDescriptor('p2tr', root, [7, 0])).toMatch(new RegExp(`^tr\\(${root}/7/0/\\*\\)#[a-z0-9]{8}$`));
    expect(() => descriptorChecksum('raw(Ü)')).toThrow(Refusal);
  });
});
