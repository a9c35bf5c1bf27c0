import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Refusal, Unavailable } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { verifyEvidence } from '../evidence/index.ts';
import { method } from '../mesh/calls.ts';
import { NonceStock } from '../presign/nonces.ts';
import { runId, type Ticket } from '../resharing/plan.ts';
import { refusalMessage } from '../resharing/statements.ts';
import { methods } from './key-change-messages.ts';
import { noncesRequest, noncesResponse } from './messages.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode, TestNode];
let ecdsa: { wallet_id: string; address: string; public_key: string };
let frost: typeof ecdsa;
/** The ECDSA key is of nodes 1 and 2, the FROST key of nodes 1 to 3; node 4 waits outside. */
beforeAll(async () => {
  cluster = await startCluster({ n: 4, t: 2, dealAux: false });
  nodes = cluster.nodes as unknown as typeof nodes;
  ecdsa = await nodes[0].service.createWallet({ protocol: 'cggmp24', total_nodes: 2 });
  frost = await nodes[0].service.createWallet({ protocol: 'frost', total_nodes: 3 });
  for (const { address } of [ecdsa, frost]) await cluster.fund(address, ...Array.from({ length: 6 }, () => 100_000));
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) node.misbehaves.clear();
});

const pay = async (from: TestNode, walletId: string): Promise<void> => {
  const payment = await from.service.send(walletId, { recipients: [{ address: RECIPIENT, amount_sats: 50_000 }], fee_rate: 2 });
  await cluster.mine();
  await inState(from, payment.tx_id, 'confirmed');
};
const inEpoch = (of: readonly TestNode[], walletId: string, epoch: number, state: string) =>
  until(
    async () =>
      (await Promise.all(of.map((node) => node.service.keyStatus(walletId)))).every((key) => key.epoch === epoch && key.state === state),
    `${walletId} ${state} in epoch ${epoch}`,
  );
const agree = (of: readonly TestNode[], wallet: typeof ecdsa, threshold: number, names: readonly string[]) =>
  Promise.all(of.map((node) => node.service.agreeToReshare(wallet.wallet_id, { threshold, nodes: names, public_key: wallet.public_key })));

describe('a refresh', () => {
  test('of an ECDSA key: the same address pays before and after; presignatures and old shares are gone at every node', async () => {
    const id = ecdsa.wallet_id;
    await nodes[0].service.generatePresignatures(id, 2);
    await pay(nodes[0], id);
    const before = await Promise.all(nodes.slice(0, 2).map((node) => node.vault.get('key-share', id)));
    await nodes[1].service.refreshKey(id);
    await inEpoch(nodes.slice(0, 2), id, 1, 'erased');
    for (const [k, node] of nodes.slice(0, 2).entries()) {
      expect(await node.service.wallet(id)).toMatchObject({ address: ecdsa.address, threshold: 2, total_nodes: 2 });
      expect((await node.vault.list('presignature')).filter((name) => name.startsWith(id))).toEqual([]);
      for (const kind of ['retired-key', 'pending-key'] as const) expect(await node.vault.list(kind)).toEqual([]);
      expect(await node.vault.get('key-share', id)).not.toEqual(before[k]);
    }
    const kinds = (await nodes[1].service.ceremonies()).map(({ kind, status }) => `${kind} ${status}`);
    expect(kinds.slice(0, 2)).toEqual(['refresh completed', 'aux completed']);
    await pay(nodes[1], id);
    await nodes[0].service.generatePresignatures(id, 1);
    await pay(nodes[0], id);
  });

  test('of a FROST key, twice; nonces that were prepared in the old epoch are erased', async () => {
    const prepare = vi.spyOn(NonceStock.prototype, 'prepare');
    const ask = method('frost.nonces', noncesRequest, noncesResponse);
    const pools = nodes.map(({ pool }) => pool as { target: number });
    for (const pool of pools) pool.target = 2;
    for (const to of ['node-2', 'node-3'])
      await nodes[0].calls.call(to, ask, { walletId: frost.wallet_id, epoch: 0, count: 2, fresh: systemRandom.bytes(32) });
    for (const pool of pools) pool.target = 0;
    const stocks = prepare.mock.contexts as NonceStock[];
    prepare.mockRestore();
    expect(stocks.map(({ size }) => size)).toEqual([2, 2]);
    await nodes[0].service.refreshKey(frost.wallet_id);
    await inEpoch(nodes.slice(0, 3), frost.wallet_id, 1, 'erased');
    expect(stocks.map(({ size }) => size)).toEqual([0, 0]);
    await nodes[2].service.refreshKey(frost.wallet_id);
    await inEpoch(nodes.slice(0, 3), frost.wallet_id, 2, 'erased');
    await pay(nodes[1], frost.wallet_id);
  });

  test('needs all nodes of the wallet, and names who is missing', async () => {
    cluster.link(2, false);
    await expect(nodes[0].service.refreshKey(frost.wallet_id)).rejects.toMatchObject({ message: expect.stringContaining('node-3') });
    await expect(nodes[0].service.refreshKey(frost.wallet_id)).rejects.toBeInstanceOf(Unavailable);
    cluster.link(2, true);
  });
});

