/**
 * Giving signatures. A node signs only a payment that it voted for, under a certificate of a quorum, over digests that it derives here from the
 * payment itself. Nobody can hand it a digest; what the coordinator says is a request, never a reason. From the pool it signs only with the
 * presignatures that its own vote opened, and only when the certificate shows the openings of the whole signer set.
 */
import { bigintToBytes, concatBytes } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { sighashPreimage } from '../bitcoin/sighash.ts';
import { Rerandomised } from '../cggmp24/rerandomise.ts';
import { ERROR_ROUNDS } from '../cggmp24/identify.ts';
import { sharesHash, signingBinding } from '../cggmp24/session.ts';
import { bitcoinSighash } from '../cggmp24/sighash.ts';
import { signInteractive } from '../cggmp24/sign-interactive.ts';
import { quorumCertificate, verifyCertificate, type QuorumCertificate } from '../consensus/certificate.ts';
import { atPriority } from '../core/types.ts';
import { Child } from '../curve/bip32.ts';
import { deriveShare } from '../frost/derive.ts';
import { sign as frostSign } from '../frost/sign.ts';
import { taprootSighash } from '../frost/sighash.ts';
import type { SessionFacts } from '../evidence/index.ts';
import { signShare, type NonceCommitment } from '../frost/signing.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Rounds, Tracer } from '../protocol/rounds.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { parse, signRequest, signResponse, type SignRequest } from './messages.ts';
import type { Nonces } from './nonces.ts';
import { signingRequestOf, usageOf, type Openings } from './openings.ts';
import type { Pending, PendingPayments } from './pending.ts';
import { inSession } from './protocol-session.ts';
import type { VoteInfo } from './types.ts';
import type { Voting } from './voting.ts';

export const signMethod = method('payment.sign', signRequest, signResponse);
export const MAX_ATTEMPTS = 3;
/** Code of the refusal of a signer that has not opened presignatures for the payment, or has spent or burnt them: it can still sign without. */
export const NO_PRESIGNATURE = 'presignature_missing';
/** Code of the refusal of a signer that does not have the nonces any more whose commitments it was shown: it can sign in two rounds. */
export const NO_NONCES = 'nonces_missing';
/**
 * How long a session waits: without progress, and in all. When a sum of presigning fails, the error rounds that tell whose summand was wrong come on top:
 * proofs of seconds, and bounded as well, because the one they are to name is among those who answer.
 */
export const SESSION_LIMITS = {
  interactive: {
    roundTimeoutMs: 15_000,
    totalMs: 60_000,
    slow: { prefix: ERROR_ROUNDS, roundTimeoutMs: 45_000, totalMs: 120_000 },
  },
  frost: { roundTimeoutMs: 5_000, totalMs: 15_000 },
} as const;

/** For a coordinator that waits: to end a session that cannot succeed any more, and to hear that this one is finding out who cheated. */
export interface Watch {
  readonly signal?: AbortSignal;
  readonly errorRound?: () => void;
}

/** What this node gave: for each input a partial signature (pool) or the finished signature. */
export interface Given {
  readonly results: Uint8Array[];
  /** Pool mode: what the partial signatures of others are checked against, by input. */
  readonly made: readonly Rerandomised[];
}

