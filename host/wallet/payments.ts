/**
 * Coordinating a payment: build → propose → collect votes → ask for signatures → broadcast. The coordinator is whichever node was asked; it has
 * no say that the others do not check.
 */
import { randomUUID } from 'node:crypto';
import { encode } from '../base/codec.ts';
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { paymentIntent as intentCodec, unsignedPayment, type UnsignedPayment } from '../bitcoin/payment.ts';
import { proposalId, signedProposal, signProposal, type SignedProposal } from '../consensus/proposal.ts';
import { defaultQuorum } from '../consensus/quorum.ts';
import type { Method } from '../mesh/calls.ts';
import { sha256 } from '../protocol/transcript.ts';
import { addressAt } from './accounts.ts';
import type { Attempts, Signed } from './attempts.ts';
import type { Builder } from './building.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { paymentProposal } from './messages.ts';
import type { Openings } from './openings.ts';
import type { Nonces } from './nonces.ts';
import { abandonMethod, signedMethod, type Notices } from './notices.ts';
import type { Pending, PendingPayments } from './pending.ts';
import type { Pools } from './pools.ts';
import type { Standing } from './standing.ts';
import { inTurn } from './turns.ts';
import type { SendRequest, TransactionInfo } from './types.ts';
import { objections, PAYMENT_KIND, proposeMethod, type Voting } from './voting.ts';

/** For votes, from the proposal on; signing has as long again. */
const VOTING_MS = 30_000;
const SIGNING_MS = 60_000;
/** Confirmations after which a transaction counts as in the chain for good. */
export const FINAL_CONFIRMATIONS = 6;

