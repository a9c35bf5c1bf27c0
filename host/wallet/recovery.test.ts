/** Restarts, a backend that is down or refuses, and what must not be found anywhere afterwards: secrets. */
import pg from 'pg';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bigintToBytes } from '../base/bytes.ts';
import { decode } from '../base/codec.ts';
import { Transaction } from '../bitcoin/library.ts';
import { presignature } from '../cggmp24/presignature.ts';
import { decodeStored } from '../presign/record.ts';
import { testParameters } from '../proofs/parameters.ts';
import { openVault, type Vault } from '../storage/vault.ts';
import { Keyring } from './keyring.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
let ecdsa: string;
let frost: string;
/** Secret values of the nodes, kept to look for later. */
const secrets = new Map<string, bigint>();
/** Every error that a caller saw. */
const shown: string[] = [];

beforeAll(async () => {
  cluster = await startCluster({ n: 3, t: 2, poolTarget: 6 });
  nodes = cluster.nodes as unknown as typeof nodes;
  const made = [await nodes[0].service.createWallet({ protocol: 'cggmp24' }), await nodes[0].service.createWallet({ protocol: 'frost' })];
  [ecdsa, frost] = [made[0]!.wallet_id, made[1]!.wallet_id];
  for (const { address } of made) await cluster.fund(address, ...Array.from({ length: 6 }, () => 100_000));
  await nodes[0].service.generatePresignatures(ecdsa, 3);
  await idle();
  for (const node of nodes) await collect(node, node.vault);
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) {
    node.misbehaves.clear();
    node.backend.down = false;
    node.backend.refuseBroadcast = () => undefined;
  }
});

const idle = () =>
  until(async () => {
    const all = await Promise.all(nodes.map((node) => node.service.ceremonies()));
    return all.flat().every(({ status }) => status !== 'running');
  }, 'the end of all ceremonies');
const pay = (from: TestNode, wallet: string, amount = 10_000) =>
  from.service.send(wallet, { recipients: [{ address: RECIPIENT, amount_sats: amount }], fee_rate: 2 });
const refusedWith = async (work: Promise<unknown>) => {
  const error = (await work.then(
    () => undefined,
    (failure: unknown) => failure,
  )) as Error;
  expect(error).toBeInstanceOf(Error);
  shown.push(`${error.message} ${error.stack} ${String(error.cause)}`);
  return error;
};

async function collect(node: TestNode, vault: Vault): Promise<void> {
  const keyring = await Keyring.open(vault, testParameters, cluster.core);
  for (const key of keyring.keys())
    secrets.set(`${node.id} share of ${key.protocol}`, key.protocol === 'cggmp24' ? key.share.x : key.share.s);
  const { paillier, pedersen } = keyring.aux(nodes.map(({ id }) => id))!.secret;
  for (const [name, value] of Object.entries({ p: paillier.p, q: paillier.q, hatP: pedersen.p, hatQ: pedersen.q, lambda: pedersen.lambda }))
    secrets.set(`${node.id} ${name}`, value);
  for (const name of await vault.list('presignature')) {
    const { kTilde, chiTilde, opening } = decode(presignature, decodeStored((await vault.get('presignature', name))!, name).secret);
    secrets.set(`${node.id} k of ${name}`, kTilde).set(`${node.id} chi of ${name}`, chiTilde);
    secrets.set(`${node.id} opening of ${name}`, BigInt(`0x${Buffer.from(opening).toString('hex')}`));
  }
}

