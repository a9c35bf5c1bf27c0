/**
 * FROST for every (t, n) up to 7 and any set of signers: t sign, t − 1 cannot, all agree, and whatever one party says instead of the truth, nobody
 * blames an honest one. fast-check prints seed and counterexample of a failure; the seed is fixed, so that it fails again.
 */
import { schnorr } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHex, hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, point } from '../curve/secp256k1.ts';
import { seeded } from '../proofs/testing/instances.ts';
import { attack, expectJust, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { mutations, tell } from '../protocol/testing/mutations.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { sha256 } from '../protocol/transcript.ts';
import bip341 from '../../fixtures/vectors/frost-bip341.json' with { type: 'json' };
import { commitRound, confirmRound, keygen, openRound, shareRound } from './keygen.ts';
import { outputKey, type FrostShare } from './share.ts';
import { nonceRound, sign, signatureShareRound } from './sign.ts';
import { taprootSighash } from './sighash.ts';
import { aggregate, commit, signShare } from './signing.ts';

const message = taprootSighash(fromHex(bip341.messages[0]!.preimage));
const settings = { seed: 1391, numRuns: 12 };

/** A group and an order of its parties, of which the first few are the ones in question. */
const groups = fc.integer({ min: 2, max: 7 }).chain((n) =>
  fc.record({
    n: fc.constant(n),
    t: fc.integer({ min: 2, max: n }),
    order: fc.shuffledSubarray([...Array(n).keys()], { minLength: n }),
    seed: fc.nat(),
  }),
);
const ascending = (indices: readonly number[]): number[] => indices.toSorted((a, b) => a - b);

const generation = (t: number, n: number, seed: number): Protocol<FrostShare> => ({
  n,
  sid: sha256(Uint8Array.of(t, n)),
  run: (rounds, me) => keygen({ rounds, t, random: seeded(`${seed}/${me}`), keyId: 'key' }),
  shared: ({ P, internal, Y, chainCode, epoch }) => [hex(Buffer.concat([P, internal, ...Y].map((A) => encode(point, A)))), hex(chainCode), epoch].join(), // prettier-ignore
});
const signing = (shares: readonly FrostShare[], signers: readonly number[]): Protocol<Uint8Array> => ({
  n: signers.length,
  sid: sha256(Uint8Array.of(...signers)),
  run: (rounds, a) => sign({ rounds, signers, share: shares[signers[a]!]!, message, random: seeded(`signing ${a}`) }),
  shared: hex,
});
const run = async <R>({ n, sid, run: protocol, shared }: Protocol<R>): Promise<R[]> => {
  const results = values(await memoryNetwork(n, sid).run(protocol));
  expect(new Set(results.map(shared)).size).toBe(1);
  return results;
};

test('all parties agree on the key; any t or more sign, t − 1 neither may nor can', async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.nat(), async ({ t, n, order, seed }, more) => {
      const shares = await run(generation(t, n, seed));
      const key = shares[0]!;

      const signers = ascending(order.slice(0, t + (more % (n - t + 1))));
      const [signature] = await run(signing(shares, signers));
      expect(schnorr.verify(signature!, message, outputKey(key))).toBe(true);

      const few = ascending(order.slice(0, t - 1));
      const refused = await memoryNetwork(few.length, new Uint8Array(32)).run(signing(shares, few).run);
      for (const result of refused) expect(result).toMatchObject({ status: 'rejected', reason: { name: 'Refusal', field: 'signers' } });
      // Nor when they leave out that check: their shares lie on polynomials through every possible key.
      const points = few.map(shamirPoint);
      const interpolated = few.reduce((sum, i) => modQ(sum + lagrangeAtZero(points, shamirPoint(i)) * shares[i]!.s), 0n);
      expect(mul(G, interpolated).equals(key.P)).toBe(false);
      expect(forge(shares, few)).toBeUndefined();
    }),
    settings,
  );
});

/** What signers get who say that the threshold is their number. */
function forge(shares: readonly FrostShare[], signers: readonly number[]): Uint8Array | undefined {
  const lax = shares.map((share) => ({ ...share, t: signers.length }));
  const nonces = signers.map((j) => commit(lax[j]!, seeded(`forgery ${j}`)));
  const commitments = nonces.map((own) => own.commitment);
  try {
    const z = new Map(signers.map((j, a) => [j, signShare(lax[j]!, nonces[a]!, commitments, message)]));
    return aggregate(lax[0]!, commitments, message, z).signature;
  } catch (error) {
    expect(error).not.toBeInstanceOf(TypeError);
    return undefined;
  }
}

test('a changed field anywhere in key generation: nobody honest is blamed, and nobody holds another key', async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.nat(), fc.boolean(), async ({ t, n, order, seed }, choice, everybody) => {
      const protocol = generation(t, n, seed);
      const [liar, victim] = order as [number, number];
      const lines = await rehearse(protocol, liar, victim);
      const rounds = [commitRound, openRound(t), shareRound, confirmRound];
      const changes = rounds.flatMap((round) => mutations(round, lines.get(round.name)!).map((mutation) => ({ round, mutation })));
      const { round, mutation } = changes[choice % changes.length]!;
      const report = await attack(protocol, new Map([[liar, [tell(round, mutation, everybody ? undefined : victim)]]]));
      expectJust(report, mutation.name);
      expect(report.verdicts.some(({ outcome }) => outcome !== 'finished'), mutation.name).toBe(true); // prettier-ignore
      if (everybody) expect(report.results, mutation.name).toEqual([]);
    }),
    settings,
  );
});

test('a changed field anywhere in signing: nobody honest is blamed, and nobody gets a signature who was lied to', async () => {
  const shares = await run(generation(2, 5, 1));
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 2 }), fc.nat(), fc.boolean(), async (order, choice, everybody) => {
      const protocol = signing(shares, ascending(order));
      const [liar, victim] = [choice % order.length, (choice + 1) % order.length];
      const lines = await rehearse(protocol, liar, victim);
      const changes = [nonceRound, signatureShareRound].flatMap((round) =>
        mutations(round, lines.get(round.name)!).map((mutation) => ({ round, mutation })),
      );
      const { round, mutation } = changes[choice % changes.length]!;
      const report = await attack(protocol, new Map([[liar, [tell(round, mutation, everybody ? undefined : victim)]]]));
      expectJust(report, mutation.name);
      if (everybody) expect(report.results, mutation.name).toEqual([]);
      else expect(report.verdicts.find(({ party }) => party === victim)!.outcome, mutation.name).not.toBe('finished');
    }),
    settings,
  );
});
