/** Presigning in batches: every element is an execution of its own, and nothing of one passes for another's. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { G, modQ } from '../curve/secp256k1.ts';
import { productionParameters } from '../proofs/parameters.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { MAX_MESSAGE_BYTES, type Rounds } from '../protocol/rounds.ts';
import { values } from '../protocol/testing/network.ts';
import { MAX_PARTIES } from './key-share.ts';
import { elementSid } from './presign.ts';
import { batchLimit, checkBatch, presignRounds } from './presign-messages.ts';
import { presignaturePublic } from './presignature.ts';
import { bitcoinSighash } from './sighash.ts';
import { combine, partialSignature } from './sign.ts';
import { expectBlamed, lying, makeGroup, reasons, runPresignBatch, type Group } from './testing/parties.ts';
import { opensslAccepts } from './testing/verifiers.ts';

const preimage = utf8('the preimage of a sighash');
const SIGNERS = [0, 1, 2];
const LIAR = 1;
const COUNT = 2;
const messages = presignRounds(smallParameters, SIGNERS.length, COUNT);
const core = await createCore({ threads: 2 });
let group: Group;
beforeAll(async () => {
  group = await makeGroup(3, 3, smallParameters, core);
});
afterAll(() => core.close());

test('a batch gives presignatures that share nothing, and each signs', async () => {
  const batches = values(await runPresignBatch(group, SIGNERS, COUNT));
  const message = bitcoinSighash(preimage);
  for (let k = 0; k < COUNT; k++) {
    const own = batches.map((batch) => batch[k]!);
    for (const other of own) expect(encode(presignaturePublic, other)).toEqual(encode(presignaturePublic, own[0]!));
    const partials = new Map(own.map((presignature, position) => [position, partialSignature(presignature, message)]));
    expect(opensslAccepts(own[0]!.publicKey, preimage, combine(own[0]!, message, partials))).toBe(true);
  }
  const [first] = batches;
  expect(first).toHaveLength(COUNT);
  const different = (of: (typeof first & object)[number][keyof (typeof first & object)[number]][]) => expect(new Set(of).size).toBe(COUNT);
  different(first!.map(({ sid }) => hex(sid)));
  different(first!.map(({ id }) => hex(id)));
  different(first!.map(({ Gamma }) => Gamma.toHex()));
  different(first!.map(({ kTilde }) => kTilde));
  different(first!.map(({ chiTilde }) => chiTilde));
  different(first!.map(({ opening }) => hex(opening)));
});

/** The entries of two elements in each other's place. */
const swapped = <T>(list: T[]): T[] => [list[1]!, list[0]!];
const lies = (...all: ((me: number, rounds: Rounds) => Rounds)[]) => ({
  as: (me: number, rounds: Rounds) => all.reduce((changed, lie) => lie(me, changed), rounds),
});
const inBoth = (...names: (keyof typeof messages)[]) =>
  lies(...names.map((name) => lying(LIAR, messages[name] as typeof messages.encrypted, (list) => swapped(list))));

describe('what belongs to another element', () => {
  test.each([
    ['enc-K and enc-G', ['encryptedProofs'], /^enc-K: element 0: .*enc-G: element 0: /s],
    ['a whole first message with its proofs', ['encrypted', 'encryptedProofs'], /^enc-K: element 0: .*enc-G: element 0: /s],
    ['aff-gamma and aff-x', ['productProofs'], /^aff-gamma: element 0: .*aff-x: element 0: /s],
    ['a whole second message with its proofs', ['products', 'productProofs'], /elog-Gamma: element 0: .*aff-gamma.*aff-x/s],
    ['a whole third message', ['delta'], /^elog-Delta: element 0: /],
  ] as const)('is rejected, and its sender named by all: %s', async (_, names, reason) => {
    expectBlamed(await runPresignBatch(group, SIGNERS, COUNT, inBoth(...names)), [LIAR], reason);
  });

  test('a round of one element said again for another is rejected by its proofs, not taken for a second nonce', async () => {
    const repeated = <T>(list: T[]): T[] => list.map(() => list[0]!);
    const as = lies(lying(LIAR, messages.encrypted, repeated), lying(LIAR, messages.encryptedProofs, repeated));
    expectBlamed(await runPresignBatch(group, SIGNERS, COUNT, as), [LIAR], /^enc-K: element 1: .*enc-G: element 1: /s);
  });
});

