/**
 * Getting signatures for an approved payment: up to three tries with different signers. Who failed is judged by what this node saw for itself;
 * what one signer says about another only changes who is asked first next time.
 */
import { bytesToBigint, hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Abandoned, Fault, invariant, Refusal, Unavailable } from '../base/errors.ts';
import { sighashPreimage } from '../bitcoin/sighash.ts';
import { attachEcdsa, attachSchnorr, finalize, type InputWitness, type SignedPayment } from '../bitcoin/transaction.ts';
import type { Rerandomised } from '../cggmp24/rerandomise.ts';
import { quorumCertificate } from '../consensus/certificate.ts';
import { modQ } from '../curve/secp256k1.ts';
import { deriveShare } from '../frost/derive.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { aggregate, type NonceCommitment } from '../frost/signing.ts';
import type { NodeId } from '../mesh/types.ts';
import { scriptOf } from './accounts.ts';
import { online, type WalletContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { SignRequest } from './messages.ts';
import type { Nonces } from './nonces.ts';
import type { Openings } from './openings.ts';
import type { Pending, PendingPayments } from './pending.ts';
import { MAX_ATTEMPTS, NO_NONCES, NO_PRESIGNATURE, signMethod, type Signer } from './signer.ts';
import type { Standing } from './standing.ts';

/** One answer to a request for signatures in one round. */
const ANSWER_MS = 5_000;
/** A whole session, with all inputs; and more when it has come to the error rounds, which have limits of their own (signer.ts). */
const SESSION_MS = { interactive: 60_000, frost: 15_000 } as const;
/** Signers in an error round answer when they have verified all proofs, at their own pace; this node does not wait for them once it has. */
const ERROR_ROUND_MS = 5 * 60_000;
/** After a session has failed here, time for the others to say how it ended for them. */
const REASON_MS = 1_500;
/** How long further votes are waited for when those who approved cannot sign. */
const MORE_VOTES_MS = 30_000;
/** How long openings that are missing, or better signers, are waited for before the payment is signed without: far less than interactive signing takes. */
const SHORT_WAIT_MS = 1_000;

export interface Signed {
  readonly payment: SignedPayment;
  readonly mode: SignRequest['mode'];
  readonly signers: readonly NodeId[];
  /** Whether the other signers hold the signature as well. */
  readonly shared: boolean;
}
export interface NotSigned {
  readonly problem: string;
  /** Whether a signer may hold a complete signature although this node does not. */
  readonly exposed: boolean;
}

interface Plan {
  readonly mode: SignRequest['mode'];
  /** Committee indices, ascending; this node among them. */
  readonly signers: readonly number[];
  readonly nodes: readonly NodeId[];
  /** FROST in one round: by input, the commitments of the signers. Undefined for two rounds. */
  readonly commitments?: readonly (readonly NonceCommitment[])[] | undefined;
}
/** Each signer answers for itself with its part, and this node puts them together; otherwise they run a session. */
const inOneRound = ({ mode, commitments }: Plan): boolean => mode === 'pool' || commitments !== undefined;

/** What the tries for one payment have taught; the next payments know it as the standing of the nodes. */
class Experience {
  /** They were silent, refused, or sent what was wrong: not asked again for this payment. */
  readonly excluded = new Set<NodeId>();
  /** Named by others, or gone without a reason that this node could check: asked last. */
  readonly suspicion = new Map<NodeId, number>();

  constructor(private readonly standing: Standing) {}

  exclude(node: NodeId): void {
    this.excluded.add(node);
    this.standing.note([node]);
  }
  suspect(node: NodeId | undefined): void {
    if (node === undefined) return;
    this.suspicion.set(node, (this.suspicion.get(node) ?? 0) + 1);
    this.standing.note([node]);
  }
  /** Who has the least against it comes first. */
  readonly order = (a: NodeId, b: NodeId): number =>
    (this.suspicion.get(a) ?? 0) - (this.suspicion.get(b) ?? 0) || this.standing.of(a) - this.standing.of(b);
}

export class Attempts {
  constructor(
    private readonly context: WalletContext,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly openings: Openings,
    private readonly nonces: Nonces,
    private readonly signer: Signer,
    private readonly standing: Standing,
  ) {}

  async sign(pending: Pending): Promise<Signed | NotSigned> {
    const { context } = this;
    const { key } = pending;
    const experience = new Experience(this.standing);
    const problems: string[] = [];
    let exposed = false;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const plan = this.#withNonces(pending, await this.#planWithMoreVotes(pending, experience), attempt);
      if (plan === undefined) {
        problems.push(`fewer than ${key.share.t} nodes are linked, approve and have not failed`);
        break;
      }
      try {
        const payment = await this.#attempt(pending, plan, attempt, experience);
        context.logger.info({ tx_id: pending.txId, attempt, mode: plan.mode, signers: plan.nodes }, 'signed');
        return { payment, mode: plan.mode, signers: plan.nodes, shared: exposed || !inOneRound(plan) };
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
        context.logger.warn({ tx_id: pending.txId, attempt, mode: plan.mode, signers: plan.nodes, error }, 'signing attempt failed');
        // A session gives every signer the signature; of parts only this node could put it together.
        exposed ||= !inOneRound(plan);
      }
    }
    return { problem: problems.join('; '), exposed };
  }

  /**
   * A quorum may have approved before others have voted: while those who can still do, a try that lacks signers waits for them, and one that lacks
   * openings, or would be with a node that has let runs down lately, waits a little.
   */
  async #planWithMoreVotes(pending: Pending, experience: Experience): Promise<Plan | undefined> {
    const { context } = this;
    const { ballot, id, proposal } = pending;
    const deadline = proposal.createdAt + MORE_VOTES_MS;
    const shortDeadline = context.clock() + SHORT_WAIT_MS;
    for (;;) {
      const plan = this.#plan(pending, experience);
      const reachable = online(context);
      const hoped = ballot.silent.filter((node) => reachable.has(node) && !experience.excluded.has(node));
      const waitForOpenings =
        plan?.mode === 'interactive' &&
        this.openings.state(pending) === 'waiting' &&
        pending.stock!.nodes.every((node) => !ballot.silent.includes(node) || hoped.includes(node));
      const waitForBetter = plan !== undefined && plan.mode !== 'pool' && plan.nodes.some((node) => this.standing.of(node) > 0);
      const short = waitForOpenings || waitForBetter;
      const left = (short ? shortDeadline : deadline) - context.clock();
      if ((plan !== undefined && !short) || hoped.length === 0 || left <= 0) return plan;
      await this.pending.next(id, Math.min(left, 500));
    }
  }

  /** Who signs, and how: from the pool when all that the proposal names have opened, interactively otherwise. */
  #plan(pending: Pending, { excluded, order }: Experience): Plan | undefined {
    const { context } = this;
    const { key, ballot, stock } = pending;
    const reachable = online(context);
    const approvers = new Set(
      ballot.votes.filter(({ vote, counted }) => counted && vote.value === 'approve').map(({ vote }) => vote.voter),
    );
    const able = key.committee.filter((node) => reachable.has(node) && approvers.has(node) && !excluded.has(node));
    if (able.length < key.share.t || !able.includes(context.self)) return undefined;
    if (stock?.nodes.every((node) => able.includes(node)) === true && this.openings.state(pending) === 'complete')
      return { mode: 'pool', signers: stock.signers, nodes: stock.nodes };
    const others = able
      .filter((node) => node !== context.self)
      .sort(order)
      .slice(0, key.share.t - 1);
    const signers = [context.self, ...others].map((node) => key.committee.indexOf(node)).sort((a, b) => a - b);
    const mode = key.protocol === 'frost' ? 'frost' : 'interactive';
    return { mode, signers, nodes: signers.map((index) => key.committee[index]!) };
  }

  /** FROST signs in one round in the first try, when there are commitments of all signers; afterwards in two. */
  #withNonces({ key, payment }: Pending, plan: Plan | undefined, attempt: number): Plan | undefined {
    if (plan?.mode !== 'frost' || attempt > 0) return plan;
    return { ...plan, commitments: this.nonces.take(key, plan.signers, payment.inputs.length) };
  }

  async #attempt(pending: Pending, plan: Plan, attempt: number, experience: Experience): Promise<SignedPayment> {
    // Whoever has not answered when this try is over is not waited for.
    const over = new AbortController();
    try {
      return await this.#ask(pending, plan, attempt, experience, over.signal);
    } finally {
      over.abort();
    }
  }

  async #ask(pending: Pending, plan: Plan, attempt: number, experience: Experience, over: AbortSignal): Promise<SignedPayment> {
    const { context } = this;
    const { certificate } = pending.ballot;
    invariant(certificate !== undefined, 'a payment is signed after a quorum has approved it');
    const request: SignRequest = {
      proposal: pending.id,
      certificate: encode(quorumCertificate, { ...certificate, votes: [...certificate.votes] }),
      mode: plan.mode,
      attempt,
      nonce: context.random.bytes(32),
      signers: [...plan.signers],
      commitments: (plan.commitments ?? []).map((list) => list.map(({ D, E }) => ({ D, E }))),
    };
    const lost = new AbortController();
    const limit = plan.mode === 'pool' ? ANSWER_MS : SESSION_MS[plan.mode];
    const late = () => lost.abort(new Unavailable('signers', `no signature within ${limit / 1000} s`, 'ask other signers'));
    const timer = setTimeout(late, limit);
    const ask = async (node: NodeId): Promise<Uint8Array[]> => {
      try {
        return (
          await context.calls.call(node, signMethod, request, {
            timeoutMs: inOneRound(plan) ? ANSWER_MS : ERROR_ROUND_MS,
            class: 'signing',
            signal: over,
          })
        ).results;
      } catch (error) {
        // Without its signer a session cannot succeed: nobody need wait for the silence.
        if (!(error instanceof Fault)) lost.abort(error);
        throw error;
      }
    };
    // The others first: they work while this node does its own part.
    const asked = plan.nodes.map((node) => (node === context.self ? undefined : ask(node)));
    const own = this.signer.sign(context.self, request, { signal: lost.signal, errorRound: () => clearTimeout(timer) });
    const answers = asked.map((answer) => answer ?? own.then(({ results }) => results));
    const settled = Promise.allSettled(answers);
    const [given] = await Promise.allSettled([own]);
    clearTimeout(timer);
    if (!inOneRound(plan) && given.status === 'fulfilled') return this.#fromSession(pending, plan, given.value.results);

    // In a session everybody hears soon that it has failed; in one round each signer answers for itself.
    const reported = await (inOneRound(plan) ? settled : withinMs(answers, REASON_MS));
    const failures = reported.flatMap((answer, i) =>
      answer.status === 'rejected' ? [{ node: plan.nodes[i]!, reason: answer.reason as unknown }] : [],
    );
    if (failures.length > 0 || given.status === 'rejected') {
      for (const { node, reason } of failures) this.#learn(plan, node, reason, experience);
      throw new Unavailable(
        'signers',
        failures.map(({ node, reason }) => `${node}: ${reason instanceof Error ? reason.message : String(reason)}`).join('; '),
        'the payment is tried again with other signers',
      );
    }
    const results = reported.map((answer) => (answer as PromiseFulfilledResult<Uint8Array[]>).value);
    return plan.commitments === undefined
      ? this.#fromPartials(pending, plan, given.value.made, results, experience)
      : this.#fromShares(pending, plan, plan.commitments, results, experience);
  }

  #learn(plan: Plan, node: NodeId, reason: unknown, experience: Experience): void {
    const { self } = this.context;
    const { nodes } = plan;
    if (node === self) {
      // What this node has verified, or waited for, itself.
      if (reason instanceof Fault)
        for (const position of reason.culprits) if (nodes[position] !== self) experience.exclude(nodes[position]!);
      if (reason instanceof Abandoned) experience.suspect(nodes[reason.by]);
      return;
    }
    // It can sign without.
    if (reason instanceof Refusal && reason.code === NO_NONCES) return this.nonces.forget(node);
    if (reason instanceof Refusal && reason.code === NO_PRESIGNATURE) return;
    if (!inOneRound(plan) && reason instanceof Fault) {
      // It may be right about the party that it names, or be the one that misbehaves; neither can be told from here.
      if (reason.culprits.length > 0) experience.suspect(node);
      for (const position of reason.culprits) if (nodes[position] !== self) experience.suspect(nodes[position]);
    } else experience.exclude(node);
  }

  #fromSession(pending: Pending, { mode }: Plan, signatures: readonly Uint8Array[]): SignedPayment {
    const { payment, key } = pending;
    const witnesses = payment.inputs.map(({ path }, input) => {
      const signature = signatures[input]!;
      if (mode === 'frost') return attachSchnorr(payment, input, signature);
      const [r, s] = [bytesToBigint(signature.slice(0, 32)), bytesToBigint(signature.slice(32))];
      return attachEcdsa(payment, input, { r, s }, scriptOf(key, path).publicKey);
    });
    return finalize(payment, witnesses);
  }

  async #fromPartials(
    pending: Pending,
    { nodes }: Plan,
    made: readonly Rerandomised[],
    results: readonly (readonly Uint8Array[])[],
    experience: Experience,
  ): Promise<SignedPayment> {
    const { payment } = pending;
    const witnesses: InputWitness[] = [];
    for (const input of payment.inputs.keys()) {
      const rerandomised = made[input];
      invariant(rerandomised !== undefined, 'this node gave a partial signature for every input');
      const partials = new Map(results.map((given, position) => [position, bytesToBigint(given[input] ?? new Uint8Array())]));
      try {
        // points.publicKey: the key at the path of the input.
        const publicKey = rerandomised.points.publicKey.toBytes(true);
        witnesses.push(attachEcdsa(payment, input, rerandomised.combine(partials), publicKey));
      } catch (error) {
        if (error instanceof Fault) {
          for (const position of error.culprits) {
            const node = nodes[position]!;
            experience.exclude(node);
            await this.#accuse(pending, node, error, [
              pending.stock!.presignatures[input]!,
              results[position]?.[input] ?? new Uint8Array(),
            ]);
          }
        }
        throw error;
      }
    }
    return finalize(payment, witnesses);
  }

  async #fromShares(
    pending: Pending,
    { nodes, signers }: Plan,
    commitments: readonly (readonly NonceCommitment[])[],
    results: readonly (readonly Uint8Array[])[],
    experience: Experience,
  ): Promise<SignedPayment> {
    const { payment, key } = pending;
    invariant(key.protocol === 'frost', 'nonce commitments are for FROST');
    const witnesses: InputWitness[] = [];
    for (const [input, list] of commitments.entries()) {
      const given = results.map((answers) => answers[input] ?? new Uint8Array());
      const message = taprootSighash(sighashPreimage(payment, input));
      const shares = new Map(signers.map((index, position) => [index, modQ(bytesToBigint(given[position]!))]));
      const result = aggregate(deriveShare(key.share, payment.inputs[input]!.path), list, message, shares);
      if (result.signature !== undefined) {
        witnesses.push(attachSchnorr(payment, input, result.signature));
        continue;
      }
      const fault = new Fault(result.cheaters.map((index) => signers.indexOf(index)), 'wrong signature share', { round: 'frost-sign/share', detail: 'z_j·G = ±(D_j + ρ_j·E_j) + λ_j·c·Y_j does not hold' }); // prettier-ignore
      for (const position of fault.culprits) {
        experience.exclude(nodes[position]!);
        const { D, E } = list[position]!;
        await this.#accuse(pending, nodes[position]!, fault, [D.toBytes(true), E.toBytes(true), given[position]!]);
      }
      throw fault;
    }
    return finalize(payment, witnesses);
  }

  /**
   * A wrong partial signature shows against the public part of the presignature and the votes, or against the nonce commitments: its author is in the
   * record, with what shows it.
   */
  async #accuse(pending: Pending, node: NodeId, fault: Fault, evidence: readonly Uint8Array[]): Promise<void> {
    this.context.logger.warn({ tx_id: pending.txId, node, used: hex(evidence[0]!) }, 'wrong partial signature');
    await this.ledger.violation(node, 'invalid_partial_signature', pending.txId, fault.message, evidence);
  }
}

/** What has settled within `ms`; the rest counts as unavailable, and is not waited for. */
function withinMs<T>(promises: readonly Promise<T>[], ms: number): Promise<PromiseSettledResult<T>[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unavailable('signers', 'no answer after the session failed', 'ask other signers')), ms);
  });
  return Promise.allSettled(promises.map((promise) => Promise.race([promise, late]))).finally(() => clearTimeout(timer));
}
