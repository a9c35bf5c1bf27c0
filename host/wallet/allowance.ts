/** What each node may have of something in an hour. */
import type { NodeId } from '../mesh/types.ts';

const HOUR_MS = 60 * 60_000;

export class Allowance {
  readonly #spent = new Map<NodeId, { readonly at: number; readonly count: number }[]>();

  constructor(
    private readonly limit: number,
    private readonly clock: () => number,
  ) {}

  /** Whether it has any left. */
  has(node: NodeId): boolean {
    return this.#recent(node).reduce((sum, { count }) => sum + count, 0) < this.limit;
  }

  /** Counts it, also beyond the limit; a negative number gives back. */
  spend(node: NodeId, count: number): void {
    this.#spent.set(node, [...this.#recent(node), { at: this.clock(), count }]);
  }

  #recent(node: NodeId) {
    const since = this.clock() - HOUR_MS;
    return (this.#spent.get(node) ?? []).filter(({ at }) => at > since);
  }
}
