/** The bytes of a challenge, written out by hand from cggmp24.md §2.1 and 2.3. */
import { createHash } from 'node:crypto';
import { gcd } from 'bigint-crypto-utils';
import { describe, expect, test } from 'vitest';
import { concatBytes } from '../base/bytes.ts';
import { G, mul, q } from '../curve/secp256k1.ts';
import { beginChallenge, check, ProofRejected } from './context.ts';
import * as affG from './pi-aff-g.ts';
import * as elog from './pi-elog.ts';
import * as encElg from './pi-enc-elg.ts';
import * as fac from './pi-fac.ts';
import * as mod from './pi-mod.ts';
import * as prm from './pi-prm.ts';
import { testParameters } from './parameters.ts';
import { contextOf } from './testing/instances.ts';

const U = (n: number) => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
const B = (b: Uint8Array) => concatBytes(U(b.length), b);
const T = (s: string) => B(new Uint8Array(Buffer.from(s)));
const I = (...magnitude: number[]) => B(Uint8Array.of(0, ...magnitude));
const P = (k: bigint) => B(mul(G, k).toBytes(true));
const sha = (b: Uint8Array) => new Uint8Array(createHash('sha256').update(b).digest());

const sid = new Uint8Array(32).fill(7);
const [rid, index] = [new Uint8Array(32).fill(9), 5];
const level = concatBytes(U(256), U(1280), U(512), U(128));

describe('the transcript of a challenge', () => {
  test('begins with name, sid, prover, verifier, label, index, rid, parameters', () => {
    expect(beginChallenge('elog', contextOf('elog-Delta', { verifier: 1, rid, index, parameters: testParameters })).preimage()).toEqual(
      concatBytes(T('cggmp24/v1/elog'), B(sid), U(0), U(1), U(1), T('elog-Delta'), U(1), U(5), B(rid), level),
    );
  });

  test('absent verifier, index, rid and parameters have encodings of their own', () => {
    expect(beginChallenge('sch', { sid, prover: 3, label: 'sch-dkg' }).preimage()).toEqual(
      concatBytes(T('cggmp24/v1/sch'), B(sid), U(3), U(0), T('sch-dkg'), U(0), B(new Uint8Array()), U(0), U(0), U(0), U(0)),
    );
  });

  test('statement and commitment follow in the order of the specification, and e is read from the stream', () => {
    const start = concatBytes(T('cggmp24/v1/elog'), B(sid), U(0), U(1), U(1), T('elog-Gamma'), U(0), B(new Uint8Array()), level);
    const points = (['L', 'M', 'X', 'Y', 'H', 'A', 'N', 'B'] as const).map((name, k) => [name, mul(G, BigInt(k + 1))] as const);
    const { L, M, X, Y, H, A, N, B: b } = Object.fromEntries(points) as Record<(typeof points)[number][0], typeof G>;
    const seed = sha(concatBytes(start, ...points.map((_, k) => P(BigInt(k + 1)))));
    // q has 256 bits, so the first block is the challenge unless it is ≥ q (probability 2^−128).
    const e = BigInt(`0x${Buffer.from(sha(concatBytes(seed, new Uint8Array(8)))).toString('hex')}`);
    expect(elog.challenge({ L, M, X, Y, H }, { A, N, B: b }, contextOf('elog-Gamma', { verifier: 1, parameters: testParameters }))).toBe(e);
  });

  test('a set-up comes before the statement; ±q is centred', () => {
    const start = concatBytes(T('cggmp24/v1/enc-elg'), B(sid), U(0), U(1), U(1), T('enc-K'), U(0), B(new Uint8Array()), level);
    const rest = concatBytes(I(35), I(4), I(9), I(1, 1), I(2, 0), P(1n), P(2n), P(3n), I(5), I(6), I(7), P(4n), P(5n));
    const seed = sha(concatBytes(start, rest));
    const first = BigInt(`0x${Buffer.from(sha(concatBytes(seed, new Uint8Array(8)))).toString('hex')}`);
    const statement = { setup: { n: 35n, s: 4n, t: 9n }, N0: { n: 257n }, C: 512n, A: G, B: mul(G, 2n), X: mul(G, 3n) };
    const commitment = { S: 5n, T: 6n, D: 7n, Y: mul(G, 4n), Z: mul(G, 5n) };
    expect(encElg.challenge(statement, commitment, contextOf('enc-K', { verifier: 1, parameters: testParameters }))).toBe(
      first - (q - 1n) / 2n,
    );
  });
});

