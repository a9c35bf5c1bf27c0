/** Presigning with one signer who misbehaves in one message: every honest signer names it, and nobody else (security.md, cases 8 to 10). */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Abandoned, Fault, Silence } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { G, modQ } from '../curve/secp256k1.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { tamper, values, type Override } from '../protocol/testing/network.ts';
import { presignRounds } from './presign-messages.ts';
import { expectBlamed, lying, makeGroup, reasons, runPresign, type Group } from './testing/parties.ts';

const SIGNERS = [0, 1, 2];
const messages = presignRounds(smallParameters, SIGNERS.length, 1);
const LIAR = 1;
const core = await createCore({ threads: 2 });
let group: Group;
beforeAll(async () => {
  group = await makeGroup(3, 3, smallParameters, core);
});
afterAll(() => core.close());

const with1 = <T, K extends keyof T>(message: T, field: K, edit: (value: T[K]) => T[K]): T => ({
  ...message,
  [field]: edit(message[field]),
});
/** Edits every entry of a message. */
const entries =
  <T>(edit: (entry: T) => T) =>
  (list: T[]): T[] =>
    list.map(edit);

describe('each proof alone invalid', () => {
  test.each(['encK', 'encG'] as const)('round 1, %s: named by all', async (proof) => {
    const label = { encK: 'enc-K', encG: 'enc-G' }[proof];
    const override = tamper(
      LIAR,
      messages.encryptedProofs,
      entries((m) => ({ ...m, [proof]: with1(m[proof], 'z1', (z) => z + 1n) })),
    );
    expectBlamed(await runPresign(group, SIGNERS, { override }), [LIAR], new RegExp(`^${label}: Π\\^enc-elg: `));
  });

  test.each(['affGamma', 'affX'] as const)('round 2, %s: named by all', async (proof) => {
    const label = { affGamma: 'aff-gamma', affX: 'aff-x' }[proof];
    const override = tamper(
      LIAR,
      messages.productProofs,
      entries((m) => ({ ...m, [proof]: with1(m[proof], 'z2', (z) => z + 1n) })),
    );
    expectBlamed(await runPresign(group, SIGNERS, { override }), [LIAR], new RegExp(`^${label}: Π\\^aff-g: `));
  });

  test('round 2, elog-Gamma: named by all', async () => {
    const as = lying(
      LIAR,
      messages.products,
      entries((m) => with1(m, 'elogGamma', (proof) => with1(proof, 'u', (u) => modQ(u + 1n)))),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], /^elog-Gamma: Π\^elog: /);
  });

  test('round 3, elog-Delta: named by all', async () => {
    const as = lying(
      LIAR,
      messages.delta,
      entries((m) => with1(m, 'elogDelta', (proof) => with1(proof, 'z', (z) => modQ(z + 1n)))),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], /^elog-Delta: Π\^elog: /);
  });

  test('an invalid proof to one victim is named by the victim, with the signed message', async () => {
    const override = tamper(
      LIAR,
      messages.encryptedProofs,
      entries((m) => with1(m, 'encK', (proof) => with1(proof, 'z1', (z) => z + 1n))),
      2,
    );
    const results = await runPresign(group, SIGNERS, { override });
    expectBlamed(results, [LIAR], 'enc-K', [0]);
    expect((reasons(results)[2] as Fault).evidence).toMatchObject({ round: messages.encryptedProofs.name });
    expect((reasons(results)[2] as Fault).evidence.signed!.length).toBeGreaterThan(1000);
  });

  test('two colluders are both named', async () => {
    const bad = (who: number) =>
      tamper(
        who,
        messages.encryptedProofs,
        entries((m) => with1(m, 'encG', (proof) => with1(proof, 'w', (w) => modQ(w + 1n)))),
      );
    const [one, two] = [bad(1), bad(2)];
    const override: Override = (from, to, round, payload) => two(from, to, round, one(from, to, round, payload)!);
    expectBlamed(await runPresign(group, SIGNERS, { override }), [1, 2], 'enc-G');
  });
});