export class Payments {
  /** Building and proposing, one after the other per wallet, so that two requests do not choose the same coins. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Requests under way by idempotency key. */
  readonly #requests = new Map<string, { readonly hash: string; readonly outcome: Promise<TransactionInfo> }>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly voting: Voting,
    private readonly attempts: Attempts,
    private readonly notices: Notices,
    private readonly pools: Pools,
    private readonly nonces: Nonces,
    private readonly standing: Standing,
    private readonly builder: Builder,
    private readonly openings: Openings,
  ) {}

  /** Resolves when the payment is broadcast, or has failed: the record says which. The same idempotency key never pays twice on this node. */
  async send(walletId: string, request: SendRequest): Promise<TransactionInfo> {
    const key = this.keyring.active(walletId);
    const idempotency = request.idempotency_key;
    if (idempotency === undefined) return this.#pay(key, request, randomUUID());

    const hash = requestHash(walletId, request);
    const name = `${walletId}/${idempotency}`;
    // Found and entered without waiting in between: of any number of equal requests one is carried out, the others share its outcome.
    const known = this.#requests.get(name);
    if (known !== undefined) {
      if (known.hash === hash) return known.outcome;
      throw new Refusal(
        'idempotency.other_request',
        'idempotency_key',
        'this idempotency key is in use for another request',
        'use a new key for a new request',
        409,
      );
    }
    const outcome = this.#payOnce(key, request, idempotency, hash).finally(() => this.#requests.delete(name));
    this.#requests.set(name, { hash, outcome });
    return outcome;
  }

  async #payOnce(key: WalletKey, request: SendRequest, idempotency: string, hash: string): Promise<TransactionInfo> {
    const { idempotency: keys } = this.context.records;
    const { walletId } = key;
    const { first, row } = await keys.put(walletId, idempotency, hash);
    if (!first) {
      if (row.tx_id !== null) return this.ledger.get(row.tx_id);
      throw new Refusal(
        'idempotency_unsettled',
        'Idempotency-Key',
        'a request with this key was interrupted before it became a payment',
        'look at the list of payments, then use a new key',
        409,
      );
    }
    const txId = randomUUID();
    try {
      return await this.#pay(key, request, txId, () => keys.settle(walletId, idempotency, txId));
    } catch (error) {
      // Only if no payment came of it: the key may then be used for the corrected request.
      await keys.withdraw(walletId, idempotency).catch((failure: unknown) => {
        this.context.logger.warn({ error: failure }, 'an idempotency key could not be withdrawn');
      });
      throw error;
    }
  }

  async #pay(
    key: WalletKey,
    request: SendRequest,
    txId: string,
    recorded: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<TransactionInfo> {
    const { context } = this;
    const begin = context.clock();
    this.#requireQuorum(key);
    const { signed, pending, buildMs } = await inTurn(this.#turns, key.walletId, () => this.#propose(key, request, txId));
    let result: Signed;
    let signedAt: number;
    try {
      await recorded();
      if (!(await this.#collect(signed, pending))) return await this.ledger.get(txId);
      const voted = context.clock();
      const outcome = await this.attempts.sign(pending);
      if ('problem' in outcome) {
        // Its coins are free again: another payment takes the same ones first, so of the two only one can be in the chain.
        const caution = outcome.exposed
          ? `; a signer may hold a signature all the same, so look for ${(await this.ledger.get(txId)).txid} before paying again`
          : '';
        await this.#abandon(pending, 'failed', `not signed: ${outcome.problem}${caution}`);
        return await this.ledger.get(txId);
      }
      result = outcome;
      signedAt = context.clock();
      const timings = { build: buildMs, vote: voted - begin - buildMs, sign: signedAt - voted };
      await this.notices.store(pending, result.payment, result.mode, result.signers, timings);
    } catch (error) {
      // Nothing that was signed has left this node as long as its record does not say so.
      await this.#abandon(pending, 'failed', `interrupted: ${error instanceof Error ? error.message : String(error)}`).catch(
        (failure: unknown) =>
          context.logger.error(
            { tx_id: txId, error: failure },
            'the end of a payment could not be recorded; it ends when its time is over',
          ),
      );
      throw error;
    }
    this.#announce(pending, result);
    this.#fillNonces(key);
    return this.broadcast(txId, result.payment.hex, signedAt);
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

  async #propose(
    key: WalletKey,
    request: SendRequest,
    txId: string,
  ): Promise<{ signed: SignedProposal; pending: Pending; buildMs: number }> {
    const { context } = this;
    const begin = context.clock();
    const { intent, payment } = await this.builder.build(key, request);
    const choice = await this.#choose(key, payment.inputs);
    const createdAt = context.clock();
    // While the others vote.
    this.#fillNonces(key, payment.inputs.length);
    const proposal = {
      version: 1 as const,
      clusterId: context.clusterId,
      proposer: context.self,
      kind: PAYMENT_KIND,
      walletId: key.walletId,
      payload: encode(paymentProposal, { txId, intent: encode(intentCodec, intent), payment: encode(unsignedPayment, payment), ...choice }),
      createdAt,
      expiresAt: createdAt + VOTING_MS + SIGNING_MS,
      nonce: context.random.bytes(32),
    };
    const signed = signProposal(context.identity, proposal);
    // The own node judges it like the others do; that records it and reserves its coins.
    const id = proposalId(proposal);
    try {
      await context.calls.call(context.self, proposeMethod, { proposal: encode(signedProposal, signed) }, { timeoutMs: VOTING_MS });
    } finally {
      // Opened by now, or not to be.
      if (key.protocol === 'cggmp24') this.pools.of(key.walletId).release(choice.presignatures);
    }
    const pending = this.pending.get(id);
    if (pending === undefined) {
      const { error } = await this.ledger.get(txId);
      throw new Refusal('payment_refused', 'recipients', error ?? 'this node refuses the payment', 'correct the request', 422);
    }
    if (pending.ownVote.value === 'reject') {
      await this.#abandon(pending, 'rejected', pending.ownVote.reason);
      throw new Refusal(
        'payment_refused',
        'recipients',
        `${context.self} refuses the payment: ${pending.ownVote.reason}`,
        'correct the request, or the policy of this node',
        422,
      );
    }
    return { signed, pending, buildMs: createdAt - begin };
  }

  #fillNonces(key: WalletKey, inputs?: number): void {
    this.nonces.fill(key, inputs).catch((error: unknown) => this.context.logger.error({ wallet_id: key.walletId, error }, 'no nonces'));
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

  /** Asks the committee for votes. Resolves with true as soon as a quorum approves; with false when the payment has ended instead. */
  async #collect(signed: SignedProposal, pending: Pending): Promise<boolean> {
    const { context } = this;
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
    for (;;) {
      const { result } = pending.ballot;
      if (result === 'approved') return true;
      if (result === 'rejected' || result === 'impossible') {
        await this.#abandon(pending, result === 'rejected' ? 'rejected' : 'aborted_byzantine', objections(pending));
        return false;
      }
      const left = deadline - context.clock();
      if (left <= 0 || result === 'expired') {
        const reason = `no quorum of ${pending.quorum} within ${VOTING_MS / 1000} s; silent: ${pending.ballot.silent.join(', ') || 'nobody'}`;
        await this.ledger.expired(pending.txId, reason);
        await this.#abandon(pending, 'timed_out', reason);
        return false;
      }
      await this.pending.next(pending.id, left);
    }
  }

  /** Tells the committee the signed transaction, so that any of them can broadcast it. */
  #announce(pending: Pending, { payment, mode, signers }: Signed): void {
    this.#tell(pending, signedMethod, { proposal: pending.id, raw: fromHex(payment.hex), mode, signers: [...signers] });
  }

  /** Ends a payment that is not signed: the others are told first, so that their coins are free whatever becomes of the own record. */
  async #abandon(pending: Pending, state: 'rejected' | 'timed_out' | 'failed' | 'aborted_byzantine', reason: string): Promise<void> {
    this.pending.remove(pending.id);
    this.#tell(pending, abandonMethod, { proposal: pending.id, state, reason: reason.slice(0, 130) });
    const event = { rejected: 'reject', timed_out: 'time_out', failed: 'fail', aborted_byzantine: 'abort_byzantine' } as const;
    await this.ledger.apply(pending.txId, event[state], { error: reason });
  }

  #tell<Q, A>(pending: Pending, what: Method<Q, A>, notice: Q): void {
    const { context } = this;
    const reachable = online(context);
    for (const node of pending.roster.nodes) {
      if (node === context.self || !reachable.has(node)) continue;
      // Whoever misses it finds the transaction on the chain, or ends the payment when its time is over.
      context.calls
        .call(node, what, notice)
        .catch((error: unknown) => context.logger.warn({ node, method: what.name, tx_id: pending.txId, error }, 'a notice was not heard'));
    }
  }

  /**
   * Gives a signed transaction to the network. What cannot be reached now, or is refused for a reason that may pass, is tried again by the watcher:
   * other nodes have the transaction too, and their backends may take it. Only coins that the chain has spent otherwise end the payment.
   */
  async broadcast(txId: string, rawHex: string, since: number): Promise<TransactionInfo> {
    const { context, ledger } = this;
    await ledger.apply(txId, 'send');
    try {
      await context.esplora.broadcast(rawHex);
      await ledger.apply(txId, 'accepted', { timings: { broadcast: context.clock() - since } });
    } catch (error) {
      if (error instanceof Refusal) await this.#refused(txId, error);
      else if (!(error instanceof Unavailable)) throw error;
      else context.logger.warn({ tx_id: txId, error }, 'not broadcast yet');
    }
    return ledger.get(txId);
  }

  async #refused(txId: string, refusal: Refusal): Promise<void> {
    const { context, ledger } = this;
    const rival = await this.#spentBy(txId);
    if (rival !== undefined) {
      context.logger.error({ tx_id: txId, rival, error: refusal }, 'the coins of a signed payment were spent otherwise');
      await ledger.apply(txId, 'refused', { error: `its coins were spent by ${rival}` });
      return;
    }
    context.logger.warn({ tx_id: txId, error: refusal }, 'the backend refuses a signed payment; it is tried again');
    await ledger.note(txId, `${refusal.message}; it may still be broadcast, do not pay again`);
  }

  /** The transaction that has spent a coin of this payment for good, if there is one. */
  async #spentBy(txId: string): Promise<string | undefined> {
    const { esplora, network } = this.context;
    const { wallet_id: walletId, txid } = await this.ledger.get(txId);
    const key = this.keyring.active(walletId);
    const { inputs } = await this.ledger.payment(txId);
    const coins = new Set(inputs.map(outpoint));
    const addresses = new Set(inputs.map(({ path }) => addressAt(key, path, network)));
    const [transactions, tip] = await Promise.all([
      Promise.all([...addresses].map((address) => esplora.addressTxs(address))),
      esplora.tipHeight(),
    ]);
    return transactions
      .flat()
      .find(
        ({ txid: other, vin, status }) =>
          other !== txid &&
          status.confirmed &&
          tip - status.block_height + 1 >= FINAL_CONFIRMATIONS &&
          vin.some((input) => coins.has(outpoint(input))),
      )?.txid;
  }
}

/** What makes two requests the same request. */
const requestHash = (walletId: string, { recipients, fee_rate, metadata }: SendRequest): string =>
  hex(
    sha256(
      utf8(
        JSON.stringify([
          walletId,
          recipients.map(({ address, amount_sats }) => [address, amount_sats]),
          fee_rate ?? null,
          metadata ?? null,
        ]),
      ),
    ),
  );
