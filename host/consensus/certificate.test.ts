import { describe, expect, test } from 'vitest';
import { concatBytes, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { certificateOf, quorumCertificate, verifyCertificate, type QuorumCertificate } from './certificate.ts';
import { LocalIdentity } from './identity.ts';
import { proposal, proposalId, signedProposal, signProposal, verifyProposal, type Proposal } from './proposal.ts';
import { defaultQuorum, quorumWarning, rejectionQuorum, requireQuorum } from './quorum.ts';
import { T0, testCluster } from './testing/cluster.ts';
import { provesDoubleVote } from './violation.ts';
import { sameVote, signVote, verifyVote, vote, type VoteBody } from './vote.ts';

const cluster = testCluster(5);
const { clusterId, nodes, roster } = cluster;
const id = proposalId(cluster.proposal);
const refusal = (code: string) => expect.objectContaining({ name: expect.stringMatching(/^Refusal$/), code });

/** Calls `check` with every one-bit change of `bytes`; none may pass. */
function everyFlip(bytes: Uint8Array, check: (changed: Uint8Array) => void): void {
  const passed: number[] = [];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.with(bit >> 3, bytes[bit >> 3]! ^ (1 << (bit & 7)));
    try {
      check(changed);
      passed.push(bit);
    } catch (error) {
      expect(['DecodeError', 'Refusal']).toContain((error as Error).name);
    }
  }
  expect(passed).toEqual([]);
}

describe('proposal', () => {
  const context = { roster, clusterId, now: T0 + 5_000 };
  const signed = signProposal(nodes[0]!, cluster.proposal);

  test('comes back as it was, and verifies', () => {
    const again = decode(signedProposal, encode(signedProposal, signed));
    expect(again).toEqual(signed);
    expect(() => verifyProposal(again, context)).not.toThrow();
    expect(proposalId(again.proposal)).toEqual(id);
  });

  test('its id is fixed for ever by version 1: SHA-256 of length-prefixed tag and canonical bytes, computed elsewhere', () => {
    expect(hex(id)).toBe('4f908df8cf0b4c0b834267c94c159ed0dceafd9c54c53343ce1ee9b7fde29046');
  });

  test('any flipped bit, signature included, is rejected', () => {
    everyFlip(encode(signedProposal, signed), (changed) => verifyProposal(decode(signedProposal, changed), context));
  });

  test.each<[keyof Proposal, Proposal]>([
    ['clusterId', { ...cluster.proposal, clusterId: new Uint8Array(32) }],
    ['proposer', { ...cluster.proposal, proposer: 'node-2' }],
    ['kind', { ...cluster.proposal, kind: 'other' }],
    ['walletId', { ...cluster.proposal, walletId: 'other' }],
    ['payload', { ...cluster.proposal, payload: new Uint8Array(50) }],
    ['createdAt', { ...cluster.proposal, createdAt: T0 + 1 }],
    ['expiresAt', { ...cluster.proposal, expiresAt: T0 + 30_001 }],
    ['nonce', { ...cluster.proposal, nonce: new Uint8Array(32) }],
  ])('another %s is another proposal', (_field, other) => {
    expect(proposalId(other)).not.toEqual(id);
  });

  test.each<[string, Partial<Proposal>, Partial<typeof context>, string]>([
    ['another cluster', {}, { clusterId: new Uint8Array(32) }, 'clusterid'],
    ['a stranger as proposer', {}, { roster: roster.only(['node-2', 'node-3']) }, 'proposer'],
    ['a proposal from the future', { createdAt: T0 + 65_001, expiresAt: T0 + 70_000 }, {}, 'createdat'],
    ['an expired proposal', {}, { now: T0 + 30_000 }, 'expiresat'],
  ])('%s is refused', (_name, edit, other, code) => {
    const made = signProposal(nodes[0]!, { ...cluster.proposal, ...edit });
    expect(() => verifyProposal(made, { ...context, ...other })).toThrow(refusal(`consensus.proposal_${code}`));
  });

  test('the clock may be off by a minute, and the last millisecond counts', () => {
    expect(() => verifyProposal(signed, { ...context, now: T0 - 60_000 })).not.toThrow();
    expect(() => verifyProposal(signed, { ...context, now: T0 + 29_999 })).not.toThrow();
  });

  test('the signature of another member does not do, and nobody proposes as somebody else', () => {
    const other = signProposal(nodes[1]!, { ...cluster.proposal, proposer: 'node-2' });
    expect(() => verifyProposal({ ...signed, signature: other.signature }, context)).toThrow(refusal('consensus.proposal_signature'));
    expect(() => signProposal(nodes[1]!, cluster.proposal)).toThrow(refusal('consensus.proposer'));
  });

  test.each<[string, Partial<Proposal>, RegExp]>([
    ['no kind', { kind: '' }, /kind: empty/],
    ['no lifetime', { expiresAt: T0 }, /expiresAt: 0 ms/],
    ['a negative lifetime', { expiresAt: T0 - 1 }, /expiresAt: -1 ms/],
    ['a lifetime above an hour', { expiresAt: T0 + 3_600_001 }, /expiresAt: 3600001 ms/],
    ['a proposer that is no node id', { proposer: 'Mallory!' }, /proposer: not a node id/],
  ])('with %s does not decode', (_name, edit, problem) => {
    expect(() => decode(proposal, encode(proposal, { ...cluster.proposal, ...edit }))).toThrow(problem);
  });

  test('a payload of 256 KiB fits, one byte more does not', () => {
    const big = (size: number) => encode(proposal, { ...cluster.proposal, payload: new Uint8Array(size) });
    expect(decode(proposal, big(262_144)).payload).toHaveLength(262_144);
    expect(() => big(262_145)).toThrow(RangeError);
    const good = encode(proposal, cluster.proposal);
    const lengthAt = 1 + 32 + (4 + 6) + (4 + 7) + (4 + 6);
    expect(new DataView(good.buffer).getUint32(lengthAt)).toBe(50);
    new DataView(good.buffer).setUint32(lengthAt, 262_145);
    expect(() => decode(proposal, good)).toThrow(/payload: 262145 bytes, at most 262144/);
  });
});