export class Signer {
  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly voting: Voting,
    private readonly openings: Openings,
    private readonly nonces: Nonces,
  ) {}

  serve(): void {
    this.context.calls.serve(signMethod, async (from, request) => ({ results: (await this.sign(from, request)).results }));
  }

  /**
   * Answers a request of `from`, which may be this node itself: a coordinator is checked like everybody else.
   */
  async sign(from: NodeId, request: SignRequest, watch: Watch = {}): Promise<Given> {
    const { pending, certificate } = this.#authorise(from, request);
    // Marked before anything is awaited: the same request again finds it taken.
    pending.answered.add(request.attempt);
    const { heard, noted } = this.voting.certified(pending, certificate.votes);
    const begun = this.#begin(pending, request, heard);
    if (request.mode === 'pool') {
      // Database and disk are at work while the signature is computed; nothing leaves before all is done.
      const [given] = await Promise.all([this.#fromPool(pending, certificate), begun, noted]);
      return given;
    }
    await Promise.all([begun, noted]);
    if (request.commitments.length > 0) return { results: await this.#fromNonces(from, pending, request), made: [] };
    // Signed otherwise, so the openings of this payment are of no use any more.
    await this.openings.burn(pending, 'signed without the pool');
    const sign = request.mode === 'frost' ? this.#frost(pending, request, watch) : this.#interactively(pending, request, watch);
    return { results: await sign, made: [] };
  }

  /**
   * The record has the last word: a payment that has ended here, and whose coins are free again, is not signed. A further try finds it signing.
   * @throws Refusal
   */
  async #begin({ txId, id, key, opened }: Pending, { mode, signers }: SignRequest, votes: readonly VoteInfo[]): Promise<void> {
    const { ledger, openings } = this;
    const spent = mode === 'pool' ? opened : undefined;
    const used = spent === undefined ? [] : usageOf(spent, key.walletId, txId, 'used');
    const by = signers.map((index) => key.committee[index]!);
    const moved = await ledger.signing(txId, id, { mode, signers: by, votes, used }).catch((error: unknown) => {
      // The journal knows that they are; the records cannot be told now.
      const spends = used.map(({ presignature_id: presignature }) => presignature);
      if (spends.length > 0)
        this.context.logger.error({ tx_id: txId, presignatures: spends, error }, 'presignatures spent for nothing, without a record');
      throw error;
    });
    if (moved !== undefined) return;
    const { state } = await ledger.get(txId);
    const goesOn = state === 'signing';
    // They are spent in either case.
    if (spent !== undefined) await openings.record(spent, key.walletId, txId, goesOn ? 'used' : 'failed');
    if (!goesOn)
      throw new Refusal('signature_refused', 'proposal', `the payment is ${state} at ${this.context.self}`, 'propose again', 409);
  }

  /** All that must hold before this node signs. @throws Refusal naming what does not. */
  #authorise(
    from: NodeId,
    { proposal: id, certificate: encoded, mode, attempt, signers, commitments }: SignRequest,
  ): { pending: Pending; certificate: QuorumCertificate } {
    const { context } = this;
    const refuse = (field: string, message: string, remedy: string): never => {
      throw new Refusal('signature_refused', field, message, remedy, 403);
    };
    const pending = this.pending.get(id);
    if (pending === undefined)
      return refuse('proposal', `${context.self} does not know this proposal, or it has ended`, 'ask another signer, or propose again');
    const { proposal, payment, key, roster, quorum, ballot, ownVote, answered, stock, opened } = pending;
    if (proposal.proposer !== from)
      refuse('proposal', `${from} asks for signatures on a proposal of ${proposal.proposer}`, 'let the proposer ask');
    if (context.clock() >= proposal.expiresAt) refuse('proposal', 'the proposal has expired', 'propose again');
    if (ownVote.value !== 'approve')
      refuse('proposal', `${context.self} voted against this payment: ${ownVote.reason}`, 'ask signers who approved');
    if (attempt >= MAX_ATTEMPTS || answered.has(attempt))
      refuse('attempt', `attempt ${attempt} was answered, or is one too many`, 'propose again');
    // A vote was for the shares of its epoch; after a change of the key, those are refused.
    if (this.keyring.find(key.walletId)?.share.epoch !== key.share.epoch)
      refuse('proposal', 'the shares of the key have changed since the vote', 'propose again');
    const certificate = parse(quorumCertificate, encoded, 'certificate');
    verifyCertificate(certificate, proposal, roster, quorum, { verified: (vote) => ballot.holds(vote) });

    const ascending = signers.every((index, a) => index < key.share.n && (a === 0 || index > signers[a - 1]!));
    if (signers.length !== key.share.t || !ascending || !signers.includes(key.committee.indexOf(context.self))) {
      refuse(
        'signers',
        `[${signers.join(', ')}] is not a set of ${key.share.t} signers that ${context.self} is of`,
        'name exactly t committee indices in ascending order',
      );
    }
    if ((mode === 'frost') !== (key.protocol === 'frost'))
      refuse('mode', `a ${key.protocol} key does not sign in mode ${mode}`, 'use the mode of the key');
    if (commitments.length > 0) {
      if (mode !== 'frost' || commitments.length !== payment.inputs.length || commitments.some((list) => list.length !== signers.length))
        refuse('commitments', 'not one nonce commitment for each signer and input', 'name them all, or none for two rounds');
      if (key.protocol === 'frost' && !this.nonces.own.holds(key.share, from, ownCommitments(commitments, signers, key.share.index))) {
        throw new Refusal(
          NO_NONCES,
          'commitments',
          `${context.self} has not given these nonce commitments to ${from}, or they are used`,
          'ask for fresh ones, or sign in two rounds',
          409,
        );
      }
    }
    if (mode === 'pool') {
      // Looked at before anything is spent: a request for the wrong ones costs none.
      if (stock === undefined || stock.signers.join() !== signers.join())
        refuse('signers', 'the proposal names no presignatures of these signers', 'ask the signers that the proposal names');
      if (opened?.opening.state !== 'opened') {
        throw new Refusal(
          NO_PRESIGNATURE,
          'presignatures',
          `${context.self} has no presignatures open for this payment`,
          'sign without presignatures',
          409,
        );
      }
      if (this.openings.collect(pending, certificate.votes) === undefined)
        refuse('certificate', 'an approval with its openings is missing', 'bring the votes of all signers that the proposal names');
    }
    return { pending, certificate };
  }

  async #fromPool(pending: Pending, { votes }: QuorumCertificate): Promise<Given> {
    const { key, payment, id, opened, stock } = pending;
    const openings = this.openings.collect(pending, votes);
    invariant(
      key.protocol === 'cggmp24' && opened !== undefined && stock !== undefined && openings !== undefined,
      'the request was checked',
    );
    const { opening, presignatures } = opened;
    const identities = stock.nodes.map((node) => this.context.roster.publicKey(node));
    const request = signingRequestOf(id, key.walletId, stock);
    const makeOver = () =>
      presignatures.map((presignature, input) =>
        Rerandomised.of({
          key: key.share,
          presignature,
          identities,
          openings: openings[input]!,
          request,
          input,
          path: payment.inputs[input]!.path,
          message: bitcoinSighash(sighashPreimage(payment, input)),
        }),
      );
    // Durably spent before a share exists, whatever happens next.
    const [made] = await Promise.all([soon(makeOver), opening.spend(() => undefined)]);
    const results = made.map((each, input) => bigintToBytes(each.partial(presignatures[input]!), 32));
    return { results, made };
  }

  /** One signature share for each input, with nonces that were prepared for this coordinator. */
  async #fromNonces(from: NodeId, pending: Pending, { signers, commitments }: SignRequest): Promise<Uint8Array[]> {
    const { key, payment, id } = pending;
    invariant(key.protocol === 'frost', 'the request was checked');
    const { share } = key;
    const lists = commitments.map((list) => list.map(({ D, E }, position) => ({ index: signers[position]!, D, E })));
    const messages = payment.inputs.map((_, input) => taprootSighash(sighashPreimage(payment, input)));
    // The set and the commitments of all are in the lists.
    const purposes = lists.map((list, input) =>
      new Transcript('nonce-use/v1')
        .bytes(id)
        .u32(input)
        .bytes(messages[input]!)
        .list(list, (hash, c) => hash.u32(c.index).points(c.D, c.E))
        .digest(),
    );
    // Durably used from here on, whatever happens next.
    const taken = await this.nonces.own.take(share, from, ownCommitments(commitments, signers, share.index), purposes);
    // A pair belongs to the wallet's key and signs for one of its children as well: the challenge is under the child's key.
    return taken.map((nonces, input) => {
      const child = deriveShare(share, payment.inputs[input]!.path);
      return bigintToBytes(signShare(child, nonces, lists[input]!, messages[input]!), 32);
    });
  }

  async #interactively(pending: Pending, request: SignRequest, watch: Watch): Promise<Uint8Array[]> {
    const { context } = this;
    const { key, payment } = pending;
    const aux = this.keyring.auxOf(key);
    if (key.protocol !== 'cggmp24' || aux === undefined)
      throw new Refusal(
        'signature_refused',
        'mode',
        'interactive signing needs a CGGMP24 key with auxiliary information',
        'run the aux ceremony',
        409,
      );
    const parties = request.signers.map((index) => key.committee[index]!);
    const identities = parties.map((node) => context.roster.publicKey(node));
    const results: Uint8Array[] = [];
    for (const [input, { path }] of payment.inputs.entries()) {
      const message = bitcoinSighash(sighashPreimage(payment, input));
      const session = { nonce: inputNonce(request, input), identities };
      const { parameters, random } = context;
      const child = path.length > 0 && { child: Child.of(key.share, path) };
      const binding = signingBinding({
        protocol: 'sign',
        signers: request.signers,
        key: key.share,
        aux,
        parameters,
        message,
        ...child,
        ...session,
      });
      const facts = { binding, signers: request.signers, publicShares: key.share.X, aux: aux.parties };
      const { r, s } = await this.#session({ facts, parties, limits: SESSION_LIMITS.interactive, watch }, (rounds) =>
        signInteractive({
          rounds,
          signers: request.signers,
          key: key.share,
          aux,
          random,
          core: atPriority(context.core, 'signing'),
          parameters,
          message,
          session,
          ...child,
        }),
      );
      results.push(concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32)));
    }
    return results;
  }

  async #frost(pending: Pending, request: SignRequest, watch: Watch): Promise<Uint8Array[]> {
    const { context } = this;
    const { key, payment } = pending;
    if (key.protocol !== 'frost') throw new Refusal('signature_refused', 'mode', 'not a FROST key', 'use the mode of the key', 409);
    const parties = request.signers.map((index) => key.committee[index]!);
    const identities = parties.map((node) => context.roster.publicKey(node));
    return Promise.all(
      payment.inputs.map(({ path }, input) => {
        // For an address below the wallet's key everything is the child's: share, public shares and key, and so the sid.
        const share = deriveShare(key.share, path);
        const { t, n, epoch, P: publicKey, Y } = share;
        const binding = {
          protocol: 'frost-sign',
          parameters: context.parameters,
          nonce: inputNonce(request, input),
          identities,
          t,
          n,
          keyId: key.walletId,
          epoch,
          publicKey,
          path,
          shares: sharesHash(request.signers, Y),
        };
        const message = taprootSighash(sighashPreimage(payment, input));
        const facts = { binding, signers: request.signers, publicShares: Y, digest: message };
        return this.#session({ facts, parties, limits: SESSION_LIMITS.frost, watch }, (rounds) =>
          frostSign({ rounds, signers: request.signers, share, message, random: context.random }),
        );
      }),
    );
  }

  #session<T>(
    { limits, watch, ...run }: { facts: SessionFacts; parties: readonly NodeId[]; limits: SessionLimits; watch: Watch },
    protocol: (rounds: Rounds) => Promise<T>,
  ): Promise<T> {
    const { signal, errorRound = () => undefined } = watch;
    const tracer: Tracer = { round: (name) => void (name.startsWith(ERROR_ROUNDS) && errorRound()), work: () => undefined };
    return inSession(this.context, { ...run, class: 'signing', ...limits, ...(signal && { signal }), tracer }, protocol);
  }
}

type SessionLimits = Pick<Parameters<WalletContext['sessions']['open']>[0], 'roundTimeoutMs' | 'totalMs' | 'slow'>;

const ownCommitments = (commitments: SignRequest['commitments'], signers: readonly number[], index: number): NonceCommitment[] =>
  commitments.map((list) => ({ index, ...list[signers.indexOf(index)]! }));

/** Work that holds this thread, after what has been asked of others has left. */
const soon = <T>(work: () => T): Promise<T> => new Promise<void>((resolve) => setImmediate(resolve)).then(work);

/** Fresh for each input of each attempt: the coordinator's random bytes, bound to the proposal. */
const inputNonce = ({ nonce, proposal, attempt }: SignRequest, input: number): Uint8Array =>
  sha256(new Transcript('signing-nonce/v1').bytes(nonce).bytes(proposal).u32(attempt).u32(input).preimage());
