/** One try of a payment: proposed to the committee, its votes collected, and if they do not approve it, given up. */
import { encode } from '../base/codec.ts';
import { invariant, Refusal, Unavailable } from '../base/errors.ts';
import { paymentIntent as intentCodec, unsignedPayment, type UnsignedPayment } from '../bitcoin/payment.ts';
import { proposalId, signedProposal, signProposal, type SignedProposal } from '../consensus/proposal.ts';
import { defaultQuorum } from '../consensus/quorum.ts';
import type { Method } from '../mesh/calls.ts';
import type { Built } from './building.ts';
import { online, type WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { paymentProposal } from './messages.ts';
import type { Nonces } from './nonces.ts';
import { abandonMethod } from './notices.ts';
import { contested, notFreeIn, objections } from './objections.ts';
import type { Openings } from './openings.ts';
import { paymentIdOf } from './payment-id.ts';
import type { Pending, PendingPayments } from './pending.ts';
import type { Visitor } from './places.ts';
import type { Pools } from './pools.ts';
import type { Standing } from './standing.ts';
import { PAYMENT_KIND, proposeMethod, type Voting } from './voting.ts';

/** For votes, from the proposal on; signing has as long again. */
const VOTING_MS = 30_000;
const SIGNING_MS = 60_000;

/** The payment would be signed without the pool, and too many of this node are at the moment. Nothing has been proposed. */
export class NoPlace extends Error {
  override readonly name = 'NoPlace';
}

type EndState = 'rejected' | 'timed_out' | 'failed' | 'aborted_byzantine';

interface Proposed {
  readonly signed: SignedProposal;
  readonly pending: Pending;
}
/** A try that was not approved, and is given up. */
interface GivenUp {
  readonly txId: string;
  readonly payment: UnsignedPayment;
  /** Coins that were not free, when it has failed for them. */
  readonly lost: readonly string[] | undefined;
  /** Settles when the others have heard of it, or cannot. */
  readonly told: Promise<unknown>;
  /** For the last try. @throws Refusal when this node itself had an objection. */
  end(): { readonly ended: string };
}

export class Proposals {
  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly voting: Voting,
    private readonly pools: Pools,
    private readonly nonces: Nonces,
    private readonly standing: Standing,
    private readonly openings: Openings,
  ) {}

  /**
   * Puts a payment before this node itself, which judges it like the others do; that records it and reserves its coins.
   * @throws NoPlace when it needs one, Unavailable when too few nodes are linked.
   */
  async propose(key: WalletKey, { intent, payment }: Built, place: Visitor): Promise<Proposed> {
    const { context } = this;
    this.#requireQuorum(key);
    const choice = await this.#choose(key, payment.inputs);
    if (key.protocol === 'cggmp24' && choice.signers.length === 0 && !place.tryEnter()) throw new NoPlace();
    const createdAt = context.clock();
    // While the others vote.
    this.fillNonces(key, payment.inputs.length);
    const named = { clusterId: context.clusterId, proposer: context.self, nonce: context.random.bytes(32) };
    const txId = paymentIdOf(named);
    const proposal = {
      ...named,
      version: 1 as const,
      kind: PAYMENT_KIND,
      walletId: key.walletId,
      payload: encode(paymentProposal, { txId, intent: encode(intentCodec, intent), payment: encode(unsignedPayment, payment), ...choice }),
      createdAt,
      expiresAt: createdAt + VOTING_MS + SIGNING_MS,
    };
    const signed = signProposal(context.identity, proposal);
    try {
      await context.calls.call(context.self, proposeMethod, { proposal: encode(signedProposal, signed) }, { timeoutMs: VOTING_MS });
    } finally {
      // Opened by now, or not to be.
      if (key.protocol === 'cggmp24') this.pools.of(key.walletId).release(choice.presignatures);
    }
    const pending = this.pending.known(proposalId(proposal));
    invariant(pending !== undefined, 'what this node has voted on it knows');
    return { signed, pending };
  }

  /** `recorded` is done before others hear of the proposal. */
  async decide(
    { signed, pending }: Proposed,
    recorded: (pending: Pending) => Promise<unknown>,
  ): Promise<{ readonly pending: Pending } | GivenUp> {
    const { self } = this.context;
    const { ownVote, payment, txId } = pending;
    try {
      if (ownVote.value === 'reject') {
        const { told } = await this.abandon(pending, 'rejected', ownVote.reason);
        const end = (): never => {
          const message = `${self} refuses the payment: ${ownVote.reason}`;
          throw new Refusal('payment_refused', 'recipients', message, 'correct the request, or the policy of this node', 422);
        };
        return { txId, payment, lost: notFreeIn(ownVote, payment), told, end };
      }
      await recorded(pending);
      return await this.#collect(signed, pending);
    } catch (error) {
      await this.interrupted(pending, error);
      throw error;
    }
  }

  fillNonces(key: WalletKey, inputs?: number): void {
    this.nonces.fill(key, inputs).catch((error: unknown) => this.context.logger.error({ wallet_id: key.walletId, error }, 'no nonces'));
  }

  /**
   * Ends a payment that is not signed: the others are told first, so that their coins are free whatever becomes of the own record. `told` settles when all who are
   * linked have heard of it, or cannot.
   */
  async abandon(pending: Pending, state: EndState, reason: string): Promise<{ readonly told: Promise<unknown> }> {
    this.pending.remove(pending.id);
    const told = this.tell(pending, abandonMethod, { proposal: pending.id, state, reason: reason.slice(0, 130) });
    const event = { rejected: 'reject', timed_out: 'time_out', failed: 'fail', aborted_byzantine: 'abort_byzantine' } as const;
    await this.ledger.apply(pending.txId, event[state], { error: reason });
    return { told };
  }

  /** The same of a payment that an error of this node has ended. */
  async interrupted(pending: Pending, error: unknown, caution = ''): Promise<void> {
    const reason = `interrupted: ${error instanceof Error ? error.message : String(error)}${caution}`;
    await this.abandon(pending, 'failed', reason).catch((failure: unknown) =>
      this.context.logger.error(
        { tx_id: pending.txId, error: failure },
        'the end of a payment could not be recorded; it ends when its time is over',
      ),
    );
  }

  /** Tells the committee. Whoever misses it finds the transaction on the chain, or ends the payment when its time is over. */
  tell<Q, A>(pending: Pending, what: Method<Q, A>, notice: Q): Promise<unknown> {
    const { context } = this;
    const reachable = online(context);
    const others = pending.roster.nodes.filter((node) => node !== context.self && reachable.has(node));
    const unheard = (node: string) => (error: unknown) =>
      context.logger.warn({ node, method: what.name, tx_id: pending.txId, error }, 'a notice was not heard');
    return Promise.all(others.map((node) => context.calls.call(node, what, notice).catch(unheard(node))));
  }

  /** @throws Unavailable when too few nodes are linked to decide anything: better before coins are reserved than after. */
  #requireQuorum(key: WalletKey): void {
    const reachable = online(this.context);
    const missing = key.committee.filter((node) => !reachable.has(node));
    const quorum = defaultQuorum(key.share.t, key.share.n);
    if (key.committee.length - missing.length >= quorum) return;
    throw new Unavailable(
      'mesh',
      `${quorum} of ${key.share.n} nodes must be linked to pay; missing: ${missing.join(', ')}`,
      'start the missing nodes; nothing was signed',
    );
  }

  /** The presignatures that the proposal names: of a signer set that is linked, this node in it. None when the pool is off, blocked or used up. */
  async #choose(key: WalletKey, inputs: UnsignedPayment['inputs']): Promise<{ signers: number[]; presignatures: Uint8Array[] }> {
    const none = { signers: [], presignatures: [] };
    const { context } = this;
    const paths = inputs.map(({ path }) => path);
    if (key.protocol !== 'cggmp24' || context.pool.target === 0 || !this.openings.willing(context.self, paths)) return none;
    const willing = () => new Set([...online(context)].filter((node) => this.openings.willing(node, paths)));
    // Of a set with a node that has let runs down lately, only when there is no other.
    const preferred = () => new Set(this.standing.sufficient(key.committee.filter((node) => willing().has(node)), key.share.t)); // prettier-ignore
    const choice = await this.pools.choose(key.walletId, willing, inputs.length, preferred);
    if (choice === undefined) return none;
    return { signers: choice.signers.map((node) => key.committee.indexOf(node)), presignatures: [...choice.ids] };
  }

  /** Asks the committee for votes. Resolves as soon as a quorum approves, or when the payment has ended instead. */
  async #collect(signed: SignedProposal, pending: Pending): Promise<{ readonly pending: Pending } | GivenUp> {
    const { context } = this;
    const { txId, payment } = pending;
    const reachable = online(context);
    const request = { proposal: encode(signedProposal, signed) };
    for (const node of pending.roster.nodes) {
      if (node === context.self || !reachable.has(node)) continue;
      context.calls
        .call(node, proposeMethod, request, { timeoutMs: VOTING_MS })
        .then(({ vote }) => this.voting.answered(node, pending.id, vote))
        .catch((error: unknown) => context.logger.warn({ node, error }, 'no vote'));
    }
    const deadline = context.clock() + VOTING_MS;
    const givenUp = async (state: EndState, reason: string, lost?: readonly string[]): Promise<GivenUp> => {
      const { told } = await this.abandon(pending, state, reason);
      return { txId, payment, lost, told, end: () => ({ ended: txId }) };
    };
    for (;;) {
      const { result } = pending.ballot;
      if (result === 'approved') return { pending };
      if (result === 'rejected') return givenUp('rejected', objections(pending), contested(pending));
      if (result === 'impossible') return givenUp('aborted_byzantine', objections(pending));
      const left = deadline - context.clock();
      if (left <= 0 || result === 'expired') {
        const reason = `no quorum of ${pending.quorum} within ${VOTING_MS / 1000} s; silent: ${pending.ballot.silent.join(', ') || 'nobody'}`;
        await this.ledger.expired(txId, reason);
        return givenUp('timed_out', reason);
      }
      await this.pending.next(pending.id, left);
    }
  }
}
