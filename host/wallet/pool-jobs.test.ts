/** Who makes presignatures, and in which order. What making them is, ceremonies.test.ts shows; here it is recorded only. */
import { expect, test } from 'vitest';
import { systemRandom } from '../base/random.ts';
import { createCalls } from '../mesh/calls.ts';
import { memoryMesh } from '../mesh/testing/memory-mesh.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import { PoolJobs } from './pool-jobs.ts';

const committee = ['node-1', 'node-2', 'node-3'];
/** A client that stays. */
const staying = (): AbortSignal => new AbortController().signal;

/** Nodes, the first three with a part in the key; every job of any of them is recorded, and takes until `finish` is called or it is ended. */
function setup(n = 3) {
  const net = memoryMesh(n);
  const begun: { node: string; count: number; finish: () => void }[] = [];
  let running = 0;
  const nodes = net.meshes.map((mesh) => {
    const context = {
      self: mesh.self,
      mesh,
      calls: createCalls(mesh),
      random: systemRandom,
      logger: { warn: () => undefined },
    } as unknown as WalletContext;
    const keyring = { active: () => ({ committee }) } as unknown as Keyring;
    const jobs = new PoolJobs(context, keyring, (_wallet, count, signal) => work(mesh.self, count, signal));
    jobs.serve();
    return jobs;
  });
  async function work(node: string, count: number, signal: AbortSignal): Promise<number> {
    expect(++running).toBe(1);
    try {
      return await new Promise((resolve, reject) => {
        begun.push({ node, count, finish: () => resolve(count) });
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    } finally {
      running--;
    }
  }
  return { net, nodes, begun, work };
}

test('asked at all nodes at once, the first linked one makes them, one job after the other', async () => {
  const { nodes, begun } = setup();
  const answers = nodes.map((node, i) => node.request('w', i + 1, staying()));
  for (let k = 0; k < 3; k++) {
    await expect.poll(() => begun.length).toBe(k + 1);
    begun[k]!.finish();
  }
  expect(await Promise.all(answers)).toEqual([1, 2, 3]);
  expect(begun.map(({ node }) => node)).toEqual(['node-1', 'node-1', 'node-1']);
});

test('when the first node is away, the next one makes them', async () => {
  const { net, nodes, begun } = setup();
  net.link(0, 1, false);
  net.link(0, 2, false);
  const answer = nodes[2]!.request('w', 4, staying());
  await expect.poll(() => begun.length).toBe(1);
  begun[0]!.finish();
  expect([await answer, begun[0]!.node]).toEqual([4, 'node-2']);
});

test('a request that ends at one node ends its job at another, and the next one follows', async () => {
  const { nodes, begun } = setup();
  const end = new AbortController();
  const ended = nodes[1]!.request('w', 50, end.signal);
  await expect.poll(() => begun.length).toBe(1);
  const next = nodes[2]!.request('w', 5, staying());
  end.abort(new Error('the client has left'));
  await expect(ended).rejects.toThrow('the client has left');
  await expect.poll(() => begun.length).toBe(2);
  begun[1]!.finish();
  expect(await next).toBe(5);
});

test('a refill makes room for who asks, and does not begin while anything is made', async () => {
  const { nodes, begun, work } = setup();
  const [node] = nodes;
  const refill = () => node!.refill('w', (signal) => work('node-1', 20, signal));
  const first = refill();
  await expect.poll(() => begun.length).toBe(1);
  const asked = node!.request('w', 3, staying());
  await first;
  await expect.poll(() => begun.length).toBe(2);
  await refill();
  begun[1]!.finish();
  expect([await asked, begun.map(({ count }) => count)]).toEqual([3, [20, 3]]);
});

test('a failed refill is an error of its own', async () => {
  const { nodes } = setup();
  await expect(nodes[0]!.refill('w', () => Promise.reject(new Error('no mesh')))).rejects.toThrow('no mesh');
});

test('more than eight requests for a wallet are refused until some are done', async () => {
  const { nodes, begun } = setup();
  const answers = Array.from({ length: 8 }, () => nodes[1]!.request('w', 1, staying()));
  await expect.poll(() => begun.length).toBe(1);
  await expect(nodes[0]!.request('w', 1, staying())).rejects.toMatchObject({ code: 'pool.busy', status: 429 });
  for (let k = 0; k < 8; k++) {
    await expect.poll(() => begun.length).toBe(k + 1);
    begun[k]!.finish();
  }
  expect(await Promise.all(answers)).toEqual(Array(8).fill(1));
});

test('a node without a part in the key is refused', async () => {
  const { nodes, begun } = setup(4);
  await expect(nodes[3]!.request('w', 1, staying())).rejects.toMatchObject({ code: 'pool.not_a_member', status: 403 });
  expect(begun).toEqual([]);
});
