import { schnorr } from '@noble/curves/secp256k1.js';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { concatBytes, hex, utf8 } from '../base/bytes.ts';
import { systemRandom, type Random } from '../base/random.ts';
import { commitPolynomial, evaluate, evaluateCommitment, randomPolynomial, shamirPoint } from '../curve/polynomial.ts';
import { deriveShare } from '../frost/derive.ts';
import { nonceId, prepareNonces } from '../frost/nonces.ts';
import { outputKey, type FrostShare } from '../frost/share.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { aggregate, signShare, type NonceCommitment } from '../frost/signing.ts';
import { tweakKey } from '../frost/taproot.ts';
import { sha256 } from '../protocol/transcript.ts';
import { openBurnJournal, type BurnJournal } from '../storage/burns.ts';
import { scratch } from '../storage/testing/children.ts';
import { NonceStock } from './nonces.ts';
import { stateOf } from './states.ts';

const f = randomPolynomial(systemRandom, 2);
const phi = commitPolynomial(f);
const shares = [0, 1, 2].map((index): FrostShare => {
  const Y = [0, 1, 2].map((j) => evaluateCommitment(phi, shamirPoint(j)));
  const tweaked = tweakKey({ P: phi[0]!, Y, s: evaluate(f, shamirPoint(index)) });
  return { version: 1, keyId: 'key', epoch: 0, index, t: 2, n: 3, internal: phi[0]!, chainCode: new Uint8Array(32), ...tweaked };
});
const share = shares[0]!;
const message = (n: number) => taprootSighash(concatBytes(new Uint8Array(174), Uint8Array.of(n)));
const purpose = (text: string) => sha256(utf8(text));
const context = () => systemRandom.bytes(32);
const refusal = (code: string) => expect.objectContaining({ name: 'Refusal', code });

let folder: string;
let burns: BurnJournal;
let stock: NonceStock;
beforeEach(async () => {
  folder = await scratch();
  burns = await openBurnJournal(join(folder, 'burns'));
  stock = new NonceStock({ burns, random: systemRandom });
});
afterEach(async () => {
  await burns.close();
  await rm(folder, { recursive: true, force: true });
});

describe('a prepared pair', () => {
  it('signs in one round, for any set and for a child of the key, with commitments from a list', async () => {
    for (const [path, set] of [
      [[], [0, 1]],
      [
        [0, 4],
        [0, 2],
      ],
    ] as const) {
      const stocks = set.map(() => new NonceStock({ burns, random: systemRandom }));
      const commitments = set.map((index, a) => stocks[a]!.prepare(shares[index]!, 'node-1', context(), 3)[1]!);
      const signers = set.map((index) => deriveShare(shares[index]!, path));
      const parts = new Map<number, bigint>();
      for (const [a, index] of set.entries()) {
        const [nonces] = await stocks[a]!.take(shares[index]!, 'node-1', [commitments[a]!], [purpose(`${path.join()} ${index}`)]);
        parts.set(index, signShare(signers[a]!, nonces!, commitments, message(1)));
      }
      const { signature } = aggregate(signers[0]!, commitments, message(1), parts);
      expect(schnorr.verify(signature!, message(1), outputKey(signers[0]!))).toBe(true);
    }
  });

  it('is taken once, and the journal says for what before it is handed out', async () => {
    const [first, second] = stock.prepare(share, 'node-1', context(), 2) as [NonceCommitment, NonceCommitment];
    const taken = await stock.take(share, 'node-1', [first, second], [purpose('a'), purpose('b')]);
    expect(taken.map(({ commitment }) => commitment)).toEqual([first, second]);
    expect([first, second].map((c) => stateOf(burns, nonceId(share, c)))).toEqual([
      { name: 'spent', request: purpose('a') },
      { name: 'spent', request: purpose('b') },
    ]);
    for (const again of ['a', 'another message or set'])
      await expect(stock.take(share, 'node-1', [first], [purpose(again)])).rejects.toEqual(refusal('nonces.unknown'));
    const commitments = [first, prepareNonces(shares[1]!, systemRandom, context(), 1)[0]!.commitment];
    signShare(share, taken[0]!, commitments, message(1));
    expect(() => signShare(share, taken[0]!, commitments, message(2))).toThrow(/used or erased/);
  });

  it('goes to one of many callers', async () => {
    const [commitment] = stock.prepare(share, 'node-1', context(), 1);
    const results = await Promise.allSettled([1, 2, 3].map((n) => stock.take(share, 'node-1', [commitment!], [purpose(`${n}`)])));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('is all or nothing with the others of a request', async () => {
    const [mine] = stock.prepare(share, 'node-1', context(), 1);
    const [theirs] = stock.prepare(share, 'node-2', context(), 1);
    for (const list of [[mine!, theirs!], [mine!, mine!]])
      await expect(stock.take(share, 'node-1', list, list.map(() => purpose('x')))).rejects.toEqual(refusal('nonces.unknown')); // prettier-ignore
    expect([stock.size, burns.size]).toEqual([2, 0]);
    expect(await stock.take(share, 'node-2', [theirs!], [purpose('x')])).toHaveLength(1);
  });

  it('is erased when the journal refuses it', async () => {
    const [commitment] = stock.prepare(share, 'node-1', context(), 1);
    await burns.burn(nonceId(share, commitment!), purpose('something else'));
    await expect(stock.take(share, 'node-1', [commitment!], [purpose('x')])).rejects.toEqual(refusal('burn.repeated'));
    expect(stock.size).toBe(0);
  });

  it('does not outlive its epoch, its key or the process', async () => {
    const [old] = stock.prepare(share, 'node-1', context(), 1);
    const next = { ...share, epoch: 1 };
    expect(stock.holds(next, 'node-1', [old!])).toBe(false);
    stock.prepare(next, 'node-1', context(), 1);
    expect([stock.holds(share, 'node-1', [old!]), stock.size]).toEqual([false, 1]);
    stock.purge('another key');
    expect(stock.size).toBe(1);
    stock.purge('key');
    expect(stock.size).toBe(0);
    const [commitment] = stock.prepare(share, 'node-1', context(), 1);
    const restarted = new NonceStock({ burns, random: systemRandom });
    expect(restarted.holds(share, 'node-1', [commitment!])).toBe(false);
  });
});

it('one coordinator cannot make a node hold more than 128 pairs of a key', () => {
  const first = stock.prepare(share, 'node-1', context(), 100);
  stock.prepare(share, 'node-2', context(), 1);
  const last = stock.prepare(share, 'node-1', context(), 40);
  expect(stock.size).toBe(129);
  expect([11, 12].map((i) => stock.holds(share, 'node-1', [first[i]!]))).toEqual([false, true]);
  expect(stock.holds(share, 'node-1', last)).toBe(true);
});

it('with a generator that repeats itself, pairs differ as long as the contexts do', () => {
  const broken: Random = { bytes: (length) => new Uint8Array(length) };
  const points = [1, 2].flatMap((n) => prepareNonces(share, broken, new Uint8Array(32).fill(n), 3)).flatMap(({ commitment: { D, E } }) => [D, E]); // prettier-ignore
  expect(new Set(points.map((P) => hex(P.toBytes(true)))).size).toBe(12);
});
