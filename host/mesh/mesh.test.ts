import { createSocket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { DecodeError, encode, u32 } from '../base/codec.ts';
import { Unavailable } from '../base/errors.ts';
import { createCalls, method } from './calls.ts';
import { encodeFrame, hello, MAX_BODY_BYTES, MAX_FRAME_BYTES, message, MessageReader } from './frame.ts';
import { QUEUE_BYTES } from './link.ts';
import type { RunningMesh } from './mesh.ts';
import { createQuicTransport } from './quic.ts';
import { createSessionHub } from './sessions.ts';
import { freePort, PATIENT, testCluster, until, whole, type TestCluster } from './testing/cluster.ts';
import type { ByteStream, Connection, MeshTransport } from './transport.ts';
import { TRAFFIC_CLASSES, type Frame, type TrafficClass } from './types.ts';

let cluster: TestCluster;
afterEach(() => cluster.end());

const frame = (kind: string, body: Uint8Array, traffic: TrafficClass = 'control'): Frame => ({
  class: traffic,
  kind,
  session: new Uint8Array(32),
  round: '',
  body,
});
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };

describe('three nodes', () => {
  test('form a full mesh; frames of every class arrive in order, from the node of the certificate', async () => {
    cluster = await testCluster(3);
    const got: string[] = [];
    const meshes = [0, 1, 2].map((i) => {
      const mesh = cluster.mesh(i);
      mesh.handle('note', (from, { class: traffic, body }) => got.push(`${from}>${mesh.self} ${traffic} ${Buffer.from(body).toString()}`));
      return mesh;
    });
    await Promise.all(meshes.map((mesh) => mesh.start()));
    await until('the mesh is whole', () => whole(meshes));
    for (const mesh of meshes) {
      for (const to of mesh.members.filter((node) => node !== mesh.self)) {
        for (const traffic of TRAFFIC_CLASSES) for (const note of ['a', 'b']) mesh.send(to, frame('note', utf8(note), traffic));
      }
    }
    await until('all frames arrived', () => got.length === 3 * 2 * 4 * 2);
    for (const from of meshes[0]!.members) {
      for (const to of meshes[0]!.members.filter((node) => node !== from)) {
        for (const traffic of TRAFFIC_CLASSES) {
          const head = `${from}>${to} ${traffic}`;
          expect(got.filter((line) => line.startsWith(`${head} `))).toEqual([`${head} a`, `${head} b`]);
        }
      }
    }
    await until('heartbeats were answered', () => meshes.every((mesh) => mesh.peers().every((peer) => peer.rtt !== undefined)));
    expect(meshes[0]!.peers()[0]).toMatchObject({ node: 'node-2', reconnects: 0 });
    expect(meshes[0]!.statistics()).toEqual({ refused: {}, closed: {}, unsupported: 0, defects: 0 });
  });

  test('a node that stops tells the others, and comes back', async () => {
    cluster = await testCluster(2);
    const timing = { backoffMs: [50] };
    const first = cluster.mesh(0, { timing });
    const seen: string[] = [];
    first.onPeer((_, status) => status !== 'degraded' && seen.at(-1) !== status && seen.push(status));
    await first.start();
    for (const round of [1, 2]) {
      const second = cluster.mesh(1);
      await second.start();
      await until(`link ${round}`, () => whole([first, second]));
      await second.stop();
      await until('the end is noticed', () => first.peers()[0]!.status === 'dead');
      expect(first.statistics().closed).toEqual({ stopping: round });
      expect(() => first.send('node-2', frame('note', utf8('x')))).toThrow(Unavailable);
    }
    expect(seen).toEqual(['connecting', 'active', 'dead', 'active', 'dead']);
    expect(first.peers()[0]!.reconnects).toBe(1);
  });

  test('a signature passes a full bulk queue, and an overfull queue is refused to its sender', async () => {
    cluster = await testCluster(2);
    const meshes = [cluster.mesh(0), cluster.mesh(1)];
    const order: string[] = [];
    meshes[1]!.handle('bulk', () => order.push('bulk'));
    meshes[1]!.handle('sign', () => order.push('sign'));
    await Promise.all(meshes.map((mesh) => mesh.start()));
    await until('the link is up', () => whole(meshes));
    let sent = 0;
    expect(() => {
      for (;;) {
        meshes[0]!.send('node-2', frame('bulk', new Uint8Array(MAX_BODY_BYTES), 'bulk'));
        sent++;
      }
    }).toThrow(expect.objectContaining({ name: 'Unavailable', message: expect.stringContaining('bulk') }));
    expect(sent).toBe(QUEUE_BYTES.bulk / MAX_BODY_BYTES);
    meshes[0]!.send('node-2', frame('sign', utf8('share'), 'signing'));
    await until('everything arrived', () => order.length === sent + 1, 60_000);
    expect(order.indexOf('sign')).toBeLessThan(2); // only what was on its way already may be in front of it
    expect(whole(meshes)).toBe(true);
  });

  test('sessions and calls run over real links', async () => {
    cluster = await testCluster(2);
    const meshes = [cluster.mesh(0), cluster.mesh(1)];
    const hubs = meshes.map((mesh) => createSessionHub(mesh));
    const calls = meshes.map((mesh) => createCalls(mesh));
    const double = method('double', u32, u32);
    calls[1]!.serve(double, async (from, n) => (from === 'node-1' ? n * 2 : 0));
    await Promise.all(meshes.map((mesh) => mesh.start()));
    await until('the link is up', () => whole(meshes));
    expect(await calls[0]!.call('node-2', double, 21)).toBe(42);
    const sid = new Uint8Array(randomBytes(32));
    const [a, b] = hubs.map((hub) => hub.open({ sid, members: ['node-1', 'node-2'], class: 'ceremony', roundTimeoutMs: 10_000 }));
    const large = new Uint8Array(randomBytes(1 << 20));
    a!.send(1, 'r1', large);
    expect(Buffer.compare(await b!.receive(0, 'r1'), large)).toBe(0);
  });
});

