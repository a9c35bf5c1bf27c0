/**
 * The switch of one key on one node: the rules of switch.ts, what they demand of others' signatures, and the order of what becomes durable. A
 * method resolves when its effect would survive a crash; only then does the caller send what the node says.
 *
 * | step | durable, in this order | a crash in between |
 * | --- | --- | --- |
 * | vote, REFUSE | the record | as if it had not happened |
 * | PREPARED | the pending share, read back; the record | a share that no record knows is removed at the start: its ACK never left |
 * | COMMITTED | the record; the old share moved aside and the new one in its place; presignatures, nonces and tables deleted; the pending entry removed | the steps after the record are done again |
 * | ERASED | the old shares deleted; the record | deleted again |
 */
import { decode, encode } from '../base/codec.ts';
import { hex } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { checkHeld, checkPlan, sameMembers, type Held, type Plan, type Ticket } from './plan.ts';
import {
  approvalMessage,
  checkApprovals,
  checkCertificate,
  committedMessage,
  refusalMessage,
  stated,
  type Certificate,
  type Statement,
} from './statements.ts';
import {
  certified,
  committedHeard,
  decline,
  erased,
  initial,
  mayErase,
  pending,
  permits,
  prepare,
  refusalHeard,
  share,
  vote,
  type Move,
  type SwitchState,
} from './switch.ts';
import { moveOf, recordOf, stateOf, switchRecord, type SwitchRecord } from './switch-record.ts';

/** Where a switch keeps what must survive. Each method resolves when its effect is durable, and may be repeated. */
export interface SwitchStorage {
  readRecord(): Promise<Uint8Array | undefined>;
  writeRecord(content: Uint8Array): Promise<void>;
  /** A pending share beside the one in force. */
  writePending(sid: string, content: Uint8Array): Promise<void>;
  readPending(sid: string): Promise<Uint8Array | undefined>;
  pendingSids(): Promise<readonly string[]>;
  removePending(sid: string): Promise<void>;
  /** Puts the pending share of `sid` in force, or nothing when there is none, and keeps what was in force as that of epoch `from`. */
  install(sid: string | undefined, from: number | undefined): Promise<void>;
  /** Deletes presignatures, nonces and tables of other epochs. */
  deleteDerived(): Promise<void>;
  /** Destroys the kept shares of these epochs. */
  destroy(epochs: readonly number[]): Promise<void>;
}

export interface KeySwitchOptions {
  readonly storage: SwitchStorage;
  /** Identity key of this node. */
  readonly identity: Uint8Array;
  readonly parameters: Parameters;
  /** The share in force when there is no record yet, for the epoch; and, with its committee, whenever a plan or certificate is compared with it. */
  readonly own: () => Held | undefined;
}