describe('vote', () => {
  const context = { proposal: id, clusterId, roster };
  const approve = cluster.vote(1, 'approve', { extension: Uint8Array.of(1, 2, 3), reason: 'fine' });

  test('comes back as it was, and verifies', () => {
    const again = decode(vote, encode(vote, approve));
    expect(again).toEqual(approve);
    expect(() => verifyVote(again, context)).not.toThrow();
  });

  test('any flipped bit is rejected', () => {
    everyFlip(encode(vote, approve), (changed) => verifyVote(decode(vote, changed), context));
  });

  test.each<[string, Partial<VoteBody>, string]>([
    ['value', { value: 'reject' }, 'signature'],
    ['reason', { reason: 'other' }, 'signature'],
    ['timestamp', { timestamp: T0 + 2_000 }, 'signature'],
    ['extension', { extension: Uint8Array.of(1, 2, 4) }, 'signature'],
    ['voter', { voter: 'node-3' }, 'signature'],
    ['voter outside', { voter: 'node-9' }, 'voter'],
    ['proposal', { proposal: new Uint8Array(32) }, 'proposal'],
  ])('a changed %s is refused', (_name, edit, problem) => {
    expect(() => verifyVote({ ...approve, ...edit }, context)).toThrow(expect.objectContaining({ problem, status: 403 }));
    expect(sameVote(approve, { ...approve, ...edit })).toBe(false);
  });

  test('a vote of one cluster means nothing in another, nor does a vote on another proposal', () => {
    const elsewhere = new Uint8Array(32);
    expect(() => verifyVote(approve, { ...context, clusterId: elsewhere })).toThrow(expect.objectContaining({ problem: 'signature' }));
    expect(() => verifyVote(approve, { ...context, proposal: elsewhere })).toThrow(expect.objectContaining({ problem: 'proposal' }));
  });

  test('the signature of a proposal is no vote: what is signed begins with its kind', () => {
    const { signature } = signProposal(nodes[0]!, cluster.proposal);
    expect(() => verifyVote({ ...cluster.vote(0, 'approve'), signature }, context)).toThrow(
      expect.objectContaining({ problem: 'signature' }),
    );
  });

  test('200 bytes of reason and an opening for each of 64 inputs fit, more does not', () => {
    const made = (reason: string, extension: number) =>
      encode(vote, cluster.vote(0, 'reject', { reason, extension: new Uint8Array(extension) }));
    expect(decode(vote, made('é'.repeat(100), 2112)).reason).toHaveLength(100);
    expect(() => made('é'.repeat(100) + 'x', 0)).toThrow(RangeError);
    expect(() => made('', 2113)).toThrow(RangeError);
  });

  test.each([
    ['unknown version', (b: Uint8Array) => b.with(0, 2), /version 2/],
    ['trailing byte', (b: Uint8Array) => concatBytes(b, Uint8Array.of(0)), /trailing/],
    ['truncated', (b: Uint8Array) => b.slice(0, -1), /truncated/],
    ['a third value', (b: Uint8Array) => b.with(1 + 32 + 4 + 6, 2), /value: not one of approve, reject/],
  ])('%s does not decode', (_name, edit, problem) => {
    expect(() => decode(vote, edit(encode(vote, approve)))).toThrow(problem);
  });
});

