/** One test for each row of "What each check stops" (cggmp24.md §6.10) that concerns the run; the rows about the switch are in switch*.test.ts. */
import { beforeAll, describe, expect, test } from 'vitest';
import { decode, encode, type Codec } from '../base/codec.ts';
import { Fault, Refusal, Silence } from '../base/errors.ts';
import { signingSessionId } from '../cggmp24/session.ts';
import { dealAux, expectBlamed, lying, reasons } from '../cggmp24/testing/parties.ts';
import { G, modQ } from '../curve/secp256k1.ts';
import { testParameters } from '../proofs/parameters.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { tamper, type Override } from '../protocol/testing/network.ts';
import type { Round, Rounds } from '../protocol/rounds.ts';
import { participants, runId, type Plan } from './plan.ts';
import type { NewShare, ReshareOptions } from './reshare.ts';
import { reshareRounds } from './reshare-messages.ts';
import { toEcdsa } from './shared-key.ts';
import { approve, change, keysOf, makeCommittee, nodes, planOf, run, ticketOf, type Committee } from './testing/parties.ts';
import { tolerated, planQuorum } from './statements.ts';

/** 2-of-3 → 3-of-3: nodes 0 and 1 share (parties 0 and 1), nodes 1, 4 and 5 receive (parties 1, 2 and 3; members 0, 1 and 2). */
const CHANGE = { sharers: [0, 1], t: 3, members: [1, 4, 5] } as const;
const LIAR = 0;
let old: Committee;
let plan: Plan;
let messages: ReturnType<typeof reshareRounds>;
beforeAll(async () => {
  old = await makeCommittee('cggmp24', 2, [0, 1, 2]);
  plan = planOf(old, CHANGE);
  messages = reshareRounds(plan);
});

type Deal = { sharer: { C: bigint[]; psi: bigint[] } | undefined };
const dealing = (edit: (deal: { C: bigint[]; psi: bigint[] }) => { C: bigint[]; psi: bigint[] }) => (deal: Deal) => ({
  sharer: deal.sharer && edit(deal.sharer),
});
/** A party that adds `by` to every sub-share: the polynomial g_i + by, against the commitment to g_i. */
const offset = (who: number, by: bigint) =>
  lying(
    who,
    messages.deal,
    dealing(({ C, psi }) => ({ C: C.map((c) => modQ(c + by)), psi })),
  );
/** An override that sends the same message with vectors of other lengths. */
const otherLengths =
  <A, B>(who: number, from: Round<A, 'echo' | 'broadcast' | 'p2p'>, to: Codec<B>, edit: (message: A) => B): Override =>
  (sender, _to, round, payload) =>
    sender === who && round === from.name ? encode(to, edit(decode(from.codec, payload))) : payload;

describe('the constant term', () => {
  test('that a sharer moves: its sub-shares do not fit λ_i·X_i, and everybody names it', async () => {
    expectBlamed((await run(old, plan, { as: offset(LIAR, 5n) })).results, [LIAR], 'the sub-share of sharer 0 for member 0 does not fit');
  });

  test('that two sharers move in opposite directions, so that the sum fits: both are named', async () => {
    const [up, down] = [offset(0, 5n), offset(1, -5n)];
    const { results, prepared } = await run(old, plan, { as: (party, rounds) => down(party, up(party, rounds)) });
    expectBlamed(results, [0, 1], 'does not fit');
    expect(prepared.size).toBe(0);
  });
});

