import { describe, expect, test } from 'vitest';
import { decode, encode, type Codec } from '../base/codec.ts';
import { Abandoned, Fault, Refusal, Silence } from '../base/errors.ts';
import { lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul } from '../curve/secp256k1.ts';
import { testParameters } from '../proofs/parameters.ts';
import { memoryNetwork, tamper, values, type Override } from '../protocol/testing/network.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { keygen, keygenRounds } from './keygen.ts';
import { expectBlamed, keygenSid, makeKey, random, reasons, subsets } from './testing/parties.ts';

const T = 2;
const messages = keygenRounds(T);
const LIAR = 1;

async function run(
  n: number,
  override?: Override,
  as: (me: number, rounds: Rounds) => Rounds = (_, rounds) => rounds,
  sid = keygenSid(T, n, testParameters),
) {
  return memoryNetwork(n, sid, { ...(override && { override }) }).run((rounds, me) =>
    keygen({ rounds: as(me, rounds), t: T, random, keyId: 'test key' }),
  );
}

/** All of a few, and about forty of many. */
const some = <T>(all: readonly T[]): readonly T[] => all.filter((_, i) => i % Math.ceil(all.length / 40) === 0);

describe('key generation', () => {
  test.each([
    [2, 2],
    [2, 3],
    [3, 5],
    [4, 5],
    [5, 5],
    [7, 9],
    [11, 16],
  ])('%i-of-%i: everybody holds the same key, any t shares give it, t − 1 do not', async (t, n) => {
    const shares = await makeKey(t, n, testParameters);
    const { publicKey, X, chainCode, rid } = shares[0]!;
    for (const [i, share] of shares.entries()) {
      expect(share).toMatchObject({ version: 1, keyId: 'test key', epoch: 0, index: i, t, n });
      expect(share.publicKey.equals(publicKey)).toBe(true);
      expect(share.X.every((X_j, j) => X_j.equals(X[j]!))).toBe(true);
      expect(share.chainCode).toEqual(chainCode);
      expect(share.rid).toEqual(rid);
      expect(mul(G, share.x).equals(X[i]!)).toBe(true);
    }
    const interpolated = (subset: readonly number[]) => {
      const points = subset.map(shamirPoint);
      return mul(G, subset.reduce((x, i) => modQ(x + lagrangeAtZero(points, shamirPoint(i)) * shares[i]!.x), 0n)); // prettier-ignore
    };
    for (const subset of some(subsets(n, t))) expect(interpolated(subset).equals(publicKey)).toBe(true);
    for (const subset of some(subsets(n, t - 1))) expect(interpolated(subset).equals(publicKey)).toBe(false);
  });

  test('two runs give different keys and chain codes', async () => {
    const [one, two] = [await makeKey(2, 2, testParameters), await makeKey(2, 2, testParameters)];
    expect(one[0]!.publicKey.equals(two[0]!.publicKey)).toBe(false);
    expect(one[0]!.chainCode).not.toEqual(two[0]!.chainCode);
  });

  test.each([1, 4, 0, 2.5])('a threshold of %d among 3 is refused', async (t) => {
    const results = await memoryNetwork(3, keygenSid(2, 3, testParameters)).run((rounds) => keygen({ rounds, t, random, keyId: 'k' }));
    for (const reason of reasons(results)) expect(reason).toBeInstanceOf(Refusal);
    expect((reasons(results)[0] as Refusal).field).toBe('threshold');
  });

  test('a party confirms only when its share is stored, and nobody has a key when one could not store it', async () => {
    const log: string[] = [];
    const network = memoryNetwork(3, keygenSid(2, 3, testParameters), { onMessage: (from, _to, round) => log.push(`${from} ${round}`) });
    await network.run(
      (rounds, me) =>
      keygen({
        rounds, t: 2, random, keyId: 'k',
        prepared: async (share) => {
          await new Promise((resolve) => setTimeout(resolve, 10));
          log.push(`${me} stored ${share.keyId}`);
        },
      }), // prettier-ignore
    );
    for (const me of [0, 1, 2]) {
      expect(log.indexOf(`${me} stored k`)).toBeGreaterThan(-1);
      expect(log.indexOf(`${me} keygen/confirm`)).toBeGreaterThan(log.indexOf(`${me} stored k`));
    }

    const results = await memoryNetwork(3, keygenSid(2, 3, testParameters)).run((rounds, me) =>
      keygen({ rounds, t: 2, random, keyId: 'k', prepared: () => (me === 2 ? Promise.reject(new Error('disk full')) : Promise.resolve()) }),
    );
    expect(reasons(results)[0]).toBeInstanceOf(Abandoned);
    expect(reasons(results)[1]).toBeInstanceOf(Abandoned);
    expect(reasons(results)[2]).toMatchObject({ message: 'disk full' });
  });
});

