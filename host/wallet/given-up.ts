/**
 * When a new member refuses a change of a key because another node asks it to (cggmp24.md §6.10: REFUSE frees the old members). An old member that is to
 * leave knows the plan from the vote, and would have the new ones refuse it before the run begins. So at once only for the node that brought the
 * plan, and for new members, which could refuse it themselves; for others when the plan has come to nothing for a while.
 */
import type { NodeId } from '../mesh/types.ts';

/** A vote whose run has not come this long after is given up, if a new member agrees. */
export const GIVE_UP_MS = 60_000;
/** Plans that others speak of; the oldest are forgotten. */
const MAX_HEARD = 256;

export class GivenUp {
  /** Who asked first for a vote on it, by sid. */
  readonly #brought = new Map<string, NodeId>();
  /** When it was first seen to wait, or somebody wanted it refused. */
  readonly #asked = new Map<string, number>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  brought(sid: string, by: NodeId): void {
    remember(this.#brought, sid, by);
  }

  /** Whether `from`, asking now, gets the refusal. */
  mayAsk(sid: string, from: NodeId, newMembers: readonly NodeId[]): boolean {
    if (newMembers.includes(from) || this.#brought.get(sid) === from) return true;
    return this.waitedFor(sid);
  }

  /** Whether a minute has gone since this was first asked, here or by another node. */
  waitedFor(sid: string): boolean {
    const now = this.#clock();
    remember(this.#asked, sid, now);
    return now - this.#asked.get(sid)! >= GIVE_UP_MS;
  }
}

/** The first word counts. */
function remember<T>(heard: Map<string, T>, sid: string, what: T): void {
  if (heard.has(sid)) return;
  heard.set(sid, what);
  if (heard.size > MAX_HEARD) heard.delete(heard.keys().next().value!);
}