describe('vectors', () => {
  test.each([
    ['one coefficient more (threshold raising)', 1],
    ['one coefficient fewer', -1],
  ])('%s: named by all', async (_what, more) => {
    const other = reshareRounds({ ...plan, nextT: plan.nextT + more });
    const override = otherLengths(LIAR, messages.open, other.open.codec, ({ sharer, member }) => ({
      sharer: sharer && {
        ...sharer,
        S: more > 0 ? [...sharer.S, G] : sharer.S.slice(1),
        A: more > 0 ? [...sharer.A, G] : sharer.A.slice(1),
      },
      member,
    }));
    expectBlamed((await run(old, plan, { override })).results, [LIAR], /S: \d items, exactly 2 expected/);
  });

  test('one sub-share more or fewer: named by all', async () => {
    for (const members of [plan.newMembers.slice(1), [...plan.newMembers, nodes[7]!.publicKey]]) {
      const other = reshareRounds({ ...plan, newMembers: members });
      const override = otherLengths(LIAR, messages.deal, other.deal.codec, ({ sharer }) => ({
        sharer: sharer && { ...sharer, C: [...sharer.C, 1n].slice(0, members.length) },
      }));
      expectBlamed((await run(old, plan, { override })).results, [LIAR], /C: \d items, exactly 3 expected/);
    }
  });

  test('parts of a role that the party has not, or without those it has: named by all', async () => {
    const extra = lying(0, messages.commit, () => ({ sharer: new Uint8Array(32), member: new Uint8Array(32) }));
    expectBlamed((await run(old, plan, { as: extra })).results, [0], 'the opening matches');
    const none = lying(1, messages.open, ({ sharer }) => ({ sharer, member: undefined }));
    expectBlamed((await run(old, plan, { as: none })).results, [1], 'the opening matches');
    const silent = lying(1, messages.deal, () => ({ sharer: undefined }));
    expectBlamed((await run(old, plan, { as: silent })).results, [1], 'sharers deal, and nobody else');
    const outsider = lying(3, messages.deal, () => ({ sharer: { C: plan.newMembers.map(() => 1n), psi: [1n, 1n, 1n] } }));
    expectBlamed((await run(old, plan, { as: outsider })).results, [3], 'sharers deal, and nobody else');
  });
});

describe('forget-and-forgive: a wrong sub-share to one victim', () => {
  const wrongFor = (member: number) =>
    lying(
      LIAR,
      messages.deal,
      dealing(({ C, psi }) => ({ C: C.map((c, b) => (b === member ? modQ(c + 1n) : c)), psi })),
    );

  test('the victim complains, everybody decides for it, and nobody has prepared anything', async () => {
    const { results, prepared } = await run(old, plan, { as: wrongFor(2) });
    expectBlamed(results, [LIAR], 'the sub-share of sharer 0 for member 2 does not fit its commitment');
    expect(prepared.size).toBe(0);
    expect((reasons(results)[1] as Fault).evidence).toMatchObject({ round: 'reshare/deal', signed: expect.any(Uint8Array) });
  });

  test('a sharer that is a member deals wrongly to another: named by all', async () => {
    const as = lying(
      1,
      messages.deal,
      dealing(({ C, psi }) => ({ C: [C[0]!, modQ(C[1]! + 1n), C[2]!], psi })),
    );
    expectBlamed((await run(old, plan, { as })).results, [1], 'the sub-share of sharer 1 for member 1');
  });

  /** Party 3 (member 2) complains about sharer 0, though nothing is wrong, with a key of its choice. */
  const complain = (y: bigint, against = 0) => ({
    as: lying(3, messages.result, ({ digest }) => ({ psi: undefined, complaints: [{ against, y }], digest })),
    edit: (party: number, given: ReshareOptions): ReshareOptions =>
      party === 3 ? { ...given, random: { bytes: (length) => new Uint8Array(length).fill(1) } } : given,
  });

  test('a complaint about a right sub-share, with the right key: the complainer is named', async () => {
    // The generator of party 3 is fixed, so its one-time key for every sharer is known: 1 + 0x0101…01.
    const y = 1n + BigInt(`0x${'01'.repeat(32)}`);
    const { results, prepared } = await run(old, plan, complain(y));
    expectBlamed(results, [3], 'the complaint of party 3 against sharer 0 does not hold');
    expect([...prepared.keys()].filter((party) => party !== 3)).toEqual([]);
  });

  test('a complaint with a key that is not the one of round 2: the complainer is named', async () => {
    expectBlamed((await run(old, plan, complain(12345n))).results, [3], 'does not hold');
  });

  test('a complaint about somebody who shares nothing, or by somebody who receives nothing: the complainer is named', async () => {
    expectBlamed((await run(old, plan, complain(1n, 2))).results, [3], 'against sharer 2 does not hold');
    const as = lying(0, messages.result, ({ digest }) => ({ psi: undefined, complaints: [{ against: 1, y: 1n }], digest }));
    expectBlamed((await run(old, plan, { as })).results, [0], 'against sharer 1 does not hold');
  });

  test('with a true complaint and a false one at once, both liars are named', async () => {
    const [bad, { edit, as: false_ }] = [wrongFor(1), complain(99n, 1)];
    const { results } = await run(old, plan, { edit, as: (party, rounds) => false_(party, bad(party, rounds)) });
    expectBlamed(results, [0, 3], 'does not');
  });
});

