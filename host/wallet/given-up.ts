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
/**
 * Refusals that one node gets in an hour. Each is kept for good, up to a number (switch-record.ts), and somebody could make up tries with no end, so that the
 * refusal of a true one is forgotten while it may still run: with these, all the others together need longer than anybody waits for a run.
 */
const MAX_REFUSALS = 8;
const REFUSALS_MS = 60 * 60_000;

export class GivenUp {
  /** Who asked first for a vote on it, by sid. */
  readonly #brought = new Map<string, NodeId>();
  /** When it was first seen to wait, or somebody wanted it refused. */
  readonly #asked = new Map<string, number>();
  /** When each node got its refusals. */
  readonly #refusals = new Map<NodeId, number[]>();
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

  /** Whether `from` gets one more refusal now; counted if so. */
  grant(from: NodeId): boolean {
    const now = this.#clock();
    const recent = (this.#refusals.get(from) ?? []).filter((at) => now - at < REFUSALS_MS);
    if (recent.length >= MAX_REFUSALS) return false;
    this.#refusals.set(from, [...recent, now]);
    return true;
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
