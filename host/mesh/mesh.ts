/**
 * The mesh of one node: a persistent link to every other member, dispatch of frames by kind, heartbeats, and the counters an operator asks for.
 * The sender of a frame is the member that the link's certificate names; frames have no sender field.
 */
import { Defect, Refusal, Unavailable } from '../base/errors.ts';
import { decode, encode, text } from '../base/codec.ts';
import { verifyChain } from '../pki/certificate.ts';
import { requireNodeId } from '../pki/names.ts';
import { MAX_KIND_BYTES, SESSION_BYTES } from './frame.ts';
import { acceptLink } from './link.ts';
import { controlFrame, MESH_TIMING, Peer, type MeshTiming } from './peer.ts';
import { createQuicTransport, QUIC_TIMING, type QuicTiming } from './quic.ts';
import { addressOf, LinkError, type CloseReason, type Member, type MeshLogger, type MeshTransport } from './transport.ts';
import type { Frame, LinkStatus, Mesh, NodeId } from './types.ts';

export interface MeshOptions {
  readonly self: NodeId;
  /** All members in index order, own one included. */
  readonly members: readonly Member[];
  /** Nodes of another cluster are refused even under the same authority. */
  readonly clusterId: string;
  readonly tls: { readonly keyPem: string; readonly chainPem: string; readonly rootPem: string };
  readonly listen: { readonly host: string; readonly port: number };
  readonly logger?: MeshLogger;
  /** Milliseconds since the epoch; for certificates and times shown. */
  readonly clock?: { now(): number };
  readonly timing?: Partial<MeshTiming & QuicTiming>;
  /** Another adapter than QUIC. */
  readonly transport?: MeshTransport;
}

/** Since the start; for metrics. */
export interface MeshStatistics {
  /** Connections that were not accepted, by the check that failed. */
  readonly refused: Readonly<Record<string, number>>;
  /** Links that ended, by reason. */
  readonly closed: Readonly<Partial<Record<CloseReason, number>>>;
  /** Frames of a kind that nobody here handles. */
  readonly unsupported: number;
  /** Frames that a handler of this node failed on. */
  readonly defects: number;
}

export interface RunningMesh extends Mesh {
  statistics(): MeshStatistics;
}

