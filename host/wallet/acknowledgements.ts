/**
 * What new members have stated about a change of a key: ACK of its result, or REFUSE. An honest one states one of them; whoever signs both can hold up the
 * old members, and its two signatures prove it to everybody (cggmp24.md §6.10): they become a file of evidence.
 */
import { equalBytes, hex } from '../base/bytes.ts';
import { buildStatementEvidence } from '../evidence/index.ts';
import { participants, runBinding, runId, type Ticket } from '../resharing/plan.ts';
import { ackMessage, refusalMessage, stated, type Certificate, type Statement } from '../resharing/statements.ts';
import { keepEvidence } from './accountable.ts';
import type { WalletContext } from './context.ts';

/** `digest` is the D of an ACK; a REFUSE has none. */
interface Stated {
  readonly digest: Uint8Array | undefined;
  readonly signature: Uint8Array;
}

/** Tries that statements are kept of; the oldest are forgotten. */
const MAX_TRIES = 64;

export class Acknowledgements {
  /** By sid and new member: what it stated first. */
  readonly #heard = new Map<string, Map<number, Stated>>();

  constructor(private readonly context: WalletContext) {}

  async certified({ ticket, digest, acks }: Certificate): Promise<void> {
    for (const [index, signature] of acks.entries()) await this.#state(ticket, index, { digest, signature });
  }

  async refused(ticket: Ticket, { index, signature }: Statement): Promise<void> {
    await this.#state(ticket, index, { digest: undefined, signature });
  }

  async acknowledged(ticket: Ticket, digest: Uint8Array, { index, signature }: Statement): Promise<void> {
    await this.#state(ticket, index, { digest, signature });
  }

  /** Ignores what its author did not sign. */
  async #state(ticket: Ticket, index: number, { digest, signature }: Stated): Promise<void> {
    const { context } = this;
    const sid = runId(ticket, context.parameters);
    const { newMembers, nextEpoch } = ticket.plan;
    const message = digest === undefined ? refusalMessage(sid) : ackMessage(sid, nextEpoch, digest);
    if (!stated(newMembers, message, { index, signature })) return;
    const id = hex(sid);
    const members = this.#heard.get(id) ?? new Map<number, Stated>();
    this.#heard.set(id, members);
    if (this.#heard.size > MAX_TRIES) this.#heard.delete(this.#heard.keys().next().value!);
    const first = members.get(index);
    if (first === undefined) members.set(index, { digest, signature });
    else if (!same(first.digest, digest)) await this.#prove(ticket, newMembers[index]!, [first, { digest, signature }]);
  }

  async #prove(ticket: Ticket, author: Uint8Array, statements: readonly [Stated, Stated]): Promise<void> {
    const { core, random, parameters, roster } = this.context;
    const binding = runBinding(ticket, parameters);
    const identities = participants(ticket.plan);
    const accused = identities.findIndex((key) => equalBytes(key, author));
    const session = { binding, plan: ticket.plan };
    const file = await buildStatementEvidence(accused, [...statements], session, { core, random, parametersOf: () => parameters });
    const nodes = identities.map((key) => roster.members.find(({ publicKey }) => equalBytes(publicKey, key))?.nodeId ?? 'unknown');
    if (file !== undefined) await keepEvidence(this.context, session, nodes, file);
  }
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : equalBytes(a, b);
