/**
 * Giving signatures. A node signs only a payment that it voted for, under a certificate of a quorum, over digests that it derives here from the
 * payment itself. Nobody can hand it a digest; what the coordinator says is a request, never a reason.
 */
import { decode } from '../base/codec.ts';
import { bigintToBytes, concatBytes, equalBytes, hex } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { sighashPreimage } from '../bitcoin/sighash.ts';
import { sealedPresignature, type PresignaturePublic } from '../cggmp24/presignature.ts';
import { sessionId, sharesHash, signingSessionId } from '../cggmp24/session.ts';
import { bitcoinSighash } from '../cggmp24/sighash.ts';
import { partialSignature } from '../cggmp24/sign.ts';
import { signInteractive } from '../cggmp24/sign-interactive.ts';
import { quorumCertificate, verifyCertificate, type QuorumCertificate } from '../consensus/certificate.ts';
import { sessionIdentity } from '../consensus/identity.ts';
import { atPriority } from '../core/types.ts';
import { sign as frostSign } from '../frost/sign.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import { createRounds, type Rounds } from '../protocol/rounds.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { parse, signRequest, signResponse, type SignRequest } from './messages.ts';
import type { Pending, PendingPayments } from './pending.ts';
import type { Pools } from './pools.ts';
import type { Voting } from './voting.ts';

export const signMethod = method('payment.sign', signRequest, signResponse);
export const MAX_ATTEMPTS = 3;
/** Code of the refusal of a signer that lacks the presignature it was asked to use: it can still sign without. */
export const NO_PRESIGNATURE = 'presignature_missing';
const ROUND_TIMEOUT_MS = { interactive: 15_000, frost: 5_000 } as const;

/** What this node gave: for each input a partial signature (pool) or the finished signature. */
export interface Given {
  readonly results: Uint8Array[];
  /** Pool mode: the public parts of the presignatures that were used, against which the partial signatures of others are checked. */
  readonly presignatures: readonly PresignaturePublic[];
}

