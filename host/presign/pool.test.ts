import { createHash } from 'node:crypto';
import { copyFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { Defect } from '../base/errors.ts';
import { openBurnJournal, type BurnJournal } from '../storage/burns.ts';
import { scratch } from '../storage/testing/children.ts';
import { createVault, type Vault } from '../storage/vault.ts';
import { PresignaturePool, type PoolOptions } from './pool.ts';
import type { PresignatureRecord } from './record.ts';
import { burnOpened, markOpened, markSpent, stateOf } from './states.ts';

const MEMBERS = ['node-1', 'node-2', 'node-3', 'node-4', 'node-5'];
const SETS = [
  ['node-1', 'node-2', 'node-3', 'node-4'],
  ['node-1', 'node-2', 'node-3', 'node-5'],
  ['node-1', 'node-3', 'node-4', 'node-5'],
];
const digest = (text: string) => new Uint8Array(createHash('sha256').update(text).digest());
const keyId = digest('key');
const refusal = (code: string) => expect.objectContaining({ name: 'Refusal', code });

/** The first byte says which signer of the set is the first to choose it: the one at that position, here this node. */
const idOf = (text: string, position = 0) => digest(text).with(0, position);
const record = (n: number, change: Partial<PresignatureRecord> = {}): PresignatureRecord => ({
  id: idOf(`id ${n}`),
  sid: digest(`sid ${n}`),
  noncePoint: new Uint8Array([2, ...digest(`gamma ${n}`)]),
  signers: SETS[n % 3]!,
  createdAt: 1_000 + n,
  keyId,
  epoch: 0,
  generationMs: 5,
  secret: new Uint8Array(400).fill(n % 256),
  ...change,
});

let root: string;
let vault: Vault;
let burns: BurnJournal;
let seen: BurnJournal;
let wallet = 0;
// One vault for all tests (its key derivation is slow on purpose), one wallet and one pair of journals for each.
beforeAll(async () => {
  root = await scratch();
  vault = await createVault(join(root, 'vault'), 'a passphrase of the test');
});
afterAll(async () => {
  await vault.close();
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  wallet++;
  burns = await openBurnJournal(join(root, `burns-${wallet}`));
  seen = await openBurnJournal(join(root, `seen-${wallet}`));
});
afterEach(async () => {
  await burns.close();
  await seen.close();
});
const open = (change: Partial<PoolOptions> = {}) =>
  PresignaturePool.open({ vault, burns, seen, self: 'node-1', walletId: `w${wallet}`, keyId, epoch: 0, members: MEMBERS, ...change });
const filled = async (count: number) => {
  const pool = await open();
  for (let n = 0; n < count; n++) await pool.add(record(n));
  return pool;
};
const stored = async () => (await vault.list('presignature')).filter((name) => name.startsWith(`w${wallet}.`));

describe('choosing', () => {
  it('passes over what is promised to another payment, until that releases it', async () => {
    const pool = await filled(6);
    const first = pool.choose(SETS[0]!)!;
    pool.promise(first.ids);
    const second = pool.choose(SETS[0]!)!;
    expect(hex(second.ids[0]!)).not.toBe(hex(first.ids[0]!));
    expect(pool.choose(SETS[0]!, 2)).toBeUndefined();
    pool.promise(second.ids);
    expect(pool.choose(SETS[0]!)).toBeUndefined();
    pool.release(first.ids);
    expect(pool.choose(SETS[0]!)).toEqual(first);
    // A promise says who may choose, not who may open: the journal alone makes a use.
    await pool.open(second.ids, digest('request'));
  });

  it('takes the oldest of a set whose members are all online', async () => {
    const pool = await filled(6);
    const first = (online: string[]) => pool.choose(online)?.ids.map(hex)[0];
    expect(first(MEMBERS)).toBe(hex(record(0).id));
    expect(first(['node-1', 'node-2', 'node-3', 'node-5'])).toBe(hex(record(1).id));
    expect(first(['node-5', 'node-4', 'node-3', 'node-1'])).toBe(hex(record(2).id));
    expect(pool.choose(['node-1', 'node-2', 'node-4', 'node-5'])).toBeUndefined();
    expect(pool.choose(MEMBERS, 2)!.ids.map(hex)).toEqual([0, 3].map((n) => hex(record(n).id)));
    expect(pool.choose(MEMBERS, 3)).toBeUndefined();
    expect(pool.levels()).toEqual([0, 1, 2].map((n) => ({ signers: SETS[n], ready: 2, oldest: 1_000 + n })));
    expect(pool.available(SETS[1]).map(({ createdAt }) => createdAt)).toEqual([1_001, 1_004]);
  });

  it('leaves alone what another signer chooses first, as long as there is enough of its own', async () => {
    const pool = await open();
    for (const [n, position] of [1, 2, 0, 0].entries()) await pool.add(record(n, { id: idOf(`id ${n}`, position), signers: SETS[0]! }));
    const chosen = (count: number) => pool.choose(MEMBERS, count)?.ids.map((id) => id[0]);
    expect([1, 2, 3, 4, 5].map(chosen)).toEqual([[0], [0, 0], [0, 0, 1], [0, 0, 1, 2], undefined]);
    // One of a younger set that is its own comes before an older one that is not.
    await pool.open(
      [2, 3].map((n) => idOf(`id ${n}`)),
      digest('request'),
    );
    await pool.add(record(7));
    expect(pool.choose(MEMBERS)).toEqual({ signers: SETS[1], ids: [record(7).id] });
    await pool.settle();
  });

  it('is the same on every node that holds the same presignatures, whatever the order they came in', async () => {
    const records = Array.from({ length: 9 }, (_, n) => record(n, { createdAt: 1_000 + (n % 2) }));
    const choices: unknown[] = [];
    for (const order of [records, [...records].reverse()]) {
      const own = await openBurnJournal(join(root, `seen-order-${choices.length}`));
      const pool = await open({
        walletId: `order-${choices.length}`,
        seen: own,
      });
      for (const r of order) await pool.add(r);
      choices.push([pool.choose(MEMBERS, 2), pool.choose(SETS[2]!), pool.levels()]);
      await own.close();
    }
    expect(choices[1]).toEqual(choices[0]);
  });
});

describe('opening', () => {
  it('fixes the request, hands the secrets out once, and deletes them', async () => {
    const pool = await filled(4);
    const ids = [record(0).id, record(3).id];
    const opening = await pool.open(ids, digest('request'));
    expect(opening.records.map(({ secret }) => secret)).toEqual([record(0).secret, record(3).secret]);
    expect(ids.map((id) => stateOf(burns, id))).toEqual(ids.map(() => ({ name: 'opened', request: digest('request') })));
    expect(pool.counters).toEqual({ available: 2, in_use: 2, used: 0, failed: 0 });
    for (const request of ['request', 'another request'])
      await expect(pool.open([record(0).id], digest(request))).rejects.toEqual(refusal('presignature.unknown'));
    await pool.settle();
    expect(await stored()).toEqual([1, 2].map((n) => `w${wallet}.${hex(record(n).id)}`).sort());
    await expect(pool.add(record(0, { sid: digest('other'), noncePoint: new Uint8Array(33).fill(3) }))).rejects.toEqual(
      refusal('presignature.burnt'),
    );
  });

  it('ends by spending: durably before the secrets are seen, once, and wiped afterwards', async () => {
    const pool = await filled(1);
    const opening = await pool.open([record(0).id], digest('request'));
    const seenState = await opening.spend(([mine]) => [mine!.secret.slice(), stateOf(burns, record(0).id).name]);
    expect(seenState).toEqual([record(0).secret, 'spent']);
    expect(opening.records[0]!.secret.every((byte) => byte === 0)).toBe(true);
    await expect(opening.spend(() => 0)).rejects.toEqual(refusal('presignature.ended'));
    expect([await opening.burn('too late'), opening.state, stateOf(burns, record(0).id).name]).toEqual([false, 'spent', 'spent']);
    expect(pool.counters).toEqual({ available: 0, in_use: 0, used: 1, failed: 0 });
    await pool.settle();
  });

  it('or by burning: then nothing is ever signed with it', async () => {
    const pool = await filled(1);
    const opening = await pool.open([record(0).id], digest('request'));
    expect(await opening.burn('a vote is missing')).toBe(true);
    expect(await opening.burn('again')).toBe(false);
    await expect(opening.spend(() => 0)).rejects.toEqual(refusal('presignature.ended'));
    expect(opening.records[0]!.secret.every((byte) => byte === 0)).toBe(true);
    expect(stateOf(burns, record(0).id)).toEqual({ name: 'burnt', request: digest('request') });
    expect(pool.counters).toEqual({ available: 0, in_use: 0, used: 0, failed: 1 });
    await pool.settle();
  });

  it('of spending and burning at once lets one happen', async () => {
    const pool = await filled(2);
    for (const [n, order] of [
      ['spend', 'burn'],
      ['burn', 'spend'],
    ].entries()) {
      const opening = await pool.open([record(n).id], digest('request'));
      const results = await Promise.allSettled(order.map((what) => (what === 'spend' ? opening.spend(() => true) : opening.burn('x'))));
      const done = results.filter((result) => result.status === 'fulfilled' && result.value === true);
      expect([done.length, stateOf(burns, record(n).id).name]).toEqual([1, order[0] === 'spend' ? 'spent' : 'burnt']);
    }
    await pool.settle();
  });

  it('is all or nothing: with one missing or named twice, none is opened', async () => {
    const pool = await filled(2);
    for (const ids of [
      [record(0).id, record(9).id],
      [record(0).id, record(1).id, record(0).id],
    ])
      await expect(pool.open(ids, digest('request'))).rejects.toEqual(refusal('presignature.unknown'));
    expect([pool.counters.available, burns.size]).toEqual([2, 0]);
  });

  it('gives each presignature to exactly one of many callers', async () => {
    const pool = await filled(5);
    const results = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => pool.open([record(i % 5).id], digest(`request ${i}`))));
    const won = results.filter((result) => result.status === 'fulfilled').map(({ value }) => hex(value.records[0]!.id));
    expect(won.sort()).toEqual([0, 1, 2, 3, 4].map((n) => hex(record(n).id)).sort());
    expect([pool.counters.available, pool.counters.in_use]).toEqual([0, 5]);
    await pool.settle();
  });

  it('never hands out one that the journal has, even when its file is still there', async () => {
    const pool = await filled(2);
    await markOpened(burns, [record(0).id], digest('another request'));
    await expect(pool.open([record(0).id], digest('request'))).rejects.toEqual(refusal('burn.repeated'));
    expect(pool.counters).toMatchObject({ available: 1, failed: 1, in_use: 0 });
    await pool.settle();
    expect(await stored()).toHaveLength(1);
  });

  it('is lost, not put back, when its file cannot be read', async () => {
    const pool = await filled(1);
    const path = join(root, 'vault', 'entries', 'presignature', `${(await stored())[0]}.sealed`);
    const content = await readFile(path);
    content[60]! ^= 1;
    await writeFile(path, content);
    await expect(pool.open([record(0).id], digest('request'))).rejects.toEqual(refusal('vault.altered'));
    expect(pool.counters).toEqual({ available: 0, in_use: 0, used: 0, failed: 1 });
    expect(burns.has(record(0).id)).toBe(true);
  });

  it.each([
    ['after the opening is on disk, before anything is deleted', 'opened'],
    ['after the end is on disk', 'spent'],
  ] as const)('a crash %s leaves nothing to use', async (_what, last) => {
    await filled(2);
    // What a process leaves that ends here: the journal as far as it came, and the file.
    await markOpened(burns, [record(0).id], digest('request'));
    if (last === 'spent') await markSpent(burns, [record(0).id], digest('request'));
    expect(await burnOpened(burns)).toBe(last === 'spent' ? 0 : 1);
    expect(await burnOpened(burns)).toBe(0);
    const again = await open();
    expect(again.dropped).toEqual(new Map([['burnt', 1]]));
    expect(stateOf(burns, record(0).id).name).toBe(last === 'spent' ? 'spent' : 'burnt');
    await expect(again.open([record(0).id], digest('request'))).rejects.toEqual(refusal('presignature.unknown'));
    expect(await stored()).toHaveLength(1);
    expect((await open()).dropped.size).toBe(0);
  });

  it('a journal of before there were openings means used', async () => {
    await filled(1);
    await burns.burn(record(0).id, digest('a signature'));
    expect((await open()).counters.available).toBe(0);
  });

  it('holds for every sequence of adding, spending, burning, discarding and loading again', async () => {
    const step = fc.record({ what: fc.constantFrom('add', 'spend', 'burn', 'discard', 'reopen'), n: fc.nat(7) });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const walletId = `p${++run}`;
        const own = (n: number) =>
          record(n, {
            id: digest(`${run} id ${n}`),
            sid: digest(`${run} sid ${n}`),
            noncePoint: new Uint8Array([3, ...digest(`${run} g ${n}`)]),
          });
        let pool = await open({ walletId });
        const ready = new Set<number>();
        for (const { what, n } of steps) {
          const { id } = own(n);
          if (what === 'reopen') pool = await open({ walletId });
          else if (what === 'discard') {
            expect(await pool.discard([id], 'test')).toBe(ready.delete(n) ? 1 : 0);
          } else if (what === 'add') {
            const added = await pool.add(own(n)).then(
              () => true,
              () => false,
            );
            // Seen once is seen for ever: neither a ready nor a spent one comes a second time.
            if (added) expect(ready.has(n)).toBe(false);
            if (added) ready.add(n);
          } else {
            const opening = await pool.open([id], digest('x')).catch(() => undefined);
            expect(opening !== undefined).toBe(ready.delete(n));
            if (opening !== undefined) expect(await (what === 'spend' ? opening.spend(() => true) : opening.burn('x'))).toBe(true);
          }
          expect(pool.counters.available).toBe(ready.size);
        }
      }),
      { numRuns: 15 },
    );
  });
});

