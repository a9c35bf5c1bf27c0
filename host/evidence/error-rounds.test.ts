/** Wrong summands after valid proofs: in the error rounds exactly the cheaters are named by all honest parties (security.md, cases 10 and 11). */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { decode } from '../base/codec.ts';
import { presignRounds, type Products } from '../cggmp24/presign-messages.ts';
import { lying, makeGroup, miscounting as miscountingCore, reasons, type Group } from '../cggmp24/testing/parties.ts';
import { createCore, type Core } from '../core/index.ts';
import { modQ } from '../curve/secp256k1.ts';
import type { Round, Rounds } from '../protocol/rounds.ts';
import type { Override } from '../protocol/testing/network.ts';
import { expectProven, honestFaults, LIAR, parameters, runSigning, type Lies } from './testing/runs.ts';

/** Moduli of parties that accept whatever Π^aff-g they get: a colluder does not complain. */
const { credulous } = vi.hoisted(() => ({ credulous: new Set<bigint>() }));
vi.mock('../proofs/pi-aff-g.ts', async (load) => {
  const actual = await load<typeof import('../proofs/pi-aff-g.ts')>();
  const verify: typeof actual.verify = (statement, proof, context) =>
    credulous.has(statement.N0.n) ? Promise.resolve() : actual.verify(statement, proof, context);
  return { ...actual, verify };
});

const core = await createCore({ threads: 2 });
let group: Group;
beforeAll(async () => {
  group = await makeGroup(3, 3, parameters, core);
});
afterAll(() => core.close());

const messages = presignRounds(parameters, 3, 1);
const COLLUDER = 2;

/** A party whose sum is one more than it is: of D (0) or of D̂ (1). All its proofs are about what it believes. */
const miscounting = (which: 0 | 1): Core => miscountingCore(core, which);
/**
 * And one that masks what it makes for the colluder with one more in F than in D, so that its own sum comes out as it claims. D and F of a
 * multiplication are asked for side by side, among those of others; in Π^aff-g the same three come before its commitments.
 */
const remasking = (inner: Core): Core => ({
  kernel: core.kernel,
  run: async (operations, options) => {
    const results = await inner.run(operations, options);
    const { n } = group.aux[0]!.parties[COLLUDER]!.paillier;
    return operations.map((operation, k) => {
      const [shifted, masked, next] = [operations[k - 2], operations[k - 1], operations[k + 1]];
      const isF = operation.op === 'encrypt' && masked?.op === 'encrypt' && shifted?.op === 'power' && next?.op !== 'commit';
      if (!isF || masked.key.n !== n) return results[k]!;
      const N1 = operation.key.n;
      return (results[k]! * (1n + N1 * (N1 - 1n))) % (N1 * N1);
    }) as typeof results;
  },
});
const believing = (): void => void credulous.add(group.aux[0]!.parties[COLLUDER]!.paillier.n);
afterEach(() => credulous.clear());
const coresOf = (cores: Record<number, Core>): Pick<Lies, 'coreOf'> => ({ coreOf: (me) => cores[me] });

/** The liar tells everybody other ciphertexts for the colluder than it proved, and the colluder takes them. */
function otherProducts(edit: (made: Products, K: bigint, N0: bigint) => Products): Lies {
  const N0 = group.aux[0]!.parties[COLLUDER]!.paillier.n;
  let K = 1n;
  const override: Override = (from, _to, round, payload) => {
    if (from === COLLUDER && round === messages.encrypted.name) K = decode(messages.encrypted.codec, payload)[0]!.K;
    return payload;
  };
  // In place, so that the liar itself believes it, and goes on when it has verified what the others prove.
  const as = lying(LIAR, messages.products, (entries) => {
    for (const { products } of entries) Object.assign(products[1]!, edit(products[1]!, K, N0));
    return entries;
  });
  believing();
  return { override, as, each: true };
}

