import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { QUICClient, QUICSocket } from '@matrixai/quic';
import { createPrivateKey, randomFillSync, webcrypto } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, issueNode } from '../pki/authority.ts';
import { serverName } from '../pki/names.ts';
import { createMesh } from './mesh.ts';
import { createQuicTransport } from './quic.ts';
import { freePort, testCluster, until, whole, type TestCluster } from './testing/cluster.ts';
import type { ByteStream, ConnectError, Connection } from './transport.ts';
import { TRAFFIC_CLASSES } from './types.ts';

const DAY = 86_400_000;
type Tls = { keyPem: string; chainPem: string; rootPem: string };
let cluster: TestCluster;
/** Certificates by what is wrong with them, for the node that they claim to be. */
let bad: Record<string, (node: string) => Promise<Tls>>;

beforeAll(async () => {
  cluster = await testCluster(3);
  const { authority } = cluster;
  const foreign = await createAuthority(join(cluster.folder, 'foreign'), { cluster: 'test' });
  const rootPem = authority.rootPem; // the attacker trusts the cluster; only its own certificate is wrong
  const issue = async (options: { node: string; from?: typeof authority; now?: number; days?: number }) => ({
    ...(await issueNode({
      authority: options.from ?? authority,
      nodeId: options.node,
      hosts: ['127.0.0.1'],
      ...(options.now && { now: options.now }),
      days: options.days ?? 90,
    })),
    rootPem,
  });
  bad = {
    'a foreign authority': (node) => issue({ node, from: foreign }),
    'an expired certificate': (node) => issue({ node, now: Date.now() - 10 * DAY, days: 5 }),
    'a certificate that is not valid yet': (node) => issue({ node, now: Date.now() + 10 * DAY }),
    'the certificate of a node outside the cluster': () => issue({ node: 'node-9' }),
    'the certificate of another member': () => issue({ node: 'node-3' }),
    'a self-signed certificate': async (node) => {
      const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
      const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
      const certificate = await x509.X509CertificateGenerator.createSelfSigned({
        serialNumber: '01',
        name: [{ CN: [node] }],
        notBefore: new Date(Date.now() - DAY),
        notAfter: new Date(Date.now() + DAY),
        signingAlgorithm: algorithm,
        keys,
        extensions: [
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: serverName(node) }]),
        ],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
      const keyPem = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }) as string;
      return { keyPem, chainPem: certificate.toString('pem'), rootPem };
    },
  };
});
afterAll(() => cluster.end());

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const transport = (tls: Tls, port: number, diallers: string[] = []) =>
  createQuicTransport({ listen: { host: '127.0.0.1', port }, tls, diallers, clock: { now: Date.now }, logger: quiet });

const CASES: readonly [string, dialling: string[], listening: string[]][] = [
  ['a foreign authority', ['authority'], ['authority']],
  ['an expired certificate', ['expired'], ['expired']],
  // TLS has one alert for both ends of validity.
  ['a certificate that is not valid yet', ['expired'], ['expired']],
  ['the certificate of a node outside the cluster', ['name'], ['name']],
  ['the certificate of another member', ['name'], ['name']],
  ['a self-signed certificate', ['authority', 'self-signed'], ['authority', 'self-signed']],
];

describe.each(CASES)('%s', (what, dialling, listening) => {
  test('is refused from a peer that dials, with its reason', async () => {
    const port = await freePort();
    const members = cluster.members.map((member, i) => (i === 1 ? { ...member, port } : member));
    const victim = createMesh({
      self: 'node-2',
      members,
      clusterId: cluster.clusterId,
      tls: cluster.credentials(1),
      listen: { host: '127.0.0.1', port },
    });
    const attacker = transport(await bad[what]!('node-1'), await freePort());
    try {
      await victim.start();
      await attacker.listen(
        () => undefined,
        () => undefined,
      );
      // The dialler may believe in the connection until the other side has judged it.
      const outcome = await attacker.dial({ node: 'node-2', host: '127.0.0.1', port }, new AbortController().signal).then(
        (connection: Connection) => connection.closed,
        (error: ConnectError) => error,
      );
      expect(outcome).toMatchObject('problem' in outcome ? { problem: 'refused-by-peer' } : { reason: 'identity', by: 'peer' });
      await until('the refusal is counted', () => Object.keys(victim.statistics().refused).length > 0);
      expect(dialling).toContain(Object.keys(victim.statistics().refused)[0]);
      expect(victim.peers().map((peer) => peer.framesIn)).toEqual([0, 0]);
    } finally {
      await attacker.stop();
      await victim.stop();
    }
  });

  test('is refused from a peer that is dialled, with its reason', async () => {
    const [port, attackerPort] = [await freePort(), await freePort()];
    const attacker = transport(await bad[what]!('node-2'), attackerPort, ['node-1']);
    const seen: Connection[] = [];
    const victim = transport(cluster.credentials(0), port);
    try {
      await attacker.listen(
        (connection) => seen.push(connection),
        () => undefined,
      );
      await victim.listen(
        () => undefined,
        () => undefined,
      );
      const dial = victim.dial({ node: 'node-2', host: '127.0.0.1', port: attackerPort }, new AbortController().signal);
      const error = (await dial.catch((e: unknown) => e)) as ConnectError;
      expect(error).toMatchObject({ name: 'ConnectError' });
      expect(listening).toContain(error.problem);
      expect(seen).toEqual([]);
    } finally {
      await victim.stop();
      await attacker.stop();
    }
  });
});

