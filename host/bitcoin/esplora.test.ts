import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Refusal, Unavailable } from '../base/errors.ts';
import { addressOf } from './address.ts';
import { Esplora, type EsploraOptions } from './esplora.ts';
import { Transaction } from './library.ts';
import { singleKey } from './testing/single-key.ts';

const { wallet } = singleKey('p2wpkh', 'payer');
const address = addressOf(wallet.script, 'regtest');

/** A funding transaction of the wallet: output 0 somebody else's, output 1 ours of 50 000 sat. */
const funding = new Transaction();
funding.version = 2;
funding.addInput(new Uint8Array(32).fill(7), 0);
funding.addOutput(singleKey('p2tr', 'x').wallet.script, 1_000n);
funding.addOutput(wallet.script, 50_000n);
const txid = funding.getId();
const confirmed = { confirmed: true, block_height: 98, block_hash: 'ab'.repeat(32), block_time: 1_700_000_000 };
const utxo = { txid, vout: 1, value: 50_000, status: confirmed };

type Handler = (request: IncomingMessage, response: ServerResponse, attempt: number) => void;
const json = (value: unknown, status = 200): Handler => (_, response) => void response.writeHead(status).end(JSON.stringify(value)); // prettier-ignore
const text = (value: string, status = 200): Handler => (_, response) => void response.writeHead(status).end(value); // prettier-ignore

let server: Server;
let base: string;
let routes: Record<string, Handler>;
let attempts: Map<string, number>;
let pauses: number[];
const clients: Esplora[] = [];

