import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Refusal } from '../base/errors.ts';
import { Transaction } from '../bitcoin/library.ts';
import type { SignRequest } from './messages.ts';
import { NO_NONCES, signMethod } from './signer.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';
import type { SendRequest, TransactionInfo } from './types.ts';

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
let ecdsa: string;
let frost: string;
beforeAll(async () => {
  cluster = await startCluster({ n: 3, t: 2, poolTarget: 6 });
  nodes = cluster.nodes as unknown as typeof nodes;
  const made = [
    await nodes[0].service.createWallet({ protocol: 'cggmp24' }),
    await nodes[0].service.createWallet({ protocol: 'frost' }),
  ] as const;
  [ecdsa, frost] = [made[0].wallet_id, made[1].wallet_id];
  for (const { address } of made) await cluster.fund(address, ...Array.from({ length: 8 }, () => 100_000));
  await nodes[0].service.generatePresignatures(ecdsa, 6);
  await settled();
});
afterAll(() => cluster?.close());
afterEach(async () => {
  for (const [i, node] of nodes.entries()) {
    node.misbehaves.clear();
    node.backend.down = false;
    node.backend.edit = () => undefined;
    node.policy = { ...node.policy, maxPayment: 1_000_000_000n };
    cluster.silence(i, false);
    cluster.link(i, true);
  }
  await cluster.mine();
  await settled();
});

/** Nothing is under way any more: every payment of every node is final, every ceremony has ended. */
const settled = () =>
  until(async () => {
    const open = await Promise.all(
      nodes.map(async ({ records, service }) => [
        (await records.transactions.list({ pending: true, limit: 1, offset: 0 })).total,
        (await service.ceremonies()).filter(({ status }) => status === 'running').length,
      ]),
    );
    return open.flat().every((count) => count === 0);
  }, 'all payments to be final');
const to = (amount: number): SendRequest => ({ recipients: [{ address: RECIPIENT, amount_sats: amount }], fee_rate: 2 });
const reserved = (wallet: string) => Promise.all(nodes.map(async ({ records }) => (await records.transactions.reserved(wallet)).length));
const burns = () => nodes.map((node) => node.burns.size);
const rows = async (wallet: string) =>
  Promise.all(nodes.map(async (node) => (await node.service.transactions({ wallet_id: wallet, limit: 1, offset: 0 })).total));
const level = async (signers: string[]) => {
  const [status] = await nodes.find(({ id }) => id === signers[0])!.service.poolStatus(ecdsa);
  return status!.sets.find((set) => set.signers.join() === signers.join())?.ready ?? 0;
};

async function expectConfirmed(payment: TransactionInfo): Promise<void> {
  await cluster.mine();
  for (const node of nodes) {
    const confirmed = await inState(node, payment.tx_id, 'confirmed');
    expect(confirmed).toMatchObject({ txid: payment.txid, raw: payment.raw });
    expect(confirmed.confirmations).toBeGreaterThan(0);
  }
}

