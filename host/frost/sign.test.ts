import { schnorr } from '@noble/curves/secp256k1.js';
import { inspect } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { concatBytes, fromHex, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Fault } from '../base/errors.ts';
import { systemRandom, type Random } from '../base/random.ts';
import { G, modQ, O } from '../curve/secp256k1.ts';
import { memoryNetwork, tamper, values, type Override } from '../protocol/testing/network.ts';
import bip341 from '../../fixtures/vectors/frost-bip341.json' with { type: 'json' };
import { keygen } from './keygen.ts';
import { frostShare, outputKey, type FrostShare } from './share.ts';
import { nonceRound, sign, signatureShareRound } from './sign.ts';
import { taprootSighash, type TaprootSighash } from './sighash.ts';
import { aggregate, commit, signShare, SigningNonces, verifyShare } from './signing.ts';
import { hasEvenY } from './taproot.ts';

const sid = new Uint8Array(32).fill(8);
const random = systemRandom;
const messages = bip341.messages.map((m) => taprootSighash(fromHex(m.preimage)));
const message = messages[0]!;
const generate = async (t: number, n: number) =>
  values(await memoryNetwork(n, sid).run((rounds) => keygen({ rounds, t, random, keyId: 'key' })));

let three: FrostShare[]; // 2 of 3
beforeAll(async () => void (three = await generate(2, 3)));

/** Every signer's own outcome. */
const run = (shares: readonly FrostShare[], signers: readonly number[], override?: Override, messageOf = (_a: number) => message) =>
  memoryNetwork(signers.length, sid, override && { override }).run((rounds, a) =>
    sign({ rounds, signers, share: shares[signers[a]!]!, message: messageOf(a), random }),
  );
const reasons = (results: PromiseSettledResult<unknown>[]) =>
  results.map((r) => (r.status === 'rejected' ? (r.reason as Fault) : undefined));

/** All steps without a network; `edit` changes the shares before they are put together. */
function byHand(shares: readonly FrostShare[], signers: readonly number[], edit = (_z: Map<number, bigint>) => {}) {
  const nonces = signers.map((j) => commit(shares[j]!, random));
  const commitments = nonces.map((x) => x.commitment);
  const z = new Map(signers.map((j, a) => [j, signShare(shares[j]!, nonces[a]!, commitments, message)]));
  edit(z);
  return { commitments, z, ...aggregate(shares[signers[0]!]!, commitments, message, z) };
}

function* subsets(n: number, size: number, from = 0): Generator<number[]> {
  if (size === 0) return yield [];
  for (let j = from; j < n; j++) for (const rest of subsets(n, size - 1, j + 1)) yield [j, ...rest];
}

describe('frost signing', () => {
  test.each([
    [2, 2],
    [2, 3],
    [3, 4],
  ])('%i of %i: every set of t or more signers makes a signature that BIP-340 accepts, and all get the same', async (t, n) => {
    const shares = await generate(t, n);
    const key = outputKey(shares[0]!);
    for (let size = t; size <= n; size++)
      for (const signers of subsets(n, size)) {
        const signatures = values(await run(shares, signers));
        expect(new Set(signatures.map(hex)).size).toBe(1);
        expect(signatures[0]).toHaveLength(64);
        expect(schnorr.verify(signatures[0]!, message, key)).toBe(true);
        expect(schnorr.verify(signatures[0]!, messages[1]!, key)).toBe(false);
      }
  });

  test('output keys of both signs sign', async () => {
    const seen = new Set<boolean>();
    for (let k = 0; seen.size < 2 && k < 64; k++) {
      const shares = await generate(2, 2);
      seen.add(hasEvenY(shares[0]!.P));
      // Several signatures, so that nonce points of both signs occur as well.
      for (let i = 0; i < 4; i++) {
        const { signature } = byHand(shares, [0, 1]);
        expect(schnorr.verify(signature!, message, outputKey(shares[0]!))).toBe(true);
      }
    }
    expect(seen.size).toBe(2);
  });

  test('two signatures of one message differ: nonces are fresh', async () => {
    const [a] = values(await run(three, [0, 1]));
    const [b] = values(await run(three, [0, 1]));
    expect(hex(a!.slice(0, 32))).not.toBe(hex(b!.slice(0, 32)));
  });
});

