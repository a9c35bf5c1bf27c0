/**
 * Proposals and votes. Every node judges a proposal against its own view of the chain and its own policy, stores its vote before it sends it,
 * tells everybody, and counts what it hears; so every node can build the certificate by itself.
 */
import { encode } from '../base/codec.ts';
import { hex, utf8 } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import type { WalletPath } from '../bitcoin/paths.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { amountOf, paymentIntent as intentCodec, unsignedPayment, type PaymentIntent, type UnsignedPayment } from '../bitcoin/payment.ts';
import { spentPaths, validatePayment } from '../bitcoin/validation.ts';
import { Ballot, type Receipt } from '../consensus/ballot.ts';
import { proposalId, signedProposal, verifyProposal, type SignedProposal } from '../consensus/proposal.ts';
import { defaultQuorum } from '../consensus/quorum.ts';
import { describe } from '../consensus/violation.ts';
import { MAX_REASON_BYTES, signVote, vote as voteCodec, type Vote } from '../consensus/vote.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import { addressAt, scriptOf } from './accounts.ts';
import type { AddressBook } from './address-book.ts';
import { Allowance } from './allowance.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { endAbandoned, type EarlyEnds } from './early-ends.ts';
import { EarlyVotes } from './early-votes.ts';
import { accepted, parse, paymentProposal, proposeRequest, proposeResponse, voteNotice } from './messages.ts';
import { objectionExtension, objections, type Objection } from './objections.ts';
import { stockOf, type Openings } from './openings.ts';
import { mayName } from './payment-id.ts';
import type { Pending, PendingPayments } from './pending.ts';
import { inTurn } from './turns.ts';
import type { VoteInfo } from './types.ts';

export const PAYMENT_KIND = 'payment';
export const proposeMethod = method('payment.propose', proposeRequest, proposeResponse);
const voteMethod = method('payment.vote', voteNotice, accepted);

/** How long a proposal may be open: its coins are held for it, so nobody may ask for more than voting and signing take. */
export const MAX_PROPOSAL_MS = 120_000;
/** Inputs of proposals of one node that may be looked at in vain in an hour, beyond those of payments that this node has voted for. */
const MAX_LOOKS = 1_000;
/** Codes of refusals that other coins could change. */
const UNSEEN: ReadonlySet<string> = new Set(['unknown_input', 'unconfirmed_input']);

/** How long a vote waits before everybody is told: longer than a signature from the pool takes, and nothing beside the time that a proposal is open. */
const TELL_AFTER_MS = 250;

