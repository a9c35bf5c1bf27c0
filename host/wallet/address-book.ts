/**
 * Which addresses of each wallet are in use: for every account and chain a counter, below which all are looked at. It is durable at each node and believed
 * by none: whoever reads it computes the addresses from the key.
 *
 * A node that asks for addresses, honest or not, is bounded: how far ahead it may go, how many in an hour, and how many a wallet has. Change is bounded by
 * what was taken for payments that did not come about: those that did were approved by a quorum.
 */
import { CHANGE, RECEIVE, type WalletPath } from '../bitcoin/paths.ts';
import type { NodeId } from '../mesh/types.ts';
import { tolerated } from '../resharing/statements.ts';
import type { AddressCounterRow } from '../storage/records/addresses.ts';
import type { WalletContext } from './context.ts';
import { inTurn } from './turns.ts';

/** How far a counter may be lifted at once: what is skipped is looked at for nothing, and watch-only software searches only so far. */
export const MAX_AHEAD = 1_000;
/** Receiving addresses of one wallet: each is a question to the backend whenever all coins are wanted. */
export const MAX_ADDRESSES = 20_000;
/** Change addresses of one wallet that a database is believed to know of: what it says is not proven, and each costs memory and questions. */
export const MAX_CHANGE = 1_000_000;
/** Receiving addresses that one node may have taken in an hour, skipped ones included. */
export const MAX_HOURLY = 2_000;
const HOUR_MS = 60 * 60_000;
/** In the records, for who has asked for addresses that others know of. No node has this name. */
const NOBODY = '-';

/**
 * Receiving addresses of a wallet that one of its n nodes may take: less than all, so that what tolerated(n) nodes that lie have used up leaves as much again, and
 * more, to the others.
 */
export const shareOf = (n: number): number => Math.floor(MAX_ADDRESSES / (tolerated(n) + 2));

/** What becomes of the wish for an index: `taken` by an earlier one, too far `ahead`, too `many` in the wallet, too `often` by this node. */
export type Verdict = 'accepted' | 'taken' | 'ahead' | 'many' | 'often';

/** Addresses that a node has taken, and when; for change, of which payment. */
interface Taken {
  readonly at: number;
  readonly count: number;
  readonly change?: string;
}

type Context = Pick<WalletContext, 'records' | 'clock' | 'logger'>;

export interface Counter {
  readonly account: number;
  readonly chain: number;
  readonly next: number;
}

const nameOf = (account: number, chain: number): string => `${account}/${chain}`;
const changeName = (walletId: string, account: number, index: number): string => `${walletId}/${account}/${index}`;

export class AddressBook {
  readonly #counters = new Map<string, Map<string, Counter>>();
  /** Receiving addresses that each node has taken, by wallet and node. */
  readonly #shares = new Map<string, number>();
  /** What each node has taken lately. */
  readonly #taken = new Map<NodeId, Taken[]>();
  /** What each has taken lately as change of payments that are not signed. */
  readonly #unused = new Map<NodeId, Taken[]>();
  /** Changes of one wallet, one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();

  private constructor(private readonly context: Context) {}

  /** Counters beyond what a wallet may have are not believed, wherever they come from: they are cut. */
  static async open(context: Context): Promise<AddressBook> {
    const book = new AddressBook(context);
    for (const row of await context.records.addresses.list()) {
      const room = (row.chain === RECEIVE ? MAX_ADDRESSES : MAX_CHANGE) - book.#total(row.wallet_id, row.chain);
      if (row.next > room) context.logger.error({ ...row, room }, 'the database has more addresses in use than a wallet may have');
      if (room > 0) book.#set({ ...row, next: Math.min(row.next, room) });
    }
    for (const { wallet_id: walletId, asked_by: node, taken } of await context.records.addresses.takers())
      book.#take(walletId, node, taken);
    return book;
  }

  /** The first index that is not in use. */
  next(walletId: string, account: number, chain: number): number {
    return this.#counters.get(walletId)?.get(nameOf(account, chain))?.next ?? 0;
  }

  /** Whether addresses below the wallet's own are in use. */
  has(walletId: string): boolean {
    return this.#counters.has(walletId);
  }

