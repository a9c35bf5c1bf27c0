/**
 * One protocol session as this node sees it: what arrived, who is awaited, and how it ended. It knows no links; the hub (sessions.ts) feeds it
 * and sends for it.
 */
import { equalBytes } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Abandoned, Defect, Fault, Silence } from '../base/errors.ts';
import { conflictingMessages } from '../protocol/signed.ts';
import { MAX_BODY_BYTES, MAX_ROUND_BYTES } from './frame.ts';
import type { MeshSession, NodeId, Patience } from './types.ts';

export interface SessionLimits {
  /** Different rounds that one party may send in one session. */
  readonly rounds: number;
  /** Bytes that one party may send in one session. */
  readonly partyBytes: number;
}

const MAX_CLAIM_BYTES = 256;
/** A timer that fires this late shows that the process was stopped; messages may be waiting to be read. */
const STALL_MS = 1000;

/** Kept after it was received: a second message of the same round is compared with it. */
interface Slot {
  readonly message: Uint8Array;
  received: boolean;
}
interface Waiter {
  readonly from: number;
  readonly round: string;
  resolve(message: Uint8Array): void;
  reject(error: Error): void;
}
interface Party {
  readonly slots: Map<string, Slot>;
  bytes: number;
  /** Why nothing more is received from it. */
  fault: Fault | undefined;
  departed: string | undefined;
}

export interface SessionOptions {
  readonly members: readonly NodeId[];
  readonly me: number;
  readonly roundTimeoutMs: number;
  readonly totalMs?: number | undefined;
  readonly slow?: Patience | undefined;
  readonly limits: SessionLimits;
  readonly signal?: AbortSignal | undefined;
  /** Sends to the member at index `to`; never throws for a missing link. */
  send(to: number, round: string, message: Uint8Array): void;
  /** Called once: it is over; with a claim when the others must be told. */
  ended(claim: string | undefined): void;
}

export class Session implements MeshSession {
  readonly #o: SessionOptions;
  readonly #parties: Party[];
  readonly #waiters = new Map<string, Waiter>();
  readonly #onSignal: (() => void) | undefined;
  readonly #opened = performance.now();
  #progress = performance.now();
  /** When a slow round was first waited for: the time for all of them counts from then. */
  #slowSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #over: Error | undefined;

  constructor(options: SessionOptions) {
    this.#o = options;
    this.#parties = options.members.map(() => ({ slots: new Map(), bytes: 0, fault: undefined, departed: undefined }));
    const { signal } = options;
    if (signal !== undefined) {
      this.#onSignal = () => {
        const reason: unknown = signal.reason;
        const why = reason instanceof Error ? reason : new DOMException('the session was cancelled', 'AbortError');
        // What nobody gave a reason for has the words of the platform.
        this.#end(why, why instanceof DOMException ? 'cancelled' : bounded(why.message));
      };
      signal.addEventListener('abort', this.#onSignal, { once: true });
    }
  }

