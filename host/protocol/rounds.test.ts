import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decode, encode, struct, u32 } from '../base/codec.ts';
import { Abandoned, Fault, Silence } from '../base/errors.ts';
import { broadcastRound, createRounds, echoRound, p2pRound, type Channel, type Identity, type Rounds } from './rounds.ts';
import { conflictingMessages, disputeCodec, echoHash } from './signed.ts';
import { sha256 } from './transcript.ts';
import { memoryNetwork, tamper, values } from './testing/network.ts';

const sid = new Uint8Array(32).fill(1);
const hello = echoRound('hello', struct({ n: u32 }));
const open = broadcastRound('open', struct({ n: u32 }));
const secret = p2pRound('secret', struct({ to: u32 }));

async function protocol(rounds: Rounds): Promise<number> {
  const hellos = await rounds.echo(hello, { n: rounds.me });
  const opens = await rounds.broadcast(open, { n: rounds.me * 10 });
  const secrets = await rounds.send(secret, new Map(rounds.peers.map((j) => [j, { to: j }])));
  for (const [j, { to }] of secrets) if (to !== rounds.me) throw rounds.fault(j, secret, 'secret for somebody else');
  return [...hellos.values()].reduce((s, m) => s + m.n, 0) + [...opens.values()].reduce((s, m) => s + m.n, 0);
}
/** One key for both parties: what is under test is what a signature covers, not whose it is. */
function keyPairIdentity(): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    sign: (m) => new Uint8Array(sign(null, m, privateKey)),
    verify: (_party, m, signature) => verify(null, m, publicKey, signature),
  };
}
const outcome = (results: PromiseSettledResult<unknown>[]) => results.map((r) => (r.status === 'fulfilled' ? 'ok' : r.reason));

