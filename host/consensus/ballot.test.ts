import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../base/codec.ts';
import { Ballot } from './ballot.ts';
import { verifyCertificate } from './certificate.ts';
import { LocalIdentity } from './identity.ts';
import { proposalId, type Proposal } from './proposal.ts';
import { defaultQuorum } from './quorum.ts';
import { T0, testCluster, type TestCluster } from './testing/cluster.ts';
import { describe as lineOf, provesDoubleVote } from './violation.ts';
import { signVote, vote, type Vote } from './vote.ts';

const five = testCluster(5);
const clockAt = (start: number) => {
  const clock = { now: start, read: () => clock.now };
  return clock;
};
const open = (cluster: TestCluster, quorum: number, clock = clockAt(T0 + 2_000), deadline?: number) =>
  new Ballot({
    proposal: cluster.proposal,
    roster: cluster.roster,
    quorum,
    clock: clock.read,
    ...(deadline !== undefined && { deadline }),
  });

describe('ballot', () => {
  test('is approved by the q-th approval, not before, and gives a certificate of all approvals', () => {
    const ballot = open(five, 4);
    for (const i of [4, 0, 2]) {
      expect(ballot.add(five.vote(i, 'approve'))).toEqual({ outcome: 'counted' });
      expect(ballot.result).toBe('pending');
      expect(ballot.certificate).toBeUndefined();
    }
    ballot.add(five.vote(1, 'approve'));
    expect(ballot.result).toBe('approved');
    expect(() => verifyCertificate(ballot.certificate!, five.proposal, five.roster, 4)).not.toThrow();
    ballot.add(five.vote(3, 'approve'));
    expect(ballot.certificate!.votes).toHaveLength(5);
  });

  test('4 of 5: the second rejection rejects, because approval has become impossible', () => {
    const ballot = open(five, 4);
    ballot.add(five.vote(0, 'approve'));
    ballot.add(five.vote(1, 'reject'));
    expect(ballot.result).toBe('pending');
    ballot.add(five.vote(2, 'reject'));
    expect(ballot.result).toBe('rejected');
    for (const i of [3, 4]) ballot.add(five.vote(i, 'approve'));
    expect(ballot.result).toBe('rejected');
    expect(ballot.minority).toEqual(['node-1', 'node-4', 'node-5']);
  });

  test('the same vote again changes nothing', () => {
    const ballot = open(five, 3);
    ballot.add(five.vote(0, 'approve'));
    for (let k = 0; k < 5; k++) expect(ballot.add(five.vote(0, 'approve'))).toEqual({ outcome: 'duplicate' });
    expect(ballot.votes).toHaveLength(1);
    expect(ballot.result).toBe('pending');
  });

  test.each([
    ['another value', { value: 'reject' as const }],
    ['another time', { timestamp: T0 + 1_001 }],
    ['another reason', { reason: 'changed my mind' }],
    ['another extension', { extension: Uint8Array.of(1) }],
  ])('a second vote with %s is a double vote: evidence of both, neither counts, nor does a third', (_name, edit) => {
    const ballot = open(five, 4);
    ballot.add(five.vote(2, 'approve'));
    const receipt = ballot.add(five.vote(2, 'approve', edit));
    expect(receipt).toMatchObject({ outcome: 'double_vote', violation: { type: 'double_vote', node: 'node-3' } });
    expect(ballot.doubleVotes).toHaveLength(1);
    expect(provesDoubleVote(ballot.doubleVotes[0]!, five)).toBe(true);
    expect(lineOf(ballot.doubleVotes[0]!)).toMatch(/^double_vote by node-3 on [0-9a-f]{16}: /);
    expect(ballot.add(five.vote(2, 'approve', { reason: 'a third' }))).toEqual({ outcome: 'excluded' });
    for (const i of [0, 1, 3]) ballot.add(five.vote(i, 'approve'));
    expect(ballot.result).toBe('pending');
    ballot.add(five.vote(4, 'approve'));
    expect(ballot.result).toBe('approved');
    expect(ballot.certificate!.votes.map(({ voter }) => voter)).not.toContain('node-3');
  });

  test('two double voters make 4 of 5 impossible', () => {
    const ballot = open(five, 4);
    for (const i of [0, 1]) for (const value of ['approve', 'reject'] as const) ballot.add(five.vote(i, value));
    expect(ballot.result).toBe('impossible');
  });

  test('a double vote found after approval takes the vote back', () => {
    const ballot = open(five, 4);
    for (const i of [0, 1, 2, 3]) ballot.add(five.vote(i, 'approve'));
    expect(ballot.result).toBe('approved');
    ballot.add(five.vote(3, 'reject'));
    expect([ballot.result, ballot.certificate]).toEqual(['pending', undefined]);
  });

  test('a double vote is found although one of the two came late', () => {
    const clock = clockAt(T0 + 2_000);
    const ballot = open(five, 4, clock);
    ballot.add(five.vote(0, 'approve'));
    clock.now = T0 + 40_000;
    expect(ballot.add(five.vote(0, 'reject')).outcome).toBe('double_vote');
  });
});