  send(to: number, round: string, message: Uint8Array): void {
    this.#requirePeer(to);
    if (message.length > MAX_BODY_BYTES || Buffer.byteLength(round) > MAX_ROUND_BYTES) {
      throw new Defect(`a message of ${message.length} bytes in round ${round}: more than a frame carries`);
    }
    if (this.#over !== undefined) return; // the protocol has not noticed its end yet
    this.#progressed();
    this.#o.send(to, round, message);
  }

  receive(from: number, round: string): Promise<Uint8Array> {
    this.#requirePeer(from);
    const key = `${from}/${round}`;
    if (this.#waiters.has(key)) return Promise.reject(new Defect(`round ${round} of party ${from} is received twice`));
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const party = this.#parties[from]!;
    if (party.fault !== undefined) return Promise.reject(party.fault);
    const slot = party.slots.get(round);
    if (slot !== undefined) {
      if (slot.received) return Promise.reject(new Defect(`round ${round} of party ${from} is received twice`));
      slot.received = true;
      return Promise.resolve(slot.message);
    }
    if (party.departed !== undefined) return Promise.reject(new Abandoned(from, party.departed, round));
    return new Promise((resolve, reject) => {
      if (this.#waiters.size === 0) this.#progress = performance.now(); // own work before it is nobody's silence
      this.#waiters.set(key, { from, round, resolve, reject });
      this.#arm();
    });
  }

  close(): void {
    this.#end(new DOMException('the session is closed', 'AbortError'), undefined);
  }

  abort(claim: string): void {
    this.#end(new DOMException('the session was aborted', 'AbortError'), bounded(claim));
  }

  /** A message of party `from`. Returns what became of it, for the counters. */
  deliver(from: number, round: string, message: Uint8Array): 'taken' | 'duplicate' | 'conflict' | 'dropped' {
    const party = this.#parties[from]!;
    if (party.fault !== undefined || party.departed !== undefined) return 'dropped';
    const known = party.slots.get(round);
    if (known !== undefined) {
      if (equalBytes(known.message, message)) return 'duplicate'; // sent again after a link was lost
      const signed = encode(conflictingMessages, { first: known.message, second: message });
      const detail = 'the two messages, each signed by its author';
      this.#convict(from, new Fault([from], `equivocation: two different messages in round ${round}`, { round, detail, signed }));
      return 'conflict';
    }
    if (party.slots.size >= this.#o.limits.rounds || party.bytes + message.length > this.#o.limits.partyBytes) {
      const detail = `${party.slots.size + 1} messages, ${party.bytes + message.length} bytes`;
      this.#convict(from, new Fault([from], 'flood: more messages than the protocol has', { round, detail }));
      return 'dropped';
    }
    this.#progressed();
    const key = `${from}/${round}`;
    const waiter = this.#waiters.get(key);
    party.slots.set(round, { message, received: waiter !== undefined });
    party.bytes += message.length;
    if (waiter !== undefined) {
      this.#waiters.delete(key);
      this.#arm();
      waiter.resolve(message);
    }
    return 'taken';
  }

  /** Party `from` ended its run. What it sent before is still received. */
  depart(from: number, claim: string): void {
    const party = this.#parties[from]!;
    if (party.departed !== undefined) return;
    party.departed = claim;
    this.#rejectWhere(
      (waiter) => waiter.from === from,
      ({ round }) => new Abandoned(from, claim, round),
    );
  }

  #requirePeer(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.#parties.length || index === this.#o.me) {
      throw new Defect(`party ${index} is not another party of this session`);
    }
  }

  #convict(from: number, fault: Fault): void {
    const party = this.#parties[from]!;
    party.fault = fault;
    party.slots.clear();
    this.#rejectWhere(
      (waiter) => waiter.from === from,
      () => fault,
    );
  }

  #rejectWhere(which: (waiter: Waiter) => boolean, error: (waiter: Waiter) => Error): void {
    for (const [key, waiter] of [...this.#waiters]) {
      if (!which(waiter)) continue;
      this.#waiters.delete(key);
      waiter.reject(error(waiter));
    }
    this.#arm();
  }

  #progressed(): void {
    this.#progress = performance.now();
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#waiters.size === 0 || this.#over !== undefined) return;
    this.#due = this.#deadline();
    this.#timer = setTimeout(() => this.#expire(), Math.max(0, this.#due - performance.now()));
  }

  /**
   * From the last progress, and never beyond the end of all: among those who make the progress may be the one that misbehaves, a message at a time.
   * Slow rounds have more of both.
   */
  #deadline(): number {
    const { roundTimeoutMs, totalMs = Infinity, slow } = this.#o;
    const isSlow = slow !== undefined && [...this.#waiters.values()].some(({ round }) => round.startsWith(slow.prefix));
    if (!isSlow) return Math.min(this.#progress + roundTimeoutMs, this.#opened + totalMs);
    this.#slowSince ??= performance.now();
    return Math.min(this.#progress + slow.roundTimeoutMs, this.#slowSince + slow.totalMs);
  }

  #expire(): void {
    const now = performance.now();
    if (now - this.#due > STALL_MS) {
      this.#due = now;
      this.#timer = setTimeout(() => this.#expire(), STALL_MS / 2);
      return;
    }
    const silentIn = (round: string) => [...this.#waiters.values()].filter((waiter) => waiter.round === round).map((waiter) => waiter.from);
    const silences = new Map(
      [...this.#waiters.values()].map(({ round }) => [
        round,
        new Silence(
          silentIn(round).sort((a, b) => a - b),
          round,
        ),
      ]),
    );
    this.#rejectWhere(
      () => true,
      ({ round }) => silences.get(round)!,
    );
  }

  #end(error: Error, claim: string | undefined): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    clearTimeout(this.#timer);
    if (this.#onSignal !== undefined) this.#o.signal?.removeEventListener('abort', this.#onSignal);
    this.#rejectWhere(
      () => true,
      () => error,
    );
    for (const party of this.#parties) party.slots.clear();
    this.#o.ended(claim);
  }
}

/** A claim as long as a frame carries it. */
function bounded(claim: string): string {
  let text = claim;
  while (Buffer.byteLength(text) > MAX_CLAIM_BYTES) text = text.slice(0, -1);
  return text;
}
