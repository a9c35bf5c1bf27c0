/**
 * Refresh and resharing for programs that embed them: the same key, CGGMP24 or FROST, with new shares for the same parties, or for others and another
 * threshold. When a run may begin, when old shares are destroyed and what a crash means is the caller's business: cggmp24.md §6.10 has the rules,
 * docs/library.md the short of them.
 */
import * as protocol from '../resharing/reshare.ts';
import * as plans from '../resharing/plan.ts';
import * as statements from '../resharing/statements.ts';
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { productionParameters as parameters } from '../proofs/parameters.ts';

export { checkPlan, participants, plan as planCodec, planHash, type Held, type Plan, type Ticket } from '../resharing/plan.ts';
export { ofEcdsa, ofFrost, toEcdsa, toFrost, type SharedKey } from '../resharing/shared-key.ts';
export { certificate as certificateCodec, planQuorum, type Certificate, type Statement } from '../resharing/statements.ts';
export type { NewShare } from '../resharing/reshare.ts';
export type ReshareOptions = Omit<protocol.ReshareOptions, 'parameters'>;

/** The sid of the run of a ticket. */
export const runId = (ticket: plans.Ticket): Uint8Array => plans.runId(ticket, parameters);

/**
 * What an old member signs with its identity to vote for this try of this plan: for one of an epoch, durably, and for no other. The plan is compared with the
 * share and the committee that it holds. @throws Refusal naming what differs
 */
export function approvalMessage(ticket: plans.Ticket, held: plans.Held): Uint8Array {
  plans.checkHeld(ticket.plan, held);
  return statements.approvalMessage(runId(ticket), ticket);
}

/**
 * One run among {@link participants}. Resolves with the certificate, at everybody, when all new members hold their shares durably.
 * @throws Refusal when plan, vote, key or session do not fit; Fault naming the culprits, after which the old epoch stays in force.
 */
export const reshare = (options: ReshareOptions): Promise<statements.Certificate> => protocol.reshare({ ...options, parameters });

/** What a certificate is compared with, beside its own signatures: the share and committee that an old member holds, or the try that a new one prepared for. */
export type Known = plans.Held | { readonly ticket: plans.Ticket };

/**
 * Whether a certificate holds, and is about this party's key: a plan names those who vote on it, so signatures alone would let anybody make one up. Returns the
 * sid of its run. @throws Refusal naming what is missing or wrong
 */
export function checkCertificate(value: statements.Certificate, known: Known): Uint8Array {
  const sid = statements.checkCertificate(value, parameters);
  if (!('ticket' in known)) plans.checkHeld(value.ticket.plan, known);
  else if (!equalBytes(runId(known.ticket), sid))
    throw new Refusal(
      'reshare_certificate',
      'ticket',
      'the certificate is of another try',
      'show the one of the try that was prepared',
      403,
    );
  return sid;
}