describe('checks on each vote', () => {
  const stranger = LocalIdentity.generate('node-9');
  const yes = five.vote(1, 'approve');
  test.each<[string, Vote, RegExp]>([
    ['of no member', signVote(stranger, five.clusterId, yes), /no vote here/],
    ['on another proposal', five.vote(1, 'approve', { proposal: new Uint8Array(32) }), /another proposal/],
  ])('a vote %s is refused, and nobody is accused', (_name, value, reason) => {
    const ballot = open(five, 3);
    expect(ballot.add(value, 'node-4')).toEqual({ outcome: 'refused', reason: expect.stringMatching(reason) });
    expect(ballot.votes).toEqual([]);
  });

  test.each<[string, Vote]>([
    ['a broken signature', { ...yes, signature: yes.signature.with(0, yes.signature[0]! ^ 1) }],
    ['another cluster', signVote(five.nodes[1]!, new Uint8Array(32), yes)],
    ['a changed value', { ...yes, value: 'reject' }],
  ])('a vote with %s accuses who sent it, never whose name is in it', (_name, value) => {
    const ballot = open(five, 3);
    const receipt = ballot.receive(encode(vote, value), 'node-4');
    expect(receipt).toMatchObject({
      outcome: 'refused',
      violation: { type: 'invalid_signature', node: 'node-4', evidence: [encode(vote, value)] },
    });
    // and does not stand in the way of the real one
    expect(ballot.add(yes)).toEqual({ outcome: 'counted' });
  });

  test('bytes that are no vote accuse who sent them, with a bounded piece as evidence', () => {
    const ballot = open(five, 3);
    const receipt = ballot.receive(new Uint8Array(100_000).fill(1), 'node-4');
    expect(receipt).toMatchObject({ outcome: 'refused', violation: { type: 'malformed_vote', node: 'node-4' } });
    expect(receipt).toHaveProperty('violation.evidence.0.length', 4096);
    expect(ballot.receive(encode(vote, yes), 'node-2')).toEqual({ outcome: 'counted' });
  });

  test.each([
    ['60 s behind the receiver', T0 + 25_000, T0 - 35_000, 'counted'],
    ['more than 60 s behind', T0 + 25_001, T0 - 35_000, 'late'],
    ['60 s before the proposal', T0, T0 - 60_000, 'counted'],
    ['earlier than that', T0 - 10, T0 - 60_001, 'late'],
    ['in the last millisecond', T0 + 29_999, T0 + 29_999, 'counted'],
    ['made at the expiry', T0 + 29_999, T0 + 30_000, 'late'],
    ['arriving at the expiry', T0 + 30_000, T0 + 1_000, 'late'],
  ])('a vote %s', (_name, now, timestamp, outcome) => {
    const ballot = open(five, 3, clockAt(now));
    expect(ballot.add(five.vote(0, 'approve', { timestamp }))).toEqual({ outcome });
    // recorded either way
    expect(ballot.votes).toMatchObject([{ counted: outcome === 'counted', vote: { voter: 'node-1' } }]);
  });

  test('late votes are recorded and never decide', () => {
    const clock = clockAt(T0 + 2_000);
    const ballot = open(five, 3, clock);
    for (const i of [0, 1]) ballot.add(five.vote(i, 'approve'));
    clock.now = T0 + 30_000;
    expect(ballot.result).toBe('expired');
    for (const i of [2, 3]) expect(ballot.add(five.vote(i, 'approve'))).toEqual({ outcome: 'late' });
    expect(ballot.result).toBe('expired');
    expect(ballot.votes).toHaveLength(4);
    expect(ballot.silent).toEqual(['node-5']);
  });

  test('a decision stays after the deadline', () => {
    const clock = clockAt(T0 + 2_000);
    const ballot = open(five, 3, clock);
    for (const i of [0, 1, 2]) ballot.add(five.vote(i, 'approve'));
    clock.now = T0 + 1e9;
    expect(ballot.result).toBe('approved');
  });

  test('a deadline may be earlier than the expiry of the proposal, never later', () => {
    expect(open(five, 3, clockAt(T0 + 10_000), T0 + 10_000).result).toBe('expired');
    expect(open(five, 3, clockAt(T0 + 30_000), T0 + 99_000).result).toBe('expired');
  });

  test.each([2, 6, 2.5])('a quorum of %d among 5 is refused', (quorum) => {
    expect(() => open(five, quorum)).toThrow(expect.objectContaining({ name: 'Refusal', field: 'quorum' }));
  });
});

