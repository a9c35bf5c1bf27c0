import { schnorr, schnorr_FROST } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Fault } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { evaluate, lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, point, scalar, sum } from '../curve/secp256k1.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { commitRound, commitTo, confirmation, confirmRound, deal, keygen, openRound, shareRound, type Opening } from './keygen.ts';
import { proofOfPossession, provePossession } from './possession.ts';
import { internalKey, outputKey, type FrostShare } from './share.ts';
import { hasEvenY, tweakPoint } from './taproot.ts';

const sid = new Uint8Array(32).fill(7);
const random = systemRandom;
const honest = (t: number) => (rounds: Rounds) => keygen({ rounds, t, random, keyId: 'key' });
const faults = (results: PromiseSettledResult<unknown>[]): (Fault | 'ok')[] =>
  results.map((r) => (r.status === 'rejected' ? (r.reason as Fault) : 'ok'));
/** Σ λ_j·s_j over the given shares. */
const secretOf = (shares: readonly FrostShare[]) => {
  const points = shares.map(({ index }) => shamirPoint(index));
  return modQ(shares.reduce((total, { index, s }) => total + s * lagrangeAtZero(points, shamirPoint(index)), 0n));
};
function* subsets<T>(items: readonly T[], size: number): Generator<T[]> {
  if (size === 0) return yield [];
  for (const [k, item] of items.entries()) for (const rest of subsets(items.slice(k + 1), size - 1)) yield [item, ...rest];
}

describe('frost key generation', () => {
  test.each([
    [2, 2],
    [2, 3],
    [3, 3],
    [3, 5],
  ])('%i of %i: any t shares are the key, t − 1 are not, and all parties agree', async (t, n) => {
    const shares = values(await memoryNetwork(n, sid).run(honest(t)));
    const { P, internal, Y, chainCode } = shares[0]!;
    for (const [i, share] of shares.entries()) {
      expect(share).toMatchObject({ version: 1, keyId: 'key', epoch: 0, index: i, t, n });
      expect(share.P.equals(P) && share.internal.equals(internal)).toBe(true);
      expect(share.chainCode).toEqual(chainCode);
      expect(share.Y.every((Y_j, j) => Y_j.equals(Y[j]!))).toBe(true);
      expect(mul(G, share.s).equals(Y[i]!)).toBe(true);
    }
    for (const subset of subsets(shares, t)) expect(mul(G, secretOf(subset)).equals(P)).toBe(true);
    for (const subset of subsets(shares, t - 1)) expect(mul(G, secretOf(subset)).equals(P)).toBe(false);
    // BIP-341: the output key is the tweaked internal key, and its secret signs as a whole key does.
    expect(tweakPoint(internal).equals(P)).toBe(true);
    expect(outputKey(shares[0]!)).toHaveLength(32);
    expect(internalKey(shares[0]!)).not.toEqual(outputKey(shares[0]!));
    const message = new Uint8Array(32).fill(1);
    const secret = encode(scalar, secretOf(shares.slice(0, t)));
    expect(schnorr.verify(schnorr.sign(message, secret), message, outputKey(shares[0]!))).toBe(true);
  });

  test('internal keys of both signs occur, and both are tweaked right', async () => {
    const seen = new Set<boolean>();
    for (let k = 0; seen.size < 2 && k < 64; k++) {
      const [share] = values(await memoryNetwork(2, sid).run(honest(2)));
      seen.add(hasEvenY(share!.internal));
      expect(tweakPoint(share!.internal).equals(share!.P)).toBe(true);
    }
    expect(seen.size).toBe(2);
  });

  test('every party stores its share before it confirms, and nobody finishes when one cannot', async () => {
    const order: string[] = [];
    await memoryNetwork(3, sid, { onMessage: (from, _to, round) => round === confirmRound.name && order.push(`confirm ${from}`) }).run(
      (rounds) => keygen({ rounds, t: 2, random, keyId: 'key', prepared: async ({ index }) => void order.push(`stored ${index}`) }),
    );
    for (const i of [0, 1, 2]) expect(order.indexOf(`stored ${i}`)).toBeLessThan(order.indexOf(`confirm ${i}`));
    expect(order.indexOf('stored 0')).toBeGreaterThanOrEqual(0);

    const results = await memoryNetwork(3, sid).run((rounds, me) =>
      keygen({
        rounds,
        t: 2,
        random,
        keyId: 'key',
        prepared: () => (me === 1 ? Promise.reject(new Error('disk full')) : Promise.resolve()),
      }),
    );
    expect(faults(results).map((f) => f !== 'ok')).toEqual([true, true, true]);
    expect(faults(results)[0]).toMatchObject({ culprits: [], by: 1 });
  });

  test.each([
    ['threshold 1', { t: 1, keyId: 'key' }, 't'],
    ['threshold above n', { t: 4, keyId: 'key' }, 't'],
    ['threshold 2.5', { t: 2.5, keyId: 'key' }, 't'],
    ['empty key id', { t: 2, keyId: '' }, 'keyId'],
    ['key id of 65 bytes', { t: 2, keyId: 'é'.repeat(33) }, 'keyId'],
  ])('%s is refused before anything is sent', async (_name, bad, field) => {
    const sent: string[] = [];
    const network = memoryNetwork(3, sid, { onMessage: (_f, _t, round) => sent.push(round) });
    const [result] = await network.run((rounds) => keygen({ rounds, random, ...bad }));
    expect(result).toMatchObject({ status: 'rejected', reason: { name: 'Refusal', field } });
    expect(sent).toEqual([]);
  });
});