describe('after a crash', () => {
  test('a prepared node asks its peers, learns the certificate, and comes to the same epoch', async () => {
    const id = frost.wallet_id;
    const { epoch } = await nodes[0].service.keyStatus(id);
    // The disk of node 3 fails when the certificate comes: it stays PREPARED, and its ACK is out.
    const { vault } = nodes[2];
    const put = vault.put.bind(vault);
    let records = 0;
    vault.put = (kind, name, content) =>
      kind === 'key-switch' && name === id && ++records > 2
        ? Promise.reject(new Unavailable('disk', 'the disk is gone', 'wait'))
        : put(kind, name, content);
    await nodes[0].service.refreshKey(id);
    await inEpoch(nodes.slice(0, 2), id, epoch + 1, 'committed');
    expect(await nodes[2].service.keyStatus(id)).toMatchObject({ epoch, state: 'prepared', next_epoch: epoch + 1, holds_share: true });
    await cluster.restart(2);
    await inEpoch(nodes.slice(0, 3), id, epoch + 1, 'erased');
    await pay(nodes[2], id);
  });
});

describe('resharing', () => {
  test('without the word of the operators is refused by name, and the key is free for another plan', async () => {
    const wanted = { threshold: 2, nodes: ['node-2', 'node-3', 'node-4'] };
    await expect(nodes[0].service.reshareKey(frost.wallet_id, wanted)).rejects.toMatchObject({
      name: 'Refusal',
      message: expect.stringMatching(/1 of 2 votes.*node-2: the operator of node-2 has not agreed/),
    });
    await expect(nodes[3].service.agreeToReshare(frost.wallet_id, wanted)).rejects.toMatchObject({ field: 'public_key' });
    await expect(nodes[0].service.reshareKey(frost.wallet_id, { threshold: 4, nodes: wanted.nodes })).rejects.toBeInstanceOf(Refusal);
    await expect(nodes[0].service.reshareKey(frost.wallet_id, { threshold: 2, nodes: ['node-2', 'node-9'] })).rejects.toMatchObject({
      field: 'nodes',
    });
    const { epoch } = await nodes[0].service.keyStatus(frost.wallet_id);
    await nodes[1].service.refreshKey(frost.wallet_id);
    expect((await nodes[0].service.keyStatus(frost.wallet_id)).epoch).toBeGreaterThan(epoch);
  });

  test('leaves a member behind that answers with a number no plan can follow, spoils its vote, and asks the others to refuse', async () => {
    nodes[2].misbehaves.set('keys.highest', async (_from, _request, honest) => ({ ...((await honest()) as object), highest: 2 ** 32 - 1 }));
    const refusals: unknown[] = [];
    nodes[2].misbehaves.set('keys.vote', async (_from, request) => {
      const asking = ['node-1', 'node-4'].map((node) => nodes[2].calls.call(node, methods.decline, request as { ticket: Ticket }));
      refusals.push(...(await Promise.allSettled(asking)).map(({ status }) => status));
      return { signature: new Uint8Array(64) };
    });
    const { epoch } = await nodes[1].service.keyStatus(frost.wallet_id);
    await inEpoch(nodes.slice(0, 3), frost.wallet_id, epoch, 'erased');
    const wanted = { threshold: 2, nodes: ['node-1', 'node-2', 'node-4'] };
    await agree(nodes, frost, wanted.threshold, wanted.nodes);
    await nodes[1].service.reshareKey(frost.wallet_id, wanted);
    await inEpoch(nodes, frost.wallet_id, epoch + 1, 'erased');
    expect(refusals).toEqual(['rejected', 'rejected']);
  });

  test.each([
    ['cggmp24', () => ecdsa, { threshold: 2, nodes: ['node-2', 'node-4'] }],
    ['frost', () => frost, { threshold: 3, nodes: ['node-2', 'node-3', 'node-4'] }],
  ])('of a %s key: a node is replaced; the same address pays from the new nodes, also after a restart', async (_scheme, of, wanted) => {
    const wallet = of();
    const id = wallet.wallet_id;
    const concerned = nodes.filter((node) => node.id === 'node-1' || wanted.nodes.includes(node.id));
    const derived = await nodes[1].service.newAddress(id, { account: 5 });
    await cluster.fund(derived.address, 60_000);
    await agree(concerned, wallet, wanted.threshold, wanted.nodes);
    await nodes[1].service.reshareKey(id, wanted);
    const { epoch } = await nodes[1].service.keyStatus(id);
    await inEpoch(concerned, id, epoch, 'erased');
    await expect(nodes[0].service.wallet(id)).rejects.toMatchObject({ code: 'wallet_unknown' });
    expect(await nodes[0].service.keyStatus(id)).toMatchObject({ holds_share: false, nodes: wanted.nodes });
    for (const node of concerned.slice(1)) {
      const { address, public_key } = wallet;
      expect(await node.service.wallet(id)).toMatchObject({
        address,
        public_key,
        threshold: wanted.threshold,
        total_nodes: wanted.nodes.length,
      });
    }
    await pay(nodes[3], id);
    // The addresses below the key stay too, and the new node learns which are in use.
    const there = async () => (await nodes[3].service.utxos(id)).some(({ address }) => address === derived.address);
    await until(there, 'the coins of the account at the new node');
    expect((await nodes[3].service.addressAt(id, 5, derived.index!)).address).toBe(derived.address);
    await cluster.restart(3);
    await pay(nodes[1], id);
  });

  test('goes on when a node that leaves gives false acknowledgements for others to those that put the certificate together', async () => {
    const id = frost.wallet_id;
    const { epoch } = await nodes[1].service.keyStatus(id);
    const members = nodes.slice(0, 3);
    // The disks of those that stay fail when the certificate comes: they are PREPARED, and their ACKs are out.
    const healed = members.map(({ vault }) => {
      const put = vault.put.bind(vault);
      let prepared = -1;
      vault.put = (kind, name, content) => {
        if (kind === 'pending-key') prepared = 0;
        if (kind === 'key-switch' && name === id && prepared >= 0 && ++prepared > 1)
          return Promise.reject(new Unavailable('disk', 'the disk is gone', 'wait'));
        return put(kind, name, content);
      };
      return () => void (vault.put = put);
    });
    const wanted = { threshold: 2, nodes: members.map((node) => node.id) };
    await agree(nodes, frost, wanted.threshold, wanted.nodes);
    const untold = () => nodes[3].log.filter((line) => line.includes('did not take the certificate')).length;
    const before = untold();
    await expect(nodes[1].service.reshareKey(id, wanted)).rejects.toThrow();
    // The one that leaves has the certificate, and has told it in vain.
    await until(() => untold() === before + 3, 'the certificate to be told');
    await until(async () => (await Promise.all(members.map((node) => node.service.keyStatus(id).catch(() => undefined)))).every((key) => key?.state === 'prepared'), 'all to be prepared'); // prettier-ignore
    for (const heal of healed) heal();
    nodes[3].misbehaves.set('keys.ask', (from) => {
      const ack = { index: from === 'node-2' ? 2 : 1, signature: new Uint8Array(64) };
      return Promise.resolve({ certificates: [], refusal: undefined, ack, committed: undefined });
    });
    // And it speaks for another of those who have destroyed their old shares, not for itself.
    nodes[3].misbehaves.set('keys.erased', () => Promise.resolve({ statement: { index: 0, signature: new Uint8Array(64) } }));
    await cluster.restart(1);
    await inEpoch(members, id, epoch + 1, 'erased');
    await pay(nodes[0], id);
    expect(await nodes[0].service.keyStatus(id)).toMatchObject({ erased_nodes: ['node-2', 'node-3'], erasures_needed: 1 });
  });
});