describe('a dishonest signer', () => {
  test('a wrong signature share: every honest signer names the cheater, by its position in the run, with its signed message', async () => {
    // Signers 0 and 2 of the key; position 1 of the run, party 2 of the key, cheats.
    const results = await run(
      three,
      [0, 2],
      tamper(1, signatureShareRound, ({ z, view }) => ({ z: modQ(z + 1n), view })),
    );
    expect(reasons(results)[0]).toMatchObject({
      name: 'Fault',
      culprits: [1],
      reason: 'wrong signature share',
      evidence: { round: 'frost-sign/share' },
    });
    expect(reasons(results)[0]!.evidence.signed!.length).toBeGreaterThan(0);
  });

  test('two cheaters whose errors cancel out get a signature and nothing else; two whose errors do not are both named', async () => {
    const [a, b] = [1n, 5n];
    const cancel = byHand(three, [0, 1, 2], (z) => z.set(0, modQ(z.get(0)! + a)).set(1, modQ(z.get(1)! - a)));
    expect(schnorr.verify(cancel.signature!, message, outputKey(three[0]!))).toBe(true);
    expect(byHand(three, [0, 1, 2], (z) => z.set(0, modQ(z.get(0)! + a)).set(2, modQ(z.get(2)! + b))).cheaters).toEqual([0, 2]);
    const results = await run(three, [0, 1, 2], (from, to, round, payload) =>
      from === 0
        ? payload
        : tamper(from, signatureShareRound, ({ z, view }) => ({ z: modQ(z + BigInt(from)), view }))(from, to, round, payload),
    );
    expect(reasons(results)[0]).toMatchObject({ culprits: [1, 2] });
  });

  test('a wrong share to one signer only: that one names the cheater, the others have the signature', async () => {
    const results = await run(
      three,
      [0, 1, 2],
      tamper(1, signatureShareRound, ({ z, view }) => ({ z: modQ(z + 1n), view }), 2),
    );
    expect(results[0]!.status).toBe('fulfilled');
    expect(reasons(results)[2]).toMatchObject({ culprits: [1] });
  });

  test('different commitments to different signers: no signature, and who signed both is named by all, with proof', async () => {
    const results = await run(
      three,
      [0, 1, 2],
      tamper(1, nonceRound, ({ E }) => ({ D: G, E }), 2),
    );
    for (const reason of reasons(results)) {
      const claims = [{ accused: 1, check: 'equivocation', round: nonceRound.name }];
      expect(reason).toMatchObject({ name: 'Fault', culprits: [1], evidence: { claims } });
    }
  });

  test('a view that is nobody’s, and an account of the commitments with a forged signature in it: nobody honest is blamed', async () => {
    const lies: Override = (from, to, round, payload) => {
      if ((from === 1 || to === 1) && round === signatureShareRound.name) return payload.with(40, payload[40]! ^ 1);
      // Its account says that party 0 signed something else.
      return from === 1 && round === `${nonceRound.name}/dispute` ? payload.with(8, payload[8]! ^ 1) : payload;
    };
    for (const reason of reasons(await run(three, [0, 1, 2], lies))) expect(reason).toMatchObject({ name: 'Fault', culprits: [] });
  });

  test('signers that were given different messages: no signature, and nobody is blamed', async () => {
    const results = await run(three, [0, 1, 2], undefined, (a) => messages[a === 1 ? 1 : 0]!);
    for (const reason of reasons(results)) expect(reason).toMatchObject({ name: 'Fault', culprits: [] });
  });

  test.each([
    ['identity as D', (p: Uint8Array) => p.with(0, 0)],
    ['D off the curve', (p: Uint8Array) => new Uint8Array(p).fill(0xff, 1, 33)],
    ['a third point', (p: Uint8Array) => concatBytes(p, p.slice(0, 33))],
  ])('%s in the commitment names the sender', async (_name, edit) => {
    const results = await run(three, [0, 1], (from, _to, round, payload) =>
      from === 1 && round === nonceRound.name ? edit(payload) : payload,
    );
    expect(reasons(results)[0]).toMatchObject({
      culprits: [1],
      reason: expect.stringMatching(/malformed message in round frost-sign\/commit/),
    });
  });

  test('a signature share that is no scalar names the sender', async () => {
    const results = await run(three, [0, 1], (from, _to, round, payload) =>
      from === 1 && round === signatureShareRound.name ? new Uint8Array(payload).fill(0xff, 0, 32) : payload,
    );
    expect(reasons(results)[0]).toMatchObject({ culprits: [1], reason: expect.stringMatching(/z: scalar is not below/) });
  });

  test('after a cheater is named, the others sign without it', async () => {
    const results = await run(
      three,
      [0, 1, 2],
      tamper(1, signatureShareRound, ({ z, view }) => ({ z: modQ(z + 1n), view })),
    );
    const [culprit] = reasons(results)[0]!.culprits;
    const [signature] = values(
      await run(
        three,
        [0, 1, 2].filter((j) => j !== culprit),
      ),
    );
    expect(schnorr.verify(signature!, message, outputKey(three[0]!))).toBe(true);
  });

  test('a cheater’s share is found by its own equation, bound to message, commitments, party', () => {
    const { commitments, z } = byHand(three, [0, 1]);
    const holds = (m = message, c = commitments, j = 0, value = z.get(0)!) => verifyShare(three[2]!, c, m, j, value);
    expect(holds()).toBe(true);
    expect(holds(messages[1])).toBe(false);
    expect(holds(message, commitments, 1)).toBe(false);
    expect(holds(message, commitments, 0, modQ(-z.get(0)!))).toBe(false);
    expect(holds(message, [commitments[0]!, { ...commitments[1]!, E: G }])).toBe(false);
  });
});