/** What party 1 does instead of the protocol; every message is consistent with the others unless said otherwise. */
interface Lie {
  /** Threshold of its polynomial. */
  t?: number;
  /** Changes the opening before it is committed to. */
  open?: (opening: Opening, f: readonly bigint[]) => Opening;
  /** Commits in another way. */
  commit?: (opening: Opening) => Uint8Array;
  /** Changes the opening after the commitment. */
  reveal?: (opening: Opening) => Opening;
  share?: (value: bigint, to: number) => bigint;
  /** What it says at the end. Default: a digest of nothing. */
  confirm?: (context: { rounds: Rounds; received: ReadonlyMap<number, bigint> }) => {
    digest: Uint8Array | undefined;
    complaint: { dealer: number; signed: Uint8Array } | undefined;
  };
}
const liar = async (rounds: Rounds, lie: Lie): Promise<void> => {
  const t = lie.t ?? 2;
  const { f, opening: fair } = deal(random, rounds.me, t || 2);
  const opening = lie.open?.(fair, f) ?? fair;
  await rounds.echo(commitRound, lie.commit?.(opening) ?? commitTo(rounds.sid, rounds.me, opening));
  await rounds.broadcast(openRound(t), lie.reveal?.(opening) ?? opening);
  const messages = new Map(rounds.peers.map((j) => [j, lie.share?.(evaluate(f, shamirPoint(j)), j) ?? evaluate(f, shamirPoint(j))]));
  const received = await rounds.send(shareRound, messages);
  await rounds.broadcast(confirmRound, lie.confirm?.({ rounds, received }) ?? { digest: new Uint8Array(32), complaint: undefined });
};
/** Four parties, threshold 2, party 1 lies. */
const against = async (lie: Lie) => {
  const results = await memoryNetwork(4, sid).run(async (rounds, me) => (me === 1 ? liar(rounds, lie) : honest(2)(rounds)));
  const [zero, , two, three] = faults(results);
  return [zero, two, three] as Fault[];
};
const named = (reason: RegExp) => ({ name: 'Fault', culprits: [1], reason: expect.stringMatching(reason) });

const nothing: Opening = { ...deal(random, 1, 2).opening, phi: [] };

