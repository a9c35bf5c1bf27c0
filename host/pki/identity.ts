/**
 * The long-term Ed25519 identity of a node (RFC 8032): it signs protocol messages and votes, so that what a node said can be shown to others.
 * It is not the key of its certificate: certificates are renewed, and a signature over evidence must outlive them.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Identity } from '../protocol/rounds.ts';
import { privateFolder, readIfPresent, writeDurably } from '../storage/files.ts';

/** An identity with its secret: signs as one node. */
export interface Signer {
  /** 32 bytes, lower-case hex: what the cluster's configuration lists. */
  readonly publicKey: string;
  sign(message: Uint8Array): Uint8Array;
}

/** DER in front of the 32 bytes of a raw Ed25519 public key (RFC 8410 §4). */
const SPKI_HEAD = fromHex('302a300506032b6570032100');
const PUBLIC_BYTES = 32;

const rawPublic = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' })).slice(-PUBLIC_BYTES);
const signerOf = (key: KeyObject): Signer => ({
  publicKey: hex(rawPublic(key)),
  sign: (message) => new Uint8Array(sign(null, message, key)),
});

/** Makes a fresh identity and writes it to `file` (PKCS#8, 0600). @throws Refusal `pki.identity_exists`: an identity is never replaced silently. */
export async function createIdentity(file: string): Promise<Signer> {
  await privateFolder(dirname(file));
  if ((await readIfPresent(file)) !== undefined) {
    throw new Refusal(
      'pki.identity_exists',
      file,
      `there already is an identity in ${file}`,
      'use it, or choose another file for a new node',
      409,
    );
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeDurably(file, utf8(privateKey.export({ format: 'pem', type: 'pkcs8' }) as string));
  return signerOf(privateKey);
}

/** Reads the identity that {@link createIdentity} wrote. @throws Refusal naming the file. */
export async function openIdentity(file: string): Promise<Signer> {
  const remedy = 'restore it from the backup of this node; its peers know the node by this key';
  const bytes = await readIfPresent(file);
  if (bytes === undefined) throw new Refusal('pki.file_missing', file, `${file} is missing`, remedy, 404);
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(new TextDecoder().decode(bytes));
  } catch {
    key = undefined; // reported below, without what the parser saw: it may quote the key
  }
  if (key?.asymmetricKeyType !== 'ed25519') throw new Refusal('pki.file_broken', file, `${file} holds no Ed25519 private key`, remedy, 422);
  return signerOf(key);
}

/** Verifies signatures of one node. `publicKey`: 32 bytes in hex. @throws RangeError on any other length. */
export function verifierOf(publicKey: string): (message: Uint8Array, signature: Uint8Array) => boolean {
  const raw = fromHex(publicKey);
  if (raw.length !== PUBLIC_BYTES) throw new RangeError(`an Ed25519 public key has ${PUBLIC_BYTES} bytes, got ${raw.length}`);
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' });
  return (message, signature) => signature.length === 64 && verify(null, message, key, signature);
}

/** The {@link Identity} of one protocol run: `publicKeys` are those of its parties, in index order. */
export function identityOf(signer: Signer, publicKeys: readonly string[]): Identity {
  const verifiers = publicKeys.map(verifierOf);
  return {
    sign: (message) => signer.sign(message),
    verify: (party, message, signature) => verifiers[party]?.(message, signature) ?? false,
  };
}