/** A peer with a good certificate that speaks as it likes: node-1 against the mesh of node-2, beside an honest node-3. */
async function against(
  act: (raw: { connection: Connection; streams: Map<TrafficClass, ByteStream> }) => Promise<void>,
  timing: Partial<typeof PATIENT> = {},
): Promise<{ victim: RunningMesh; honest: RunningMesh; heard: string[] }> {
  cluster = await testCluster(3);
  const [victim, honest] = [cluster.mesh(1, { timing }), cluster.mesh(2)];
  const heard: string[] = [];
  victim.handle('note', (from, { body }) => heard.push(`${from} ${Buffer.from(body).toString()}`));
  victim.handle('strict', () => {
    throw new DecodeError('field', 'not what it should be');
  });
  victim.handle('buggy', () => {
    throw new TypeError('a bug of ours');
  });
  await Promise.all([victim.start(), honest.start()]);
  const attacker: MeshTransport = createQuicTransport({
    listen: { host: '127.0.0.1', port: cluster.members[0]!.port },
    tls: cluster.credentials(0),
    diallers: [],
    clock: { now: Date.now },
    logger: quiet,
    timing: { ...PATIENT, keepAliveMs: 1000 },
  });
  await attacker.listen(
    () => undefined,
    () => undefined,
  );
  try {
    const connection = await attacker.dial(cluster.members[1]!, new AbortController().signal);
    const streams = new Map(TRAFFIC_CLASSES.map((traffic) => [traffic, connection.open()]));
    await act({ connection, streams });
    // Whatever node-1 did, the other link works.
    const others = () => victim.peers().find((peer) => peer.node === 'node-3')!;
    await until('the link to node-3 is up', () => others().status === 'active' || others().status === 'degraded');
    await until('node-3 is up as well', () => honest.peers().some((peer) => peer.node === 'node-2' && peer.lastSeen !== undefined));
    honest.send('node-2', frame('note', utf8('still here')));
    await until('the honest frame arrived', () => heard.includes('node-3 still here'));
  } finally {
    await attacker.stop();
  }
  return { victim, honest, heard };
}

const greet = (traffic: TrafficClass, change: Partial<{ cluster: string; from: string; to: string }> = {}) =>
  message(hello, { cluster: cluster.clusterId, from: 'node-1', to: 'node-2', class: traffic, ...change });

async function greetAll(streams: Map<TrafficClass, ByteStream>): Promise<void> {
  for (const [traffic, stream] of streams) {
    await stream.write(greet(traffic));
    expect(await new MessageReader(stream).next(1000)).toBeDefined();
  }
}

const prefixed = (content: Uint8Array): Uint8Array => new Uint8Array([...encode(u32, content.length), ...content]);
const valid = (sequence = 0) => encodeFrame(frame('note', utf8('hi')), sequence);

