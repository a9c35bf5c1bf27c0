/**
 * Ceremonies: auxiliary information, key generation, presigning. One node invites; every member checks the invitation on its own, derives the
 * session id from it, and runs the protocol as an equal (ceremony-runs.ts). The inviter has no power over the result.
 */
import { hex } from '../base/bytes.ts';
import { invariant, Refusal, Unavailable } from '../base/errors.ts';
import type { SessionFacts } from '../evidence/index.ts';
import { method } from '../mesh/calls.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { walletInfo } from './accounts.ts';
import { CeremonyLog } from './ceremony-log.ts';
import { CeremonyRuns } from './ceremony-runs.ts';
import { online, type WalletContext } from './context.ts';
import { checkInvitation, INVITATION_WINDOW_MS } from './invitations.ts';
import { Invited } from './invited.ts';
import type { Keyring } from './keyring.ts';
import { accepted, auxAnswer, auxQuery, cancellation, invitation, type Invitation } from './messages.ts';
import type { Pools } from './pools.ts';
import type { Standing } from './standing.ts';
import type { CeremonyInfo, Protocol } from './types.ts';

const join = method('ceremony.join', invitation, accepted);
/** Asks a member of a signer set to invite the others: only a party can start a run. */
const lead = method('ceremony.lead', invitation, accepted);
/** The inviter takes an invitation back, because somebody refused it: a run in which a party is missing would end by its silence only. */
const cancelMethod = method('ceremony.cancel', cancellation, accepted);
const auxMethod = method('ceremony.aux', auxQuery, auxAnswer);

/** How long an invitation waits for the ceremony before it to end here. */
const BUSY_WAIT_MS = 10_000;
/** For a whole presigning job at another node. */
const LEAD_TIMEOUT_MS = 30 * 60_000;

export class Ceremonies {
  readonly #log: CeremonyLog;
  readonly #runs: CeremonyRuns;
  readonly #invited: Invited;
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
    standing: Standing,
  ) {
    this.#log = new CeremonyLog(context, standing);
    this.#runs = new CeremonyRuns(context, keyring, pools, this.#log);
    this.#invited = new Invited(context);
  }

  /** Answers invitations of other nodes. Registered before the mesh starts. */
  serve(): void {
    this.#invited.serve();
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

  list(): Promise<readonly CeremonyInfo[]> {
    return this.#log.list();
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
    const abort = new AbortController();
    this.#aborts.set(id, { inviter, abort });
    if (invite.kind !== 'presign' && inviter !== this.context.self) this.#invited.began({ invite, inviter, abort });
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
      this.#invited.ended(invite);
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
    const abort = new AbortController();
    this.#aborts.set(id, { inviter: this.context.self, abort });
    try {
      return await this.#log.recorded(id, what, () => this.#runs.change({ id, parties, stop: abort.signal }, facts, protocol));
    } finally {
      this.#aborts.delete(id);
    }
  }

  /** Ends the change with this id, if it runs here. */
  cancelChange(id: string, reason: string): void {
    this.#aborts.get(id)?.abort.abort(new Unavailable('mesh', reason, 'see the reason'));
  }

  async #run(id: string, invite: Invitation): Promise<void> {
    const parties = partiesOf(invite);
    const stop = this.#aborts.get(id)!.abort.signal;
    await this.#log.recorded(id, { ...invite, parties }, async () => {
      await this.#runs.run({ id, parties, stop }, invite);
      if (invite.kind === 'dkg') await this.registered(invite.walletId);
    });
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
}

const partiesOf = ({ kind, committee, signers }: Pick<Invitation, 'kind' | 'committee' | 'signers'>): NodeId[] =>
  kind === 'presign' ? signers.map((index) => committee[index] ?? '') : committee;
const exclusion = ({ kind, walletId }: Pick<Invitation, 'kind' | 'walletId'>): string =>
  kind === 'presign' ? `presign/${walletId}` : 'setup';
const describe = ({ kind, protocol }: Pick<Invitation, 'kind' | 'protocol'>): string =>
  ({ aux: 'auxiliary information', dkg: `key generation (${protocol})`, presign: 'presigning' })[kind];
