import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { encode, struct, text, u32 } from '../base/codec.ts';
import { Defect, Fault, Refusal, Unavailable } from '../base/errors.ts';
import { createCalls, MAX_CALLS, method } from './calls.ts';
import { memoryMesh } from './testing/memory-mesh.ts';

const add = method('add', struct({ a: u32, b: u32 }), u32);
const fail = method('fail', text(32), u32);
const hang = method('hang', u32, u32);

function setUp() {
  const net = memoryMesh(3);
  const logged: string[] = [];
  const log = (context: object, message: string) => void logged.push(`${message} ${JSON.stringify(context)}`);
  const calls = net.meshes.map((mesh) => createCalls(mesh, { logger: { debug: log, info: log, warn: log } }));
  const release: (() => void)[] = [];
  for (const [i, each] of calls.entries()) {
    each.serve(add, async (from, { a, b }) => a + b + (from === 'node-1' ? 0 : 1000));
    each.serve(hang, (_, n) => new Promise((resolve) => release.push(() => resolve(n))));
    each.serve(fail, async (_, how) => {
      if (how === 'refusal') throw new Refusal('dust', 'amount', 'too small', 'send more', 422);
      if (how === 'unavailable') throw new Unavailable('database', 'down', 'start it');
      if (how === 'fault') throw new Fault([2], 'wrong share', { round: 'r3', detail: 'x', signed: utf8('signed') });
      if (how === 'defect') throw new Defect('invariant broken');
      if (how === 'long') throw new Refusal('x'.repeat(5000), 'ü'.repeat(5000), '€'.repeat(5000), '');
      throw new TypeError(`secret inner state of ${i}`);
    });
  }
  return { net, calls, logged, release };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

test('an answer comes back to the one who asked; the server sees the caller by certificate; a node may ask itself', async () => {
  const { calls } = setUp();
  expect(await calls[0]!.call('node-2', add, { a: 1, b: 2 })).toBe(3);
  expect(await calls[2]!.call('node-2', add, { a: 1, b: 2 })).toBe(1003);
  expect(await calls[0]!.call('node-1', add, { a: 20, b: 2 })).toBe(22);
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => calls[0]!.call('node-3', add, { a: i, b: 0 }, { class: 'bulk' })));
  expect(many).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test('what is told is worked on like a question, nothing comes back, and what goes wrong is in the log of the one who was told', async () => {
  const { net, calls, logged } = setUp();
  const heard: string[] = [];
  const news = method('news', text(32), u32);
  const frames: string[] = [];
  calls[1]!.serve(news, async (from, what) => heard.push(`${from}: ${what}`));
  net.intercept((_from, _to, frame) => {
    frames.push(frame.kind);
    return [frame];
  });
  calls[0]!.tell('node-2', news, 'a vote');
  calls[2]!.tell('node-2', news, 'another', 'signing');
  calls[0]!.tell('node-2', fail, 'refusal');
  calls[0]!.tell('node-2', fail, 'bug');
  await net.settled();
  expect(heard).toEqual(['node-1: a vote', 'node-3: another']);
  expect(logged[0]).toMatch(/^a notice was refused .*too small/);
  expect(logged[1]).toMatch(/^a notice failed by a defect .*secret inner state/);
  expect(frames).toEqual(['notice', 'notice', 'notice', 'notice']);
});

test('nothing is told without a link', () => {
  const { net, calls } = setUp();
  net.link(0, 1, false);
  expect(() => calls[0]!.tell('node-2', add, { a: 1, b: 2 })).toThrow(Unavailable);
});

describe('errors travel in their family, without stack', () => {
  test.each([
    ['refusal', Refusal, { code: 'dust', field: 'amount', message: 'too small', remedy: 'send more', status: 422 }],
    ['unavailable', Unavailable, { dependency: 'database', message: 'down', remedy: 'start it' }],
    [
      'fault',
      Fault,
      { culprits: [2], reason: 'wrong share', evidence: { round: 'r3', detail: 'told by node-2: x', signed: utf8('signed') } },
    ],
    ['defect', Defect, { message: 'invariant broken' }],
  ] as const)('%s', async (how, family, fields) => {
    const { calls } = setUp();
    const error = await calls[0]!.call('node-2', fail, how).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(family);
    expect(error).toMatchObject(fields);
  });

  test('an error of no family is logged where it happened and not described to others', async () => {
    const { calls, logged } = setUp();
    const error = (await calls[0]!.call('node-2', fail, 'other').catch((e: unknown) => e)) as Error;
    expect(error).toBeInstanceOf(Defect);
    expect(error.message).not.toContain('secret');
    expect(logged.join()).toContain('secret inner state of 1');
  });

  test('texts over the bound are cut, not refused', async () => {
    const { calls } = setUp();
    const error = (await calls[0]!.call('node-2', fail, 'long').catch((e: unknown) => e)) as Refusal;
    expect(error).toBeInstanceOf(Refusal);
    expect([Buffer.byteLength(error.message) <= 1024, error.message.startsWith('€€'), error.field.startsWith('üü')]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test('an unknown method and a malformed request are refused by name', async () => {
    const { calls } = setUp();
    await expect(calls[0]!.call('node-2', method('nope', u32, u32), 1)).rejects.toMatchObject({ code: 'mesh.unknown_method', status: 404 });
    const short = method('add', u32, u32);
    await expect(calls[0]!.call('node-2', short, 1)).rejects.toMatchObject({ code: 'mesh.malformed_request', field: 'b' });
  });

  test('a malformed answer is the fault of the one who gave it', async () => {
    const { calls } = setUp();
    await expect(calls[0]!.call('node-2', method('add', add.request, text(8)), { a: 9, b: 9 })).rejects.toMatchObject({
      name: 'Fault',
      culprits: [1],
    });
  });
});

describe('no answer', () => {
  test('times out as Unavailable, and a later answer is dropped', async () => {
    const { net, calls, release } = setUp();
    const outcome = calls[0]!.call('node-2', hang, 1, { timeoutMs: 2000 }).catch((e: unknown) => e);
    await net.settled();
    await vi.advanceTimersByTimeAsync(2000);
    expect(await outcome).toMatchObject({ name: 'Unavailable', dependency: 'node-2', message: expect.stringContaining('2000 ms') });
    release[0]!();
    await net.settled();
    expect(await calls[0]!.call('node-2', add, { a: 1, b: 1 })).toBe(2);
  });

  test('a link that is down, or goes down, ends the call at once', async () => {
    const { net, calls } = setUp();
    const outcome = calls[0]!.call('node-2', hang, 1).catch((e: unknown) => e);
    const other = calls[0]!.call('node-3', hang, 1, { timeoutMs: 100_000 });
    await net.settled();
    net.link(0, 1, false);
    expect(await outcome).toMatchObject({ name: 'Unavailable', dependency: 'node-2' });
    await expect(calls[0]!.call('node-2', add, { a: 1, b: 1 })).rejects.toBeInstanceOf(Unavailable);
    net.link(0, 1, true);
    expect(await calls[0]!.call('node-2', add, { a: 1, b: 1 })).toBe(2);
    void other;
  });

  test('a signal cancels', async () => {
    const { net, calls } = setUp();
    const controller = new AbortController();
    const outcome = calls[0]!.call('node-2', hang, 1, { signal: controller.signal }).catch((e: unknown) => e);
    await net.settled();
    controller.abort();
    expect(await outcome).toMatchObject({ name: 'AbortError' });
    await expect(calls[0]!.call('node-2', hang, 1, { signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('another node cannot answer in the name of the one asked', async () => {
    const { net, calls } = setUp();
    let id: Uint8Array | undefined;
    net.intercept((from, to, frame) => {
      if (from === 'node-1' && to === 'node-2' && frame.kind === 'call') id = frame.body.slice(1, 17);
      return [frame];
    });
    const outcome = calls[0]!.call('node-2', hang, 1, { timeoutMs: 1000 }).catch((e: unknown) => e);
    await net.settled();
    const forged = new Uint8Array([1, ...id!, 0, 0, 0, 4, ...encode(u32, 666)]);
    net.inject(2, 0, { class: 'control', kind: 'answer', session: new Uint8Array(32), round: '', body: forged });
    await net.settled();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await outcome).toBeInstanceOf(Unavailable);
  });
});

test('calls under way are bounded on both sides', async () => {
  const { net, calls, release } = setUp();
  const running = Array.from({ length: MAX_CALLS }, (_, i) => calls[0]!.call('node-2', hang, i));
  await net.settled();
  await expect(calls[0]!.call('node-2', hang, 1)).rejects.toMatchObject({
    name: 'Unavailable',
    message: expect.stringContaining('under way'),
  });
  expect(await calls[0]!.call('node-3', add, { a: 1, b: 2 })).toBe(3);
  // A node that does not keep the bound is answered by the one that serves.
  const name = utf8('add');
  const payload = encode(add.request, { a: 1, b: 1 });
  const answers: string[] = [];
  net.intercept((from, to, frame) => {
    if (from === 'node-2' && to === 'node-1') answers.push(frame.kind);
    return [frame];
  });
  const body = new Uint8Array([1, ...new Uint8Array(16), 0, 0, 0, name.length, ...name, 0, 0, 0, payload.length, ...payload]);
  net.inject(0, 1, { class: 'control', kind: 'call', session: new Uint8Array(32), round: '', body });
  await net.settled();
  expect(answers).toEqual(['failure']);
  for (const each of release) each();
  expect(await Promise.all(running)).toHaveLength(MAX_CALLS);
});