describe('after a change', () => {
  const ticket = async (): Promise<Ticket> => {
    const { certificates } = await nodes[0].calls.call('node-2', methods.ask, {
      walletId: frost.wallet_id,
      epoch: undefined,
      ticket: undefined,
    });
    return certificates.at(-1)!.ticket;
  };

  test('the status names all old members that say, signed, that they have destroyed their shares', async () => {
    const erased = async () => (await nodes[0].service.keyStatus(frost.wallet_id)).erased_nodes.join();
    await until(async () => (await erased()) === 'node-2,node-3,node-4', 'the word of node-4');
  });

  test('a new member that has acknowledged and then refuses is proven to have signed both', async () => {
    const of = await ticket();
    const { identity } = nodes[2];
    const statement = { index: 2, signature: identity.sign(refusalMessage(runId(of, nodes[2].context.parameters))) };
    await nodes[2].calls.call('node-2', methods.refused, { ticket: of, statement });
    const folder = join(nodes[1].folder, 'evidence');
    const [name] = await readdir(folder);
    expect(name).toMatch(/^node-3-/);
    const verdict = await verifyEvidence(new Uint8Array(await readFile(join(folder, name!))), { core: cluster.core });
    expect(verdict).toMatchObject({ verdict: 'proven', check: 'equivocal-ack', identity: Buffer.from(identity.publicKey).toString('hex') });
    expect((await nodes[1].service.keyStatus(frost.wallet_id)).state).toBe('erased');
  });
});