describe('a backend that', () => {
  test('is down when a payment is signed: other nodes broadcast it, and the record of this one follows', async () => {
    // Down from the moment that node-2 signs; node-3 votes too late to be asked.
    nodes[1].misbehaves.set('payment.sign', (_from, _request, honest) => {
      nodes[0].backend.down = true;
      return honest();
    });
    nodes[2].misbehaves.set('payment.propose', async (_from, _request, honest) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return honest();
    });
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'broadcasting', raw: expect.any(String) });
    await inState(nodes[1], payment.tx_id, 'broadcast');
    nodes[0].backend.down = false;
    expect(await inState(nodes[0], payment.tx_id, 'broadcast')).toMatchObject({ txid: payment.txid });
    expect(nodes[0].backend.broadcasts).toEqual([]);
    await cluster.mine();
    for (const node of nodes) await inState(node, payment.tx_id, 'confirmed');
  });

  test('refuses a signed payment ends nothing: it may still be made, so nobody is told that it failed', async () => {
    for (const node of nodes) node.backend.refuseBroadcast = () => 'mempool min fee not met';
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'broadcasting', error: expect.stringMatching(/min fee not met.*do not pay again/) });
    expect((await nodes[0].records.transactions.reserved(frost)).some(({ tx_id: id }) => id === payment.tx_id)).toBe(true);
    for (const node of nodes) node.backend.refuseBroadcast = () => undefined;
    cluster.ahead += 4_000;
    await inState(nodes[0], payment.tx_id, 'broadcast');
    await cluster.mine();
    for (const node of nodes) await inState(node, payment.tx_id, 'confirmed');
  });

  test('shows the coins spent otherwise, six blocks deep, ends the payment', async () => {
    const before = new Set<string>();
    for (const node of nodes)
      node.backend.refuseBroadcast = (raw) => (before.has(Transaction.fromHex(raw).getId()) || before.size === 0 ? 'no' : undefined);
    const loser = await pay(nodes[0], frost, 11_000);
    expect(loser.state).toBe('broadcasting');
    before.add(loser.txid);
    for (const node of nodes) await until(async () => (await node.service.transaction(loser.tx_id)).raw !== null, 'the signed payment');
    for (const node of nodes) await node.records.transactions.release(loser.tx_id);
    const winner = await pay(nodes[0], frost, 12_000);
    expect(winner.state).toBe('broadcast');
    const coins = [loser, winner].map(({ raw }) => Transaction.fromHex(raw!).ins[0]!).map(({ hash, index }) => `${Buffer.from(hash).toString('hex')}:${index}`); // prettier-ignore
    expect(coins[0]).toBe(coins[1]);
    await cluster.mine(1);
    await inState(nodes[0], winner.tx_id, 'confirmed');
    expect((await nodes[0].service.transaction(loser.tx_id)).state).toBe('broadcasting');
    await cluster.mine(5);
    cluster.ahead += 4_000;
    expect(await inState(nodes[0], loser.tx_id, 'failed')).toMatchObject({ error: `its coins were spent by ${winner.txid}` });
  });
});

describe('a node that is restarted', () => {
  test('keeps its wallets, its history and its pool, without what was used', async () => {
    const payment = await pay(nodes[0], ecdsa);
    expect(payment.signing_mode).toBe('pool');
    const node = nodes.find(({ id }) => id !== 'node-1' && payment.signers.includes(id))!;
    const index = nodes.indexOf(node);
    const before = { wallets: await node.service.wallets(), pool: (await node.service.poolStatus(ecdsa))[0]!.sets, burns: node.burns.size };
    await inState(node, payment.tx_id, 'broadcast');
    await cluster.restart(index);
    expect(await node.service.wallets()).toEqual(before.wallets);
    expect((await node.service.poolStatus(ecdsa))[0]!.sets).toEqual(before.pool);
    expect(node.burns.size).toBe(before.burns);
    expect((await node.service.transaction(payment.txid)).tx_id).toBe(payment.tx_id);
    await cluster.mine();
    expect((await inState(node, payment.tx_id, 'confirmed')).confirmations).toBeGreaterThan(0);
    // Confirmations go on being counted after a further restart.
    await cluster.restart(index);
    await cluster.mine(2);
    await until(async () => (await node.service.transaction(payment.tx_id)).confirmations >= 3, 'three confirmations');
    expect(await pay(node, frost)).toMatchObject({ state: 'broadcast' });
  });

  test('while it votes learns from the chain that others have finished the payment', async () => {
    let voted = false;
    nodes[2].misbehaves.set('payment.propose', async (_from, _request, honest) => {
      const vote = await honest();
      voted = true;
      return vote;
    });
    nodes[2].misbehaves.set('payment.signed', () => new Promise(() => undefined));
    const payment = await pay(nodes[0], frost);
    await until(() => voted, 'the vote of node-3');
    await cluster.restart(2);
    await cluster.mine();
    expect(await inState(nodes[2], payment.tx_id, 'confirmed')).toMatchObject({ raw: payment.raw, txid: payment.txid });
  });

  test('while it waits for votes ends the payment when its time is over, and its coins are free', async () => {
    for (const node of nodes.slice(1)) node.misbehaves.set('payment.propose', () => new Promise(() => undefined));
    const lost = refusedWith(pay(nodes[0], frost, 13_000));
    const [open] = await until(async () => {
      const { items } = await nodes[0].records.transactions.list({ pending: true, limit: 9, offset: 0 });
      const own = items.filter(({ amount_sats: amount, state }) => amount === 13_000 && state === 'voting');
      return own.length > 0 && own;
    }, 'the proposal');
    cluster.link(0, false);
    await cluster.restart(0);
    expect((await nodes[0].service.transaction(open!.tx_id)).state).toBe('voting');
    cluster.ahead += 151_000;
    expect(await inState(nodes[0], open!.tx_id, 'timed_out')).toMatchObject({ raw: null });
    expect((await nodes[0].records.transactions.reserved(frost)).filter(({ tx_id: id }) => id === open!.tx_id)).toEqual([]);
    cluster.ahead -= 151_000;
    void lost;
  });

  test('after it gave a signature holds the coins ten minutes, then says what to look for', async () => {
    const payment = await pay(nodes[0], frost, 14_000);
    await cluster.mine();
    await inState(nodes[1], payment.tx_id, 'confirmed');
    // A payment whose coordinator stopped after it had asked for signatures, as this node's records show it.
    const row = (await nodes[1].records.transactions.get(payment.tx_id))!;
    const txId = crypto.randomUUID();
    const inputs = (await nodes[1].records.transactions.inputs(payment.tx_id)).map(({ txid, vout, value_sats }) => ({
      txid,
      vout,
      value_sats,
    }));
    await nodes[1].records.transactions.insert({ ...row, tx_id: txId, txid: 'ab'.repeat(32), inputs, state: 'voting' });
    await nodes[1].records.transactions.transition(txId, ['voting'], 'signing');
    cluster.ahead += 151_000;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await nodes[1].service.transaction(txId)).state).toBe('signing');
    cluster.ahead += 500_000;
    expect(await inState(nodes[1], txId, 'timed_out')).toMatchObject({
      error: expect.stringMatching(/look for abab.*before paying again/),
    });
    cluster.ahead -= 651_000;
  });
});