describe('the error rounds name exactly the cheaters', () => {
  test.each([
    ['a wrong δ_i', 'dec-delta', 0],
    ['a wrong S_i', 'dec-chi', 1],
  ] as const)('%s after valid proofs', async (_what, check, which) => {
    await expectProven(core, await runSigning(group, 'presign', coresOf({ [LIAR]: miscounting(which) })), [check]);
  });

  test('two colluders with wrong summands: both, and nobody else', async () => {
    const liars = [LIAR, COLLUDER];
    const run = await runSigning(group, 'presign', { ...coresOf({ 1: miscounting(0), 2: miscounting(0) }), liars });
    await expectProven(core, run, ['dec-delta'], liars);
  });

  test('δ comes first: with a wrong δ_i and a wrong S_i of another only the round about δ is run', async () => {
    const run = await runSigning(group, 'presign', coresOf({ 1: miscounting(0), 2: miscounting(1) }));
    await expectProven(core, run, ['dec-delta']);
  });

  test.each([
    ['D made with another γ', 'affstar-gamma/1', ({ D, ...rest }, K, N0) => ({ ...rest, D: (D * K) % (N0 * N0) })],
    ['D̂ made with another x', 'affstar-x/1', ({ hatD, ...rest }, K, N0) => ({ ...rest, hatD: (hatD * K) % (N0 * N0) })],
  ] as [string, string, (made: Products, K: bigint, N0: bigint) => Products][])(
    '%s, which a colluder takes: its author, who cannot prove it to all',
    async (_what, check, edit) => {
      await expectProven(core, await runSigning(group, 'presign', otherProducts(edit)), [check]);
    },
  );

  test.each([
    ['F with another β', 'affstar-gamma/1', 0],
    ['F̂ with another β̂', 'affstar-x/1', 1],
  ] as const)(
    '%s that makes a wrong summand fit, which a colluder takes: its author, whose Π^dec even holds',
    async (_what, check, which) => {
      believing();
      const lies = { each: true, ...coresOf({ [LIAR]: remasking(miscounting(which)) }) };
      await expectProven(core, await runSigning(group, 'presign', lies), [check]);
    },
  );

  test('silence instead of a proof', async () => {
    const run = await runSigning(group, 'presign', {
      ...coresOf({ [LIAR]: miscounting(0) }),
      override: (from, _to, round, payload) => (from === LIAR && round.startsWith('identify/') ? undefined : payload),
    });
    for (const fault of honestFaults(run)) expect(fault).toMatchObject({ culprits: [LIAR], evidence: { detail: 'silence' } });
  });

  test('malformed bytes instead of a proof of the summand, or of a product', async () => {
    const garbled =
      (name: string, inner: Override = (_from, _to, _round, payload) => payload): Override =>
      (from, to, round, payload) =>
        from === LIAR && round === name ? payload.slice(2) : inner(from, to, round, payload);
    const dec = { ...coresOf({ [LIAR]: miscounting(1) }), override: garbled('identify/0/chi/dec') };
    await expectProven(core, await runSigning(group, 'presign', dec), ['malformed']);
    const lies = otherProducts(({ hatD, ...rest }, K, N0) => ({ ...rest, hatD: (hatD * K) % (N0 * N0) }));
    const affine = { ...lies, override: garbled('identify/0/chi/affine/2', lies.override) };
    await expectProven(core, await runSigning(group, 'presign', affine), ['malformed']);
  });

  test('who cannot prove its summand ends the round before anything is proven about products', async () => {
    const rounds = new Set<string>();
    const override: Override = (from, _to, round, payload) => {
      if (from !== LIAR) rounds.add(round);
      return payload;
    };
    await expectProven(core, await runSigning(group, 'presign', { ...coresOf({ [LIAR]: miscounting(0) }), override }), ['dec-delta']);
    expect([...rounds].filter((round) => round.startsWith('identify/'))).toEqual(['identify/0/delta/dec', 'identify/0/delta/dec/echo']);
  });

  test('another proof for each: the equivocator', async () => {
    const run = await runSigning(group, 'presign', {
      ...coresOf({ [LIAR]: miscounting(0) }),
      override: (from, to, round, payload) =>
        from === LIAR && to === 0 && round === 'identify/0/delta/dec' ? payload.with(40, payload[40]! ^ 1) : payload,
    });
    await expectProven(core, run, ['equivocation']);
  });

  test('δ = 0, chosen by the last to speak: it is named, because it does not prove its δ_i', async () => {
    const heard = new Map<number, bigint>();
    const override: Override = (from, _to, round, payload) => {
      if (round === messages.delta.name && from !== LIAR) heard.set(from, decode(messages.delta.codec, payload)[0]!.delta);
      return payload;
    };
    const as = (me: number, rounds: Rounds): Rounds =>
      me !== LIAR
        ? rounds
        : {
            ...rounds,
            echo: async <T>(round: Round<T, 'echo'>, own: T) => {
              if (round.name !== messages.delta.name) return rounds.echo(round, own);
              while (heard.size < 2) await new Promise(setImmediate);
              const delta = modQ(-[...heard.values()].reduce((a, b) => a + b));
              return rounds.echo(round, (own as { delta: bigint }[]).map((entry) => ({ ...entry, delta })) as T);
            },
          };
    const run = await runSigning(group, 'presign', { override, as });
    for (const i of [0, 2]) expect(reasons(run.results)[i]).toMatchObject({ culprits: [LIAR], evidence: { detail: 'silence' } });
  });
});
