/**
 * Counts the votes on one proposal. The result depends on the set of votes that arrived in time, not on their order, so nodes that saw the same
 * votes decide the same.
 */
import { equalBytes } from '../base/bytes.ts';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { certificateOf, type QuorumCertificate } from './certificate.ts';
import type { Roster } from './identity.ts';
import { CLOCK_WINDOW_MS, proposalId, type Proposal, type ProposalId } from './proposal.ts';
import { rejectionQuorum, requireQuorum } from './quorum.ts';
import type { Violation } from './violation.ts';
import { requireVotedInTime, sameVote, verifyVote, vote, VoteRejected, type Vote } from './vote.ts';

/**
 * `impossible`: so many nodes voted twice that no quorum is left, though too few rejected. Approval and rejection need votes that arrived before the
 * deadline; whichever of them is reached stays the result after it.
 */
export type BallotResult = 'pending' | 'approved' | 'rejected' | 'impossible' | 'expired';

export type Receipt =
  | { readonly outcome: 'counted' }
  /** The same vote again. */
  | { readonly outcome: 'duplicate' }
  /** A valid vote after the deadline, or far off the clock: kept for the record, not counted. */
  | { readonly outcome: 'late' }
  /** A further vote of a node whose votes no longer count. */
  | { readonly outcome: 'excluded' }
  /** A check failed. A violation when it shows that the sender misbehaved. */
  | { readonly outcome: 'refused'; readonly reason: string; readonly violation?: Violation }
  /** A second, different vote: neither counts. */
  | { readonly outcome: 'double_vote'; readonly violation: Violation };

export interface RecordedVote {
  readonly vote: Vote;
  readonly counted: boolean;
}

export class Ballot {
  readonly id: ProposalId;
  readonly quorum: number;
  readonly #proposal: Proposal;
  readonly #roster: Roster;
  readonly #clock: () => number;
  readonly #deadline: number;
  /** The first vote of each node, whether it was in time. */
  readonly #votes = new Map<string, { vote: Vote; inTime: boolean }>();
  readonly #violations = new Map<string, Violation>();

  /**
   * `clock` and `deadline` are in milliseconds since the epoch; the deadline is the expiry of the proposal unless given, and never after it.
   * @throws Refusal for a quorum that does not fit the roster.
   */
  constructor(options: { proposal: Proposal; roster: Roster; quorum: number; clock: () => number; deadline?: number }) {
    const { proposal, roster, quorum, clock, deadline = proposal.expiresAt } = options;
    requireQuorum(quorum, roster.size);
    this.id = proposalId(proposal);
    this.quorum = quorum;
    this.#proposal = proposal;
    this.#roster = roster;
    this.#clock = clock;
    this.#deadline = Math.min(deadline, proposal.expiresAt);
  }

  /** Takes a vote in its encoded form from the node at the other end of a link (own votes: the own name). */
  receive(encoded: Uint8Array, from: string): Receipt {
    let value: Vote;
    try {
      value = decode(vote, encoded);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // The raw bytes are kept up to the size of the largest vote.
      return this.#refuse('malformed_vote', from, error.message, encoded.slice(0, MAX_EVIDENCE_BYTES));
    }
    return this.add(value, from);
  }

  /** Takes a decoded vote that came from `from`, by default from its voter. */
  add(value: Vote, from: string = value.voter): Receipt {
    if (this.holds(value)) return { outcome: 'duplicate' };
    try {
      verifyVote(value, { proposal: this.id, clusterId: this.#proposal.clusterId, roster: this.#roster });
    } catch (error) {
      if (!(error instanceof VoteRejected)) throw error;
      // Honest nodes pass on only what they have verified, so a bad signature shows that the sender misbehaved. A vote on another proposal or of a
      // node that has no vote here may come from a node that knows another committee.
      if (error.problem === 'signature') return this.#refuse('invalid_signature', from, error.message, encode(vote, value));
      return { outcome: 'refused', reason: error.message };
    }

    const { voter } = value;
    const first = this.#votes.get(voter);
    if (first !== undefined && sameVote(first.vote, value)) return { outcome: 'duplicate' };
    if (this.#violations.has(voter)) return { outcome: 'excluded' };
    if (first !== undefined) {
      const detail = first.vote.value === value.value ? `two different votes to ${value.value}` : 'one vote to approve and one to reject';
      const violation: Violation = {
        type: 'double_vote',
        node: voter,
        proposal: this.id,
        detail,
        evidence: [encode(vote, first.vote), encode(vote, value)],
      };
      this.#violations.set(voter, violation);
      return { outcome: 'double_vote', violation };
    }

    const inTime = this.#inTime(value);
    this.#votes.set(voter, { vote: value, inTime });
    return { outcome: inTime ? 'counted' : 'late' };
  }

  /** Whether this very vote, signature included, was verified here before. */
  holds(value: Vote): boolean {
    const known = this.#votes.get(value.voter)?.vote;
    return known !== undefined && sameVote(known, value) && equalBytes(known.signature, value.signature);
  }

  get result(): BallotResult {
    const n = this.#roster.size;
    const [approvals, rejections] = [this.#counted('approve').length, this.#counted('reject').length];
    if (approvals >= this.quorum) return 'approved';
    if (rejections >= rejectionQuorum(this.quorum, n)) return 'rejected';
    if (n - rejections - this.#violations.size < this.quorum) return 'impossible';
    return this.#clock() >= this.#deadline ? 'expired' : 'pending';
  }

  /** All counted approvals, once they are a quorum. */
  get certificate(): QuorumCertificate | undefined {
    return this.result === 'approved' ? certificateOf(this.id, this.#counted('approve'), this.#roster) : undefined;
  }

  /** The first vote of each node, late ones too, in roster order. */
  get votes(): readonly RecordedVote[] {
    return this.#roster.nodes.flatMap((node) => {
      const entry = this.#votes.get(node);
      return entry === undefined ? [] : [{ vote: entry.vote, counted: entry.inTime && !this.#violations.has(node) }];
    });
  }

  /** Nodes that voted twice, with both votes. */
  get doubleVotes(): readonly Violation[] {
    return [...this.#violations.values()];
  }

  /** Nodes that have not voted, in roster order. Silence is no offence. */
  get silent(): readonly string[] {
    return this.#roster.nodes.filter((node) => !this.#votes.has(node));
  }

  /** Nodes that voted against the result. An observation, no offence: a node may have a stricter policy. */
  get minority(): readonly string[] {
    const { result } = this;
    if (result !== 'approved' && result !== 'rejected') return [];
    return this.#counted(result === 'approved' ? 'reject' : 'approve').map(({ voter }) => voter);
  }

  #counted(value: Vote['value']): Vote[] {
    return this.votes.filter((entry) => entry.counted && entry.vote.value === value).map((entry) => entry.vote);
  }

  #inTime(value: Vote): boolean {
    const now = this.#clock();
    if (now >= this.#deadline || Math.abs(now - value.timestamp) > CLOCK_WINDOW_MS) return false;
    try {
      requireVotedInTime(value, this.#proposal);
      return true;
    } catch (error) {
      if (!(error instanceof VoteRejected)) throw error;
      return false;
    }
  }

  #refuse(type: Violation['type'], node: string, detail: string, evidence: Uint8Array): Receipt {
    return { outcome: 'refused', reason: detail, violation: { type, node, proposal: this.id, detail, evidence: [evidence] } };
  }
}

/** Above the largest encoded vote. */
const MAX_EVIDENCE_BYTES = 4096;