describe('properties', () => {
  // What each of seven nodes does, and in which order two observers hear of it. Votes are signed once; verification is real.
  const cluster = testCluster(7);
  const votes = cluster.nodes.map((_, i) => ({ approve: cluster.vote(i, 'approve'), reject: cluster.vote(i, 'reject') }));
  const behaviour = fc.constantFrom('approve', 'reject', 'both', 'silent');
  const setting = fc
    .record({ n: fc.integer({ min: 2, max: 7 }), t: fc.integer({ min: 2, max: 7 }) })
    .filter(({ t, n }) => t <= n)
    .chain(({ n, t }) =>
      fc.record({
        n: fc.constant(n),
        quorum: fc.constant(defaultQuorum(t, n)),
        nodes: fc.array(behaviour, { minLength: n, maxLength: n }),
        seeds: fc.tuple(fc.infiniteStream(fc.nat()), fc.infiniteStream(fc.nat())),
        heard: fc.tuple(fc.array(fc.boolean(), { minLength: 14, maxLength: 14 }), fc.array(fc.boolean(), { minLength: 14, maxLength: 14 })),
      }),
    );
  const sent = (nodes: readonly string[]): Vote[] =>
    nodes.flatMap((does, i) =>
      does === 'silent' ? [] : does === 'both' ? [votes[i]!.approve, votes[i]!.reject] : [votes[i]![does as 'approve' | 'reject']],
    );
  const shuffled = <T>(items: readonly T[], stream: Iterator<number>): T[] =>
    items.map((item) => ({ item, key: stream.next().value as number })).sort((a, b) => a.key - b.key).map(({ item }) => item); // prettier-ignore
  const count = (n: number, quorum: number, heard: readonly Vote[]) => {
    const roster = cluster.roster.only(cluster.roster.nodes.slice(0, n));
    const ballot = new Ballot({ proposal: cluster.proposal, roster, quorum, clock: () => T0 + 2_000 });
    for (const value of heard) ballot.add(value);
    if (ballot.certificate !== undefined) verifyCertificate(ballot.certificate, cluster.proposal, roster, quorum);
    return ballot.result;
  };

  test('observers that heard the same votes decide the same, in whatever order and however often they came', () => {
    fc.assert(
      fc.property(setting, ({ n, quorum, nodes, seeds }) => {
        const all = sent(nodes);
        expect(count(n, quorum, shuffled(all, seeds[0]))).toBe(count(n, quorum, shuffled([...all, ...all], seeds[1])));
      }),
      { numRuns: 100 },
    );
  });

  test('observers that heard different parts never reach opposite decisions, unless somebody voted twice', () => {
    fc.assert(
      fc.property(setting, ({ n, quorum, nodes, heard }) => {
        const all = sent(nodes);
        const results = heard.map((mask) => count(n, quorum, all.filter((_, k) => mask[k]))); // prettier-ignore
        if (results.includes('approved') && results.includes('rejected')) expect(nodes).toContain('both');
      }),
      { numRuns: 200 },
    );
  });

  // Two proposals for the same coins.
  const rivals = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)].map((nonce): Proposal => ({ ...cluster.proposal, nonce }));
  const rivalVotes = cluster.nodes.map((_, i) => rivals.map((p) => cluster.vote(i, 'approve', { proposal: proposalId(p) })));
  test('quorums intersect: of two rival proposals at most one is approved while nodes approve only one, or fewer than 2q − n approve both', () => {
    let both = 0;
    fc.assert(
      fc.property(setting, ({ n, quorum, nodes }) => {
        const roster = cluster.roster.only(cluster.roster.nodes.slice(0, n));
        const results = rivals.map((proposal, k) => {
          const ballot = new Ballot({ proposal, roster, quorum, clock: () => T0 + 2_000 });
          // approve: the first; reject: the second; both: a traitor that approves both
          for (const [i, does] of nodes.entries())
            if (does === 'both' || does === (k === 0 ? 'approve' : 'reject')) ballot.add(rivalVotes[i]![k]!);
          return ballot.result;
        });
        const traitors = nodes.filter((does) => does === 'both').length;
        if (results.every((result) => result === 'approved')) {
          both++;
          expect(traitors).toBeGreaterThanOrEqual(2 * quorum - n);
        }
      }),
      { numRuns: 300 },
    );
    expect(both).toBeGreaterThan(0); // the property is not empty: traitors in sufficient number do approve both
  });

  test('a quorum of two thirds withstands a third of traitors', () => {
    for (let n = 4; n <= 16; n++) expect(2 * (Math.floor((2 * n) / 3) + 1) - n).toBeGreaterThan(Math.floor((n - 1) / 3));
  });
});
