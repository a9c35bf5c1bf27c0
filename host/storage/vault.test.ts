import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { linesOf, preparePrograms, scratch, type Programs } from './testing/children.ts';
import { createVault, openVault, vaultExists, type Vault } from './vault.ts';

const PASSPHRASE = 'correct horse battery staple';
const refusal = (code: string, field?: string) =>
  expect.objectContaining({ name: 'Refusal', code, ...(field && { field: expect.stringContaining(field) }) });

let folder: string;
let vault: Vault | undefined;
beforeEach(async () => {
  folder = await scratch();
});
afterEach(async () => {
  await vault?.close();
  vault = undefined;
  await rm(folder, { recursive: true, force: true });
});
/** Opened once, for tests that neither close nor reopen; each leaves it empty of what it altered. */
let shared: Vault;
let sharedFolder: string;
beforeAll(async () => {
  sharedFolder = await scratch();
  shared = await createVault(join(sharedFolder, 'v'), PASSPHRASE);
});
afterAll(async () => {
  await shared.close();
  await rm(sharedFolder, { recursive: true, force: true });
});
const sharedFile = (kind: string, id: string) => join(sharedFolder, 'v', 'entries', kind, `${id}.sealed`);
const create = async () => (vault = await createVault(join(folder, 'v'), PASSPHRASE));
const reopen = async (passphrase = PASSPHRASE) => {
  await vault?.close();
  return (vault = await openVault(join(folder, 'v'), passphrase));
};
const flip = async (path: string, at: number, mask = 1) => {
  const bytes = await readFile(path);
  bytes[at < 0 ? bytes.length + at : at]! ^= mask;
  await writeFile(path, bytes);
};

