/**
 * Safe primes made ahead of time, perhaps on a faster machine, on their way into the stock of one node: a file sealed under a passphrase of that node
 * and bound to its name and cluster.
 *
 * Two moduli with a common prime are both factored by one gcd, so a prime must reach one party, once. A file opens for one node only, and its id is in
 * that node's journal, durably, before any of its primes is in the vault: a copy of the file is refused afterwards, and a crash in between loses primes
 * instead of giving them twice.
 */
import { hex, utf8 } from '../base/bytes.ts';
import { bytes, bytesUpTo, decode, DecodeError, encode, list, natural, struct, text, u32, versioned } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { isSafePrime } from '../core/primes.ts';
import { sha256, Transcript } from '../protocol/transcript.ts';
import type { BurnJournal } from '../storage/burns.ts';
import { KDF, keyFromPassphrase, seal, unseal } from '../storage/seal.ts';
import type { Vault } from '../storage/vault.ts';
import { primeRecord } from './prime-stock.ts';

/** Primes of one file: four for each of sixteen changes of the auxiliary information. */
export const MAX_PRIMES = 64;
/** Of a file; 64 primes of 1536 bits take an eighth of it. */
export const MAX_PRIME_FILE_BYTES = 100_000;

/** Whose primes they are. */
export interface PrimeOwner {
  /** 32 bytes. */
  readonly clusterId: Uint8Array;
  readonly node: string;
  /** Of a prime. */
  readonly bits: number;
}

export const primeFile = versioned(
  1,
  struct({ id: bytes(32), clusterId: bytes(32), node: text(31), bits: u32, salt: bytes(16), sealed: bytesUpTo(MAX_PRIME_FILE_BYTES) }),
);
const content = (bits: number) => struct({ primes: list(natural(bits), { max: MAX_PRIMES }) });

const associated = ({ clusterId, node, bits }: PrimeOwner, id: Uint8Array): Uint8Array =>
  new Transcript('prime-file/v1').bytes(id).bytes(clusterId).text(node).u32(bits).preimage();

/** The file for `owner`. The passphrase is that of its vault, or another one that its operator gives when the file is read. */
export async function sealPrimes(random: Random, owner: PrimeOwner, primes: readonly bigint[], passphrase: string): Promise<Uint8Array> {
  const [id, salt] = [random.bytes(32), random.bytes(16)];
  const key = await keyFromPassphrase(passphrase, salt, KDF);
  const plain = encode(content(owner.bits), { primes: [...primes] });
  try {
    return encode(primeFile, { id, ...owner, salt, sealed: seal(random, key, associated(owner, id), plain) });
  } finally {
    key.fill(0);
    plain.fill(0);
  }
}

export interface PrimeImport {
  readonly owner: PrimeOwner;
  readonly vault: Vault;
  /** Of files that were read. */
  readonly journal: BurnJournal;
  /** The primes of all own moduli. */
  readonly used: readonly bigint[];
  readonly random: Random;
}

/**
 * Puts the primes of a file into the stock. Resolves with how many.
 * @throws Refusal for a file of another node, one that was read before, a wrong passphrase, and anything in it that is no fresh safe prime: nothing
 * of it is taken then
 */
export async function importPrimes(
  given: Uint8Array,
  passphrase: string,
  { owner, vault, journal, used, random }: PrimeImport,
): Promise<number> {
  const refuse = (code: string, message: string, remedy: string, status: 403 | 409 | 422 = 422): Refusal =>
    new Refusal(`primes.${code}`, 'file', message, remedy, status);
  let head;
  try {
    head = decode(primeFile, given);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw refuse('malformed', `not a file of safe primes: ${error.message}`, 'make one with `threshold-wallet primes make`');
  }
  if (head.node !== owner.node || hex(head.clusterId) !== hex(owner.clusterId))
    throw refuse(
      'other_node',
      `these primes are for ${head.node} of cluster ${hex(head.clusterId).slice(0, 8)}…`,
      'make a file for this node',
      403,
    );
  if (head.bits !== owner.bits) throw refuse('bits', `primes of ${head.bits} bits; this node needs ${owner.bits}`, 'make a new file');
  if (journal.has(head.id))
    throw refuse('consumed', 'this file was read before, and a prime serves once', 'make a new file, and delete this one', 409);
  const key = await keyFromPassphrase(passphrase, head.salt, KDF);
  const plain = unseal(key, associated(owner, head.id), head.sealed);
  key.fill(0);
  if (plain === undefined)
    throw refuse('passphrase', 'wrong passphrase, or the file was altered', 'give the passphrase that it was made with', 403);
  let primes: bigint[];
  try {
    ({ primes } = decode(content(owner.bits), plain));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw refuse('malformed', `not a list of primes: ${error.message}`, 'make a new file');
  } finally {
    plain.fill(0);
  }
  // Of what is in stock as well, so that no prime can come to be there twice.
  const known = new Set([...used, ...(await stocked(vault, owner.bits))]);
  for (const [i, prime] of primes.entries()) {
    if (known.has(prime)) throw refuse('repeated', `prime ${i + 1} of the file is in stock or in use already`, 'make a new file', 409);
    if (!(await isSafePrime(prime, owner.bits)))
      throw refuse('not_safe', `number ${i + 1} of the file is no safe prime`, 'make a new file');
    known.add(prime);
  }
  await journal.burn(head.id, sha256(utf8('threshold-wallet/primes/read')));
  for (const prime of primes) {
    const record = encode(primeRecord(owner.bits), prime);
    await vault.put('safe-prime', hex(random.bytes(16)), record);
    record.fill(0);
  }
  return primes.length;
}

async function stocked(vault: Vault, bits: number): Promise<bigint[]> {
  const primes: bigint[] = [];
  for (const id of await vault.list('safe-prime')) {
    const record = await vault.get('safe-prime', id);
    if (record === undefined) continue;
    primes.push(decode(primeRecord(bits), record));
    record.fill(0);
  }
  return primes;
}
