/**
 * One peer as this node sees it: the link when there is one, the dialling when there is none, heartbeats, and what the operator is shown.
 * Of each pair the member with the lower index dials, so that two nodes never race to connect.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { decode, DecodeError, encode, u32 } from '../base/codec.ts';
import { Unavailable } from '../base/errors.ts';
import { SESSION_BYTES } from './frame.ts';
import { openLink, type Link, type LinkIdentity } from './link.ts';
import { RoundTrips } from './rtt.ts';
import { addressOf, ConnectError, LinkError, type Closing, type Member, type MeshLogger, type MeshTransport } from './transport.ts';
import type { Frame, LinkStatus, NodeId, PeerState } from './types.ts';

export interface MeshTiming {
  /** Milliseconds between heartbeats. */
  readonly heartbeatMs: number;
  /** Milliseconds of silence after which a link is shown as degraded. */
  readonly degradedMs: number;
  /** Median round trip, in milliseconds, above which a link is shown as degraded. */
  readonly slowMs: number;
  /** Milliseconds of silence after which a link is given up. */
  readonly deadMs: number;
  /** Milliseconds that the greeting of a new link may take. */
  readonly helloMs: number;
  /** Milliseconds to wait before each further attempt to dial; the last repeats. */
  readonly backoffMs: readonly number[];
  /** Milliseconds between checks of the certificates of live links. */
  readonly certificateMs: number;
}
export const MESH_TIMING: MeshTiming = {
  heartbeatMs: 1000,
  degradedMs: 2200,
  slowMs: 150,
  deadMs: 3500,
  helloMs: 2000,
  backoffMs: [1000, 2000, 4000],
  certificateMs: 60_000,
};

/** Kinds of the mesh itself begin with `$`; {@link Frame.kind} of others does not. */
export const PING = '$ping';
export const PONG = '$pong';
const NO_SESSION = new Uint8Array(SESSION_BYTES);
export const controlFrame = (kind: string, body: Uint8Array): Frame => ({ class: 'control', kind, session: NO_SESSION, round: '', body });

export interface PeerOptions {
  readonly member: Member;
  /** This node dials; otherwise it waits to be dialled. */
  readonly dials: boolean;
  readonly identity: LinkIdentity;
  readonly transport: MeshTransport;
  readonly timing: MeshTiming;
  readonly clock: { now(): number };
  readonly logger: MeshLogger;
  onFrame(from: NodeId, frame: Frame): void;
  onStatus(node: NodeId, status: LinkStatus): void;
  onClosed(node: NodeId, closing: Closing): void;
  onRefused(problem: string, address: string, detail: string): void;
  /** A handler of ours threw; the frame is lost, the link and the node go on. */
  onDefect(from: NodeId, kind: string, error: unknown): void;
}

export class Peer {
  readonly node: NodeId;
  readonly #o: PeerOptions;
  readonly #roundTrips = new RoundTrips();
  readonly #stopping = new AbortController();
  #link: Link | undefined;
  #status: LinkStatus = 'idle';
  #problem: string | undefined;
  #lastSeen: number | undefined;
  /** Monotonic times, in milliseconds. */
  #heard = 0;
  #since = 0;
  #pinged = 0;
  #judged = 0;
  #pings = new Map<number, number>();
  #pingNumber = 0;
  #ups = 0;
  #framesIn = 0;
  #framesOut = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #dialling: Promise<void> | undefined;

  constructor(options: PeerOptions) {
    this.#o = options;
    this.node = options.member.node;
  }

