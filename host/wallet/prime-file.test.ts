/** Primes of a file reach one node, once. */
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemRandom } from '../base/random.ts';
import { safePrime } from '../proofs/testing/instances.ts';
import { openBurnJournal, type BurnJournal } from '../storage/burns.ts';
import { scratch } from '../storage/testing/children.ts';
import { createVault, type Vault } from '../storage/vault.ts';
import { importPrimes, sealPrimes, type PrimeOwner } from './prime-file.ts';

const owner: PrimeOwner = { clusterId: new Uint8Array(32).fill(7), node: 'node-3', bits: 576 };
const passphrase = 'six random words of an operator';
const primes = Array.from({ length: 6 }, (_, i) => safePrime(576, i));

let folder: string;
let vault: Vault;
let journal: BurnJournal;
let file: Uint8Array;
beforeAll(async () => {
  folder = await scratch();
  vault = await createVault(join(folder, 'vault'), 'a passphrase of the tests');
  journal = await openBurnJournal(join(folder, 'burns', 'prime-files'));
  file = await sealPrimes(systemRandom, owner, primes.slice(0, 2), passphrase);
});
afterAll(async () => {
  await Promise.all([vault.close(), journal.close()]);
  await rm(folder, { recursive: true, force: true });
});

const read = (content: Uint8Array, given = passphrase, edit: { owner?: PrimeOwner; used?: bigint[] } = {}) =>
  importPrimes(content, given, { owner, vault, journal, used: [], random: systemRandom, ...edit });
const stock = async () => (await vault.list('safe-prime')).length;

test('a file shows nothing of its primes', () => {
  const text = Buffer.from(file).toString('hex');
  for (const prime of primes.slice(0, 2)) expect(text).not.toContain(prime.toString(16).slice(0, 16));
});

test.each([
  ['another node', { ...owner, node: 'node-4' }, 'primes.other_node'],
  ['another cluster', { ...owner, clusterId: new Uint8Array(32) }, 'primes.other_node'],
  ['other moduli', { ...owner, bits: 1536 }, 'primes.bits'],
])('of %s, it is refused', async (_, other, code) => {
  await expect(read(file, passphrase, { owner: other })).rejects.toMatchObject({ name: 'Refusal', code });
});

test('it opens with its passphrase only, and not after any change, the name of the node included', async () => {
  await expect(read(file, 'another passphrase')).rejects.toMatchObject({ code: 'primes.passphrase' });
  const renamed = Uint8Array.from(file);
  renamed[Buffer.from(file).indexOf('node-3') + 5] = '4'.charCodeAt(0);
  await expect(read(renamed, passphrase, { owner: { ...owner, node: 'node-4' } })).rejects.toMatchObject({ code: 'primes.passphrase' });
  const cut = file.slice(0, -1);
  await expect(read(cut)).rejects.toMatchObject({ code: 'primes.malformed' });
});

test('what is no fresh safe prime is refused, and nothing of the file is taken', async () => {
  const sealed = (numbers: bigint[]) => sealPrimes(systemRandom, owner, numbers, passphrase);
  await expect(read(await sealed([primes[2]!, primes[3]! + 2n]))).rejects.toMatchObject({ code: 'primes.not_safe' });
  await expect(read(await sealed([primes[2]!, safePrime(1024, 0) >> 448n]))).rejects.toMatchObject({ code: 'primes.not_safe' });
  await expect(read(await sealed([primes[2]!, primes[2]!]))).rejects.toMatchObject({ code: 'primes.repeated' });
  await expect(read(await sealed([primes[2]!, primes[3]!]), passphrase, { used: [primes[3]!] })).rejects.toMatchObject({
    code: 'primes.repeated',
  });
  expect([await stock(), journal.size]).toEqual([0, 0]);
});

test('it is read once: its primes are in the vault, the same file is refused, and so are its primes in another one', async () => {
  expect(await read(file)).toBe(2);
  expect(await stock()).toBe(2);
  await expect(read(file)).rejects.toMatchObject({ code: 'primes.consumed', status: 409 });
  await expect(read(await sealPrimes(systemRandom, owner, primes.slice(1, 3), passphrase))).rejects.toMatchObject({
    code: 'primes.repeated',
  });
  expect(await stock()).toBe(2);
  expect(await read(await sealPrimes(systemRandom, owner, primes.slice(2, 4), passphrase))).toBe(2);
});

test('a crash while it is read loses primes, and gives none twice', async () => {
  const two = await sealPrimes(systemRandom, owner, primes.slice(4, 6), passphrase);
  const before = await stock();
  let puts = 0;
  const failing: Vault = { ...vault, list: (kind) => vault.list(kind), get: (kind, id) => vault.get(kind, id), put: (kind, id, content) => (++puts === 2 ? Promise.reject(new Error('power')) : vault.put(kind, id, content)) }; // prettier-ignore
  await expect(importPrimes(two, passphrase, { owner, vault: failing, journal, used: [], random: systemRandom })).rejects.toThrow('power');
  expect(await stock()).toBe(before + 1);
  await expect(read(two)).rejects.toMatchObject({ code: 'primes.consumed' });
});
