/**
 * Votes that arrive before the proposal they are about: nodes judge at different speeds, and a fast one tells its vote while this one still asks its
 * backend. Bounded by sender: whoever sends too many loses its own oldest ones, nobody else's.
 */
import { hex } from '../base/bytes.ts';
import type { NodeId } from '../mesh/types.ts';

const MAX_OF_ONE = 64;

export interface EarlyVote {
  readonly from: NodeId;
  readonly encoded: Uint8Array;
}

export class EarlyVotes {
  readonly #bySender = new Map<NodeId, { readonly proposal: string; readonly encoded: Uint8Array }[]>();

  keep(from: NodeId, proposal: Uint8Array, encoded: Uint8Array): void {
    const kept = this.#bySender.get(from) ?? [];
    kept.push({ proposal: hex(proposal), encoded });
    if (kept.length > MAX_OF_ONE) kept.shift();
    this.#bySender.set(from, kept);
  }

  /** All votes on the proposal, in order of arrival by sender; they are forgotten here. */
  take(proposal: Uint8Array): EarlyVote[] {
    const id = hex(proposal);
    return [...this.#bySender].flatMap(([from, kept]) => {
      const found = kept.filter((vote) => vote.proposal === id);
      if (found.length > 0) this.#bySender.set(from, kept.filter((vote) => vote.proposal !== id)); // prettier-ignore
      return found.map(({ encoded }) => ({ from, encoded }));
    });
  }
}