  start(): void {
    this.#since = performance.now();
    this.#setStatus('connecting', this.#o.dials ? undefined : `waiting for ${this.node} to connect`);
    if (this.#o.dials) this.#dialling = this.#dial();
  }

  /** Hands queued frames to the transport for at most `drainMs`, then closes the link. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping.abort();
    const link = this.#link;
    if (link !== undefined) {
      await link.drain(drainMs);
      await link.close('stopping', 'the node stops');
    }
    await this.#dialling;
    this.#setStatus('idle', undefined);
  }

  /** Takes a link that the peer dialled; a newer one replaces an older one, whose end this node has not noticed yet. */
  async adopt(link: Link): Promise<void> {
    if (this.#stopping.signal.aborted) return link.close('stopping', 'the node stops');
    const old = this.#link;
    if (old !== undefined) {
      this.#down({ reason: 'replaced', detail: 'the peer connected anew', by: 'us' }, old);
      await old.close('replaced', 'a newer link took its place');
    }
    this.#up(link);
  }

  /** @throws Unavailable when there is no link, or the queue of the class is full. */
  send(frame: Frame): void {
    if (this.#link === undefined) {
      const why = this.#problem === undefined ? '' : ` (${this.#problem})`;
      throw new Unavailable(
        this.node,
        `no link to ${this.node}${why}`,
        `check that ${this.node} runs and that ${addressOf(this.#o.member)} can be reached`,
      );
    }
    this.#bytesOut += this.#link.send(frame);
    this.#framesOut++;
  }

  state(): PeerState {
    return {
      node: this.node,
      address: addressOf(this.#o.member),
      status: this.#status,
      lastSeen: this.#lastSeen,
      rtt: this.#roundTrips.summary(),
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      reconnects: Math.max(0, this.#ups - 1),
      problem: this.#problem,
    };
  }

  /** Called twice per heartbeat. `stalled`: this process itself was stopped for a while, so silence proves nothing yet. */
  tick(now: number, stalled: boolean): void {
    const { timing } = this.#o;
    const link = this.#link;
    if (link === undefined) {
      if (this.#status === 'connecting' && now - this.#since >= timing.deadMs)
        this.#setStatus('dead', this.#problem ?? `no link within ${timing.deadMs} ms`);
      return;
    }
    if (stalled) this.#heard = now;
    const silence = now - this.#heard;
    if (silence >= timing.deadMs) return void this.#lose(link, 'silent', `nothing heard for ${Math.round(silence)} ms`);
    if (now - this.#judged >= timing.certificateMs) {
      this.#judged = now;
      const verdict = link.connection.verdict();
      if (!verdict.ok) return void this.#lose(link, 'identity', verdict.detail);
    }
    const slow = (this.#roundTrips.summary()?.p50 ?? 0) > timing.slowMs;
    if (silence >= timing.degradedMs) this.#setStatus('degraded', `nothing heard for ${Math.round(silence)} ms`);
    else if (slow) this.#setStatus('degraded', `half of the round trips take more than ${timing.slowMs} ms`);
    else this.#setStatus('active', undefined);
    if (now - this.#pinged >= timing.heartbeatMs * 0.9) this.#ping(now);
  }

  #ping(now: number): void {
    this.#pinged = now;
    const number = this.#pingNumber++ >>> 0;
    this.#pings.set(number, now);
    if (this.#pings.size > 8) this.#pings.delete(this.#pings.keys().next().value!);
    this.#heartbeat(PING, encode(u32, number));
  }

  /** A full control queue delays the heartbeat; when it stays full the peer is silent and the link is given up for that. */
  #heartbeat(kind: string, body: Uint8Array): void {
    try {
      this.send(controlFrame(kind, body));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      this.#o.logger.debug({ peer: this.node, error: error.message }, 'heartbeat not sent');
    }
  }

  #receive(link: Link, frame: Frame, bytes: number): void {
    if (link !== this.#link) return;
    this.#framesIn++;
    this.#bytesIn += bytes;
    this.#heard = performance.now();
    this.#lastSeen = this.#o.clock.now();
    switch (frame.kind) {
      case PING:
        return this.#heartbeat(PONG, frame.body);
      case PONG: {
        const number = decode(u32, frame.body);
        const sent = this.#pings.get(number);
        this.#pings.delete(number);
        if (sent !== undefined) this.#roundTrips.add(this.#heard - sent);
        return;
      }
      default:
        this.#o.onFrame(this.node, frame);
    }
  }

  async #lose(link: Link, reason: 'silent' | 'identity' | 'malformed', detail: string): Promise<void> {
    this.#down({ reason, detail, by: 'us' }, link);
    await link.close(reason, detail);
  }

  #up(link: Link): void {
    this.#link = link;
    this.#ups++;
    this.#heard = this.#judged = performance.now();
    this.#lastSeen = this.#o.clock.now();
    this.#pings.clear();
    this.#roundTrips.clear();
    void link.closed.then((closing) => this.#down(closing, link));
    this.#setStatus('active', undefined);
    this.#o.logger.info({ peer: this.node, reconnects: this.#ups - 1 }, 'link up');
    link.start({
      frame: (frame, bytes) => {
        try {
          this.#receive(link, frame, bytes);
        } catch (error) {
          if (error instanceof DecodeError) throw new LinkError('malformed', `${frame.kind}: ${error.message}`);
          this.#o.onDefect(this.node, frame.kind, error);
        }
      },
    });
    this.#ping(this.#heard);
  }

  #down(closing: Closing, link: Link): void {
    if (link !== this.#link) return;
    this.#link = undefined;
    const problem = `${closing.reason}: ${closing.detail}${closing.by === 'peer' ? ` (said ${this.node})` : ''}`;
    this.#o.onClosed(this.node, closing);
    this.#o.logger.warn({ peer: this.node, ...closing }, 'link down');
    this.#setStatus('dead', problem);
  }

  async #dial(): Promise<void> {
    const { member, transport, identity, timing, logger } = this.#o;
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted;) {
      try {
        const link = await openLink(await transport.dial(member, signal), identity, timing.helloMs);
        if (signal.aborted) return await link.close('stopping', 'the node stops');
        this.#up(link);
        failures = 0;
        await link.closed;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ConnectError) && !(error instanceof LinkError)) throw error;
        this.#problem = error.message;
        if (error instanceof ConnectError && error.problem !== 'unreachable')
          this.#o.onRefused(error.problem, addressOf(member), error.detail);
      }
      if (signal.aborted) return;
      const base = timing.backoffMs[Math.min(failures, timing.backoffMs.length - 1)]!;
      failures++;
      const wait = Math.round(base * (0.9 + 0.2 * Math.random())); // nodes that lost the same peer should not return in step
      logger.debug({ peer: this.node, wait, problem: this.#problem }, 'dialling again');
      await sleep(wait, undefined, { signal }).catch(() => undefined); // stopped: the loop ends
    }
  }

  #setStatus(status: LinkStatus, problem: string | undefined): void {
    this.#problem = problem;
    if (status === this.#status) return;
    this.#status = status;
    this.#o.onStatus(this.node, status);
  }
}
