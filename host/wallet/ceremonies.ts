/**
 * Ceremonies: auxiliary information, key generation, presigning. One node invites; every member checks the invitation on its own, derives the
 * session id from it, and runs the protocol as an equal. The inviter has no power over the result.
 */
import { encode } from '../base/codec.ts';
import { hex, utf8 } from '../base/bytes.ts';
import { Abandoned, Defect, Fault, invariant, Refusal, Unavailable } from '../base/errors.ts';
import { auxInfo } from '../cggmp24/aux-info.ts';
import { keygen as ecdsaKeygen } from '../cggmp24/keygen.ts';
import { presignBatch } from '../cggmp24/presign.ts';
import { batchLimit } from '../cggmp24/presign-messages.ts';
import { presignature as presignatureCodec } from '../cggmp24/presignature.ts';
import { sessionId, signingBinding } from '../cggmp24/session.ts';
import { sessionIdentity } from '../consensus/identity.ts';
import { atPriority } from '../core/types.ts';
import { keygen as frostKeygen } from '../frost/keygen.ts';
import { method } from '../mesh/calls.ts';
import type { MeshSession, NodeId } from '../mesh/types.ts';
import { createRounds, type Rounds, type Tracer } from '../protocol/rounds.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import type { SessionFacts } from '../evidence/index.ts';
import { leavingEvidence } from './accountable.ts';
import { online, type WalletContext } from './context.ts';
import { checkInvitation, INVITATION_WINDOW_MS } from './invitations.ts';
import type { Keyring } from './keyring.ts';
import { accepted, auxAnswer, auxQuery, cancellation, invitation, type Invitation } from './messages.ts';
import type { CeremonyRow } from '../storage/records/operations.ts';
import type { Pools } from './pools.ts';
import type { Standing } from './standing.ts';
import { walletInfo } from './accounts.ts';
import type { CeremonyInfo, Protocol } from './types.ts';

const join = method('ceremony.join', invitation, accepted);
/** Asks a member of a signer set to invite the others: only a party can start a run. */
const lead = method('ceremony.lead', invitation, accepted);
/** The inviter takes an invitation back, because somebody refused it: a run in which a party is missing would end by its silence only. */
const cancelMethod = method('ceremony.cancel', cancellation, accepted);
const auxMethod = method('ceremony.aux', auxQuery, auxAnswer);

/** A silent party ends a run after this long without progress. Safe primes take minutes on a slow machine, hence the long one. */
const ROUND_TIMEOUT_MS = { dkg: 20_000, change: 20_000, aux: 15 * 60_000, presign: 50_000 } as const;
/** And in presigning this much longer for each presignature of a batch: all of them are computed before anything is sent. */
const ELEMENT_TIMEOUT_MS = 10_000;
/** Presignatures of one run. More would save little, hold more memory, and leave a stopped job waiting for longer. */
export const PRESIGN_BATCH = 10;
/** A member whose link is down this long ends a ceremony that waits for it. */
const LOST_AFTER_MS = 10_000;
/** How long an invitation waits for the ceremony before it to end here. */
const BUSY_WAIT_MS = 10_000;
/** For a whole presigning job at another node. */
const LEAD_TIMEOUT_MS = 30 * 60_000;
/** Ended ceremonies kept for the status route. */
const HISTORY = 100;

