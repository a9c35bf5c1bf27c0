/** How many approvals decide. */
import { Refusal } from '../base/errors.ts';

/** max(t, ⌊n/2⌋ + 1): enough to sign, and any two quorums share a node. */
export const defaultQuorum = (t: number, n: number): number => Math.max(t, Math.floor(n / 2) + 1);

/** The smallest number of rejections after which a quorum of approvals is impossible: n − q + 1. */
export const rejectionQuorum = (quorum: number, n: number): number => n - quorum + 1;

/** @throws Refusal unless the quorum is a whole number above half of `n` and at most `n`. */
export function requireQuorum(quorum: number, n: number): void {
  if (Number.isInteger(quorum) && 2 * quorum > n && quorum <= n) return;
  const message = `a quorum of ${quorum} among ${n} nodes: two quorums could decide differently, or none could be reached`;
  throw new Refusal('consensus.quorum', 'quorum', message, `use a whole number from ${Math.floor(n / 2) + 1} to ${n}`);
}

/**
 * What an operator should know about a permitted but weak quorum: below ⌊2n/3⌋ + 1, a single node that votes both ways can sit in two quorums.
 * undefined when there is nothing to say.
 */
export function quorumWarning(quorum: number, n: number): string | undefined {
  const safe = Math.floor((2 * n) / 3) + 1;
  if (quorum >= safe) return undefined;
  const shared = 2 * quorum - n;
  return `quorum ${quorum} of ${n}: two quorums may share only ${shared} node${shared === 1 ? '' : 's'}, and if those vote twice both decide; ${safe} would tolerate a third of the nodes`;
}