export class KeySwitch {
  #state: SwitchState;
  #tickets = new Map<string, Ticket>();
  #prepared = new Map<string, Pick<SwitchRecord['prepared'][number], 'approvals' | 'digest'>>();
  #certificates: readonly Certificate[] = [];
  /** One change at a time. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly options: KeySwitchOptions,
    record: SwitchRecord | undefined,
  ) {
    if (record === undefined) {
      this.#state = initial(options.own()?.share.epoch);
      return;
    }
    for (const entry of [record.lock, ...record.prepared.map((p) => p.ticket), ...record.certificates.map((c) => c.ticket)])
      if (entry !== undefined) this.#tickets.set(this.moveOf(entry).sid, entry);
    for (const { ticket, approvals, digest } of record.prepared) this.#prepared.set(this.moveOf(ticket).sid, { approvals, digest });
    this.#certificates = record.certificates;
    this.#state = stateOf(record, (ticket) => this.moveOf(ticket));
  }

  /** After a start, whatever was interrupted: pending shares that nobody was told of are removed, a commitment is carried through. */
  static async open(options: KeySwitchOptions): Promise<KeySwitch> {
    const content = await options.storage.readRecord();
    const opened = new KeySwitch(options, content && decode(switchRecord, content));
    const known = new Set(opened.#state.prepared.map(({ move }) => move.sid));
    const { committed, share: mine } = opened.#state;
    const found = await options.storage.pendingSids();
    for (const sid of found) if (!known.has(sid) && sid !== committed?.move.sid) await options.storage.removePending(sid);
    // The pending entry goes last: while it is there, the steps before it may not have been made. Of no share there is nothing to spare.
    if (committed !== undefined && (!mine || found.includes(committed.move.sid))) await opened.#carryThrough(committed.move);
    return opened;
  }

  moveOf(ticket: Ticket): Move {
    return moveOf(ticket, this.options.identity, this.options.parameters);
  }
  get state(): SwitchState {
    return this.#state;
  }
  get permits(): { readonly sign: boolean; readonly presign: boolean } {
    return permits(this.#state);
  }
  /** Certificates that moved this node, oldest first. */
  get certificates(): readonly Certificate[] {
    return this.#certificates;
  }
  /** What waits for Cert or REFUSE here, with what its ACK says. */
  waiting(): { readonly ticket: Ticket; readonly approvals: readonly Statement[]; readonly digest: Uint8Array } | undefined {
    const move = pending(this.#state);
    return move && { ticket: this.#tickets.get(move.sid)!, ...this.#prepared.get(move.sid)! };
  }

  /** All that is prepared, set aside or not. */
  preparedTickets(): Ticket[] {
    return this.#state.prepared.map(({ move }) => this.#tickets.get(move.sid)!);
  }
  /** The plan that this node voted for and has heard no end of. */
  locked(): Ticket | undefined {
    const { lock } = this.#state;
    return lock && this.#tickets.get(lock.sid);
  }

  /** The preimage of this node's approval, once the vote is durable. */
  vote(ticket: Ticket): Promise<Uint8Array> {
    return this.#change(async () => {
      const own = this.options.own();
      if (own === undefined) throw new Refusal('key_change', 'voter', 'this node holds no share of the key', 'ask its members', 409);
      checkHeld(ticket.plan, own);
      await this.#store(vote(this.#state, this.#file(ticket)));
      return approvalMessage(this.#sidOf(ticket), ticket);
    });
  }

  /** Enters the run of an approved try. */
  begin(ticket: Ticket, approvals: readonly Statement[], sharer: boolean): Promise<void> {
    return this.#change(() => {
      const own = this.options.own();
      if (own !== undefined) checkHeld(ticket.plan, own);
      checkApprovals(ticket, approvals, this.#sidOf(ticket));
      this.#state = share(this.#state, this.#file(ticket), sharer);
      return Promise.resolve();
    });
  }

  /** PREPARED: from here on this node may acknowledge `digest`, and must never refuse. */
  prepare(ticket: Ticket, approvals: readonly Statement[], digest: Uint8Array, content: Uint8Array): Promise<void> {
    return this.#change(async () => {
      const { storage } = this.options;
      const move = this.#file(ticket);
      const next = prepare(this.#state, move);
      await storage.writePending(move.sid, content);
      const back = await storage.readPending(move.sid);
      invariant(back !== undefined && hex(back) === hex(content), 'a pending share reads back as it was written');
      back.fill(0);
      this.#prepared.set(move.sid, { approvals: [...approvals], digest });
      await this.#store(next);
    });
  }

  /** The preimage of REFUSE, once it is durable. */
  decline(ticket: Ticket): Promise<Uint8Array> {
    return this.#change(async () => {
      await this.#store(decline(this.#state, this.#file(ticket)));
      return refusalMessage(this.#sidOf(ticket));
    });
  }

