import { afterAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { createCore } from '../core/index.ts';
import { lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul } from '../curve/secp256k1.ts';
import { sign as frostSign } from '../frost/sign.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { bitcoinSighash } from '../cggmp24/sighash.ts';
import { combine, partialSignature } from '../cggmp24/sign.ts';
import { dealAux, random, runPresign, subsets } from '../cggmp24/testing/parties.ts';
import { nobleAccepts } from '../cggmp24/testing/verifiers.ts';
import { outputKey } from '../frost/share.ts';
import { schnorr } from '@noble/curves/secp256k1.js';
import { toEcdsa, toFrost, type Scheme } from './shared-key.ts';
import { checkHeld, plan, runId, type Held } from './plan.ts';
import { change, keysOf, makeCommittee, planOf, run, type Change, type Committee } from './testing/parties.ts';
import { checkCertificate } from './statements.ts';
import { testParameters } from '../proofs/parameters.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const preimage = utf8('the preimage of a sighash');

/** From, to, and who shares: nodes of the tests by number. */
const scenarios: [string, { t: number; members: number[] }, Change & { members: readonly number[]; t: number }][] = [
  ['4-of-5 → 3-of-5, four of five sharing', { t: 4, members: [0, 1, 2, 3, 4] }, { sharers: [0, 1, 3, 4], t: 3, members: [0, 1, 2, 3, 4] }],
  ['2-of-3 → 3-of-4 without a common member', { t: 2, members: [0, 1, 2] }, { sharers: [0, 2], t: 3, members: [3, 4, 5, 6] }],
  ['3-of-5, a lost node replaced', { t: 3, members: [0, 1, 2, 3, 4] }, { sharers: [0, 1, 4], t: 3, members: [0, 1, 5, 3, 4] }],
  ['2-of-4 with more sharers than needed', { t: 2, members: [0, 1, 2, 3] }, { sharers: [0, 1, 2, 3], t: 2, members: [2, 3, 4] }],
  ['3-of-4 → 2-of-2', { t: 3, members: [0, 1, 2, 3] }, { sharers: [1, 2, 3], t: 2, members: [3, 1] }],
];

/** That `next` shares the same key, by every set of t*, by no smaller set, and not by the old shares in the new places. */
function expectSameKey(old: Committee, next: Committee): void {
  const { t, n, publicKey, chainCode, epoch } = next.shares[0]!;
  expect(publicKey.equals(old.shares[0]!.publicKey)).toBe(true);
  expect(chainCode).toEqual(old.shares[0]!.chainCode);
  expect(epoch).toBe(old.shares[0]!.epoch + 1);
  const joint = (set: readonly number[]) => {
    const points = set.map(shamirPoint);
    return mul(G, set.reduce((x, j) => modQ(x + lagrangeAtZero(points, shamirPoint(j)) * next.shares[j]!.x), 0n)); // prettier-ignore
  };
  for (const [j, share] of next.shares.entries()) {
    expect(share.index).toBe(j);
    expect(share.X.every((X_k, k) => X_k.equals(mul(G, next.shares[k]!.x)))).toBe(true);
    expect(old.shares.some(({ x }) => x === share.x)).toBe(false);
  }
  for (const set of subsets(n, t)) expect(joint(set).equals(publicKey)).toBe(true);
  for (const set of subsets(n, t - 1)) expect(joint(set).equals(publicKey)).toBe(false);
}

/** The new shares sign, by presigning or FROST, and others' software accepts it under the old key. */
async function expectSigns(next: Committee & { rid: Uint8Array }, scheme: Scheme): Promise<void> {
  const { t, n } = next.shares[0]!;
  const signers = Array.from({ length: t }, (_, a) => n - t + a);
  if (scheme === 'cggmp24') {
    const keys = next.shares.map((share) => toEcdsa(share, next.rid));
    const group = { keys, aux: dealAux(n, smallParameters), core, parameters: smallParameters };
    const presignatures = values(await runPresign(group, signers));
    const message = bitcoinSighash(preimage);
    const partials = new Map(presignatures.map((own, a) => [a, partialSignature(own, message)]));
    expect(nobleAccepts(keys[0]!.publicKey, preimage, combine(presignatures[0]!, message, partials))).toBe(true);
  } else {
    const keys = next.shares.map(toFrost);
    // Epoch 0 and SIGHASH_DEFAULT, then a transaction of zeros.
    const message = taprootSighash(new Uint8Array(175));
    const signatures = await memoryNetwork(t, random.bytes(32)).run((rounds, a) =>
      frostSign({ rounds, signers, share: keys[signers[a]!]!, message, random }),
    );
    for (const signature of values(signatures)) expect(schnorr.verify(signature, message, outputKey(keys[0]!))).toBe(true);
  }
}

describe.each(['cggmp24', 'frost'] as const)('resharing a %s key', (scheme) => {
  test.each(scenarios)('%s: the same key, and it signs', async (_what, from, what) => {
    const old = await makeCommittee(scheme, from.t, from.members);
    const next = await change(old, what);
    expectSameKey(old, next);
    await expectSigns(next, scheme);
  });

  test('refresh: all members share zero; the additive case t = n too', async () => {
    for (const [t, members] of [
      [2, [0, 1, 2]],
      [3, [4, 5, 6]],
    ] as const) {
      const old = await makeCommittee(scheme, t, members);
      const next = await change(old, {});
      expectSameKey(old, next);
      await expectSigns(next, scheme);
      const mixed = { ...next, shares: next.shares.map((share, j) => (j === 0 ? old.shares[0]! : share)) };
      const points = Array.from({ length: t }, (_, j) => shamirPoint(j));
      const x = mixed.shares.slice(0, t).reduce((sum, share, j) => modQ(sum + lagrangeAtZero(points, shamirPoint(j)) * share.x), 0n);
      expect(mul(G, x).equals(old.shares[0]!.publicKey), 'shares of two epochs do not fit').toBe(false);
    }
  });

  test('twice in a row, and back to nodes that were left out', async () => {
    const first = await makeCommittee(scheme, 2, [0, 1, 2]);
    const second = await change(first, { sharers: [0, 1], t: 2, members: [3, 4] });
    const third = await change(second, { sharers: [0, 1], t: 2, members: [0, 1, 3] });
    expect(third.shares[0]!.publicKey.equals(first.shares[0]!.publicKey)).toBe(true);
    expect(third.shares[0]!.epoch).toBe(2);
    expectSameKey(second, third);
  });
});

test('a purpose is in the plan, in the session of its run and in what old members compare; a plan without one is as it was', async () => {
  const old = await makeCommittee('cggmp24', 2, [0, 1, 2]);
  const usual = planOf(old, { sharers: [0, 1], t: 2, members: [1, 3] });
  const typed = { ...usual, purpose: 'p2wsh' };
  expect([encode(plan, usual)[0], encode(plan, typed)[0]]).toEqual([1, 2]);
  for (const value of [usual, typed]) expect(encode(plan, decode(plan, encode(plan, value)))).toEqual(encode(plan, value));
  const nonce = new Uint8Array(16);
  const ids = [usual, typed, { ...usual, purpose: 'p2tr' }, { ...usual, purpose: '' }].map((of) => hex(runId({ plan: of, nonce }, testParameters))); // prettier-ignore
  expect(new Set(ids).size).toBe(4);

  const held: Held = { share: old.shares[0]!, members: keysOf(old.members) };
  expect(() => checkHeld(typed, held)).toThrow(expect.objectContaining({ field: 'purpose' }));
  expect(() => checkHeld(usual, { ...held, purpose: 'p2wsh' })).toThrow(expect.objectContaining({ field: 'purpose' }));
  checkHeld(typed, { ...held, purpose: 'p2wsh' });

  const { results } = await run(old, typed, {
    edit: (_, options) => (options.own === undefined ? options : { ...options, own: { ...options.own, purpose: 'p2wsh' } }),
  });
  for (const { ticket } of values(results)) expect(ticket.plan.purpose).toBe('p2wsh');
});

test('everybody ends with the same certificate, and it verifies', async () => {
  const old = await makeCommittee('cggmp24', 2, [0, 1, 2]);
  const { results } = await run(old, planOf(old, { sharers: [0, 1], t: 2, members: [1, 3] }));
  const certificates = values(results);
  expect(certificates).toHaveLength(3);
  for (const certificate of certificates) {
    expect(certificate).toEqual(certificates[0]);
    expect(checkCertificate(certificate, testParameters)).toHaveLength(32);
  }
});
