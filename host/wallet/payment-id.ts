/**
 * The id under which every node records a payment: a UUID that follows from the proposal, of version 8 (RFC 9562 §5.8). An id that the proposer only chose,
 * another member could use for a proposal of its own as soon as it has seen it; where that was judged first, the true one could not be recorded, and was not
 * voted on. Nodes of earlier releases choose ids of version 4, and are voted for as before.
 */
import { hex } from '../base/bytes.ts';
import type { Proposal } from '../consensus/proposal.ts';
import { Transcript } from '../protocol/transcript.ts';

type Named = Pick<Proposal, 'clusterId' | 'proposer' | 'nonce'>;

/** One spelling: PostgreSQL would read others as the same id. */
const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[48][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** SHA-256(T("payment-id/v1"), cluster, proposer, nonce), cut to 122 bits. Nobody proposes under another's name, so no two nodes have one id. */
export function paymentIdOf({ clusterId, proposer, nonce }: Named): string {
  const id = new Transcript('payment-id/v1').bytes(clusterId).text(proposer).bytes(nonce).digest().slice(0, 16);
  id[6] = (id[6]! & 0x0f) | 0x80;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return hex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Whether a proposal may give its payment this id. */
export const mayName = (proposal: Named, txId: string): boolean =>
  CANONICAL.test(txId) && (!isDerived(txId) || txId === paymentIdOf(proposal));

const isDerived = (txId: string): boolean => txId[14] === '8';
