import { errors } from '@matrixai/quic';
import { describe, expect, test } from 'vitest';
import { acceptLink } from './link.ts';
import { MESH_TIMING, Peer, type PeerOptions } from './peer.ts';
import { installProcessGuard } from './process-guard.ts';
import { RoundTrips } from './rtt.ts';
import { until } from './testing/cluster.ts';
import { ConnectError, type ByteStream, type Closing, type Connection, type MeshTransport } from './transport.ts';

/** The two ends of a connection in memory. */
function connectionPair(a: string, b: string): [Connection, Connection] {
  const listeners: ((stream: ByteStream) => void)[] = [];
  let settle!: (closing: Closing) => void;
  const ended = new Promise<Closing>((resolve) => (settle = resolve));
  const pipe = () => {
    const chunks: Uint8Array[] = [];
    let wake = () => {};
    return {
      write: async (bytes: Uint8Array) => {
        chunks.push(bytes);
        wake();
      },
      read: async () => {
        while (chunks.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        return chunks.shift();
      },
    };
  };
  const end = (node: string, mine: 'a' | 'b'): Connection => ({
    node,
    certificates: [],
    verdict: () => ({ ok: true, node, serial: '01', expires: Number.MAX_SAFE_INTEGER }),
    open: () => {
      const [there, back] = [pipe(), pipe()];
      queueMicrotask(() => listeners[0]!({ prioritise: () => undefined, write: back.write, read: there.read }));
      return { prioritise: () => undefined, write: there.write, read: back.read };
    },
    onStream: (listener) => void listeners.push(listener),
    close: async (reason, detail) => settle({ reason, detail, by: mine === 'a' ? 'us' : 'peer' }),
    closed: ended,
  });
  return [end(b, 'a'), end(a, 'b')];
}

function setUp(dial: MeshTransport['dial'], timing: Partial<typeof MESH_TIMING> = {}) {
  const statuses: string[] = [];
  const closings: Closing[] = [];
  const waits: number[] = [];
  const options: PeerOptions = {
    member: { node: 'node-2', host: '127.0.0.1', port: 1 },
    dials: true,
    identity: { self: 'node-1', cluster: 'c' },
    transport: { dial, listen: async () => undefined, stop: async () => undefined },
    timing: { ...MESH_TIMING, ...timing },
    clock: { now: Date.now },
    logger: { debug: (context) => 'wait' in context && waits.push(context.wait as number), info: () => undefined, warn: () => undefined },
    onFrame: () => undefined,
    onStatus: (_, status) => statuses.push(status),
    onClosed: (_, closing) => closings.push(closing),
    onRefused: () => undefined,
    onDefect: () => undefined,
  };
  return { peer: new Peer(options), statuses, closings, waits };
}

describe('a peer', () => {
  test('that is not there is dialled again after 1, 2, 4, 4 … times the first wait, each within a tenth', async () => {
    const { peer, waits, statuses } = setUp(() => Promise.reject(new ConnectError('unreachable', 'no answer')), {
      backoffMs: [20, 40, 80],
    });
    peer.start();
    await until('five attempts', () => waits.length >= 5);
    for (const [i, base] of [20, 40, 80, 80, 80].entries()) expect(Math.abs(waits[i]! - base)).toBeLessThanOrEqual(base / 10);
    expect(MESH_TIMING.backoffMs).toEqual([1000, 2000, 4000]);
    expect(() => peer.send({ class: 'control', kind: 'x', session: new Uint8Array(32), round: '', body: new Uint8Array() })).toThrow(
      /no link to node-2 .*no answer/,
    );
    peer.tick(performance.now() + MESH_TIMING.deadMs, false);
    await peer.stop(0);
    expect(statuses).toEqual(['connecting', 'dead', 'idle']);
  });

  test('that falls silent is degraded after two heartbeats and dead before five seconds; our own stall proves nothing', async () => {
    const [mine, theirs] = connectionPair('node-1', 'node-2');
    void acceptLink(theirs, { self: 'node-2', cluster: 'c' }, 1000); // greets, and then answers nothing
    let dials = 0;
    const { peer, statuses, closings } = setUp(async () => {
      if (dials++ > 0) throw new ConnectError('unreachable', 'no answer');
      return mine;
    });
    peer.start();
    await until('the link is up', () => statuses.includes('active'));
    const now = performance.now();
    peer.tick(now + 1000, false);
    expect(peer.state().status).toBe('active');
    peer.tick(now + 2500, false);
    expect(peer.state()).toMatchObject({ status: 'degraded', problem: expect.stringContaining('nothing heard') });
    peer.tick(now + 9000, true);
    expect(peer.state().status).toBe('active');
    peer.tick(now + 9000 + 3600, false);
    expect(peer.state()).toMatchObject({ status: 'dead', problem: expect.stringContaining('silent') });
    expect(closings).toMatchObject([{ reason: 'silent', by: 'us' }]);
    expect(MESH_TIMING.deadMs + MESH_TIMING.heartbeatMs / 2).toBeLessThan(5000);
    await peer.stop(0);
  });
});

test('round-trip percentiles are by nearest rank over the last 120', () => {
  const trips = new RoundTrips();
  expect(trips.summary()).toBeUndefined();
  for (let i = 0; i < 100; i++) trips.add(1_000_000);
  for (let i = 1; i <= 120; i++) trips.add(i);
  expect(trips.summary()).toEqual({ p50: 60, p99: 119 });
});

test('the process guard survives what the QUIC library throws, and hands everything else on', () => {
  const before = new Set(process.listeners('uncaughtException'));
  const defects: unknown[] = [];
  const guard = installProcessGuard({
    logger: { debug: () => undefined, info: () => undefined, warn: () => undefined },
    onDefect: (error) => defects.push(error),
  });
  const handler = process.listeners('uncaughtException').find((listener) => !before.has(listener))!;
  handler(new errors.ErrorQUICConnectionInternal('inside'), 'uncaughtException');
  const ours = new TypeError('a bug');
  handler(ours, 'uncaughtException');
  expect([guard.survived, defects]).toEqual([1, [ours]]);
  guard.remove();
  expect(new Set(process.listeners('uncaughtException'))).toEqual(before);
});
