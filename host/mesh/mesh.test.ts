import { createSocket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { MAX_BODY_BYTES } from './frame.ts';
import { freePort, testCluster, until, whole, type TestCluster } from './testing/cluster.ts';
import type { Frame, TrafficClass } from './types.ts';

let cluster: TestCluster;
afterEach(() => cluster.end());

const frame = (kind: string, body: Uint8Array, traffic: TrafficClass = 'control'): Frame => ({
  class: traffic,
  kind,
  session: new Uint8Array(32),
  round: '',
  body,
});

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
        for (const traffic of ['control', 'signing', 'ceremony', 'bulk'] as const) {
          mesh.send(to, frame('note', utf8('a'), traffic));
          mesh.send(to, frame('note', utf8('b'), traffic));
        }
      }
    }
    await until('all frames arrived', () => got.length === 3 * 2 * 4 * 2);
    for (const from of meshes[0]!.members) {
      for (const to of meshes[0]!.members.filter((node) => node !== from)) {
        expect(got.filter((line) => line.startsWith(`${from}>${to} signing`))).toEqual([
          `${from}>${to} signing a`,
          `${from}>${to} signing b`,
        ]);
      }
    }
    await until('heartbeats were answered', () => meshes.every((mesh) => mesh.peers().every((peer) => peer.rtt !== undefined)));
    expect(meshes[0]!.peers()[0]).toMatchObject({ node: 'node-2', status: 'active', reconnects: 0, problem: undefined });
    expect(meshes[0]!.statistics()).toEqual({ refused: {}, closed: {}, unsupported: 0, defects: 0 });
    await Promise.all(meshes.map((mesh) => mesh.stop()));
  });
});
void createSocket;
void randomBytes;
void MAX_BODY_BYTES;
void freePort;
