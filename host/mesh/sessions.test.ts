import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { bytes, decode, encode, text } from '../base/codec.ts';
import { Abandoned, Fault, Silence, Unavailable } from '../base/errors.ts';
import { LocalIdentity, Roster, sessionIdentity } from '../consensus/identity.ts';
import { createRounds, echoRound, p2pRound, broadcastRound, type Rounds } from '../protocol/rounds.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conflictingMessages } from '../protocol/signed.ts';
import { createSessionHub, type HubLimits } from './sessions.ts';
import { memoryMesh } from './testing/memory-mesh.ts';
import type { Frame } from './types.ts';

const sidOf = () => new Uint8Array(randomBytes(32));
const said = (message: Uint8Array) => Buffer.from(message).toString();

function setUp(n: number, limits: Partial<HubLimits> = {}) {
  const net = memoryMesh(n);
  const hubs = net.meshes.map((mesh) => createSessionHub(mesh, { limits }));
  const members = net.meshes[0]!.members;
  const open = (i: number, sid: Uint8Array, options: { signal?: AbortSignal; members?: readonly string[] } = {}) =>
    hubs[i]!.open({ sid, members, class: 'signing', roundTimeoutMs: 10_000, ...options });
  const message = (sid: Uint8Array, round: string, body: Uint8Array, kind = 'session'): Frame => ({
    class: 'signing',
    kind,
    session: sid,
    round,
    body,
  });
  return { net, hubs, members, open, message };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

describe('messages', () => {
  test('arrive under party, round and session, whatever the order', async () => {
    const { net, open } = setUp(3);
    const [sid, other] = [sidOf(), sidOf()];
    const [a, b, c] = [open(0, sid), open(1, sid), open(2, sid)];
    const [a2, b2] = [open(0, other), open(1, other)];
    const early = b.receive(0, 'r1');
    a.send(1, 'r2', utf8('second'));
    a.send(1, 'r1', utf8('first'));
    a2.send(1, 'r1', utf8('other session'));
    c.send(1, 'r1', utf8('from c'));
    await net.settled();
    expect([said(await early), said(await b.receive(0, 'r2')), said(await b.receive(2, 'r1')), said(await b2.receive(0, 'r1'))]).toEqual([
      'first',
      'second',
      'from c',
      'other session',
    ]);
  });

  test('of a faster peer wait until the session is joined', async () => {
    const { net, hubs, open } = setUp(2);
    const sid = sidOf();
    open(0, sid).send(1, 'r1', utf8('early'));
    await net.settled();
    expect(hubs[1]!.statistics().early).toBe(1);
    expect(said(await open(1, sid).receive(0, 'r1'))).toBe('early');
    expect(hubs[1]!.statistics().early).toBe(0);
  });

  test('for sessions never joined are bounded per peer, in number, bytes and age, at the cost of that peer alone', async () => {
    const { net, hubs, open, message } = setUp(3, { earlyMessages: 10, earlyBytes: 1000, earlyMs: 5000 });
    const [sid, wanted] = [sidOf(), sidOf()];
    open(2, wanted).send(1, 'r', utf8('honest'));
    for (let i = 0; i < 50; i++) net.inject(0, 1, message(sid, `r${i}`, utf8('x')));
    await net.settled();
    expect(hubs[1]!.statistics()).toMatchObject({ early: 11, earlyDropped: 40 });
    for (let i = 0; i < 5; i++) net.inject(0, 1, message(sidOf(), 'r', new Uint8Array(300)));
    await net.settled();
    expect(hubs[1]!.statistics().early).toBe(1 + 3);
    expect(said(await open(1, wanted).receive(2, 'r'))).toBe('honest');
    await vi.advanceTimersByTimeAsync(5001);
    expect(hubs[1]!.statistics().early).toBe(0);
  });

  test('that are late, or from a node that is no party, are dropped and counted', async () => {
    const { net, hubs, members, open, message } = setUp(3);
    const sid = sidOf();
    const pair = members.slice(0, 2);
    const session = open(0, sid, { members: pair });
    net.inject(2, 0, message(sid, 'r1', utf8('stranger')));
    await net.settled();
    expect(hubs[0]!.statistics()).toMatchObject({ strangers: 1, early: 0 });
    session.close();
    net.inject(1, 0, message(sid, 'r1', utf8('late')));
    await net.settled();
    expect(hubs[0]!.statistics()).toMatchObject({ late: 1, early: 0, open: 0 });
  });
});

describe('a session id', () => {
  test('is never used twice, neither while the session runs nor after', () => {
    const { open } = setUp(2);
    const sid = sidOf();
    const session = open(0, sid);
    expect(() => open(0, sid)).toThrow('never used twice');
    session.close();
    expect(() => open(0, sid)).toThrow(expect.objectContaining({ name: 'Defect' }));
  });

  test('has 32 bytes, not all zero; the parties are members with this node among them', () => {
    const { open } = setUp(3);
    expect(() => open(0, new Uint8Array(32))).toThrow('session id');
    expect(() => open(0, sidOf().slice(1))).toThrow('session id');
    for (const members of [
      ['node-2', 'node-3'],
      ['node-1', 'node-1'],
      ['node-1', 'node-9'],
    ])
      expect(() => open(0, sidOf(), { members })).toThrow('parties');
  });
});

describe('duplicates and equivocation', () => {
  test('the same message again is dropped; a different one names its author, with both messages as evidence', async () => {
    const { net, hubs, open, message } = setUp(3);
    const sid = sidOf();
    const session = open(0, sid);
    net.inject(1, 0, message(sid, 'r1', utf8('one')));
    net.inject(1, 0, message(sid, 'r1', utf8('one')));
    net.inject(2, 0, message(sid, 'r1', utf8('honest')));
    await net.settled();
    expect(said(await session.receive(1, 'r1'))).toBe('one');
    const waiting = session.receive(1, 'r2').catch((error: unknown) => error);
    net.inject(1, 0, message(sid, 'r1', utf8('two')));
    await net.settled();
    const fault = (await waiting) as Fault;
    expect(fault).toMatchObject({ name: 'Fault', culprits: [1], reason: expect.stringContaining('equivocation') });
    const { first, second } = decode(conflictingMessages, fault.evidence.signed!);
    expect([said(first), said(second)]).toEqual(['one', 'two']);
    expect(hubs[0]!.statistics()).toMatchObject({ duplicates: 1, conflicts: 1 });
    await expect(session.receive(1, 'r3')).rejects.toBe(fault);
    expect(said(await session.receive(2, 'r1'))).toBe('honest');
  });

  test('a party that sends more rounds or bytes than the bound is named, and the others go on', async () => {
    const { net, open, message } = setUp(3, { rounds: 5, partyBytes: 1000 });
    const [sid, fat] = [sidOf(), sidOf()];
    const [many, large] = [open(0, sid), open(0, fat)];
    for (let i = 0; i < 6; i++) net.inject(1, 0, message(sid, `r${i}`, utf8('x')));
    for (let i = 0; i < 4; i++) net.inject(1, 0, message(fat, `r${i}`, new Uint8Array(300)));
    net.inject(2, 0, message(sid, 'r1', utf8('honest')));
    await net.settled();
    for (const session of [many, large])
      await expect(session.receive(1, 'r0')).rejects.toMatchObject({
        name: 'Fault',
        culprits: [1],
        reason: expect.stringContaining('flood'),
      });
    expect(said(await many.receive(2, 'r1'))).toBe('honest');
  });
});

describe('time', () => {
  test('runs from the last progress, and silence names all silent parties and nobody else', async () => {
    const { net, open } = setUp(4);
    const sid = sidOf();
    const [a, b] = [open(0, sid), open(1, sid)];
    const results = Promise.allSettled([1, 2, 3].map((from) => a.receive(from, 'r1')));
    await vi.advanceTimersByTimeAsync(9_000);
    b.send(0, 'r1', utf8('slow'));
    await net.settled();
    let done = false;
    void results.then(() => (done = true));
    await vi.advanceTimersByTimeAsync(9_000);
    expect(done).toBe(false);
    await vi.advanceTimersByTimeAsync(1_100);
    const [first, ...silent] = await results;
    expect(first).toMatchObject({ status: 'fulfilled' });
    for (const result of silent) expect(result).toMatchObject({ status: 'rejected', reason: { culprits: [2, 3] } });
    expect((silent[0] as PromiseRejectedResult).reason).toBeInstanceOf(Silence);
  });

  test('own work before a receive is not counted against the others', async () => {
    const { net, open } = setUp(2);
    const sid = sidOf();
    const [a, b] = [open(0, sid), open(1, sid)];
    await vi.advanceTimersByTimeAsync(60_000);
    const waiting = a.receive(1, 'r1');
    await vi.advanceTimersByTimeAsync(9_000);
    b.send(0, 'r1', utf8('in time'));
    await net.settled();
    expect(said(await waiting)).toBe('in time');
  });

  test('a message repeated without end is no progress', async () => {
    const { net, open, message } = setUp(3);
    const sid = sidOf();
    const a = open(0, sid);
    const outcome = a.receive(2, 'r1').catch((error: unknown) => error);
    for (let i = 0; i < 5; i++) {
      net.inject(1, 0, message(sid, 'r1', utf8('again')));
      await net.settled();
      await vi.advanceTimersByTimeAsync(2_500);
    }
    expect(await outcome).toMatchObject({ culprits: [2], evidence: { detail: 'silence' } });
  });
});

describe('the end', () => {
  test('an abort is told to the others: what was sent before is still received, then Abandoned', async () => {
    const { net, hubs, open } = setUp(3);
    const sid = sidOf();
    const [a, b] = [open(0, sid), open(1, sid)];
    const waiting = a.receive(1, 'r2').catch((error: unknown) => error);
    b.send(0, 'r1', utf8('before'));
    b.abort('proof of party 2 rejected');
    await net.settled();
    const error = (await waiting) as Abandoned;
    expect(error).toBeInstanceOf(Abandoned);
    expect(error).toMatchObject({ by: 1, claim: 'proof of party 2 rejected', culprits: [] });
    expect(said(await a.receive(1, 'r1'))).toBe('before');
    await expect(b.receive(0, 'r1')).rejects.toMatchObject({ name: 'AbortError' });
    // Node 3 joins later and learns it too.
    expect(hubs[2]!.statistics().early).toBe(1);
    await expect(open(2, sid).receive(1, 'r1')).rejects.toBeInstanceOf(Abandoned);
  });

  test('a long claim is cut, and a signal cancels receives and tells the others', async () => {
    const { net, open } = setUp(2);
    const [sid, other, third] = [sidOf(), sidOf(), sidOf()];
    const [a, b] = [open(0, sid), open(1, sid)];
    a.abort('€'.repeat(500));
    await net.settled();
    await expect(b.receive(0, 'r')).rejects.toMatchObject({ claim: '€'.repeat(85) });
    const controller = new AbortController();
    const [c, d] = [open(0, other, { signal: controller.signal }), open(1, other)];
    const waiting = c.receive(1, 'r').catch((error: unknown) => error);
    controller.abort();
    await net.settled();
    expect(await waiting).toMatchObject({ name: 'AbortError' });
    await expect(d.receive(0, 'r')).rejects.toMatchObject({ claim: 'cancelled' });
    const reasoned = new AbortController();
    const [e, f] = [open(0, third, { signal: reasoned.signal }), open(1, third)];
    reasoned.abort(new Unavailable('node-1', 'node-1 is stopping', 'start it again'));
    await net.settled();
    await expect(e.receive(1, 'r')).rejects.toBeInstanceOf(Unavailable);
    await expect(f.receive(0, 'r')).rejects.toMatchObject({ claim: 'node-1 is stopping' });
  });

  test('a malformed abort is the fault of the link, not of the session', async () => {
    const net = memoryMesh(2);
    let arrive: (from: string, frame: Frame) => void = () => undefined;
    const mesh = {
      ...net.meshes[0]!,
      handle: (kind: string, handler: typeof arrive) => void (kind === 'session.abort' && (arrive = handler)),
    };
    createSessionHub(mesh);
    const frame = { class: 'control', kind: 'session.abort', session: sidOf(), round: '', body: utf8('no length') } as const;
    expect(() => arrive('node-2', frame)).toThrow(expect.objectContaining({ name: 'DecodeError' }));
    expect(() => arrive('node-2', { ...frame, session: new Uint8Array(32), body: encode(text(9), 'x') })).toThrow(
      expect.objectContaining({ name: 'DecodeError' }),
    );
  });
});

describe('a party that sends one message at a time', () => {
  /** Milliseconds until a receive of `round` fails, while the other party makes progress every 900 ms with messages that nobody asked for. */
  async function heldBy(round: string, trickle = true): Promise<number> {
    const { net, hubs, members } = setUp(2);
    const sid = sidOf();
    const slow = { prefix: 'slow/', roundTimeoutMs: 4_000, totalMs: 9_000 };
    const [a, b] = hubs.map((hub) => hub.open({ sid, members, class: 'signing', roundTimeoutMs: 1_000, totalMs: 3_000, slow }));
    let failed: unknown;
    a!.receive(1, round).catch((error: unknown) => (failed = error));
    const begin = performance.now();
    for (let k = 0; failed === undefined && k < 200; k++) {
      if (trickle && k % 9 === 8) b!.send(0, `${round}/${k}`, utf8('more'));
      await net.settled();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(failed).toBeInstanceOf(Silence);
    return performance.now() - begin;
  }

  test('holds the others for the time of the whole session, not for that of every round', async () => {
    expect(await heldBy('r1', false)).toBe(1_000);
    expect(await heldBy('r1')).toBe(3_000);
  });

  test('has more of both in rounds that are slow by nature', async () => {
    expect(await heldBy('slow/1', false)).toBe(4_000);
    expect(await heldBy('slow/1')).toBe(9_000);
  });
});

test('what a session said last goes out although it alone is above the bytes that are kept of ended ones', async () => {
  const { net, open, hubs } = setUp(2, { lingerBytes: 10 });
  const [before, sid] = [sidOf(), sidOf()];
  const earlier = open(0, before);
  earlier.send(1, 'r', new Uint8Array(8));
  earlier.close();
  await net.settled();
  net.link(0, 1, false);
  const session = open(0, sid);
  session.send(1, 'r', utf8('a long last message'));
  session.abort('the reason');
  net.link(0, 1, true);
  await net.settled();
  const other = open(1, sid);
  expect(said(await other.receive(0, 'r'))).toBe('a long last message');
  await expect(other.receive(0, 'r2')).rejects.toMatchObject({ claim: 'the reason' });
  // Of the one that ended before, nothing is sent again.
  expect(hubs[1]!.statistics()).toMatchObject({ early: 1, duplicates: 0 });
});

describe('links', () => {
  test('a lost link is not the end: messages sent meanwhile, and those lost with it, arrive when it is back', async () => {
    const { net, hubs, open } = setUp(2);
    const sid = sidOf();
    const [a, b] = [open(0, sid), open(1, sid)];
    const waiting = ['r1', 'r2', 'r3'].map((round) => b.receive(0, round));
    a.send(1, 'r1', utf8('arrives'));
    await net.settled();
    a.send(1, 'r2', utf8('lost in flight'));
    net.link(0, 1, false);
    a.send(1, 'r3', utf8('sent while down'));
    await vi.advanceTimersByTimeAsync(8_000);
    net.link(0, 1, true);
    await net.settled();
    expect((await Promise.all(waiting)).map(said)).toEqual(['arrives', 'lost in flight', 'sent while down']);
    expect(hubs[1]!.statistics()).toMatchObject({ duplicates: 1, conflicts: 0 });
  });

  test('the last message of a party that has finished is sent again too, for a while', async () => {
    const { net, open } = setUp(2, { lingerMs: 5_000 });
    const finish = async (wait: number) => {
      const sid = sidOf();
      const [a, b] = [open(0, sid), open(1, sid)];
      const waiting = b.receive(0, 'last').then(said, (error: unknown) => error);
      net.link(0, 1, false);
      a.send(1, 'last', utf8('result'));
      a.close();
      await vi.advanceTimersByTimeAsync(wait);
      net.link(0, 1, true);
      await net.settled();
      await vi.advanceTimersByTimeAsync(10_001);
      return waiting;
    };
    expect(await finish(4_000)).toBe('result');
    expect(await finish(6_000)).toBeInstanceOf(Silence);
  });
});

/** Commit, reveal, and a private share to each: the shape of key generation. */
const commit = echoRound('toy/commit', bytes(32));
const reveal = broadcastRound('toy/reveal', bytes(32));
const share = p2pRound('toy/share', text(32));
async function toyKeygen(rounds: Rounds): Promise<string> {
  const own = new Uint8Array(32).fill(rounds.me + 1);
  await rounds.echo(commit, own);
  const revealed = await rounds.broadcast(reveal, own);
  const shares = await rounds.send(share, new Map(rounds.peers.map((to) => [to, `${rounds.me}->${to}`])));
  return [...revealed.values()].map((value) => value[0]).join() + [...shares.values()].join();
}

describe('protocol rounds over sessions', () => {
  test('a protocol of echo, broadcast and private rounds runs, and an equivocating party is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sessions-'));
    try {
      const names = [0, 1, 2].map((i) => `node-${i + 1}`);
      const signers = names.map((name) => LocalIdentity.generate(name));
      const roster = new Roster(signers);
      const { net, open } = setUp(3);
      const run = (sid: Uint8Array) =>
        Promise.allSettled(
          signers.map(async (signer, me) => {
            const session = open(me, sid);
            try {
              return await toyKeygen(createRounds({ sid, me, n: 3, channel: session, identity: sessionIdentity(signer, roster, names) }));
            } catch (error) {
              session.abort((error as Error).message);
              throw error;
            }
          }),
        );
      expect((await run(sidOf())).map((result) => result.status === 'fulfilled' && result.value)).toEqual([
        '2,31->0,2->0',
        '1,30->1,2->1',
        '1,20->2,1->2',
      ]);
      net.intercept((from, to, frame) =>
        from === 'node-2' && to === 'node-1' && frame.round === 'toy/commit' ? [frame, { ...frame, body: utf8('another') }] : [frame],
      );
      const [first, ...others] = await run(sidOf());
      for (const other of others) expect(other).toMatchObject({ status: 'rejected', reason: { name: 'Fault', by: 0, culprits: [] } });
      expect(first).toMatchObject({
        status: 'rejected',
        reason: { name: 'Fault', culprits: [1], reason: expect.stringContaining('equivocation') },
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
