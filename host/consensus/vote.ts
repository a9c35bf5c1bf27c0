/** A node's signed answer to one proposal. */
import { bytes, bytesUpTo, encode, oneOf, safeInteger, struct, text, versioned, type Codec } from '../base/codec.ts';
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { Transcript } from '../protocol/transcript.ts';
import { nodeId, SIGNATURE_BYTES, type NodeIdentity, type Roster } from './identity.ts';
import { CLOCK_WINDOW_MS, type Proposal, type ProposalId } from './proposal.ts';

export const VOTE_VALUES = ['approve', 'reject'] as const;
export type VoteValue = (typeof VOTE_VALUES)[number];

export const MAX_REASON_BYTES = 200;
/** An opening of 32 bytes for each of 64 inputs, and room for counts. */
export const MAX_EXTENSION_BYTES = 2112;

/** What is signed. A node votes once per proposal: it stores its vote before it sends it, and repeats the stored one ever after. */
export interface VoteBody {
  readonly proposal: ProposalId;
  readonly voter: string;
  readonly value: VoteValue;
  /** For people; at most {@link MAX_REASON_BYTES}. Empty for an approval. */
  readonly reason: string;
  /** Milliseconds since the epoch, by the voter's clock. */
  readonly timestamp: number;
  /**
   * What else the voter says for whoever knows the kind of proposal: with an approval the openings of presignatures that it commits to this proposal with, with
   * a rejection what about it could be otherwise. May be empty; at most {@link MAX_EXTENSION_BYTES}.
   */
  readonly extension: Uint8Array;
}
export interface Vote extends VoteBody {
  readonly signature: Uint8Array;
}

const body = {
  proposal: bytes(32),
  voter: nodeId,
  value: oneOf(VOTE_VALUES),
  reason: text(MAX_REASON_BYTES),
  timestamp: safeInteger,
  extension: bytesUpTo(MAX_EXTENSION_BYTES),
};
const voteBody: Codec<VoteBody> = versioned(1, struct(body));
export const vote: Codec<Vote> = versioned(1, struct({ ...body, signature: bytes(SIGNATURE_BYTES) }));

const signedBytes = (clusterId: Uint8Array, value: VoteBody): Uint8Array =>
  new Transcript('vote/v1').bytes(clusterId).bytes(encode(voteBody, value)).preimage();

/** Votes as `identity`; `clusterId` has 32 bytes. */
export function signVote(identity: NodeIdentity, clusterId: Uint8Array, answer: Omit<VoteBody, 'voter'>): Vote {
  const value: VoteBody = { ...answer, voter: identity.nodeId };
  return { ...value, signature: identity.sign(signedBytes(clusterId, value)) };
}

/** Whether two votes say the same; the signature is not part of what is said. */
export const sameVote = (a: VoteBody, b: VoteBody): boolean => equalBytes(encode(voteBody, a), encode(voteBody, b));

/** Which check a vote failed. */
export type VoteProblem = 'proposal' | 'voter' | 'signature' | 'timestamp';

export class VoteRejected extends Refusal {
  constructor(
    readonly problem: VoteProblem,
    message: string,
    remedy: string,
  ) {
    super(`consensus.vote_${problem}`, `vote.${problem}`, message, remedy, 403);
  }
}

/**
 * That the vote is its voter's, the voter is a member, and the vote is about exactly this proposal of this cluster.
 * @throws VoteRejected naming the first check that failed.
 */
export function verifyVote(value: Vote, context: { proposal: ProposalId; clusterId: Uint8Array; roster: Roster }): void {
  const { proposal, clusterId, roster } = context;
  if (!equalBytes(value.proposal, proposal))
    throw new VoteRejected('proposal', 'the vote is about another proposal', 'send votes with their own proposal');
  if (!roster.has(value.voter))
    throw new VoteRejected('voter', `${value.voter} has no vote here`, 'let only members of the committee vote');
  if (!roster.verify(value.voter, signedBytes(clusterId, value), value.signature)) {
    throw new VoteRejected('signature', `the signature is not ${value.voter}’s over this vote`, 'send the vote as its voter signed it');
  }
}

/**
 * That the vote was made while the proposal was open, by the clocks of voter and proposer, give or take {@link CLOCK_WINDOW_MS} at the start.
 * @throws VoteRejected
 */
export function requireVotedInTime(value: Vote, proposal: Proposal): void {
  if (value.timestamp < proposal.createdAt - CLOCK_WINDOW_MS || value.timestamp >= proposal.expiresAt) {
    throw new VoteRejected('timestamp', `${value.voter} voted outside the lifetime of the proposal`, 'set the clocks of the nodes by NTP');
  }
}