describe('split views', () => {
  test.each(['commit', 'deal'] as const)('of round %s end the run before anything is used: all name who showed them', async (name) => {
    const round: Round<unknown, 'echo'> = messages[name];
    const other =
      name === 'commit'
        ? () => ({ sharer: new Uint8Array(32), member: undefined })
        : dealing(({ C, psi }) => ({ C: C.map((c) => modQ(c + 1n)), psi }));
    const { results, prepared } = await run(old, plan, { override: tamper(LIAR, round, other as (message: unknown) => unknown, 3) });
    for (const [party, reason] of reasons(results).entries()) {
      expect(reason, `party ${party}`).toBeInstanceOf(Fault);
      if (party !== LIAR) expect((reason as Fault).culprits).toEqual([LIAR]);
    }
    expect(prepared.size).toBe(0);
  });

  test('of the result: whoever is shown another D names its author, and the certificate cannot come to be', async () => {
    const override = tamper(2, messages.result, (result) => ({ ...result, digest: new Uint8Array(32) }), 3);
    const { results } = await run(old, plan, { override });
    expect(reasons(results)[3]).toMatchObject({ culprits: [2], reason: expect.stringContaining('D is equal') });
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
  });
});

describe('commit, open, prove', () => {
  test.each(['rid', 'u', 'Y', 'A', 'S'] as const)('another %s than committed: named by all', async (field) => {
    const as = lying(LIAR, messages.open, ({ sharer, member }) => ({
      sharer: sharer && { ...sharer, [field]: field === 'rid' || field === 'u' ? new Uint8Array(32) : sharer[field].map(() => G) },
      member,
    }));
    expectBlamed((await run(old, plan, { as })).results, [LIAR], 'the opening matches');
  });

  test('a copied commitment does not open: it binds its author', async () => {
    const heard = new Map<string, Uint8Array>();
    const override: Override = (from, _to, round, payload) => {
      if (from === 1) heard.set(round, payload);
      return payload;
    };
    const as = (party: number, rounds: Rounds): Rounds => {
      if (party !== LIAR) return rounds;
      const repeat = async <M>(round: { name: string; codec: Codec<M> }, message: M): Promise<M> => {
        if (round.name !== messages.commit.name && round.name !== messages.open.name) return message;
        while (!heard.has(round.name)) await new Promise(setImmediate);
        const copy = decode(round.codec, heard.get(round.name)!) as { member: undefined };
        return { ...copy, member: undefined } as M;
      };
      return {
        ...rounds,
        echo: async (round, message) => rounds.echo(round, await repeat(round, message)),
        broadcast: async (round, message) => rounds.broadcast(round, await repeat(round, message)),
      };
    };
    expectBlamed((await run(old, plan, { as, override })).results, [LIAR], 'the opening matches');
  });

  test.each([0, 1, 2])('a polynomial whose coefficient %i the sharer cannot prove: named by all', async (k) => {
    const as = lying(
      LIAR,
      messages.deal,
      dealing(({ C, psi }) => ({ C, psi: psi.map((z, at) => (at === k ? modQ(z + 1n) : z)) })),
    );
    expectBlamed((await run(old, plan, { as })).results, [LIAR], 'sch-reshare: Π^sch');
  });

  test('a member that cannot prove its share, or says nothing about it: named by all', async () => {
    for (const psi of [1n, undefined])
      expectBlamed((await run(old, plan, { as: lying(2, messages.result, (result) => ({ ...result, psi })) })).results, [2], 'sch-new');
  });
});