export class Signer {
  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly ledger: Ledger,
    private readonly pending: PendingPayments,
    private readonly voting: Voting,
  ) {}

  serve(): void {
    this.context.calls.serve(signMethod, async (from, request) => ({ results: (await this.sign(from, request)).results }));
  }

  /**
   * Answers a request of `from`, which may be this node itself: a coordinator is checked like everybody else. `signal` ends a session that cannot
   * succeed any more.
   */
  async sign(from: NodeId, request: SignRequest, signal?: AbortSignal): Promise<Given> {
    const { pending, certificate } = this.#authorise(from, request);
    // Marked before anything is awaited: the same request again finds it taken.
    pending.answered.add(request.attempt);
    await this.voting.certified(pending.id, certificate.votes);
    await this.ledger.apply(pending.txId, 'approve');
    await this.ledger.apply(pending.txId, 'sign', {
      signing_mode: request.mode,
      signers: request.signers.map((index) => pending.key.committee[index]!),
    });
    // The record has the last word: a payment that has ended here, and whose coins are free again, is not signed.
    const { state } = await this.ledger.get(pending.txId);
    if (state !== 'signing') {
      throw new Refusal('signature_refused', 'proposal', `the payment is ${state} at ${this.context.self}`, 'propose again', 409);
    }
    switch (request.mode) {
      case 'pool':
        return this.#fromPool(pending, request);
      case 'interactive':
        return { results: await this.#interactively(pending, request, signal), presignatures: [] };
      case 'frost':
        return { results: await this.#frost(pending, request, signal), presignatures: [] };
    }
  }

  /** All that must hold before this node signs. @throws Refusal naming what does not. */
  #authorise(
    from: NodeId,
    { proposal: id, certificate: encoded, mode, attempt, signers, presignatures }: SignRequest,
  ): { pending: Pending; certificate: QuorumCertificate } {
    const { context } = this;
    const refuse = (field: string, message: string, remedy: string): never => {
      throw new Refusal('signature_refused', field, message, remedy, 403);
    };
    const pending = this.pending.get(id);
    if (pending === undefined)
      return refuse('proposal', `${context.self} does not know this proposal, or it has ended`, 'ask another signer, or propose again');
    const { proposal, payment, key, roster, quorum, ownVote, answered } = pending;
    if (proposal.proposer !== from)
      refuse('proposal', `${from} asks for signatures on a proposal of ${proposal.proposer}`, 'let the proposer ask');
    if (context.clock() >= proposal.expiresAt) refuse('proposal', 'the proposal has expired', 'propose again');
    if (ownVote.value !== 'approve')
      refuse('proposal', `${context.self} voted against this payment: ${ownVote.reason}`, 'ask signers who approved');
    if (attempt >= MAX_ATTEMPTS || answered.has(attempt))
      refuse('attempt', `attempt ${attempt} was answered, or is one too many`, 'propose again');
    const certificate = parse(quorumCertificate, encoded, 'certificate');
    verifyCertificate(certificate, proposal, roster, quorum);

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
    if (
      presignatures.length !== (mode === 'pool' ? payment.inputs.length : 0) ||
      new Set(presignatures.map(hex)).size !== presignatures.length
    ) {
      refuse(
        'presignatures',
        `${presignatures.length} presignatures for ${payment.inputs.length} inputs in mode ${mode}`,
        'name a presignature of its own for each input',
      );
    }
    if (mode === 'pool') {
      // Looked at before any of them is taken: a request that names the wrong ones costs none.
      const ready = this.pools.of(key.walletId).available(signers.map((index) => key.committee[index]!));
      const known = new Set(ready.map((meta) => hex(meta.id)));
      const missing = presignatures.find((wanted) => !known.has(hex(wanted)));
      if (missing !== undefined) {
        throw new Refusal(
          NO_PRESIGNATURE,
          'presignatures',
          `${context.self} has no unused presignature ${hex(missing).slice(0, 16)}… of these signers for this wallet`,
          'choose another one, or sign without presignatures',
          409,
        );
      }
    }
    return { pending, certificate };
  }

  async #fromPool(pending: Pending, { signers, presignatures }: SignRequest): Promise<Given> {
    const { key, payment, id } = pending;
    const pool = this.pools.of(key.walletId);
    const results: Uint8Array[] = [];
    const publics: PresignaturePublic[] = [];
    for (const [input, presignatureId] of presignatures.entries()) {
      const message = bitcoinSighash(sighashPreimage(payment, input));
      const purpose = new Transcript('presignature-use/v1').bytes(id).u32(input).bytes(message.digest).digest();
      // Durably burnt from here on, whatever happens next.
      const taken = await pool.take(presignatureId, purpose);
      let outcome: 'used' | 'failed' = 'failed';
      try {
        const presignature = decode(sealedPresignature, taken.secret);
        const fits =
          equalBytes(presignature.id, presignatureId) &&
          presignature.signers.join() === signers.join() &&
          presignature.keyId === key.walletId &&
          presignature.epoch === key.share.epoch &&
          key.protocol === 'cggmp24' &&
          presignature.publicKey.equals(key.share.publicKey);
        invariant(fits, 'the pool keeps a presignature under the signers and the key it was made for');
        results.push(bigintToBytes(partialSignature(presignature, message), 32));
        publics.push(publicPart(presignature));
        outcome = 'used';
      } finally {
        taken.secret.fill(0);
        taken.finish(outcome);
        await this.context.records.operations.addPresignatureUsage({
          presignature_id: hex(presignatureId),
          wallet_id: key.walletId,
          tx_id: pending.txId,
          protocol: 'cggmp24',
          signers: taken.meta.signers,
          outcome,
          generation_time_ms: taken.meta.generationMs,
        });
      }
    }
    return { results, presignatures: publics };
  }

  async #interactively(pending: Pending, request: SignRequest, signal?: AbortSignal): Promise<Uint8Array[]> {
    const { context } = this;
    const { key, payment } = pending;
    const aux = this.keyring.aux(key.committee);
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
    for (const input of payment.inputs.keys()) {
      const message = bitcoinSighash(sighashPreimage(payment, input));
      const session = { nonce: inputNonce(request, input), identities };
      const { parameters, random } = context;
      const sid = signingSessionId({ protocol: 'sign', signers: request.signers, key: key.share, aux, parameters, message, ...session });
      const { r, s } = await this.#session({ sid, parties, roundTimeoutMs: ROUND_TIMEOUT_MS.interactive, signal }, (rounds) =>
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
        }),
      );
      results.push(concatBytes(bigintToBytes(r, 32), bigintToBytes(s, 32)));
    }
    return results;
  }

  async #frost(pending: Pending, request: SignRequest, signal?: AbortSignal): Promise<Uint8Array[]> {
    const { context } = this;
    const { key, payment } = pending;
    if (key.protocol !== 'frost') throw new Refusal('signature_refused', 'mode', 'not a FROST key', 'use the mode of the key', 409);
    const parties = request.signers.map((index) => key.committee[index]!);
    const identities = parties.map((node) => context.roster.publicKey(node));
    const { t, n } = key.share;
    return Promise.all(
      [...payment.inputs.keys()].map((input) => {
        const sid = sessionId({
          protocol: 'frost-sign',
          parameters: context.parameters,
          nonce: inputNonce(request, input),
          identities,
          t,
          n,
          keyId: key.walletId,
          epoch: key.share.epoch,
          publicKey: key.share.P,
          shares: sharesHash(request.signers, key.share.Y),
        });
        const message = taprootSighash(sighashPreimage(payment, input));
        return this.#session({ sid, parties, roundTimeoutMs: ROUND_TIMEOUT_MS.frost, signal }, (rounds) =>
          frostSign({ rounds, signers: request.signers, share: key.share, message, random: context.random }),
        );
      }),
    );
  }

  async #session<T>(
    options: { sid: Uint8Array; parties: readonly NodeId[]; roundTimeoutMs: number; signal: AbortSignal | undefined },
    protocol: (rounds: Rounds) => Promise<T>,
  ): Promise<T> {
    const { sid, parties, roundTimeoutMs, signal } = options;
    const { context } = this;
    const session = context.sessions.open({ sid, members: parties, class: 'signing', roundTimeoutMs, ...(signal && { signal }) });
    try {
      const rounds = createRounds({
        sid,
        me: parties.indexOf(context.self),
        n: parties.length,
        channel: session,
        identity: sessionIdentity(context.identity, context.roster, parties),
      });
      const result = await protocol(rounds);
      session.close();
      return result;
    } catch (error) {
      session.abort(error instanceof Error ? error.message.slice(0, 200) : 'failed');
      throw error;
    }
  }
}

const publicPart = ({ id, keyId, epoch, sid, signers, path, publicKey, Gamma, DeltaTilde, STilde, commitments }: PresignaturePublic): PresignaturePublic => ({
  id, keyId, epoch, sid, signers, path, publicKey, Gamma, DeltaTilde, STilde, commitments,
}); // prettier-ignore

/** Fresh for each input of each attempt: the coordinator's random bytes, bound to the proposal. */
const inputNonce = ({ nonce, proposal, attempt }: SignRequest, input: number): Uint8Array =>
  sha256(new Transcript('signing-nonce/v1').bytes(nonce).bytes(proposal).u32(attempt).u32(input).preimage());
