/** The port of the mesh: frames for sessions between named nodes. It knows no protocol; QUIC is one adapter of {@link MeshTransport}. */
import type { Channel } from '../protocol/rounds.ts';

/** Stable name of a node, `node-1` …; equal to the common name of its certificate. */
export type NodeId = string;

/** Separate streams per link, so that bulk never blocks a signature. */
export const TRAFFIC_CLASSES = ['control', 'signing', 'ceremony', 'bulk'] as const;
export type TrafficClass = (typeof TRAFFIC_CLASSES)[number];

export interface Frame {
  readonly class: TrafficClass;
  /** Message kind, for dispatch; at most 32 bytes. */
  readonly kind: string;
  /** 32-byte session id; zero for frames outside a session. */
  readonly session: Uint8Array;
  /** At most 64 bytes; empty outside protocol sessions. */
  readonly round: string;
  /** At most 2 MiB. */
  readonly body: Uint8Array;
}

export type LinkStatus = 'idle' | 'connecting' | 'active' | 'degraded' | 'dead';

export interface PeerState {
  readonly node: NodeId;
  readonly address: string;
  readonly status: LinkStatus;
  /** Milliseconds since the epoch of the last frame or heartbeat from it; undefined before the first. */
  readonly lastSeen: number | undefined;
  /** Round-trip times of heartbeats in milliseconds. */
  readonly rtt: { readonly p50: number; readonly p99: number } | undefined;
  readonly framesIn: number;
  readonly framesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly reconnects: number;
  /** Why the link is not active, for the operator. */
  readonly problem: string | undefined;
}

export interface Mesh {
  readonly self: NodeId;
  /** All nodes of the cluster in index order, own one included. */
  readonly members: readonly NodeId[];
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Queues a frame. @throws Unavailable when the link is not active. */
  send(to: NodeId, frame: Frame): void;
  /** One handler per kind, registered before `start`. The sender is the identity of the certificate, never a field of the frame. */
  handle(kind: string, handler: (from: NodeId, frame: Frame) => void): void;
  peers(): readonly PeerState[];
  /** Calls back whenever a link becomes active or stops being so. */
  onPeer(listener: (node: NodeId, status: LinkStatus) => void): void;
}

/** One protocol session over the mesh: a {@link Channel} for `createRounds`, whose party indices are positions in `members`. */
export interface MeshSession extends Channel {
  /** Ends it normally; late frames of it are dropped. */
  close(): void;
  /** Ends it and tells the others why (a short text without secrets); their pending receives throw `Abandoned`. */
  abort(claim: string): void;
}

/** Rounds whose messages take long to make, named by how they begin: the time to wait without progress, and for all of them together. */
export interface Patience {
  readonly prefix: string;
  readonly roundTimeoutMs: number;
  readonly totalMs: number;
}

export interface SessionHub {
  /**
   * Joins session `sid`. Frames that arrived earlier (a faster peer) are kept for it, within bounds. A receive throws Silence naming the party
   * when `roundTimeoutMs` pass without progress of the session (progress: any message of it), or `totalMs` since it was opened, and Abandoned when the
   * peer aborted. `slow` rounds have limits of their own.
   * @throws Defect when the sid was used before by this process.
   */
  open(options: {
    sid: Uint8Array;
    members: readonly NodeId[];
    class: TrafficClass;
    roundTimeoutMs: number;
    totalMs?: number;
    slow?: Patience;
    signal?: AbortSignal;
  }): MeshSession;
}