  /** @throws Refusal when the statement is not a REFUSE by a member of O* of this try. */
  refusedBy(ticket: Ticket, refusal: Statement): Promise<void> {
    return this.#change(async () => {
      if (!stated(ticket.plan.newMembers, refusalMessage(this.#sidOf(ticket)), refusal)) throw unproven('refusal');
      const { lock, voted, sharing, prepared } = this.#state;
      const { sid } = this.moveOf(ticket);
      // Of a plan that this node has nothing to do with, anybody can make up any number.
      if (![lock?.sid, voted, sharing, ...prepared.map(({ move }) => move.sid)].includes(sid)) return;
      await this.#store(refusalHeard(this.#state, this.#file(ticket)));
    });
  }

  /**
   * COMMITTED, when the certificate is good, and this node's own: it prepared for it, or holds the very share that the plan describes, or has left
   * the key and knows by earlier certificates whom the plan must name. Nothing happens when the key is at this epoch or a later one.
   */
  certify(value: Certificate): Promise<void> {
    return this.#change(async () => {
      checkCertificate(value, this.options.parameters);
      const move = this.moveOf(value.ticket);
      const { epoch, prepared } = this.#state;
      if (epoch !== undefined && move.to <= epoch) return;
      if (!prepared.some((entry) => entry.move.sid === move.sid)) this.#requireConcerned(value.ticket.plan, move);
      this.#file(value.ticket);
      await this.#store(certified(this.#state, move), [...this.#certificates, value]);
      await this.#carryThrough(move);
    });
  }

  /**
   * That a certificate which this node did not prepare for is about its key. A plan names those who vote on it, so only what the node knows of itself
   * tells a true certificate from one that somebody made up, committees and all; believed, it would end in the destruction of the share.
   */
  #requireConcerned(plan: Plan, move: Move): void {
    const { epoch, share: holds } = this.#state;
    const own = this.options.own();
    if (holds && move.old && own !== undefined) return checkHeld(plan, own);
    // Of a key that was left: the plan starts where an earlier one ended, or where it started.
    const follows = this.#certificates.some(({ ticket: { plan: known } }) => {
      const ended = plan.epoch === known.nextEpoch && plan.t === known.nextT && sameMembers(plan.oldMembers, known.newMembers);
      const started = plan.epoch === known.epoch && plan.t === known.t && sameMembers(plan.oldMembers, known.oldMembers);
      const same = plan.keyId === known.keyId && plan.publicKey.equals(known.publicKey) && plan.purpose === known.purpose;
      return same && (ended || started);
    });
    if (!holds && follows) return checkPlan(plan, plan.publicKey);
    const what = epoch === undefined ? 'this node has nothing of the key' : `the certificate does not end epoch ${epoch}`;
    throw new Refusal('key_change', 'certificate', what, 'show the one that does first', 409);
  }

  /** @throws Refusal when the statement is not a COMMITTED by a member of O*. Resolves with whether the old shares may be erased now. */
  committedBy(ticket: Ticket, statement: Statement): Promise<boolean> {
    return this.#change(async () => {
      const move = this.moveOf(ticket);
      if (!stated(ticket.plan.newMembers, committedMessage(this.#sidOf(ticket), move.to), statement)) throw unproven('statement');
      const next = committedHeard(this.#state, move.sid, statement.index);
      if (next !== this.#state) await this.#store(next);
      return mayErase(this.#state);
    });
  }

  /** ERASED. `ordered`: by an operator, when some of the new members will never say that they are COMMITTED. */
  erase(ordered = false): Promise<void> {
    return this.#change(async () => {
      const next = erased(this.#state, ordered);
      await this.options.storage.destroy(this.#state.retained);
      await this.#store(next);
    });
  }

  /** The steps after COMMITTED is durable. Each may have been done before a crash. */
  async #carryThrough(move: Move): Promise<void> {
    const { storage } = this.options;
    const { share: mine, retained, prepared } = this.#state;
    const before = retained.at(-1);
    await storage.install(mine ? move.sid : undefined, before);
    await storage.deleteDerived();
    const kept = new Set(prepared.map((entry) => entry.move.sid));
    for (const sid of await storage.pendingSids()) if (!kept.has(sid)) await storage.removePending(sid);
  }

  #sidOf(ticket: Ticket): Uint8Array {
    return new Uint8Array(Buffer.from(this.moveOf(ticket).sid, 'hex'));
  }
  #file(ticket: Ticket): Move {
    const move = this.moveOf(ticket);
    this.#tickets.set(move.sid, ticket);
    return move;
  }

  /** Durable first, in memory afterwards: a write that fails leaves the state as it was, or, if it reached the disk, behind it until a restart. */
  async #store(next: SwitchState, certificates = this.#certificates): Promise<void> {
    const papers = { tickets: this.#tickets, prepared: this.#prepared, certificates };
    await this.options.storage.writeRecord(encode(switchRecord, recordOf(next, papers)));
    this.#state = next;
    this.#certificates = certificates;
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

const unproven = (field: string): Refusal =>
  new Refusal('key_change', field, 'the statement is not signed by a member of the new committee', 'send it as it was signed', 403);
