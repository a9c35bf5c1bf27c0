/**
 * Which coins a node takes first, so that nodes that pay at the same moment do not take the same ones. Every coin is in the share of one member of the
 * committee, the one for whom a hash of the coin is greatest (rendezvous hashing), so all agree on the shares without a word; and when its own share does not
 * suffice, each goes through the others' coins in another order. It is a preference, no right: a node votes for a payment whoever's share it spends.
 */
import { utf8 } from '../base/bytes.ts';
import { compareCoins, outpoint, type WalletCoin } from '../bitcoin/coins.ts';
import type { NodeId } from '../mesh/types.ts';
import { sha256 } from '../protocol/transcript.ts';

/** How long a coin that others would not have spent comes last: longer than most payments take, and no longer than one takes that ends otherwise. */
const NOT_FREE_MS = 30_000;
const MAX_NOT_FREE = 10_000;

/** What each member's claim to a coin weighs: a hash has sixteen words of two bytes, and a committee has sixteen members at most. */
function weights(coin: WalletCoin, members: number): readonly number[] {
  const hash = sha256(utf8(outpoint(coin)));
  return Array.from({ length: members }, (_, i) => (hash[2 * i]! << 8) | hash[2 * i + 1]!);
}

/**
 * The coins in the order in which `self` takes them: its own share, largest first, then the others' by its claim to them. `exposed` come before all, at every
 * node: somebody may have a signature that spends them, and of the two payments only one can be in the chain.
 */
export function inOrderOf(
  self: NodeId,
  committee: readonly NodeId[],
  coins: readonly WalletCoin[],
  exposed: ReadonlySet<string> = new Set(),
): WalletCoin[] {
  const index = committee.indexOf(self);
  const ranked = coins.map((coin) => {
    const claims = weights(coin, committee.length);
    const weight = claims[index] ?? 0;
    // Of equal claims the first.
    const own = claims.indexOf(Math.max(...claims)) === index;
    return { coin, rank: exposed.has(outpoint(coin)) ? 0 : own ? 1 : 2, weight };
  });
  return ranked
    .sort((a, b) => a.rank - b.rank || (a.rank === 2 ? b.weight - a.weight : 0) || compareCoins(a.coin, b.coin))
    .map(({ coin }) => coin);
}

/**
 * Coins that others would not have spent, as their votes said or this node saw: held by another payment, or not seen unspent. A preference too: who says so may lie,
 * so they are taken when others do not suffice.
 */
export class NotFree {
  /** Until when, by outpoint; oldest first. */
  readonly #until = new Map<string, number>();

  constructor(private readonly clock: () => number) {}

  note(coins: readonly string[]): void {
    const now = this.clock();
    for (const coin of coins) {
      this.#until.delete(coin);
      this.#until.set(coin, now + NOT_FREE_MS);
    }
    for (const [coin, until] of this.#until) {
      if (until > now && this.#until.size <= MAX_NOT_FREE) break;
      this.#until.delete(coin);
    }
  }

  has(coin: string): boolean {
    return (this.#until.get(coin) ?? -Infinity) > this.clock();
  }
}
