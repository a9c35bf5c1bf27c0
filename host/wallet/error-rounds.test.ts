/**
 * A node that cheats with a summand after valid proofs, among nodes that are connected by the real mesh: the error round runs over it within the limits of
 * its sessions, every honest node names the cheater and keeps a file that proves it to whoever was not there, and the wallet goes on without it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { miscounting } from '../cggmp24/testing/parties.ts';
import { runCli } from '../cli/run.ts';
import { testCluster as meshCluster, until as untilTrue, whole, type TestCluster as MeshCluster } from '../mesh/testing/cluster.ts';
import { proposeMethod } from './voting.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';

const CHEAT = 1;
let quic: MeshCluster;
let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
let wallet: string;
let cheating = false;
beforeAll(async () => {
  quic = await meshCluster(3);
  const meshes = [0, 1, 2].map((index) => quic.mesh(index));
  cluster = await startCluster({
    n: 3,
    t: 2,
    meshes,
    coreOf: (index, core) => ({
      kernel: core.kernel,
      run: (operations, options) => (index === CHEAT && cheating ? miscounting(core, 1) : core).run(operations, options),
    }),
  });
  nodes = cluster.nodes as unknown as typeof nodes;
  await Promise.all(meshes.map((mesh) => mesh.start()));
  await untilTrue('all links are up', () => whole(meshes));
  const made = await nodes[0].service.createWallet({ protocol: 'cggmp24' });
  wallet = made.wallet_id;
  await cluster.fund(made.address, 100_000, 100_000);
  await idle();
});
afterAll(async () => {
  await cluster?.close();
  await quic?.end();
});

const idle = () =>
  until(async () => {
    const all = await Promise.all(nodes.map((node) => node.service.ceremonies()));
    return all.flat().every(({ status }) => status !== 'running');
  }, 'the end of all ceremonies');

/** What the command says of every file that a node keeps, without any node. */
async function judgedAt(node: TestNode): Promise<Record<string, unknown>[]> {
  const folder = join(node.folder, 'evidence');
  const documents: Record<string, unknown>[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const stdout = new PassThrough();
    let out = '';
    stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const args = ['evidence', 'verify', join(folder, name), '--json', '--test-parameters'];
    await runCli(args, { stdin: new PassThrough(), stdout, stderr: new PassThrough(), env: {} });
    documents.push(JSON.parse(out) as Record<string, unknown>);
  }
  return documents;
}

test('signing with a wrong S_i: the payment goes through with another signer, and what is kept proves who cheated', async () => {
  cheating = true;
  // The first try is with the two who approve first.
  nodes[2].misbehaves.set(proposeMethod.name, async (_from, _request, honest) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    return honest();
  });
  const payment = { recipients: [{ address: RECIPIENT, amount_sats: 10_000 }], fee_rate: 2 };
  const { tx_id: id } = await nodes[0].service.send(wallet, payment);
  await inState(nodes[0], id, 'broadcast', 'confirmed');
  expect(nodes[0].log.filter((line) => line.includes('signing attempt failed'))).toHaveLength(1);
  const proven = { verdict: 'proven', accused: 1, identity: hex(nodes[CHEAT].identity.publicKey), protocol: 'sign', check: 'dec-chi' };
  expect(await judgedAt(nodes[0])).toEqual([expect.objectContaining(proven)]);
  expect(await judgedAt(nodes[2])).toEqual([]);

  // The next payment asks the cheat last: it is signed with the other, though that one approves later.
  const { tx_id: next } = await nodes[0].service.send(wallet, payment);
  await inState(nodes[0], next, 'broadcast', 'confirmed');
  expect(nodes[0].log.filter((line) => line.includes('signing attempt failed'))).toHaveLength(1);
});
