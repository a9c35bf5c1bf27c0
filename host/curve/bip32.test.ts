import { describe, expect, test } from 'vitest';
import { bytesToBigint, fromHex, hex } from '../base/bytes.ts';
import { decode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { p2wpkhAddress } from '../bitcoin/address.ts';
import { fromBase58Check } from '../bitcoin/base58.ts';
import { decodeExtendedKey } from '../bitcoin/descriptor.ts';
import bip32 from '../../fixtures/vectors/bip32.json' with { type: 'json' };
import bip84 from '../../fixtures/vectors/bip84.json' with { type: 'json' };
import { Child, formatPath, HARDENED, MAX_DEPTH, parsePath, type ExtendedKey } from './bip32.ts';
import { G, modQ, mul, point } from './secp256k1.ts';

const keyOf = (xpub: string): ExtendedKey => {
  const { publicKey, chainCode } = decodeExtendedKey(xpub);
  return { publicKey: decode(point, publicKey), chainCode };
};

describe('derivation', () => {
  test.each(bip32.cases)('BIP-32: $chain → $index', ({ parent, index, child: expected }) => {
    const child = Child.of(keyOf(parent), [index]);
    const { publicKey, chainCode } = keyOf(expected);
    expect(child.publicKey.equals(publicKey)).toBe(true);
    expect(hex(child.chainCode)).toBe(hex(chainCode));
  });

  test.each(bip84.addresses)('BIP-84: $path', ({ path, publicKey, address }) => {
    // The account is published with its secret key only: 0x00 ‖ k in the last 33 bytes.
    const account = fromBase58Check(bip84.accountPrivate, 'account');
    const root = { publicKey: mul(G, bytesToBigint(account.slice(46))), chainCode: account.slice(13, 45) };
    const child = Child.of(root, parsePath(path)).publicKey.toBytes(true);
    expect(hex(child)).toBe(publicKey);
    expect(p2wpkhAddress(child, 'mainnet')).toBe(address);
  });

  test('two steps at once are one after the other, and the shift is the sum of their tweaks', () => {
    const secret = 0x1234567n;
    const root = { publicKey: mul(G, secret), chainCode: new Uint8Array(32).fill(7) };
    const both = Child.of(root, [3, 2147483647]);
    const second = Child.of(Child.of(root, [3]), [2147483647]);
    expect(both.publicKey.equals(second.publicKey)).toBe(true);
    expect(both.chainCode).toEqual(second.chainCode);
    expect(mul(G, modQ(secret + both.shift)).equals(both.publicKey)).toBe(true);
    expect(Child.of(root, [])).toMatchObject({ shift: 0n, path: [] });
    expect(Child.of(root, []).publicKey.equals(root.publicKey)).toBe(true);
  });

  test('another chain code, key or index gives another child', () => {
    const root = { publicKey: G, chainCode: new Uint8Array(32) };
    const children = [
      Child.of(root, [0]),
      Child.of(root, [1]),
      Child.of({ ...root, chainCode: fromHex('01'.padStart(64, '0')) }, [0]),
      Child.of({ ...root, publicKey: G.double() }, [0]),
    ];
    expect(new Set(children.map(({ shift }) => shift)).size).toBe(children.length);
  });

  test.each([[[HARDENED]], [[0, HARDENED + 1]], [[-1]], [[0.5]], [[NaN]], [Array<number>(MAX_DEPTH + 1).fill(0)]])(
    'path %j is refused',
    (path) => {
      expect(() => Child.of({ publicKey: G, chainCode: new Uint8Array(32) }, path)).toThrow(Refusal);
    },
  );
});

describe('paths', () => {
  test.each([
    ['m', []],
    ['m/0/5', [0, 5]],
    ['1/2147483647', [1, 2147483647]],
  ])('%s', (text, path) => {
    expect(parsePath(text)).toEqual(path);
    expect(parsePath(formatPath(path))).toEqual(path);
  });

  test.each(["m/0'", '0h', '2147483648', 'm//0', '/0', '0/', '00', '-1', '1e3', 'm0', '0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0'])(
    '%s is refused',
    (text) => {
      expect(() => parsePath(text)).toThrow(Refusal);
    },
  );
});
