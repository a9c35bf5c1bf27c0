import { describe, expect, test } from 'vitest';
import { gathering } from './gather.ts';
import { referenceCore } from './reference.ts';
import { power, type Core, type Operation } from './types.ts';

const n = (1n << 521n) - 1n;
function watched(): { core: Core; batches: number[] } {
  const batches: number[] = [];
  return {
    batches,
    core: {
      kernel: 'reference',
      run: async <const O extends readonly Operation[]>(operations: O) => {
        batches.push(operations.length);
        return referenceCore.run(operations);
      },
    },
  };
}

describe('a core that gathers', () => {
  test('makes one batch of what is asked for in one turn, and gives each call its own results', async () => {
    const { core, batches } = watched();
    const gathered = gathering(core);
    const results = await Promise.all([
      gathered.run([power(n, [2n, 3n])]),
      gathered.run([]),
      gathered.run([power(n, [3n, 2n]), power(n, [5n, 2n])]),
    ]);
    expect(results).toEqual([[8n], [], [9n, 25n]]);
    expect(batches).toEqual([3]);
    expect(await gathered.run([power(n, [7n, 2n])])).toEqual([49n]);
    expect(batches).toEqual([3, 1]);
  });

  test('lets others have a turn while it hands out results, and gathers what is asked for meanwhile', async () => {
    const { core, batches } = watched();
    const gathered = gathering(core);
    const begun: number[] = [];
    const work = async (i: bigint): Promise<bigint> => {
      const [square] = await gathered.run([power(n, [i, 2n])]);
      begun.push(performance.now());
      while (performance.now() - begun.at(-1)! < 6);
      const [cube] = await gathered.run([power(n, [i, 3n])]);
      return square + cube;
    };
    const results = Promise.all([1n, 2n, 3n, 4n, 5n, 6n].map(work));
    let turns = 0;
    let over = false;
    const others = (): void => {
      if (begun.length > 0 && begun.length < 6) turns++;
      if (!over) setImmediate(others);
    };
    others();
    expect(await results).toEqual([2n, 12n, 36n, 80n, 150n, 252n]);
    over = true;
    // One after each piece of work but the last.
    expect(turns).toBeGreaterThanOrEqual(5);
    expect(batches).toEqual([6, 6]);
  });

  test('begins work on many items in order, with turns for others in between, and one batch of what all of it asks for first', async () => {
    const { core, batches } = watched();
    const gathered = gathering(core);
    const begun: number[] = [];
    let turns = 0;
    let over = false;
    const others = (): void => {
      turns++;
      if (!over) setImmediate(others);
    };
    others();
    const results = gathered.forEach([1, 2, 3, 4], async (i) => {
      begun.push(i);
      for (const begin = performance.now(); performance.now() - begin < 6;);
      if (i === 3) throw new Error('the third');
      return (await gathered.run([power(n, [BigInt(i), 2n])]))[0];
    });
    await expect(results).rejects.toThrow('the third');
    over = true;
    expect(begun).toEqual([1, 2, 3, 4]);
    expect(turns).toBeGreaterThanOrEqual(4);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(batches).toEqual([3]);
    expect(await gathered.forEach([], () => Promise.resolve(1))).toEqual([]);
    expect(await gathered.forEach([5n, 6n], async (i) => (await gathered.run([power(n, [i, 2n])]))[0])).toEqual([25n, 36n]);
  });

  test('goes on after work that could not even begin', async () => {
    const gathered = gathering(watched().core);
    const broken = gathered.forEach([1], () => {
      throw new Error('no beginning');
    });
    await expect(broken).rejects.toThrow('no beginning');
    expect(await gathered.run([power(n, [2n, 3n])])).toEqual([8n]);
  });

  test('a call that fails takes no other with it', async () => {
    const gathered = gathering(watched().core);
    const results = await Promise.allSettled([
      gathered.run([power(n, [2n, 3n])]),
      gathered.run([power(n, [0n, -1n])]),
      gathered.run([power(n, [3n, 2n])]),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((results[2] as { value: unknown }).value).toEqual([9n]);
    await expect(gathered.run([power(n, [0n, -1n])])).rejects.toThrow();
  });
});
