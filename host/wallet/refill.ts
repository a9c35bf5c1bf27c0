/**
 * Keeps the pools at their level. The first linked node of a wallet's committee makes jobs; the others take part. Signer sets are chosen so
 * that any single node may fail and a usable set is left: always the set with the fewest ready presignatures.
 */
import { Unavailable } from '../base/errors.ts';
import { method } from '../mesh/calls.ts';
import type { Ceremonies } from './ceremonies.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { poolLevels, walletQuery } from './messages.ts';
import type { Pools } from './pools.ts';

const levelsMethod = method('pool.levels', walletQuery, poolLevels);

/** More sets than this are not told apart: C(16, 8) of them would each need a presignature. */
const MAX_SETS = 64;

/**
 * A pool is refilled when this part of it is missing, not at the first presignature that was used: made together for one signer set, presignatures
 * share the cost of verification.
 */
const REFILL_FRACTION = 4;

interface GenerateOptions {
  /** Presignatures that one signer set gets before the next poorest is looked for. */
  readonly chunk?: number;
}

export class Refill {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  /** Ends jobs between two signer sets; what is made by then stays. */
  readonly #stopped = new AbortController();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly ceremonies: Ceremonies,
  ) {}

  /** Tells other nodes the levels of this one's pool. Registered before the mesh starts. */
  serve(): void {
    this.context.calls.serve(levelsMethod, (_from, { walletId }) => {
      const { committee } = this.keyring.active(walletId);
      const sets = this.pools
        .of(walletId)
        .levels()
        .map(({ signers, ready }) => ({ signers: signers.map((node) => committee.indexOf(node)), ready }));
      return Promise.resolve({ sets });
    });
  }

  start(): void {
    const tick = () => {
      this.#running = this.#look()
        .catch((error: unknown) => this.context.logger.warn({ error }, 'the pool was not refilled'))
        .finally(() => {
          if (this.#timer !== undefined) this.#timer = setTimeout(tick, this.context.pool.checkMs);
        });
    };
    this.#timer = setTimeout(tick, this.context.pool.checkMs);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stopped.abort(new Unavailable(this.context.self, `${this.context.self} is stopping`, 'start it again'));
    await this.#running;
  }

  async #look(): Promise<void> {
    const { context } = this;
    for (const walletId of this.pools.wallets()) {
      const key = this.keyring.active(walletId);
      // By the creation time that all signers agreed on, so all drop the same ones: what a known nonce point is worth grows with the stock and its age.
      const expired = await this.pools.of(walletId).expire(context.clock() - context.pool.maxAgeMs);
      if (expired > 0) context.logger.info({ wallet_id: walletId, expired }, 'old presignatures discarded');
      const reachable = online(context);
      if (
        key.committee.find((node) => reachable.has(node)) !== context.self ||
        this.keyring.auxOf(key) === undefined ||
        this.keyring.frozen.has(walletId)
      )
        continue;
      const ready = [...(await this.#levels(key)).values()].reduce((sum, level) => sum + level, 0);
      const { target, batch } = context.pool;
      const missing = target - ready;
      if (missing <= 0 || missing < Math.floor(target / REFILL_FRACTION) || this.pools.generating.has(walletId)) continue;
      const sets = subsets([...key.committee.keys()], key.share.t, MAX_SETS).length;
      await this.generate(walletId, Math.min(missing, batch), { chunk: Math.ceil(target / sets) });
    }
  }

  /**
   * Makes `count` presignatures spread over the signer sets that can work now. Resolves with how many were made.
   * @throws Unavailable when this node stops in between.
   */
  async generate(walletId: string, count: number, { chunk = 1 }: GenerateOptions = {}): Promise<number> {
    const { context } = this;
    const key = this.keyring.active(walletId);
    const planned = new Map<string, number>();
    let made = 0;
    for (const { signers, share } of await this.#plan(key, count, chunk)) {
      planned.set(signers.join(), (planned.get(signers.join()) ?? 0) + share);
    }
    for (const [set, share] of planned) {
      this.#stopped.signal.throwIfAborted();
      await this.ceremonies.lead({
        kind: 'presign',
        protocol: 'cggmp24',
        walletId,
        walletName: key.walletName,
        threshold: key.share.t,
        committee: [...key.committee],
        signers: set.split(',').map(Number),
        count: share,
      });
      made += share;
      context.events.publish({ type: 'pool', pool: this.pools.status(walletId, online(context)) });
    }
    return made;
  }

  /**
   * `count` presignatures in shares of up to `chunk`, the poorest signer set first; sets without this node are among them, because they are what is left when it fails.
   * @throws Unavailable when too few nodes are linked.
   */
  async #plan(key: WalletKey, count: number, chunk: number): Promise<{ signers: number[]; share: number }[]> {
    const { context } = this;
    const reachable = online(context);
    const able = key.committee.flatMap((node, index) => (reachable.has(node) ? [index] : []));
    if (able.length < key.share.t) {
      const missing = key.committee.filter((node) => !reachable.has(node));
      throw new Unavailable(
        'mesh',
        `presigning needs ${key.share.t} linked nodes; missing: ${missing.join(', ')}`,
        'start the missing nodes, then try again',
      );
    }
    const known = await this.#levels(key);
    const level = new Map(subsets(able, key.share.t, MAX_SETS).map((set) => [set, known.get(set.join()) ?? 0]));
    return Array.from({ length: Math.ceil(count / chunk) }, (_, k) => {
      const share = Math.min(chunk, count - k * chunk);
      const poorest = [...level.keys()].reduce((best, set) => (level.get(set)! < level.get(best)! ? set : best));
      level.set(poorest, level.get(poorest)! + share);
      return { signers: poorest, share };
    });
  }

  /** Ready presignatures by signer set, each as the linked member says that has the fewest: one that a member lacks cannot be used. */
  async #levels(key: WalletKey): Promise<Map<string, number>> {
    const { context } = this;
    const members = key.committee.filter((node) => online(context).has(node));
    const answers = await Promise.allSettled(members.map((node) => context.calls.call(node, levelsMethod, { walletId: key.walletId })));
    // A node that does not answer now has no say; the next look asks it again.
    const told = new Map(
      answers.flatMap((answer, i) =>
        answer.status === 'rejected'
          ? []
          : [
              [
                key.committee.indexOf(members[i]!),
                new Map(answer.value.sets.map(({ signers, ready }) => [signers.join(), ready])),
              ] as const,
            ],
      ),
    );
    const levels = new Map<string, number>();
    for (const set of new Set([...told.values()].flatMap((sets) => [...sets.keys()]))) {
      const signers = set.split(',').map(Number);
      // Of no use while a member is away, so not counted: the sets without it are filled instead.
      if (!signers.every((index) => told.has(index))) continue;
      levels.set(set, Math.min(...signers.map((index) => told.get(index)!.get(set) ?? 0)));
    }
    return levels;
  }
}

/** The first `limit` subsets of `size` items, in order. */
export function subsets(items: readonly number[], size: number, limit: number): number[][] {
  const out: number[][] = [];
  const extend = (from: number, chosen: number[]): void => {
    if (out.length >= limit) return;
    if (chosen.length === size) {
      out.push(chosen);
      return;
    }
    for (let i = from; i <= items.length - (size - chosen.length); i++) extend(i + 1, [...chosen, items[i]!]);
  };
  extend(0, []);
  return out;
}
