/**
 * Coordinating a payment: build → propose → collect votes → ask for signatures → broadcast. The coordinator is whichever node was asked; it has
 * no say that the others do not check.
 */
import { randomUUID } from 'node:crypto';
import { encode } from '../base/codec.ts';
import { bytesToBigint, fromHex, hex, utf8 } from '../base/bytes.ts';
import { Fault, invariant, Refusal, Unavailable } from '../base/errors.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { feeRate } from '../bitcoin/fees.ts';
import { paymentIntent as intentCodec, unsignedPayment, type PaymentIntent, type UnsignedPayment } from '../bitcoin/payment.ts';
import { sighashPreimage } from '../bitcoin/sighash.ts';
import { attachEcdsa, attachSchnorr, buildPayment, finalize, type SignedPayment } from '../bitcoin/transaction.ts';
import { bitcoinSighash } from '../cggmp24/sighash.ts';
import { combine } from '../cggmp24/sign.ts';
import { quorumCertificate, type QuorumCertificate } from '../consensus/certificate.ts';
import { proposalId, signedProposal, signProposal, type SignedProposal } from '../consensus/proposal.ts';
import type { NodeId } from '../mesh/types.ts';
import { sha256 } from '../protocol/transcript.ts';
import { scriptOf, walletInfo } from './accounts.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { ended, type Ledger } from './ledger.ts';
import { paymentProposal, type SignRequest } from './messages.ts';
import { abandonMethod, signedMethod, type Notices } from './notices.ts';
import type { Pending, PendingPayments } from './pending.ts';
import type { Pools } from './pools.ts';
import { MAX_ATTEMPTS, signMethod, type Signer } from './signer.ts';
import type { SendRequest, TransactionInfo } from './types.ts';
import { objections, PAYMENT_KIND, proposeMethod, type Voting } from './voting.ts';

/** For votes, from the proposal on; signing has as long again. */
const VOTING_MS = 30_000;
const SIGNING_MS = 60_000;
/** One answer to a request for signatures, by mode. */
const ANSWER_MS = { pool: 5_000, interactive: 60_000, frost: 15_000 } as const;
/** Blocks within which a payment without a fee rate should confirm. */
const CONFIRMATION_TARGET = 6;

interface Attempt {
  readonly mode: SignRequest['mode'];
  /** Committee indices, ascending; this node among them. */
  readonly signers: readonly number[];
  readonly presignatures: readonly Uint8Array[];
}

