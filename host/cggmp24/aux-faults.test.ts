/** Auxiliary information with every field of every message changed: for everybody, for one victim, and before it is committed to. */
import { afterAll, describe, expect, test } from 'vitest';
import { hex, xorBytes } from '../base/bytes.ts';
import { decode } from '../base/codec.ts';
import { createCore } from '../core/index.ts';
import { referenceCore } from '../core/reference.ts';
import { testParameters, type Parameters } from '../proofs/parameters.ts';
import * as fac from '../proofs/pi-fac.ts';
import * as mod from '../proofs/pi-mod.ts';
import * as prm from '../proofs/pi-prm.ts';
import { safePrime, seeded, smallParameters } from '../proofs/testing/instances.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { attack, commitTo, expectNamed, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { expectEffects, expectInEachRound, misplaced, mutations, oncePerField, type Effect } from '../protocol/testing/mutations.ts';
import { auxCommitment, auxInfo, auxRounds, type AuxOpening } from './aux-info.ts';
import type { AuxInfo } from './aux-record.ts';
import { dealAux } from './testing/parties.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const LIAR = 1;
const VICTIM = 2;
const sid = new Uint8Array(32).fill(5);
/** Two repetitions: a lie about one of them is found by its equation, not by its share of the challenge. */
const brief: Parameters = { ...smallParameters, m: 2 };
const session = (sid: Uint8Array): Protocol<AuxInfo> => ({
  n: 3,
  sid,
  run: (rounds, me) => {
    const primes = [0, 1, 2, 3].map((k) => safePrime(576, 4 * me + k));
    const random = seeded(`aux faults ${me} ${sid.join()}`);
    return auxInfo({ rounds, primes: { next: async () => primes.shift()! }, random, core, parameters: brief });
  },
  shared: ({ hash }) => hex(hash),
});
const protocol = session(sid);
const messages = auxRounds(brief);
const lines = await rehearse(protocol, LIAR, VICTIM);
const said = (round: { name: string }) => lines.get(round.name)!;
const { N, hatN } = decode(messages.open.codec, said(messages.open));
const constants = { N, N̂: hatN };

describe('every field of every message of auxiliary information', () => {
  test.each([messages.commit, messages.mod, messages.fac, messages.confirm])('$name, for everybody', async (round) => {
    await expectEffects(round, oncePerField(mutations(round, said(round), constants)), { protocol, liar: LIAR });
  });

  test.each<[keyof typeof messages, Effect]>([
    ['commit', 'named'],
    ['open', 'named'],
    ['mod', 'named'],
    ['fac', 'named'],
    ['confirm', 'named'],
  ])('%s, for one victim', async (name, effect) => {
    const round = messages[name];
    const changes = oncePerField(mutations(round, said(round)));
    const effects = Object.fromEntries(changes.map(({ field }) => [field, effect]));
    await expectEffects(round, changes, { protocol, liar: LIAR, to: VICTIM, effects, last: name === 'confirm' });
  });

  test('of an opening, committed to as it is opened', async () => {
    const changes = mutations(messages.open, said(messages.open), constants);
    expect(changes.length).toBeGreaterThan(40);
    await expectEffects(messages.open, changes, {
      protocol,
      liar: LIAR,
      cheats: ({ payload }) =>
        commitTo(
          lines,
          messages,
          (opening) => ({ V: auxCommitment(sid, LIAR, opening, brief) }),
          () => decode(messages.open.codec, payload),
        ),
      // Another decommitment nonce is as good.
      effects: { u: 'harmless' },
    });
  });

  const p = safePrime(576, 4);
  test.each<[string, Partial<AuxOpening>, RegExp]>([
    ['N = p²', { N: p * p }, /^mod: Π\^mod: /],
    ['N of 1150 bits', { N: (N >> 2n) | 1n }, /1151 ≤ bitlen\(N\) ≤ 1152/],
    ['N prime', { N: (1n << 1151n) + 635n }, /N composite/],
    ['N̂ of 1150 bits', { hatN: (hatN >> 2n) | 1n }, /1151 ≤ bitlen\(N̂\) ≤ 1152/],
    ['s a multiple of a factor of N̂', { s: safePrime(576, 6) * 3n }, /s ∈ Z\*_N̂/],
    ['t = 0', { t: 0n }, /t ∈ Z\*_N̂/],
    ['s = 1', { s: 1n }, /s ≠ 1/],
  ])('%s, committed to as it is opened', async (_what, lie, reason) => {
    const cheats = commitTo(
      lines,
      messages,
      (opening) => ({ V: auxCommitment(sid, LIAR, opening, brief) }),
      (opening) => ({ ...opening, ...lie }),
    );
    expectNamed(await attack(protocol, new Map([[LIAR, cheats]])), reason);
  });
});

