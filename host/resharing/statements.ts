/**
 * What nodes sign about a plan, beside the messages of its run: approvals, acknowledgements, refusals, and how far the switch has come at them
 * (cggmp24.md §6.10). Each is a signature over a few fields, so whoever was not there can check it, and keep it.
 */
import { bytes, list, struct, u32, versioned, type Codec } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import { signedBy } from '../consensus/identity.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { Transcript } from '../protocol/transcript.ts';
import { planHash, runId, ticket, type Ticket } from './plan.ts';

/** Signs as this node. */
export type Sign = (message: Uint8Array) => Uint8Array;

const preimage = (tag: string, sid: Uint8Array, fields: (hash: Transcript) => void = () => undefined): Uint8Array => {
  const hash = new Transcript(tag).bytes(sid);
  fields(hash);
  return hash.preimage();
};

/** An old member votes for this try of this plan, and for no other of the same epoch. */
export const approvalMessage = (sid: Uint8Array, { plan }: Ticket): Uint8Array =>
  preimage('reshare-approve/v1', sid, (hash) => void hash.bytes(planHash(plan)));
/** Member j of O* holds its new share durably: a signature on (reshare-ack, sid, E*, D). */
export const ackMessage = (sid: Uint8Array, nextEpoch: number, digest: Uint8Array): Uint8Array =>
  preimage('reshare-ack/v1', sid, (hash) => void hash.u32(nextEpoch).bytes(digest));
/** Member k of O* has not acknowledged this sid, and never will. */
export const refusalMessage = (sid: Uint8Array): Uint8Array => preimage('reshare-refuse/v1', sid);
/** Member j of O* has stored the certificate. */
export const committedMessage = (sid: Uint8Array, nextEpoch: number): Uint8Array =>
  preimage('reshare-committed/v1', sid, (hash) => void hash.u32(nextEpoch));
/** Member i of O has destroyed its share of the epoch that the plan ends. */
export const erasedMessage = (sid: Uint8Array): Uint8Array => preimage('reshare-erased/v1', sid);

/** One of the above by the node with this index: of O for approvals and erasures, of O* for the others. */
export interface Statement {
  readonly index: number;
  readonly signature: Uint8Array;
}
export const statement: Codec<Statement> = struct({ index: u32, signature: bytes(64) });
const statements = list(statement, { max: MAX_PARTIES });

export const stated = (keys: readonly Uint8Array[], message: Uint8Array, { index, signature }: Statement): boolean =>
  index < keys.length && signedBy(keys[index]!, message, signature);

/** f tolerated faulty voters of n, and Q = ⌈(n + f + 1)/2⌉: two quorums share an honest member. */
export const tolerated = (n: number): number => Math.floor((n - 1) / 3);
export const planQuorum = (n: number, f = tolerated(n)): number => Math.ceil((n + f + 1) / 2);

/** Cert: what was voted on, by whom, and all n* acknowledgements of one digest. It alone moves a key to its next epoch. */
export interface Certificate {
  readonly ticket: Ticket;
  /** By at least Q members of O, ascending. */
  readonly approvals: readonly Statement[];
  /** D = SHA-256(T("reshare-out/v1"), …): every public share of the new epoch is in it. */
  readonly digest: Uint8Array;
  /** By all members of O*, in their order. */
  readonly acks: readonly Uint8Array[];
}
export const certificate: Codec<Certificate> = versioned(
  1,
  struct({ ticket, approvals: statements, digest: bytes(32), acks: list(bytes(64), { max: MAX_PARTIES }) }),
) as Codec<Certificate>;

const refuse = (field: string, message: string): never => {
  throw new Refusal('reshare_certificate', field, message, 'present the statements as they were signed', 403);
};

/** That Q different members of O approved exactly this try. @throws Refusal */
export function checkApprovals(value: Ticket, approvals: readonly Statement[], sid: Uint8Array): void {
  const { oldMembers } = value.plan;
  const quorum = planQuorum(oldMembers.length);
  if (approvals.some(({ index }, k) => k > 0 && index <= approvals[k - 1]!.index))
    refuse('approvals', 'approvals are repeated or out of order');
  const message = approvalMessage(sid, value);
  for (const approval of approvals)
    if (!stated(oldMembers, message, approval)) refuse('approvals', `approval ${approval.index} is not valid`);
  if (approvals.length < quorum) refuse('approvals', `${approvals.length} approvals, ${quorum} needed`);
}

/** @throws Refusal naming what is missing or wrong. Returns the sid. */
export function checkCertificate(value: Certificate, parameters: Parameters): Uint8Array {
  const sid = runId(value.ticket, parameters);
  checkApprovals(value.ticket, value.approvals, sid);
  const { newMembers, nextEpoch } = value.ticket.plan;
  if (value.acks.length !== newMembers.length) refuse('acks', `${value.acks.length} acknowledgements, ${newMembers.length} needed`);
  const message = ackMessage(sid, nextEpoch, value.digest);
  for (const [index, signature] of value.acks.entries())
    if (!stated(newMembers, message, { index, signature })) refuse('acks', `acknowledgement ${index} is not valid`);
  return sid;
}