describe('acknowledgements', () => {
  test.each([
    ['a wrong signature', () => new Uint8Array(64)],
    ['none', () => undefined],
  ])('%s: named by all, and there is no certificate', async (_what, signature) => {
    const { results, prepared } = await run(old, plan, { as: lying(3, messages.ack, () => ({ signature: signature() })) });
    expectBlamed(results, [3], /^ack: /);
    // The others are prepared by then: they wait for Cert or REFUSE (switch.ts).
    expect([...prepared.keys()].sort()).toEqual([1, 2, 3]);
  });

  test('silence names its author, and nobody acknowledges before its share is stored', async () => {
    const log: string[] = [];
    const edit = (party: number, given: ReshareOptions) => ({
      ...given,
      prepared: async (share: NewShare) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        log.push(`${party} stored`);
        await given.prepared(share);
      },
    });
    const override: Override = (from, _to, round, payload) => (from === 2 && round === messages.ack.name ? undefined : payload);
    const { results } = await run(old, plan, { edit, override, onMessage: (from, _to, round) => log.push(`${from} ${round}`) });
    expectBlamed(results, [2], 'no message');
    expect(reasons(results)[0]).toBeInstanceOf(Silence);
    for (const party of [1, 2, 3]) expect(log.indexOf(`${party} ${messages.ack.name}`)).toBeGreaterThan(log.indexOf(`${party} stored`));
  });

  test('a member that cannot store its share acknowledges nothing, and nobody has a certificate', async () => {
    const edit = (party: number, given: ReshareOptions) =>
      party === 3 ? { ...given, prepared: () => Promise.reject(new Error('disk full')) } : given;
    const { results } = await run(old, plan, { edit });
    expect(reasons(results)[3]).toMatchObject({ message: 'disk full' });
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
  });
});

describe('before anything is sent, a node refuses', () => {
  const refused = async (field: string, edit: Parameters<typeof run>[2], at: number, of: Plan = plan) => {
    const sent: number[] = [];
    const { results } = await run(old, of, { ...edit, onMessage: (from) => sent.push(from) });
    expect(reasons(results)[at]).toBeInstanceOf(Refusal);
    expect(reasons(results)[at]).toMatchObject({ field });
    expect(sent).not.toContain(at);
  };

  test('another old committee than the node knows from the making of the key, by which the votes would count', async () => {
    const foreign = (party: number, given: ReshareOptions): ReshareOptions =>
      party === 0 ? { ...given, own: { ...given.own!, members: keysOf([0, 1, 8]) } } : given;
    await refused('oldMembers', { edit: foreign }, 0);
  });

  test('another key than its own configuration names, though all sharers say so', async () => {
    await refused('publicKey', { edit: (party, given) => (party === 3 ? { ...given, publicKey: G } : given) }, 3);
  });

  test('a vote that is no quorum, is repeated, of another try, or forged', async () => {
    expect([3, 4, 5, 7].map((n) => [tolerated(n), planQuorum(n)])).toEqual([[0, 2], [1, 3], [1, 4], [2, 5]]); // prettier-ignore
    const votes = (by: number[], other = false) => ({
      edit: (_: number, given: ReshareOptions) => ({
        ...given,
        approvals: approve(other ? ticketOf(plan) : given.ticket, testParameters, by),
      }),
    });
    for (const [by, other] of [[[0], false], [[0, 0], false], [[0, 1], true], [[1, 0], false]] as const) await refused('approvals', votes([...by], other), 3); // prettier-ignore
  });

  test('public shares that do not give the key, or are not those it holds', async () => {
    const X = [plan.X[1]!, ...plan.X.slice(1)];
    await refused('X', {}, 3, { ...plan, X });
    await refused('epoch', {}, 0, { ...plan, epoch: 5, nextEpoch: 6 });
    await refused('chainCode', {}, 0, { ...plan, chainCode: new Uint8Array(32) });
  });

  test('too few sharers, thresholds and committees that make no sense, an epoch that is not new', async () => {
    await refused('sharers', {}, 2, { ...plan, sharers: [0] });
    await refused('sharers', {}, 2, { ...plan, sharers: [1, 0] });
    await refused('threshold', {}, 2, { ...plan, nextT: 1 });
    await refused('threshold', {}, 2, { ...plan, nextT: 5 });
    await refused('threshold', {}, 1, { ...plan, nextT: 1, newMembers: [nodes[4]!.publicKey] });
    await refused('nextEpoch', {}, 2, { ...plan, nextEpoch: 0 });
    await refused('auxHash', {}, 2, { ...plan, auxHash: new Uint8Array() });
    await refused('kind', {}, 0, { ...plan, kind: 'refresh' });
  });

  test('to deal a share that is damaged', async () => {
    const edit = (party: number, given: ReshareOptions) =>
      party === 1 ? { ...given, own: { ...given.own!, share: { ...given.own!.share, x: given.own!.share.x + 1n } } } : given;
    await refused('sharers', { edit }, 1);
  });

  test('a session of another plan: identity keys and auxiliary information of O* are in its id', async () => {
    const other = { ...ticketOf(plan) };
    const sid = runId(other, testParameters);
    for (const changed of [
      { ...plan, newMembers: [...plan.newMembers.slice(0, 2), nodes[8]!.publicKey] },
      { ...plan, auxHash: new Uint8Array(32).fill(8) },
      { ...plan, nextEpoch: 9 },
    ])
      expect(runId({ ...other, plan: changed }, testParameters)).not.toEqual(sid);
    const edit = (party: number, given: ReshareOptions) =>
      party === 3 ? { ...given, ticket: { ...given.ticket, plan: { ...plan, auxHash: new Uint8Array(32).fill(8) } } } : given;
    await refused('sid', { edit }, 3);
  });
});