const misplaces = misplaced(Object.values(messages), lines, await rehearse(session(new Uint8Array(32)), LIAR, VICTIM));
test.each(Object.entries(misplaces))('a party that says, in any round of auxiliary information, %s is named by all', async (_what, lie) => {
  await expectInEachRound(Object.values(messages), lie, { protocol, liar: LIAR });
});

describe('a modulus of another form than p·q, with the best proofs that it allows', () => {
  /** 2048 bits, as the ranges of Π^fac need to tell a factor of 256 bits. */
  const level: Parameters = { ...testParameters, m: 2 };
  const messages = auxRounds(level);
  const primesOf = (party: number) => [0, 1, 2, 3].map((k) => safePrime(1024, 4 * party + k)) as [bigint, bigint, bigint, bigint];
  const honest = (rounds: Rounds, me: number) => {
    const primes = [...primesOf(me)];
    return auxInfo({
      rounds,
      primes: { next: async () => primes.shift()! },
      random: seeded(`weak modulus ${me}`),
      core,
      parameters: level,
    });
  };

  /** Runs the protocol by hand with N = p·q for any p and q ≡ 3 mod 4; `mods` and `facs` make its proofs. */
  const liarWith = (p: bigint, q: bigint) => async (rounds: Rounds) => {
    const { me, peers } = rounds;
    const random = seeded('weak modulus');
    // The core refuses factors as small as these; a liar computes in its own way.
    const context = (label: string, to: { verifier?: number; rid?: Uint8Array } = {}) => ({ sid, prover: me, label, parameters: level, random, core: referenceCore, ...to }); // prettier-ignore
    const N = { n: p * q, p, q };
    const setup = dealAux(me + 1, level)[me]!.secret.pedersen;
    const opening = {
      N: N.n, hatN: setup.n, s: setup.s, t: setup.t, rho: random.bytes(32), u: random.bytes(32),
      prm: await prm.prove({ setup }, setup, context('prm')),
    }; // prettier-ignore
    await rounds.echo(messages.commit, { V: auxCommitment(sid, me, opening, level) });
    const openings = await rounds.broadcast(messages.open, { ...opening, prm: { A: [...opening.prm.A], z: [...opening.prm.z] } });
    const rid = [opening.rho, ...[...openings.values()].map(({ rho }) => rho)].reduce(xorBytes);
    const own = await mod.prove({ N }, N, context('mod', { rid }));
    const facs = await Promise.all(
      peers.map(async (j) => {
        const { hatN, s, t } = openings.get(j)!;
        return [j, await fac.prove({ setup: { n: hatN, s, t }, N }, N, context('fac', { verifier: j, rid }))] as const;
      }),
    );
    await Promise.all([
      rounds.broadcast(messages.mod, { ...own, repetitions: [...own.repetitions] }),
      // Its z is out of range by so much that no message of the round can carry it: the wider codec is the liar's own.
      rounds.send({ ...messages.fac, codec: fac.proof({ ...level, epsilon: 4 * level.epsilon }) }, new Map(facs)),
    ]);
    throw new Error('the lie is told');
  };

  // r is the smallest prime ≡ 3 mod 4 of its size, P the smallest that makes a modulus of 2047 bits: Π^mod holds for r·P.
  test.each([
    [16, 3n, 13367n],
    [64, 99n, 2339n],
    [256, 95n, 1291n],
  ])('a factor of %i bits has no Π^fac in range, and names its owner to all', async (bits, above, aboveP) => {
    const [r, P] = [(1n << BigInt(bits - 1)) + above, (3n << BigInt(2046 - bits)) + aboveP];
    const report = await attack({ n: 3, sid, run: (rounds, me) => (me === LIAR ? liarWith(r, P)(rounds) : honest(rounds, me)), shared: ({ hash }) => hex(hash) }, new Map([[LIAR, []]])); // prettier-ignore
    expectNamed(report, /malformed message in round aux\/fac: z[12]: \d+ bytes, at most 224/);
  });
});
