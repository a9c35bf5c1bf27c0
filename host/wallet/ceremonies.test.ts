import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Refusal, Unavailable } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { method } from '../mesh/calls.ts';
import { Keyring } from './keyring.ts';
import { accepted, invitation, type Invitation } from './messages.ts';
import { startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';
import { testParameters } from '../proofs/parameters.ts';
import { openVault } from '../storage/vault.ts';
import { join as path } from 'node:path';

const join = method('ceremony.join', invitation, accepted);
const members = ['node-1', 'node-2', 'node-3'];

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
beforeAll(async () => {
  cluster = await startCluster({ n: 3, t: 2, dealAux: false, poolTarget: 6 });
  nodes = cluster.nodes as unknown as typeof nodes;
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) node.misbehaves.clear();
});

const invite = (edit: Partial<Invitation> = {}): Invitation => ({
  nonce: systemRandom.bytes(32),
  kind: 'dkg',
  protocol: 'frost',
  walletId: crypto.randomUUID(),
  walletName: 'invited',
  threshold: 2,
  committee: members,
  signers: [],
  count: 0,
  createdAt: nodes[0].context.clock(),
  ...edit,
});
const idle = () =>
  until(async () => {
    const all = await Promise.all(nodes.map((node) => node.service.ceremonies()));
    return all.flat().every(({ status }) => status !== 'running');
  }, 'the end of all ceremonies');

describe('a wallet', () => {
  test('is not made without all nodes of its committee; the refusal names who is missing', async () => {
    cluster.link(2, false);
    for (const protocol of ['cggmp24', 'frost'] as const) {
      await expect(nodes[0].service.createWallet({ protocol })).rejects.toMatchObject({ name: 'Unavailable', message: /node-3/ });
    }
    cluster.link(2, true);
    expect(nodes.flatMap((node) => node.asked)).toEqual([]);
  });

  test('of CGGMP24 has the same address at all nodes and in their records, after auxiliary information was made once', async () => {
    const wallet = await nodes[0].service.createWallet({ protocol: 'cggmp24', name: 'first' });
    expect(wallet).toMatchObject({ name: 'first', protocol: 'cggmp24', address_type: 'p2wpkh', threshold: 2, total_nodes: 3 });
    expect(wallet.address).toMatch(/^bcrt1q/);
    const second = await nodes[1].service.createWallet({ protocol: 'cggmp24' });
    for (const node of nodes) {
      for (const { wallet_id: id, address, public_key: key } of [wallet, second]) {
        await until(async () => (await node.service.wallets()).some((known) => known.wallet_id === id), `${id} at ${node.id}`);
        expect(await node.service.wallet(id)).toMatchObject({ address, public_key: key });
        expect(await node.records.wallets.get(id)).toMatchObject({ address, public_key: key });
      }
      await idle();
      const kinds = (await node.service.ceremonies()).map(({ kind, status }) => `${kind} ${status}`);
      expect(kinds).toEqual(['dkg completed', 'dkg completed', 'aux completed']);
    }
    expect(second.address).not.toBe(wallet.address);
  });

  test('of FROST has a Taproot address, the same at all nodes', async () => {
    const wallet = await nodes[2].service.createWallet({ protocol: 'frost' });
    expect(wallet).toMatchObject({ protocol: 'frost', address_type: 'p2tr', address: expect.stringMatching(/^bcrt1p/) });
    await idle();
    for (const node of nodes) {
      expect((await node.service.wallet(wallet.wallet_id)).address).toBe(wallet.address);
      // The last round that was begun.
      expect((await node.service.ceremonies())[0]!.progress).toEqual({ step: 'frost-dkg/confirm', done: 0, total: 0 });
    }
  });

  test.each([
    [{ threshold: 4 }, 'threshold'],
    [{ threshold: 1 }, 'threshold'],
    [{ total_nodes: 4 }, 'total_nodes'],
    [{ total_nodes: 1 }, 'total_nodes'],
    [{ name: 'x'.repeat(65) }, 'name'],
    [{ name: '' }, 'name'],
  ])('is refused for %j, naming %s', async (edit, field) => {
    await expect(nodes[0].service.createWallet({ protocol: 'frost', ...edit })).rejects.toMatchObject({ name: 'Refusal', field });
  });

  test('asked for twice at once is made one after the other', async () => {
    const made = await Promise.all([
      nodes[0].service.createWallet({ protocol: 'frost' }),
      nodes[0].service.createWallet({ protocol: 'frost' }),
    ]);
    expect(new Set(made.map(({ address }) => address)).size).toBe(2);
    await idle();
  });

  test('whose invitation one node refuses ends at once everywhere, and leaves nothing in the way of the next', async () => {
    nodes[1].misbehaves.set('ceremony.join', () => Promise.reject(new Refusal('busy', 'kind', 'not now', 'wait', 409)));
    await expect(nodes[0].service.createWallet({ protocol: 'frost' })).rejects.toThrow('not now');
    await until(async () => (await nodes[2].service.ceremonies())[0]?.status === 'failed', 'the end at node-3', 3_000);
    nodes[1].misbehaves.clear();
    const wallet = await nodes[2].service.createWallet({ protocol: 'frost' });
    expect(wallet.address).toMatch(/^bcrt1p/);
    await idle();
  });

  test('needs auxiliary information that is the same at all nodes: one that differs is made anew', async () => {
    nodes[2].misbehaves.set('ceremony.aux', () => Promise.resolve({ hash: new Uint8Array(32) }));
    nodes[2].misbehaves.set('ceremony.join', () => Promise.reject(new Refusal('seen', 'kind', 'enough seen', 'stop', 409)));
    await expect(nodes[0].service.createWallet({ protocol: 'cggmp24' })).rejects.toThrow('enough seen');
    const joins = nodes[2].asked.filter(({ method: name }) => name === 'ceremony.join');
    expect(joins.at(-1)).toMatchObject({ request: { kind: 'aux' } });
    await idle();
  });
});