test('a FROST share that is negated first does not fit the plan', async () => {
  const frost = await makeCommittee('frost', 2, [0, 1, 2]);
  const of = planOf(frost, { sharers: [0, 1], t: 2, members: [0, 3] });
  const negated = { ...frost.shares[0]!, x: modQ(-frost.shares[0]!.x) };
  const { results } = await run(frost, of, {
    edit: (party, given) => (party === 0 ? { ...given, own: { ...given.own!, share: negated } } : given),
  });
  expect(reasons(results)[0]).toMatchObject({ field: 'sharers' });
  const P = of.publicKey.negate();
  const { results: other } = await run(frost, { ...of, publicKey: P, X: of.X.map((X_i) => X_i.negate()) });
  for (const reason of reasons(other)) expect(reason).toMatchObject({ field: 'internal' });
});

test('a refresh with one who deals something but zero: named by all', async () => {
  const of = planOf(old, {});
  const as = lying(
    LIAR,
    reshareRounds(of).deal,
    dealing(({ C, psi }) => ({ C: C.map((c) => modQ(c + 1n)), psi })),
  );
  expectBlamed((await run(old, of, { as })).results, [LIAR], 'does not fit its commitment');
});

test('mixed epochs: presigning sessions of two epochs have different ids', async () => {
  const next = await change(old, { sharers: [0, 1], t: 2, members: [0, 1, 2] });
  const aux = dealAux(3, smallParameters)[0]!;
  const identities = [0, 1].map((k) => nodes[k]!.publicKey);
  const sid = (committee: Committee) =>
    signingSessionId({ protocol: 'presign', key: toEcdsa(committee.shares[0]!, new Uint8Array(32)), aux, parameters: smallParameters, nonce: new Uint8Array(16), identities, signers: [0, 1] }); // prettier-ignore
  expect(sid(next)).not.toEqual(sid(old));
});

test('participants are the sharers, then the other new members', () => {
  expect(participants(plan)).toEqual([0, 1, 4, 5].map((k) => nodes[k]!.publicKey));
});
