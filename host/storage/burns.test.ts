import { appendFile, copyFile, open as openFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hex } from '../base/bytes.ts';
import { openBurnJournal, type BurnJournal } from './burns.ts';
import { linesOf, preparePrograms, scratch, type Programs } from './testing/children.ts';

const id = (n: number) => new Uint8Array(createHash('sha256').update(`id ${n}`).digest());
const purpose = (n: number) => new Uint8Array(createHash('sha256').update(`purpose ${n}`).digest());
const refusal = (code: string) => expect.objectContaining({ name: 'Refusal', code });

let folder: string;
let path: string;
let journal: BurnJournal | undefined;
beforeEach(async () => {
  folder = await scratch();
  path = join(folder, 'burns');
});
afterEach(async () => {
  await journal?.close();
  journal = undefined;
  await rm(folder, { recursive: true, force: true });
});
const open = async () => {
  await journal?.close();
  journal = undefined;
  return (journal = await openBurnJournal(path));
};
const filled = async (count: number) => {
  const j = await open();
  for (let n = 0; n < count; n++) await j.burn(id(n), purpose(n));
  await j.close();
  return readFile(path);
};

describe('burning', () => {
  it('is once and for all, whatever the purpose, also after opening again', async () => {
    const j = await open();
    await j.burn(id(1), purpose(1));
    await expect(j.burn(id(1), purpose(1))).rejects.toEqual(refusal('burn.repeated'));
    await expect(j.burn(id(1), purpose(2))).rejects.toEqual(refusal('burn.repeated'));
    const again = await open();
    expect([again.has(id(1)), again.has(id(2)), again.size]).toEqual([true, false, 1]);
    expect(again.purposeOf(id(1))).toEqual(purpose(1));
    await expect(again.burn(id(1), purpose(1))).rejects.toEqual(refusal('burn.repeated'));
  });

  it('lets exactly one of many calls at once through, and writes many burns in few syncs', async () => {
    const j = await open();
    const results = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => j.burn(id(0), purpose(n))));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await Promise.all(Array.from({ length: 500 }, (_, n) => j.burn(id(n + 1), purpose(n))));
    expect((await open()).size).toBe(501);
  });

  it('burns a group wholly or not at all', async () => {
    const j = await open();
    await j.burn(id(2), purpose(0));
    await expect(j.burnAll([1, 2, 3].map((n) => ({ id: id(n), purpose: purpose(n) })))).rejects.toEqual(refusal('burn.repeated'));
    await expect(j.burnAll([4, 4].map((n) => ({ id: id(n), purpose: purpose(n) })))).rejects.toEqual(refusal('burn.repeated'));
    expect([1, 3, 4].map((n) => j.has(id(n)))).toEqual([false, false, false]);
    await j.burnAll([1, 3].map((n) => ({ id: id(n), purpose: purpose(n) })));
    expect((await open()).size).toBe(3);
  });

  it('keeps its own copy of what it was given', async () => {
    const j = await open();
    const mine = id(1);
    const burning = j.burn(mine, purpose(1));
    mine.fill(0);
    await burning;
    expect((await open()).has(id(1))).toBe(true);
  });
});

describe('after a crash or damage', () => {
  it('cuts off a record that was not wholly written, at every length', async () => {
    const whole = await filled(3);
    for (let length = whole.length - 79; length < whole.length; length += 13) {
      await writeFile(path, whole.subarray(0, length));
      const j = await open();
      expect([j.size, j.has(id(1)), j.has(id(2))]).toEqual([2, true, false]);
      await j.burn(id(9), purpose(9));
      expect((await open()).size).toBe(3);
    }
  });

  it('cuts off zeros that a loss of power left at the end', async () => {
    const whole = await filled(3);
    await appendFile(path, new Uint8Array(200));
    expect((await open()).size).toBe(3);
    await journal!.close();
    expect((await stat(path)).size).toBe(whole.length);
    await writeFile(path, new Uint8Array(4096));
    expect((await open()).size).toBe(0);
  });

  it('starts from a magic cut short', async () => {
    await writeFile(path, 'TWB', { mode: 0o600 });
    expect((await open()).size).toBe(0);
  });

  it('refuses any one byte changed in any record, the last included', async () => {
    const whole = await filled(3);
    for (let at = 0; at < whole.length; at += 3) {
      const bad = Buffer.from(whole);
      bad[at]! ^= 0x40;
      await writeFile(path, bad);
      await expect(open(), `byte ${at}`).rejects.toEqual(refusal('burn.damaged'));
    }
  });

  it('refuses records removed from the middle, swapped, or appended twice', async () => {
    const whole = await filled(3);
    const record = (n: number) => whole.subarray(8 + 80 * n, 88 + 80 * n);
    const front = whole.subarray(0, 8);
    for (const order of [
      [0, 2],
      [1, 0, 2],
      [0, 1, 2, 2],
      [1, 2],
    ]) {
      await writeFile(path, Buffer.concat([front, ...order.map(record)]));
      await expect(open()).rejects.toEqual(refusal('burn.damaged'));
    }
  });

  it('has another incarnation when it was copied', async () => {
    await filled(1);
    const { incarnation } = await open();
    await journal!.close();
    await copyFile(path, `${path}.copy`);
    const copy = await openBurnJournal(`${path}.copy`);
    expect(copy.incarnation).not.toBe(incarnation);
    await copy.close();
  });
});

