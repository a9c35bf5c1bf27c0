import { secp256k1 } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import bip341 from '../../fixtures/vectors/bip341.json' with { type: 'json' };
import bip350 from '../../fixtures/vectors/bip350.json' with { type: 'json' };
import { fromHex, hex } from '../base/bytes.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { addressOf, p2trAddress, p2wpkhAddress, p2wshAddress, parseRecipient } from './address.ts';
import { NETWORKS, parseNetwork, type Network } from './networks.ts';
import { dustLimit, metadataScript, scriptType, walletScript } from './scripts.ts';

/** The key of BIP-173's examples: the generator. */
const GENERATOR = secp256k1.Point.BASE.toBytes(true);

const refusal = (act: () => unknown): Refusal => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal);
    return error as Refusal;
  }
  throw new Error('nothing was refused');
};

describe('addresses of our own keys', () => {
  test('BIP-173: P2WPKH of the generator', () => {
    expect(p2wpkhAddress(GENERATOR, 'mainnet')).toBe('bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4');
    expect(p2wpkhAddress(GENERATOR, 'testnet')).toBe('tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx');
    expect(p2wpkhAddress(GENERATOR, 'signet')).toBe(p2wpkhAddress(GENERATOR, 'testnet'));
  });

  test('BIP-173: P2WSH of <generator> OP_CHECKSIG', () => {
    expect(p2wshAddress(GENERATOR, 'mainnet')).toBe('bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3');
    expect(p2wshAddress(GENERATOR, 'testnet')).toBe('tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7');
  });

  test.each(bip341.outputs)('BIP-341: P2TR $address', ({ output_key, script, address }) => {
    expect(p2trAddress(fromHex(output_key), 'mainnet')).toBe(address);
    expect(hex(parseRecipient(address, 'mainnet'))).toBe(script);
  });

  test('a key that is none is our own bug', () => {
    expect(() => walletScript('p2wpkh', GENERATOR.subarray(1))).toThrow(Defect);
    expect(() => walletScript('p2wsh', secp256k1.Point.BASE.toBytes(false))).toThrow(Defect);
    expect(() => walletScript('p2wpkh', new Uint8Array(33).fill(2))).not.toThrow();
    expect(() => walletScript('p2wpkh', new Uint8Array(33).fill(5))).toThrow(Defect);
    // x = 5 is not the x-coordinate of any point.
    expect(() =>
      walletScript(
        'p2tr',
        Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? 5 : 0)),
      ),
    ).toThrow(Defect);
  });
});

describe('recipients', () => {
  test.each(bip350.valid)('BIP-350: $address', ({ address, network, script }) => {
    expect(hex(parseRecipient(address, network as Network))).toBe(script);
    expect(addressOf(fromHex(script), network as Network)).toBe(address.toLowerCase());
  });

  test.each(bip350.unsupported)('BIP-350: %s is valid, of a witness version this wallet does not pay', (address) => {
    expect(refusal(() => parseRecipient(address, 'mainnet')).code).toBe('unsupported_witness_version');
  });

  test.each(bip350.invalid)('BIP-350: $address, $why', ({ address }) => {
    for (const network of NETWORKS) expect(() => parseRecipient(address, network)).toThrow(Refusal);
  });

  test.each([
    ['1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', 'mainnet', 'p2pkh', 546n],
    ['3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy', 'mainnet', 'p2sh', 540n],
    ['mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', 'testnet', 'p2pkh', 546n],
    ['2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc', 'regtest', 'p2sh', 540n],
    ['bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', 'mainnet', 'p2wpkh', 294n],
    ['bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3', 'mainnet', 'p2wsh', 330n],
    ['bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0', 'mainnet', 'p2tr', 330n],
  ] as const)('%s is %s %s, dust below %s sat', (address, network, type, dust) => {
    const script = parseRecipient(address, network);
    expect(scriptType(script)).toBe(type);
    expect(dustLimit(script)).toBe(dust);
    expect(addressOf(script, network)).toBe(address);
  });

  test.each([
    ['tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx', 'mainnet', /testnet or signet/],
    ['bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', 'regtest', /mainnet/],
    ['1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', 'testnet', /mainnet/],
    ['mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', 'mainnet', /testnet or signet or regtest/],
    // A Litecoin address: valid Bech32, of no network here.
    ['ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9', 'mainnet', /no network this wallet knows/],
  ] as const)('%s on %s: refused, and the right network named', (address, network, message) => {
    const error = refusal(() => parseRecipient(address, network, 'recipients[0].address'));
    expect(error.code).toBe('wrong_network');
    expect(error.field).toBe('recipients[0].address');
    expect(error.message).toMatch(message);
    expect(error.remedy).toContain(network);
  });

  test('one wrong character', () => {
    expect(refusal(() => parseRecipient('bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5', 'mainnet')).code).toBe('bad_checksum');
    expect(refusal(() => parseRecipient('1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3', 'mainnet')).code).toBe('bad_checksum');
  });

  test.each(['', ' ', 'x'.repeat(1000), 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 ', 'bitcoin:bc1q', '../utxo'])(
    '%j is no address',
    (text) => {
      expect(refusal(() => parseRecipient(text, 'mainnet')).code).toBe('malformed_address');
    },
  );

  test('a Taproot address without a key in it would burn what it is paid', () => {
    const address = addressOf(fromHex(`5120${'00'.repeat(31)}05`), 'regtest');
    expect(refusal(() => parseRecipient(address, 'regtest')).message).toMatch(/lost/);
  });
});

test('an unknown network is refused with the list of known ones', () => {
  expect(parseNetwork('signet')).toBe('signet');
  const error = refusal(() => parseNetwork('main', 'bitcoin.network'));
  expect(error.field).toBe('bitcoin.network');
  expect(error.remedy).toContain('mainnet, testnet, signet, regtest');
  expect(() => parseNetwork('toString')).toThrow(Refusal);
});

test('metadata scripts: one push, two forms', () => {
  expect(hex(metadataScript(Uint8Array.of(1)))).toBe('6a0101');
  expect(hex(metadataScript(new Uint8Array(75)))).toBe(`6a4b${'00'.repeat(75)}`);
  expect(hex(metadataScript(new Uint8Array(76)))).toBe(`6a4c4c${'00'.repeat(76)}`);
  expect(metadataScript(new Uint8Array(80))).toHaveLength(83);
  expect(() => metadataScript(new Uint8Array(81))).toThrow(Defect);
});