describe('contents', () => {
  it('gives back what was put, by kind and id, also after opening again', async () => {
    const v = await create();
    await v.put('key-share', 'wallet-1', utf8('share one'));
    await v.put('aux-info', 'wallet-1', utf8('aux'));
    await v.put('key-share', 'wallet-1', utf8('share two'));
    await v.put('key-share', 'empty', new Uint8Array(0));
    const again = await reopen();
    expect(await again.get('key-share', 'wallet-1')).toEqual(utf8('share two'));
    expect(await again.get('aux-info', 'wallet-1')).toEqual(utf8('aux'));
    expect(await again.get('key-share', 'empty')).toEqual(new Uint8Array(0));
    expect(await again.get('key-share', 'other')).toBeUndefined();
    expect(await again.list('key-share')).toEqual(['empty', 'wallet-1']);
    expect(await again.verify()).toBe(3);
    expect(await again.delete('key-share', 'empty')).toBe(true);
    expect(await again.delete('key-share', 'empty')).toBe(false);
    expect(await again.list('key-share')).toEqual(['wallet-1']);
  });

  it('keeps the order of calls on one entry', async () => {
    const v = shared;
    const writes = Array.from({ length: 12 }, (_, i) => v.put('key-share', 'w', Uint8Array.of(i)));
    const read = v.get('key-share', 'w');
    await Promise.all(writes);
    expect(await read).toEqual(Uint8Array.of(11));
  });

  it('shows no plain content on the disk, in files only the owner can read', async () => {
    const v = shared;
    const secret = utf8('a share that must not be seen on the disk');
    await v.put('key-share', 'w', secret);
    for (const entry of await readdir(join(sharedFolder, 'v'), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const { mode } = await stat(path);
      expect([path, mode & 0o077]).toEqual([path, 0]);
      if (entry.isFile()) expect(hex(await readFile(path))).not.toContain(hex(secret));
    }
  });

  it('refuses ids that are no plain names', async () => {
    const v = shared;
    for (const id of ['', '.hidden', '../key-share/w', 'a/b', 'x'.repeat(129)])
      await expect(v.put('key-share', id, utf8('x'))).rejects.toEqual(refusal('vault.entry_id'));
  });

  it('is of no use after it was closed', async () => {
    const v = await create();
    await v.close();
    await expect(v.get('key-share', 'w')).rejects.toBeInstanceOf(Defect);
  });
});

describe('tampering', () => {
  it('refuses an entry with any one bit changed, naming the file', async () => {
    const v = shared;
    await v.put('key-share', 'w', utf8('the share'));
    const path = sharedFile('key-share', 'w');
    const good = await readFile(path);
    for (let at = 0; at < good.length; at++) {
      await flip(path, at, 1 << (at % 8));
      await expect(v.get('key-share', 'w'), `byte ${at}`).rejects.toEqual(refusal(at === 4 ? 'vault.version' : 'vault.altered', path));
      await writeFile(path, good);
    }
    expect(await v.get('key-share', 'w')).toEqual(utf8('the share'));
  });

  it('refuses a file cut short, emptied or extended', async () => {
    const v = shared;
    await v.put('key-share', 'w', utf8('the share'));
    const path = sharedFile('key-share', 'w');
    const good = await readFile(path);
    for (const content of [
      good.subarray(0, good.length - 1),
      good.subarray(0, 20),
      new Uint8Array(0),
      Buffer.concat([good, Buffer.of(0)]),
    ]) {
      await writeFile(path, content);
      await expect(v.get('key-share', 'w')).rejects.toEqual(refusal('vault.altered', path));
    }
  });

  it('refuses entries swapped between ids and between kinds', async () => {
    const v = shared;
    await v.put('key-share', 'a', utf8('share a'));
    await v.put('key-share', 'b', utf8('share b'));
    await v.put('aux-info', 'a', utf8('aux a'));
    const [a, b, aux] = [sharedFile('key-share', 'a'), sharedFile('key-share', 'b'), sharedFile('aux-info', 'a')];
    await rename(a, `${a}.x`);
    await rename(b, a);
    await rename(`${a}.x`, b);
    await copyFile(b, aux);
    await expect(v.get('key-share', 'a')).rejects.toEqual(refusal('vault.altered', a));
    await expect(v.get('key-share', 'b')).rejects.toEqual(refusal('vault.altered', b));
    await expect(v.get('aux-info', 'a')).rejects.toEqual(refusal('vault.altered', aux));
    await expect(v.verify()).rejects.toEqual(refusal('vault.altered'));
  });

  it('refuses an entry of another vault with the same passphrase', async () => {
    const v = shared;
    await v.put('key-share', 'w', utf8('mine'));
    const other = await createVault(join(folder, 'other'), PASSPHRASE);
    await other.put('key-share', 'w', utf8('theirs'));
    await other.close();
    await copyFile(join(folder, 'other', 'entries', 'key-share', 'w.sealed'), sharedFile('key-share', 'w'));
    await expect(v.get('key-share', 'w')).rejects.toEqual(refusal('vault.altered'));
  });
});

describe('the header', () => {
  it('refuses a wrong passphrase, and every changed field', async () => {
    await create();
    await expect(reopen('another passphrase')).rejects.toEqual(refusal('vault.passphrase', 'passphrase'));
    const path = join(folder, 'v', 'vault.json');
    const good = JSON.parse(await readFile(path, 'utf8'));
    const flipped = (text: string) => (text.startsWith('0') ? '1' : '0') + text.slice(1);
    const cases: [unknown, string][] = [
      [{ ...good, version: 2 }, 'vault.version'],
      [{ ...good, vault_id: flipped(good.vault_id) }, 'vault.passphrase'],
      [{ ...good, created_at: '2020-01-01T00:00:00Z' }, 'vault.passphrase'],
      [{ ...good, cipher: 'none' }, 'vault.damaged'],
      [{ ...good, kdf: { ...good.kdf, salt: flipped(good.kdf.salt) } }, 'vault.passphrase'],
      [{ ...good, kdf: { ...good.kdf, iterations: 4 } }, 'vault.passphrase'],
      [{ ...good, kdf: { ...good.kdf, memory_kib: 8 } }, 'vault.damaged'],
      [{ ...good, kdf: { ...good.kdf, memory_kib: 2 ** 40 } }, 'vault.damaged'],
      [{ ...good, sealed_master_key: flipped(good.sealed_master_key) }, 'vault.passphrase'],
      [{ ...good, sealed_master_key: '' }, 'vault.damaged'],
      [{ ...good, extra: 1 }, 'vault.damaged'],
      [undefined, 'vault.damaged'],
    ];
    for (const [content, code] of cases) {
      await writeFile(path, JSON.stringify(content) ?? 'not json');
      await expect(reopen(), code).rejects.toEqual(refusal(code));
    }
    await writeFile(path, JSON.stringify(good));
    await reopen();
  });

  it('refuses to open without it, and to make a new vault over what is there', async () => {
    const v = await create();
    await v.put('key-share', 'w', utf8('share'));
    await v.close();
    await expect(createVault(join(folder, 'v'), PASSPHRASE)).rejects.toEqual(refusal('vault.exists'));
    const path = join(folder, 'v', 'vault.json');
    await rm(path);
    await expect(openVault(join(folder, 'v'), PASSPHRASE)).rejects.toEqual(refusal('vault.missing', path));
    await expect(createVault(join(folder, 'v'), PASSPHRASE)).rejects.toEqual(refusal('vault.missing', path));
    expect(await vaultExists(join(folder, 'v'))).toBe(false);
  });

  it('changes the passphrase, and not with a wrong one or to a weak one', async () => {
    const v = await create();
    await v.put('key-share', 'w', utf8('share'));
    await expect(v.changePassphrase('wrong passphrase', 'the next passphrase')).rejects.toEqual(refusal('vault.passphrase'));
    await expect(v.changePassphrase(PASSPHRASE, 'short')).rejects.toEqual(refusal('vault.weak_passphrase'));
    await v.changePassphrase(PASSPHRASE, 'the next passphrase');
    await v.put('key-share', 'later', utf8('later'));
    await expect(reopen()).rejects.toEqual(refusal('vault.passphrase'));
    const again = await reopen('the next passphrase');
    expect([await again.get('key-share', 'w'), await again.get('key-share', 'later')]).toEqual([utf8('share'), utf8('later')]);
  });
});

describe('the folder', () => {
  it('belongs to one opener at a time, also within a process', async () => {
    const v = await create();
    await expect(openVault(join(folder, 'v'), PASSPHRASE)).rejects.toEqual(refusal('storage.locked', 'v'));
    await v.close();
    await reopen();
  });

  it('is not held by a process id that has a new owner', async () => {
    const v = await create();
    await v.close();
    const dead = { pid: process.pid, host: (await import('node:os')).hostname(), started: 'an earlier boot/1' };
    await writeFile(join(folder, 'v', '.lock', 'holder-0'), JSON.stringify(dead));
    await reopen();
    await vault!.close();
    await writeFile(join(folder, 'v', '.lock', 'holder-0'), JSON.stringify({ ...dead, host: 'another-machine' }));
    await expect(reopen()).rejects.toEqual(refusal('storage.locked'));
  });

  it('must be private, and a folder', async () => {
    await mkdir(join(folder, 'open'), { mode: 0o755 });
    await chmod(join(folder, 'open'), 0o755);
    await expect(createVault(join(folder, 'open'), PASSPHRASE)).rejects.toEqual(refusal('storage.mode'));
    await writeFile(join(folder, 'file'), '');
    await expect(createVault(join(folder, 'file'), PASSPHRASE)).rejects.toEqual(refusal('storage.path'));
    await expect(createVault(join(folder, 'file', 'v'), PASSPHRASE)).rejects.toBeInstanceOf(Refusal);
    await expect(createVault(join(folder, 'v'), 'short')).rejects.toEqual(refusal('vault.weak_passphrase'));
  });
});

describe('kill -9', () => {
  let programs: Programs;
  beforeAll(async () => {
    programs = await preparePrograms();
  });
  afterAll(() => programs.dispose());

  // Writes generation after generation of one entry, creates and deletes others, and says what it was promised.
  const WRITER = `
    import { openVault } from './storage/vault.js';
    const [, , directory, passphrase, from] = process.argv;
    const vault = await openVault(directory, passphrase);
    const say = (line) => process.stdout.write(line + '\\n');
    say('open');
    for (let n = Number(from); ; n++) {
      const content = new Uint8Array(20000).fill(n % 251);
      new DataView(content.buffer).setUint32(0, n);
      await vault.put('key-share', 'counter', content);
      say('put ' + n);
      await vault.put('presignature', 'p' + (n % 5), content);
      await vault.delete('presignature', 'p' + ((n + 2) % 5));
    }`;

  it('loses nothing that was promised, goes never back, and leaves no rubbish, over 12 kills', async () => {
    const v = await create();
    await v.put('key-share', 'counter', new Uint8Array(20_000));
    await v.close();
    let promised = 0;
    for (let round = 0; round < 12; round++) {
      const child = await programs.start(WRITER, [join(folder, 'v'), PASSPHRASE, String(promised + 1)]);
      let armed = false;
      const lines = await linesOf(child, (line) => {
        // At a moment somewhere in the next writes.
        if (line.startsWith('put') && !armed) {
          armed = true;
          setTimeout(() => child.kill('SIGKILL'), (round * 7) % 23);
        }
      });
      expect(lines[0]).toBe('open');
      promised = Math.max(promised, ...lines.filter((line) => line.startsWith('put')).map((line) => Number(line.slice(4))));
      if (round % 4 !== 3) continue; // the next writer opens it as well as we would
      const opened = await reopen();
      const content = (await opened.get('key-share', 'counter'))!;
      const n = new DataView(content.buffer).getUint32(0);
      expect(n === promised || n === promised + 1).toBe(true);
      expect(content.subarray(4).every((byte) => byte === n % 251)).toBe(true);
      expect(await opened.verify()).toBeGreaterThan(0);
      const names = await readdir(join(folder, 'v'), { recursive: true });
      expect(names.filter((name) => name.includes('.tmp-') && !name.startsWith('.lock'))).toEqual([]);
      promised = n;
      await opened.close();
    }
  });

  it('keeps a second process out while the first lives', async () => {
    const v = await create();
    await v.close();
    const child = await programs.start(WRITER, [join(folder, 'v'), PASSPHRASE, '1']);
    let attempt: Promise<unknown> | undefined;
    await linesOf(child, (line) => {
      if (line !== 'open') return;
      attempt = openVault(join(folder, 'v'), PASSPHRASE)
        .catch((error: unknown) => error)
        .finally(() => child.kill('SIGKILL'));
    });
    expect(await attempt).toEqual(refusal('storage.locked'));
    expect(String(((await attempt) as Error).message)).toContain(`process ${child.pid}`);
    await reopen();
  });
});