it('goes on refusing after a failed sync, until it is opened anew', async () => {
  const j = await open();
  await j.burn(id(1), purpose(1));
  const probe = await openFile(path);
  const sync = vi.spyOn(Object.getPrototypeOf(probe), 'datasync').mockRejectedValueOnce(Object.assign(new Error('EIO'), { code: 'EIO' }));
  await probe.close();
  await expect(j.burn(id(2), purpose(2))).rejects.toMatchObject({ name: 'Unavailable', dependency: 'burn journal' });
  sync.mockRestore();
  await expect(j.burn(id(3), purpose(3))).rejects.toMatchObject({ name: 'Unavailable' });
  await expect(j.burn(id(2), purpose(2))).rejects.toMatchObject({ name: 'Unavailable' });
  expect([j.has(id(2)), j.purposeOf(id(2))]).toEqual([true, undefined]);
  // Opened anew, the disk decides: this one had the bytes.
  const again = await open();
  expect([again.has(id(1)), again.has(id(2)), again.has(id(3))]).toEqual([true, true, false]);
});

describe('other processes', () => {
  let programs: Programs;
  beforeAll(async () => {
    programs = await preparePrograms();
  });
  afterAll(() => programs.dispose());

  const BURNER = `
    import { createHash } from 'node:crypto';
    import { openBurnJournal } from './storage/burns.js';
    const [, , path, from] = process.argv;
    const id = (n) => new Uint8Array(createHash('sha256').update('id ' + n).digest());
    try {
      const journal = await openBurnJournal(path);
      process.stdout.write('open\\n');
      for (let n = Number(from); ; n += 3) {
        // Three at once, so that group commits are interrupted too.
        await Promise.all([n, n + 1, n + 2].map((k) => journal.burn(id(k), id(k)).then(() => process.stdout.write('burnt ' + k + '\\n'))));
      }
    } catch (error) {
      process.stdout.write('refused ' + error.code + '\\n');
    }`;

  it('lose no promised burn when killed, over 8 kills', async () => {
    let next = 0;
    for (let round = 0; round < 8; round++) {
      const child = await programs.start(BURNER, [path, String(next)]);
      let armed = false;
      const lines = await linesOf(child, (line) => {
        if (line.startsWith('burnt') && !armed) {
          armed = true;
          setTimeout(() => child.kill('SIGKILL'), (round * 5) % 17);
        }
      });
      const burnt = lines.filter((line) => line.startsWith('burnt')).map((line) => Number(line.slice(6)));
      const j = await open();
      expect(burnt.length).toBeGreaterThan(0);
      expect(burnt.every((n) => j.has(id(n)))).toBe(true);
      next = Math.max(...burnt) + 10;
      await j.close();
      journal = undefined;
    }
  });

  it('cannot burn beside the one that has the journal open', async () => {
    await open();
    const lines = await linesOf(await programs.start(BURNER, [path, '0']));
    expect(lines).toEqual(['refused storage.locked']);
    expect(journal!.size).toBe(0);
  });
});

it('knows nothing but digests', async () => {
  await filled(1);
  const file = await readFile(path);
  expect(hex(file.subarray(8, 72))).toBe(hex(id(0)) + hex(purpose(0)));
  await truncate(path, 8);
  expect((await open()).size).toBe(0);
});
