import { describe, expect, test } from 'vitest';
import { struct, u32 } from '../base/codec.ts';
import { Abandoned, Defect, Fault } from '../base/errors.ts';
import { ProofRejected } from '../proofs/context.ts';
import { broadcastRound } from '../protocol/rounds.ts';
import { memoryNetwork } from '../protocol/testing/network.ts';
import { demand, judge, together, verifyEach } from './verify-each.ts';

const round = broadcastRound('round', struct({ n: u32 }));
const rounds = memoryNetwork(4, new Uint8Array(32)).parties[0]!;

describe('verification of every peer', () => {
  test('makes every check for every peer', async () => {
    const made: string[] = [];
    const check = (name: string) => ({ round, verify: (j: number) => void made.push(`${name}${j}`) });
    await verifyEach(rounds, { a: check('a'), b: check('b') });
    expect(made.sort()).toEqual(['a1', 'a2', 'a3', 'b1', 'b2', 'b3']);
  });

  test('waits for slow checks, and names everybody who failed one, each once', async () => {
    const fault = await verifyEach(rounds, {
      slow: {
        round,
        verify: async (j) => {
          await new Promise(setImmediate);
          if (j === 3) throw new ProofRejected('x', 'an equation');
        },
      },
      quick: { round, verify: (j) => demand(j === 2, 'j = 2') },
    }).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ culprits: [1, 3], evidence: { round: 'round' } });
    expect((fault as Fault).reason).toBe('quick: j = 2 does not hold; slow: Π^x: an equation does not hold');
  });

  test('an error that is not the peer’s fault blames nobody', async () => {
    const mistake = verifyEach(rounds, {
      proof: {
        round,
        verify: (j) => {
          if (j === 1) throw new ProofRejected('x', 'an equation');
          throw new RangeError('even modulus');
        },
      },
    });
    await expect(mistake).rejects.toBeInstanceOf(RangeError);
  });
});

describe('proofs judged together', () => {
  const bad = new ProofRejected('x', 'an equation');
  const of = (wrong: readonly string[], count: number) =>
    judge(rounds, ['a', 'b'], count, (label, j, k) => `${label}${j}${k}`, (items) =>
      Promise.resolve(items.map((item) => (wrong.includes(item) ? bad : undefined))),
    ); // prettier-ignore

  test('each label of each peer answers for itself, and names its first bad element', async () => {
    const judged = await of(['a21', 'b12', 'b10'], 3);
    for (const [label, j] of [['a', 1], ['a', 3], ['b', 2], ['b', 3]] as const) judged(label, j); // prettier-ignore
    expect(() => judged('a', 2)).toThrow('element 1: Π^x: an equation does not hold');
    expect(() => judged('b', 1)).toThrow('element 0: ');
  });
  test('of a single element the rejection itself is thrown', async () => {
    const judged = await of(['a10'], 1);
    expect(() => judged('a', 1)).toThrow(bad);
  });
  test('what was not judged is not taken for good', async () => {
    const judged = await of([], 2);
    expect(() => judged('a', 0)).toThrow(Defect);
    const short = judge(rounds, ['a'], 2, () => 0, () => Promise.resolve([undefined])); // prettier-ignore
    await expect(short).rejects.toBeInstanceOf(Defect);
  });
});

describe('two deliveries together', () => {
  test('give both results, or the failure that names somebody', async () => {
    expect(await together(Promise.resolve(1), Promise.resolve('a'))).toEqual([1, 'a']);
    const left = new Abandoned(1, 'it left', 'round');
    const named = new Fault([2], 'wrong', { round: 'round', detail: 'wrong' });
    await expect(together(Promise.reject(left), Promise.reject(named))).rejects.toBe(named);
    await expect(together(Promise.reject(named), Promise.reject(left))).rejects.toBe(named);
    await expect(together(Promise.resolve(1), Promise.reject(left))).rejects.toBe(left);
    await expect(together(Promise.reject(new Defect('ours')), Promise.resolve(1))).rejects.toBeInstanceOf(Defect);
  });
});
