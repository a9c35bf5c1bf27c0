import { afterAll, describe, expect, test } from 'vitest';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { Fault, Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { productionParameters, testParameters, type Parameters } from '../proofs/parameters.ts';
import * as prm from '../proofs/pi-prm.ts';
import { memoryNetwork, tamper, values, type Override } from '../protocol/testing/network.ts';
import type { Rounds, Tracer } from '../protocol/rounds.ts';
import { auxCommitment, auxInfo, auxRounds, type AuxOpening, type PrimeSource } from './aux-info.ts';
import { auxHash, auxInfo as record, checkAuxInfo, type AuxInfo } from './aux-record.ts';
import { checkModulus, checkPairwise } from './moduli.ts';
import { sessionId } from './session.ts';
import { dealAux, expectBlamed, freshNonce, identitiesOf, publishedPrimes, random, reasons } from './testing/parties.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const primes = publishedPrimes(testParameters, 12);
/** Few repetitions: these runs are about who is blamed, not about soundness. */
const brief: Parameters = { ...testParameters, m: 4 };
const messages = auxRounds(brief);
const LIAR = 1;

const stock = (primes: readonly bigint[]): PrimeSource => {
  const left = [...primes];
  return { next: async () => left.shift()! };
};
const stockOf = (party: number): PrimeSource => stock(primes.slice(4 * party, 4 * party + 4));
const auxSid = (parameters: Parameters) =>
  sessionId({ protocol: 'aux-info', parameters, nonce: freshNonce(), identities: identitiesOf([0, 1, 2]), t: 2, n: 3 });

function run(
  options: {
    override?: Override;
    tracer?: (party: number) => Tracer;
    primes?: (party: number) => PrimeSource;
    as?: (rounds: Rounds) => Promise<AuxInfo>;
  } = {},
) {
  const { override, tracer, primes: source = stockOf, as } = options;
  return memoryNetwork(3, auxSid(brief), { ...(override && { override }), ...(tracer && { tracer }) }).run((rounds, me) =>
    as !== undefined && me === LIAR ? as(rounds) : auxInfo({ rounds, primes: source(me), random, core, parameters: brief }),
  );
}

describe('auxiliary information', () => {
  test('everybody ends with the same public keys, and the secrets of its own', async () => {
    const work: string[] = [];
    const tracer = (): Tracer => ({ round: () => undefined, work: (name, done, total) => work.push(`${name} ${done}/${total}`) });
    const all = values(
      await run({
        tracer: (party) => (party === 0 ? tracer() : { round: () => undefined, work: () => undefined }),
      }),
    );
    for (const [index, aux] of all.entries()) {
      expect(aux).toMatchObject({ version: 1, parameters: 'test', index });
      expect(aux.parties).toEqual(all[0]!.parties);
      expect(aux.hash).toEqual(auxHash(all[0]!.parties));
      expect([aux.secret.paillier.p, aux.secret.paillier.q, aux.secret.pedersen.p, aux.secret.pedersen.q]).toEqual(
        primes.slice(4 * index, 4 * index + 4),
      );
      await checkAuxInfo(aux, testParameters, core);
    }
    expect(work).toEqual(
      expect.arrayContaining(['safe primes 0/4', 'safe primes 4/4', 'prove prm 1/1', 'prove mod and fac 3/3', 'verify proofs 6/6']),
    );
  });
});

describe('the record', () => {
  const [aux, other] = dealAux(2, testParameters) as [AuxInfo, AuxInfo];
  const codec = record(testParameters);

  test('survives encoding', () => {
    expect(decode(codec, encode(codec, aux))).toEqual(aux);
  });

  const swap = (change: Partial<AuxInfo>) => ({ ...aux, ...change });
  const { paillier, pedersen } = aux.secret;
  test.each<[string, AuxInfo]>([
    ['N = p·q', swap({ secret: { paillier: { ...paillier, p: paillier.p + 2n }, pedersen } })],
    ['N̂ = p̂·q̂', swap({ secret: { paillier, pedersen: { ...pedersen, q: pedersen.p } } })],
    ['the own N is N_index', swap({ secret: { ...aux.secret, paillier: other.secret.paillier } })],
    ['the own N̂, s, t are those of index', swap({ secret: { ...aux.secret, pedersen: other.secret.pedersen } })],
    ['the own N is N_index', swap({ index: 1 })],
    ['index < n', swap({ index: 2 })],
    ['hash of all', swap({ parties: [aux.parties[0]!, aux.parties[0]!] })],
  ])('is refused unless %s', (problem, damaged) => {
    expect(() => decode(codec, encode(codec, damaged))).toThrow(DecodeError);
    expect(() => decode(codec, encode(codec, damaged))).toThrow(problem);
  });

  test('of test strength is refused in production', async () => {
    expect(() => decode(record(productionParameters), encode(codec, aux))).toThrow('made for production parameters');
    await expect(checkAuxInfo(aux, productionParameters, core)).rejects.toBeInstanceOf(Refusal);
  });

  test('with a prime that is not safe, primes used twice, or another λ is refused on loading', async () => {
    // A prime of the right size with (p − 1)/2 composite.
    const unsafe = 2n ** 1023n + 1155n;
    const withKeys = (secret: AuxInfo['secret']): AuxInfo => {
      const parties = [
        { paillier: { n: secret.paillier.n }, pedersen: { n: secret.pedersen.n, s: secret.pedersen.s, t: secret.pedersen.t } },
        aux.parties[1]!,
      ];
      return { ...aux, secret, parties, hash: auxHash(parties) };
    };
    await checkAuxInfo(aux, testParameters, core);
    const damaged: [string, AuxInfo][] = [
      ['safe prime', withKeys({ paillier: { p: paillier.p, q: unsafe, n: paillier.p * unsafe }, pedersen })],
      ['distinct', withKeys({ paillier: { p: paillier.p, q: pedersen.q, n: paillier.p * pedersen.q }, pedersen })],
      ['1024 bits', withKeys({ paillier: { p: paillier.p, q: 23n, n: paillier.p * 23n }, pedersen })],
      ['s = t^λ', withKeys({ paillier, pedersen: { ...pedersen, lambda: pedersen.lambda + 1n } })],
    ];
    for (const [problem, value] of damaged) await expect(checkAuxInfo(value, testParameters, core)).rejects.toThrow(problem);
  });
});

describe('moduli', () => {
  const [p, q, r, s] = primes as [bigint, bigint, bigint, bigint];
  test.each([
    ['too short', p * (q >> 8n), 'bitlen'],
    ['too long', p * q * 3n, 'bitlen'],
    ['even', p * q - 1n, 'N odd'],
    ['prime', 2n ** 2048n - 1942289n, 'N composite'],
  ])('one that is %s is rejected', async (_what, N, condition) => {
    await checkModulus(p * q, testParameters);
    await expect(checkModulus(N, testParameters)).rejects.toThrow(condition);
  });

  test.each<[string, [bigint, bigint], [bigint, bigint], number[] | undefined]>([
    ['nothing', [p * q, r * s], [primes[4]! * primes[5]!, primes[6]! * primes[7]!], undefined],
    ['a prime of ours', [p * q, r * s], [q * primes[5]!, primes[6]! * primes[7]!], [1]],
    ['our whole N', [p * q, r * s], [p * q, primes[6]! * primes[7]!], [1]],
    ['our N̂ as its N', [p * q, r * s], [r * s, primes[6]! * primes[7]!], [1]],
    ['a prime twice', [p * q, r * s], [primes[4]! * primes[5]!, primes[6]! * primes[4]!], [1]],
  ])('a party that shares %s', async (_what, ours, theirs, culprits) => {
    const keys = ([N, hatN]: [bigint, bigint]) => ({ paillier: { n: N }, pedersen: { n: hatN, s: 4n, t: 9n } });
    const checked = checkPairwise([keys(ours), keys(theirs)], 0, core);
    if (culprits === undefined) await checked;
    else await expect(checked).rejects.toMatchObject({ name: 'Fault', culprits });
  });

  test('a factor shared by two others is a failure that blames nobody', async () => {
    const keys = (N: bigint) => ({ paillier: { n: N }, pedersen: { n: primes[8]! * N, s: 4n, t: 9n } });
    const others = [{ paillier: { n: p * q }, pedersen: { n: r * s, s: 4n, t: 9n } }, { paillier: { n: primes[4]! * primes[5]! }, pedersen: { n: primes[6]! * primes[7]!, s: 4n, t: 9n } }, { paillier: { n: primes[4]! * primes[9]! }, pedersen: { n: primes[10]! * primes[11]!, s: 4n, t: 9n } }]; // prettier-ignore
    expect(keys(p).pedersen.n % p).toBe(0n);
    await expect(checkPairwise(others, 0, core)).rejects.toMatchObject({ name: 'Fault', culprits: [] });
  });
});

describe('auxiliary information with one who misbehaves', () => {
  /** A liar who commits to what it opens: `change` makes it wrong. */
  const liarWith =
    (change: (opening: AuxOpening, lambda: bigint) => AuxOpening | Promise<AuxOpening>, parties = stockOf(LIAR)) =>
    async (rounds: Rounds): Promise<AuxInfo> => {
      const [honest] = dealAux(1, testParameters) as [AuxInfo];
      const [p, q] = [await parties.next(), await parties.next()];
      const { n, s, t, lambda, ...factors } = honest.secret.pedersen;
      const proof = await prm.prove({ setup: { n, s, t } }, { ...factors, lambda }, { sid: rounds.sid, prover: LIAR, label: 'prm', parameters: brief, random, core }); // prettier-ignore
      const opening = await change({ N: p * q, hatN: n, s, t, prm: proof, rho: random.bytes(32), u: random.bytes(32) }, lambda);
      await rounds.echo(messages.commit, { V: auxCommitment(rounds.sid, LIAR, opening, brief) });
      await rounds.broadcast(messages.open, { ...opening, prm: { A: [...opening.prm.A], z: [...opening.prm.z] } });
      throw new Error('the lie is told');
    };

  test('an opening that does not match is named by all', async () => {
    expectBlamed(
      await run({ override: tamper(LIAR, messages.open, (m) => ({ ...m, rho: new Uint8Array(32) })) }),
      [LIAR],
      'the opening matches',
    );
  });

  test.each<[string, (opening: AuxOpening) => AuxOpening, RegExp]>([
    ['an even N', (o) => ({ ...o, N: o.N - 1n }), /N odd/],
    ['a short N', (o) => ({ ...o, N: o.N >> 16n }), /bitlen\(N\)/],
    ['a prime N', (o) => ({ ...o, N: 2n ** 2048n - 1942289n }), /N composite/],
    ['an even N̂', (o) => ({ ...o, hatN: o.hatN - 1n }), /prm: .*N̂ odd/],
    ['s = 1', (o) => ({ ...o, s: 1n }), /prm: .*s ≠ 1/],
    ['t = 0', (o) => ({ ...o, t: 0n }), /prm: .*t ∈/],
    ['another s', (o) => ({ ...o, s: (o.s * o.t + 1n) % o.hatN }), /prm: .*t\^/],
    ['another response', (o) => ({ ...o, prm: { ...o.prm, z: [o.prm.z[0]! + 1n, ...o.prm.z.slice(1)] } }), /prm: .*t\^/],
  ])('%s, committed and opened alike, is named by all', async (_what, change, reason) => {
    expectBlamed(await run({ as: liarWith(change) }), [LIAR], reason);
  });

  test('a prime of somebody else is named by the one it was taken from, and blamed on nobody by others', async () => {
    const stolen = stock([primes[0]!, ...primes.slice(5, 8)]);
    const results = await run({ primes: (party) => (party === LIAR ? stolen : stockOf(party)) });
    expect(reasons(results)[0]).toMatchObject({ name: 'Fault', culprits: [LIAR] });
    expect(reasons(results)[2]).toMatchObject({ name: 'Fault', culprits: [] });
  });

  test('Π^mod alone invalid is named by all', async () => {
    const override = tamper(LIAR, messages.mod, (m) => ({
      ...m,
      repetitions: m.repetitions.map((r, j) => (j === 3 ? { ...r, a: !r.a } : r)),
    }));
    expectBlamed(await run({ override }), [LIAR], /^mod: Π\^mod: /);
  });

  test('Π^fac alone invalid is named by all', async () => {
    expectBlamed(await run({ override: tamper(LIAR, messages.fac, (m) => ({ ...m, z1: m.z1 + 1n })) }), [LIAR], /^fac: Π\^fac: /);
  });

  test('Π^fac invalid for one victim is named by the victim, and nobody keeps the result', async () => {
    const results = await run({ override: tamper(LIAR, messages.fac, (m) => ({ ...m, v: m.v + 1n }), 2) });
    expectBlamed(results, [LIAR], 'fac', [0]);
    expect((reasons(results)[2] as Fault).evidence.signed!.length).toBeGreaterThan(1000);
  });

  test('another confirmation is named by all', async () => {
    expectBlamed(await run({ override: tamper(LIAR, messages.confirm, () => new Uint8Array(32)) }), [LIAR], 'confirmation');
  });

  test('different commitments to different parties end the run before anything is opened', async () => {
    const opened: string[] = [];
    const lie = tamper(LIAR, messages.commit, () => ({ V: new Uint8Array(32) }), 2);
    const override: Override = (from, to, round, payload) => {
      if (round === messages.open.name) opened.push(round);
      return lie(from, to, round, payload);
    };
    for (const i of [0, 2]) expect(reasons(await run({ override }))[i]).toMatchObject({ name: 'Fault', culprits: [LIAR] });
    expect(opened).toEqual([]);
  });

  test.each(Object.values(messages).map(({ name }) => name))('malformed bytes in %s name their author', async (name) => {
    const override: Override = (from, _to, round, payload) => (from === LIAR && round === name ? payload.slice(1) : payload);
    expectBlamed(await run({ override }), [LIAR], 'malformed message');
  });
});
