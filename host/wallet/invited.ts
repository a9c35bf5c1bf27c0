/**
 * Members of a ceremony tell each other what they were invited to. All of it decides the session or the result (threshold, committee, address type), so
 * members that were told different things never meet in a run; without this they would wait for each other until the deadline, and name each other.
 *
 * Who lied, the inviter or whoever says that it was told something else, nobody can tell from it: the run ends, and nobody is blamed. So it is used where
 * no node can be left out anyway, and not for presigning, which would be ended again and again by a member that is never named.
 */
import { hex } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { WalletContext } from './context.ts';
import { accepted, invitation, type Invitation } from './messages.ts';
import { ADDRESS_TYPES } from './types.ts';

export const invitedMethod = method('ceremony.invited', invitation, accepted);
/** Of one member, about ceremonies that this node was not invited to yet; the oldest go. */
const MAX_EARLY = 16;

interface Run {
  readonly invite: Invitation;
  readonly inviter: NodeId;
  readonly abort: AbortController;
}

export class Invited {
  /** By nonce, what runs here. */
  readonly #running = new Map<string, Run>();
  /** By member and nonce. */
  readonly #early = new Map<NodeId, Map<string, Invitation>>();

  constructor(private readonly context: Pick<WalletContext, 'self' | 'calls' | 'logger'>) {}

  serve(): void {
    this.context.calls.serve(invitedMethod, (from, invite) => {
      const nonce = hex(invite.nonce);
      const run = this.#running.get(nonce);
      if (run !== undefined) compare(run, from, invite);
      else this.#remember(from, nonce, invite);
      return Promise.resolve({ ok: 1 });
    });
  }

  /** Tells the others, and ends the run by its `abort` when one of them has been told something else. */
  began(run: Run): void {
    const { context } = this;
    const { invite, inviter } = run;
    const nonce = hex(invite.nonce);
    this.#running.set(nonce, run);
    for (const node of invite.committee) {
      if (node === context.self || node === inviter) continue;
      const theirs = this.#early.get(node)?.get(nonce);
      if (theirs !== undefined) compare(run, node, theirs);
      try {
        context.calls.tell(node, invitedMethod, invite);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        // Without a link to it the run ends anyway.
        context.logger.debug({ node, error: error.message }, 'a member was not told of an invitation');
      }
    }
  }

  ended({ nonce }: Invitation): void {
    this.#running.delete(hex(nonce));
    for (const told of this.#early.values()) told.delete(hex(nonce));
  }

  #remember(from: NodeId, nonce: string, invite: Invitation): void {
    const told = this.#early.get(from) ?? new Map<string, Invitation>();
    this.#early.set(from, told);
    told.set(nonce, invite);
    if (told.size > MAX_EARLY) told.delete(told.keys().next().value!);
  }
}

function compare({ invite, inviter, abort }: Run, from: NodeId, theirs: Invitation): void {
  if (!invite.committee.includes(from)) return;
  const [here, there] = [said(invite), said(theirs)];
  const [field, value] = Object.entries(here).find(([name, own]) => there[name] !== own) ?? [];
  if (field === undefined) return;
  const message = `${inviter} has invited ${from} to another ceremony than this node, or ${from} says so: ${field} ${there[field]} there, ${value} here`;
  abort.abort(new Refusal('invitation_differs', field, message, 'start it at another node; if that fails too, find out which node says what is not true', 409)); // prettier-ignore
}

/** All that an invitation says, for comparison and for people. */
const said = ({ addressType, nonce, ...rest }: Invitation): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)])),
  address_type: addressType ?? ADDRESS_TYPES[rest.protocol][0],
  nonce: hex(nonce),
});
