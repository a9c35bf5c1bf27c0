/** What tests of the mesh share: a cluster's certificates in a temporary folder, free ports, and waiting for a condition. */
import { createSocket } from 'node:dgram';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAuthority, issueNode, type Authority, type NodeCredentials } from '../../pki/authority.ts';
import { createMesh, type MeshOptions, type RunningMesh } from '../mesh.ts';
import type { Member } from '../transport.ts';

/**
 * UDP ports for listeners: below those that the system gives to sockets of its choice, which other test files open at the same time, and from a part
 * of them that other processes of the tests do not use.
 */
const LOWEST = 16_000;
const PORTS_OF_A_PROCESS = 250;
let port = LOWEST + (process.pid % 64) * PORTS_OF_A_PROCESS;

/** A UDP port of the loopback interface that nobody uses, and that this process has not handed out before. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS_OF_A_PROCESS; tries++) {
    const candidate = port++;
    const socket = createSocket('udp4');
    const free = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false)).bind({ port: candidate, address: '127.0.0.1', exclusive: true }, () => resolve(true));
    });
    await new Promise<void>((resolve) => socket.close(resolve));
    if (free) return candidate;
  }
  throw new Error(`no free UDP port below ${port} on the loopback interface`);
}

/** Resolves when `condition` holds. @throws Error naming `what` after `ms`. */
export async function until(what: string, condition: () => boolean, ms = 15_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await sleep(10);
  }
}

/** On a busy machine a test process may stand still for seconds; no link should end for that. */
export const PATIENT = { idleMs: 15_000, degradedMs: 10_000, deadMs: 15_000, handshakeMs: 5_000, helloMs: 5_000 };

export interface TestCluster {
  readonly folder: string;
  readonly authority: Authority;
  readonly members: readonly Member[];
  readonly clusterId: string;
  credentials(index: number): NodeCredentials;
  /** A mesh for member `index`, not started. */
  mesh(index: number, options?: Partial<MeshOptions>): RunningMesh;
  /** Stops every mesh that was made here, and removes the folder. */
  end(): Promise<void>;
}

export async function testCluster(n: number): Promise<TestCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'mesh-'));
  const authority = await createAuthority(join(folder, 'ca'), { cluster: 'test' });
  const members: Member[] = [];
  const credentials: NodeCredentials[] = [];
  for (let i = 0; i < n; i++) {
    const node = `node-${i + 1}`;
    members.push({ node, host: '127.0.0.1', port: await freePort() });
    credentials.push(await issueNode({ authority, nodeId: node, hosts: ['127.0.0.1'] }));
  }
  const made: RunningMesh[] = [];
  const clusterId = '00112233445566778899aabbccddeeff';
  return {
    folder,
    authority,
    members,
    clusterId,
    credentials: (index) => credentials[index]!,
    mesh(index, options = {}) {
      const { node, host, port } = members[index]!;
      const mesh = createMesh({
        self: node,
        members,
        clusterId,
        tls: credentials[index]!,
        listen: { host, port },
        ...options,
        timing: { ...PATIENT, ...options.timing },
      });
      made.push(mesh);
      return mesh;
    },
    async end() {
      await Promise.all(made.map((mesh) => mesh.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Every link of every mesh is up. */
export const whole = (meshes: readonly RunningMesh[]): boolean =>
  meshes.every((mesh) => mesh.peers().every((peer) => peer.status === 'active' || peer.status === 'degraded'));