export class Ceremonies {
  readonly #infos = new Map<string, CeremonyInfo>();
  /** Invitations by nonce, with their time: those too old to be accepted again are forgotten. */
  readonly #seen = new Map<string, number>();
  /** What runs now, by what it is exclusive for: one key generation or aux run at a time, one presigning job per wallet. */
  readonly #running = new Map<string, Promise<void>>();
  /** End what runs, by ceremony. */
  readonly #aborts = new Map<string, { readonly inviter: NodeId; readonly abort: AbortController }>();

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly pools: Pools,
    private readonly standing: Standing,
  ) {}

  /** Answers invitations of other nodes. Registered before the mesh starts. */
  serve(): void {
    this.context.calls.serve(join, async (from, request) => {
      this.#check(from, request);
      if (this.#running.has(exclusion(request))) await this.#idle(request);
      this.#check(from, request);
      this.#requireIdle(request);
      // The run goes on after the answer; its outcome is in the record of the ceremony, and failures were logged there.
      void this.#begin(from, request).catch(() => undefined);
      return { ok: 1 };
    });
    this.context.calls.serve(cancelMethod, (from, { nonce, reason }) => {
      const running = this.#aborts.get(hex(nonce));
      if (running?.inviter === from)
        running.abort.abort(new Unavailable(from, `${from} has ended the ceremony: ${reason}`, 'see the reason'));
      return Promise.resolve({ ok: 1 });
    });
    this.context.calls.serve(auxMethod, (_from, { committee }) =>
      Promise.resolve({ hash: this.keyring.aux(committee)?.hash ?? new Uint8Array() }),
    );
    this.context.calls.serve(lead, async (from, { nonce: _nonce, createdAt: _createdAt, ...request }) => {
      if (request.kind !== 'presign' || !request.committee.includes(from)) {
        throw new Refusal(
          'invitation_refused',
          'kind',
          'another node may only ask for presigning, and only a member of the committee',
          'start other ceremonies at a node that takes part',
          403,
        );
      }
      await this.start(request);
      return { ok: 1 };
    });
  }

  /** Starts a ceremony here, or at the first of its parties when this node is none of them. Resolves when that node's part is complete. */
  async lead(request: Omit<Invitation, 'nonce' | 'createdAt'>): Promise<void> {
    const { context } = this;
    const parties = partiesOf(request);
    if (parties.includes(context.self)) return this.start(request);
    const leader = parties[0];
    if (leader === undefined) throw new Refusal('invitation_refused', 'signers', 'a ceremony without parties', 'name the parties');
    const asked: Invitation = { ...request, nonce: new Uint8Array(32), createdAt: context.clock() };
    await context.calls.call(leader, lead, asked, { timeoutMs: LEAD_TIMEOUT_MS });
  }

  /** Ends a run that this node invited to, here and at the others. */
  #cancel(invite: Invitation, reason: string): void {
    const { context } = this;
    this.#aborts.get(hex(invite.nonce))?.abort.abort(new Unavailable('mesh', reason, 'see the reason'));
    for (const node of partiesOf(invite)) {
      if (node === context.self) continue;
      context.calls
        .call(node, cancelMethod, { nonce: invite.nonce, reason: reason.slice(0, 130) })
        .catch((error: unknown) => context.logger.warn({ node, error }, 'the end of a ceremony was not heard'));
    }
  }

  /** Ends what runs: the others are told, and need not wait for silence. */
  stop(): void {
    for (const { abort } of this.#aborts.values())
      abort.abort(new Unavailable(this.context.self, `${this.context.self} is stopping`, 'start it again'));
  }

  isRunning(): boolean {
    return this.#running.size > 0;
  }

  /** Newest first: those of this run of the node, with their progress, and what the records have of earlier ones. */
  async list(): Promise<readonly CeremonyInfo[]> {
    const here = [...this.#infos.values()].reverse();
    const earlier = (await this.#recordedBefore()).filter(({ ceremony_id: id }) => !this.#infos.has(id));
    return [...here, ...earlier.map(fromRecord)].slice(0, HISTORY);
  }

  /** Nothing while the records cannot be read: what runs is known without them. */
  async #recordedBefore(): Promise<readonly CeremonyRow[]> {
    try {
      return await this.context.records.ceremonies.list(HISTORY);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      return [];
    }
  }

  /** Invites the committee (or the signers) and runs the ceremony here too. Resolves when this node's part is complete and durable. */
  async start(request: Omit<Invitation, 'nonce' | 'createdAt'>): Promise<void> {
    const { context } = this;
    const invite: Invitation = { ...request, nonce: context.random.bytes(32), createdAt: context.clock() };
    const parties = partiesOf(invite);
    this.#requireLinked(parties, describe(invite));
    this.#check(context.self, invite);
    // Nothing is awaited between this look and the beginning, so that of two starts at once one waits.
    if (this.#running.has(exclusion(invite))) await this.#idle(invite);
    this.#requireIdle(invite);
    const run = this.#begin(context.self, invite);
    const invited = Promise.all(
      parties
        .filter((node) => node !== context.self)
        .map((node) => context.calls.call(node, join, invite, { timeoutMs: 2 * BUSY_WAIT_MS })),
    ).catch((error: unknown) => {
      this.#cancel(invite, `the invitation was refused: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    });
    const [invitedResult, runResult] = await Promise.allSettled([invited, run]);
    if (invitedResult.status === 'rejected') throw invitedResult.reason;
    if (runResult.status === 'rejected') throw runResult.reason;
  }

  #requireLinked(parties: readonly NodeId[], what: string): void {
    const reachable = online(this.context);
    const missing = parties.filter((node) => !reachable.has(node));
    if (missing.length === 0) return;
    throw new Unavailable(
      'mesh',
      `${what} needs ${missing.join(', ')}, which this node cannot reach`,
      'start the missing nodes, then try again',
    );
  }

  /** Whether all of the committee hold the same auxiliary information: one that was lost at a single node is worth nothing. */
  async auxShared(committee: readonly NodeId[]): Promise<boolean> {
    const { context } = this;
    const own = this.keyring.aux(committee);
    if (own === undefined) return false;
    this.#requireLinked(committee, 'a new wallet');
    const others = committee.filter((node) => node !== context.self);
    const answers = await Promise.all(others.map((node) => context.calls.call(node, auxMethod, { committee: [...committee] })));
    return answers.every(({ hash }) => hex(hash) === hex(own.hash));
  }

  #check(from: NodeId, invite: Invitation): void {
    const { context, keyring } = this;
    checkInvitation(from, invite, { context, keyring, used: this.#seen.has(hex(invite.nonce)) });
  }

  /** A faster node may be done with the last ceremony, and begin the next, while this one still stores its result: waits for it, not for long. */
  async #idle(invite: Invitation): Promise<void> {
    const running = this.#running.get(exclusion(invite));
    if (running === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([running, new Promise((resolve) => (timer = setTimeout(resolve, BUSY_WAIT_MS)))]);
    clearTimeout(timer);
  }

  #requireIdle(invite: Invitation): void {
    if (!this.#running.has(exclusion(invite))) return;
    throw new Refusal(
      'invitation_refused',
      'kind',
      `a ceremony of this kind is already running at ${this.context.self}`,
      'wait until it has ended',
      409,
    );
  }

  async #begin(inviter: NodeId, invite: Invitation): Promise<void> {
    const id = hex(invite.nonce);
    const lock = exclusion(invite);
    for (const [nonce, at] of this.#seen) if (Math.abs(this.context.clock() - at) > 2 * INVITATION_WINDOW_MS) this.#seen.delete(nonce);
    this.#seen.set(id, invite.createdAt);
    this.#aborts.set(id, { inviter, abort: new AbortController() });
    if (invite.kind === 'presign') this.pools.generating.add(invite.walletId);
    const run = this.#run(id, invite);
    this.#running.set(
      lock,
      run.catch(() => undefined),
    );
    try {
      await run;
    } finally {
      this.#running.delete(lock);
      this.#aborts.delete(id);
      this.pools.generating.delete(invite.walletId);
    }
  }

  /** A change of a key (key-changes.ts): recorded and shown like a ceremony, in a session like theirs. */
  async change<T>(
    id: string,
    what: { kind: 'refresh' | 'reshare'; protocol: Protocol; walletId: string; facts: SessionFacts; parties: readonly NodeId[] },
    protocol: (rounds: Rounds) => Promise<T>,
  ): Promise<T> {
    const { facts, parties } = what;
    this.#aborts.set(id, { inviter: this.context.self, abort: new AbortController() });
    try {
      return await this.#recorded(id, what, () => this.#withRounds(id, facts, parties, ROUND_TIMEOUT_MS.change, 'ceremony', protocol));
    } finally {
      this.#aborts.delete(id);
    }
  }

  /** Ends the change with this id, if it runs here. */
  cancelChange(id: string, reason: string): void {
    this.#aborts.get(id)?.abort.abort(new Unavailable('mesh', reason, 'see the reason'));
  }

  #run(id: string, invite: Invitation): Promise<void> {
    return this.#recorded(id, { ...invite, parties: partiesOf(invite) }, () => this.#protocol(id, invite));
  }

  async #recorded<T>(
    id: string,
    { kind, protocol, walletId, parties }: Pick<CeremonyInfo, 'kind' | 'protocol'> & { walletId: string; parties: readonly NodeId[] },
    work: () => Promise<T>,
  ): Promise<T> {
    const { context } = this;
    const started: CeremonyInfo = {
      id,
      kind,
      protocol,
      wallet_id: walletId || null,
      status: 'running',
      participants: parties,
      culprits: [],
      error: null,
      progress: null,
      started_at: new Date(context.clock()).toISOString(),
      ended_at: null,
    };
    this.#update(started);
    const begin = context.clock();
    try {
      await context.records.ceremonies.insert({
        ceremony_id: id,
        kind,
        protocol,
        wallet_id: started.wallet_id,
        participants: parties,
      });
      const result = await work();
      await this.#finish(id, { status: 'completed' });
      context.logger.info({ ceremony: id, kind, protocol, ms: context.clock() - begin }, 'ceremony completed');
      return result;
    } catch (error) {
      const culprits = error instanceof Fault ? error.culprits.map((index) => parties[index]!) : [];
      this.standing.note(error instanceof Abandoned ? [parties[error.by]!] : culprits.filter((node) => node !== context.self));
      const message = error instanceof Error ? error.message : String(error);
      context.logger.warn({ ceremony: id, kind, culprits, error: message }, 'ceremony failed');
      await this.#finish(id, { status: 'failed', culprits, error: message }).catch((failure: unknown) =>
        context.logger.error({ ceremony: id, error: failure }, 'the end of a ceremony could not be recorded'),
      );
      throw error;
    }
  }

  async #protocol(id: string, invite: Invitation): Promise<void> {
    const { context, keyring } = this;
    const { kind, protocol, walletId, walletName, threshold: t, committee } = invite;
    const parties = partiesOf(invite);
    const { parameters, random } = context;
    const description = { walletId, walletName, committee, createdAt: invite.createdAt };
    const identities = parties.map((node) => context.roster.publicKey(node));
    const n = committee.length;

    if (kind === 'aux') {
      const binding = { protocol: 'aux-info', parameters, nonce: invite.nonce, identities, t, n };
      const aux = await this.#withRounds(id, { binding }, parties, ROUND_TIMEOUT_MS.aux, 'ceremony', (rounds) =>
        auxInfo({ rounds, primes: context.primes, random, core: context.core, parameters }),
      );
      // For a wallet: it belongs to the next epoch of that key, and the committee's own stays for the others.
      await (walletId === '' ? keyring.storeAux(committee, aux) : keyring.storeRenewedAux(aux));
      return;
    }
    if (kind === 'dkg') {
      const binding = { protocol: `keygen-${protocol}`, parameters, nonce: invite.nonce, identities, t, n, keyId: walletId };
      await this.#withRounds(id, { binding }, parties, ROUND_TIMEOUT_MS.dkg, 'ceremony', async (rounds) => {
        if (protocol === 'cggmp24') {
          await ecdsaKeygen({ rounds, t, random, keyId: walletId, prepared: (share) => keyring.prepare(description, { protocol, share }) });
        } else {
          await frostKeygen({ rounds, t, random, keyId: walletId, prepared: (share) => keyring.prepare(description, { protocol, share }) });
        }
      });
      await this.registered(walletId);
      return;
    }

    const key = keyring.active(walletId);
    const aux = keyring.auxOf(key);
    if (key.protocol !== 'cggmp24' || aux === undefined) throw new Defect('the invitation was checked');
    const core = atPriority(context.core, 'refill');
    const limit = Math.min(PRESIGN_BATCH, batchLimit(parameters, t));
    for (let made = 0; made < invite.count;) {
      const begin = context.clock();
      // Everybody cuts the job alike. Between two batches nothing is held, and a job that was stopped ends.
      const count = Math.min(limit, invite.count - made);
      const nonce = sha256(new Transcript('presign-batch/v1').bytes(invite.nonce).u32(made).preimage());
      const binding = signingBinding({
        protocol: 'presign',
        signers: invite.signers,
        key: key.share,
        aux,
        parameters,
        nonce,
        identities,
        count,
      });
      const timeout = ROUND_TIMEOUT_MS.presign + count * ELEMENT_TIMEOUT_MS;
      const session = { binding, signers: invite.signers, publicShares: key.share.X, aux: aux.parties };
      const batch = await this.#withRounds(id, session, parties, timeout, 'bulk', (rounds) =>
        presignBatch({ rounds, signers: invite.signers, key: key.share, aux, random, core, parameters, count }),
      );
      for (const [k, result] of batch.entries()) {
        const record = encode(presignatureCodec, result);
        await this.pools.add(walletId, {
          id: result.id,
          sid: result.sid,
          noncePoint: result.Gamma.toBytes(true),
          signers: parties,
          createdAt: invite.createdAt + made + k,
          keyId: utf8(walletId),
          epoch: result.epoch,
          generationMs: Math.ceil((context.clock() - begin) / count),
          secret: record,
        });
        record.fill(0);
      }
      made += count;
      this.#progress(id, 'presignatures', made, invite.count);
    }
  }

  /** What follows when all parties have confirmed a key: it becomes active and its wallet is recorded. Also called after a crash in between. */
  async registered(walletId: string): Promise<void> {
    const key = this.keyring.find(walletId);
    invariant(key !== undefined, 'a key is stored before it is confirmed');
    // All that an active key needs first; each step again does no harm.
    await this.pools.open(key);
    const wallet = walletInfo(key, this.context.network);
    await this.context.records.wallets.reshare(walletId, wallet.threshold, wallet.total_nodes);
    await this.context.records.wallets.insert({ ...wallet, created_at: new Date(wallet.created_at) });
    await this.keyring.activate(walletId);
  }

  /** Opens the session, watches for members that are gone for good, and ends the session whatever happens. */
  async #withRounds<T>(
    ceremony: string,
    facts: SessionFacts,
    parties: readonly NodeId[],
    roundTimeoutMs: number,
    trafficClass: 'ceremony' | 'bulk',
    protocol: (rounds: Rounds) => Promise<T>,
  ): Promise<T> {
    const { context } = this;
    const sid = sessionId(facts.binding);
    const me = parties.indexOf(context.self);
    const stop = this.#aborts.get(ceremony)!.abort;
    const gone = new AbortController();
    const session: MeshSession = context.sessions.open({ sid, members: parties, class: trafficClass, roundTimeoutMs, signal: gone.signal });
    const lost = (claim: string) => gone.abort(new Unavailable('mesh', claim, 'start the missing node, then try again'));
    // Opened even when it is over before it began: the others learn of the end by the session.
    const onStop = () => gone.abort(stop.signal.reason);
    stop.signal.addEventListener('abort', onStop);
    if (stop.signal.aborted) onStop();
    const watch = setInterval(() => {
      const dead = context.mesh
        .peers()
        .filter(
          (p) =>
            parties.includes(p.node) &&
            p.status !== 'active' &&
            p.status !== 'degraded' &&
            context.clock() - (p.lastSeen ?? 0) > LOST_AFTER_MS,
        );
      if (dead.length > 0) lost(`lost the link to ${dead.map((p) => p.node).join(', ')}`);
    }, 1000);
    const tracer: Tracer = {
      round: (name, event) => {
        context.logger.debug({ ceremony, round: name, event }, 'round');
        // A presigning job tells how many of its presignatures are made.
        if (event === 'sent' && trafficClass !== 'bulk') this.#progress(ceremony, name, 0, 0);
      },
      work: (name, done, total) => this.#progress(ceremony, name, done, total),
    };
    try {
      const rounds = createRounds({
        sid,
        me,
        n: parties.length,
        channel: session,
        identity: sessionIdentity(context.identity, context.roster, parties),
        tracer,
      });
      const result = await leavingEvidence(context, { rounds, session: facts, parties }, protocol);
      session.close();
      return result;
    } catch (error) {
      session.abort(error instanceof Error ? error.message.slice(0, 200) : 'failed');
      throw error;
    } finally {
      clearInterval(watch);
      stop.signal.removeEventListener('abort', onStop);
    }
  }

  #progress(id: string, step: string, done: number, total: number): void {
    const info = this.#infos.get(id);
    if (info === undefined) return;
    const next = { ...info, progress: { step, done, total } };
    this.#infos.set(id, next);
    this.context.events.publish({ type: 'ceremony', ceremony: next });
  }

  async #finish(id: string, end: { status: 'completed' | 'failed'; culprits?: readonly NodeId[]; error?: string }): Promise<void> {
    const { status, culprits = [], error } = end;
    try {
      await this.context.records.ceremonies.end(id, { culprits, ...(error !== undefined && { error }) });
    } finally {
      const info = this.#infos.get(id)!;
      this.#update({ ...info, status, culprits, error: error ?? null, ended_at: new Date(this.context.clock()).toISOString() });
    }
  }

  #update(info: CeremonyInfo): void {
    this.#infos.set(info.id, info);
    for (const [id, old] of this.#infos) if (this.#infos.size > HISTORY && old.status !== 'running') this.#infos.delete(id);
    this.context.events.publish({ type: 'ceremony', ceremony: info });
  }
}

const fromRecord = ({ ceremony_id: id, started_at, ended_at, ...row }: CeremonyRow): CeremonyInfo => ({
  ...row,
  id,
  started_at: started_at.toISOString(),
  ended_at: ended_at?.toISOString() ?? null,
});
const partiesOf = ({ kind, committee, signers }: Pick<Invitation, 'kind' | 'committee' | 'signers'>): NodeId[] =>
  kind === 'presign' ? signers.map((index) => committee[index] ?? '') : committee;
const exclusion = ({ kind, walletId }: Pick<Invitation, 'kind' | 'walletId'>): string =>
  kind === 'presign' ? `presign/${walletId}` : 'setup';
const describe = ({ kind, protocol }: Pick<Invitation, 'kind' | 'protocol'>): string =>
  ({ aux: 'auxiliary information', dkg: `key generation (${protocol})`, presign: 'presigning' })[kind];
