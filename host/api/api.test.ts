import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Abandoned, Defect, Fault, Refusal, Silence, Unavailable } from '../base/errors.ts';
import { TRANSACTION_STATES, type TransactionInfo, type WalletService } from '../wallet/types.ts';
import { createFakeWallet, ECDSA_WALLET, FROST_WALLET, paymentOf, RECIPIENT } from './testing/fake-wallet.ts';
import { createHarness, type Harness } from './testing/harness.ts';
import { createApi } from './server.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const payment = { recipient: RECIPIENT, amount_sats: 100_000 };

let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.api.close());

describe('answers', () => {
  it('health, without a token, under both paths', async () => {
    for (const path of ['/health', '/api/v1/health']) {
      const { status, body } = await harness.request(path);
      expect(status).toBe(200);
      expect(body).toEqual(await harness.fake.service.health());
    }
  });

  it('readiness is 200, and 503 with reasons when the database is away or the quorum lost', async () => {
    const ready = await harness.request('/ready');
    expect([ready.status, ready.body.ready, ready.body.reasons]).toEqual([200, true, []]);
    const healthy = await harness.fake.service.health();
    const sick = createFakeWallet({ health: async () => ({ ...healthy, status: 'critical', postgres_connected: false }) });
    const other = await createHarness({ fake: sick });
    const reply = await other.request('/ready');
    await other.api.close();
    expect([reply.status, reply.body.ready, reply.body.reasons.length]).toEqual([503, false, 2]);
    expect(reply.body.health.postgres_connected).toBe(false);
  });

  it('wallet creation passes the request on and answers 201 with Location', async () => {
    const json = { name: 'ops', protocol: 'frost', threshold: 3, total_nodes: 5 };
    const { status, body, headers } = await harness.request('/api/v1/wallet/create', { as: 'admin', json });
    expect(status).toBe(201);
    expect(body).toMatchObject({ ...json, wallet_id: 'w-3', public_key: FROST_WALLET.public_key, address: FROST_WALLET.address });
    expect(headers.get('location')).toBe('/api/v1/wallet/w-3/address');
    const { body: list } = await harness.request('/api/v1/wallets', { as: 'viewer' });
    expect(list.wallets.map((one: { wallet_id: string }) => one.wallet_id)).toEqual(['w-ecdsa', 'w-frost', 'w-3']);
    expect(list.wallets[0]).toEqual(ECDSA_WALLET);
  });

  it('balance, address and coins, of a named wallet and of the default one', async () => {
    const balance = { wallet_id: 'w-ecdsa', confirmed: 5_000_000, unconfirmed: 1_000, reserved: 0, total_utxos: 2 };
    const { wallet_id, address, address_type, public_key, network } = ECDSA_WALLET;
    const golden: [string, unknown][] = [
      ['/api/v1/wallet/w-ecdsa/balance', balance],
      ['/api/v1/wallet/balance', balance],
      [
        '/api/v1/wallet/w-ecdsa/address',
        { wallet_id, address, address_type, public_key, network, path: 'm', account: null, chain: null, index: null },
      ],
      ['/api/v1/wallet/address', { wallet_id, address, address_type, public_key, network }],
      ['/api/v1/wallet/w-ecdsa/utxos', { wallet_id, utxos: await harness.fake.service.utxos('w-ecdsa') }],
    ];
    for (const [path, expected] of golden) {
      const { status, body } = await harness.request(path, { as: 'viewer' });
      expect([path, status, body]).toEqual([path, 200, expected]);
    }
  });

  it('addresses: a new one, one by account and index without taking it, those in use, and the descriptors', async () => {
    const derived = (account: number, index: number) => ({
      wallet_id: 'w-ecdsa',
      address: ECDSA_WALLET.address,
      address_type: 'p2wpkh',
      network: 'regtest',
      path: `m/${account}/0/${index}`,
      account,
      chain: 'receive',
      index,
    });
    const url = '/api/v1/wallet/w-ecdsa';
    const taken = async (json: object) => harness.request(`${url}/addresses`, { as: 'operator', json });
    expect(await taken({})).toMatchObject({ status: 201, body: derived(0, 3) });
    expect(await taken({ account: 7, index: 5 })).toMatchObject({ status: 201, body: derived(7, 5) });
    expect((await harness.request(`${url}/addresses`, { as: 'viewer', json: {} })).status).toBe(403);
    const golden: [string, unknown][] = [
      ['/address?account=7&index=2147483647', derived(7, 2147483647)],
      ['/address?index=4', derived(0, 4)],
      ['/addresses?account=2&limit=2&offset=1', { addresses: [derived(2, 1), derived(2, 2)], total: 3, limit: 2, offset: 1 }],
      ['/descriptor?account=9', await harness.fake.service.descriptor('w-ecdsa', 9)],
      ['/descriptor', await harness.fake.service.descriptor('w-ecdsa', 0)],
    ];
    for (const [path, expected] of golden) {
      const { status, body } = await harness.request(`${url}${path}`, { as: 'viewer' });
      expect([path, status, body]).toEqual([path, 200, expected]);
    }
    for (const [path, field] of [
      ['/address?account=7', 'index'],
      ['/address?index=2147483648', 'index'],
      ['/addresses?account=-1', 'account'],
      ['/descriptor?account=x', 'account'],
    ] as const) {
      const { status, body } = await harness.request(`${url}${path}`, { as: 'viewer' });
      expect([path, status, body.field, typeof body.remedy]).toEqual([path, 400, field, 'string']);
    }
    expect((await taken({ account: 1.5 })).body.field).toBe('account');
  });

  it('a payment answers 201 with its record, by one recipient or several, and is found again by both ids', async () => {
    const one = await harness.request('/api/v1/wallet/w-frost/send', {
      as: 'operator',
      json: { ...payment, fee_rate: 1.5, metadata: 'rent' },
    });
    expect(one.status).toBe(201);
    const { walletId, request } = harness.fake.sends.at(-1)!;
    expect(walletId).toBe('w-frost');
    expect(request).toEqual({ recipients: [{ address: RECIPIENT, amount_sats: 100_000 }], fee_rate: 1.5, metadata: 'rent' });
    const record = paymentOf('w-frost', request, 1);
    const golden = { ...record, signing_time_ms: 180, status: 'broadcast', recipient: RECIPIENT, amount_sats: 100_000, explorer_url: null };
    expect(one.body).toEqual(golden);
    expect(one.headers.get('location')).toBe(`/api/v1/transactions/${record.tx_id}`);
    for (const id of [record.tx_id, record.txid]) {
      expect((await harness.request(`/api/v1/transactions/${id}`, { as: 'viewer' })).body).toEqual(golden);
    }

    const recipients = [1000, 2000].map((amount_sats) => ({ address: RECIPIENT, amount_sats }));
    const two = await harness.request('/api/v1/transactions', { as: 'operator', json: { recipients } });
    expect(two.body).toMatchObject({ wallet_id: 'w-ecdsa', amount_sats: 3000, recipient: null, recipients });

    const page = await harness.request('/api/v1/transactions?limit=1&offset=1', { as: 'viewer' });
    expect(page.body).toMatchObject({ total: 2, limit: 1, offset: 1, transactions: [{ tx_id: record.tx_id }] });
    const own = await harness.request('/api/v1/wallet/w-ecdsa/transactions?state=broadcast', { as: 'viewer' });
    expect(own.body).toMatchObject({ total: 1, limit: 20, offset: 0 });
    expect((await harness.request('/api/v1/transactions?state=failed', { as: 'viewer' })).body.total).toBe(0);

    const votes = await harness.request(`/api/v1/consensus/votes/${record.tx_id}`, { as: 'viewer' });
    const counted = { votes_received: 4, threshold: 4, quorum: 4, total_nodes: 5, result: 'approved' };
    expect(votes.body).toEqual({ ...(await harness.fake.service.votes(record.tx_id)), ...counted });
  });

  it('a payment links to the explorer of its network', async () => {
    const status = await harness.fake.service.clusterStatus();
    const fake = createFakeWallet({ clusterStatus: async () => ({ ...status, network: 'mainnet' }) });
    const mainnet = await createHarness({ fake });
    const { body } = await mainnet.request('/api/v1/transactions', { as: 'operator', json: payment });
    await mainnet.api.close();
    expect(body.explorer_url).toBe(`https://blockstream.info/tx/${body.txid}`);
  });

  it('a payment that ended without success is a problem with its record, never a 2xx', async () => {
    for (const state of ['rejected', 'timed_out', 'failed', 'aborted_byzantine'] as const) {
      const send = async (id: string, request: Parameters<typeof paymentOf>[1]): Promise<TransactionInfo> => ({
        ...paymentOf(id, request, 7),
        state,
        error: 'node-2: fee over cap',
      });
      const failing = await createHarness({ fake: createFakeWallet({ send }) });
      const { status, body } = await failing.request('/api/v1/transactions', { as: 'operator', json: payment });
      await failing.api.close();
      expect([status, body.code]).toEqual([422, `payment.${state}`]);
      expect(body.detail).toContain('node-2: fee over cap');
      expect(body.transaction).toMatchObject({ state, tx_id: paymentOf('w-ecdsa', { recipients: [] }, 7).tx_id });
    }
  });

  it('every state of a payment passes the answer filter', async () => {
    for (const state of TRANSACTION_STATES) {
      const transaction = async (): Promise<TransactionInfo> => ({
        ...paymentOf('w-ecdsa', { recipients: [] }, 1),
        state,
        txid: '',
        timings: {},
      });
      const other = await createHarness({ fake: createFakeWallet({ transaction }) });
      const { status, body } = await other.request('/api/v1/transactions/any', { as: 'viewer' });
      await other.api.close();
      expect([status, body.state, body.status]).toEqual([200, state, state]);
    }
  });

  it('cluster, pool, presignatures and ceremonies', async () => {
    const as = 'admin' as const;
    expect((await harness.request('/api/v1/cluster/status', { as })).body).toEqual(await harness.fake.service.clusterStatus());
    const { body: cluster } = await harness.request('/api/v1/cluster/nodes', { as });
    expect(cluster.nodes).toHaveLength(5);
    expect(cluster.nodes[0]).toMatchObject({ node_id: 'node-1', last_heartbeat: null, seconds_since_heartbeat: null });
    expect(cluster.nodes[1]).toMatchObject({ status: 'active', last_heartbeat: '2026-01-02T03:04:04.000Z' });
    expect(cluster.nodes[1].seconds_since_heartbeat).toBeGreaterThan(0);
    expect((await harness.request('/api/v1/pool/status', { as })).body).toEqual({ pools: await harness.fake.service.poolStatus() });
    expect((await harness.request('/api/v1/pool/status?wallet_id=w-frost', { as })).body).toEqual({ pools: [] });
    const generated = { wallet_id: 'w-ecdsa', generated: 3, new_pool_size: 11, duration_ms: 1500 };
    expect((await harness.request('/api/v1/presig/generate', { as, json: { count: 3 } })).body).toEqual(generated);
    const presignatures = await harness.fake.service.presignatures('w-ecdsa');
    expect((await harness.request('/api/v1/presig', { as })).body).toEqual({ wallet_id: 'w-ecdsa', presignatures });
    expect((await harness.request('/api/v1/dkg/status', { as })).body).toEqual({ ceremonies: await harness.fake.service.ceremonies() });
  });

  it('presignatures without a wallet are those of the only one that has any', async () => {
    const other = await createHarness({ defaultWallet: async () => 'w-frost' });
    expect((await other.request('/api/v1/presig', { as: 'viewer' })).body.wallet_id).toBe('w-ecdsa');
    expect((await other.request('/api/v1/presig/generate', { as: 'admin', json: { count: 1 } })).body.wallet_id).toBe('w-ecdsa');
    const token = await other.token('admin', ['w-frost']);
    expect((await other.request('/api/v1/presig/generate', { token, json: { wallet_id: 'w-ecdsa', count: 1 } })).status).toBe(403);
    await other.api.close();
  });

  it('both protocols at once are two wallets, one of each', async () => {
    for (const url of ['/api/v1/wallet/create', '/api/v1/dkg/start']) {
      const { status, body } = await harness.request(url, { as: 'admin', json: { protocol: 'both', threshold: 3, name: 'pair' } });
      expect([status, body.wallets.map((one: any) => [one.protocol, one.address_type, one.threshold, one.name])]).toEqual([
        201,
        [
          ['cggmp24', 'p2wpkh', 3, 'pair'],
          ['frost', 'p2tr', 3, 'pair'],
        ],
      ]);
    }
  });

  it('a type of addresses is of one protocol, which need not be named', async () => {
    const create = (json: object) => harness.request('/api/v1/wallet/create', { as: 'admin', json });
    for (const [json, expected] of [
      [{}, ['cggmp24', 'p2wpkh']],
      [{ address_type: 'p2wsh' }, ['cggmp24', 'p2wsh']],
      [{ address_type: 'p2wsh', protocol: 'cggmp24' }, ['cggmp24', 'p2wsh']],
      [{ address_type: 'p2tr' }, ['frost', 'p2tr']],
    ] as const) {
      const { status, body } = await create(json);
      expect([status, body.protocol, body.address_type]).toEqual([201, ...expected]);
    }
    for (const json of [{ address_type: 'p2sh' }, { address_type: 'p2wsh', protocol: 'both' }]) {
      const { status, body } = await create(json);
      expect([status, body.field, body.remedy]).toEqual([400, 'address_type', expect.stringMatching(/"p2wsh" with the protocol cggmp24/)]);
    }
    const { components } = (await harness.request('/openapi.json', {})).body;
    expect(components.schemas.Wallet.properties.address_type.enum).toEqual(['p2wpkh', 'p2wsh', 'p2tr']);
  });

  it('making presignatures ends when the client leaves', async () => {
    let signal: AbortSignal | undefined;
    const generatePresignatures: WalletService['generatePresignatures'] = (_id, _count, given) =>
      new Promise((_, reject) => {
        signal = given!;
        signal.addEventListener('abort', () => reject(signal!.reason as Error));
      });
    const other = await createHarness({ fake: createFakeWallet({ generatePresignatures }) });
    const leaving = new AbortController();
    const answer = other.request('/api/v1/presig/generate', { as: 'admin', json: { count: 50 }, signal: leaving.signal });
    await expect.poll(() => signal?.aborted).toBe(false);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => signal?.aborted).toBe(true);
    await other.api.close();
  });

  it('shares of a key: status for viewers, changes for administrators of the wallet', async () => {
    const change = { threshold: 2, nodes: ['node-1', 'node-3'] };
    const url = '/api/v1/keys/w-ecdsa';
    expect((await harness.request(url, { as: 'viewer' })).body).toEqual(await harness.fake.service.keyStatus('w-ecdsa'));
    const posts = [
      ['refresh', {}, { epoch: 1, state: 'erased' }],
      ['agree', { ...change, public_key: 'ab'.repeat(33).replace(/^ab/, '02') }, { wallet_id: 'w-ecdsa', ...change }],
      ['reshare', change, { epoch: 1, ...change, old_shares: [0] }],
      ['erase', {}, { state: 'erased' }],
    ] as const;
    for (const [what, json, body] of posts) {
      expect(await harness.request(`${url}/${what}`, { as: 'admin', json })).toMatchObject({ status: 200, body });
      expect((await harness.request(`${url}/${what}`, { as: 'operator', json })).status).toBe(403);
    }
    for (const json of [
      { ...change, threshold: 1 },
      { ...change, nodes: ['node-1'] },
      { ...change, nodes: ['Node 1', 'node-2'] },
    ])
      expect((await harness.request(`${url}/reshare`, { as: 'admin', json })).status).toBe(400);
  });

  it('members the answer does not document never leave the node', async () => {
    const leaky = { ...ECDSA_WALLET, key_share: 'secret' };
    const other = await createHarness({ fake: createFakeWallet({ wallet: async () => leaky, wallets: async () => [leaky] }) });
    const replies = [
      await other.request('/api/v1/wallets', { as: 'viewer' }),
      await other.request('/api/v1/wallet/address', { as: 'viewer' }),
    ];
    await other.api.close();
    expect(replies.map((reply) => reply.status)).toEqual([200, 200]);
    expect(JSON.stringify(replies)).not.toContain('secret');
  });

  it('without a configured default wallet the only one is meant, and several are refused', async () => {
    const several = await createHarness({ defaultWallet: null });
    const ambiguous = await several.request('/api/v1/wallet/balance', { as: 'viewer' });
    await several.api.close();
    expect([ambiguous.status, ambiguous.body.code]).toEqual([422, 'wallet.ambiguous']);
    const single = await createHarness({ defaultWallet: null, fake: createFakeWallet({ wallets: async () => [FROST_WALLET] }) });
    expect((await single.request('/api/v1/wallet/balance', { as: 'viewer' })).body.wallet_id).toBe('w-frost');
    await single.api.close();
    const none = await createHarness({ defaultWallet: async () => undefined });
    const missing = await none.request('/api/v1/transactions', { as: 'operator', json: payment });
    await none.api.close();
    expect([missing.status, missing.body.code]).toEqual([404, 'wallet.no_default']);
  });
});