describe('adding', () => {
  it('refuses a nonce point or a session seen before, whatever became of it', async () => {
    const pool = await filled(1);
    await pool.open([record(0).id], digest('request'));
    await expect(pool.add(record(7, { noncePoint: record(0).noncePoint }))).rejects.toEqual(refusal('presignature.repeated'));
    await expect(pool.add(record(7, { sid: record(0).sid }))).rejects.toEqual(refusal('presignature.repeated'));
    await pool.settle();
    const again = await open();
    await expect(again.add(record(7, { noncePoint: record(0).noncePoint }))).rejects.toEqual(refusal('presignature.repeated'));
    expect(again.counters.available).toBe(0);
  });

  it('refuses one of another key, epoch or committee, and ill-shaped ones', async () => {
    const pool = await open();
    for (const change of [{ keyId: digest('other') }, { epoch: 1 }, { signers: ['node-1', 'node-9'] }]) {
      await expect(pool.add(record(0, change))).rejects.toEqual(refusal('presignature.mismatch'));
    }
    for (const change of [
      { signers: ['node-2', 'node-3'] },
      { signers: ['node-1', 'node-1'] },
      { id: new Uint8Array(31) },
      { noncePoint: new Uint8Array(32) },
    ]) {
      await expect(pool.add(record(0, change))).rejects.toBeInstanceOf(Defect);
    }
    expect(seen.size).toBe(0);
  });
});

