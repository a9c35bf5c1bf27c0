/**
 * Refresh and resharing for programs that embed them: the same key, CGGMP24 or FROST, with new shares for the same parties, or for others and another
 * threshold. When a run may begin, when old shares are destroyed and what a crash means is the caller's business: cggmp24.md §6.10 has the rules,
 * docs/library.md the short of them.
 */
import * as protocol from '../resharing/reshare.ts';
import * as plans from '../resharing/plan.ts';
import * as statements from '../resharing/statements.ts';
import { productionParameters as parameters } from '../proofs/parameters.ts';

export { checkHeld, checkPlan, participants, plan as planCodec, planHash, type Held, type Plan, type Ticket } from '../resharing/plan.ts';
export { ofEcdsa, ofFrost, toEcdsa, toFrost, type SharedKey } from '../resharing/shared-key.ts';
export { certificate as certificateCodec, planQuorum, type Certificate, type Statement } from '../resharing/statements.ts';
export type { NewShare } from '../resharing/reshare.ts';
export type ReshareOptions = Omit<protocol.ReshareOptions, 'parameters'>;

/** The sid of the run of a ticket. */
export const runId = (ticket: plans.Ticket): Uint8Array => plans.runId(ticket, parameters);

/** What an old member signs with its identity to vote for this try of this plan: for one of an epoch, durably, and for no other. */
export const approvalMessage = (ticket: plans.Ticket): Uint8Array => statements.approvalMessage(runId(ticket), ticket);

/**
 * One run among {@link participants}. Resolves with the certificate, at everybody, when all new members hold their shares durably.
 * @throws Refusal when plan, vote, key or session do not fit; Fault naming the culprits, after which the old epoch stays in force.
 */
export const reshare = (options: ReshareOptions): Promise<statements.Certificate> => protocol.reshare({ ...options, parameters });

/** Whether a certificate holds: returns the sid of its run. @throws Refusal naming what is missing or wrong */
export const checkCertificate = (value: statements.Certificate): Uint8Array => statements.checkCertificate(value, parameters);