export class Payments {
  /** Building and proposing, one after the other per wallet, so that two requests do not choose the same coins. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Requests under way by idempotency key. */
  readonly #requests = new Map<string, Promise<TransactionInfo>>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly voting: Voting,
    private readonly signer: Signer,
    private readonly notices: Notices,
  ) {}

  /** Resolves when the payment is broadcast, or has failed: the record says which. The same idempotency key never pays twice. */
  async send(walletId: string, request: SendRequest): Promise<TransactionInfo> {
    const key = this.keyring.active(walletId);
    const idempotency = request.idempotency_key;
    if (idempotency === undefined) return this.#pay(key, request, randomUUID());

    const { records } = this.context;
    const { idempotency_key: _, ...body } = request;
    const hash = hex(
      sha256(
        utf8(
          JSON.stringify([walletId, body.recipients.map((r) => [r.address, r.amount_sats]), body.fee_rate ?? null, body.metadata ?? null]),
        ),
      ),
    );
    const { first, row } = await records.idempotency.put(walletId, idempotency, hash);
    const name = `${walletId}/${idempotency}`;
    if (!first) {
      const running = this.#requests.get(name);
      if (running !== undefined) return running;
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
    const run = (async () => {
      try {
        return await this.#pay(key, request, txId, () => records.idempotency.settle(walletId, idempotency, txId));
      } catch (error) {
        // Only if no payment came of it: the key may then be used for the corrected request.
        await records.idempotency.withdraw(walletId, idempotency);
        throw error;
      } finally {
        this.#requests.delete(name);
      }
    })();
    this.#requests.set(name, run);
    return run;
  }

  async #pay(
    key: WalletKey,
    request: SendRequest,
    txId: string,
    recorded: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<TransactionInfo> {
    const { context } = this;
    const begin = context.clock();
    this.#requireSigners(key);
    const turn = (this.#turns.get(key.walletId) ?? Promise.resolve()).catch(() => undefined).then(() => this.#propose(key, request, txId));
    this.#turns.set(key.walletId, turn);
    const { signed, pending, buildMs } = await turn;
    await recorded();

    const certificate = await this.#collect(signed, pending);
    if (certificate === undefined) return this.ledger.get(txId);
    const voted = context.clock();

    const result = await this.#sign(pending, certificate);
    if (result === undefined) return this.ledger.get(txId);
    const signedAt = context.clock();
    await this.notices.store(pending, result.payment, result.mode, result.signers, {
      build: buildMs,
      vote: voted - begin - buildMs,
      sign: signedAt - voted,
    });
    this.#announce(pending, result);
    return this.broadcast(txId, result.payment.hex, signedAt);
  }

  /** @throws Unavailable when too few nodes are linked to sign anything: better before coins are reserved than after. */
  #requireSigners(key: WalletKey): void {
    const reachable = online(this.context);
    const missing = key.committee.filter((node) => !reachable.has(node));
    if (key.committee.length - missing.length >= key.share.t) return;
    throw new Unavailable(
      'mesh',
      `${key.share.t} of ${key.share.n} nodes must be linked to pay; missing: ${missing.join(', ')}`,
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
    const { intent, payment } = await this.#build(key, request);
    const createdAt = context.clock();
    const proposal = {
      version: 1 as const,
      clusterId: context.clusterId,
      proposer: context.self,
      kind: PAYMENT_KIND,
      walletId: key.walletId,
      payload: encode(paymentProposal, { txId, intent: encode(intentCodec, intent), payment: encode(unsignedPayment, payment) }),
      createdAt,
      expiresAt: createdAt + VOTING_MS + SIGNING_MS,
      nonce: context.random.bytes(32),
    };
    const signed = signProposal(context.identity, proposal);
    // The own node judges it like the others do; that records it and reserves its coins.
    const id = proposalId(proposal);
    await context.calls.call(context.self, proposeMethod, { proposal: encode(signedProposal, signed) }, { timeoutMs: VOTING_MS });
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

  async #build(key: WalletKey, request: SendRequest): Promise<{ intent: PaymentIntent; payment: UnsignedPayment }> {
    const { esplora, network, policy, records } = this.context;
    const { address } = walletInfo(key, network);
    const [coins, held, rate] = await Promise.all([
      esplora.coinsOf(address),
      records.transactions.reserved(key.walletId),
      request.fee_rate === undefined ? esplora.feeRate(CONFIRMATION_TARGET) : Promise.resolve(feeRate(request.fee_rate)),
    ]);
    const taken = new Set(held.map(outpoint));
    const intent: PaymentIntent = {
      recipients: request.recipients.map((recipient) => ({ address: recipient.address, amount: BigInt(recipient.amount_sats) })),
      metadata: request.metadata === undefined ? undefined : utf8(request.metadata),
      feeRate: rate < policy.minFeeRate ? policy.minFeeRate : rate,
    };
    const free = coins.filter((coin) => !taken.has(outpoint(coin)));
    return { intent, payment: buildPayment({ wallet: scriptOf(key), network, intent, coins: free, policy }) };
  }

  /** Asks the committee for votes. Resolves with the certificate as soon as a quorum approves; undefined when the payment has ended instead. */
  async #collect(signed: SignedProposal, pending: Pending): Promise<QuorumCertificate | undefined> {
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
      const { certificate, result } = pending.ballot;
      if (certificate !== undefined) return certificate;
      if (result === 'rejected' || result === 'impossible') {
        await this.#abandon(pending, result === 'rejected' ? 'rejected' : 'aborted_byzantine', objections(pending));
        return undefined;
      }
      const left = deadline - context.clock();
      if (left <= 0 || result === 'expired') {
        const reason = `no quorum of ${pending.quorum} within ${VOTING_MS / 1000} s; silent: ${pending.ballot.silent.join(', ') || 'nobody'}`;
        await this.ledger.expired(pending.txId, pending.id, reason);
        await this.#abandon(pending, 'timed_out', reason);
        return undefined;
      }
      await this.pending.next(pending.id, left);
    }
  }

  /** Up to three tries with different signers. Undefined when all have failed and the payment has ended. */
  async #sign(
    pending: Pending,
    certificate: QuorumCertificate,
  ): Promise<{ payment: SignedPayment; mode: SignRequest['mode']; signers: NodeId[] } | undefined> {
    const { context } = this;
    const { key } = pending;
    const excluded = new Set<NodeId>();
    const problems: string[] = [];
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const plan = this.#plan(pending, excluded);
      if (plan === undefined) {
        problems.push(`fewer than ${key.share.t} nodes are linked, approve and have not failed`);
        break;
      }
      const signers = plan.signers.map((index) => key.committee[index]!);
      try {
        return { payment: await this.#attempt(pending, certificate, plan, attempt, excluded), mode: plan.mode, signers };
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        problems.push(problem);
        context.logger.warn({ tx_id: pending.txId, attempt, mode: plan.mode, signers, error }, 'signing attempt failed');
        if (plan.mode === 'pool') await this.pools.of(key.walletId).discard(plan.presignatures, 'attempt failed');
      }
    }
    await this.#abandon(pending, 'failed', `not signed: ${problems.join('; ')}`);
    return undefined;
  }

  /** Who signs, and how: from the pool when it has a presignature for each input, interactively otherwise. */
  #plan({ key, payment, ballot }: Pending, excluded: ReadonlySet<NodeId>): Attempt | undefined {
    const { context } = this;
    const reachable = online(context);
    const approvers = new Set(
      ballot.votes.filter(({ vote, counted }) => counted && vote.value === 'approve').map(({ vote }) => vote.voter),
    );
    const able = key.committee.filter((node) => reachable.has(node) && approvers.has(node) && !excluded.has(node));
    if (able.length < key.share.t || !able.includes(context.self)) return undefined;
    if (key.protocol === 'cggmp24' && context.pool.target > 0) {
      const choice = this.pools.of(key.walletId).choose(able, payment.inputs.length);
      if (choice !== undefined) {
        return { mode: 'pool', signers: choice.signers.map((node) => key.committee.indexOf(node)), presignatures: choice.ids };
      }
    }
    const others = able.filter((node) => node !== context.self).slice(0, key.share.t - 1);
    const signers = [context.self, ...others].map((node) => key.committee.indexOf(node)).sort((a, b) => a - b);
    return { mode: key.protocol === 'frost' ? 'frost' : 'interactive', signers, presignatures: [] };
  }

  async #attempt(
    pending: Pending,
    certificate: QuorumCertificate,
    plan: Attempt,
    attempt: number,
    excluded: Set<NodeId>,
  ): Promise<SignedPayment> {
    const { context } = this;
    const { key, payment } = pending;
    const request: SignRequest = {
      proposal: pending.id,
      certificate: encode(quorumCertificate, { ...certificate, votes: [...certificate.votes] }),
      mode: plan.mode,
      attempt,
      nonce: context.random.bytes(32),
      signers: [...plan.signers],
      presignatures: [...plan.presignatures],
    };
    const nodes = plan.signers.map((index) => key.committee[index]!);
    const own = this.signer.sign(context.self, request);
    const answers = await Promise.allSettled(
      nodes.map(async (node) =>
        node === context.self
          ? (await own).results
          : (await context.calls.call(node, signMethod, request, { timeoutMs: ANSWER_MS[plan.mode], class: 'signing' })).results,
      ),
    );
    const failures = answers.flatMap((answer, i) =>
      answer.status === 'rejected' ? [{ node: nodes[i]!, reason: answer.reason as unknown }] : [],
    );
    if (failures.length > 0) {
      // In the pool each signer answers by itself, so whoever failed is left out next time. In a session one failure is everybody's.
      const blamed = failures.filter(
        ({ node, reason }) => node !== context.self && (plan.mode === 'pool' || reason instanceof Unavailable),
      );
      for (const { node } of blamed) excluded.add(node);
      for (const { reason } of failures)
        if (reason instanceof Fault) for (const position of reason.culprits) excluded.add(nodes[position]!);
      throw new Unavailable(
        'signers',
        failures.map(({ node, reason }) => `${node}: ${reason instanceof Error ? reason.message : String(reason)}`).join('; '),
        'the payment is tried again with other signers',
      );
    }
    const results = answers.map((answer) => (answer as PromiseFulfilledResult<Uint8Array[]>).value);
    const { presignatures } = await own;
    const script = scriptOf(key);
    const witnesses = await Promise.all(
      payment.inputs.map(async (_, input) => {
        if (plan.mode !== 'pool') {
          const signature = results[nodes.indexOf(context.self)]![input]!;
          if (plan.mode === 'frost') return attachSchnorr(payment, input, signature);
          return attachEcdsa(
            payment,
            input,
            { r: bytesToBigint(signature.slice(0, 32)), s: bytesToBigint(signature.slice(32)) },
            script.publicKey,
          );
        }
        const presignature = presignatures[input];
        invariant(presignature !== undefined, 'this node gave a partial signature for every input');
        const partials = new Map(results.map((given, position) => [position, bytesToBigint(given[input] ?? new Uint8Array())]));
        try {
          return attachEcdsa(
            payment,
            input,
            combine(presignature, bitcoinSighash(sighashPreimage(payment, input)), partials),
            script.publicKey,
          );
        } catch (error) {
          if (error instanceof Fault) await this.#accuse(pending, error, nodes, excluded);
          throw error;
        }
      }),
    );
    return finalize(payment, witnesses);
  }

  /** A wrong partial signature is proven by the presignature's public part: its author signs no more of this payment, and the record names it. */
  async #accuse(pending: Pending, fault: Fault, nodes: readonly NodeId[], excluded: Set<NodeId>): Promise<void> {
    for (const position of fault.culprits) {
      const node = nodes[position]!;
      excluded.add(node);
      await this.ledger.violation(
        node,
        'invalid_partial_signature',
        pending.txId,
        fault.message,
        fault.evidence.signed === undefined ? [] : [fault.evidence.signed],
      );
    }
  }

  /** Tells the committee the signed transaction, so that any of them can broadcast it. */
  #announce(pending: Pending, { payment, mode, signers }: { payment: SignedPayment; mode: SignRequest['mode']; signers: NodeId[] }): void {
    const { context } = this;
    const notice = { proposal: pending.id, raw: fromHex(payment.hex), mode, signers };
    for (const node of pending.roster.nodes) {
      if (node === context.self || !online(context).has(node)) continue;
      context.calls
        .call(node, signedMethod, notice)
        .catch((error: unknown) => context.logger.warn({ node, error }, 'the signed payment was not heard'));
    }
  }

  async #abandon(pending: Pending, state: 'rejected' | 'timed_out' | 'failed' | 'aborted_byzantine', reason: string): Promise<void> {
    const { context } = this;
    this.pending.remove(pending.id);
    const event = { rejected: 'reject', timed_out: 'time_out', failed: 'fail', aborted_byzantine: 'abort_byzantine' } as const;
    await this.ledger.apply(pending.txId, event[state], { error: reason });
    for (const node of pending.roster.nodes) {
      if (node === context.self || !online(context).has(node)) continue;
      context.calls
        .call(node, abandonMethod, { proposal: pending.id, state, reason: reason.slice(0, 130) })
        .catch((error: unknown) => context.logger.debug({ node, error }, 'the end of the payment was not heard'));
    }
  }

  /** Gives a signed transaction to the network. What cannot be reached now is tried again by the watcher. */
  async broadcast(txId: string, rawHex: string, since: number): Promise<TransactionInfo> {
    const { context, ledger } = this;
    await ledger.apply(txId, 'send');
    try {
      await context.esplora.broadcast(rawHex);
      await ledger.apply(txId, 'accepted', { timings: { broadcast: context.clock() - since } });
    } catch (error) {
      if (error instanceof Refusal) {
        const refused = await ledger.apply(txId, 'refused', { error: error.message });
        context.logger.error({ tx_id: txId, error }, 'the network refuses a signed payment');
        if (refused !== undefined && ended(refused)) return refused;
      } else if (!(error instanceof Unavailable)) throw error;
      else context.logger.warn({ tx_id: txId, error }, 'not broadcast yet');
    }
    return ledger.get(txId);
  }
}
