/** Faults in a refresh or resharing: all honest parties name their author, and hold files that prove it to whoever was not there; nobody honest can be framed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encode } from '../base/codec.ts';
import { Fault } from '../base/errors.ts';
import { lying, reasons } from '../cggmp24/testing/parties.ts';
import { createCore } from '../core/index.ts';
import { modQ } from '../curve/secp256k1.ts';
import { testParameters as parameters } from '../proofs/parameters.ts';
import { EVERYBODY, type Round } from '../protocol/rounds.ts';
import { tamper, values } from '../protocol/testing/network.ts';
import { participants, runBinding, runId, type Plan, type Ticket } from '../resharing/plan.ts';
import { reshareRounds } from '../resharing/reshare-messages.ts';
import type { ReshareOptions } from '../resharing/reshare.ts';
import { ackMessage, refusalMessage } from '../resharing/statements.ts';
import { makeCommittee, nodeOf, planOf, run, ticketOf, type Committee, type Run } from '../resharing/testing/parties.ts';
import { LogExhibits } from './exhibits.ts';
import { evidenceFile, type EvidenceFile } from './format.ts';
import { accountable, buildEvidence, buildStatementEvidence, readEvidence, verifyEvidence, type SessionFacts } from './index.ts';
import { judge, openCase } from './verify.ts';

const core = await createCore({ threads: 1 });
const options = { core };
afterAll(() => core.close());
/** 2-of-3 → 3-of-3: parties 0 and 1 share, parties 1, 2 and 3 receive (members 0, 1 and 2). */
const CHANGE = { sharers: [0, 1], t: 3, members: [1, 4, 5] } as const;
let old: Committee;
let frost: Committee;
let plan: Plan;
let refresh: Plan;
beforeAll(async () => {
  old = await makeCommittee('cggmp24', 2, [0, 1, 2]);
  frost = await makeCommittee('frost', 2, [0, 1, 2]);
  plan = planOf(old, CHANGE);
  refresh = planOf(frost, {});
});

const sessionOf = (ticket: Ticket): SessionFacts & { plan: Plan } => ({ binding: runBinding(ticket, parameters), plan: ticket.plan });
type Lies = NonNullable<Parameters<typeof run>[2]>;
const holding = (committee: Committee, of: Plan, lies: Lies): Promise<Run> =>
  run(committee, of, {
    ...lies,
    around: (rounds, ticket, part) => accountable({ rounds, session: sessionOf(ticket), core }, part),
  });

/** All but the liar name it alone, and every file that they hold proves `check`, and names the liar by its identity key. */
async function expectProven(of: Run, liar: number, check: string, unaware: readonly number[] = []): Promise<void> {
  const identity = Buffer.from(participants(of.ticket.plan)[liar]!).toString('hex');
  const checks = new Set<string>();
  for (const [party, error] of reasons(of.results).entries()) {
    if (party === liar || unaware.includes(party)) continue;
    expect(error, `party ${party}: ${String(error)}`).toBeInstanceOf(Fault);
    const { culprits, message, evidence } = error as Fault;
    expect(culprits, message).toEqual([liar]);
    for (const file of evidence.files ?? []) {
      const verdict = await verifyEvidence(file, options);
      expect(verdict, JSON.stringify(verdict)).toMatchObject({ verdict: 'proven', accused: liar, identity });
      checks.add(readEvidence(file).claim.check);
    }
  }
  expect([...checks]).toEqual([check]);
}