describe('an authenticated peer that breaks the rules loses its link, with the reason, and nobody else loses anything', () => {
  const unknownVersion = valid();
  unknownVersion[4] = 9;
  const truncated = valid().slice(4, -1);
  const otherClass = encodeFrame(frame('note', utf8('hi'), 'bulk'), 0);

  test.each([
    ['junk in a frame', prefixed(new Uint8Array([1, 0xff, 0xff, 0xff])), 'malformed'],
    ['an empty frame', prefixed(new Uint8Array()), 'malformed'],
    ['a frame that ends early', prefixed(truncated), 'malformed'],
    ['trailing bytes', prefixed(new Uint8Array([...valid().slice(4), 0])), 'malformed'],
    ['an unknown version', unknownVersion, 'version'],
    ['a length over the bound', encode(u32, MAX_FRAME_BYTES + 1), 'oversized'],
    ['a length of four gigabytes', encode(u32, 0xffffffff), 'oversized'],
    ['a frame of another class', otherClass, 'malformed'],
    ['a gap in the sequence', valid(1), 'sequence'],
    ['a frame sent twice', new Uint8Array([...valid(0), ...valid(0)]), 'sequence'],
    ['a body that its handler cannot decode', encodeFrame(frame('strict', utf8('x')), 0), 'malformed'],
  ] as const)('%s', async (_, wire, reason) => {
    const { victim } = await against(async ({ connection, streams }) => {
      await greetAll(streams);
      await streams.get('control')!.write(wire);
      expect(await connection.closed).toMatchObject({ reason, by: 'peer' });
    });
    expect(victim.statistics().closed).toEqual({ [reason]: 1 });
    expect(victim.peers()[0]).toMatchObject({ node: 'node-1', status: 'dead', problem: expect.stringContaining(reason) });
  });

  test.each([
    ['another cluster', { cluster: 'ffeeddccbbaa99887766554433221100' }, 'hello'],
    ['the name of another node', { from: 'node-3' }, 'identity'],
    ['a receiver that this is not', { to: 'node-3' }, 'hello'],
  ] as const)('a greeting with %s', async (_, change, reason) => {
    const { victim } = await against(async ({ connection, streams }) => {
      await streams.get('control')!.write(greet('control', change));
      expect(await connection.closed).toMatchObject({ reason, by: 'peer' });
    });
    expect(victim.statistics().refused).toEqual({ [reason]: 1 });
    expect(victim.peers()[0]!.framesIn).toBe(0);
  });

  test('a greeting twice for one class, one that never comes, and an oversized one', async () => {
    await against(async ({ connection, streams }) => {
      await streams.get('control')!.write(greet('control'));
      await streams.get('bulk')!.write(greet('control'));
      expect(await connection.closed).toMatchObject({ reason: 'hello', by: 'peer' });
    });
    await cluster.end();
    await against(
      async ({ connection, streams }) => {
        await streams.get('control')!.write(greet('control'));
        expect(await connection.closed).toMatchObject({ reason: 'hello', detail: expect.stringContaining('300 ms'), by: 'peer' });
      },
      { helloMs: 300 },
    );
    await cluster.end();
    await against(async ({ connection, streams }) => {
      await streams.get('control')!.write(encode(u32, 10_000));
      expect(await connection.closed).toMatchObject({ reason: 'oversized', by: 'peer' });
    });
  });

  test('an unknown kind is answered and counted, a failing handler is our bug: the link stays', async () => {
    const { victim, heard } = await against(async ({ streams }) => {
      await greetAll(streams);
      const control = streams.get('control')!;
      const reader = new MessageReader(control);
      await control.write(encodeFrame(frame('nonsense', utf8('x')), 0));
      await control.write(encodeFrame(frame('buggy', utf8('x')), 1));
      await control.write(valid(2));
      let answer: Buffer;
      do answer = Buffer.from((await reader.next(1000))!);
      while (!answer.includes('$unsupported')); // heartbeats are between
      expect(answer.includes('nonsense')).toBe(true);
    });
    expect(heard).toContain('node-1 hi');
    expect(victim.statistics()).toMatchObject({ unsupported: 1, defects: 1 });
  });

  test('a newer link of the same node replaces the older', async () => {
    const { victim } = await against(async ({ connection, streams }) => {
      await greetAll(streams);
      const again = createQuicTransport({
        listen: { host: '127.0.0.1', port: await freePort() },
        tls: cluster.credentials(0),
        diallers: [],
        clock: { now: Date.now },
        logger: quiet,
      });
      await again.listen(
        () => undefined,
        () => undefined,
      );
      const second = await again.dial(cluster.members[1]!, new AbortController().signal);
      await greetAll(new Map(TRAFFIC_CLASSES.map((traffic) => [traffic, second.open()])));
      expect(await connection.closed).toMatchObject({ reason: 'replaced', by: 'peer' });
      await again.stop();
    });
    expect(victim.statistics().closed.replaced).toBe(1);
  });
});

test('datagrams that are not QUIC, or only look like it, change nothing', async () => {
  cluster = await testCluster(2);
  const meshes = [cluster.mesh(0), cluster.mesh(1)];
  const uncaught: unknown[] = [];
  const onError = (error: unknown) => void uncaught.push(error);
  process.on('unhandledRejection', onError);
  process.on('uncaughtException', onError);
  const socket = createSocket('udp4');
  try {
    await Promise.all(meshes.map((mesh) => mesh.start()));
    await until('the link is up', () => whole(meshes));
    const send = (bytes: Uint8Array) =>
      new Promise<void>((resolve) => socket.send(bytes, cluster.members[1]!.port, '127.0.0.1', () => resolve()));
    for (let i = 0; i < 400; i++) {
      const junk = new Uint8Array(randomBytes(1 + ((i * 7) % 1400)));
      // Long header, QUIC version 1, packet types Initial to Retry, with lengths of connection ids over and under the limit.
      if (i % 2 === 0) junk.set([0xc0 | ((i % 4) << 4), 0, 0, 0, 1, i % 24].slice(0, junk.length));
      await send(junk);
    }
    await sleep(300);
    expect(meshes[1]!.statistics().closed).toEqual({});
    expect(whole(meshes)).toBe(true);
    expect(uncaught).toEqual([]);
  } finally {
    process.off('unhandledRejection', onError);
    process.off('uncaughtException', onError);
    socket.close();
  }
});