describe('a dishonest party in key generation is named by everybody', () => {
  test.each<[string, Lie, RegExp]>([
    ['commitment vector of t + 1 points', { t: 3 }, /malformed message in round frost-dkg\/open: phi: 3 items, exactly 2/],
    ['commitment vector of t − 1 points', { t: 1 }, /malformed message in round frost-dkg\/open: phi: 1 items, exactly 2/],
    ['empty commitment vector', { t: 0, open: () => nothing }, /malformed message in round frost-dkg\/open: phi: 0 items, exactly 2/],
    ['commitment from another session', { commit: (o) => commitTo(new Uint8Array(32), 1, o) }, /does not open/],
    ['commitment copied from another party', { commit: (o) => commitTo(sid, 2, o) }, /does not open/],
    ['opening of another chain code', { reveal: (o) => ({ ...o, chainCode: new Uint8Array(32) }) }, /does not open/],
    ['opening of another polynomial', { reveal: (o) => ({ ...o, phi: [o.phi[0]!, G] }) }, /does not open/],
    ['opening with another nonce', { reveal: (o) => ({ ...o, u: new Uint8Array(32) }) }, /does not open/],
    [
      'proof of possession with another response',
      { open: (o) => ({ ...o, possession: { ...o.possession, mu: modQ(o.possession.mu + 1n) } }) },
      /proof of possession/,
    ],
    [
      'proof of possession of another party',
      { open: (o, f) => ({ ...o, possession: provePossession(random, 2, f[0]!) }) },
      /proof of possession/,
    ],
    [
      'proof of possession of another key',
      { open: (o, f) => ({ ...o, possession: provePossession(random, 1, f[1]!) }) },
      /proof of possession/,
    ],
    ['rogue key without a proof', { open: (o) => ({ ...o, phi: [G, o.phi[1]!] }) }, /proof of possession/],
    ['another result', {}, /confirms another result/],
  ])('%s', async (_name, lie, reason) => {
    for (const fault of await against(lie)) {
      expect(fault).toMatchObject(named(reason));
      expect(fault.evidence.signed!.length).toBeGreaterThan(0);
    }
  });

  test('a wrong share to one victim: the victim shows it, and all name the dealer with the same evidence', async () => {
    const [zero, two, three] = await against({ share: (value, to) => (to === 2 ? modQ(value + 1n) : value) });
    expect(two).toMatchObject(named(/share does not match the commitment/));
    for (const fault of [zero!, three!]) {
      expect(fault).toMatchObject(named(/share to party 2 does not match/));
      expect(fault.evidence.signed).toEqual(two!.evidence.signed);
    }
  });

  test('a malformed share to one victim, likewise', async () => {
    const results = await memoryNetwork(3, sid, {
      override: (from, to, round, payload) =>
        from === 1 && to === 2 && round === shareRound.name ? new Uint8Array(32).fill(0xff) : payload,
    }).run(honest(2));
    expect(faults(results)[2]).toMatchObject(named(/malformed message/));
    expect(faults(results)[0]).toMatchObject(named(/share to party 2 does not match/));
  });

  test.each<[string, (rounds: Rounds) => { dealer: number; signed: Uint8Array }, RegExp]>([
    [
      'about a correct share',
      (rounds) => ({ dealer: 2, signed: rounds.fault(2, shareRound, '').evidence.signed! }),
      /correct share of party 2/,
    ],
    ['with bytes the accused never signed', () => ({ dealer: 2, signed: new Uint8Array(101) }), /without a share signed/],
    [
      'with a share of somebody else',
      (rounds) => ({ dealer: 2, signed: rounds.fault(3, shareRound, '').evidence.signed! }),
      /without a share signed/,
    ],
    ['about itself', (rounds) => ({ dealer: 1, signed: rounds.fault(2, shareRound, '').evidence.signed! }), /without a share signed/],
    ['about nobody', (rounds) => ({ dealer: 9, signed: rounds.fault(2, shareRound, '').evidence.signed! }), /without a share signed/],
  ])('a complaint %s falls back on the complainer', async (_name, complaint, reason) => {
    const all = await against({ confirm: ({ rounds }) => ({ digest: undefined, complaint: complaint(rounds) }) });
    for (const fault of all) expect(fault).toMatchObject(named(reason));
  });

  test.each([
    ['identity point in the commitment', 0],
    ['second point off the curve', 33],
  ])('%s', async (_name, at) => {
    const results = await memoryNetwork(3, sid, {
      // u32 count, then the points
      override: (from, _to, round, payload) =>
        from === 1 && round === 'frost-dkg/open' ? new Uint8Array(payload).fill(0, 4 + at, 4 + at + 33) : payload,
    }).run(honest(2));
    for (const i of [0, 2]) expect(faults(results)[i]).toMatchObject(named(/phi\[\d\]: not a point/));
  });

  test('different commitments to different parties end the run before anything is opened', async () => {
    const sent: string[] = [];
    const results = await memoryNetwork(4, sid, {
      override: (from, to, round, payload) => (from === 1 && to === 3 && round === commitRound.name ? new Uint8Array(32) : payload),
      onMessage: (_from, _to, round) => sent.push(round),
    }).run(honest(2));
    for (const fault of faults(results))
      expect(fault).toMatchObject({ name: 'Fault', culprits: [1], reason: expect.stringContaining('different messages') });
    expect(sent).not.toContain('frost-dkg/open');
  });

  test('different chain codes to different parties do not open', async () => {
    const results = await memoryNetwork(3, sid, {
      override: (from, to, round, payload) =>
        from === 1 && to === 2 && round === 'frost-dkg/open' ? payload.with(payload.length - 40, payload.at(-40)! ^ 1) : payload,
    }).run(honest(2));
    expect(faults(results)[2]).toMatchObject(named(/does not open/));
  });
});

