/**
 * The coins of a wallet: of its own address, asked whenever they are wanted, and of the addresses in use below its key, asked again when the chain has
 * moved. A wallet may have thousands of those, so a payment is made from the coins that are known, as long as they suffice and are still there.
 */
import { outpoint, type WalletCoin } from '../bitcoin/coins.ts';
import { CHANGE, type WalletPath } from '../bitcoin/paths.ts';
import { addressAt } from './accounts.ts';
import type { AddressBook } from './address-book.ts';
import type { WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import { inTurn } from './turns.ts';

/** How long an answer counts while the tip stays: what has come into the mempool is seen after that. */
const FRESH_MS = 10_000;

/**
 * Change comes to an address once. One that was seen empty, and is not among the last of its account, is asked no more than once a day: a wallet has as many of
 * them as it has made payments.
 */
const RECENT_CHANGE = 1_000;
const EMPTY_MS = 24 * 60 * 60_000;

/** Addresses derived and asked at once. */
const CHUNK = 16;

interface Seen {
  readonly address: string;
  readonly tip: number;
  readonly at: number;
  readonly coins: readonly WalletCoin[];
}

export class Holdings {
  /** By wallet and path. */
  readonly #seen = new Map<string, Map<string, Seen>>();
  /** One look at all addresses of a wallet at a time: who comes meanwhile finds it done. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(
    private readonly context: Pick<WalletContext, 'esplora' | 'network' | 'clock'>,
    private readonly book: AddressBook,
  ) {}

  /** Whether the wallet has addresses below its key. */
  hasMore({ walletId }: WalletKey): boolean {
    return this.book.has(walletId);
  }

  /** All coins of the wallet, as the backend says now or said lately. */
  async all(key: WalletKey): Promise<WalletCoin[]> {
    const [own, below] = await Promise.all([this.own(key), this.hasMore(key) ? this.#below(key) : []]);
    return [...own, ...below];
  }

  /** Of the wallet's own address, asked now. */
  async own(key: WalletKey): Promise<WalletCoin[]> {
    const coins = await this.context.esplora.coinsOf(addressAt(key, [], this.context.network));
    return coins.map((coin) => ({ ...coin, path: [] }));
  }

  /** What was seen at addresses below the key, however long ago: nothing is asked. */
  remembered({ walletId }: WalletKey): WalletCoin[] {
    return [...(this.#seen.get(walletId)?.values() ?? [])].flatMap(({ coins }) => coins);
  }

  /** Asks the addresses of these coins again. Whether all are still there, as they were. */
  async confirm(
    key: WalletKey,
    coins: readonly { readonly txid: string; readonly vout: number; readonly path: WalletPath }[],
  ): Promise<boolean> {
    const below = coins.filter(({ path }) => path.length > 0);
    if (below.length === 0) return true;
    await this.#ask(key, [...new Map(below.map(({ path }) => [path.join('/'), path])).values()]);
    const there = new Set(this.remembered(key).filter(({ confirmations }) => confirmations > 0).map(outpoint)); // prettier-ignore
    return below.every((coin) => there.has(outpoint(coin)));
  }

  #below(key: WalletKey): Promise<WalletCoin[]> {
    return inTurn(this.#turns, key.walletId, async () => {
      const tip = await this.context.esplora.tipHeight();
      const since = this.context.clock() - FRESH_MS;
      const seen = this.#seen.get(key.walletId);
      const stale = this.book.paths(key.walletId).filter((path) => {
        const last = seen?.get(path.join('/'));
        if (last !== undefined && last.coins.length === 0 && this.#isOldChange(key.walletId, path))
          return last.at < since + FRESH_MS - EMPTY_MS;
        return last === undefined || last.tip !== tip || last.at < since;
      });
      await this.#ask(key, stale);
      return this.remembered(key);
    });
  }

  #isOldChange(walletId: string, [account, chain, index]: WalletPath): boolean {
    return chain === CHANGE && index! < this.book.next(walletId, account!, CHANGE) - RECENT_CHANGE;
  }

  async #ask(key: WalletKey, paths: readonly WalletPath[]): Promise<void> {
    if (paths.length === 0) return;
    const { esplora, network, clock } = this.context;
    const tip = await esplora.tipHeight();
    const seen = this.#seen.get(key.walletId) ?? new Map<string, Seen>();
    this.#seen.set(key.walletId, seen);
    // A few at a time: to derive thousands of keys at once would keep this thread from signing.
    for (let from = 0; from < paths.length; from += CHUNK) {
      const some = paths.slice(from, from + CHUNK);
      const addresses = some.map((path) => seen.get(path.join('/'))?.address ?? addressAt(key, path, network));
      const at = clock();
      const found = await esplora.coinsOfEach(addresses, tip);
      for (const [i, path] of some.entries())
        seen.set(path.join('/'), { address: addresses[i]!, tip, at, coins: found[i]!.map((coin) => ({ ...coin, path })) });
    }
  }
}
