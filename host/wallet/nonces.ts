/**
 * Taproot signatures in one round: nonce commitments are fetched from the other members before there is a payment, and each signer that is asked signs
 * with a pair that it gave to this coordinator. Each node keeps its own pairs; a coordinator keeps what it was given, and asks again for what was lost.
 * A wrong or stale list costs nothing but the round that it was meant to save: payments are then signed in two rounds.
 */
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { NonceCommitment } from '../frost/signing.ts';
import { NonceStock } from '../presign/nonces.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { MAX_NONCES, noncesRequest, noncesResponse } from './messages.ts';

const noncesMethod = method('frost.nonces', noncesRequest, noncesResponse);

type FrostKey = WalletKey & { readonly protocol: 'frost' };
/** Commitments of one member for one key and epoch. */
const nameOf = ({ walletId, share }: FrostKey, node: NodeId): string => `${walletId}/${share.epoch}/${node}`;

export class Nonces {
  /** The pairs of this node. */
  readonly own: NonceStock;
  /** What others gave to this node, oldest first. */
  readonly #given = new Map<string, NonceCommitment[]>();
  readonly #asking = new Map<string, Promise<void>>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
  ) {
    this.own = new NonceStock({ burns: context.burns, random: context.random });
  }

  serve(): void {
    const { context } = this;
    context.calls.serve(noncesMethod, (from, { walletId, epoch, count, fresh }) => {
      const key = this.keyring.active(walletId);
      const none = key.protocol !== 'frost' || key.share.epoch !== epoch || !key.committee.includes(from) || context.pool.target === 0;
      const made = none ? [] : this.own.prepare(key.share, from, fresh, count);
      return Promise.resolve({ commitments: made.map(({ D, E }) => ({ D, E })) });
    });
    // A node that comes back has forgotten what it gave.
    context.mesh.onPeer((node, status) => {
      if (status !== 'active' && status !== 'degraded') this.forget(node);
    });
  }

  /** Asks the linked members of the committee for commitments where fewer than `inputs`, or than a quarter of the target, are left. */
  async fill(key: WalletKey, inputs = 0): Promise<void> {
    const { context } = this;
    const target = Math.min(Math.max(context.pool.target, inputs), MAX_NONCES);
    if (key.protocol !== 'frost' || context.pool.target === 0) return;
    const reachable = online(context);
    const poor = key.committee.filter((node) => {
      const held = this.#given.get(nameOf(key, node))?.length ?? 0;
      return node !== context.self && reachable.has(node) && (held < inputs || 4 * held < target);
    });
    await Promise.all(poor.map((node) => this.#ask(key, node, target)));
  }

  /**
   * For each input the commitments of `signers` (committee indices), each to be used once, this node's own among them; undefined when there are not
   * enough of somebody's.
   */
  take(key: WalletKey, signers: readonly number[], inputs: number): NonceCommitment[][] | undefined {
    const { context } = this;
    if (key.protocol !== 'frost') return undefined;
    const others = signers.map((index) => key.committee[index]!).filter((node) => node !== context.self);
    if (!others.every((node) => (this.#given.get(nameOf(key, node))?.length ?? 0) >= inputs)) return undefined;
    const own = this.own.prepare(key.share, context.self, context.random.bytes(32), inputs);
    const bySigner = signers.map((index) => {
      const node = key.committee[index]!;
      return node === context.self ? own : this.#given.get(nameOf(key, node))!.splice(0, inputs);
    });
    return Array.from({ length: inputs }, (_, input) => bySigner.map((list) => list[input]!));
  }

  /** What was given by a node that has lost it. */
  forget(node: NodeId): void {
    for (const name of this.#given.keys()) if (name.endsWith(`/${node}`)) this.#given.delete(name);
  }

  /** After a change of the key: pairs of the old epoch go, those of this node and what is known of others'. */
  renew(walletId: string): void {
    this.own.purge(walletId);
    for (const name of this.#given.keys()) if (name.startsWith(`${walletId}/`)) this.#given.delete(name);
  }

  /** One question to a node at a time. */
  async #ask(key: FrostKey, node: NodeId, count: number): Promise<void> {
    const name = nameOf(key, node);
    const asking = this.#asking.get(name) ?? this.#fetch(key, node, count).finally(() => this.#asking.delete(name));
    this.#asking.set(name, asking);
    await asking;
  }

  async #fetch(key: FrostKey, node: NodeId, count: number): Promise<void> {
    const { context } = this;
    const request = { walletId: key.walletId, epoch: key.share.epoch, count, fresh: context.random.bytes(32) };
    try {
      const { commitments } = await context.calls.call(node, noncesMethod, request, { timeoutMs: 5_000 });
      const index = key.committee.indexOf(node);
      const held = this.#given.get(nameOf(key, node)) ?? [];
      this.#given.set(nameOf(key, node), [...held, ...commitments.slice(0, count).map(({ D, E }) => ({ index, D, E }))]);
    } catch (error) {
      // Without it the payment takes two rounds; the next one asks again.
      context.logger.debug({ node, wallet_id: key.walletId, error }, 'no nonce commitments');
    }
  }
}
