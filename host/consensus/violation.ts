/** What a node did wrong in a vote, and what shows it. */
import { decode } from '../base/codec.ts';
import { hex } from '../base/bytes.ts';
import type { Roster } from './identity.ts';
import type { ProposalId } from './proposal.ts';
import { sameVote, verifyVote, vote, VoteRejected } from './vote.ts';

export const VIOLATION_TYPES = ['double_vote', 'invalid_signature', 'malformed_vote'] as const;

/**
 * `double_vote` is proven by its evidence: two signed votes. The others are what this node saw on an authenticated link, and name the node at the
 * other end of that link, never the node whose name stands in the vote: anybody can write a vote in somebody else's name.
 */
export interface Violation {
  readonly type: (typeof VIOLATION_TYPES)[number];
  readonly node: string;
  readonly proposal: ProposalId;
  readonly detail: string;
  /** Encoded votes, as received. */
  readonly evidence: readonly Uint8Array[];
}

/**
 * Whether `evidence` shows that `node` voted twice, for whoever was not there: two valid votes of that node on one proposal that differ.
 * The order does not matter.
 * @throws DecodeError when the evidence is not two votes.
 */
export function provesDoubleVote(
  violation: Pick<Violation, 'node' | 'proposal' | 'evidence'>,
  context: { roster: Roster; clusterId: Uint8Array },
): boolean {
  const votes = violation.evidence.map((bytes) => decode(vote, bytes));
  const [first, second] = votes;
  if (first === undefined || second === undefined || votes.length !== 2) return false;
  try {
    for (const value of [first, second]) verifyVote(value, { ...context, proposal: violation.proposal });
  } catch (error) {
    if (error instanceof VoteRejected) return false;
    throw error;
  }
  return first.voter === violation.node && second.voter === violation.node && !sameVote(first, second);
}

/** One line for logs and records. */
export const describe = ({ type, node, proposal, detail }: Violation): string =>
  `${type} by ${node} on ${hex(proposal).slice(0, 16)}: ${detail}`;
