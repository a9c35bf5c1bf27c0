/** The proof that a quorum approved: what a signer demands before it signs. */
import { bytes, list, struct, versioned, type Codec } from '../base/codec.ts';
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Roster } from './identity.ts';
import { proposalId, type Proposal, type ProposalId } from './proposal.ts';
import { requireQuorum } from './quorum.ts';
import { requireVotedInTime, verifyVote, vote, type Vote } from './vote.ts';

export interface QuorumCertificate {
  readonly proposal: ProposalId;
  /** Approvals, in roster order, each voter once. */
  readonly votes: readonly Vote[];
}

const MAX_VOTES = 64;
export const quorumCertificate: Codec<QuorumCertificate> = versioned(
  1,
  struct({ proposal: bytes(32), votes: list(vote, { max: MAX_VOTES }) }),
);

/**
 * That at least `quorum` different members of `roster` validly approved exactly this proposal, in its lifetime. Every vote in the certificate must
 * be good; one bad vote spoils it.
 *
 * `excluded` are members whose votes do not count, such as nodes that were seen to vote twice. `verified` says of which votes the caller has verified
 * the signature on this proposal already.
 *
 * @throws Refusal naming the check that failed: whoever asks for a signature without a valid certificate gets none.
 */
export function verifyCertificate(
  certificate: QuorumCertificate,
  proposal: Proposal,
  roster: Roster,
  quorum: number,
  { excluded = new Set(), verified = () => false }: { excluded?: ReadonlySet<string>; verified?: (vote: Vote) => boolean } = {},
): void {
  const refuse = (problem: string, message: string): never => {
    throw new Refusal(
      `consensus.certificate_${problem}`,
      `certificate.${problem}`,
      message,
      'present the votes of a quorum on this proposal',
      403,
    );
  };
  requireQuorum(quorum, roster.size);
  const id = proposalId(proposal);
  if (!equalBytes(certificate.proposal, id)) refuse('proposal', 'the certificate is for another proposal');
  let last = -1;
  let approvals = 0;
  for (const value of certificate.votes) {
    if (!verified(value)) verifyVote(value, { proposal: id, clusterId: proposal.clusterId, roster });
    if (value.value !== 'approve') refuse('votes', `${value.voter} did not approve`);
    requireVotedInTime(value, proposal);
    // Roster order makes the form canonical, and every voter different.
    const index = roster.indexOf(value.voter);
    if (index <= last) refuse('votes', `the vote of ${value.voter} is repeated or out of order`);
    last = index;
    if (!excluded.has(value.voter)) approvals++;
  }
  if (approvals < quorum) refuse('votes', `${approvals} approvals, ${quorum} needed`);
}

/** The certificate of the given approvals, in roster order. The caller has verified them. */
export const certificateOf = (proposal: ProposalId, approvals: readonly Vote[], roster: Roster): QuorumCertificate => ({
  proposal,
  votes: approvals.toSorted((a, b) => roster.indexOf(a.voter) - roster.indexOf(b.voter)),
});