describe('named, with a file that proves it', () => {
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, k) => (k === 0 ? byte ^ 1 : byte));
  const wrongFor = (liar: number, member: number, of: Plan) =>
    lying(liar, reshareRounds(of).deal, ({ sharer }) => ({
      sharer: sharer && { ...sharer, C: sharer.C.map((c, b) => (b === member ? modQ(c + 1n) : c)) },
    }));
  const messages = (): ReturnType<typeof reshareRounds> => reshareRounds(plan);

  test.each<[what: string, check: string, liar: number, lies: () => Lies]>([
    ['an opening of something else', 'opening', 0, () => ({ as: lying(0, messages().open, ({ sharer, member }) => ({ sharer: sharer && { ...sharer, rid: flip(sharer.rid) }, member })) })],
    ['a coefficient that it does not know', 'sch-reshare', 0, () => ({ as: lying(0, messages().deal, ({ sharer }) => ({ sharer: sharer && { ...sharer, psi: sharer.psi.map((z) => modQ(z + 1n)) } })) })],
    ['no sub-shares at all', 'sch-reshare', 1, () => ({ as: lying(1, messages().deal, () => ({ sharer: undefined })) })],
    ['a wrong sub-share to one member', 'share/2', 0, () => ({ as: wrongFor(0, 2, plan) })],
    ['a share that it does not know', 'sch-new', 2, () => ({ as: lying(2, messages().result, (result) => ({ ...result, psi: 1n })) })],
    ['another result', 'confirmation', 3, () => ({ as: lying(3, messages().result, (result) => ({ ...result, digest: flip(result.digest) })) })],
    ['an acknowledgement that is none', 'ack', 3, () => ({ as: lying(3, messages().ack, ({ signature }) => ({ signature: signature && flip(signature) })) })],
    ['bytes that are no message', 'malformed', 1, () => ({ override: (from, _to, round, payload) => (from === 1 && round === messages().open.name ? payload.slice(1) : payload) })],
    ['two messages in one place', 'equivocation', 0, () => ({ override: tamper(0, messages().commit as Round<{ sharer: Uint8Array | undefined; member: Uint8Array | undefined }, 'echo'>, ({ sharer, member }) => ({ sharer: sharer && flip(sharer), member }), 3) })],
  ])('%s', async (_what, check, liar, lies) => {
    await expectProven(await holding(old, plan, lies()), liar, check);
  }); // prettier-ignore

  /** Party 3 (member 2) complains about a sharer with a key of its choice; its generator is fixed, so its one-time keys are known. */
  const complaining = (y: bigint, to?: number): Lies => {
    const complaint = ({ digest }: { digest: Uint8Array }) => ({ psi: undefined, complaints: [{ against: 0, y }], digest });
    const fixed = (party: number, given: ReshareOptions): ReshareOptions =>
      party === 3 ? { ...given, random: { bytes: (length) => new Uint8Array(length).fill(1) } } : given;
    const { result } = messages();
    return to === undefined
      ? { as: lying(3, result, complaint), edit: fixed }
      : { override: tamper(3, result, complaint, to), edit: fixed };
  };
  const KNOWN = 1n + BigInt(`0x${'01'.repeat(32)}`);

  test('a complaint about a right sub-share, and one with another key', async () => {
    for (const y of [KNOWN, 12345n]) await expectProven(await holding(old, plan, complaining(y)), 3, 'complaint');
  });

  test('a complaint that only one is told: it tells all', async () => {
    await expectProven(await holding(old, plan, complaining(KNOWN, 0)), 3, 'complaint');
  });

  test('in a refresh, and of a Taproot key: a wrong sub-share, and a coefficient that is not known', async () => {
    await expectProven(await holding(frost, refresh, { as: wrongFor(2, 0, refresh) }), 2, 'share/0');
    const psi = lying(2, reshareRounds(refresh).deal, ({ sharer }) => ({
      sharer: sharer && { ...sharer, psi: [modQ(sharer.psi[0]! + 1n)] },
    }));
    await expectProven(await holding(frost, refresh, { as: psi }), 2, 'sch-refresh');
  });
});

