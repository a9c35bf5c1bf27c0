import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { bucketStore } from './rate.ts';
import { createFakeWallet } from './testing/fake-wallet.ts';
import { createHarness } from './testing/harness.ts';

describe('rate limit', () => {
  it('a bucket gives its burst, then one at a time, and never more than it holds', () => {
    let time = 0;
    const store = new (bucketStore({ perSecond: 10, burst: 3 }, () => time))();
    const take = () => {
      let result = { current: 0, ttl: 0 };
      store.incr('a', (_error, given) => (result = given!));
      return result;
    };
    expect([take(), take(), take()].map(({ current }) => current)).toEqual([1, 2, 3]);
    expect(take()).toEqual({ current: 4, ttl: 100 });
    time = 99;
    expect(take().current).toBe(4);
    time = 101;
    expect(take().current).toBe(3);
    expect(take().current).toBe(4);
    time = 1_000_000;
    expect([take(), take(), take(), take()].map(({ current }) => current)).toEqual([1, 2, 3, 4]);
  });

  it('a flood of clients does not grow memory without bound: the longest unseen is forgotten', () => {
    const store = new (bucketStore({ perSecond: 0.001, burst: 1 }, () => 0))();
    const take = (key: string) => {
      let current = 0;
      store.incr(key, (_error, given) => (current = given!.current));
      return current;
    };
    expect([take('first'), take('first')]).toEqual([1, 2]);
    for (let i = 0; i < 10_000; i++) take(`client ${i}`);
    expect([take('client 9999'), take('first')]).toEqual([2, 1]);
  });

  it('beyond the burst is 429 with Retry-After; other subjects and addresses have buckets of their own', async () => {
    const harness = await createHarness({ limits: { rate: { perSecond: 0.5, burst: 5 } } });
    const token = await harness.token('viewer', '*', 'eager');
    const replies = await Promise.all(Array.from({ length: 200 }, () => harness.request('/api/v1/wallets', { token })));
    const statuses = replies.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeLessThan(10);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    const refused = replies.find(({ status }) => status === 429)!;
    expect(refused.body).toMatchObject({ code: 'http.rate', status: 429 });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    // Another token of the same subject is the same client; another subject is not.
    expect((await harness.request('/api/v1/wallets', { token: await harness.token('admin', '*', 'eager') })).status).toBe(429);
    expect((await harness.request('/api/v1/wallets', { token: await harness.token('viewer', '*', 'calm') })).status).toBe(200);
    // Whoever shows no valid token counts by address, on routes and beside them.
    const anonymous: number[] = [];
    for (const path of ['/health', '/nowhere', '/api/v1/wallets', '/health', '/nowhere', '/health', '/nowhere', '/api/v1/wallets']) {
      anonymous.push((await harness.request(path, { token: 'a.b.c' })).status);
    }
    expect(anonymous.slice(0, 5)).toEqual([200, 404, 401, 200, 404]);
    expect(anonymous.slice(5)).toEqual([429, 429, 429]);
    expect((await harness.request('/health', { method: 'DELETE' })).status).toBe(429);
    await harness.api.close();
  });
});

describe('connections', () => {
  it('slow headers, slow bodies, silence, and what is not HTTP are shown the door', async () => {
    const limits = { headersTimeout: 200, requestTimeout: 400, keepAliveTimeout: 200 };
    const harness = await createHarness({ limits });
    const slowHeaders = talk(harness.api.url, 'GET /health HTTP/1.1\r\nhost: x\r\n');
    const head = ['POST /api/v1/transactions HTTP/1.1', 'host: x', 'content-length: 50', 'content-type: application/json'];
    const authorization = `authorization: Bearer ${await harness.token('operator')}`;
    const slowBody = talk(harness.api.url, `${[...head, authorization].join('\r\n')}\r\n\r\n{`);
    const unwanted = talk(harness.api.url, `${head.join('\r\n')}\r\n\r\n{`);
    const silent = talk(harness.api.url, '');
    const foreign = talk(harness.api.url, '\x16\x03\x01 this is TLS\r\n\r\n');
    const large = talk(harness.api.url, `GET /health HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`);
    expect(await slowHeaders).toMatch(/^HTTP\/1\.1 408 [^]*application\/problem\+json[^]*"code":"http\.slow_request"/);
    expect(await slowBody).toMatch(/^HTTP\/1\.1 408 /);
    expect(await unwanted).toMatch(/^HTTP\/1\.1 401 /);
    expect(await silent).toMatch(/^$|^HTTP\/1\.1 408 /);
    expect(await foreign).toMatch(/^HTTP\/1\.1 400 [^]*"code":"http\.malformed"/);
    expect(await large).toMatch(/^HTTP\/1\.1 431 [^]*"code":"http\.headers_too_large"/);
    expect((await harness.request('/health')).status).toBe(200);
    await harness.api.close();
  });

  it('no more connections than the limit', async () => {
    const harness = await createHarness({ limits: { maxConnections: 3, headersTimeout: 5000 } });
    const { port } = new URL(harness.api.url);
    const sockets = Array.from({ length: 6 }, () => connect(Number(port), '127.0.0.1'));
    const closed = await Promise.all(sockets.map((socket) => Promise.race([ended(socket).then(() => true), sleep(300, false)])));
    expect(closed.filter(Boolean)).toHaveLength(3);
    sockets.forEach((socket) => socket.destroy());
    await harness.api.close();
  });

  it('closing refuses new work, lets a request finish, and ends what outlasts the drain time-out', async () => {
    let finish = () => {};
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const healthy = await createFakeWallet().service.health();
    let asked = 0;
    const fake = createFakeWallet({
      health: async () => {
        asked++;
        await gate;
        return healthy;
      },
    });
    const harness = await createHarness({ fake, limits: { drainTimeout: 5000 } });
    const running = harness.request('/health');
    while (asked === 0) await sleep(5);
    const closing = harness.api.close();
    await expect(harness.request('/ready')).rejects.toThrow('fetch failed');
    finish();
    expect((await running).status).toBe(200);
    await closing;

    const stuck = await createHarness({ fake: createFakeWallet({ health: () => new Promise(() => {}) }), limits: { drainTimeout: 100 } });
    const lost = stuck.request('/health').catch((error: Error) => error.message);
    await sleep(50);
    await stuck.api.close();
    expect(await lost).toBe('fetch failed');
  });

  it('answers carry the headers of a careful server and no CORS', async () => {
    const harness = await createHarness();
    const { headers } = await harness.request('/health', { headers: { origin: 'https://evil.example' } });
    await harness.api.close();
    expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('x-powered-by')).toBeNull();
  });
});

/** Everything the server says until it closes the connection. */
async function talk(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let heard = '';
  socket.on('data', (data) => (heard += data.toString()));
  socket.write(text);
  await ended(socket);
  return heard;
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
  });
}
