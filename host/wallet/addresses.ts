/**
 * Receiving addresses below a wallet's key. The node that is asked for one proposes an index to the committee and has it when a quorum has noted it, so
 * that no two nodes give out the same; whoever noted it looks for its coins. A node that was away asks the others how far they are.
 */
import { Refusal, Unavailable } from '../base/errors.ts';
import { MAX_STEP, RECEIVE, showPath, type WalletPath } from '../bitcoin/paths.ts';
import { encodeExtendedKey, outputDescriptor } from '../bitcoin/descriptor.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import { planQuorum, tolerated } from '../resharing/statements.ts';
import { addressAt, rootOf } from './accounts.ts';
import { MAX_ADDRESSES, MAX_AHEAD, shareOf, type AddressBook, type Counter, type Verdict } from './address-book.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { addressRequest, addressResponse, countersRequest, countersResponse, MAX_COUNTERS } from './messages.ts';
import { inTurn } from './turns.ts';
import type { AddressInfo, DescriptorInfo } from './types.ts';

const addressMethod = method('address.issue', addressRequest, addressResponse);
const countersMethod = method('address.counters', countersRequest, countersResponse);

/** Indices that are tried for one request, when others take them first: so often with the same node as the first that is asked, */
const TRIES_WITH_ONE = 4;
/** and with so many more nodes than may be lying. */
const MORE_FIRSTS = 3;
const ANSWER_MS = 5_000;
/** For all that one node says about a wallet: one that answers slowly holds up no other. */
const COUNTERS_MS = 3_000;
const FIRST_LOOK_MS = 200;
const LOOK_MS = 2_000;
/** Counters are asked for again after this long: what was given out or paid while this node was linked, but did not hear of it, is found by this. */
const REFRESH_MS = 10 * 60_000;

interface Answer {
  readonly node: NodeId;
  readonly verdict: Verdict;
  readonly next: number;
}

