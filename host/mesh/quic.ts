/**
 * The QUIC adapter of {@link MeshTransport}, on @matrixai/quic 2.0.9 (TLS 1.3 and QUIC inside quiche and BoringSSL).
 *
 * Identity. Both ends present a certificate of the cluster's authority and verify the other's natively (`verifyPeer`, our root only, DNS server
 * name on the dialling side; no `verifyCallback`, which would switch the native verification off). Then both judge the chain again with
 * {@link checkPeer}, which also ties the certificate to a node id, at the connection and at every stream.
 *
 * 0-RTT is off (`enableEarlyData: false`), so no data can be replayed. Address validation (Retry) is always on in the library.
 *
 * How the known faults of the library are kept away from us: a lost FIN is never waited for (messages carry lengths); streams are few and
 * live as long as the link, so that the stream limit is never met; idle time-out and keep-alive are always set, a dial has a time limit; the
 * promises of readers and writers are watched; closing is forced and bounded. What the library throws from its own event handlers reaches the
 * process, see process-guard.ts.
 */
import { errors, events, QUICClient, QUICServer, QUICSocket, type QUICConnection, type QUICStream } from '@matrixai/quic';
import { createHmac, randomBytes, randomFillSync, timingSafeEqual } from 'node:crypto';
import { Refusal } from '../base/errors.ts';
import { certificatesOf, checkPeer, type CertificateCheck, type PeerVerdict } from '../pki/certificate.ts';
import { serverName } from '../pki/names.ts';
import {
  addressOf,
  CLOSE_REASONS,
  ConnectError,
  type ByteStream,
  type Closing,
  type CloseReason,
  type Connection,
  type ConnectProblem,
  type Member,
  type MeshLogger,
  type MeshTransport,
} from './transport.ts';
import { TRAFFIC_CLASSES, type NodeId } from './types.ts';

export interface QuicTiming {
  /** Milliseconds without a packet after which a connection is dead. */
  readonly idleMs: number;
  /** Milliseconds between packets that keep a connection alive. */
  readonly keepAliveMs: number;
  /** Milliseconds that a handshake may take, dialling or accepting. */
  readonly handshakeMs: number;
}
export const QUIC_TIMING: QuicTiming = { idleMs: 3000, keepAliveMs: 1000, handshakeMs: 1500 };

export interface QuicOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM: own key, own certificate with its intermediate, root of the cluster. */
  readonly tls: { readonly keyPem: string; readonly chainPem: string; readonly rootPem: string };
  /** The members that may dial this node. */
  readonly diallers: readonly NodeId[];
  readonly clock: { now(): number };
  readonly logger: MeshLogger;
  readonly timing?: QuicTiming;
}

/** ALPN: other protocols, and other major versions of this one, are refused in the handshake. */
const PROTOCOL = 'threshold-wallet/1';
/** Handshakes in progress at once; more are not answered until some end (they retry by themselves). */
const MAX_HANDSHAKES = 64;
const CLOSE_MS = 1000;
const SOCKET_BUFFER_BYTES = 4 << 20;
/** What fits every Ethernet path, and what the loopback interface carries in one piece. */
const NETWORK_DATAGRAM = 1350;
const LOOPBACK_DATAGRAM = 16384;
const MAX_DATAGRAM = 65527;

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

/** The library logs nothing that its errors do not carry; those are logged here, once. */
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing, getChild: () => silent };
function nothing(): void {}
const silentLogger = silent as unknown as NonNullable<ConstructorParameters<typeof QUICSocket>[0]['logger']>;

