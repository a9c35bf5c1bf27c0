/** Nodes, a proposal and a settable clock for the tests of this room. */
import { LocalIdentity, Roster } from '../identity.ts';
import { proposalId, type Proposal } from '../proposal.ts';
import { signVote, type Vote, type VoteBody } from '../vote.ts';

export interface TestCluster {
  readonly clusterId: Uint8Array;
  readonly nodes: readonly LocalIdentity[];
  readonly roster: Roster;
  readonly proposal: Proposal;
  /** Vote of node `i` on the proposal, one second after its creation. */
  vote(i: number, value: VoteBody['value'], edit?: Partial<VoteBody>): Vote;
}

export const T0 = 1_750_000_000_000;

export function testCluster(n: number): TestCluster {
  const nodes = Array.from({ length: n }, (_, i) => LocalIdentity.generate(`node-${i + 1}`));
  const clusterId = new Uint8Array(32).fill(0xc1);
  const proposal: Proposal = {
    version: 1,
    clusterId,
    proposer: 'node-1',
    kind: 'payment',
    walletId: 'wallet',
    payload: Uint8Array.from({ length: 50 }, (_, i) => i),
    createdAt: T0,
    expiresAt: T0 + 30_000,
    nonce: new Uint8Array(32).fill(7),
  };
  return {
    clusterId,
    nodes,
    roster: new Roster(nodes),
    proposal,
    vote: (i, value, edit = {}) =>
      signVote(nodes[i]!, clusterId, {
        proposal: proposalId(proposal),
        value,
        reason: value === 'approve' ? '' : 'fee too high',
        timestamp: T0 + 1_000,
        extension: new Uint8Array(),
        ...edit,
      }),
  };
}
