/** What a vote is about. The payload is opaque here: the room that proposes it decodes and judges it. */
import { bytes, bytesUpTo, DecodeError, encode, map, safeInteger, struct, text, versioned, type Codec } from '../base/codec.ts';
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { Transcript } from '../protocol/transcript.ts';
import { nodeId, SIGNATURE_BYTES, type NodeIdentity, type Roster } from './identity.ts';

/** 32 bytes that name a proposal: nothing else about it needs to be compared. */
export type ProposalId = Uint8Array;

export interface Proposal {
  readonly version: 1;
  /** 32 bytes. A vote of one cluster means nothing in another. */
  readonly clusterId: Uint8Array;
  readonly proposer: string;
  /** Which kind of decision, for whoever decodes the payload: 1 to 32 bytes. */
  readonly kind: string;
  /** At most 64 bytes; empty for what concerns no wallet. */
  readonly walletId: string;
  /** At most {@link MAX_PAYLOAD_BYTES}. */
  readonly payload: Uint8Array;
  /** Milliseconds since the epoch, by the proposer's clock. */
  readonly createdAt: number;
  /** Nobody votes from then on. At most {@link MAX_LIFETIME_MS} after creation. */
  readonly expiresAt: number;
  /** 32 random bytes: two equal intentions are two proposals. */
  readonly nonce: Uint8Array;
}

export const MAX_PAYLOAD_BYTES = 256 * 1024;
export const MAX_LIFETIME_MS = 60 * 60_000;
/** How far the clocks of honest nodes may be apart. */
export const CLOCK_WINDOW_MS = 60_000;

export const proposal: Codec<Proposal> = map(
  versioned(
    1,
    struct({
      clusterId: bytes(32),
      proposer: nodeId,
      kind: text(32),
      walletId: text(64),
      payload: bytesUpTo(MAX_PAYLOAD_BYTES),
      createdAt: safeInteger,
      expiresAt: safeInteger,
      nonce: bytes(32),
    }),
  ),
  (fields) => {
    if (fields.kind === '') throw new DecodeError('kind', 'empty');
    const lifetime = fields.expiresAt - fields.createdAt;
    if (lifetime <= 0 || lifetime > MAX_LIFETIME_MS)
      throw new DecodeError('expiresAt', `${lifetime} ms after createdAt, 1 to ${MAX_LIFETIME_MS} expected`);
    return { version: 1 as const, ...fields };
  },
  (value) => value,
);

export interface SignedProposal {
  readonly proposal: Proposal;
  /** Of the proposer. */
  readonly signature: Uint8Array;
}
export const signedProposal: Codec<SignedProposal> = struct({ proposal, signature: bytes(SIGNATURE_BYTES) });

/** SHA-256 of the canonical bytes under the tag of proposals. */
export const proposalId = (value: Proposal): ProposalId => new Transcript('proposal/v1').bytes(encode(proposal, value)).digest();

const signedBytes = (value: Proposal): Uint8Array =>
  new Transcript('proposal-signature/v1').bytes(value.clusterId).bytes(proposalId(value)).preimage();

/** @throws Refusal when the proposal names another proposer. */
export function signProposal(identity: NodeIdentity, value: Proposal): SignedProposal {
  if (identity.nodeId !== value.proposer) {
    throw new Refusal(
      'consensus.proposer',
      'proposal.proposer',
      `${identity.nodeId} cannot propose as ${value.proposer}`,
      'propose under the own name',
    );
  }
  return { proposal: value, signature: identity.sign(signedBytes(value)) };
}

/**
 * That the proposal is its proposer's, for this cluster, and open for votes at `now`. What it asks for is not judged.
 * @throws Refusal naming the field that is wrong.
 */
export function verifyProposal(
  { proposal: value, signature }: SignedProposal,
  context: { roster: Roster; clusterId: Uint8Array; now: number },
): void {
  const refuse = (field: string, message: string, remedy: string): never => {
    throw new Refusal(`consensus.proposal_${field.toLowerCase()}`, `proposal.${field}`, message, remedy, 403);
  };
  const { roster, clusterId, now } = context;
  if (!equalBytes(value.clusterId, clusterId))
    refuse('clusterId', 'the proposal is for another cluster', 'propose to the nodes of its own cluster');
  if (!roster.has(value.proposer)) refuse('proposer', `${value.proposer} is not a member`, 'let a member of the cluster propose');
  if (!roster.verify(value.proposer, signedBytes(value), signature)) {
    refuse('signature', `the signature is not ${value.proposer}’s over this proposal`, 'send the proposal as its proposer signed it');
  }
  if (value.createdAt > now + CLOCK_WINDOW_MS) refuse('createdAt', 'the proposal is from the future', 'set the clocks of the nodes by NTP');
  if (now >= value.expiresAt) refuse('expiresAt', 'the proposal has expired', 'propose again');
}