describe('nonces', () => {
  test('are others for every session and message, also with a generator that repeats itself', async () => {
    const stuck: Random = { bytes: (length) => new Uint8Array(length) };
    const commitmentOf = async (session: number, signed: TaprootSighash): Promise<string> => {
      let sent = '';
      const override: Override = (from, _to, round, payload) => {
        if (from === 0 && round === nonceRound.name) sent = hex(payload);
        return payload;
      };
      const network = memoryNetwork(2, new Uint8Array(32).fill(session), { override });
      values(await network.run((rounds, a) => sign({ rounds, signers: [0, 1], share: three[a]!, message: signed, random: stuck })));
      return sent;
    };
    const [first, second, third] = [await commitmentOf(1, message), await commitmentOf(2, message), await commitmentOf(1, messages[1]!)];
    expect(new Set([first, second, third]).size).toBe(3);
    expect(first.slice(0, 66)).not.toBe(first.slice(66)); // D ≠ E
  });

  test('sign once, and are overwritten then', () => {
    const nonces = [0, 1].map((j) => commit(three[j]!, random));
    const commitments = nonces.map((x) => x.commitment);
    signShare(three[0]!, nonces[0]!, commitments, message);
    expect(nonces[0]!.spent).toBe(true);
    expect(() => signShare(three[0]!, nonces[0]!, commitments, messages[1]!)).toThrow(expect.objectContaining({ code: 'nonces_spent' }));
  });

  test('are overwritten when erased, and when signing has used them', () => {
    const [hiding, binding] = [random.bytes(32), random.bytes(32)];
    const unused = new SigningNonces({ index: 0, D: G, E: G }, hiding, binding);
    unused.erase();
    expect([hex(hiding), hex(binding)]).toEqual(['00'.repeat(32), '00'.repeat(32)]);
    expect(() => unused.take()).toThrow(/used or erased/);

    const made = [0, 1].map((j) => commit(three[j]!, random));
    const pair = made[0]!.take();
    const again = new SigningNonces(made[0]!.commitment, pair.hiding, pair.binding);
    signShare(three[0]!, again, made.map((x) => x.commitment), message); // prettier-ignore
    expect([hex(pair.hiding), hex(pair.binding)]).toEqual(['00'.repeat(32), '00'.repeat(32)]);
  });

  test('do not show in logs', () => {
    const secret = random.bytes(32);
    const nonces = new SigningNonces({ index: 0, D: G, E: G }, secret, secret);
    expect(inspect(nonces, { depth: null, showHidden: true })).not.toContain(String(secret[0]) + ', ' + String(secret[1]));
    expect(Object.keys(nonces)).toEqual(['commitment']);
  });
});

