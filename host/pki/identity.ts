/**
 * The file of a node's long-term Ed25519 identity. It signs protocol messages and votes, so that what a node said can be shown to others; it is
 * not the key of its certificate, because certificates are renewed and a signature over evidence must outlive them.
 */
import { dirname } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { LocalIdentity } from '../consensus/identity.ts';
import { privateFolder, readIfPresent, writeDurably } from '../storage/files.ts';

/** Makes a fresh identity and writes it to `file` (PKCS#8, 0600). @throws Refusal `pki.identity_exists`: an identity is never replaced silently. */
export async function createIdentity(file: string, nodeId: string): Promise<LocalIdentity> {
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
  const identity = LocalIdentity.generate(nodeId);
  await writeDurably(file, utf8(identity.toPem()));
  return identity;
}

/** Reads the identity that {@link createIdentity} wrote. @throws Refusal naming the file, and nothing of what it holds. */
export async function openIdentity(file: string, nodeId: string): Promise<LocalIdentity> {
  const remedy = 'restore it from the backup of this node; its peers know the node by this key';
  const bytes = await readIfPresent(file);
  if (bytes === undefined) throw new Refusal('pki.file_missing', file, `${file} is missing`, remedy, 404);
  try {
    return LocalIdentity.fromPem(nodeId, new TextDecoder().decode(bytes));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal('pki.file_broken', file, `${file} holds no Ed25519 private key`, remedy, 422);
  } finally {
    bytes.fill(0);
  }
}