test('a peer without certificate is refused', async () => {
  const port = await freePort();
  const members = cluster.members.map((member, i) => (i === 1 ? { ...member, port } : member));
  const victim = createMesh({
    self: 'node-2',
    members,
    clusterId: cluster.clusterId,
    tls: cluster.credentials(1),
    listen: { host: '127.0.0.1', port },
  });
  await victim.start();
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    getChild: () => logger,
  } as never;
  const socket = new QUICSocket({ logger });
  await socket.start({ host: '127.0.0.1', port: 0 });
  try {
    const client = QUICClient.createQUICClient(
      {
        host: '127.0.0.1',
        port,
        serverName: serverName('node-2'),
        socket,
        logger,
        crypto: { ops: { randomBytes: async (data: ArrayBuffer) => void randomFillSync(new Uint8Array(data)) } },
        config: { ca: cluster.authority.rootPem, verifyPeer: true, maxIdleTimeout: 1000, applicationProtos: ['threshold-wallet/1'] },
      },
      { timer: 1000 },
    );
    await client.catch((error: unknown) => error);
    await until('the refusal is counted', () => victim.statistics().refused['missing'] === 1);
  } finally {
    await socket.stop({ force: true });
    await victim.stop();
  }
});

describe('an address', () => {
  test('in use is refused with the setting and the remedy', async () => {
    const port = await freePort();
    const [first, second] = [transport(cluster.credentials(0), port), transport(cluster.credentials(0), port)];
    const listen = (t: typeof first) =>
      t.listen(
        () => undefined,
        () => undefined,
      );
    await listen(first);
    try {
      await expect(listen(second)).rejects.toMatchObject({
        name: 'Refusal',
        code: 'mesh.port_in_use',
        field: 'mesh.port',
        message: expect.stringContaining(String(port)),
        remedy: expect.stringContaining('mesh.port'),
      });
      await expect(
        createQuicTransport({
          listen: { host: '203.0.113.9', port },
          tls: cluster.credentials(0),
          diallers: [],
          clock: { now: Date.now },
          logger: quiet,
        }).listen(
          () => undefined,
          () => undefined,
        ),
      ).rejects.toMatchObject({ code: 'mesh.host', field: 'mesh.host' });
    } finally {
      await first.stop();
    }
  });

  test('where nobody listens is unreachable, in bounded time', async () => {
    const dialler = transport(cluster.credentials(0), await freePort());
    await dialler.listen(
      () => undefined,
      () => undefined,
    );
    const outcome = dialler.dial({ node: 'node-2', host: '127.0.0.1', port: await freePort() }, new AbortController().signal);
    await expect(outcome).rejects.toMatchObject({ name: 'ConnectError', problem: 'unreachable' });
    await dialler.stop();
  });
});

test('a peer that opens more streams than there are classes gets none of them, and its link works on', async () => {
  const port = await freePort();
  const listening = transport(cluster.credentials(1), port, ['node-1']);
  const dialling = transport(cluster.credentials(0), await freePort());
  const streams: ByteStream[] = [];
  await listening.listen(
    (connection) => connection.onStream((stream) => streams.push(stream)),
    () => undefined,
  );
  await dialling.listen(
    () => undefined,
    () => undefined,
  );
  try {
    const connection = await dialling.dial({ node: 'node-2', host: '127.0.0.1', port }, new AbortController().signal);
    const mine = TRAFFIC_CLASSES.map(() => connection.open());
    for (const stream of mine) await stream.write(Uint8Array.of(1));
    expect(() => connection.open()).toThrow('Stream limit');
    await mine[0]!.write(Uint8Array.of(2));
    await until('all four streams arrived', () => streams.length === TRAFFIC_CLASSES.length);
    const got: number[] = [];
    while (got.length < 2) got.push(...(await streams[0]!.read())!);
    expect(got).toEqual([1, 2]);
  } finally {
    await dialling.stop();
    await listening.stop();
  }
});

test('own credentials that cannot work are refused before anything starts', () => {
  const options = { self: 'node-1', members: cluster.members, clusterId: 'c', listen: { host: '127.0.0.1', port: 1 } };
  const tls = cluster.credentials(0);
  expect(() => createMesh({ ...options, tls: cluster.credentials(1) })).toThrow(expect.objectContaining({ code: 'mesh.certificate' }));
  expect(() => createMesh({ ...options, tls, clock: { now: () => Date.now() + 91 * DAY } })).toThrow(
    expect.objectContaining({ code: 'mesh.certificate', remedy: expect.stringContaining('certificate for node-1') }),
  );
  expect(() => createMesh({ ...options, tls, self: 'node-7' })).toThrow(
    expect.objectContaining({ code: 'mesh.members', field: 'node.id' }),
  );
  expect(() => createMesh({ ...options, tls, members: [...cluster.members, cluster.members[0]!] })).toThrow(
    expect.objectContaining({ field: 'cluster.members[3].id' }),
  );
  expect(() => createMesh({ ...options, tls, members: [{ ...cluster.members[0]!, port: 0 }] })).toThrow(
    expect.objectContaining({ field: 'cluster.members[0].port' }),
  );
});

test('a certificate that ends while its link is up ends the link', async () => {
  let skew = 0;
  const two = { members: cluster.members.slice(0, 2) };
  const meshes = [0, 1].map((i) =>
    cluster.mesh(i, {
      ...two,
      timing: { certificateMs: 100, heartbeatMs: 100 },
      ...(i === 0 && { clock: { now: () => Date.now() + skew } }),
    }),
  );
  await Promise.all(meshes.map((mesh) => mesh.start()));
  await until('the link is up', () => whole(meshes));
  skew = 91 * DAY;
  await until('the link is closed', () => meshes[0]!.statistics().closed.identity === 1);
  expect(meshes[0]!.peers()[0]).toMatchObject({ status: 'dead', problem: expect.stringContaining('expired') });
  await until('the other side is told', () => meshes[1]!.peers()[0]!.problem?.startsWith('identity') === true);
  await Promise.all(meshes.map((mesh) => mesh.stop()));
});
