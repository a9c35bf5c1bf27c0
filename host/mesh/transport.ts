/**
 * The port under the mesh: authenticated connections between nodes, each with a few ordered byte streams. QUIC is one adapter (quic.ts).
 * A connection exists only after both ends proved, by certificate, which member of the cluster they are.
 */
import type { CertificateCheck, PeerVerdict } from '../pki/certificate.ts';
import type { NodeId } from './types.ts';

export interface Member {
  readonly node: NodeId;
  /** IP address or DNS name, and UDP port, where its mesh listens. */
  readonly host: string;
  readonly port: number;
}
export const addressOf = (member: { readonly host: string; readonly port: number }): string =>
  member.host.includes(':') ? `[${member.host}]:${member.port}` : `${member.host}:${member.port}`;

/**
 * Why a link was closed. The position is the code on the wire, so entries are only ever appended.
 *  - `lost`: the network or the peer went silent; never sent.
 *  - `identity`: the certificate does not (or no longer) name this member.
 *  - `hello`: the first messages of the link were not a valid greeting of this cluster and version.
 *  - `version`, `malformed`, `oversized`, `truncated`, `sequence`: what a frame was.
 */
export const CLOSE_REASONS = [
  'lost', 'stopping', 'replaced', 'identity', 'hello', 'version', 'malformed', 'oversized', 'truncated', 'sequence', 'silent', 'defect',
] as const; // prettier-ignore
export type CloseReason = (typeof CLOSE_REASONS)[number];

export interface Closing {
  readonly reason: CloseReason;
  /** For the operator; no secret. */
  readonly detail: string;
  readonly by: 'us' | 'peer' | 'network';
}

/** A rule of the link was broken: the link must be closed for `reason`. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  constructor(
    readonly reason: CloseReason,
    readonly detail: string,
  ) {
    super(`${reason}: ${detail}`);
  }
}

/** One bidirectional, ordered, reliable stream of bytes. The end of the stream is never relied on: messages carry their length. */
export interface ByteStream {
  /** Smaller is sent first when the network is the bottleneck; 0 to 255. */
  prioritise(urgency: number): void;
  /** Resolves when the transport has taken all bytes (flow control). Rejects when the stream or its connection ended. */
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes, any number of them; undefined at the end. Rejects when the stream or its connection broke. */
  read(): Promise<Uint8Array | undefined>;
}

export interface Connection {
  /** The member that the peer's certificate names. */
  readonly node: NodeId;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** Judges the peer's chain again, now. */
  verdict(): PeerVerdict;
  open(): ByteStream;
  /** Streams that the peer opens, those opened before the call included. */
  onStream(listener: (stream: ByteStream) => void): void;
  /** Tells the peer why, ends all streams, and resolves within a second. */
  close(reason: CloseReason, detail: string): Promise<void>;
  /** Resolves once, however the connection ended. */
  readonly closed: Promise<Closing>;
}

/** Why no connection came to be: a failed check of a certificate, or no answer. */
export type ConnectProblem = CertificateCheck | 'refused-by-peer' | 'handshake' | 'unreachable';

export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  constructor(
    readonly problem: ConnectProblem,
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`${problem}: ${detail}`, options);
  }
}

export interface MeshTransport {
  /**
   * Listens; `onConnection` gets every peer that passed, `onRefused` every one that did not.
   * @throws Refusal naming the setting when the address cannot be used.
   */
  listen(
    onConnection: (connection: Connection) => void,
    onRefused: (problem: ConnectProblem, address: string, detail: string) => void,
  ): Promise<void>;
  /** @throws ConnectError */
  dial(member: Member, signal: AbortSignal): Promise<Connection>;
  /** Closes every connection for `stopping` and frees the address. */
  stop(): Promise<void>;
}

/** What the mesh logs to; pino fits. */
export interface MeshLogger {
  debug(context: object, message: string): void;
  info(context: object, message: string): void;
  warn(context: object, message: string): void;
}