describe('key generation with one who misbehaves', () => {
  test.each([
    ['rid', { rid: new Uint8Array(32) }],
    ['chain code', { chainCode: new Uint8Array(32) }],
    ['Schnorr commitment', { A: G }],
    ['nonce', { u: new Uint8Array(32) }],
    ['polynomial', { S: [G, G] }],
  ])('an opening with another %s is named by all', async (_field, change) => {
    expectBlamed(
      await run(
        4,
        tamper(LIAR, messages.open, (opening) => ({ ...opening, ...change })),
      ),
      [LIAR],
      'the opening matches',
    );
  });

  test('an opening that is wrong for one victim only is named by the victim', async () => {
    const results = await run(
      4,
      tamper(LIAR, messages.open, (opening) => ({ ...opening, chainCode: new Uint8Array(32) }), 2),
    );
    expectBlamed(results, [LIAR], 'the opening matches', [0, 3]);
  });

  test.each([1, -1, -T])('a vector of t and %i commitments is named by all (threshold raising)', async (more) => {
    const other = keygenRounds(T + more).open;
    const override: Override = (from, _to, round, payload) => {
      if (from !== LIAR || round !== 'keygen/open') return payload;
      const opening = decode(messages.open.codec, payload);
      return encode(other.codec, { ...opening, S: more > 0 ? [...opening.S, G] : opening.S.slice(0, T + more) });
    };
    expectBlamed(await run(3, override), [LIAR], /S: \d items, exactly 2 expected/);
  });

  test('the identity among the commitments is named by all', async () => {
    const override: Override = (from, _to, round, payload) =>
      from === LIAR && round === 'keygen/open' ? payload.slice().fill(0, 4, 4 + 33) : payload;
    expectBlamed(await run(3, override), [LIAR], /S\[0\]: not a point/);
  });

  test('a wrong share to one victim is named by all, because the victim shows it', async () => {
    const results = await run(
      4,
      tamper(LIAR, messages.share, ({ sigma }) => ({ sigma: modQ(sigma + 1n) }), 3),
    );
    expectBlamed(results, [LIAR], `the share of party ${LIAR} for party 3 does not fit`);
    expect((reasons(results)[0] as Fault).evidence.signed!.length).toBeGreaterThan(64);
  });

  test('two who give wrong shares are both named', async () => {
    const wrong = (who: number) => tamper(who, messages.share, ({ sigma }) => ({ sigma: modQ(sigma + 1n) }), 3);
    const [one, two] = [wrong(1), wrong(4)];
    const override: Override = (from, to, round, payload) => two(from, to, round, one(from, to, round, payload)!);
    expectBlamed(await run(5, override), [1, 4], 'does not fit');
  });

  test.each([
    ['forged message', () => new Uint8Array(100)],
    ['right share', (rounds: Rounds) => rounds.fault(0, messages.share, '').evidence.signed!],
  ])('a complaint that shows a %s falls back on the party that complains', async (_what, show) => {
    const results = await run(4, undefined, (me, rounds) =>
      me !== LIAR
        ? rounds
        : {
            ...rounds,
            broadcast: (round, message) =>
              round.name === messages.proof.name
                ? rounds.broadcast(messages.proof, { psi: undefined, complaints: [{ against: 0, signed: show(rounds) }] }) as never
                : rounds.broadcast(round, message),
          },
    ); // prettier-ignore
    expectBlamed(results, [LIAR], `the complaint of party ${LIAR} against party 0 does not hold`);
  });

  test.each([
    ['wrong', 1n],
    ['missing', undefined],
  ])('a %s Schnorr response is named by all', async (what, psi) => {
    const override = tamper(LIAR, messages.proof, (message) => ({ ...message, psi }));
    expectBlamed(await run(4, override), [LIAR], what === 'wrong' ? 'sch-dkg: Π^sch' : 'ψ_j is present');
  });

  test('another confirmation is named by all', async () => {
    expectBlamed(
      await run(
        3,
        tamper(LIAR, messages.confirm, () => new Uint8Array(32)),
      ),
      [LIAR],
      'confirmation',
    );
  });

  test('different commitments to different parties end the run before anything is opened', async () => {
    const sent: string[] = [];
    const network = memoryNetwork(3, keygenSid(T, 3, testParameters), {
      override: tamper(LIAR, messages.commit, () => ({ V: new Uint8Array(32) }), 2),
      onMessage: (_from, _to, round) => sent.push(round),
    });
    const results = await network.run((rounds) => keygen({ rounds, t: T, random, keyId: 'k' }));
    for (const i of [0, 2])
      expect(reasons(results)[i]).toMatchObject({ name: 'Fault', reason: expect.stringContaining('different messages') });
    for (const reason of reasons(results)) expect((reason as Fault).culprits.every((culprit) => culprit === LIAR)).toBe(true);
    expect(sent).not.toContain('keygen/open');
    expect(sent).not.toContain('keygen/share');
  });

  /** A party that says in the first two rounds what `heard` gives, once it is there. */
  const parrot =
    (heard: ReadonlyMap<string, Uint8Array>) =>
    (me: number, rounds: Rounds): Rounds => {
      if (me !== LIAR) return rounds;
      const repeat = async <M>(round: { name: string; codec: Codec<M> }, message: M): Promise<M> => {
        if (round.name !== 'keygen/commit' && round.name !== 'keygen/open') return message;
        while (!heard.has(round.name)) await new Promise(setImmediate);
        return decode(round.codec, heard.get(round.name)!);
      };
      return {
        ...rounds,
        echo: async (round, message) => rounds.echo(round, await repeat(round, message)),
        broadcast: async (round, message) => rounds.broadcast(round, await repeat(round, message)),
      };
    };
  const listen = (to: number, heard: Map<string, Uint8Array>): Override => (from, _to, round, payload) => {
    if (from === to) heard.set(round, payload);
    return payload;
  }; // prettier-ignore

  test('a commitment and opening copied from another party do not open', async () => {
    const heard = new Map<string, Uint8Array>();
    expectBlamed(await run(3, listen(0, heard), parrot(heard)), [LIAR], 'the opening matches');
  });

  test('a commitment and opening replayed from another session do not open', async () => {
    const heard = new Map<string, Uint8Array>();
    values(await run(3, listen(LIAR, heard)));
    expectBlamed(await run(3, undefined, parrot(heard)), [LIAR], 'the opening matches');
  });

  test.each(['keygen/commit', 'keygen/open', 'keygen/share', 'keygen/proof', 'keygen/confirm'])(
    'malformed bytes and silence in %s name their author',
    async (name) => {
      const only =
        (change: (payload: Uint8Array) => Uint8Array | undefined): Override =>
        (from, _to, round, payload) =>
          from === LIAR && round === name ? change(payload) : payload;
      expectBlamed(
        await run(
          3,
          only((payload) => payload.slice(1)),
        ),
        [LIAR],
        'malformed message',
      );
      expectBlamed(
        await run(
          3,
          only((payload) => new Uint8Array([...payload, 0])),
        ),
        [LIAR],
        'trailing bytes',
      );
      const silent = await run(
        3,
        only(() => undefined),
      );
      expectBlamed(silent, [LIAR], 'no message');
      expect(reasons(silent)[0]).toBeInstanceOf(Silence);
    },
  );
});