export class Voting {
  /**
   * One decision at a time per proposer, so that one who proposes much waits for itself; that two proposals do not both find a coin free, the records see to
   * (`inputs.reserved`).
   */
  readonly #turns = new Map<NodeId, Promise<unknown>>();
  /** Proposals that wait for their turn. */
  readonly #waiting = new Map<NodeId, number>();
  /** Inputs looked at for proposals that this node has then voted against. */
  readonly #looks: Allowance;
  readonly #early = new EarlyVotes();
  /** Payments whose vote the others have yet to be told. */
  readonly #untold: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    readonly ledger: Ledger,
    readonly pending: PendingPayments,
    private readonly openings: Openings,
    private readonly book: AddressBook,
    private readonly ends: EarlyEnds,
  ) {
    this.#looks = new Allowance(MAX_LOOKS, context.clock);
  }

  serve(): void {
    const { calls } = this.context;
    calls.serve(proposeMethod, async (from, { proposal }) => ({ vote: encode(voteCodec, await this.#receive(from, proposal)) }));
    calls.serve(voteMethod, async (from, notice) => {
      await this.#count(from, notice.proposal, notice.vote);
      return { ok: 1 };
    });
  }

  /** Tells what is still to be told. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#tell();
  }

  /** Counts the answer to a proposal of this node: the same as a vote that was told. */
  answered(from: NodeId, id: Uint8Array, vote: Uint8Array): Promise<void> {
    return this.#count(from, id, vote);
  }

  /**
   * Counts the votes of a certificate that was verified: this node may not have heard them all, and a node that told its proposer something else than the
   * others shows here. What is new is for the record of whoever acts on the certificate; misbehaviour is on record when `noted` resolves.
   */
  certified(pending: Pending, votes: readonly Vote[]): { readonly heard: readonly VoteInfo[]; readonly noted: Promise<void> } {
    const receipts = votes.map((vote) => ({ vote, receipt: pending.ballot.add(vote) }));
    this.pending.changed(pending.id);
    const heard = receipts.filter(({ receipt }) => isKept(receipt)).map(({ vote }) => vote);
    const note = async (): Promise<void> => {
      for (const { receipt } of receipts) await this.#accuse(pending, receipt);
      for (const vote of heard) await this.openings.heard(pending, vote);
    };
    return { heard: heard.map(voteInfo), noted: note() };
  }

  async #receive(from: NodeId, encoded: Uint8Array): Promise<Vote> {
    const signed = parse(signedProposal, encoded, 'proposal');
    const { context } = this;
    const { proposal } = signed;
    if (proposal.proposer !== from)
      throw refused('proposer', `${from} brings a proposal of ${proposal.proposer}`, 'propose under the own name');
    if (proposal.kind !== PAYMENT_KIND) throw refused('kind', `unknown kind of proposal: ${proposal.kind}`, 'propose payments');
    verifyProposal(signed, { roster: context.roster, clusterId: context.clusterId, now: context.clock() });
    if (proposal.expiresAt - proposal.createdAt > MAX_PROPOSAL_MS)
      throw refused('expiresAt', `a payment that stays open for more than ${MAX_PROPOSAL_MS / 1000} s`, 'let it expire earlier');
    this.keyring.active(proposal.walletId);
    const known = this.pending.get(proposalId(proposal));
    // A vote is given once; asked again, the node repeats what it said.
    if (known !== undefined) return known.ownVote;
    const waiting = this.#waiting.get(from) ?? 0;
    if (this.pending.fullFor(from, waiting))
      throw new Unavailable('node', `${context.self} has too many pending payments`, 'wait until some of them are final');

    this.#waiting.set(from, waiting + 1);
    try {
      return await inTurn(this.#turns, from, () => this.#decide(signed));
    } finally {
      this.#waiting.set(from, this.#waiting.get(from)! - 1);
    }
  }

  async #decide(signed: SignedProposal): Promise<Vote> {
    const { context } = this;
    const { proposal } = signed;
    const id = proposalId(proposal);
    const again = this.pending.get(id);
    if (again !== undefined) return again.ownVote;
    const isGivenUp = () => this.ends.of(proposal.proposer, id);
    if (isGivenUp() !== undefined) throw refused('proposal', 'the payment was given up before it was judged here', 'propose again');
    const key = this.keyring.active(proposal.walletId);
    if (!key.committee.includes(proposal.proposer))
      throw refused('proposer', `${proposal.proposer} is not of the committee of this wallet`, 'let a member propose', 403);
    const content = parse(paymentProposal, proposal.payload, 'payload');
    if (!mayName(proposal, content.txId))
      throw refused('txId', `${content.txId} is no id of this proposal`, 'use the one that follows from it');
    const payment = parse(unsignedPayment, content.payment, 'payment');
    const intent = parse(intentCodec, content.intent, 'intent');
    if (proposal.proposer !== context.self && !this.#looks.has(proposal.proposer))
      throw refused('proposer', `${proposal.proposer} has proposed too much that came to nothing`, 'wait an hour', 429);

    const roster = context.roster.only(key.committee);
    const quorum = defaultQuorum(key.share.t, key.share.n);
    const ballot = new Ballot({ proposal, roster, quorum, clock: context.clock });
    const stock = stockOf(content, key, payment.inputs);
    const objection = await this.#judge(content.txId, proposal.proposer, key, payment, intent, { id, quorum });
    // Opened for this proposal alone, durably, before the vote that shows the openings exists.
    const [opened] = await Promise.all([
      objection === undefined ? this.openings.open({ id, proposer: proposal.proposer, key, stock }) : undefined,
      this.ledger.apply(content.txId, 'propose'),
    ]);
    if (objection !== undefined) await this.openings.refuse({ proposer: proposal.proposer, key, stock });
    const ownVote = signVote(context.identity, context.clusterId, {
      proposal: id,
      value: objection === undefined ? 'approve' : 'reject',
      reason: clip(objection?.reason ?? ''),
      timestamp: context.clock(),
      extension: objection === undefined ? this.openings.extension(opened) : objectionExtension(objection),
    });
    const pending: Pending = {
      id,
      txId: content.txId,
      proposal,
      payment,
      key,
      roster,
      quorum,
      ballot,
      ownVote,
      stock,
      opened,
      answered: new Set(),
      accused: new Set(),
    };
    this.pending.add(pending);
    await this.#count(context.self, id, encode(voteCodec, ownVote));
    const end = isGivenUp();
    if (end !== undefined) await endAbandoned(this, pending, end);
    // What this node would propose and does not approve itself, nobody else has been asked about.
    else if (objection === undefined || proposal.proposer !== context.self) this.#tellSoon(pending);
    for (const early of this.#early.take(id)) await this.#count(early.from, id, early.encoded);
    return ownVote;
  }

  /** Why this node will not have the payment, or undefined. What it approves is recorded, and its coins are reserved, before the vote exists. */
  async #judge(
    txId: string,
    proposer: NodeId,
    key: WalletKey,
    payment: UnsignedPayment,
    intent: PaymentIntent,
    round: { id: Uint8Array; quorum: number },
  ): Promise<Objection | undefined> {
    const { context, ledger } = this;
    const { policy, network, esplora } = context;
    let objection: Objection | undefined;
    // Not seen unspent: this node's backend, or the proposer's, may lag behind.
    let unseen: number[] = [];
    let looked = false;
    try {
      if (amountOf(payment) > policy.maxPayment) {
        throw refused(
          'amount_sats',
          `${amountOf(payment)} sat is over this node's limit of ${policy.maxPayment} sat per payment`,
          'send less',
        );
      }
      // Asked afresh, exactly the addresses that are spent from, and a few at a time: each is a question to the backend.
      const paths = spentPaths(payment, policy);
      looked = true;
      const addresses = paths.map((path) => addressAt(key, path, network));
      const tipHeight = await esplora.tipHeight();
      const coins = await esplora.coinsOfEach(addresses, tipHeight);
      const seen = new Set(
        coins.flat().flatMap((coin) => (coin.confirmations >= Math.max(1, policy.minConfirmations) ? [outpoint(coin)] : [])),
      );
      unseen = [...payment.inputs.keys()].filter((position) => !seen.has(outpoint(payment.inputs[position]!)));
      const below = (path: WalletPath) => scriptOf(key, path);
      validatePayment(payment, { wallet: scriptOf(key), below, network, policy, intent, view: { coins: coins.flat(), tipHeight } });
      const [account, , index] = payment.changePath;
      // From the vote on the change is looked at, so it must be where this node would look.
      if (account !== undefined && index !== undefined) {
        const verdict = await this.book.change(key.walletId, { account, index }, proposer);
        if (verdict === 'often')
          throw refused('changePath', `${proposer} has taken too many change addresses for payments that were not made`, 'wait an hour');
        if (verdict !== 'accepted')
          throw refused('changePath', `change address ${index} of account ${account} is too far ahead`, 'take the next one');
      }
    } catch (error) {
      // Unable to check is a no as well: a node approves only what it has seen for itself.
      if (!(error instanceof Refusal) && !(error instanceof Unavailable)) throw error;
      const lost = error instanceof Refusal && UNSEEN.has(error.code);
      objection = { reason: error.message, ...(lost && { notFree: unseen }) };
    }
    try {
      await ledger.open({
        txId,
        proposer,
        key,
        payment,
        intent,
        proposal: round.id,
        quorum: round.quorum,
        reserve: objection === undefined,
      });
    } catch (error) {
      if (!(error instanceof Refusal) || objection !== undefined) throw error;
      const held = new Set((await context.records.transactions.reserved(key.walletId)).map(outpoint));
      const notFree = [...payment.inputs.keys()].filter((position) => held.has(outpoint(payment.inputs[position]!)));
      objection = { reason: error.message, ...(error.code === 'inputs.reserved' && { notFree }) };
      await ledger.open({ txId, proposer, key, payment, intent, proposal: round.id, quorum: round.quorum, reserve: false });
    }
    if (looked) this.#looks.spend(proposer, objection === undefined ? -payment.inputs.length : payment.inputs.length);
    return objection;
  }

  async #count(from: NodeId, id: Uint8Array, encoded: Uint8Array): Promise<void> {
    const pending = this.pending.known(id);
    if (pending === undefined) return this.#early.keep(from, id, encoded);
    if (this.pending.get(id) === undefined) {
      // The payment has ended here; what a late vote says is kept for the record.
      await this.#note(pending, pending.ballot.receive(encoded, from), encoded);
      return;
    }
    const before = pending.ballot.result;
    const receipt = pending.ballot.receive(encoded, from);
    // The ballot has moved, whatever becomes of the record.
    this.pending.changed(pending.id);
    const value = await this.#note(pending, receipt, encoded);
    await this.openings.heard(pending, value);
    const after = pending.ballot.result;
    if (before === 'pending' && after === 'approved') await this.ledger.approved(pending.txId, pending.id);
    if (before === 'pending' && after === 'rejected') await this.ledger.rejected(pending.txId, pending.id, objections(pending));
    if (before === 'pending' && after === 'impossible') await this.ledger.impossible(pending.txId, pending.id);
    if (after === 'rejected' || after === 'impossible') this.pending.remove(pending.id);
  }

  /** The vote, when it is one that the ballot keeps. */
  async #note(pending: Pending, receipt: Receipt, encoded: Uint8Array): Promise<Vote | undefined> {
    await this.#accuse(pending, receipt);
    if (!isKept(receipt)) return undefined;
    const value = parse(voteCodec, encoded, 'vote');
    await this.ledger.vote(pending.id, pending.txId, voteInfo(value));
    return value;
  }

  async #accuse(pending: Pending, receipt: Receipt): Promise<void> {
    const violation = 'violation' in receipt ? receipt.violation : undefined;
    if (violation === undefined) return;
    const accusation = `${violation.type}/${violation.node}`;
    if (pending.accused.has(accusation)) return;
    pending.accused.add(accusation);
    this.context.logger.warn({ violation: describe(violation) }, 'misbehaviour in a vote');
    await this.ledger.violation(violation.node, violation.type, pending.txId, violation.detail, violation.evidence);
  }

  /**
   * Nobody waits for this: the proposer has the vote as its answer, and shows those who are to sign what they need. So it is told when the payment has
   * its signature, as a rule, and votes that were given meanwhile are told along with it.
   */
  #tellSoon(pending: Pending): void {
    this.#untold.push(pending);
    if (this.#stopped) return this.#tell();
    this.#timer ??= setTimeout(() => this.#tell(), TELL_AFTER_MS);
  }

  /** To everybody who can hear it. A node that cannot builds no certificate of its own, which only the proposer needs. */
  #tell(): void {
    const { context } = this;
    this.#timer = undefined;
    const reachable = online(context);
    for (const { id, roster, proposal, ownVote } of this.#untold.splice(0)) {
      const notice = { proposal: id, vote: encode(voteCodec, ownVote) };
      for (const node of roster.nodes) {
        if (node === context.self || node === proposal.proposer || !reachable.has(node)) continue;
        try {
          context.calls.tell(node, voteMethod, notice);
        } catch (error) {
          if (!(error instanceof Unavailable)) throw error;
          context.logger.debug({ node, error }, 'a vote was not told');
        }
      }
    }
  }
}

/** Whether the ballot keeps the vote, counted or not. */
const isKept = ({ outcome }: Receipt): boolean => outcome === 'counted' || outcome === 'late';

export const voteInfo = (value: Vote): VoteInfo => ({
  node_id: value.voter,
  value: value.value,
  reason: value.reason,
  timestamp: new Date(value.timestamp).toISOString(),
  signature: hex(value.signature),
});

/** At most the bytes that a vote's reason may have, cut at a character. */
function clip(text: string): string {
  let out = text;
  while (utf8(out).length > MAX_REASON_BYTES) out = out.slice(0, -1);
  return out;
}

const refused = (field: string, message: string, remedy: string, status: 400 | 403 | 422 | 429 = 422): Refusal =>
  new Refusal('proposal_refused', field, message, remedy, status);