export function createQuicTransport(options: QuicOptions): MeshTransport {
  const { tls, clock, logger, timing = QUIC_TIMING } = options;
  const roots = certificatesOf(tls.rootPem);
  const open = new Set<QuicConnection>();
  const connections = new WeakMap<QUICConnection, QuicConnection>();
  let socket: QUICSocket | undefined;
  let server: QUICServer | undefined;

  const config = (host: string, peerStreams: number) => ({
    key: tls.keyPem,
    cert: tls.chainPem,
    ca: tls.rootPem,
    verifyPeer: true,
    enableEarlyData: false,
    applicationProtos: [PROTOCOL],
    maxIdleTimeout: timing.idleMs,
    keepAliveIntervalTime: timing.keepAliveMs,
    initialMaxStreamsBidi: peerStreams,
    initialMaxStreamsUni: 0,
    initialMaxData: 24 << 20,
    initialMaxStreamDataBidiLocal: 4 << 20,
    initialMaxStreamDataBidiRemote: 4 << 20,
    maxSendUdpPayloadSize: isLoopback(host) ? LOOPBACK_DATAGRAM : NETWORK_DATAGRAM,
    maxRecvUdpPayloadSize: MAX_DATAGRAM,
    readableChunkSize: 64 << 10,
  });
  const codes = {
    reasonToCode: () => 0,
    codeToReason: (type: string, code: number) => new Error(`the peer ended the ${type} side of a stream (${code})`),
  };

  function adopt(raw: QUICConnection, node: NodeId, address: string, end: EndConnection): QuicConnection {
    const connection = new QuicConnection({
      raw,
      node,
      address,
      end,
      judge: (chain) => checkPeer(chain, { roots, expected: node, now: clock.now() }),
      logger,
    });
    connections.set(raw, connection);
    open.add(connection);
    void connection.closed.then(() => open.delete(connection));
    return connection;
  }

  return {
    async listen(onConnection, onRefused) {
      const { host, port } = options.listen;
      socket = new QUICSocket({ logger: silentLogger });
      try {
        await socket.start({ host, port });
      } catch (error) {
        socket = undefined;
        throw bindRefusal(error, host, port);
      }
      enlargeBuffers(socket, logger);
      server = new QUICServer({
        crypto: retryTokenCrypto(),
        socket,
        config: config(host, TRAFFIC_CLASSES.length),
        minIdleTimeout: timing.handshakeMs,
        logger: silentLogger,
        ...codes,
      });
      limitHandshakes(server, onRefused);
      const accepted = (raw: QUICConnection): QuicConnection | undefined => {
        const known = connections.get(raw);
        if (known !== undefined) return known;
        const address = addressOf({ host: raw.remoteHost, port: raw.remotePort });
        const verdict = checkPeer(raw.getRemoteCertsChain(), { roots, expected: options.diallers, now: clock.now() });
        if (!verdict.ok) {
          onRefused(verdict.check, address, verdict.detail);
          raw
            .stop({ isApp: true, errorCode: CLOSE_REASONS.indexOf('identity'), reason: Buffer.from(verdict.detail), force: true })
            .catch((error: unknown) => logger.debug({ address, error: String(error) }, 'closing a refused connection'));
          return undefined;
        }
        const connection = adopt(raw, verdict.node, address, (how) => raw.stop(how));
        onConnection(connection);
        return connection;
      };
      server.addEventListener(
        events.EventQUICServerConnection.name,
        (event: events.EventQUICServerConnection) => void accepted(event.detail),
      );
      // Registered on the server: a listener on the connection could miss the first stream.
      server.addEventListener(events.EventQUICConnectionStream.name, (event: events.EventQUICConnectionStream) => {
        const stream = event.detail;
        const connection = accepted((stream as unknown as { connection: QUICConnection }).connection);
        if (connection === undefined || !connection.verdict().ok) stream.cancel();
        else connection.offer(new QuicStream(stream));
      });
      await server.start();
    },

    async dial(member, signal) {
      if (socket === undefined) throw new ConnectError('unreachable', 'this node does not listen yet');
      let client: QUICClient;
      try {
        client = await QUICClient.createQUICClient(
          {
            host: member.host,
            port: member.port,
            serverName: serverName(member.node),
            socket,
            crypto: { ops: { randomBytes: async (data: ArrayBuffer) => void randomFillSync(new Uint8Array(data)) } },
            config: config(member.host, 0),
            logger: silentLogger,
            ...codes,
          },
          { timer: timing.handshakeMs, signal },
        );
      } catch (error) {
        throw dialProblem(error, member);
      }
      const raw = client.connection;
      const verdict = checkPeer(raw.getRemoteCertsChain(), { roots, expected: member.node, now: clock.now() });
      if (!verdict.ok) {
        await client.destroy({
          isApp: true,
          errorCode: CLOSE_REASONS.indexOf('identity'),
          reason: Buffer.from(verdict.detail),
          force: true,
        });
        throw new ConnectError(verdict.check, verdict.detail);
      }
      return adopt(raw, verdict.node, addressOf(member), (how) => client.destroy(how));
    },

    async stop() {
      await Promise.all([...open].map((connection) => connection.close('stopping', 'the node stops')));
      const bounded = async (what: string, work: Promise<void>) => {
        const failure = await Promise.race([work.then(() => undefined, String), after(CLOSE_MS).then(() => 'not done within a second')]);
        if (failure !== undefined) logger.warn({ failure }, `stopping ${what}`);
      };
      if (server !== undefined) await bounded('the QUIC server', server.stop({ force: true }));
      if (socket !== undefined) await bounded('the QUIC socket', socket.stop({ force: true }));
      server = undefined;
      socket = undefined;
    },
  };
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** Closes the connection with an application code; resolves when the library is done with it. */
type EndConnection = (how: { isApp: true; errorCode: number; reason: Uint8Array; force: true }) => Promise<void>;

class QuicConnection implements Connection {
  readonly node: NodeId;
  readonly address: string;
  readonly certificates: readonly Uint8Array[];
  readonly closed: Promise<Closing>;
  readonly #raw: QUICConnection;
  readonly #end: EndConnection;
  readonly #judge: (chain: readonly Uint8Array[]) => PeerVerdict;
  readonly #logger: MeshLogger;
  readonly #offered: ByteStream[] = [];
  #listener: ((stream: ByteStream) => void) | undefined;
  #settle!: (closing: Closing) => void;
  #ended = false;

  constructor(options: {
    raw: QUICConnection;
    node: NodeId;
    address: string;
    end: EndConnection;
    judge: (chain: readonly Uint8Array[]) => PeerVerdict;
    logger: MeshLogger;
  }) {
    this.#raw = options.raw;
    this.node = options.node;
    this.address = options.address;
    this.#end = options.end;
    this.#judge = options.judge;
    this.#logger = options.logger;
    this.certificates = options.raw.getRemoteCertsChain();
    this.closed = new Promise((resolve) => (this.#settle = resolve));
    void this.closed.then(() => (this.#ended = true));
    this.#raw.addEventListener(
      events.EventQUICConnectionClose.name,
      (event: events.EventQUICConnectionClose) => this.#settle(closingOf(event.detail)),
      {
        once: true,
      },
    );
    if (this.#raw.closed) this.#settle({ reason: 'lost', detail: 'the connection ended as it began', by: 'network' });
  }

  verdict(): PeerVerdict {
    return this.#judge(this.certificates);
  }

  open(): ByteStream {
    return new QuicStream(this.#raw.newStream());
  }

  onStream(listener: (stream: ByteStream) => void): void {
    this.#listener = listener;
    for (const stream of this.#offered.splice(0)) listener(stream);
  }

  /** A stream that the peer opened. */
  offer(stream: ByteStream): void {
    if (this.#listener !== undefined) this.#listener(stream);
    else this.#offered.push(stream);
  }

  async close(reason: CloseReason, detail: string): Promise<void> {
    if (this.#ended) return;
    this.#settle({ reason, detail, by: 'us' });
    const how = { isApp: true, errorCode: CLOSE_REASONS.indexOf(reason), reason: Buffer.from(detail.slice(0, 200)), force: true } as const;
    const failure = await Promise.race([
      this.#end(how).then(() => undefined, String),
      after(CLOSE_MS).then(() => 'not done within a second'),
    ]);
    if (failure !== undefined) this.#logger.debug({ peer: this.node, failure }, 'closing a connection');
  }
}

/** The library derives its error for a TLS alert of the peer from the one for local errors. */
const isFromPeer = (error: unknown): error is errors.ErrorQUICConnectionPeer<unknown> | errors.ErrorQUICConnectionPeerTLS<unknown> =>
  error instanceof errors.ErrorQUICConnectionPeer || error instanceof errors.ErrorQUICConnectionPeerTLS;

/** What the end of a connection says. Application codes are ours; everything else is the network or TLS. */
function closingOf(error: unknown): Closing {
  if (isFromPeer(error)) {
    const { isApp, errorCode, reason } = error.data;
    const check = isApp ? undefined : checkOfAlert(errorCode);
    if (check !== undefined) return { reason: 'identity', detail: `the peer refused our certificate (${check})`, by: 'peer' };
    if (isApp)
      return { reason: CLOSE_REASONS[errorCode] ?? 'lost', detail: Buffer.from(reason).toString('utf8') || 'no reason given', by: 'peer' };
  }
  if (error instanceof errors.ErrorQUICConnectionIdleTimeout)
    return { reason: 'lost', detail: 'nothing was heard from the peer', by: 'network' };
  return { reason: 'lost', detail: error instanceof Error ? error.message : 'closed', by: 'network' };
}

class QuicStream implements ByteStream {
  readonly #stream: QUICStream;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(stream: QUICStream) {
    this.#stream = stream;
    this.#reader = stream.readable.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#writer = stream.writable.getWriter();
    // Their failures are reported by read() and write(); unwatched they would end the process.
    this.#reader.closed.catch(nothing);
    this.#writer.closed.catch(nothing);
    this.#writer.ready.catch(nothing);
  }

  prioritise(urgency: number): void {
    type Native = { conn: { streamPriority(id: number, urgency: number, incremental: boolean): void } };
    (this.#stream as unknown as { connection: Native }).connection.conn.streamPriority(this.#stream.streamId, urgency, true);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes);
  }

  async read(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#reader.read();
    return done ? undefined : value;
  }
}

/** The key of the Retry token, fresh per start, and HMAC-SHA-256 for it. Not part of TLS. */
function retryTokenCrypto() {
  const copy = (bytes: Buffer): ArrayBuffer => new Uint8Array(bytes).buffer;
  const mac = (key: ArrayBuffer, data: ArrayBuffer) => createHmac('sha256', new Uint8Array(key)).update(new Uint8Array(data)).digest();
  return {
    key: copy(randomBytes(32)),
    ops: {
      sign: async (key: ArrayBuffer, data: ArrayBuffer) => copy(mac(key, data)),
      verify: async (key: ArrayBuffer, data: ArrayBuffer, signature: ArrayBuffer) => {
        const expected = mac(key, data);
        const given = new Uint8Array(signature);
        return given.length === expected.length && timingSafeEqual(given, expected);
      },
    },
  };
}

/** Bounds the handshakes in progress, and reports those that fail. The library calls this method for every first packet of a connection. */
function limitHandshakes(server: QUICServer, onRefused: (problem: ConnectProblem, address: string, detail: string) => void): void {
  type Accept = (remote: { host: string; port: number }, ...rest: unknown[]) => Promise<unknown>;
  const accepting = server as unknown as { acceptConnection: Accept };
  const accept = accepting.acceptConnection.bind(server);
  let inProgress = 0;
  accepting.acceptConnection = async (remote, ...rest) => {
    if (inProgress >= MAX_HANDSHAKES) return undefined;
    inProgress++;
    try {
      return await accept(remote, ...rest);
    } catch (error) {
      const { problem, detail } = handshakeProblem(error);
      onRefused(problem, addressOf(remote), detail);
      return undefined;
    } finally {
      inProgress--;
    }
  };
}

/** TLS alerts (RFC 8446 §6) arrive as QUIC transport errors 0x100 + alert (RFC 9001 §4.8). */
function checkOfAlert(code: number): CertificateCheck | undefined {
  switch (code - 0x100) {
    case 42: // bad_certificate: the library says so for a name that does not match
      return 'name';
    case 43:
      return 'usage';
    case 45: // certificate_expired: also for one that is not valid yet
      return 'expired';
    case 48:
      return 'authority';
    case 116:
      return 'missing';
    default:
      return undefined;
  }
}

/** The library wraps what happened in causes. */
function* causes(error: unknown): Generator<unknown> {
  for (let cause = error, depth = 0; cause !== undefined && depth < 8; cause = (cause as Error).cause, depth++) yield cause;
}

function handshakeProblem(error: unknown): { problem: ConnectProblem; detail: string } {
  for (const cause of causes(error)) {
    if (isFromPeer(cause)) {
      const check = cause.data.isApp ? undefined : checkOfAlert(cause.data.errorCode);
      return { problem: 'refused-by-peer', detail: check === undefined ? cause.message : `the peer refused our certificate (${check})` };
    }
    if (cause instanceof errors.ErrorQUICConnectionLocal) {
      const check = checkOfAlert(cause.data.errorCode);
      if (check !== undefined)
        return { problem: check, detail: `TLS refused the certificate (${check === 'expired' ? 'expired, or not valid yet' : check})` };
    }
  }
  return { problem: 'handshake', detail: error instanceof Error ? error.message : String(error) };
}

function dialProblem(error: unknown, member: Member): ConnectError {
  for (const cause of causes(error)) {
    if (cause instanceof errors.ErrorQUICClientCreateTimeout || cause instanceof errors.ErrorQUICConnectionStartTimeout) {
      return new ConnectError('unreachable', `no answer from ${addressOf(member)}`, { cause: error });
    }
  }
  const { problem, detail } = handshakeProblem(error);
  return new ConnectError(problem, detail, { cause: error });
}

/** By the code of the system error. */
const BIND_PROBLEMS: Readonly<Record<string, (host: string, port: number) => Refusal>> = {
  EADDRINUSE: (host, port) =>
    new Refusal(
      'mesh.port_in_use',
      'mesh.port',
      `UDP port ${port} of ${host} is in use by another program`,
      'stop that program (another node of this cluster?), or give mesh.port another value and tell the other nodes',
      409,
    ),
  EACCES: (_, port) =>
    new Refusal('mesh.port_forbidden', 'mesh.port', `this user may not listen on UDP port ${port}`, 'choose a port above 1023', 403),
  EADDRNOTAVAIL: (host) => notOurs(host),
  ENOTFOUND: (host) => notOurs(host),
  EINVAL: (host) => notOurs(host),
};
const notOurs = (host: string) =>
  new Refusal('mesh.host', 'mesh.host', `${host} is not an address of this machine`, 'set mesh.host to one of its addresses', 422);

function bindRefusal(error: unknown, host: string, port: number): unknown {
  for (const cause of causes(error)) {
    const refusal = BIND_PROBLEMS[(cause as NodeJS.ErrnoException | undefined)?.code ?? ''];
    if (refusal !== undefined) return refusal(host, port);
  }
  return error;
}

/** Bigger kernel buffers: without them a burst of large messages loses packets even on loopback. The system may allow less. */
function enlargeBuffers(socket: QUICSocket, logger: MeshLogger): void {
  type Datagram = { setRecvBufferSize(n: number): void; setSendBufferSize(n: number): void };
  const datagram = (socket as unknown as { socket: Datagram }).socket;
  try {
    datagram.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    datagram.setSendBufferSize(SOCKET_BUFFER_BYTES);
  } catch (error) {
    logger.warn(
      { error: String(error) },
      'the system refuses 4 MiB socket buffers; expect lost packets under load (raise net.core.rmem_max and wmem_max)',
    );
  }
}