describe('a payment', () => {
  test('from the pool: a presignature for each input, burnt and recorded at its signers only; votes of all at all; valid on the chain', async () => {
    const before = burns();
    const payment = await nodes[0].service.send(ecdsa, { ...to(150_000), metadata: 'invoice 7' });
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'pool', metadata: 'invoice 7', error: null });
    expect(Transaction.fromHex(payment.raw!).ins).toHaveLength(2);
    expect(Object.keys(payment.timings).sort()).toEqual(['broadcast', 'build', 'sign', 'vote']);
    await expectConfirmed(payment);
    for (const [i, node] of nodes.entries()) {
      const signed = payment.signers.includes(node.id);
      // Opened and spent, for each input.
      expect(node.burns.size - before[i]!).toBe(signed ? 4 : 0);
      const usage = (await node.records.operations.presignatureUsage(ecdsa)).filter(({ tx_id: id }) => id === payment.tx_id);
      expect(usage.map(({ outcome, signers }) => ({ outcome, signers }))).toEqual(
        signed ? Array(2).fill({ outcome: 'used', signers: payment.signers }) : [],
      );
      const votes = await until(async () => {
        const told = await node.service.votes(payment.tx_id);
        return told.votes.length === 3 && told.result !== 'pending' && told;
      }, `all votes at ${node.id}`);
      expect(votes).toMatchObject({ quorum: 2, total_nodes: 3, result: 'approved' });
      expect(votes.votes.map(({ node_id: id, value }) => `${id} ${value}`)).toEqual(nodes.map(({ id }) => `${id} approve`));
      expect(await node.records.audit.verify()).toMatchObject({ intact: true });
    }
  });

  test('by FROST, from any node', async () => {
    const payment = await nodes[2].service.send(frost, to(10_000));
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'frost', protocol: 'frost' });
    await expectConfirmed(payment);
  });

  describe('by FROST', () => {
    /** The last request for signatures that a node got. */
    const lastAsked = (node: TestNode) => node.asked.filter(({ method: name }) => name === 'payment.sign').at(-1)!.request as SignRequest;
    const signersOf = ({ signers }: TransactionInfo) => nodes.filter(({ id }) => signers.includes(id));

    test('takes one round when nonces were prepared: each used once, for this payment, in the journals of its signers', async () => {
      await expectConfirmed(await nodes[0].service.send(frost, to(10_000)));
      const before = burns();
      const payment = await nodes[0].service.send(frost, to(150_000));
      expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'frost' });
      const { commitments } = lastAsked(signersOf(payment)[1]!);
      expect(commitments.map((list) => list.length)).toEqual([2, 2]);
      const points = commitments.flat().flatMap(({ D, E }) => [D, E].map((P) => P.toHex()));
      expect(new Set(points).size).toBe(8);
      // Used, and its end, for each input.
      for (const [i, node] of nodes.entries()) expect(burns()[i]! - before[i]!).toBe(payment.signers.includes(node.id) ? 4 : 0);
      await expectConfirmed(payment);
    });

    test('falls back to two rounds where a signer has lost its nonces', async () => {
      await expectConfirmed(await nodes[0].service.send(frost, to(10_000)));
      const lost = new Set<TestNode>();
      for (const node of nodes.slice(1))
        node.misbehaves.set('payment.sign', (_from, request, honest) => {
          if ((request as SignRequest).commitments.length === 0) return honest();
          lost.add(node);
          return Promise.reject(new Refusal(NO_NONCES, 'commitments', 'a restart', 'two rounds', 409));
        });
      const payment = await nodes[0].service.send(frost, to(10_000));
      expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'frost' });
      expect(lost.size).toBe(1);
      expect(lastAsked(signersOf(payment)[1]!)).toMatchObject({ attempt: 1, commitments: [] });
      await expectConfirmed(payment);
    });

    test('does not sign with nonces twice, nor with those of another coordinator or of nobody', async () => {
      const [, signer] = signersOf(await nodes[0].service.send(frost, to(10_000)));
      const asked = lastAsked(signer!);
      expect(asked.commitments).toHaveLength(1);
      for (const from of nodes) {
        const again = from.calls.call(signer!.id, signMethod, { ...asked, attempt: 2 });
        await expect(again).rejects.toMatchObject({ name: 'Refusal' });
      }
    });
  });

  test.each([0, 1, 2])('goes on from the pool with any one node cut off (%i)', async (away) => {
    const signers = nodes.filter((_, i) => i !== away).map(({ id }) => id);
    // What the payment of two inputs has used up is made anew: the poorest set first.
    if ((await level(signers)) === 0) await nodes[0].service.generatePresignatures(ecdsa, 1);
    cluster.link(away, false);
    const payment = await nodes[(away + 1) % 3]!.service.send(ecdsa, to(10_000));
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'pool', signers });
    const byFrost = await nodes[(away + 1) % 3]!.service.send(frost, to(10_000));
    expect(byFrost).toMatchObject({ state: 'broadcast', signing_mode: 'frost', signers });
  });

  test('whose signer vanishes while it signs is signed by others', async () => {
    nodes[2].misbehaves.set('payment.propose', async (_from, _request, honest) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return honest();
    });
    nodes[1].misbehaves.set('payment.sign', () => {
      cluster.link(1, false);
      return new Promise(() => undefined);
    });
    const payment = await nodes[0].service.send(frost, to(10_000));
    expect(payment).toMatchObject({ state: 'broadcast', signers: ['node-1', 'node-3'] });
    expect(nodes[1].asked.some(({ method }) => method === 'payment.sign')).toBe(true);
    // Back again, it learns the end from the chain.
    cluster.link(1, true);
    await expectConfirmed(payment);
  });

  test('whose signer says nothing, although its link looks alive, is signed by others', async () => {
    nodes[1].misbehaves.set('payment.sign', () => new Promise(() => undefined));
    const payment = await nodes[0].service.send(frost, to(10_000));
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'frost', signers: ['node-1', 'node-3'] });
  });

  test('with an empty pool is signed interactively', async () => {
    await Promise.all(nodes.map(({ vault }) => vault.list('presignature'))).then((held) => expect(held.flat().length).toBeGreaterThan(0));
    const pools = await nodes[0].service.poolStatus(ecdsa);
    const left = pools[0]!.available;
    // More inputs than any set has presignatures for.
    const payment = await nodes[0].service.send(ecdsa, to(99_000 * 2));
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'interactive' });
    expect((await nodes[0].service.poolStatus(ecdsa))[0]!.available).toBe(left);
    await expectConfirmed(payment);
  });

  test('is refused when too few nodes are linked, naming them: nothing is reserved, recorded or signed', async () => {
    cluster.link(1, false);
    cluster.link(2, false);
    const [before, count] = [burns(), await rows(ecdsa)];
    await expect(nodes[0].service.send(ecdsa, { ...to(10_000), idempotency_key: 'too few' })).rejects.toMatchObject({
      name: 'Unavailable',
      message: expect.stringMatching(/node-2, node-3/),
    });
    expect([burns(), await rows(ecdsa), await reserved(ecdsa)]).toEqual([before, count, [0, 0, 0]]);
    for (const i of [1, 2]) cluster.link(i, true);
    // The key was not used up by what never became a payment.
    expect(await nodes[0].service.send(ecdsa, { ...to(10_000), idempotency_key: 'too few' })).toMatchObject({ state: 'broadcast' });
  });

  test.each([
    ['more than there is', to(10_000_000), 'amount_sats'],
    ['dust', to(100), /amount_sats$/],
    ['half a satoshi', to(1000.5), 'recipients[0].amount_sats'],
    ['a negative amount', to(-1), 'recipients[0].amount_sats'],
    ['to another network', { ...to(10_000), recipients: [{ address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', amount_sats: 10_000 }] }, /address/], // prettier-ignore
    ['to nobody', { recipients: [], fee_rate: 2 }, /recipients/],
    ['at an absurd fee', { ...to(10_000), fee_rate: 100_000 }, /fee_rate|feeRate/],
    ['with a long text', { ...to(10_000), metadata: 'x'.repeat(81) }, 'metadata'],
  ] as [string, SendRequest, string | RegExp][])('of %s is refused, naming the field', async (_, request, field) => {
    const count = await rows(ecdsa);
    const error: unknown = await nodes[0].service.send(ecdsa, request).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).field).toMatch(field);
    expect(await rows(ecdsa)).toEqual(count);
  });
});

