/**
 * Frames of sessions on their way to peers. A link may fail with frames in flight, and nobody can tell which of them arrived; so every frame of
 * a session is kept until the session is over (and a while longer, for the last round), and all of them are sent again on a new link. Receivers
 * drop what they have.
 */
import { Unavailable } from '../base/errors.ts';
import type { Frame, Mesh, NodeId } from './types.ts';

export interface OutboxLimits {
  /** Milliseconds that the frames of a session are kept after its end. */
  readonly lingerMs: number;
  /** Bytes of ended sessions that are kept, all together; the oldest go first, and the one that ended last stays. */
  readonly lingerBytes: number;
}

interface Trail {
  readonly frames: Frame[];
  /** How many of them the current link took. */
  sent: number;
}
interface Entry {
  readonly trails: Map<NodeId, Trail>;
  bytes: number;
  over: boolean;
}

/** Milliseconds until a full queue is tried again. */
const RETRY_MS = 25;

export class Outbox {
  readonly #mesh: Mesh;
  readonly #limits: OutboxLimits;
  /** By session, in the order of opening. */
  readonly #entries = new Map<string, Entry>();
  readonly #retries = new Map<NodeId, NodeJS.Timeout>();
  #lingering = 0;

  constructor(mesh: Mesh, limits: OutboxLimits) {
    this.#mesh = mesh;
    this.#limits = limits;
    mesh.onPeer((node, status) => {
      if (status === 'active' || status === 'degraded') return this.#pump(node);
      for (const { trails } of this.#entries.values()) {
        const trail = trails.get(node);
        if (trail !== undefined) trail.sent = 0;
      }
    });
  }

  add(session: string, to: NodeId, frame: Frame): void {
    const entry = this.#entries.get(session) ?? { trails: new Map<NodeId, Trail>(), bytes: 0, over: false };
    this.#entries.set(session, entry);
    const trail = entry.trails.get(to) ?? { frames: [], sent: 0 };
    entry.trails.set(to, trail);
    trail.frames.push(frame);
    entry.bytes += frame.body.length;
    if (entry.over) this.#lingering += frame.body.length;
    this.#advance(to, trail);
  }

  /** The session is over: its frames linger, then go. */
  finish(session: string): void {
    const entry = this.#entries.get(session);
    if (entry === undefined || entry.over) return;
    entry.over = true;
    this.#lingering += entry.bytes;
    for (const [oldest, { over }] of this.#entries) {
      if (this.#lingering <= this.#limits.lingerBytes) break;
      // Never the one that ends now: in a large committee an error round alone is above the limit, and its last words may not be on the link yet.
      if (over && oldest !== session) this.#drop(oldest);
    }
    setTimeout(() => this.#drop(session), this.#limits.lingerMs).unref();
  }

  #drop(session: string): void {
    const entry = this.#entries.get(session);
    if (entry === undefined) return;
    this.#entries.delete(session);
    this.#lingering -= entry.bytes;
  }

  #pump(node: NodeId): void {
    clearTimeout(this.#retries.get(node));
    this.#retries.delete(node);
    for (const { trails } of this.#entries.values()) {
      const trail = trails.get(node);
      if (trail !== undefined && !this.#advance(node, trail)) return;
    }
  }

  /** Hands frames to the link until it refuses. A link that is down calls {@link #pump} when it is back; a full one is tried again soon. */
  #advance(node: NodeId, trail: Trail): boolean {
    while (trail.sent < trail.frames.length) {
      try {
        this.#mesh.send(node, trail.frames[trail.sent]!);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        const status = this.#mesh.peers().find((peer) => peer.node === node)?.status;
        if ((status === 'active' || status === 'degraded') && !this.#retries.has(node)) {
          this.#retries.set(
            node,
            setTimeout(() => this.#pump(node), RETRY_MS),
          );
        }
        return false;
      }
      trail.sent++;
    }
    return true;
  }
}