const UNSUPPORTED = '$unsupported';
const kindName = text(MAX_KIND_BYTES);
const DRAIN_MS = 500;
const silent: MeshLogger = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** @throws Refusal when members, own certificate or key cannot work; nothing is opened before `start`. */
export function createMesh(options: MeshOptions): RunningMesh {
  const { self, members, clusterId, tls, listen, logger = silent, clock = { now: Date.now } } = options;
  const timing: MeshTiming & QuicTiming = { ...MESH_TIMING, ...QUIC_TIMING, ...options.timing };
  const own = checkMembers(self, members);
  const ownChain = verifyChain(tls.chainPem, { rootPem: tls.rootPem, node: self, now: clock.now() });
  if (!ownChain.ok) {
    throw new Refusal(
      'mesh.certificate',
      'mesh.chain',
      `the certificate of this node does not work: ${ownChain.detail}`,
      `issue a certificate for ${self} again with the authority of this cluster, and check the clock of this machine`,
      422,
    );
  }

  const transport =
    options.transport ??
    createQuicTransport({ listen, tls, clock, logger, timing, diallers: members.slice(0, own).map((member) => member.node) });
  const identity = { self, cluster: clusterId };
  const handlers = new Map<string, (from: NodeId, frame: Frame) => void>();
  const listeners: ((node: NodeId, status: LinkStatus) => void)[] = [];
  const refused: Record<string, number> = {};
  const closed: Partial<Record<CloseReason, number>> = {};
  let unsupported = 0;
  let defects = 0;
  let phase: 'new' | 'running' | 'stopped' = 'new';
  let ticker: NodeJS.Timeout | undefined;

  function onRefused(problem: string, address: string, detail: string): void {
    refused[problem] = (refused[problem] ?? 0) + 1;
    logger.warn({ problem, address, detail }, 'connection refused');
  }

  function onFrame(from: NodeId, frame: Frame): void {
    if (frame.kind === UNSUPPORTED) {
      logger.warn(
        { peer: from, kind: decode(kindName, frame.body) },
        'the peer does not know this kind of frame; do all nodes run the same version?',
      );
      return;
    }
    const handler = handlers.get(frame.kind);
    if (handler === undefined) {
      unsupported++;
      logger.warn({ peer: from, kind: frame.kind }, 'frame of an unknown kind');
      answerUnsupported(from, frame.kind);
      return;
    }
    handler(from, frame);
  }

  function answerUnsupported(to: NodeId, kind: string): void {
    try {
      peers.get(to)!.send(controlFrame(UNSUPPORTED, encode(kindName, kind)));
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error; // the answer is a courtesy; without a link nobody waits for it
    }
  }

  const peers = new Map(
    members
      .map((member, index) => ({ member, index }))
      .filter(({ index }) => index !== own)
      .map(({ member, index }) => [
        member.node,
        new Peer({
          member,
          dials: own < index,
          identity,
          transport,
          timing,
          clock,
          logger,
          onFrame,
          onStatus: (node, status) => {
            for (const listener of listeners) listener(node, status);
          },
          onClosed: (_, { reason }) => (closed[reason] = (closed[reason] ?? 0) + 1),
          onRefused,
          onDefect: (peer, kind, error) => {
            defects++;
            logger.warn(
              { peer, kind, error: error instanceof Error ? (error.stack ?? error.message) : String(error) },
              'a handler of frames failed',
            );
          },
        }),
      ]),
  );

  /** Half a heartbeat; a tick that comes much too late shows that this process was stopped, and nobody is blamed for the silence. */
  function startTicking(): void {
    const every = timing.heartbeatMs / 2;
    let last = performance.now();
    ticker = setInterval(() => {
      const now = performance.now();
      const stalled = now - last > every + timing.degradedMs / 2;
      last = now;
      for (const peer of peers.values()) peer.tick(now, stalled);
    }, every);
  }

  return {
    self,
    members: members.map((member) => member.node),

    async start() {
      if (phase !== 'new') throw new Defect('a mesh is started once');
      phase = 'running';
      await transport.listen((connection) => {
        const peer = peers.get(connection.node);
        if (peer === undefined) return void connection.close('identity', `${connection.node} is not a member`);
        if (phase === 'stopped') return void connection.close('stopping', 'the node stops');
        acceptLink(connection, identity, timing.helloMs).then(
          (link) => peer.adopt(link),
          (error: unknown) => {
            if (!(error instanceof LinkError)) throw error;
            onRefused(error.reason, connection.node, error.detail);
          },
        );
      }, onRefused);
      logger.info({ self, address: addressOf(listen), members: members.length }, 'mesh listens');
      for (const peer of peers.values()) peer.start();
      startTicking();
    },

    async stop() {
      if (phase !== 'running') return;
      phase = 'stopped';
      clearInterval(ticker);
      await Promise.all([...peers.values()].map((peer) => peer.stop(DRAIN_MS)));
      await transport.stop();
    },

    send(to, frame) {
      const peer = peers.get(to);
      if (peer === undefined) throw new Defect(`${to} is not another member of the mesh of ${self}`);
      if (frame.session.length !== SESSION_BYTES || frame.kind.startsWith('$'))
        throw new Defect(`a frame of kind ${frame.kind} that no node may send`);
      peer.send(frame);
    },

    handle(kind, handler) {
      if (phase !== 'new') throw new Defect('handlers are registered before start: a faster peer may be sending already');
      if (handlers.has(kind) || kind.startsWith('$')) throw new Defect(`the kind ${kind} has a handler already`);
      handlers.set(kind, handler);
    },

    peers: () => [...peers.values()].map((peer) => peer.state()),
    onPeer: (listener) => void listeners.push(listener),
    statistics: () => ({ refused: { ...refused }, closed: { ...closed }, unsupported, defects }),
  };
}

/** The index of `self`. */
function checkMembers(self: NodeId, members: readonly Member[]): number {
  const refuse = (field: string, problem: string) =>
    new Refusal('mesh.members', field, problem, 'correct the list of members; it is the same on every node', 422);
  for (const [i, { node, host, port }] of members.entries()) {
    requireNodeId(node, `cluster.members[${i}].id`);
    if (members.findIndex((other) => other.node === node) !== i) throw refuse(`cluster.members[${i}].id`, `${node} is listed twice`);
    if (host === '') throw refuse(`cluster.members[${i}].host`, `${node} has no host`);
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw refuse(`cluster.members[${i}].port`, `${port} is not a port`);
  }
  const own = members.findIndex((member) => member.node === self);
  if (own < 0) throw refuse('node.id', `${self} is not in the list of members`);
  return own;
}
