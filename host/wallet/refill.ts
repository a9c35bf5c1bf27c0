/**
 * Keeps the pools at their level. The first linked node of a wallet's committee makes jobs; the others take part. Signer sets are chosen so
 * that any single node may fail and a usable set is left: always the set with the fewest ready presignatures.
 */
import { Fault, Refusal, Unavailable } from '../base/errors.ts';
import { method } from '../mesh/calls.ts';
import type { Ceremonies } from './ceremonies.ts';
import { PRESIGN_BATCH } from './ceremony-runs.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { poolLevels, walletQuery } from './messages.ts';
import { PoolJobs } from './pool-jobs.ts';
import type { Pools } from './pools.ts';
import { Repeated } from './repeated.ts';
import type { Standing } from './standing.ts';

const levelsMethod = method('pool.levels', walletQuery, poolLevels);

/** More sets than this are not told apart: C(16, 8) of them would each need a presignature. */
const MAX_SETS = 64;

export class Refill {
  readonly #jobs: PoolJobs;
  readonly #looks: Repeated;
  /** Ends jobs between two batches; what is made by then stays. */
  readonly #stopped = new AbortController();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly ceremonies: Ceremonies,
    private readonly standing: Standing,
  ) {
    // One by one over the signer sets: whoever asks for a few wants some of each.
    this.#jobs = new PoolJobs(context, keyring, (walletId, count, signal) => this.#make(walletId, count, 1, signal));
    this.#looks = new Repeated(() => this.#look(), {
      firstMs: context.pool.checkMs,
      thenMs: context.pool.checkMs,
      failed: (error) => context.logger.warn({ error }, 'the pool was not refilled'),
    });
  }

  /** Tells other nodes the levels of this one's pool, and makes presignatures for them. Registered before the mesh starts. */
  serve(): void {
    this.#jobs.serve();
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
    this.#looks.start();
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Unavailable(this.context.self, `${this.context.self} is stopping`, 'start it again'));
    await this.#looks.stop();
  }

  async #look(): Promise<void> {
    const { context } = this;
    for (const walletId of this.pools.wallets()) {
      const key = this.keyring.active(walletId);
      // By the creation time that all signers agreed on, so all drop the same ones: what a known nonce point is worth grows with the stock and its age.
      const expired = await this.pools.expire(walletId, context.clock() - context.pool.maxAgeMs);
      if (expired > 0) context.logger.info({ wallet_id: walletId, expired }, 'old presignatures discarded');
      if (this.#jobs.leader(key.committee) !== context.self || this.keyring.auxOf(key) === undefined || this.keyring.frozen.has(walletId))
        continue;
      const { target, low, batch } = context.pool;
      // Not at the first presignature that was used: made together for one signer set, they share the cost of verification.
      const ready = await this.#ready(key);
      if (ready >= low || this.pools.generating.has(walletId)) continue;
      const sets = subsets([...key.committee.keys()], key.share.t, MAX_SETS).length;
      await this.#jobs.refill(walletId, (signal) =>
        this.#make(walletId, Math.min(target - ready, batch), Math.ceil(target / sets), signal),
      );
    }
  }

  /**
   * Makes `count` presignatures spread over the signer sets that can work now, at this node or at the one that makes them for all. Resolves with how
   * many were made. The signal ends it between two batches; what is made by then stays.
   * @throws Unavailable when the node that makes them stops in between. @throws Refusal when they do not fit into the pool
   */
  generate(walletId: string, count: number, signal: AbortSignal = new AbortController().signal): Promise<number> {
    return this.#jobs.request(walletId, count, signal);
  }

  async #make(walletId: string, count: number, chunk: number, ended: AbortSignal): Promise<number> {
    const { context } = this;
    const key = this.keyring.active(walletId);
    // Those that wait for a node that is away are of no use now, and may be again.
    const level = Math.max(await this.#ready(key), this.pools.of(walletId).counters.available);
    const room = Math.max(0, context.pool.max - level);
    if (count > room) {
      throw new Refusal(
        'pool.full',
        'count',
        `the pool has ${level} presignatures; ${count} more would exceed pool.max, ${context.pool.max}`,
        room > 0 ? `ask for at most ${room}, or raise pool.max` : 'use some first, or raise pool.max',
        409,
      );
    }
    const signal = AbortSignal.any([this.#stopped.signal, ended]);
    const planned = new Map<string, number>();
    let made = 0;
    for (const { signers, share } of await this.#plan(key, count, chunk)) {
      planned.set(signers.join(), (planned.get(signers.join()) ?? 0) + share);
    }
    for (const [set, share] of planned) {
      for (let left = share; left > 0;) {
        signal.throwIfAborted();
        const batch = Math.min(left, PRESIGN_BATCH);
        await this.#lead(key, set.split(',').map(Number), batch);
        left -= batch;
        made += batch;
        context.events.publish({ type: 'pool', pool: await this.pools.status(walletId, online(context)) });
      }
    }
    return made;
  }

  /** Ready presignatures of the whole pool that can be used now. */
  async #ready(key: WalletKey): Promise<number> {
    return [...(await this.#levels(key)).values()].reduce((sum, level) => sum + level, 0);
  }

  async #lead(key: WalletKey, signers: readonly number[], count: number): Promise<void> {
    const { walletId, walletName, committee } = key;
    const kind = { kind: 'presign', protocol: 'cggmp24' } as const;
    try {
      await this.ceremonies.lead({
        ...kind,
        walletId,
        walletName,
        threshold: key.share.t,
        committee: [...committee],
        signers: [...signers],
        count,
      });
    } catch (error) {
      // Runs of this node's own are noted where they end. Of others only the word of who led it is known: it, or who it names.
      if (error instanceof Fault && !signers.includes(committee.indexOf(this.context.self)))
        this.standing.note([committee[signers[0]!]!, ...error.culprits.flatMap((position) => committee[signers[position] ?? -1] ?? [])]);
      throw error;
    }
  }

  /**
   * `count` presignatures in shares of up to `chunk`, the poorest signer set first; sets without this node are among them, because they are what is left when it fails.
   * Nodes that have let runs down lately are in none, while others suffice.
   * @throws Unavailable when too few nodes are linked.
   */
  async #plan(key: WalletKey, count: number, chunk: number): Promise<{ signers: number[]; share: number }[]> {
    const { context } = this;
    const reachable = online(context);
    const linked = key.committee.filter((node) => reachable.has(node));
    const able = this.standing.sufficient(linked, key.share.t).map((node) => key.committee.indexOf(node));
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
