import { schnorr } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { systemRandom as random } from '../base/random.ts';
import { addressOf } from '../bitcoin/address.ts';
import { decodeExtendedKey } from '../bitcoin/descriptor.ts';
import { walletScript } from '../bitcoin/scripts.ts';
import { Child, parsePath } from '../curve/bip32.ts';
import { commitPolynomial, evaluate, evaluateCommitment, interpolatePoint, randomPolynomial, shamirPoint } from '../curve/polynomial.ts';
import { modQ, point } from '../curve/secp256k1.ts';
import bip86 from '../../fixtures/vectors/bip86.json' with { type: 'json' };
import { deriveShare } from './derive.ts';
import { brokenRelation, frostShare, internalKey, outputKey, type FrostShare } from './share.ts';
import { taprootSighash } from './sighash.ts';
import { aggregate, commit, signShare } from './signing.ts';
import { hasEvenY, tweakKey, tweakPoint, untweakKey, xOnly } from './taproot.ts';

/** Shares of a 2-of-3 key as key generation leaves them; `odd` says whether the internal key has odd Y. */
function deal(odd: boolean): FrostShare[] {
  for (;;) {
    const f = randomPolynomial(random, 2);
    const phi = commitPolynomial(f);
    if (hasEvenY(phi[0]!) === odd) continue;
    const Y = [0, 1, 2].map((j) => evaluateCommitment(phi, shamirPoint(j)));
    return [0, 1, 2].map((index) => ({
      version: 1, keyId: 'key', epoch: 0, index, t: 2, n: 3, internal: phi[0]!, chainCode: new Uint8Array(32).fill(9),
      ...tweakKey({ P: phi[0]!, Y, s: evaluate(f, shamirPoint(index)) }),
    })); // prettier-ignore
  }
}
const sighashOf = (n: number) => taprootSighash(concatBytes(new Uint8Array(174), Uint8Array.of(n)));

function sign(shares: readonly FrostShare[], message = sighashOf(1)): Uint8Array {
  const nonces = shares.map((share) => commit(share, random));
  const commitments = nonces.map(({ commitment }) => commitment);
  const parts = new Map(shares.map((share, a) => [share.index, signShare(share, nonces[a]!, commitments, message)]));
  return aggregate(shares[0]!, commitments, message, parts).signature!;
}

test.each(bip86.addresses)('BIP-86: $path', ({ path, internalKey: internal, outputKey: output, address }) => {
  const { publicKey, chainCode } = decodeExtendedKey(bip86.account);
  const child = Child.of({ publicKey: decode(point, publicKey), chainCode }, parsePath(path));
  expect(hex(xOnly(child.publicKey))).toBe(internal);
  expect(hex(xOnly(tweakPoint(child.publicKey)))).toBe(output);
  expect(addressOf(walletScript('p2tr', xOnly(tweakPoint(child.publicKey))).script, 'mainnet')).toBe(address);
});

describe.each([false, true])('a share of a key with odd Y: %s', (odd) => {
  const shares = deal(odd);

  test('turns back to the internal key', () => {
    const untweaked = shares.map(untweakKey);
    expect(interpolatePoint(new Map(untweaked[0]!.Y.map((Y_j, j) => [j, Y_j]))).equals(shares[0]!.internal)).toBe(true);
    for (const [j, back] of untweaked.entries()) expect(tweakKey(back)).toMatchObject({ s: shares[j]!.s });
  });

  test.each([[[0, 0]], [[0, 1]], [[1, 7]], [[2147483647]]])(
    'signs for the child %j, whose key everybody derives from public data',
    (path) => {
      const children = shares.map((share) => deriveShare(share, path));
      const expected = Child.of({ publicKey: shares[0]!.internal, chainCode: shares[0]!.chainCode }, path);
      for (const child of children) {
        expect(brokenRelation(child)).toBeUndefined();
        expect(hex(internalKey(child))).toBe(hex(xOnly(expected.publicKey)));
        expect(child.P.equals(tweakPoint(expected.publicKey))).toBe(true);
      }
      for (const signers of [
        [0, 1],
        [0, 2],
        [1, 2],
      ]) {
        const signature = sign(signers.map((j) => children[j]!));
        expect(schnorr.verify(signature, sighashOf(1), outputKey(children[0]!))).toBe(true);
        expect(schnorr.verify(signature, sighashOf(1), outputKey(shares[0]!))).toBe(false);
      }
    },
  );

  test('gives grandchildren the same in two steps as in one', () => {
    const [share] = shares;
    expect(deriveShare(deriveShare(share!, [4]), [5]).s).toBe(deriveShare(share!, [4, 5]).s);
  });

  test('is its own child for the empty path, and has no hardened ones', () => {
    expect(deriveShare(shares[0]!, [])).toBe(shares[0]);
    expect(() => deriveShare(shares[0]!, [0x80000000])).toThrow(Refusal);
  });

  test('is read from a record of version 1, and derives the same', () => {
    const read = decode(frostShare, encode(frostShare, shares[1]!));
    expect(deriveShare(read, [0, 3]).s).toBe(deriveShare(shares[1]!, [0, 3]).s);
  });
});

test('children of one key do not share a signature share: another path is another key', () => {
  const [share] = deal(false);
  const s = [[0, 0], [0, 1], [1, 0], []].map((path) => deriveShare(share!, path).s);
  expect(new Set(s).size).toBe(4);
  expect(modQ(s[0]!)).toBe(s[0]);
  expect(fromHex(hex(outputKey(deriveShare(share!, [0, 0]))))).toHaveLength(32);
});