describe('the same protocol as @noble/curves', () => {
  test('a party that runs schnorr_FROST.DKG and ours generate one key', async () => {
    const id = (party: number) => schnorr_FROST.Identifier.fromNumber(party + 1);
    const noble = async (rounds: Rounds) => {
      const { n, me, sid } = rounds;
      const round1 = schnorr_FROST.DKG.round1(id(me), { min: 2, max: n });
      const opening: Opening = {
        phi: round1.public.commitment.map((A) => decode(point, A)),
        possession: decode(proofOfPossession, round1.public.proofOfKnowledge),
        chainCode: random.bytes(32),
        u: random.bytes(32),
      };
      await rounds.echo(commitRound, commitTo(sid, me, opening));
      const openings = await rounds.broadcast(openRound(2), opening);
      const packages = [...openings].map(([j, o]) => ({
        identifier: id(j),
        commitment: o.phi.map((A) => encode(point, A)),
        proofOfKnowledge: encode(proofOfPossession, o.possession),
      }));
      const round2 = schnorr_FROST.DKG.round2(round1.secret, packages);
      const shares = await rounds.send(shareRound, new Map(rounds.peers.map((j) => [j, decode(scalar, round2[id(j)]!.signingShare)])));
      const received = [...shares].map(([j, share]) => ({ identifier: id(j), signingShare: encode(scalar, share) }));
      const key = schnorr_FROST.DKG.round3(round1.secret, packages, received);
      const all = [...openings.values(), opening];
      const result = {
        version: 1 as const, keyId: 'key', epoch: 0, index: me, t: 2, n,
        P: decode(point, key.public.commitments[0]!),
        internal: sum(all.map((o) => o.phi[0]!)),
        Y: Array.from({ length: n }, (_, j) => decode(point, key.public.verifyingShares[id(j)]!)),
        chainCode: all.map((o) => o.chainCode).reduce((a, b) => a.map((x, k) => x ^ b[k]!)),
      }; // prettier-ignore
      await rounds.broadcast(confirmRound, { digest: confirmation(sid, result), complaint: undefined });
      return { ...result, s: decode(scalar, key.secret.signingShare) } satisfies FrostShare;
    };
    const shares = values(await memoryNetwork(3, sid).run((rounds, me) => (me === 0 ? noble(rounds) : honest(2)(rounds))));
    expect(new Set(shares.map((share) => hex(outputKey(share)))).size).toBe(1);
    for (const subset of subsets(shares, 2)) expect(mul(G, secretOf(subset)).equals(shares[0]!.P)).toBe(true);
  });
});
