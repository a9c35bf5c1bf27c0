/**
 * Who makes presignatures for a wallet, and when: one node at a time, one job after the other. Whichever node is asked hands the request to the first
 * linked node of the wallet's committee, which refills the pool by itself too; a request that comes while it does ends the refill at the next batch
 * and goes first. Two nodes that differ over who is linked may both begin: then the exclusion of ceremonies decides, and one of them is told to wait.
 */
import { Refusal, Unavailable } from '../base/errors.ts';
import { hex } from '../base/bytes.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import { accepted, poolJob, poolJobEnd, poolJobResult } from './messages.ts';
import { inTurn } from './turns.ts';

const generateMethod = method('pool.generate', poolJob, poolJobResult);
const endMethod = method('pool.end', poolJobEnd, accepted);

/** For a job at another node, and those before it. */
const JOB_TIMEOUT_MS = 60 * 60_000;
/** Requests for one wallet that wait or run at once. */
const MAX_QUEUED = 8;

/** Makes presignatures until done or stopped; resolves with how many. */
export type Make = (walletId: string, count: number, signal: AbortSignal) => Promise<number>;

export class PoolJobs {
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #queued = new Map<string, number>();
  /** Refills under way, by wallet. */
  readonly #refills = new Map<string, AbortController>();
  /** Jobs that other nodes have asked for, by their id. */
  readonly #asked = new Map<string, { readonly from: NodeId; readonly end: AbortController }>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly make: Make,
  ) {}

  /** Registered before the mesh starts. */
  serve(): void {
    const { calls } = this.context;
    calls.serve(generateMethod, async (from, { id, walletId, count }) => {
      if (!this.keyring.active(walletId).committee.includes(from))
        throw new Refusal('pool.not_a_member', 'wallet_id', `${from} has no part in this key`, 'ask for a wallet of your own', 403);
      const end = new AbortController();
      this.#asked.set(hex(id), { from, end });
      try {
        return { made: await this.#queue(walletId, count, end.signal) };
      } finally {
        this.#asked.delete(hex(id));
      }
    });
    calls.serve(endMethod, (from, { id }) => {
      const job = this.#asked.get(hex(id));
      if (job?.from === from) job.end.abort(new Unavailable(from, `${from} has ended its request`, 'ask again'));
      return Promise.resolve({ ok: 1 });
    });
  }

  /** Which node makes presignatures for a wallet now. */
  leader(committee: readonly NodeId[]): NodeId | undefined {
    const reachable = online(this.context);
    return committee.find((node) => reachable.has(node));
  }

  /**
   * Makes `count` presignatures, here or at the leader. Resolves with how many. The signal ends the job between two batches; what is made by then stays.
   * @throws Refusal when too many wait already, or they do not fit into the pool. @throws Unavailable when too few nodes are linked
   */
  async request(walletId: string, count: number, signal: AbortSignal): Promise<number> {
    const { context } = this;
    const leader = this.leader(this.keyring.active(walletId).committee);
    if (leader === undefined || leader === context.self) return this.#queue(walletId, count, signal);
    const id = context.random.bytes(32);
    const told = (): void => {
      context.calls.call(leader, endMethod, { id }).catch((error: unknown) => {
        context.logger.warn({ node: leader, error }, 'the end of a request for presignatures was not heard');
      });
    };
    signal.addEventListener('abort', told);
    try {
      return (await context.calls.call(leader, generateMethod, { id, walletId, count }, { timeoutMs: JOB_TIMEOUT_MS, signal })).made;
    } finally {
      signal.removeEventListener('abort', told);
    }
  }

  /** The refill of this node: not while anything else is made, and ended by whoever asks for presignatures. */
  async refill(walletId: string, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    if (this.#turns.has(walletId)) return;
    const end = new AbortController();
    this.#refills.set(walletId, end);
    try {
      await inTurn(this.#turns, walletId, () => work(end.signal));
    } catch (error) {
      if (error !== end.signal.reason) throw error;
    } finally {
      this.#refills.delete(walletId);
    }
  }

  async #queue(walletId: string, count: number, signal: AbortSignal): Promise<number> {
    const queued = this.#queued.get(walletId) ?? 0;
    if (queued >= MAX_QUEUED) {
      throw new Refusal(
        'pool.busy',
        'count',
        `${this.context.self} has ${queued} requests for presignatures of this wallet already`,
        'wait until they are done; the pool status shows how far they are',
        429,
      );
    }
    this.#queued.set(walletId, queued + 1);
    this.#refills.get(walletId)?.abort(new Unavailable(this.context.self, 'presignatures are asked for', 'the refill goes on later'));
    try {
      return await inTurn(this.#turns, walletId, () => {
        signal.throwIfAborted();
        return this.make(walletId, count, signal);
      });
    } finally {
      const left = this.#queued.get(walletId)! - 1;
      if (left === 0) this.#queued.delete(walletId);
      else this.#queued.set(walletId, left);
    }
  }
}
