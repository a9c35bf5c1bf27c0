/** The vault's header file: how the passphrase becomes a key, and the master key sealed under it. JSON, so that an operator can read it. */
import { z } from 'zod';
import { bytes, encode, safeInteger, struct, text } from '../base/codec.ts';
import { fromHex, hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { acceptableKdf, CIPHER, KDF, keyFromPassphrase, seal, SEAL_OVERHEAD, unseal, type KdfParameters } from './seal.ts';

export const VAULT_VERSION = 1;
const KEY = 32;
const ID = 16;
const SALT = 16;

const hexOf = (length: number) => z.string().regex(new RegExp(`^[0-9a-f]{${length * 2}}$`));
const Header = z.strictObject({
  version: z.literal(VAULT_VERSION),
  vault_id: hexOf(ID),
  created_at: z.iso.datetime(),
  cipher: z.literal(CIPHER),
  kdf: z.strictObject({ name: z.literal('argon2id'), memory_kib: z.int(), iterations: z.int(), parallelism: z.int(), salt: hexOf(SALT) }),
  sealed_master_key: hexOf(KEY + SEAL_OVERHEAD),
});
export type VaultHeader = z.infer<typeof Header>;

const associatedCodec = struct({
  domain: text(64),
  version: safeInteger,
  vaultId: bytes(ID),
  createdAt: text(64),
  cipher: text(64),
  kdf: text(64),
  memory: safeInteger,
  iterations: safeInteger,
  parallelism: safeInteger,
  salt: bytes(SALT),
});

/** Everything in the header but the sealed key, so that no field can be changed without the passphrase. */
function associated(header: Omit<VaultHeader, 'sealed_master_key'>): Uint8Array {
  return encode(associatedCodec, {
    domain: 'threshold-wallet/vault-header',
    version: header.version,
    vaultId: fromHex(header.vault_id),
    createdAt: header.created_at,
    cipher: header.cipher,
    kdf: header.kdf.name,
    memory: header.kdf.memory_kib,
    iterations: header.kdf.iterations,
    parallelism: header.kdf.parallelism,
    salt: fromHex(header.kdf.salt),
  });
}

/** A header that seals `masterKey` (32 bytes) under `passphrase` with a fresh salt. */
export async function sealHeader(
  random: Random,
  vault: { readonly vaultId: string; readonly createdAt: string },
  masterKey: Uint8Array,
  passphrase: string,
  parameters: KdfParameters = KDF,
): Promise<VaultHeader> {
  const salt = random.bytes(SALT);
  const head = {
    version: VAULT_VERSION,
    vault_id: vault.vaultId,
    created_at: vault.createdAt,
    cipher: CIPHER,
    kdf: { ...parameters, salt: hex(salt) },
  } as const;
  const key = await keyFromPassphrase(passphrase, salt, parameters);
  try {
    return { ...head, sealed_master_key: hex(seal(random, key, associated(head), masterKey)) };
  } finally {
    key.fill(0);
  }
}

/** The master key. @throws Refusal when the passphrase is wrong or the header was altered; the two cannot be told apart. */
export async function openHeader(header: VaultHeader, passphrase: string, path: string): Promise<Uint8Array> {
  const key = await keyFromPassphrase(passphrase, fromHex(header.kdf.salt), header.kdf);
  try {
    const masterKey = unseal(key, associated(header), fromHex(header.sealed_master_key));
    if (masterKey === undefined) {
      throw new Refusal(
        'vault.passphrase',
        'passphrase',
        `wrong passphrase for ${path}, or that file was altered`,
        `check the passphrase; if it is right, restore ${path} from a backup`,
        403,
      );
    }
    return masterKey;
  } finally {
    key.fill(0);
  }
}

/** @throws Refusal naming the file for anything but a header of this version with parameters at least as strong as ours. */
export function parseHeader(content: Uint8Array, path: string): VaultHeader {
  const damaged = (what: string) =>
    new Refusal('vault.damaged', path, `${path} is not a vault header: ${what}`, `restore ${path} from a backup`, 422);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    throw damaged('not JSON');
  }
  const version: unknown = typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
  if (typeof version === 'number' && version !== VAULT_VERSION) {
    throw new Refusal(
      'vault.version',
      path,
      `${path} has version ${version}, this program knows ${VAULT_VERSION}`,
      'use the release of the program that wrote it',
      422,
    );
  }
  const parsed = Header.safeParse(json);
  if (!parsed.success)
    throw damaged(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'content'}: ${issue.message}`).join('; '));
  if (!acceptableKdf(parsed.data.kdf)) throw damaged('kdf parameters weaker or far costlier than this program writes');
  return parsed.data;
}

export const newVaultId = (random: Random): string => hex(random.bytes(ID));
export const newMasterKey = (random: Random): Uint8Array => random.bytes(KEY);