describe('what does not fit is refused before a nonce is used', () => {
  const refusal = (field: string) => expect.objectContaining({ name: 'Refusal', field });

  test.each([
    ['too few', [0]],
    ['a party twice', [0, 0]],
    ['out of order', [1, 0]],
    ['a party the key does not have', [0, 3]],
    ['more than all', [0, 1, 2, 3]],
    ['a fraction', [0, 0.5]],
  ])('signers: %s', async (_name, signers) => {
    const [result] = await memoryNetwork(signers.length, sid).run((rounds) => sign({ rounds, signers, share: three[0]!, message, random }));
    expect(result).toMatchObject({ status: 'rejected', reason: refusal('signers') });
  });

  test('signers that are not the parties of the run', async () => {
    for (const [signers, share] of [
      [[0, 1, 2], three[0]!],
      [[1, 2], three[0]!],
    ] as const) {
      const [result] = await memoryNetwork(2, sid).run((rounds) => sign({ rounds, signers, share, message, random }));
      expect(result).toMatchObject({ status: 'rejected', reason: refusal('signers') });
    }
  });

  test('commitment lists without the own commitment, with another one, doubled, unsorted, or too short', () => {
    const own = commit(three[0]!, random);
    const [other, third] = [commit(three[1]!, random).commitment, commit(three[2]!, random).commitment];
    const bad: [string, Parameters<typeof signShare>[2], string][] = [
      ['own missing', [other, third], 'commitments'],
      ['own D replaced', [{ ...own.commitment, D: G }, other], 'commitments'],
      ['own E replaced', [{ ...own.commitment, E: G }, other], 'commitments'],
      ['a party twice', [own.commitment, other, other], 'signers'],
      ['unsorted', [other, own.commitment], 'signers'],
      ['below the threshold', [own.commitment], 'signers'],
    ];
    for (const [name, list, field] of bad) expect(() => signShare(three[0]!, own, list, message), name).toThrow(refusal(field));
    expect(own.spent).toBe(false);
  });

  test('signature shares that do not belong to the commitments', () => {
    const { commitments, z } = byHand(three, [0, 1]);
    for (const shares of [
      new Map([...z].slice(1)),
      new Map([...z, [2, 1n]]),
      new Map([
        [0, z.get(0)!],
        [2, z.get(1)!],
      ]),
    ])
      // prettier-ignore
      expect(() => aggregate(three[0]!, commitments, message, shares)).toThrow(refusal('shares'));
  });

  test('an identity point in a commitment list cannot be signed with', () => {
    const own = commit(three[0]!, random);
    const list = [own.commitment, { ...commit(three[1]!, random).commitment, E: O }];
    expect(() => signShare(three[0]!, own, list, message)).toThrow();
    expect(own.spent).toBe(true); // taken, and overwritten: never tried again
  });
});

describe('a share on disk', () => {
  test('comes back as it was, and signs', () => {
    const again = three.map((share) => decode(frostShare, encode(frostShare, share)));
    expect(again[1]!.s).toBe(three[1]!.s);
    expect(again[1]!.Y.every((Y_j, j) => Y_j.equals(three[1]!.Y[j]!))).toBe(true);
    const { signature } = byHand(again, [0, 2]);
    expect(schnorr.verify(signature!, message, outputKey(three[0]!))).toBe(true);
  });

  test.each<[string, (s: FrostShare) => FrostShare, RegExp]>([
    ['another secret', (s) => ({ ...s, s: modQ(s.s + 1n) }), /does not belong/],
    ['no secret', (s) => ({ ...s, s: 0n }), /does not belong/],
    ['the index of another party', (s) => ({ ...s, index: 2 }), /does not belong/],
    ['an index outside', (s) => ({ ...s, index: 3 }), /index 3/],
    ['threshold 1', (s) => ({ ...s, t: 1 }), /threshold/],
    ['threshold above n', (s) => ({ ...s, t: 4 }), /threshold/],
    ['a lower n', (s) => ({ ...s, n: 2 }), /3 public shares/],
    ['a higher threshold and a foreign share', (s) => ({ ...s, t: 3, Y: [s.Y[0]!, s.Y[1]!, G] }), /do not add up/],
    ['a foreign public share', (s) => ({ ...s, Y: [s.Y[0]!, s.Y[1]!, G] }), /do not add up/],
    ['another key', (s) => ({ ...s, P: s.P.negate() }), /do not add up/],
    ['another internal key', (s) => ({ ...s, internal: G }), /tweaked/],
  ])('with %s is rejected', (_name, edit, problem) => {
    expect(() => decode(frostShare, encode(frostShare, edit(three[0]!)))).toThrow(problem);
  });

  test('of an unknown version, truncated or with trailing bytes is rejected', () => {
    const good = encode(frostShare, three[0]!);
    expect(() => decode(frostShare, good.with(0, 2))).toThrow(/version 2, only 1/);
    expect(() => decode(frostShare, good.slice(0, -1))).toThrow(/truncated/);
    expect(() => decode(frostShare, concatBytes(good, Uint8Array.of(0)))).toThrow(/trailing/);
  });
});
