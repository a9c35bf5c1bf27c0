/**
 * Sealing: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a random 24-byte nonce, and Argon2id (RFC 9106) from a passphrase to a key.
 * Both are recorded by name and parameters beside what they sealed, and both records are part of the authenticated data.
 */
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { argon2id } from 'hash-wasm';
import { concatBytes, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';

export const CIPHER = 'xchacha20-poly1305';
const NONCE = 24;
const TAG = 16;
/** Bytes that sealing adds: nonce and tag. */
export const SEAL_OVERHEAD = NONCE + TAG;

/** nonce ‖ ciphertext ‖ tag. `key` is 32 bytes. Random nonces of 192 bits make a repetition negligible for any number of messages. */
export function seal(random: Random, key: Uint8Array, associated: Uint8Array, plain: Uint8Array): Uint8Array {
  const nonce = random.bytes(NONCE);
  return concatBytes(nonce, xchacha20poly1305(key, nonce, associated).encrypt(plain));
}

/** What was sealed, or undefined when key, associated data or any bit differ. */
export function unseal(key: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < SEAL_OVERHEAD) return undefined;
  try {
    return xchacha20poly1305(key, sealed.subarray(0, NONCE), associated).decrypt(sealed.subarray(NONCE));
  } catch {
    return undefined; // the library's only failure here is a wrong tag
  }
}

export interface KdfParameters {
  readonly name: 'argon2id';
  readonly memory_kib: number;
  readonly iterations: number;
  readonly parallelism: number;
}

/** About 0.25 s per guess on one core, and 64 MiB each: the second recommended set of RFC 9106 §4, on one lane. */
export const KDF: KdfParameters = { name: 'argon2id', memory_kib: 64 * 1024, iterations: 3, parallelism: 1 };

/** Whether `found` is at least as strong as {@link KDF} and cheap enough not to exhaust the machine that opens the file. */
export function acceptableKdf(found: KdfParameters): boolean {
  const within = (n: number, low: number, high: number) => Number.isSafeInteger(n) && n >= low && n <= high;
  return (
    found.name === 'argon2id' &&
    within(found.memory_kib, KDF.memory_kib, 1024 * 1024) &&
    within(found.iterations, KDF.iterations, 16) &&
    within(found.parallelism, 1, 8)
  );
}

const MINIMUM_PASSPHRASE = 8;

/** 32-byte key. The passphrase is taken in Unicode normal form C, so that the same text typed on another keyboard gives the same key. */
export async function keyFromPassphrase(passphrase: string, salt: Uint8Array, parameters: KdfParameters): Promise<Uint8Array> {
  const password = utf8(passphrase.normalize('NFC'));
  try {
    return await argon2id({
      password,
      salt,
      memorySize: parameters.memory_kib,
      iterations: parameters.iterations,
      parallelism: parameters.parallelism,
      hashLength: 32,
      outputType: 'binary',
    });
  } finally {
    password.fill(0);
  }
}

/** @throws Refusal for a passphrase too short to be chosen for a new seal. */
export function checkNewPassphrase(passphrase: string): void {
  if ([...passphrase].length < MINIMUM_PASSPHRASE) {
    throw new Refusal(
      'vault.weak_passphrase',
      'passphrase',
      `the passphrase is shorter than ${MINIMUM_PASSPHRASE} characters`,
      'choose a longer one, for instance six random words',
      422,
    );
  }
}