describe('rounds', () => {
  test('everybody receives one message of every peer', async () => {
    expect(values(await memoryNetwork(4, sid).run(protocol))).toEqual([66, 55, 44, 33]);
  });

  test('a wrong private message is a fault of its author, with the signed message as evidence; others are told, and blame nobody', async () => {
    const results = await memoryNetwork(3, sid, { override: tamper(1, secret, () => ({ to: 9 }), 2) }).run(protocol);
    const [zero, , two] = outcome(results);
    expect(two).toBeInstanceOf(Fault);
    expect(two).toMatchObject({ culprits: [1], evidence: { round: 'secret' } });
    expect((two as Fault).evidence.signed!.length).toBeGreaterThan(64);
    expect(zero).toBe('ok'); // party 0 had all its messages and finished
  });

  test.each(['hello', 'open'] as const)('malformed bytes in round %s name their author', async (round) => {
    const results = await memoryNetwork(3, sid, {
      override: (from, _to, name, payload) => (from === 0 && name === round ? payload.slice(1) : payload),
    }).run(protocol);
    for (const i of [1, 2])
      expect(outcome(results)[i]).toMatchObject({
        name: 'Fault',
        culprits: [0],
        reason: expect.stringContaining(`malformed message in round ${round}`),
      });
  });

  test('silence names the silent party', async () => {
    const results = await memoryNetwork(3, sid, {
      override: (from, _to, name, payload) => (from === 0 && name === 'open' ? undefined : payload),
    }).run(protocol);
    for (const i of [1, 2]) {
      expect(outcome(results)[i]).toBeInstanceOf(Silence);
      expect(outcome(results)[i]).toMatchObject({ culprits: [0] });
    }
  });

  test('different messages to different peers in an echo round end the run before the next round: all name who sent them', async () => {
    const sent: string[] = [];
    const results = await memoryNetwork(4, sid, {
      override: tamper(2, hello, ({ n }) => ({ n: n + 100 }), 3),
      onMessage: (_from, _to, round) => sent.push(round),
    }).run(protocol);
    for (const result of outcome(results)) {
      expect(result).toMatchObject({ name: 'Fault', culprits: [2], reason: expect.stringContaining('party 2 signed two') });
      expect((result as Fault).evidence.claims).toEqual([{ accused: 2, check: 'equivocation', round: 'hello' }]);
    }
    expect(sent).not.toContain('open');
  });

  describe('an echo of what was not sent', () => {
    const wrong = new Uint8Array(32).fill(9);
    const honest = (results: PromiseSettledResult<unknown>[]) => outcome(results).filter((_, i) => i !== 2);

    test('to all: they compare signatures, find none that differ, and name who echoed it', async () => {
      const results = await memoryNetwork(4, sid, {
        // It is told of wrong echoes itself, and so takes part in the comparison.
        override: (from, to, round, payload) => ((from === 2 || to === 2) && round === 'hello/echo' ? wrong : payload),
      }).run(protocol);
      for (const result of honest(results)) {
        expect(result).toMatchObject({ name: 'Fault', culprits: [2], reason: expect.stringContaining('echoed what it cannot show') });
        expect((result as Fault).evidence.claims).toEqual([{ accused: 2, check: 'echo', round: 'hello' }]);
      }
    });

    test('with a made-up message in support: the signature in it is nobody’s', async () => {
      const digests = [0, 1, 2, 3].map((j) => (j === 1 ? wrong : sha256(encode(hello.codec, { n: j }))));
      const results = await memoryNetwork(4, sid, {
        override: (from, to, round, payload) => {
          if (to === 2 && round === 'hello/echo') return wrong;
          if (from !== 2 || !round.startsWith('hello/')) return payload;
          if (round === 'hello/echo') return echoHash(sid, 'hello', digests);
          const shown = decode(disputeCodec(4), payload);
          return encode(disputeCodec(4), shown.map((entry, j) => (j === 1 ? { ...entry, digest: wrong } : entry))); // prettier-ignore
        },
      }).run(protocol);
      for (const result of honest(results)) expect(result).toMatchObject({ culprits: [2], evidence: { claims: [{ check: 'echo' }] } });
    });

    test('to one alone: the victim names its author, the others blame nobody', async () => {
      const results = await memoryNetwork(4, sid, {
        override: (from, to, round, payload) =>
          ((from === 3 && to === 2) || (from === 2 && to === 3)) && round === 'hello/echo' ? wrong : payload,
      }).run(protocol);
      const [zero, one, , three] = outcome(results);
      expect(three).toMatchObject({ culprits: [2], evidence: { claims: [{ accused: 2, check: 'echo', round: 'hello' }] } });
      for (const other of [zero, one]) expect(other).toMatchObject({ name: 'Fault', culprits: [] });
    });

    test('and silence afterwards names the silent party', async () => {
      const results = await memoryNetwork(4, sid, {
        override: (from, to, round, payload) =>
          round === 'hello/echo' && (from === 2 || to === 2) ? wrong : from === 2 && round === 'hello/dispute' ? undefined : payload,
      }).run(protocol);
      for (const result of honest(results)) expect(result).toMatchObject({ culprits: [2] });
    });
  });

  test('two messages in one place that the channel got are a claim, when their author signed both', async () => {
    const identity = keyPairIdentity();
    const sent: Uint8Array[] = [];
    const nobody: Channel = {
      send: (_to, _round, message) => void sent.push(message),
      receive: () => Promise.reject(new Silence([1], 'open')),
    };
    for (const n of [1, 2]) {
      const author = createRounds({ sid, me: 0, n: 2, channel: nobody, identity });
      await author.broadcast(open, { n }).catch(() => undefined);
    }
    const [first, second] = sent as [Uint8Array, Uint8Array];
    const receive = (a: Uint8Array, b: Uint8Array) => {
      const signed = encode(conflictingMessages, { first: a, second: b });
      const fault = new Fault([0], 'equivocation', { round: 'open', detail: 'two', signed });
      const channel: Channel = { send: () => undefined, receive: () => Promise.reject(fault) };
      return createRounds({ sid, me: 1, n: 2, channel, identity }).broadcast(open, { n: 3 }).catch((error: unknown) => error); // prettier-ignore
    };
    expect(await receive(first, second)).toMatchObject({
      culprits: [0],
      evidence: { claims: [{ accused: 0, check: 'equivocation', round: 'open' }] },
    });
    for (const other of [first, second.with(9, second[9]! ^ 1)]) {
      const fault = (await receive(first, other)) as Fault;
      expect(fault.culprits).toEqual([0]);
      expect(fault.evidence.claims).toBeUndefined();
    }
  });

  test('what a party that left has complained of is read in place of its message', async () => {
    const results = await memoryNetwork(3, sid).run(async (rounds) => {
      if (rounds.me === 1) {
        rounds.complain([Uint8Array.of(1, 2, 3)]);
        throw new Error('leaving');
      }
      await rounds.broadcast(open, { n: 1 }).catch((error: unknown) => expect(error).toBeInstanceOf(Abandoned));
      return rounds.complaints();
    });
    for (const i of [0, 2]) expect(outcome(results)[i]).toBe('ok');
    expect((results[0] as PromiseFulfilledResult<Map<number, Uint8Array[]>>).value.get(1)).toEqual([Uint8Array.of(1, 2, 3)]);
  });

  test.each([
    ['another session', new Uint8Array(32).fill(2), 'hello'],
    ['another round', sid, 'open'],
  ] as const)('a signed message replayed into %s does not verify', async (_name, otherSid, round) => {
    let captured!: Uint8Array;
    const identity = keyPairIdentity();
    const nobody: Channel = {
      send: (_to, _round, message) => (captured = message),
      receive: () => Promise.reject(new Silence([1], 'hello')),
    };
    await createRounds({ sid, me: 0, n: 2, channel: nobody, identity })
      .broadcast(broadcastRound('hello', struct({ n: u32 })), { n: 7 })
      .catch(() => undefined);
    const replay: Channel = { send: () => undefined, receive: () => Promise.resolve(captured) };
    const receive = (id: Uint8Array, name: string) =>
      createRounds({ sid: id, me: 1, n: 2, channel: replay, identity }).broadcast(broadcastRound(name, struct({ n: u32 })), { n: 1 });
    const refused = (await receive(otherSid, round).catch((error: unknown) => error)) as Fault;
    expect(refused).toMatchObject({ name: 'Fault', culprits: [0], reason: expect.stringContaining('signature: does not verify') });
    // Nobody else could tell it from a forgery: the link shows who sent it, to its receiver alone.
    expect(refused.evidence.signed).toBeUndefined();
    expect((await receive(sid, 'hello')).get(0)).toEqual({ n: 7 });
  });

  test('a party that leaves is reported to those who wait for it', async () => {
    const results = await memoryNetwork(2, sid).run(async (rounds) => {
      if (rounds.me === 0) throw new Error('my disk is full');
      return rounds.broadcast(open, { n: 1 });
    });
    expect(outcome(results)[1]).toBeInstanceOf(Abandoned);
    expect(outcome(results)[1]).toMatchObject({ by: 0, culprits: [], claim: 'my disk is full' });
  });

  test('a protocol that forgets a receiver is our own mistake, not a peer’s', async () => {
    const results = await memoryNetwork(2, sid).run((rounds) => rounds.send(secret, new Map()));
    expect(outcome(results)[0]).toBeInstanceOf(RangeError);
  });

  test('a private message shown as evidence is judged by everybody alike: the message, malformed, or forged', async () => {
    const shown = new Map<number, Uint8Array>();
    const network = memoryNetwork(3, sid, {
      override: (from, to, name, payload) => (from === 1 && to === 2 && name === 'secret' ? payload.slice(1) : payload),
    });
    await network.run(async (rounds) => {
      const received = await rounds.send(secret, new Map(rounds.peers.map((j) => [j, { to: j }]))).catch((fault: Fault) => fault);
      shown.set(rounds.me, received instanceof Fault ? received.evidence.signed! : rounds.fault(0, secret, '').evidence.signed!);
    });
    const judge = network.parties[0]!;
    const honest = shown.get(1)!; // of party 0 to party 1
    const broken = shown.get(2)!; // of party 1 to party 2
    expect(judge.reopen(secret, 0, 1, honest)).toEqual({ message: { to: 1 } });
    expect(judge.reopen(secret, 1, 2, broken)).toBe('malformed');
    for (const [from, to] of [
      [0, 2], // shown as a message to somebody else
      [1, 1], // shown as a message of somebody else
    ] as const)
      expect(judge.reopen(secret, from, to, honest)).toBe('forged');
    expect(judge.reopen(p2pRound('other', secret.codec), 0, 1, honest)).toBe('forged');
    expect(judge.reopen(secret, 0, 1, honest.with(5, honest[5]! ^ 1))).toBe('forged');
    expect(judge.reopen(secret, 0, 1, Uint8Array.of(9))).toBe('forged');
  });
});