describe('nodes decide for themselves', () => {
  test('one with a stricter policy votes against, with its reason, and the quorum decides', async () => {
    nodes[2].policy = { ...nodes[2].policy, maxPayment: 5_000n };
    const payment = await nodes[0].service.send(frost, to(10_000));
    expect(payment).toMatchObject({ state: 'broadcast', signers: ['node-1', 'node-2'] });
    const { votes } = await until(async () => {
      const told = await nodes[1].service.votes(payment.tx_id);
      return told.votes.length === 3 && told;
    }, 'the votes at node-2');
    expect(votes[2]).toMatchObject({ node_id: 'node-3', value: 'reject', reason: expect.stringMatching(/limit of 5000 sat/) });
    await expectConfirmed(payment);
  });

  test('one whose backend does not show the coins votes against', async () => {
    nodes[1].backend.edit = (path) => (path.endsWith('/utxo') ? '[]' : undefined);
    const payment = await nodes[0].service.send(frost, to(10_000));
    expect(payment.signers).toEqual(['node-1', 'node-3']);
    const { votes } = await nodes[0].service.votes(payment.tx_id);
    expect(votes[1]).toMatchObject({ value: 'reject', reason: expect.stringMatching(/not an unspent coin/) });
  });

  test('n − q + 1 rejections end the payment: rejected at all nodes, with the reasons, coins free, what was opened burnt', async () => {
    await nodes[0].service.generatePresignatures(ecdsa, 3);
    await settled();
    const before = burns();
    for (const i of [1, 2] as const) nodes[i].policy = { ...nodes[i].policy, maxPayment: 5_000n };
    const payment = await nodes[0].service.send(ecdsa, to(10_000));
    expect(payment).toMatchObject({ state: 'rejected', raw: null, error: expect.stringMatching(/node-2: .*limit.*node-3: .*limit/) });
    for (const node of nodes) await inState(node, payment.tx_id, 'rejected', 'failed');
    expect(await reserved(ecdsa)).toEqual([0, 0, 0]);
    // One presignature at each of two signers: opened, or named and then of no use, and its end.
    await until(() => burns().reduce((sum, size, i) => sum + size - before[i]!, 0) === 4, 'the burns');
    for (const node of nodes) expect((await node.service.poolStatus(ecdsa))[0]).toMatchObject({ in_use: 0 });
  });

  test('the own node refuses at once what its own policy forbids', async () => {
    nodes[0].policy = { ...nodes[0].policy, maxPayment: 5_000n };
    await expect(nodes[0].service.send(ecdsa, to(10_000))).rejects.toMatchObject({
      code: 'payment_refused',
      message: expect.stringMatching(/node-1/),
    });
    expect(await reserved(ecdsa)).toEqual([0, 0, 0]);
  });
});

