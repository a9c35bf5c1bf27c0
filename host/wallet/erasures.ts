/**
 * Which old members have destroyed their shares after a change of a key: each signs ERASED_i, and says so to whoever asks. A node that left the key is
 * removed in effect when n − t + 1 old members have erased, because then fewer than t old shares are left (cggmp24.md §6.10).
 *
 * Nothing waits for these statements, so they are asked for when somebody wants to know, and kept in memory.
 */
import { hex } from '../base/bytes.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Ticket } from '../resharing/plan.ts';
import { erasedMessage, stated, type Statement } from '../resharing/statements.ts';
import { online, type WalletContext } from './context.ts';
import { methods } from './key-change-messages.ts';
import { textOf, type KeySwitches } from './key-switches.ts';

const ANSWER_MS = 1_000;
/** Changes that statements are kept of; the oldest are forgotten, and asked for again. */
const MAX_CHANGES = 64;

export class Erasures {
  /** Old members by sid. */
  readonly #heard = new Map<string, Set<NodeId>>();

  constructor(
    private readonly context: WalletContext,
    private readonly switches: KeySwitches,
  ) {}

  serve(): void {
    this.context.calls.serve(methods.erased, async (_from, { walletId, sid }) => ({ statement: await this.#own(walletId, sid) }));
  }

  /** The old members of the last change that have erased, as far as they can be asked, and how many must have for a removal to be in effect. */
  async of(walletId: string): Promise<{ readonly nodes: readonly NodeId[]; readonly needed: number } | undefined> {
    const { context, switches } = this;
    const change = await switches.of(walletId);
    const ticket = change.certificates.at(-1)?.ticket;
    if (ticket === undefined) return undefined;
    const sid = switches.sidOf(change, ticket);
    const { oldMembers, t } = ticket.plan;
    const members = switches.nodesOf(oldMembers);
    const heard = this.#heard.get(hex(sid)) ?? new Set<NodeId>();
    this.#heard.set(hex(sid), heard);
    if (this.#heard.size > MAX_CHANGES) this.#heard.delete(this.#heard.keys().next().value!);
    const reachable = online(context);
    await Promise.all(
      members
        .filter((node) => reachable.has(node) && !heard.has(node))
        .map(async (node) => {
          const statement = await this.#ask(node, walletId, sid, ticket);
          if (statement !== undefined && members[statement.index] === node) heard.add(node);
        }),
    );
    return { nodes: members.filter((node) => heard.has(node)), needed: members.length - t + 1 };
  }

  async #ask(node: NodeId, walletId: string, sid: Uint8Array, ticket: Ticket): Promise<Statement | undefined> {
    try {
      const { statement } = await this.context.calls.call(node, methods.erased, { walletId, sid }, { timeoutMs: ANSWER_MS });
      return statement !== undefined && stated(ticket.plan.oldMembers, erasedMessage(sid), statement) ? statement : undefined;
    } catch (error) {
      // It is asked again with the next question.
      this.context.logger.debug(
        { node, wallet_id: walletId, error: textOf(error) },
        'a node did not say whether it has destroyed its old share',
      );
      return undefined;
    }
  }

  /** ERASED_i of this node, if it was of the old committee of that change and has nothing of it any more. */
  async #own(walletId: string, sid: Uint8Array): Promise<Statement | undefined> {
    const { switches } = this;
    const { identity, self } = this.context;
    const change = await switches.of(walletId);
    const ticket = change.certificates.at(-1)?.ticket;
    if (ticket === undefined || change.state.committed?.erased !== true || hex(switches.sidOf(change, ticket)) !== hex(sid))
      return undefined;
    const index = switches.nodesOf(ticket.plan.oldMembers).indexOf(self);
    return index < 0 ? undefined : { index, signature: identity.sign(erasedMessage(sid)) };
  }
}