describe('an invitation is refused', () => {
  const refused: [string, Partial<Invitation>, string][] = [
    ['with t > n', { threshold: 4 }, 'threshold'],
    ['with t < 2', { threshold: 1 }, 'threshold'],
    ['of strangers', { committee: ['node-1', 'node-2', 'stranger'] }, 'committee'],
    ['in another order', { committee: ['node-2', 'node-1', 'node-3'] }, 'committee'],
    ['with a member twice', { committee: ['node-1', 'node-1', 'node-2'] }, 'committee'],
    ['without its receiver', { committee: ['node-1', 'node-3'] }, 'committee'],
    ['without its sender', { committee: ['node-2', 'node-3'] }, 'committee'],
    ['for a wallet that is no UUID', { walletId: '../../etc' }, 'wallet_id'],
    ['without a name', { walletName: '' }, 'name'],
    ['for auxiliary information of FROST', { kind: 'aux', walletId: '' }, 'protocol'],
    ['with signers in a key generation', { signers: [0, 1] }, 'signers'],
  ];
  test.each(refused)('%s', async (_, edit, field) => {
    const before = (await nodes[1].service.ceremonies()).length;
    await expect(nodes[0].calls.call('node-2', join, invite(edit))).rejects.toMatchObject({ code: 'invitation_refused', field });
    expect(await nodes[1].service.ceremonies()).toHaveLength(before);
  });

  test('when it is old, from the future, used before, or about a wallet that exists', async () => {
    const ask = (edit: Partial<Invitation>) => nodes[0].calls.call('node-2', join, invite(edit));
    const now = nodes[0].context.clock();
    await expect(ask({ createdAt: now - 61_000 })).rejects.toMatchObject({ field: 'createdAt' });
    await expect(ask({ createdAt: now + 61_000 })).rejects.toMatchObject({ field: 'createdAt' });
    const used = nodes[1].asked.find(({ method: name }) => name === 'ceremony.join')!.request as Invitation;
    await expect(ask({ ...used, createdAt: now })).rejects.toMatchObject({ field: 'nonce' });
    const [existing] = await nodes[1].service.wallets();
    await expect(ask({ walletId: existing!.wallet_id })).rejects.toMatchObject({ field: 'wallet_id', status: 409 });
  });

  test('to presign for a wrong wallet, committee, signer set or number', async () => {
    const wallets = await nodes[0].service.wallets();
    const ecdsa = wallets.find(({ protocol }) => protocol === 'cggmp24')!.wallet_id;
    const frost = wallets.find(({ protocol }) => protocol === 'frost')!.wallet_id;
    const good: Partial<Invitation> = { kind: 'presign', protocol: 'cggmp24', walletId: ecdsa, signers: [0, 1], count: 1 };
    const refusedBy = async (edit: Partial<Invitation>, field: string) =>
      expect(nodes[0].calls.call('node-2', join, invite({ ...good, ...edit }))).rejects.toMatchObject({ name: 'Refusal', field });
    await refusedBy({ walletId: frost }, 'wallet_id');
    await refusedBy({ walletId: crypto.randomUUID() }, 'wallet_id');
    await refusedBy({ committee: ['node-1', 'node-2'] }, 'committee');
    await refusedBy({ threshold: 3 }, 'committee');
    await refusedBy({ signers: [0, 2] }, 'signers');
    await refusedBy({ signers: [1, 0] }, 'signers');
    await refusedBy({ signers: [0, 1, 2] }, 'signers');
    await refusedBy({ signers: [1] }, 'signers');
    await refusedBy({ count: 0 }, 'count');
    await refusedBy({ count: 101 }, 'count');
    expect(await nodes[1].vault.list('presignature')).toEqual([]);
  });
});