describe('quorum', () => {
  test('default, rejection and warning', () => {
    expect([defaultQuorum(4, 5), defaultQuorum(2, 5), defaultQuorum(2, 3), defaultQuorum(3, 5), defaultQuorum(2, 4)]).toEqual([
      4, 3, 2, 3, 3,
    ]);
    expect(rejectionQuorum(4, 5)).toBe(2);
    expect(quorumWarning(4, 5)).toBeUndefined();
    expect(quorumWarning(3, 5)).toMatch(/share only 1 node,.* 4 would tolerate/);
    expect(quorumWarning(3, 4)).toBeUndefined();
    expect(quorumWarning(2, 3)).toMatch(/3 would/);
  });

  test.each([[2, 5], [2, 4], [6, 5], [0, 3], [2.5, 3], [NaN, 3]])('%d of %d is refused', (quorum, n) => {
    expect(() => requireQuorum(quorum, n)).toThrow(refusal('consensus.quorum'));
  }); // prettier-ignore

  test('every default is accepted', () => {
    for (let n = 2; n <= 16; n++) for (let t = 2; t <= n; t++) expect(() => requireQuorum(defaultQuorum(t, n), n)).not.toThrow();
  });
});

describe('certificate', () => {
  const approvals = [3, 0, 2, 1].map((i) => cluster.vote(i, 'approve'));
  const good = certificateOf(id, approvals, roster);
  const verify = (certificate: QuorumCertificate, quorum = 4, p = cluster.proposal, r = roster, excluded?: ReadonlySet<string>) =>
    verifyCertificate(certificate, p, r, quorum, excluded && { excluded });

  test('of a quorum, or more, verifies after a trip over the wire', () => {
    expect(good.votes.map(({ voter }) => voter)).toEqual(['node-1', 'node-2', 'node-3', 'node-4']);
    const again = decode(quorumCertificate, encode(quorumCertificate, good));
    expect(() => verify(again)).not.toThrow();
    expect(() => verify(again, 3)).not.toThrow();
  });

  test('any flipped bit is rejected', () => {
    const small = testCluster(2);
    const certificate = certificateOf(proposalId(small.proposal), [0, 1].map((i) => small.vote(i, 'approve')), small.roster); // prettier-ignore
    everyFlip(encode(quorumCertificate, certificate), (changed) =>
      verifyCertificate(decode(quorumCertificate, changed), small.proposal, small.roster, 2),
    );
  });

  const [v1, v2, v3, v4] = good.votes as [(typeof approvals)[0], (typeof approvals)[0], (typeof approvals)[0], (typeof approvals)[0]];
  const stranger = LocalIdentity.generate('node-9');
  const { signature: _signature, voter: _voter, ...answer } = v1;
  test.each<[string, QuorumCertificate['votes'], string]>([
    ['no votes', [], 'certificate_votes'],
    ['one approval too few', [v1, v2, v3], 'certificate_votes'],
    ['one voter twice', [v1, v2, v3, v3], 'certificate_votes'],
    ['one voter twice, apart', [v1, v2, v3, v1], 'certificate_votes'],
    ['votes out of order', [v2, v1, v3, v4], 'certificate_votes'],
    ['a rejection among them', [v1, v2, v3, cluster.vote(3, 'reject')], 'certificate_votes'],
    ['a rejection on top of a quorum', [...good.votes, cluster.vote(4, 'reject')], 'certificate_votes'],
    ['a rejection relabelled', [v1, v2, v3, { ...cluster.vote(3, 'reject'), value: 'approve' }], 'vote_signature'],
    ['a vote in another’s name', [v1, v2, v3, { ...v4, voter: 'node-5' }], 'vote_signature'],
    ['the vote of a stranger', [v1, v2, v3, signVote(stranger, clusterId, answer)], 'vote_voter'],
    ['a vote on another proposal', [v1, v2, v3, cluster.vote(3, 'approve', { proposal: new Uint8Array(32) })], 'vote_proposal'],
    ['a vote for another cluster', [v1, v2, v3, signVote(nodes[3]!, new Uint8Array(32), answer)], 'vote_signature'],
    ['a vote after the expiry', [v1, v2, v3, cluster.vote(3, 'approve', { timestamp: T0 + 30_000 })], 'vote_timestamp'],
    ['a vote long before the proposal', [v1, v2, v3, cluster.vote(3, 'approve', { timestamp: T0 - 60_001 })], 'vote_timestamp'],
  ])('with %s is refused', (_name, votes, code) => {
    expect(() => verify({ proposal: id, votes })).toThrow(refusal(`consensus.${code}`));
  });

  test('is for exactly its proposal', () => {
    const other = { ...cluster.proposal, payload: new Uint8Array(50) };
    expect(() => verify(good, 4, other)).toThrow(refusal('consensus.certificate_proposal'));
    // relabelled as a certificate of the other, its votes give it away
    expect(() => verify({ ...good, proposal: proposalId(other) }, 4, other)).toThrow(refusal('consensus.vote_proposal'));
  });

  test('does not count members outside the committee, nor excluded ones', () => {
    expect(() => verify(good, 4, cluster.proposal, roster.only(['node-1', 'node-2', 'node-3', 'node-5']))).toThrow(
      refusal('consensus.vote_voter'),
    );
    expect(() => verify(good, 4, cluster.proposal, roster, new Set(['node-2']))).toThrow(refusal('consensus.certificate_votes'));
    expect(() => verify(good, 4, cluster.proposal, roster, new Set(['node-5']))).not.toThrow();
  });

  test('is never checked against a quorum that two sides could reach', () => {
    expect(() => verify(good, 2)).toThrow(refusal('consensus.quorum'));
  });
});

describe('evidence of a double vote', () => {
  const context = { roster, clusterId };
  const [yes, no] = [cluster.vote(2, 'approve'), cluster.vote(2, 'reject')];
  const evidence = (...votes: (typeof yes)[]) => ({ node: 'node-3', proposal: id, evidence: votes.map((v) => encode(vote, v)) });

  test('convinces whoever was not there', () => {
    expect(provesDoubleVote(evidence(yes, no), context)).toBe(true);
    expect(provesDoubleVote(evidence(no, yes), context)).toBe(true);
  });

  test.each([
    ['one vote', evidence(yes)],
    ['the same vote twice', evidence(yes, yes)],
    ['three votes', evidence(yes, no, no)],
    ['votes of two nodes', evidence(yes, cluster.vote(1, 'reject'))],
    ['votes of another node', { ...evidence(yes, no), node: 'node-1' }],
    ['a vote that it did not sign', evidence(yes, { ...yes, value: 'reject' })],
    ['a vote on another proposal', evidence(yes, cluster.vote(2, 'reject', { proposal: new Uint8Array(32) }))],
  ])('%s shows nothing', (_name, claim) => {
    expect(provesDoubleVote(claim, context)).toBe(false);
  });
});