test('no share, factor, nonce or opening is in a log, a database, an error or an answer', async () => {
  await refusedWith(pay(nodes[0], ecdsa, 100_000_000));
  cluster.link(1, false);
  cluster.link(2, false);
  await refusedWith(pay(nodes[0], ecdsa));
  cluster.link(1, true);
  cluster.link(2, true);
  const places: [string, string][] = [['errors', shown.join('\n')]];
  for (const node of nodes) {
    places.push([`log of ${node.id}`, node.log.join('\n')], [`database of ${node.id}`, await dump(node.superuserUrl)]);
    const { service } = node;
    const answers = [await service.wallets(), await service.poolStatus(), await service.ceremonies(), await service.health(), await service.transactions({ limit: 50, offset: 0 })]; // prettier-ignore
    places.push([`answers of ${node.id}`, JSON.stringify(answers)]);
  }
  for (const [place, text] of places) expect(text.length, place).toBeGreaterThan(200);
  // Five auxiliary secrets, two shares, and three numbers of each of two presignatures, at each of three nodes.
  expect(secrets.size).toBe(3 * (5 + 2 + 2 * 3));
  for (const [name, value] of secrets) {
    const bytes = Buffer.from(bigintToBytes(value, Math.ceil(value.toString(16).length / 2)));
    // Part of base64, so that it is found at any of the three alignments.
    const forms = [bytes.toString('hex'), value.toString(), ...[0, 1, 2].map((skip) => bytes.subarray(skip).toString('base64').slice(0, 36)), ...[0, 1, 2].map((skip) => bytes.subarray(skip).toString('base64url').slice(0, 36))]; // prettier-ignore
    for (const [place, text] of places) for (const form of forms) expect(text.includes(form), `${name} in ${place}`).toBe(false);
  }
  // The search finds what is there.
  expect(places.some(([place, text]) => place.startsWith('database') && text.includes(ecdsa))).toBe(true);
});

/** All tables, every row as text. */
async function dump(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(`select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`); // prettier-ignore
    const texts: string[] = [];
    for (const { name } of tables)
      texts.push(...(await client.query<{ row: string }>(`select t::text as row from ${name} t`)).rows.map(({ row }) => row));
    return texts.join('\n');
  } finally {
    await client.end();
  }
}

test('a vault that lacks what its keys need, or holds a record of another wallet, does not open as a keyring', async () => {
  await cluster.stop(2);
  const vault = await openVault(join(nodes[2].folder, 'vault'), 'a passphrase of the tests');
  const content = (await vault.get('key-share', ecdsa))!;
  await vault.put('key-share', frost, content);
  await expect(Keyring.open(vault, testParameters, cluster.core)).rejects.toMatchObject({ code: 'vault_record' });
  await vault.put('key-share', frost, content.slice(0, 40));
  await expect(Keyring.open(vault, testParameters, cluster.core)).rejects.toMatchObject({
    code: 'vault_record',
    field: `key-share/${frost}`,
  });
  await vault.close();
});
