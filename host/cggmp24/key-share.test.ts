import { describe, expect, test } from 'vitest';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { Child } from '../curve/bip32.ts';
import { G, modQ, mul, sum } from '../curve/secp256k1.ts';
import { testParameters } from '../proofs/parameters.ts';
import { additiveShares, additiveSharesProblem, keyShare } from './key-share.ts';
import { makeKey, subsets } from './testing/parties.ts';

describe('key share', () => {
  test('survives encoding, and a damaged one is refused', async () => {
    const [share] = await makeKey(2, 3, testParameters);
    const encoded = encode(keyShare, share!);
    expect(encode(keyShare, decode(keyShare, encoded))).toEqual(encoded);
    expect(decode(keyShare, encoded).x).toBe(share!.x);
    const damaged = { ...share!, x: modQ(share!.x + 1n) };
    expect(() => decode(keyShare, encode(keyShare, damaged))).toThrow(DecodeError);
    const swapped = { ...share!, X: [share!.X[0]!, share!.X[2]!, share!.X[1]!] };
    expect(() => decode(keyShare, encode(keyShare, swapped))).toThrow('Σ λ_j·X_j = PK');
    expect(() => decode(keyShare, encoded.with(0, 2))).toThrow('version 2');
  });

  test('becomes additive for any set of signers, shifted for a child key', async () => {
    const shares = await makeKey(2, 4, testParameters);
    for (const child of [undefined, Child.of(shares[0]!, [0, 7])]) {
      for (const signers of subsets(4, 2)) {
        const additive = signers.map((index) => additiveShares(shares[index]!, signers, child));
        for (const [position, part] of additive.entries()) expect(additiveSharesProblem(part, position)).toBeUndefined();
        const total = modQ(additive.reduce((x, part) => x + part.x, 0n));
        const expected = sum([shares[0]!.publicKey, mul(G, child?.shift ?? 0n)]);
        expect(mul(G, total).equals(expected)).toBe(true);
        expect(additive[0]!.publicKey.equals(expected)).toBe(true);
      }
    }
  });

  test('takes no child of another key', async () => {
    const [share] = await makeKey(2, 3, testParameters);
    const [other] = await makeKey(2, 3, testParameters);
    expect(() => additiveShares(share!, [0, 1], Child.of(other!, [0, 7]))).toThrow(Defect);
    expect(() => additiveShares(share!, [0, 1], Child.of(Child.of(share!, [0]), [7]))).toThrow(Defect);
  });

  test.each([[[0]], [[0, 1, 2]], [[1, 0]], [[0, 0]], [[1, 2]], [[0, 4]], [[0, 1.5]]])('signers %j are refused', async (signers) => {
    const [share] = await makeKey(2, 4, testParameters);
    expect(() => additiveShares(share!, signers)).toThrow(Refusal);
  });
});