describe('presignatures', () => {
  test('are spread over all signer sets, and every signer of a set has the same ones', async () => {
    const { wallet_id: id } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'cggmp24')!;
    expect(await nodes[0].service.generatePresignatures(id, 3)).toMatchObject({ generated: 3, new_pool_size: 2 });
    await idle();
    const held = await Promise.all(nodes.map((node) => node.vault.list('presignature')));
    expect(held.map((ids) => ids.length)).toEqual([2, 2, 2]);
    expect(new Set(held.flat()).size).toBe(3);
    for (const [i, node] of nodes.entries()) {
      const [status] = await node.service.poolStatus(id);
      const others = members.filter((_, j) => j !== i);
      expect(status!.sets.map(({ signers }) => signers.find((signer) => signer !== node.id)).sort()).toEqual(others);
      expect(status).toMatchObject({ available: 2, used: 0, failed: 0, generating: false });
    }
  });

  test('asked for at all nodes at once are all made, one job after the other', async () => {
    const { wallet_id: id } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'cggmp24')!;
    const before = await Promise.all(nodes.map(async (node) => (await node.service.presignatures(id)).length));
    const made = await Promise.all(nodes.map((node) => node.service.generatePresignatures(id, 1)));
    expect(made.map(({ generated }) => generated)).toEqual([1, 1, 1]);
    await idle();
    const listed = await Promise.all(nodes.map((node) => node.service.presignatures(id)));
    expect(listed.map((list, i) => list.length - before[i]!).reduce((sum, more) => sum + more)).toBe(3 * 2);
    for (const list of listed) expect(list.map(({ created_at: at }) => at)).toEqual(list.map(({ created_at: at }) => at).toSorted());
    // No id, and so no nonce point, twice; both signers of a set have the same one.
    const ids = listed.flat().map(({ presignature_id: presignature }) => presignature);
    expect(ids).toHaveLength(2 * new Set(ids).size);
    const [status] = await nodes[0].service.poolStatus(id);
    expect(status).toMatchObject({ total_generated: listed[0]!.length, total_used: 0, enabled: true, max_size: 150 });
  });

  test('are blocked while a member of their set is away', async () => {
    const { wallet_id: id } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'cggmp24')!;
    cluster.link(1, false);
    const [status] = await nodes[0].service.poolStatus(id);
    cluster.link(1, true);
    expect(status!.sets.map(({ signers, blocked }) => [signers[1], blocked]).sort()).toEqual([['node-2', true], ['node-3', false]]); // prettier-ignore
  });

  test('that get too old are discarded and recorded at every signer', async () => {
    const { wallet_id: id } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'cggmp24')!;
    const held = await Promise.all(nodes.map(async (node) => (await node.service.presignatures(id)).length));
    cluster.ahead = 25 * 3_600_000;
    for (const [i, node] of nodes.entries()) {
      node.pool = { ...node.pool, checkMs: 10, low: 0 };
      await cluster.restart(i);
    }
    for (const [i, node] of nodes.entries()) {
      const status = await until(async () => {
        const [now] = await node.service.poolStatus(id);
        return now!.expired === held[i] && now;
      }, `the end of old presignatures at ${node.id}`);
      expect(status).toMatchObject({ total_failed: held[i] });
    }
  });
});

describe('a key that was prepared when the node stopped', () => {
  test('is no wallet yet; it becomes one when enough peers confirm it, and keeps its records', async () => {
    const { wallet_id: id, address } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'frost')!;
    await cluster.stop(2);
    const vault = await openVault(path(nodes[2].folder, 'vault'), 'a passphrase of the tests');
    const keyring = await Keyring.open(vault, testParameters, cluster.core);
    const key = keyring.find(id)!;
    if (key.protocol !== 'frost') throw new Error('a FROST wallet was looked for');
    await keyring.prepare(key, { protocol: 'frost', addressType: key.addressType, share: key.share });
    await vault.close();

    // One peer of two is not enough: it could name a key that another honest node has no share of.
    await cluster.restart(2);
    cluster.net.link(0, 2, false);
    await expect(nodes[2].service.wallet(id)).rejects.toMatchObject({ name: 'Refusal', status: 409 });
    await new Promise((resolve) => setTimeout(resolve, 600));
    await expect(nodes[2].service.wallet(id)).rejects.toMatchObject({ code: 'wallet_not_active' });
    await cluster.restart(2);
    const kinds = (await nodes[2].service.ceremonies()).map(({ kind, status }) => `${kind} ${status}`);
    expect(kinds).toEqual(expect.arrayContaining(['aux completed', 'dkg completed', 'presign completed']));
    const active = await until(() => nodes[2].service.wallet(id).catch(() => undefined), 'the key to be active');
    expect(active.address).toBe(address);
  });
});

test('what cannot be reached is Unavailable, what is wrong is a Refusal', async () => {
  cluster.link(1, false);
  cluster.link(2, false);
  const { wallet_id: id } = (await nodes[0].service.wallets()).find(({ protocol }) => protocol === 'cggmp24')!;
  await expect(nodes[0].service.generatePresignatures(id, 1)).rejects.toBeInstanceOf(Unavailable);
  await expect(nodes[0].service.generatePresignatures(id, 0)).rejects.toBeInstanceOf(Refusal);
  await expect(nodes[0].service.generatePresignatures(crypto.randomUUID(), 1)).rejects.toMatchObject({ status: 404 });
  cluster.link(1, true);
  cluster.link(2, true);
});