describe('nobody who kept to the protocol can be framed', () => {
  let honest: Run;
  beforeAll(async () => {
    honest = await holding(old, plan, {});
    values(honest.results);
  });
  const ACCUSED = 1;
  /** What party 0 holds of party 1, as a file, were there no judge in between. */
  async function accuse(of: Run, check: string, round: string, accused = ACCUSED): Promise<EvidenceFile> {
    const session = sessionOf(of.ticket);
    const made = await buildEvidence({ accused, check, round }, of.parties[0]!, session, options);
    expect(made).toBeUndefined();
    const { parameters: _, ...binding } = { ...session.binding };
    const head = {
      session: { ...binding, parameters: 'test', keyId: binding.keyId ?? '', epoch: binding.epoch ?? 0, publicKey: binding.publicKey, auxHash: binding.auxHash ?? new Uint8Array(), path: [], message: new Uint8Array(), shares: new Uint8Array(), count: 0, identities: [...binding.identities] },
      facts: { signers: [], publicShares: [], aux: [], digest: new Uint8Array() },
      claim: { accused, check, round, to: EVERYBODY },
      resharing: { plan: of.ticket.plan, statements: [] },
    } satisfies Partial<EvidenceFile>; // prettier-ignore
    const exhibits = new LogExhibits(of.parties[0]!.log, accused, of.parties.length);
    await judge(openCase(head, exhibits, options), options);
    return { ...head, ...exhibits.taken() };
  }
  const verdictOf = (file: EvidenceFile) => verifyEvidence(encode(evidenceFile, file), options);

  test.each(['opening', 'sch-reshare', 'complaint', 'sch-new', 'confirmation', 'ack', 'malformed'])('%s: not proven', async (check) => {
    const { open, deal, result, ack } = reshareRounds(plan);
    const round = { opening: open, 'sch-reshare': deal, ack, malformed: deal }[check] ?? result;
    expect(await verdictOf(await accuse(honest, check, round.name))).toMatchObject({ verdict: 'not-proven', accused: ACCUSED, check });
  });

  test.each(['share/2', 'share/15', 'sch-refresh/1', 'equivocal-ack'])('%s: there is nothing to show', async (check) => {
    const { deal } = reshareRounds(plan);
    expect(await verdictOf(await accuse(honest, check, deal.name))).toMatchObject({ verdict: 'malformed' });
  });

  test('with another plan, without one, or with one in a session that has none', async () => {
    const file = await accuse(honest, 'confirmation', reshareRounds(plan).result.name);
    const other = { ...plan, nextEpoch: plan.nextEpoch + 1 };
    expect(await verdictOf({ ...file, resharing: { plan: other, statements: [] } })).toMatchObject({
      problem: 'the plan is that of the session',
    });
    const { resharing, ...without } = file;
    expect(await verdictOf(without)).toMatchObject({ problem: 'the plan of the session' });
    expect(await verdictOf({ ...file, session: { ...file.session, protocol: 'keygen-cggmp24' } })).toMatchObject({ verdict: 'malformed' });
    expect(resharing?.plan).toEqual(plan);
  });

  test('by a complaint of the accuser with a key of its own choice', async () => {
    // Party 3, the accuser, dealt itself nothing wrong: it claims that sharer 1 did, and shows a key that is not the one it committed to.
    const { result, deal } = reshareRounds(plan);
    const lie = lying(3, result, ({ digest }) => ({ psi: undefined, complaints: [{ against: 1, y: 12345n }], digest }));
    const framed = await run(old, plan, { as: lie });
    expect(await verdictOf(await accuse(framed, 'share/2', deal.name))).toMatchObject({
      verdict: 'malformed',
      problem: 'the one-time key of the member',
    });
  });
});

describe('two statements about one new share', () => {
  const D = new Uint8Array(32).fill(1);
  const statementsOf = (ticket: Ticket, party: number, digests: readonly (Uint8Array | undefined)[]) => {
    const sid = runId(ticket, parameters);
    const author = nodeOf(participants(ticket.plan)[party]!);
    return digests.map((digest) => ({
      digest,
      signature: author.sign(digest === undefined ? refusalMessage(sid) : ackMessage(sid, ticket.plan.nextEpoch, digest)),
    }));
  };

  test.each([
    ['ACK and REFUSE', [D, undefined]],
    ['two results', [D, D.with(0, 2)]],
  ])('%s prove who signed both', async (_what, digests) => {
    const ticket = ticketOf(plan);
    const file = await buildStatementEvidence(2, statementsOf(ticket, 2, digests), sessionOf(ticket), options);
    expect(await verifyEvidence(file!, options)).toMatchObject({ verdict: 'proven', accused: 2, check: 'equivocal-ack' });
    for (let at = file!.length - 140; at < file!.length; at += 7)
      expect(await verifyEvidence(file!.with(at, file![at]! ^ 1), options)).toMatchObject({ verdict: 'malformed' });
  });

  test.each<[string, (ticket: Ticket) => ReturnType<typeof statementsOf>]>([
    ['the same twice', (ticket) => statementsOf(ticket, 2, [D, D])],
    ['REFUSE twice', (ticket) => statementsOf(ticket, 2, [undefined, undefined])],
    ['of two authors', (ticket) => [...statementsOf(ticket, 2, [D]), ...statementsOf(ticket, 3, [undefined])]],
    ['of two tries', (ticket) => [...statementsOf(ticket, 2, [D]), ...statementsOf(ticketOf(plan), 2, [undefined])]],
    ['one alone', (ticket) => statementsOf(ticket, 2, [D])],
  ])('%s prove nothing', async (_what, of) => {
    const ticket = ticketOf(plan);
    expect(await buildStatementEvidence(2, of(ticket), sessionOf(ticket), options)).toBeUndefined();
  });

  test('of a party that is no new member prove nothing', async () => {
    const ticket = ticketOf(plan);
    expect(await buildStatementEvidence(0, statementsOf(ticket, 0, [D, undefined]), sessionOf(ticket), options)).toBeUndefined();
  });
});
