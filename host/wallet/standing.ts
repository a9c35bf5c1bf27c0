/**
 * Which nodes have lately let runs down: named by a fault, silent, or gone without a reason that this node could check. Silence and leaving prove nothing, and
 * nobody is shut out for them; but whoever chooses signers takes others as long as there are enough, so that one node cannot stall every try.
 *
 * In memory only, and forgotten after a while: a node that was down is asked again by itself.
 */
import type { NodeId } from '../mesh/types.ts';

/** How long a trouble counts. */
export const TROUBLE_MS = 30 * 60_000;
/** From so many on a node is left out while others suffice; with fewer it is asked last. */
const TOO_MANY = 2;
/** Troubles of one node that are remembered; more change nothing. */
const MAX_KEPT = 16;

export class Standing {
  readonly #troubles = new Map<NodeId, number[]>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  note(nodes: readonly NodeId[]): void {
    for (const node of nodes) this.#troubles.set(node, [...(this.#troubles.get(node) ?? []), this.#clock()].slice(-MAX_KEPT));
  }

  /** Troubles of the last half hour. */
  of(node: NodeId): number {
    const oldest = this.#clock() - TROUBLE_MS;
    return (this.#troubles.get(node) ?? []).filter((at) => at > oldest).length;
  }

  /** Those of `nodes` to choose from, in their order: the worst are left out first, as long as `needed` remain. */
  sufficient(nodes: readonly NodeId[], needed: number): NodeId[] {
    const worst = nodes.filter((node) => this.of(node) >= TOO_MANY).sort((a, b) => this.of(b) - this.of(a));
    const left = new Set(worst.slice(0, Math.max(0, nodes.length - needed)));
    return nodes.filter((node) => !left.has(node));
  }
}