describe('idempotency', () => {
  it('a hundred requests at once with one key reach the wallet with that key, and all get the one payment', async () => {
    const other = await createHarness();
    const token = await other.token('operator');
    const headers = { 'idempotency-key': 'batch-7' };
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => other.request('/api/v1/transactions', { token, headers, json: payment })),
    );
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.body.tx_id}`)).size).toBe(1);
    expect(replies[0]!.status).toBe(201);
    expect(other.fake.sends).toHaveLength(100);
    expect(other.fake.sends.every(({ request }) => request.idempotency_key === 'batch-7')).toBe(true);
    const conflict = await other.request('/api/v1/transactions', { token, headers, json: { ...payment, amount_sats: 1 } });
    expect([conflict.status, conflict.body.field]).toEqual([409, 'idempotency_key']);
    const bad = await other.request('/api/v1/transactions', { token, headers: { 'idempotency-key': 'x'.repeat(129) }, json: payment });
    expect([bad.status, bad.body.field]).toEqual([400, 'idempotency-key']);
    await other.api.close();
  });
});

describe('bad input', () => {
  const send = (json: unknown) => harness.request('/api/v1/wallet/w-ecdsa/send', { as: 'operator', json });
  const cases: [string, unknown, string][] = [
    ['a fraction', { ...payment, amount_sats: 0.001 }, 'amount_sats'],
    ['text as amount', { ...payment, amount_sats: '100000' }, 'amount_sats'],
    ['zero', { ...payment, amount_sats: 0 }, 'amount_sats'],
    ['a negative amount', { ...payment, amount_sats: -5 }, 'amount_sats'],
    ['more than all coins', { ...payment, amount_sats: 2_100_000_000_000_001 }, 'amount_sats'],
    ['an amount beyond doubles', { ...payment, amount_sats: 1e300 }, 'amount_sats'],
    ['null as amount', { ...payment, amount_sats: null }, 'amount_sats'],
    ['no amount', { recipient: RECIPIENT }, 'amount_sats'],
    ['no recipient', { amount_sats: 1 }, 'recipient'],
    ['an empty list', { recipients: [] }, 'recipients'],
    ['a fraction in a list', { recipients: [{ address: RECIPIENT, amount_sats: 1 }, { address: RECIPIENT, amount_sats: 1.5 }] }, 'recipients[1].amount_sats'],
    ['both forms', { ...payment, recipients: [{ address: RECIPIENT, amount_sats: 1 }] }, 'recipient'],
    ['injection as address', { ...payment, recipient: "'; DROP TABLE wallets; --" }, 'recipient'],
    ['an unknown field', { ...payment, feerate: 5 }, 'feerate'],
    ['an unknown field in a list', { recipients: [{ address: RECIPIENT, amount_sats: 1, memo: '' }] }, 'recipients[0].memo'],
    ['a rate of zero', { ...payment, fee_rate: 0 }, 'fee_rate'],
    ['text as rate', { ...payment, fee_rate: '5' }, 'fee_rate'],
    ['81 bytes of metadata', { ...payment, metadata: 'é'.repeat(40) + 'x' }, 'metadata'],
    ['empty metadata', { ...payment, metadata: '' }, 'metadata'],
    ['a list as body', [payment], 'body'],
    ['text as body', 'pay', 'body'],
  ]; // prettier-ignore
  it.each(cases)('%s is refused with field and remedy', async (_name, json, field) => {
    const before = harness.fake.sends.length;
    const { status, body, headers } = await send(json);
    expect([status, body.field]).toEqual([400, field]);
    expect(body.remedy.length).toBeGreaterThan(10);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(harness.fake.sends.length).toBe(before);
  });

  it('80 bytes of metadata pass', async () => {
    expect((await send({ ...payment, metadata: 'é'.repeat(40) })).status).toBe(201);
  });

  it('wallet creation names what is wrong', async () => {
    const create = (json: unknown) => harness.request('/api/v1/wallet/create', { as: 'admin', json });
    const fields = [
      await create({ threshold: 5, total_nodes: 3 }),
      await create({ threshold: 1 }),
      await create({ total_nodes: 17 }),
      await create({ protocol: 'gg20' }),
      await create({ name: '' }),
    ];
    expect(fields.map(({ status, body }) => `${status} ${body.field}`)).toEqual([
      '400 threshold',
      '400 threshold',
      '400 total_nodes',
      '400 protocol',
      '400 name',
    ]);
  });

  it('ids, pages and states are checked', async () => {
    const paths: [string, string][] = [
      [`/api/v1/transactions/${encodeURIComponent("' OR '1'='1")}`, 'txid'],
      ['/api/v1/wallet/..%2F..%2Fetc/balance', 'id'],
      ['/api/v1/consensus/votes/%00', 'tx_id'],
      ['/api/v1/transactions?limit=101', 'limit'],
      ['/api/v1/transactions?limit=abc', 'limit'],
      ['/api/v1/transactions?offset=-1', 'offset'],
      ['/api/v1/transactions?state=lost', 'state'],
      ['/api/v1/transactions?colour=red', 'colour'],
      ['/api/v1/transactions?wallet_id=a&wallet_id=b', 'wallet_id'],
    ];
    for (const [path, field] of paths) {
      const { status, body } = await harness.request(path, { as: 'viewer' });
      expect([path, status, body.field]).toEqual([path, 400, field]);
    }
  });

  it('what the wallet refuses keeps its status, code, field and remedy', async () => {
    const { status, body } = await send({ ...payment, amount_sats: 6_000_000 });
    expect(status).toBe(422);
    expect(body).toMatchObject({ code: 'send.balance', field: 'amount_sats', remedy: 'send less, or fund the wallet' });
    expect((await harness.request('/api/v1/wallet/none/balance', { as: 'viewer' })).status).toBe(404);
  });

  it('no JSON, other types, poisoned keys and large bodies are refused', async () => {
    const raw = (body: string, type = 'application/json') =>
      harness.request('/api/v1/wallet/w-ecdsa/send', { as: 'operator', method: 'POST', body, headers: { 'content-type': type } });
    const expected: [ReturnType<typeof raw>, number, string][] = [
      [raw('{"amount_sats":'), 400, 'http.json'],
      [raw(`{"recipient":"${RECIPIENT}","amount_sats":1,"__proto__":{"fee_rate":1}}`), 400, 'http.json'],
      [raw(`{"recipient":"${RECIPIENT}","amount_sats":1,"constructor":{"prototype":{"x":1}}}`), 400, 'http.json'],
      [raw(''), 400, 'http.body_missing'],
      [raw('recipient=x', 'application/x-www-form-urlencoded'), 415, 'http.media_type'],
      [raw('{}', 'text/plain'), 415, 'http.media_type'],
      [raw(JSON.stringify({ ...payment, metadata: 'x'.repeat(70_000) })), 413, 'http.body_too_large'],
    ];
    for (const [reply, status, code] of expected) {
      const { status: actual, body } = await reply;
      expect([actual, body.code]).toEqual([status, code]);
      expect(body.remedy).toBeTruthy();
    }
    const none = await harness.request('/api/v1/wallet/w-ecdsa/send', { as: 'operator', method: 'POST' });
    expect([none.status, none.body.field]).toEqual([400, 'body']);
  });

  it('unknown paths are 404 and wrong methods 405 with Allow, as problems', async () => {
    const missing = await harness.request('/api/v2/wallets');
    expect([missing.status, missing.body.code]).toEqual([404, 'http.route']);
    for (const [method, path, allow] of [
      ['DELETE', '/api/v1/wallets', 'GET, HEAD'],
      ['POST', '/health', 'GET, HEAD'],
      ['GET', '/api/v1/wallet/create', 'POST'],
      ['PUT', '/api/v1/wallet/w-ecdsa/send', 'POST'],
      ['OPTIONS', '/api/v1/transactions', 'GET, HEAD, POST'],
    ] as const) {
      const { status, body, headers } = await harness.request(path, { method });
      expect([path, status, body.code]).toEqual([path, 405, 'http.method']);
      expect(headers.get('allow')!.split(', ').sort().join(', ')).toBe(allow);
    }
    expect((await harness.request('/%zz')).body.code).toBe('http.url');
  });
});

describe('errors', () => {
  const evidence = { round: 'presign.2', detail: 'secret detail' };
  const families: [string, Error, number, Record<string, unknown>][] = [
    ['Refusal', new Refusal('x.y', 'name', 'no', 'do otherwise', 422), 422, { code: 'x.y', field: 'name', detail: 'no', remedy: 'do otherwise' }],
    ['Unavailable', new Unavailable('database', 'PostgreSQL is away', 'start it'), 503, { code: 'unavailable.database', remedy: 'start it' }],
    ['Fault', new Fault([2, 4], 'wrong partial signature', evidence), 502, { code: 'fault.misbehaviour', culprits: ['node-3', 'node-5'] }],
    ['unattributable Fault', new Fault([], 'views differ', evidence), 502, { code: 'fault.misbehaviour', culprits: [] }],
    ['Silence', new Silence([1], 'sign.1'), 502, { code: 'fault.silence', culprits: ['node-2'] }],
    ['Abandoned', new Abandoned(1, 'disk full', 'sign.1'), 502, { code: 'fault.abandoned' }],
    ['Defect', new Defect('share 0xdeadbeef is odd'), 500, { code: 'internal' }],
    ['an unknown error', new TypeError('cannot read 0xdeadbeef'), 500, { code: 'internal' }],
    ['a foreign error that looks like a client error', Object.assign(new Error('0xdeadbeef'), { statusCode: 'x' }), 500, { code: 'internal' }],
  ]; // prettier-ignore
  it.each(families)('%s becomes its problem document', async (_name, error, expected, members) => {
    const throwing = createFakeWallet({
      balance: async () => {
        throw error;
      },
    });
    const other = await createHarness({ fake: throwing });
    const { status, body, headers } = await other.request('/api/v1/wallet/balance', { as: 'viewer' });
    await other.api.close();
    expect(status).toBe(expected);
    expect(body).toMatchObject({ ...members, status: expected, type: `urn:threshold-wallet:problem:${body.code}` });
    expect(body.trace_id).toMatch(UUID);
    expect(body.instance).toBe(`urn:uuid:${body.trace_id}`);
    expect(headers.get('x-request-id')).toBe(body.trace_id);
    expect(headers.get('retry-after')).toBe(expected === 503 ? '5' : null);
    expect(JSON.stringify(body)).not.toMatch(/deadbeef|secret detail/);
    // The log holds what the answer must not, under the trace id.
    if (expected === 500) expect(other.log.some((line) => line.includes(body.trace_id) && line.includes('deadbeef'))).toBe(true);
  });

  it('a port in use is a refusal that names it', async () => {
    const port = Number(new URL(harness.api.url).port);
    const second = createApi({
      service: harness.fake.service,
      auth: { publicKeyPem: harness.keys.publicKeyPem, issuer: 'i', audience: 'a' },
      host: '127.0.0.1',
      port,
      logger: (await import('pino')).pino({ level: 'silent' }),
      version: '0',
    });
    await expect(second).rejects.toMatchObject({ name: 'Refusal', field: 'port', message: expect.stringContaining(String(port)) });
  });
});

describe('OpenAPI', () => {
  it('lists every route with its method, role and answers, and every reference and parameter resolves', async () => {
    const { status, body: spec } = await harness.request('/openapi.json');
    expect(status).toBe(200);
    expect(spec.openapi).toBe('3.1.0');
    const operations = Object.entries<Record<string, any>>(spec.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ key: `${method.toUpperCase()} ${path}`, path, operation })),
    );
    expect(operations.map(({ key }) => key).sort()).toEqual(
      [
        'GET /health',
        'GET /api/v1/health',
        'GET /ready',
        'POST /api/v1/wallet/create',
        'GET /api/v1/wallets',
        'GET /api/v1/wallet/balance',
        'GET /api/v1/wallet/address',
        'GET /api/v1/wallet/{id}/balance',
        'GET /api/v1/wallet/{id}/address',
        'POST /api/v1/wallet/{id}/addresses',
        'GET /api/v1/wallet/{id}/addresses',
        'GET /api/v1/wallet/{id}/descriptor',
        'GET /api/v1/wallet/{id}/utxos',
        'GET /api/v1/wallet/{id}/transactions',
        'POST /api/v1/wallet/{id}/send',
        'POST /api/v1/transactions',
        'GET /api/v1/transactions',
        'GET /api/v1/transactions/{txid}',
        'GET /api/v1/consensus/votes/{tx_id}',
        'GET /api/v1/cluster/status',
        'GET /api/v1/cluster/nodes',
        'GET /api/v1/pool/status',
        'POST /api/v1/presig/generate',
        'GET /api/v1/presig',
        'GET /api/v1/dkg/status',
        'POST /api/v1/dkg/start',
        'GET /api/v1/keys/{id}',
        'POST /api/v1/keys/{id}/refresh',
        'POST /api/v1/keys/{id}/agree',
        'POST /api/v1/keys/{id}/reshare',
        'POST /api/v1/keys/{id}/erase',
        'GET /api/v1/events',
      ].sort(),
    );
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { key, path, operation } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = (operation.parameters ?? []).filter((one: any) => one.in === 'path');
      expect([key, declared.map((one: any) => one.name)]).toEqual([key, inPath]);
      expect(declared.every((one: any) => one.required === true && one.schema !== undefined)).toBe(true);
      expect(Object.values<any>(operation.responses).every((one) => typeof one.description === 'string')).toBe(true);
      const open = /health|ready/.test(path);
      expect([key, operation.security]).toEqual([key, open ? undefined : [{ bearer: [] }]]);
      const success = Object.keys(operation.responses).find((code) => code.startsWith('2'))!;
      const content = operation.responses[success].content;
      expect([key, content?.['application/json']?.schema ?? content?.['text/event-stream']?.schema]).not.toEqual([key, undefined]);
      if (key.startsWith('POST')) expect(operation.requestBody.content['application/json'].schema.additionalProperties).toBe(false);
    }
    for (const reference of JSON.stringify(spec).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      const found = reference[1]!.split('/').reduce((node: any, part) => node?.[part], spec);
      expect([reference[1], found]).not.toEqual([reference[1], undefined]);
    }
    const send = spec.paths['/api/v1/wallet/{id}/send'].post;
    expect(send.requestBody.content['application/json'].schema.properties.amount_sats).toMatchObject({ type: 'integer', minimum: 1 });
    expect(send.parameters.some((one: any) => one.in === 'header' && one.name === 'idempotency-key')).toBe(true);
  });
});