describe('loading', () => {
  it('finds what was ready, and nothing else', async () => {
    await filled(6);
    const again = await open();
    expect(again.counters.available).toBe(6);
    expect((await again.open([record(4).id], digest('x'))).records[0]!.secret).toEqual(record(4).secret);
    await again.settle();
  });

  it.each([
    ['other_epoch', { epoch: 1 }, 6],
    ['other_key', { keyId: digest('next key') }, 6],
    ['other_members', { members: MEMBERS.slice(0, 4) }, 4],
  ] as const)('drops those of %s', async (reason, change, count) => {
    await filled(6);
    const again = await open(change);
    expect(again.dropped).toEqual(new Map([[reason, count]]));
    expect(await stored()).toHaveLength(6 - count);
  });

  it('drops unreadable ones and keeps the others', async () => {
    await filled(3);
    const files = (await readdir(join(root, 'vault', 'entries', 'presignature'))).filter((name) => name.startsWith(`w${wallet}.`));
    await writeFile(join(root, 'vault', 'entries', 'presignature', files[1]!), 'rubbish');
    const again = await open();
    expect([again.dropped, again.counters.available]).toEqual([new Map([['unreadable', 1]]), 2]);
  });

  it('drops all when the burn journal was replaced by a copy, removed, or set back', async () => {
    const path = join(root, `burns-${wallet}`);
    for (const replace of [
      async () => {
        await copyFile(path, `${path}.copy`);
        await rename(`${path}.copy`, path);
      },
      () => rm(path),
      // The same file with fewer burns, as a snapshot of the disk would bring it back.
      async () => writeFile(path, (await readFile(path)).subarray(0, 8)),
    ]) {
      const pool = await open();
      const base = 10 * wallet + seen.size;
      await pool.add(record(base));
      await pool.open([record(base).id], digest('request'));
      await pool.settle();
      await pool.add(record(base + 1));
      expect(pool.counters.available).toBe(1);
      await burns.close();
      await replace();
      burns = await openBurnJournal(path);
      const again = await open();
      expect([again.dropped, again.counters.available]).toEqual([new Map([['journal_replaced', 1]]), 0]);
    }
  });
});

it('expires by age, and discards what others burnt', async () => {
  const pool = await filled(6);
  expect(await pool.expire(1_002)).toBe(2);
  expect(await pool.discard([record(0).id, record(5).id], 'burnt elsewhere')).toBe(1);
  expect(pool.available().map(({ createdAt }) => createdAt)).toEqual([1_002, 1_003, 1_004]);
  expect([0, 1, 5].every((n) => burns.has(record(n).id))).toBe(true);
  expect(await stored()).toHaveLength(3);
});