describe('values that do not belong to their proofs', () => {
  test.each([
    ['K', 0n, 'enc-K'],
    ['K', 'N', 'enc-K'],
    ['K', 'N² + 1', 'enc-K'],
    ['G', 'another ciphertext', 'enc-G'],
    ['G', 'N', 'enc-G'],
  ] as const)('round 1, %s = %s: named by all', async (field, value, label) => {
    const { n } = group.aux[LIAR]!.secret.paillier;
    const replaced = (old: bigint) =>
      ({ 0: 0n, N: n, 'N² + 1': n * n + 1n, 'another ciphertext': (old * (1n + n)) % (n * n) })[`${value}`]!;
    const as = lying(
      LIAR,
      messages.encrypted,
      entries((m) => with1(m, field, replaced)),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], label);
  });

  test.each(['Y', 'A1', 'A2', 'B1', 'B2'] as const)('round 1, another %s: named by all', async (field) => {
    const as = lying(
      LIAR,
      messages.encrypted,
      entries((m) => with1(m, field, (P) => P.add(G))),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], field.startsWith('B') ? 'enc-G' : 'enc-K');
  });

  test('round 2, another Γ_i: named by all', async () => {
    const as = lying(
      LIAR,
      messages.products,
      entries((m) => with1(m, 'Gamma', (P) => P.add(G))),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], 'elog-Gamma');
  });

  test('round 2, D and D̂ with their proofs in each other’s place: named by all', async () => {
    const products = lying(LIAR, messages.products, entries((m) => ({
      ...m, products: m.products.map(({ D, F, hatD, hatF }) => ({ D: hatD, F: hatF, hatD: D, hatF: F })),
    }))); // prettier-ignore
    const proofs = lying(LIAR, messages.productProofs, entries(({ affGamma, affX }) => ({ affGamma: affX, affX: affGamma }))); // prettier-ignore
    const as = (me: number, rounds: Rounds) => proofs(me, products(me, rounds));
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], /aff-gamma.*aff-x/);
  });

  test.each([
    ['D', 0, 'D'],
    ['D̂', 0, 'hatD'],
    ['F', 1, 'F'],
    ['F̂', 1, 'hatF'],
  ] as const)('round 2, %s for one receiver that is no unit: named by all, not by the receiver alone', async (_, at, field) => {
    const n = (receiver: number) => (field.endsWith('D') ? group.aux[receiver]! : group.aux[LIAR]!).secret.paillier;
    const receiver = [0, 2][at]!;
    // A multiple of a factor of the modulus: what a receiver must never compute with, as it factors the key.
    const as = lying(LIAR, messages.products, entries((m) => ({
      ...m, products: m.products.map((made, k) => (k === at ? { ...made, [field]: n(receiver).p * 5n } : made)),
    }))); // prettier-ignore
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], /^D, F, D̂, F̂: /);
  });

  test('round 3, another Δ_i: named by all', async () => {
    const as = lying(
      LIAR,
      messages.delta,
      entries((m) => with1(m, 'Delta', (P) => P.add(G))),
    );
    expectBlamed(await runPresign(group, SIGNERS, { as }), [LIAR], 'elog-Delta');
  });
});

describe('sums that do not hold', () => {
  test.each([
    [
      'δ_i',
      'delta',
      lying(
        LIAR,
        messages.delta,
        entries((m) => with1(m, 'delta', (delta) => modQ(delta + 1n))),
      ),
    ],
    [
      'S_i',
      'chi',
      lying(
        LIAR,
        messages.delta,
        entries((m) => with1(m, 'S', (P) => P.add(G))),
      ),
    ],
  ])('round 3, another %s after valid proofs: its author does not prove it, and is named', async (_value, which, as) => {
    const results = reasons(await runPresign(group, SIGNERS, { as }));
    for (const error of [results[0], results[2]]) {
      expect(error).toBeInstanceOf(Fault);
      expect(error).toMatchObject({ culprits: [LIAR], evidence: { round: `identify/0/${which}/dec`, detail: 'silence' } });
    }
  });
});

