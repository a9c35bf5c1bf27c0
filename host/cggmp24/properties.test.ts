/**
 * ECDSA keys of every (t, n) up to 7 and any set of signers: t sign, t − 1 cannot, all agree, and whatever one party says instead of the truth in
 * key generation, nobody blames an honest one. The seed is fixed; fast-check prints it with the counterexample of a failure.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { Child } from '../curve/bip32.ts';
import { lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, point, sum } from '../curve/secp256k1.ts';
import { seeded, smallParameters } from '../proofs/testing/instances.ts';
import { attack, expectJust, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { mutations, tell } from '../protocol/testing/mutations.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { sha256 } from '../protocol/transcript.ts';
import { keygen, keygenRounds } from './keygen.ts';
import { additiveShares, additiveSharesProblem, type KeyShare } from './key-share.ts';
import { bitcoinSighash } from './sighash.ts';
import { combine, partialSignature } from './sign.ts';
import { dealAux, reasons, runPresign, subsets, type Group } from './testing/parties.ts';
import { nobleAccepts, opensslAccepts } from './testing/verifiers.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const preimage = utf8('the preimage of a sighash');
const message = bitcoinSighash(preimage);
const settings = { seed: 2718, numRuns: 12 };

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

const generation = (t: number, n: number, seed: number): Protocol<KeyShare> => ({
  n,
  sid: sha256(Uint8Array.of(t, n)),
  run: (rounds, me) => keygen({ rounds, t, random: seeded(`${seed}/${me}`), keyId: 'key' }),
  shared: ({ publicKey, X, chainCode, rid, epoch }) =>
    [hex(Buffer.concat([publicKey, ...X].map((A) => encode(point, A)))), hex(chainCode), hex(rid), epoch].join(),
});
async function generate(t: number, n: number, seed: number): Promise<KeyShare[]> {
  const { sid, run, shared } = generation(t, n, seed);
  const keys = values(await memoryNetwork(n, sid).run(run));
  expect(new Set(keys.map(shared)).size).toBe(1);
  return keys;
}

test('all parties agree on the key; any t hold it in additive shares, t − 1 neither may nor can', async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.nat(0x7fffffff), async ({ t, n, order, seed }, step) => {
      const keys = await generate(t, n, seed);
      const [{ publicKey }] = keys as [KeyShare];

      const child = Child.of(keys[0]!, [step]);
      const signers = ascending(order.slice(0, t));
      for (const below of [undefined, child]) {
        const shares = signers.map((i) => additiveShares(keys[i]!, signers, below));
        for (const [a, share] of shares.entries()) expect(additiveSharesProblem(share, a)).toBeUndefined();
        const whole = modQ(shares.reduce((total, { x }) => total + x, 0n));
        expect(mul(G, whole).equals(below?.publicKey ?? publicKey)).toBe(true);
        expect(sum(shares[0]!.X).equals(mul(G, whole))).toBe(true);
      }

      const few = ascending(order.slice(0, t - 1));
      for (const i of few) expect(() => additiveShares(keys[i]!, few)).toThrow(Refusal);
      for (const i of order) if (t < n) expect(() => additiveShares(keys[i]!, ascending(order.slice(0, t + 1)))).toThrow(Refusal);
      // Nor when they leave out that check: their shares lie on polynomials through every possible key.
      const points = few.map(shamirPoint);
      const interpolated = few.reduce((total, i) => modQ(total + lagrangeAtZero(points, shamirPoint(i)) * keys[i]!.x), 0n);
      expect(mul(G, interpolated).equals(publicKey)).toBe(false);
      for (const [a, i] of few.entries())
        expect(additiveSharesProblem(additiveShares({ ...keys[i]!, t: t - 1 }, few), a)).toBe('Σ X_a = PK');
    }),
    settings,
  );
});

test('a changed field anywhere in key generation: nobody honest is blamed, and nobody holds another key', async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.nat(), fc.boolean(), async ({ t, n, order, seed }, choice, everybody) => {
      const protocol = generation(t, n, seed);
      const [liar, victim] = order as [number, number];
      const lines = await rehearse(protocol, liar, victim);
      const rounds = Object.values(keygenRounds(t));
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

describe('signatures', () => {
  /** Presigns and signs; every other set of signers under a child key. */
  async function expectSigned(group: Group, signers: readonly number[], child?: Child): Promise<void> {
    const presignatures = values(await runPresign(group, signers, { ...(child && { child }) }));
    const partials = new Map(presignatures.map((own, position) => [position, partialSignature(own, message)]));
    const signatures = presignatures.map((own) => combine(own, message, partials));
    const publicKey = child?.publicKey ?? group.keys[0]!.publicKey;
    for (const signature of signatures) {
      expect(signature).toEqual(signatures[0]);
      expect(opensslAccepts(publicKey, preimage, signature)).toBe(true);
      expect(nobleAccepts(publicKey, preimage, signature)).toBe(true);
    }
  }
  const groupOf = async (t: number, n: number, seed: number): Promise<Group> => ({
    keys: await generate(t, n, seed),
    aux: dealAux(n, smallParameters),
    core,
    parameters: smallParameters,
  });

  test.each([
    [2, 2],
    [2, 3],
    [3, 5],
  ])('%i of %i: every set of signers signs, every other one under a child key', async (t, n) => {
    const group = await groupOf(t, n, 1);
    for (const [k, signers] of subsets(n, t).entries())
      await expectSigned(group, signers, k % 2 === 0 ? undefined : Child.of(group.keys[0]!, [k, 7]));
  });

  test('11 of 16, the largest committee there may be, sign', async () => {
    await expectSigned(await groupOf(11, 16, 1), [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]);
  });

  test('any t of n sign, under any key below; t − 1 are refused', async () => {
    const small = groups.filter(({ n, t }) => n <= 5 && t <= 4);
    await fc.assert(
      fc.asyncProperty(small, fc.nat(0x7fffffff), async ({ t, n, order, seed }, step) => {
        const group = await groupOf(t, n, seed);
        await expectSigned(group, ascending(order.slice(0, t)), Child.of(group.keys[0]!, [step]));
        for (const reason of reasons(await runPresign(group, ascending(order.slice(0, t - 1))))) expect(reason).toBeInstanceOf(Refusal);
      }),
      { ...settings, numRuns: 2 },
    );
  });
});