beforeEach(async () => {
  routes = {
    '/blocks/tip/height': json(100),
    [`/address/${address}/utxo`]: json([utxo]),
    [`/tx/${txid}/hex`]: text(funding.toHex()),
  };
  attempts = new Map();
  pauses = [];
  server = createServer((request, response) => {
    const path = request.url ?? '';
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    (routes[path] ?? text('Not found', 404))(request, response, attempt);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function client(options: Partial<EsploraOptions> = {}): Esplora {
  const sleep = async (ms: number): Promise<void> => void pauses.push(ms);
  const made = new Esplora({
    url: base,
    network: 'regtest',
    connectMs: 1_000,
    headersMs: 1_000,
    bodyMs: 1_000,
    totalMs: 2_000,
    sleep,
    ...options,
  });
  clients.push(made);
  return made;
}
const problem = async (act: Promise<unknown>): Promise<Unavailable> => {
  const error = await act.then(() => new Error('it worked'), (e: unknown) => e); // prettier-ignore
  expect(error).toBeInstanceOf(Unavailable);
  expect((error as Unavailable).remedy).not.toBe('');
  return error as Unavailable;
};

describe('coins are verified', () => {
  test('a true answer', async () => {
    expect(await client().coinsOf(address)).toEqual([{ txid, vout: 1, value: 50_000n, script: wallet.script, confirmations: 3 }]);
  });

  test('unconfirmed and beyond-the-tip coins have no confirmations', async () => {
    routes[`/address/${address}/utxo`] = json([{ ...utxo, status: { confirmed: false } }]);
    expect((await client().coinsOf(address))[0]!.confirmations).toBe(0);
    routes[`/address/${address}/utxo`] = json([{ ...utxo, status: { ...confirmed, block_height: 101 } }]);
    expect((await client().coinsOf(address))[0]!.confirmations).toBe(0);
  });

  test.each<[string, object[], RegExp]>([
    ['another value', [{ ...utxo, value: 50_001 }], /transaction says otherwise/],
    ["somebody else's output", [{ ...utxo, vout: 0, value: 1_000 }], /transaction says otherwise/],
    ['an output that is not there', [{ ...utxo, vout: 2 }], /no such output/],
    ['a transaction nobody has', [{ ...utxo, txid: 'cd'.repeat(32) }], /no such output/],
    ['the same coin twice', [utxo, utxo], /twice/],
  ])('%s', async (_, answer, message) => {
    routes[`/address/${address}/utxo`] = json(answer);
    expect((await problem(client().coinsOf(address))).message).toMatch(message);
  });

  test('a transaction that hashes to something else, or is none', async () => {
    const forged = funding.clone();
    forged.outs[1]!.value = 5_000_000n;
    routes[`/tx/${txid}/hex`] = text(forged.toHex());
    routes[`/address/${address}/utxo`] = json([{ ...utxo, value: 5_000_000 }]);
    expect((await problem(client().coinsOf(address))).message).toMatch(/hashes to/);
    routes[`/tx/${txid}/hex`] = text('no hex');
    expect((await problem(client().coinsOf(address))).message).toMatch(/not a transaction/);
  });

  test('verified transactions are fetched once', async () => {
    const one = client();
    await one.coinsOf(address);
    await one.coinsOf(address);
    expect(await one.txHex(txid)).toBe(funding.toHex());
    expect(attempts.get(`/tx/${txid}/hex`)).toBe(1);
  });

  test("another network's address is the caller's mistake", async () => {
    await expect(client().coinsOf('bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4')).rejects.toThrow(Refusal);
    expect(attempts.size).toBe(0);
  });
});

describe('answers that are not Esplora’s', () => {
  test.each<[string, unknown]>([
    ['a negative value', [{ ...utxo, value: -1 }]],
    ['a fraction', [{ ...utxo, value: 0.5 }]],
    ['more than all bitcoins', [{ ...utxo, value: 2_100_000_000_000_001 }]],
    ['an upper-case id', [{ ...utxo, txid: txid.toUpperCase().replace(/^./, 'A') }]],
    ['a confirmed coin without a height', [{ ...utxo, status: { confirmed: true } }]],
    ['an object', {}],
    ['null', null],
  ])('%s', async (_, answer) => {
    routes[`/address/${address}/utxo`] = json(answer);
    expect((await problem(client().utxos(address))).message).toMatch(/not Esplora's/);
  });

  test('a page instead of JSON', async () => {
    routes['/blocks/tip/height'] = text('<html>');
    expect((await problem(client().tipHeight())).message).toMatch(/not JSON/);
    routes['/blocks/tip/height'] = text('nginx', 403);
    expect((await problem(client().tipHeight())).message).toMatch(/HTTP 403, nginx/);
    expect(pauses).toEqual([]);
  });
});

describe('a backend that is down, slow or endless', () => {
  test('the third attempt succeeds, after 1 and 2 seconds', async () => {
    const seen: number[] = [];
    routes['/blocks/tip/height'] = (request, response, attempt) =>
      (attempt < 3 ? text('busy', attempt === 1 ? 503 : 429) : json(100))(request, response, attempt);
    expect(await client({ onRetry: ({ attempt }) => seen.push(attempt) }).tipHeight()).toBe(100);
    expect(pauses).toEqual([1_000, 2_000]);
    expect(seen).toEqual([1, 2]);
  });

  test('three failures are the end; a fourth attempt, where allowed, waits 4 seconds', async () => {
    routes['/blocks/tip/height'] = text('busy', 500);
    expect((await problem(client().tipHeight())).message).toMatch(/failed 3 times: HTTP 500/);
    pauses = [];
    await problem(client({ attempts: 4 }).tipHeight());
    expect(pauses).toEqual([1_000, 2_000, 4_000]);
  });

  test('a connection cut in the middle is tried again', async () => {
    routes['/blocks/tip/height'] = (request, response, attempt) => {
      if (attempt > 1) return json(100)(request, response, attempt);
      response.writeHead(200, { 'content-length': 100 }).write('1');
      setImmediate(() => response.destroy());
    };
    expect(await client().tipHeight()).toBe(100);
  });

  test('silence before the headers, inside the body, and a body that drips for ever', async () => {
    routes['/blocks/tip/height'] = () => undefined;
    await problem(client({ headersMs: 50, attempts: 1 }).tipHeight());
    routes['/blocks/tip/height'] = (_, response) => void response.writeHead(200).write('1');
    await problem(client({ bodyMs: 50, attempts: 1 }).tipHeight());
    routes['/blocks/tip/height'] = (_, response) => {
      const timer = setInterval(() => response.write(' '), 5);
      response.on('close', () => clearInterval(timer));
    };
    expect((await problem(client({ totalMs: 100, attempts: 1 }).tipHeight())).message).toMatch(/in time/);
  });

  test('an answer over the bound, announced or not, is not read to its end', async () => {
    routes[`/address/${address}/utxo`] = text(' '.repeat(10_000));
    await problem(client({ maxBytes: 1_000, attempts: 1 }).utxos(address));
    routes[`/address/${address}/utxo`] = (_, response) => {
      const timer = setInterval(() => response.write(' '.repeat(500)), 1);
      response.on('close', () => clearInterval(timer));
    };
    await problem(client({ maxBytes: 1_000, attempts: 1 }).utxos(address));
  });

  test('nobody listens', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const error = await problem(client({ url: `http://127.0.0.1:${port}` }).tipHeight());
    expect(error.message).toMatch(/ECONNREFUSED/);
    expect(error.dependency).toBe('bitcoin backend');
  });

  test('closing ends idle connections', async () => {
    const one = client();
    await one.tipHeight();
    await one.close();
    expect((await problem(one.tipHeight())).message).toMatch(/closed/);
    expect(pauses).toEqual([]);
    // The server itself is still there.
    await new Promise<void>((resolve, reject) => {
      const socket = connect(Number(new URL(base).port), '127.0.0.1', () => (socket.destroy(), resolve()));
      socket.on('error', reject);
    });
  });
});

test('closing ends the wait for a repetition', async () => {
  routes['/blocks/tip/height'] = text('busy', 503);
  const one = new Esplora({
    url: base,
    network: 'regtest',
    backoffMs: 3_600_000,
    onRetry: () => void setImmediate(() => void one.close()),
  });
  expect((await problem(one.tipHeight())).message).toMatch(/closed/);
});

describe('broadcast', () => {
  const hex = funding.toHex();
  const rejection = 'sendrawtransaction RPC error: {"code":-26,"message":"dust"}';

  test('accepted: the id is the one computed here', async () => {
    routes['/tx'] = text(txid);
    expect(await client().broadcast(hex)).toBe(txid);
    routes['/tx'] = text('ee'.repeat(32));
    await problem(client().broadcast(hex));
  });

  test('rejected: the reason is passed on, nothing is repeated', async () => {
    routes['/tx'] = text(rejection, 400);
    const error = await client().broadcast(hex).catch((e: unknown) => e); // prettier-ignore
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).message).toContain('"dust"');
    expect((error as Refusal).code).toBe('broadcast_rejected');
    expect(attempts.get('/tx')).toBe(1);
  });

  test('the answer was lost, the transaction was not: a repetition that is refused as known is a success', async () => {
    routes['/tx'] = (request, response, attempt) => {
      if (attempt === 1) return void request.socket.destroy();
      text('sendrawtransaction RPC error: {"code":-27,"message":"Transaction already in block chain"}', 400)(request, response, attempt);
    };
    routes[`/tx/${txid}`] = json({
      txid,
      version: 2,
      locktime: 0,
      vin: [{ txid: '07'.repeat(32), vout: 0, prevout: null, scriptsig: '', is_coinbase: false, sequence: 0xffffffff }],
      vout: [{ scriptpubkey: '51', value: 1 }],
      size: 100,
      weight: 400,
      fee: 10,
      status: confirmed,
      some_later_field: true,
    });
    expect(await client().broadcast(hex)).toBe(txid);
    expect(pauses).toEqual([1_000]);
  });

  test('no answer at all: nobody knows, so it may be repeated', async () => {
    routes['/tx'] = text('busy', 502);
    await problem(client().broadcast(hex));
    expect(attempts.get('/tx')).toBe(3);
  });
});

describe('fees', () => {
  test('the estimate of the slowest target that is in time, kept for 120 seconds', async () => {
    let now = 0;
    routes['/fee-estimates'] = (request, response, attempt) =>
      json({ '1': 10.5, '3': 4.2, '25': 0.5 + attempt / 1000 })(request, response, attempt);
    const one = client({ clock: () => now });
    expect([await one.feeRate(1), await one.feeRate(2), await one.feeRate(6)]).toEqual([10_500n, 10_500n, 4_200n]);
    // Below what nodes relay: the relay minimum.
    expect(await one.feeRate(100)).toBe(1_000n);
    now = 119_999;
    expect((await one.feeEstimates())['25']).toBe(0.501);
    now = 120_000;
    expect((await one.feeEstimates())['25']).toBe(0.502);
  });

  test('no estimate, or an absurd one', async () => {
    routes['/fee-estimates'] = json({});
    expect((await problem(client().feeRate())).remedy).toMatch(/fee_rate/);
    routes['/fee-estimates'] = json({ '1': 1e9 });
    await problem(client().feeRate());
    routes['/fee-estimates'] = json({ soon: 1 });
    await problem(client().feeRate());
  });
});

describe('lookups', () => {
  test('what is unknown is undefined, not an error', async () => {
    const one = client();
    expect([await one.tx(txid), await one.txStatus(txid), await one.blockHash(101)]).toEqual([undefined, undefined, undefined]);
    routes['/block-height/100'] = text(`${'ab'.repeat(32)}\n`);
    expect(await one.blockHash(100)).toBe('ab'.repeat(32));
  });

  test('only an id becomes part of a URL', async () => {
    for (const bad of ['', '../fee-estimates', txid.toUpperCase().replace(/^./, 'A'), `${txid}/hex`]) {
      await expect(client().tx(bad)).rejects.toThrow(Refusal);
      await expect(client().txHex(bad)).rejects.toThrow(Refusal);
      await expect(client().addressTxs(address, bad)).rejects.toThrow(Refusal);
    }
  });
});

test.each(['', 'localhost:3002', 'ftp://host', 'http://user:secret@host', 'http://host/?q=1', 'http://host/#x'])(
  'URL %j is refused',
  (url) => {
    try {
      new Esplora({ url, network: 'regtest' });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(Refusal);
      expect((error as Refusal).field).toBe('bitcoin.esplora_url');
      expect(`${(error as Refusal).message} ${(error as Refusal).remedy}`).not.toContain('secret');
    }
  },
);
