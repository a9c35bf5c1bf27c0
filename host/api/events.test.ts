import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:net';
import { expect, describe, it } from 'vitest';
import { Unavailable } from '../base/errors.ts';
import type { WalletEvent } from '../wallet/types.ts';
import { createFakeWallet, paymentOf, RECIPIENT } from './testing/fake-wallet.ts';
import { createHarness, type Harness } from './testing/harness.ts';
import { issueToken } from './tokens.ts';

const request = { recipients: [{ address: RECIPIENT, amount_sats: 5 }] };
const moved = (walletId: string, number: number): WalletEvent => ({
  type: 'transaction',
  transaction: paymentOf(walletId, request, number),
  previous: 'broadcasting',
});
const peer: WalletEvent = { type: 'peer', node_id: 'node-3', status: 'dead' };

/** Reads a stream until `enough` says so. */
async function listen(harness: Harness, token: string) {
  const abort = new AbortController();
  const response = await fetch(`${harness.api.url}/api/v1/events`, { headers: { authorization: `Bearer ${token}` }, signal: abort.signal });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    response,
    /** The text so far, once it has `needle`. */
    until: async (needle: string): Promise<string> => {
      while (!text.includes(needle)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the stream ended before "${needle}": ${text}`);
        text += value;
      }
      return text;
    },
    /** All of it, once the server has ended it. */
    end: async (): Promise<string> => {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text;
        text += value;
      }
    },
    stop: () => abort.abort(),
  };
}
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}
const data = (text: string) => [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1]!));

describe('events', () => {
  it('every kind arrives in order as documented, with heartbeats between; leaving ends the subscription', async () => {
    const harness = await createHarness({ limits: { events: { maxListeners: 4, heartbeatMs: 20, maxBuffered: 1 << 20 } } });
    const stream = await listen(harness, await harness.token('viewer'));
    expect(stream.response.status).toBe(200);
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(stream.response.headers.get('x-content-type-options')).toBe('nosniff');
    await stream.until(': connected\n\n');
    const vote = { node_id: 'node-2', value: 'approve' as const, reason: '', timestamp: '2026-01-02T03:05:00.500Z', signature: 'cd' };
    const [ceremony] = await harness.fake.service.ceremonies();
    const [pool] = await harness.fake.service.poolStatus();
    await eventually(() => harness.fake.listeners() === 1);
    harness.fake.emit({
      ...moved('w-ecdsa', 1),
      transaction: { ...paymentOf('w-ecdsa', request, 1), metadata: 'two\nlines' },
    } as WalletEvent);
    harness.fake.emit({ type: 'vote', tx_id: 't', vote });
    harness.fake.emit({ type: 'ceremony', ceremony: ceremony! });
    harness.fake.emit({ type: 'pool', pool: pool! });
    harness.fake.emit(peer);
    const text = await stream.until('event: peer');
    await stream.until(': heartbeat\n\n');
    expect([...text.matchAll(/^event: (.*)$/gm)].map((match) => match[1])).toEqual(['transaction', 'vote', 'ceremony', 'pool', 'peer']);
    const [transaction, voted, ceremonial, level] = data(await stream.until('"node_id":"node-3"'));
    expect(transaction).toMatchObject({
      previous: 'broadcasting',
      transaction: { status: 'broadcast', amount_sats: 5, metadata: 'two\nlines' },
    });
    expect(voted).toEqual({ type: 'vote', tx_id: 't', vote });
    expect(ceremonial).toEqual({ type: 'ceremony', ceremony });
    expect(level).toEqual({ type: 'pool', pool });
    stream.stop();
    await eventually(() => harness.fake.listeners() === 0);
    await harness.api.close();
  });

  it('a token hears of its own wallets only', async () => {
    const harness = await createHarness();
    const own = await harness.fake.service.send('w-ecdsa', request);
    const foreign = await harness.fake.service.send('w-frost', request);
    const stream = await listen(harness, await harness.token('viewer', ['w-ecdsa']));
    await stream.until('connected');
    await eventually(() => harness.fake.listeners() === 1);
    const vote = { node_id: 'node-2', value: 'reject' as const, reason: 'no', timestamp: '', signature: '' };
    const [ceremony] = await harness.fake.service.ceremonies();
    const [pool] = await harness.fake.service.poolStatus();
    harness.fake.emit(moved('w-frost', 9));
    harness.fake.emit({ type: 'vote', tx_id: foreign.tx_id, vote });
    harness.fake.emit({ type: 'vote', tx_id: 'unknown', vote });
    harness.fake.emit({ type: 'ceremony', ceremony: { ...ceremony!, wallet_id: 'w-frost' } });
    harness.fake.emit({ type: 'pool', pool: { ...pool!, wallet_id: 'w-frost' } });
    harness.fake.emit(moved('w-ecdsa', 8));
    harness.fake.emit({ type: 'vote', tx_id: own.tx_id, vote });
    harness.fake.emit({ type: 'ceremony', ceremony: { ...ceremony!, wallet_id: null } });
    harness.fake.emit({ type: 'pool', pool: pool! });
    harness.fake.emit(peer);
    const heard = data(await stream.until('"node_id":"node-3"'));
    expect(heard.map((event) => event.type)).toEqual(['transaction', 'vote', 'ceremony', 'pool', 'peer']);
    expect(JSON.stringify(heard)).not.toContain('w-frost');
    stream.stop();
    await harness.api.close();
  });

  it('listeners are bounded, and a place becomes free again', async () => {
    const harness = await createHarness({ limits: { events: { maxListeners: 2, heartbeatMs: 1000, maxBuffered: 1 << 20 } } });
    const token = await harness.token('viewer');
    const streams = [await listen(harness, token), await listen(harness, token)];
    const third = await harness.request('/api/v1/events', { token });
    expect([third.status, third.body.code]).toEqual([429, 'events.full']);
    streams[0]!.stop();
    await eventually(() => harness.fake.listeners() === 1);
    const next = await listen(harness, token);
    expect(next.response.status).toBe(200);
    await harness.api.close();
    await next.end();
    expect(harness.fake.listeners()).toBe(0);
  });

  it('a listener that does not read is dropped', async () => {
    const harness = await createHarness({ limits: { events: { maxListeners: 2, heartbeatMs: 1000, maxBuffered: 10_000 } } });
    const socket = connect(Number(new URL(harness.api.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${await harness.token('viewer')}\r\n\r\n`);
    socket.pause();
    await eventually(() => harness.fake.listeners() === 1);
    const big = { ...moved('w-ecdsa', 1), transaction: { ...paymentOf('w-ecdsa', request, 1), raw: 'ab'.repeat(500_000) } } as WalletEvent;
    for (let i = 0; i < 100 && harness.fake.listeners() > 0; i++) {
      harness.fake.emit(big);
      await sleep(5);
    }
    await eventually(() => harness.fake.listeners() === 0);
    expect(harness.log.some((line) => line.includes('does not read'))).toBe(true);
    socket.destroy();
    await harness.api.close();
  });

  it('the stream ends with the token', async () => {
    const harness = await createHarness();
    const { privateKeyPem } = harness.keys;
    const token = await issueToken({ privateKeyPem, subject: 'brief', roles: ['viewer'], wallets: '*', ttlSeconds: 1 });
    const stream = await listen(harness, token);
    expect(await stream.end()).toContain('connected');
    await harness.api.close();
  });

  it('a stream that breaks says why', async () => {
    const fake = createFakeWallet({
      // eslint-disable-next-line require-yield -- it breaks before its first event
      events: async function* () {
        throw new Unavailable('mesh', 'the mesh is down', 'wait');
      },
    });
    const harness = await createHarness({ fake });
    const stream = await listen(harness, await harness.token('viewer'));
    const text = await stream.end();
    expect(text).toContain('event: problem\n');
    expect(data(text)[0]).toMatchObject({ code: 'unavailable.mesh', detail: 'the mesh is down' });
    await harness.api.close();
  });
});