export class Addresses {
  /** Requests of one account at this node, one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Keys whose counters are those of the others, as wallet and epoch, and since when; until a link comes up. */
  readonly #current = new Map<string, number>();
  /** Of each key that others were asked about since the start. */
  readonly #informed = new Map<string, Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly book: AddressBook,
    /** The committee before the last change of a key's shares; empty when there was none. */
    private readonly formerOf: (walletId: string) => Promise<readonly NodeId[]>,
  ) {}

  serve(): void {
    const { calls } = this.context;
    calls.serve(addressMethod, async (from, { walletId, account, index, purpose }) => {
      const key = this.keyring.active(walletId);
      if (!key.committee.includes(from))
        throw new Refusal('address_refused', 'wallet_id', `${from} is not of the committee of this wallet`, 'let a member ask', 403);
      this.#requireSettled(walletId);
      const verdict = await this.book.receive(walletId, { account, index, fresh: purpose === 'fresh' }, from, shareOf(key.share.n));
      return { verdict, next: this.book.next(walletId, account, RECEIVE) };
    });
    // Of a wallet that was here once, too: its new nodes ask.
    calls.serve(countersMethod, (_from, { walletId, from }) => {
      const counters = this.book.counters(walletId);
      return Promise.resolve({ total: counters.length, counters: counters.slice(from, from + MAX_COUNTERS) });
    });
    this.context.mesh.onPeer((_node, status) => {
      if (status !== 'active') return;
      this.#current.clear();
      if (this.#timer !== undefined) this.#schedule(FIRST_LOOK_MS);
    });
  }

  start(): void {
    this.#schedule(FIRST_LOOK_MS);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  /** The address at a path. Changes nothing. */
  at(walletId: string, path: WalletPath): AddressInfo {
    return this.#info(this.keyring.active(walletId), path);
  }

  /** The wallet's own, then by account, chain and index all that are in use. */
  list(walletId: string, { account, limit, offset }: { account?: number; limit: number; offset: number }) {
    const key = this.keyring.active(walletId);
    const paths = this.book.paths(walletId).filter(([of]) => account === undefined || of === account);
    const all: WalletPath[] = account === undefined ? [[], ...paths] : paths;
    return { items: all.slice(offset, offset + limit).map((path) => this.#info(key, path)), total: all.length };
  }

  /** What watch-only software needs of an account. */
  descriptor(walletId: string, account: number): DescriptorInfo {
    const key = this.keyring.active(walletId);
    const { network } = this.context;
    const { publicKey, chainCode } = rootOf(key);
    const extended = encodeExtendedKey({ publicKey: publicKey.toBytes(true), chainCode }, network);
    return {
      wallet_id: walletId,
      network,
      extended_public_key: extended,
      own: outputDescriptor(key.addressType, extended),
      account,
      receive: outputDescriptor(key.addressType, extended, [account, 0]),
      change: outputDescriptor(key.addressType, extended, [account, 1]),
    };
  }

  /**
   * An address that nobody was given before; with `index` the one of that index, which is looked at from now on together with all before it.
   * @throws Refusal for an index out of reach or a wallet that is full, Unavailable when too few nodes have noted it.
   */
  async issue(walletId: string, { account = 0, index }: { account?: number; index?: number }): Promise<AddressInfo> {
    const key = this.keyring.active(walletId);
    this.#requireSettled(walletId);
    const given = await inTurn(this.#turns, `${walletId}/${account}`, () =>
      index === undefined ? this.#fresh(key, account) : this.#watched(key, account, index),
    );
    return this.#info(key, [account, RECEIVE, given]);
  }

  /** @throws Unavailable while another committee may be taking over: it asks once how far this one is. */
  #requireSettled(walletId: string): void {
    if (this.keyring.frozen.has(walletId))
      throw new Unavailable('key', 'the shares of the key are being changed', 'ask again when the change has ended');
  }

  async #fresh(key: WalletKey, account: number): Promise<number> {
    const next = () => this.book.next(key.walletId, account, RECEIVE);
    await this.#inform(key);
    for (let lead = 0; lead < tolerated(key.share.n) + MORE_FIRSTS; lead++) {
      let index = next();
      for (let attempt = 0; attempt < TRIES_WITH_ONE && index <= MAX_STEP; attempt++) {
        const answers = await this.#ask(key, { account, index, purpose: 'fresh' }, lead);
        if (this.#noted(key, answers)) return index;
        if (!answers.some(({ verdict }) => verdict === 'taken')) throw this.#unable(key, account, answers);
        // As far as somebody honest is, and not beyond what others would accept: one that names a high number moves nobody.
        const nexts = answers.map((answer) => answer.next).sort((a, b) => b - a);
        index = Math.min(Math.max(index + 1, next(), nexts[tolerated(key.share.n)] ?? 0), index + MAX_AHEAD);
      }
    }
    throw new Unavailable('mesh', 'other nodes took every index that was tried', 'ask again');
  }

  async #watched(key: WalletKey, account: number, index: number): Promise<number> {
    const next = this.book.next(key.walletId, account, RECEIVE);
    if (index < next) return index;
    if (index > next + MAX_AHEAD) {
      const message = `index ${index} is more than ${MAX_AHEAD} above the ${next} addresses of account ${account} that are in use`;
      throw new Refusal('address_ahead', 'index', message, `ask for ${next + MAX_AHEAD} at most, then for the next`, 422);
    }
    const answers = await this.#ask(key, { account, index, purpose: 'watch' });
    if (!this.#noted(key, answers)) throw this.#unable(key, account, answers);
    return index;
  }

  /**
   * Asks the committee. The first member that can be reached is asked before the others: of two nodes that want the same index one is turned away there,
   * and the other finds nobody who has noted it for somebody else. One that turns everybody away is passed over: `lead` counts from it.
   */
  async #ask(key: WalletKey, wish: { account: number; index: number; purpose: 'fresh' | 'watch' }, lead = 0): Promise<Answer[]> {
    const { context } = this;
    const reachable = online(context);
    const linked = key.committee.filter((node) => reachable.has(node));
    const first = linked[lead % linked.length]!;
    const others = linked.filter((node) => node !== first);
    const ask = async (node: NodeId): Promise<Answer[]> => {
      try {
        const request = { walletId: key.walletId, ...wish };
        return [{ node, ...(await context.calls.call(node, addressMethod, request, { timeoutMs: ANSWER_MS })) }];
      } catch (error) {
        // It counts as missing, unless it is this node: then there is no address.
        if (node === context.self) throw error;
        context.logger.debug({ node, wallet_id: key.walletId, error }, 'an address was not noted');
        return [];
      }
    };
    const before = await ask(first);
    if (before.some(({ verdict }) => verdict === 'taken')) return before;
    return [...before, ...(await Promise.all(others.map(ask))).flat()];
  }

  /** By this node, and by so many that any other such set has an honest node in common with them. */
  #noted({ share }: WalletKey, answers: readonly Answer[]): boolean {
    const by = answers.filter(({ verdict }) => verdict === 'accepted').map(({ node }) => node);
    return by.length >= planQuorum(share.n) && by.includes(this.context.self);
  }

  #unable(key: WalletKey, account: number, answers: readonly Answer[]): Refusal | Unavailable {
    const has = (verdict: Verdict) => answers.some((answer) => answer.verdict === verdict);
    if (has('many'))
      return new Refusal('address_many', 'account', `the wallet has ${MAX_ADDRESSES} addresses in use`, 'use addresses again, or another wallet', 422); // prettier-ignore
    if (has('often'))
      return new Refusal('address_often', 'account', `${this.context.self} has taken too many addresses, in the last hour or of this wallet`, 'ask another node, or later', 429); // prettier-ignore
    const missing = key.committee.filter((node) => !answers.some((answer) => answer.node === node && answer.verdict === 'accepted'));
    const message = `${planQuorum(key.share.n)} of ${key.share.n} nodes must note an address of account ${account}; missing: ${missing.join(', ')}`;
    return new Unavailable('mesh', message, 'start the missing nodes');
  }

  #info(key: WalletKey, path: WalletPath): AddressInfo {
    const { network } = this.context;
    const [account = null, chain, index = null] = path;
    return {
      wallet_id: key.walletId,
      address: addressAt(key, path, network),
      address_type: key.addressType,
      network,
      path: showPath(path),
      account,
      chain: chain === undefined ? null : chain === RECEIVE ? 'receive' : 'change',
      index,
    };
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#running
        .then(() => this.#look())
        .catch((error: unknown) => this.context.logger.warn({ error }, 'could not ask for the addresses in use'))
        .finally(() => {
          if (this.#timer !== undefined) this.#schedule(LOOK_MS);
        });
    }, ms);
  }

  async #look(): Promise<void> {
    for (const key of this.keyring.keys()) {
      const name = nameOf(key);
      const now = this.context.clock();
      if (key.state !== 'active' || (this.#current.get(name) ?? -Infinity) > now - REFRESH_MS) continue;
      // Before it begins: a link that comes up meanwhile takes it out again.
      this.#current.set(name, now);
      const all = await this.#catchUp(key).catch((error: unknown) => {
        this.context.logger.warn({ wallet_id: key.walletId, error }, 'could not take over the addresses in use');
        return false;
      });
      if (!all) this.#current.delete(name);
    }
  }

  /**
   * Asks the others about a key, once: before that this node proposes no index. A new member of a committee has no counters of its own, and if all are
   * new, nobody else turns it away.
   */
  #inform(key: WalletKey): Promise<unknown> {
    const name = nameOf(key);
    const known = this.#informed.get(name);
    if (known !== undefined) return known;
    const informed = this.#catchUp(key);
    this.#informed.set(name, informed);
    informed.catch(() => this.#informed.delete(name));
    return informed;
  }

  /** Whether all nodes that are linked have answered. All of the cluster are asked: the old nodes of a wallet know its addresses too. */
  async #catchUp({ walletId, committee }: WalletKey): Promise<boolean> {
    const { context } = this;
    const { members, self } = context;
    const reachable = online(context);
    const asked = members.filter((node) => node !== self && reachable.has(node));
    const claims = new Map(await Promise.all(asked.map(async (node) => [node, await this.#countersOf(node, walletId)] as const)));
    const former = await this.formerOf(walletId);
    const proven = [committee, former].every((nodes) => nodes.length === 0 || tolerated(nodes.length) > 0);
    await this.book.catchUp(walletId, believed(claims, members, committee, former), proven);
    return [...claims.values()].every((claim) => claim !== undefined);
  }

  /** Each counter once; undefined when the node does not tell all of them in time. */
  async #countersOf(node: NodeId, walletId: string): Promise<Counter[] | undefined> {
    const { context } = this;
    const counters = new Map<string, Counter>();
    const signal = AbortSignal.timeout(COUNTERS_MS);
    try {
      for (let from = 0; ; from += MAX_COUNTERS) {
        const page = await context.calls.call(node, countersMethod, { walletId, from }, { timeoutMs: COUNTERS_MS, signal });
        for (const counter of page.counters) counters.set(`${counter.account}/${counter.chain}`, counter);
        // Every counter has an address at least.
        if (page.counters.length < MAX_COUNTERS || from >= 2 * MAX_ADDRESSES) return [...counters.values()];
      }
    } catch (error) {
      context.logger.debug({ node, wallet_id: walletId, error }, 'a node does not tell its addresses in use');
      return undefined;
    }
  }
}

const nameOf = ({ walletId, share }: WalletKey): string => `${walletId}/${share.epoch}`;

/**
 * What may be believed of the claims: of each counter the (f + 1)-th largest, because one of those above it, or its author, is honest. f is that of the
 * cluster; where the nodes that know the wallet are too few for it, as in a large cluster with a small committee, that of the committee, and of the one before it.
 */
export function believed(
  claims: ReadonlyMap<NodeId, readonly Counter[] | undefined>,
  members: readonly NodeId[],
  committee: readonly NodeId[],
  former: readonly NodeId[] = [],
): Counter[] {
  const small = [committee, former].filter((nodes) => nodes.length > 0 && nodes.length - 1 <= tolerated(members.length));
  return [members, ...small].flatMap((electorate) => {
    const said = new Map<string, Counter[]>();
    for (const counter of electorate.flatMap((node) => claims.get(node) ?? [])) {
      const name = `${counter.account}/${counter.chain}`;
      said.set(name, [...(said.get(name) ?? []), counter]);
    }
    const f = tolerated(electorate.length);
    return [...said.values()].flatMap((counters) => counters.sort((a, b) => b.next - a.next).slice(f, f + 1));
  });
}