describe('the same request', () => {
  test('fifty times at once with one key is one payment, with one set of presignatures', async () => {
    await nodes[0].service.generatePresignatures(ecdsa, 3);
    await settled();
    const [before, count] = [burns(), await rows(ecdsa)];
    const request = { ...to(7_000), idempotency_key: 'fifty' };
    const all = await Promise.all(Array.from({ length: 50 }, () => nodes[0].service.send(ecdsa, request)));
    expect(new Set(all.map(({ tx_id: id }) => id)).size).toBe(1);
    expect(all[0]).toMatchObject({ state: 'broadcast', signing_mode: 'pool' });
    expect(burns().reduce((sum, size, i) => sum + size - before[i]!, 0)).toBe(4);
    expect(await rows(ecdsa)).toEqual(count.map((n) => n + 1));
    expect((await nodes[0].service.send(ecdsa, request)).tx_id).toBe(all[0]!.tx_id);
    await expect(nodes[0].service.send(ecdsa, { ...request, ...to(8_000) })).rejects.toMatchObject({ status: 409 });
  });

  test('with one key but another body is refused, also while the first is under way', async () => {
    const first = nodes[0].service.send(frost, { ...to(7_000), idempotency_key: 'two' });
    await expect(nodes[0].service.send(frost, { ...to(8_000), idempotency_key: 'two' })).rejects.toMatchObject({ status: 409 });
    expect(await first).toMatchObject({ state: 'broadcast' });
  });

  test('twice without a key is two payments, over different coins, also at once', async () => {
    const [a, b] = await Promise.all([nodes[0].service.send(frost, to(7_000)), nodes[0].service.send(frost, to(7_000))]);
    expect([a.state, b.state]).toEqual(['broadcast', 'broadcast']);
    const coins = [a, b].flatMap(({ raw }) => Transaction.fromHex(raw!).ins.map(({ hash, index }) => `${Buffer.from(hash).toString('hex')}:${index}`)); // prettier-ignore
    expect(new Set(coins).size).toBe(coins.length);
    for (const payment of [a, b]) await expectConfirmed(payment);
  });

  test('at once from the pool of one node takes different presignatures', async () => {
    const { address } = await nodes[0].service.wallet(ecdsa);
    for (let coin = 0; coin < 2; coin++) await cluster.fund(address, 400_000);
    await nodes[0].service.generatePresignatures(ecdsa, 6);
    await settled();
    const sent = await Promise.all([nodes[0].service.send(ecdsa, to(9_000)), nodes[0].service.send(ecdsa, to(9_100))]);
    expect(sent.map(({ state, signing_mode: mode }) => [state, mode])).toEqual([
      ['broadcast', 'pool'],
      ['broadcast', 'pool'],
    ]);
    for (const payment of sent) await expectConfirmed(payment);
  });

  test('of two nodes over one coin: at most one is paid, and no coin stays reserved', async () => {
    const { address } = await nodes[0].service.createWallet({ protocol: 'frost', name: 'one coin' });
    await settled();
    const { wallet_id: single } = (await nodes[0].service.wallets()).find((wallet) => wallet.address === address)!;
    await cluster.fund(address, 50_000);
    const results = await Promise.allSettled([nodes[0].service.send(single, to(20_000)), nodes[1].service.send(single, to(21_000))]);
    const paid = results.filter((result) => result.status === 'fulfilled' && result.value.state === 'broadcast');
    expect(paid.length).toBeLessThanOrEqual(1);
    await cluster.mine();
    await settled();
    expect(await reserved(single)).toEqual([0, 0, 0]);
    const balance = await nodes[2].service.balance(single);
    expect(balance.reserved).toBe(0);
    expect(balance.confirmed).toBe(paid.length === 0 ? 50_000 : balance.confirmed);
  });
});