  /** By account, then by chain. */
  counters(walletId: string): Counter[] {
    return [...(this.#counters.get(walletId)?.values() ?? [])].sort((a, b) => a.account - b.account || a.chain - b.chain);
  }

  /** All that are in use below the wallet's own address. */
  paths(walletId: string): WalletPath[] {
    return this.counters(walletId).flatMap(({ account, chain, next }) =>
      Array.from({ length: next }, (_, index) => [account, chain, index]),
    );
  }

  /**
   * `from` wants a receiving address: to give it to somebody (`fresh`: nobody else may have it), or to have it looked at. Durable when it resolves with
   * `accepted`. `share`: how many of the wallet's it may have taken in all.
   */
  receive(
    walletId: string,
    wish: { account: number; index: number; fresh: boolean },
    from: NodeId,
    share = MAX_ADDRESSES,
  ): Promise<Verdict> {
    const { account, index, fresh } = wish;
    return inTurn(this.#turns, walletId, async () => {
      const next = this.next(walletId, account, RECEIVE);
      if (index < next) return fresh ? 'taken' : 'accepted';
      if (index > next + MAX_AHEAD) return 'ahead';
      const added = index + 1 - next;
      if (this.#total(walletId, RECEIVE) + added > MAX_ADDRESSES) return 'many';
      if (this.#sharesOf(walletId, from) + added > share) return 'often';
      if (!this.#spend(this.#taken, from, { count: added })) return 'often';
      await this.#raise({ wallet_id: walletId, account, chain: RECEIVE, next: index + 1 }, from);
      this.#take(walletId, from, added);
      return 'accepted';
    });
  }

  /** Change of a payment that this node is about to approve. Durable when it resolves with `accepted`. */
  change(walletId: string, { account, index }: { account: number; index: number }, from: NodeId): Promise<Verdict> {
    return inTurn(this.#turns, walletId, async () => {
      const next = this.next(walletId, account, CHANGE);
      if (index > next + MAX_AHEAD) return 'ahead';
      if (index < next) return 'accepted';
      if (!this.#spend(this.#unused, from, { count: index + 1 - next, change: changeName(walletId, account, index) })) return 'often';
      await this.#raise({ wallet_id: walletId, account, chain: CHANGE, next: index + 1 }, from);
      return 'accepted';
    });
  }

  /** The payment of `from` with this change is signed: whether or not this node approved it, its coin is the wallet's. */
  paid(walletId: string, { account, index }: { account: number; index: number }, from: NodeId): Promise<void> {
    return inTurn(this.#turns, walletId, async () => {
      const name = changeName(walletId, account, index);
      this.#unused.set(from, (this.#unused.get(from) ?? []).filter(({ change }) => change !== name)); // prettier-ignore
      if (index >= this.next(walletId, account, CHANGE))
        await this.#raise({ wallet_id: walletId, account, chain: CHANGE, next: index + 1 }, from);
    });
  }

  /**
   * What so many others say that one of them is honest. Within the bounds of a wallet: a counter that would exceed them stays. Of change an honest node knows as much
   * as there were payments, so that it is bounded only where no node counts as honest: `proven` is false.
   */
  catchUp(walletId: string, claims: readonly Counter[], proven: boolean): Promise<void> {
    return inTurn(this.#turns, walletId, async () => {
      for (const { account, chain, next } of claims) {
        const added = next - this.next(walletId, account, chain);
        const most = chain === CHANGE && proven ? MAX_CHANGE : MAX_ADDRESSES;
        if (added <= 0 || this.#total(walletId, chain) + added > most) continue;
        // Who has taken them is not known here, and counts to nobody's share.
        await this.#raise({ wallet_id: walletId, account, chain, next }, NOBODY);
      }
    });
  }

  #sharesOf(walletId: string, node: NodeId): number {
    return this.#shares.get(`${walletId}/${node}`) ?? 0;
  }

  #take(walletId: string, node: NodeId, count: number): void {
    this.#shares.set(`${walletId}/${node}`, this.#sharesOf(walletId, node) + count);
  }

  #total(walletId: string, chain: number): number {
    return [...(this.#counters.get(walletId)?.values() ?? [])].reduce((sum, counter) => sum + (counter.chain === chain ? counter.next : 0), 0); // prettier-ignore
  }

  async #raise(row: AddressCounterRow, from: NodeId): Promise<void> {
    await this.context.records.addresses.raise(row, from);
    this.#set(row);
  }

  #set({ wallet_id: walletId, account, chain, next }: AddressCounterRow): void {
    const counters = this.#counters.get(walletId) ?? new Map<string, Counter>();
    counters.set(nameOf(account, chain), { account, chain, next });
    this.#counters.set(walletId, counters);
  }

  #spend(taken: Map<NodeId, Taken[]>, node: NodeId, { count, ...what }: Omit<Taken, 'at'>): boolean {
    const now = this.context.clock();
    const recent = (taken.get(node) ?? []).filter(({ at }) => at > now - HOUR_MS);
    taken.set(node, recent);
    if (recent.reduce((sum, entry) => sum + entry.count, count) > MAX_HOURLY) return false;
    recent.push({ at: now, count, ...what });
    return true;
  }
}