describe('the fields of the other proofs, in the order of §5', () => {
  const begin = (name: string, label: string) =>
    concatBytes(T(`cggmp24/v1/${name}`), B(sid), U(0), U(0), T(label), U(0), B(new Uint8Array()), level);
  const firstBlock = (bytes: Uint8Array) => sha(concatBytes(sha(bytes), new Uint8Array(8)));
  const number = (b: Uint8Array) => BigInt(`0x${Buffer.from(b).toString('hex')}`);
  const at = (label: string) => contextOf(label, { parameters: testParameters });
  const setup = { n: 35n, s: 4n, t: 9n };

  test('aff-g: set-up, N0, N1, C, D, Y, X, A, B_x, B_y, E, S, F, T', () => {
    const statement = { setup, N0: { n: 257n }, N1: { n: 259n }, C: 1n, D: 2n, Y: 3n, X: G };
    const commitment = { A: 5n, Bx: mul(G, 2n), By: 6n, E: 7n, S: 8n, F: 10n, T: 11n };
    const fields = concatBytes(I(35), I(4), I(9), I(1, 1), I(1, 3), I(1), I(2), I(3), P(1n), I(5), P(2n), I(6), I(7), I(8), I(10), I(11));
    expect(affG.challenge(statement, commitment, at('aff-x'))).toBe(
      number(firstBlock(concatBytes(begin('aff-g', 'aff-x'), fields))) - (q - 1n) / 2n,
    );
  });

  test('fac: set-up, N, P, Q, A, B, T; e in ±2^ℓ', () => {
    const commitment = { P: 5n, Q: 6n, A: 7n, B: 8n, T: 10n };
    const bytes = concatBytes(begin('fac', 'fac'), I(35), I(4), I(9), I(1, 1), I(5), I(6), I(7), I(8), I(10));
    // |±2^256| = 2^256 + 1 has 257 bits: 33 bytes, of which the low 7 bits are dropped, again until the value is below.
    const stream = concatBytes(...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => sha(concatBytes(sha(bytes), new Uint8Array(7), Uint8Array.of(i)))));
    const draws = [0, 1, 2, 3, 4, 5, 6].map((i) => number(stream.slice(33 * i, 33 * i + 33)) >> 7n);
    const value = draws.find((draw) => draw <= 1n << 256n)!;
    expect(fac.challenge({ setup, N: { n: 257n } }, commitment, at('fac'))).toBe(value - (1n << 255n));
  });

  test('prm: N̂, s, t, list of A_j; bit j is bit (j mod 8) of byte ⌊j/8⌋', () => {
    const bytes = firstBlock(concatBytes(begin('prm', 'prm'), I(35), I(4), I(9), U(2), I(5), I(6)));
    const bits = Array.from({ length: 128 }, (_, j) => ((bytes[Math.floor(j / 8)]! >> (j % 8)) & 1) === 1);
    expect(prm.challenge({ setup }, { A: [5n, 6n] }, at('prm'))).toEqual(bits);
  });

  test('mod: N, w; y_j by rejection from the stream, without non-units', async () => {
    // N = 251: one byte each, values ≥ N rejected; then N = 15: 4 bits each.
    for (const N of [251n, 15n]) {
      const bytes = concatBytes(begin('mod', 'mod'), I(Number(N)), I(2));
      const stream = concatBytes(
        ...Array.from({ length: 60 }, (_, i) => sha(concatBytes(sha(bytes), new Uint8Array(7), Uint8Array.of(i)))),
      );
      const units = [...stream].map((byte) => BigInt(N === 15n ? byte >> 4 : byte)).filter((y) => y < N && gcd(y, N) === 1n);
      expect(await mod.challenge({ N: { n: N } }, { w: 2n }, at('mod'))).toEqual(units.slice(0, 128));
    }
  });
});

test('a rejection names proof and check, and a check that holds is silent', () => {
  check('elog', true, 'a = b');
  expect(() => check('elog', false, 'a = b')).toThrow(new ProofRejected('elog', 'a = b'));
  expect(() => check('elog', false, 'a = b')).toThrow('Π^elog: a = b does not hold');
});