describe('one bad element', () => {
  test('ends the run for all elements, and its number is told', async () => {
    const as = lying(LIAR, messages.delta, (list) =>
      list.map((m, k) => (k === 1 ? { ...m, elogDelta: { ...m.elogDelta, z: modQ(m.elogDelta.z + 1n) } } : m)),
    );
    expectBlamed(await runPresignBatch(group, SIGNERS, COUNT, { as }), [LIAR], /^elog-Delta: element 1: Π\^elog: /);
  });

  test.each([
    ['δ·G = Σ Δ_j', { delta: 1n }],
    ['δ·PK = Σ S_j', { S: G }],
  ] as const)('%s is checked for every element', async (_equation, change) => {
    const as = lying(LIAR, messages.delta, (list) =>
      list.map((m, k) => (k === 1 ? { ...m, ...('S' in change ? { S: m.S.add(change.S) } : { delta: modQ(m.delta + change.delta) }) } : m)),
    );
    const [first, , last] = reasons(await runPresignBatch(group, SIGNERS, COUNT, { as }));
    const round = `identify/1/${'S' in change ? 'chi' : 'delta'}/dec`;
    for (const error of [first, last]) expect(error).toMatchObject({ name: 'Fault', culprits: [LIAR], evidence: { round } });
  });
});

describe('the size of a batch', () => {
  test('is the same for everybody: another number of entries is malformed, whatever round it is in', async () => {
    for (const { name } of [messages.encrypted, messages.delta]) {
      const override = (from: number, _to: number, round: string, payload: Uint8Array) => {
        if (from !== LIAR || round !== name) return payload;
        const changed = payload.slice();
        changed[3] = COUNT - 1;
        return changed;
      };
      expectBlamed(await runPresignBatch(group, SIGNERS, COUNT, { override }), [LIAR], 'malformed message');
    }
  });

  test.each([2, 4, 5, 16, 64])(
    'is bounded so that every message of %i signers fits, and what shows a wrong proof in it, however large the numbers',
    (t) => {
      const limit = batchLimit(productionParameters, t);
      expect(limit).toBeGreaterThanOrEqual(t <= 8 ? 20 : 4);
      const { encrypted, products, productProofs } = presignRounds(productionParameters, t, limit);
      const [short, long] = [(1n << 3072n) - 1n, (1n << 6144n) - 1n];
      const [z1, z2, z3] = [1n << 767n, 1n << 1791n, 1n << 3840n];
      const proof = { A: long, Bx: G, By: long, E: short, S: short, F: short, T: short, z1, z2, z3, z4: z3, w: short, wy: short };
      const all = <T>(entry: T): T[] => Array.from({ length: limit }, () => entry);
      const sizes = [
        encode(
          products.codec,
          all({
            Gamma: G,
            elogGamma: { A: G, N: G, B: G, z: 1n, u: 1n },
            products: Array.from({ length: t - 1 }, () => ({ D: long, F: long, hatD: long, hatF: long })),
          }),
        ),
        encode(productProofs.codec, all({ affGamma: proof, affX: proof })),
        encode(encrypted.codec, all({ K: long, G: long, Y: G, A1: G, A2: G, B1: G, B2: G, Co: new Uint8Array(32) })),
      ].map(({ length }) => length);
      // Beside them in a file: the keys of the largest group, its public shares, identities and hashes.
      const facts = MAX_PARTIES * (4 * (4 + 384) + 33 + 4 + 3 * 32) + 4096;
      expect(sizes.reduce((total, size) => total + size, facts)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
    },
  );

  test.each([0, -1, 21, 1.5, NaN])('%d is refused with what can be done', async (count) => {
    expect(() => checkBatch(productionParameters, 4, count)).toThrow(Refusal);
    const [refused] = reasons(await runPresignBatch(group, SIGNERS, count));
    expect(refused).toMatchObject({ name: 'Refusal', field: 'count', remedy: expect.stringContaining('1 to 20') });
  });
});

test('the sid of an element follows its definition, and differs for every element and run', () => {
  const run = new Uint8Array(32).fill(5);
  expect(hex(elementSid(run, 3))).toBe('da5e2720aa4c3a85e480dcd7256c143ca440a778fb30142700b3451a67a61db5');
  expect(new Set([0, 1, 2].flatMap((k) => [hex(elementSid(run, k)), hex(elementSid(new Uint8Array(32), k))])).size).toBe(6);
});