describe('proofs and messages out of place', () => {
  const capture = (from: number, round: string, into: Map<number, Uint8Array>): Override => (sender, to, name, payload) => {
    if (sender === from && name === round) into.set(to, payload);
    return payload;
  }; // prettier-ignore
  const round = messages.encryptedProofs.name;

  test('proofs replayed from another session are named by all', async () => {
    const old = new Map<number, Uint8Array>();
    values(await runPresign(group, SIGNERS, { override: capture(LIAR, round, old) }));
    const override: Override = (from, to, name, payload) => (from === LIAR && name === round ? old.get(to) : payload);
    expectBlamed(await runPresign(group, SIGNERS, { override }), [LIAR], 'enc-K');
  });

  test('the proofs of another prover are named by the one who got them', async () => {
    const override: Override = (from, to, name, payload) => (from === LIAR && to === 2 && name === round ? copied.get(2) : payload);
    const copied = new Map<number, Uint8Array>();
    const listening = capture(0, round, copied);
    const results = await runPresign(group, SIGNERS, {
      override: (from, to, name, payload) => override(from, to, name, listening(from, to, name, payload)!),
      // Speaks last, when what it copies has been said.
      as: (me, rounds) =>
        me !== LIAR
          ? rounds
          : {
              ...rounds,
              send: async (r, m) => {
                while (!copied.has(2)) await new Promise(setImmediate);
                return rounds.send(r, m);
              },
            },
    });
    expectBlamed(results, [LIAR], 'enc-K', [0]);
  });

  test('proofs made for another verifier are named', async () => {
    const swapped = lying(LIAR, messages.encryptedProofs, (m) => m);
    const results = await runPresign(group, SIGNERS, {
      as: (me, rounds) =>
        me !== LIAR
          ? swapped(me, rounds)
          : { ...rounds, send: (r, m) => rounds.send(r, r.name === round ? new Map([[0, m.get(2)!], [2, m.get(0)!]]) : m) }, // prettier-ignore
    });
    expectBlamed(results, [LIAR], 'enc-K');
  });

  test.each([
    ['presign/1', 'presign/2'],
    ['presign/2', 'presign/3'],
    ['presign/3', undefined],
  ])('different messages to different signers in %s end the run before anybody goes on: all name who sent them', async (name, next) => {
    const sent: string[] = [];
    const override: Override = (from, to, current, payload) => {
      sent.push(current);
      if (from !== LIAR || to !== 2 || current !== name) return payload;
      // Another valid message: the last point replaced by its negative, or another commitment.
      const changed = payload.slice();
      if (name === 'presign/1') changed[changed.length - 1]! ^= 1;
      else changed[4 + (name === 'presign/2' ? 0 : 32)]! ^= 1; // after the count
      return changed;
    };
    const results = await runPresign(group, SIGNERS, { override });
    for (const i of [0, 2]) {
      const error = reasons(results)[i];
      expect(error).toMatchObject({ name: 'Fault', culprits: [LIAR], reason: expect.stringContaining('different messages') });
    }
    if (next !== undefined) expect(sent).not.toContain(next);
  });

  test.each(Object.values(messages).map(({ name }) => name))('malformed bytes in %s name their author', async (name) => {
    const override: Override = (from, _to, current, payload) => (from === LIAR && current === name ? payload.slice(1) : payload);
    expectBlamed(await runPresign(group, SIGNERS, { override }), [LIAR], 'malformed message');
  });

  test('silence names the silent signer', async () => {
    const override: Override = (from, _to, current, payload) => (from === LIAR && current === 'presign/2' ? undefined : payload);
    const results = await runPresign(group, SIGNERS, { override });
    for (const i of [0, 2]) {
      expect(reasons(results)[i]).toBeInstanceOf(Silence);
      expect(reasons(results)[i]).not.toBeInstanceOf(Abandoned);
      expect(reasons(results)[i]).toMatchObject({ culprits: [LIAR] });
    }
  });
});
