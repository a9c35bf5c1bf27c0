import { secp256k1 } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import rfc6979 from '../../fixtures/vectors/rfc6979-secp256k1.json' with { type: 'json' };
import relayed from '../../fixtures/vectors/wycheproof-secp256k1-bitcoin.json' with { type: 'json' };
import plain from '../../fixtures/vectors/wycheproof-secp256k1.json' with { type: 'json' };
import { bytesToBigint, fromHex, hex, utf8 } from '../base/bytes.ts';
import { parseStrictDer } from '../devnet/chain-script.ts';
import { sha256 } from '../protocol/transcript.ts';
import { ecdsaHolds } from './ecdsa.ts';
import { G, mul, Point, q } from './secp256k1.ts';

type Row = (typeof relayed.rows)[number];
/** Rows whose outcome is not the published one. */
const wrong = (rows: readonly Row[], accepts: (row: Row) => boolean): string[] =>
  rows.filter((row) => accepts(row) !== row.valid).map(({ id, comment }) => `${id}: ${comment}`);

const parse = ({ signature }: Row) => parseStrictDer(fromHex(signature));
const holds = ({ publicKey, message }: Row, signature: { r: bigint; s: bigint }): boolean =>
  ecdsaHolds(Point.fromBytes(fromHex(publicKey)), sha256(fromHex(message)), signature);

describe('ECDSA verification', () => {
  test('Wycheproof, with lower s and strict DER as Bitcoin relays: all rows', () => {
    expect(relayed.rows.length).toBe(463);
    expect(
      wrong(relayed.rows, (row) => {
        const signature = parse(row);
        return signature !== undefined && holds(row, signature);
      }),
    ).toEqual([]);
  });

  test('Wycheproof, plain: the same signatures after s is made the smaller of s and q − s; as they stand, those with the higher s are rejected', () => {
    expect(plain.rows.length).toBe(476);
    const lower = (s: bigint): bigint => (s > (q - 1n) / 2n ? q - s : s);
    expect(
      wrong(plain.rows, (row) => {
        const signature = parse(row);
        return signature !== undefined && holds(row, { ...signature, s: lower(signature.s) });
      }),
    ).toEqual([]);
    const high = plain.rows.filter((row) => row.valid && parse(row)!.s !== lower(parse(row)!.s));
    expect(high.length).toBeGreaterThan(0);
    for (const row of high) expect(holds(row, parse(row)!), row.comment).toBe(false);
  });

  test.each(rfc6979.rows)('RFC 6979: "$message"', ({ secretKey, message, signature }) => {
    const digest = sha256(utf8(message));
    expect(hex(secp256k1.sign(digest, fromHex(secretKey), { prehash: false, lowS: true }))).toBe(signature);
    const publicKey = mul(G, bytesToBigint(fromHex(secretKey)));
    const [r, s] = [signature.slice(0, 64), signature.slice(64)].map((part) => bytesToBigint(fromHex(part))) as [bigint, bigint];
    expect(ecdsaHolds(publicKey, digest, { r, s })).toBe(true);
    expect(ecdsaHolds(publicKey, digest, { r, s: q - s })).toBe(false);
    expect(ecdsaHolds(publicKey.double(), digest, { r, s })).toBe(false);
    expect(ecdsaHolds(publicKey, sha256(digest), { r, s })).toBe(false);
  });

  test('numbers outside (0, q) are no signature, whatever their residue', () => {
    const [row] = rfc6979.rows;
    const publicKey = mul(G, bytesToBigint(fromHex(row!.secretKey)));
    const digest = sha256(utf8(row!.message));
    const [r, s] = [row!.signature.slice(0, 64), row!.signature.slice(64)].map((part) => bytesToBigint(fromHex(part))) as [bigint, bigint];
    for (const outside of [
      { r: 0n, s },
      { r, s: 0n },
      { r: r + q, s },
      { r, s: s + q },
      { r: r - q, s },
      { r, s: -s },
    ])
      expect(ecdsaHolds(publicKey, digest, outside)).toBe(false);
  });
});
