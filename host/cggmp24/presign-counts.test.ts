/**
 * How many exponentiations presigning takes, exactly: without batches those of cggmp24.md §9.1, of which §9.4 g saves decryptions; with batches
 * fewer. A number here that has to grow is a change that makes every presignature dearer.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { counting, type Counts } from '../core/counting.ts';
import { createCore } from '../core/index.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { presignBatch } from './presign.ts';
import { signingSessionId } from './session.ts';
import { freshNonce, identitiesOf, makeGroup, random, type Group } from './testing/parties.ts';

const SIGNERS = [0, 1, 2, 3];
/** u: peers of each signer. */
const u = SIGNERS.length - 1;
const core = await createCore({ threads: 2 });
let group: Group;
beforeAll(async () => {
  group = await makeGroup(4, 5, smallParameters, core);
});
afterAll(() => core.close());

const STEPS = { 'presign/1': 'encrypt', 'presign/2': 'verify, multiply', 'presign/3': 'verify, add' } as const;
type Step = (typeof STEPS)[keyof typeof STEPS];

/** Counts of each signer, by what it does before it sends its echoed messages. Everything is counted by then: what follows is curve arithmetic. */
async function count(batch: number, verification: 'batch' | 'each'): Promise<ReadonlyMap<Step, Counts>[]> {
  const { keys, aux, parameters } = group;
  const binding = { signers: SIGNERS, key: keys[0]!, aux: aux[0]!, parameters, nonce: freshNonce(), identities: identitiesOf(SIGNERS) };
  const counters = SIGNERS.map(() => counting(core));
  const steps = SIGNERS.map(() => new Map<Step, Counts>());
  const tracer = (me: number) => ({
    work: () => undefined,
    round(name: string, event: 'sent' | 'received') {
      const step = event === 'sent' ? (STEPS as Readonly<Record<string, Step>>)[name] : undefined;
      if (step !== undefined) steps[me]!.set(step, counters[me]!.take());
    },
  });
  values(
    await memoryNetwork(SIGNERS.length, signingSessionId({ protocol: 'presign', ...binding }), { tracer }).run((rounds, me) =>
      presignBatch({
        rounds,
        signers: SIGNERS,
        key: keys[me]!,
        aux: aux[me]!,
        random,
        core: counters[me]!.core,
        parameters,
        count: batch,
        verification,
      }),
    ),
  );
  for (const counter of counters) expect(counter.take().size).toBe(0);
  return steps;
}

const table = (counts: Counts): Record<string, number> => Object.fromEntries([...counts].sort());
const total = (steps: ReadonlyMap<Step, Counts>): Record<string, number> => {
  const sums = new Map<string, number>();
  for (const counts of steps.values()) for (const [name, n] of counts) sums.set(name, (sums.get(name) ?? 0) + n);
  return Object.fromEntries([...sums].sort());
};

test('every proof verified alone: the counts of §9.1, with one decryption for all peers', async () => {
  const [first, ...others] = (await count(1, 'each')).map(total);
  for (const other of others) expect(other).toEqual(first);
  expect(first).toEqual({
    'own N 256': 4 * u,
    'own N² 256': 2 * u,
    'own N² 768': 2 * u,
    'own N² decryption': 2, // §9.1 has 2u
    'own N² full': 2 + 8 * u,
    'own N̂ 256': 6 * u,
    'own N̂ pair': 6 * u,
    'peer N 256': 2 * u,
    'peer N² 256': 2 * u + 4 * u,
    'peer N² 768': 2 * u,
    'peer N² full': 8 * u,
    'peer N̂ pair': 12 * u,
  });
});

describe.each([1, 10])('a batch of %i', (B) => {
  let steps: ReadonlyMap<Step, Counts>[];
  beforeAll(async () => {
    steps = await count(B, 'batch');
  });

  test('takes the same at every signer', () => {
    for (const other of steps) expect(total(other)).toEqual(total(steps[0]!));
  });
  test('round 1: two encryptions, two proofs for each peer', () => {
    expect(table(steps[0]!.get('encrypt')!)).toEqual({
      'own N 256': 2 * u * B,
      'own N² full': (2 + 2 * u) * B,
      'peer N̂ pair': 4 * u * B,
    });
  });
  test('round 2: verification takes one full power for each peer and one pair, and short powers; two multiplications for each peer', () => {
    expect(table(steps[0]!.get('verify, multiply')!)).toEqual({
      // verification (h): both proofs of a peer, all elements
      'peer N² full': u + 4 * u * B,
      'peer N 128': 2 * u * B,
      'peer N² 128': 2 * u * B,
      'peer N² 384': 2 * u * B,
      // (h′)
      'own N̂ 128': 2 * u * B,
      'own N̂ 384': 2 * u * B,
      'own N̂ pair': 1,
      // multiplication, and its proofs
      'own N 256': 2 * u * B,
      'own N² full': 4 * u * B,
      'peer N 256': 2 * u * B,
      'peer N² 256': 2 * u * B,
      'peer N² 768': 2 * u * B,
      'peer N̂ pair': 8 * u * B,
    });
  });
  test('round 3: one decryption for all proofs and two for each element', () => {
    expect(table(steps[0]!.get('verify, add')!)).toEqual({
      // (h)
      'peer N² full': u,
      'peer N 128': 2 * u * B,
      'peer N² 128': 2 * u * B,
      'peer N² 384': 2 * u * B,
      // (f)
      'own N² 128': 2 * u * B,
      'own N² 384': 2 * u * B,
      // (h′)
      'own N̂ 128': 4 * u * B,
      'own N̂ 384': 4 * u * B,
      'own N̂ pair': 1,
      'own N² decryption': 1 + 2 * B,
    });
  });
});
