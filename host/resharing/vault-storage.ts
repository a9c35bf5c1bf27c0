/**
 * A switch in the vault: its record, the share in force, pending and kept ones, each a sealed entry of its own kind, so that every step is one
 * atomic write or delete. `KEYID` is the wallet id.
 *
 * | entry | what |
 * | --- | --- |
 * | `key-switch/KEYID` | the record of the switch |
 * | `key-share/KEYID` | the share in force |
 * | `pending-key/KEYID.SID` | a prepared share |
 * | `retired-key/KEYID.EPOCH` | a share of an earlier epoch, until ERASED |
 */
import { equalBytes } from '../base/bytes.ts';
import type { Vault } from '../storage/vault.ts';
import type { SwitchStorage } from './key-switch.ts';

export type SwitchVault = Pick<Vault, 'put' | 'get' | 'delete' | 'list'>;

/** `erased` runs after kept shares were destroyed: what belongs to them elsewhere (auxiliary secrets). */
export function vaultStorage(vault: SwitchVault, keyId: string, erased: () => Promise<void> = () => Promise.resolve()): SwitchStorage {
  const named = (suffix: string | number) => `${keyId}.${suffix}`;
  const own = async (kind: 'pending-key' | 'presignature' | 'frost-nonce') =>
    (await vault.list(kind)).filter((name) => name.startsWith(`${keyId}.`));
  return {
    readRecord: () => vault.get('key-switch', keyId),
    writeRecord: (content) => vault.put('key-switch', keyId, content),
    writePending: (sid, content) => vault.put('pending-key', named(sid), content),
    readPending: (sid) => vault.get('pending-key', named(sid)),
    pendingSids: async () => (await own('pending-key')).map((name) => name.slice(keyId.length + 1)),
    async removePending(sid) {
      await vault.delete('pending-key', named(sid));
    },
    async install(sid, from) {
      const next = sid === undefined ? undefined : await vault.get('pending-key', named(sid));
      // No pending entry: everything was done before the crash, and it was removed as the last step.
      if (sid !== undefined && next === undefined) return;
      const current = await vault.get('key-share', keyId);
      if (current !== undefined && (next === undefined || !equalBytes(current, next))) {
        if (from !== undefined) await vault.put('retired-key', named(from), current);
        if (next === undefined) await vault.delete('key-share', keyId);
      }
      if (next !== undefined && (current === undefined || !equalBytes(current, next))) await vault.put('key-share', keyId, next);
      current?.fill(0);
      next?.fill(0);
    },
    async deleteDerived() {
      for (const kind of ['presignature', 'frost-nonce'] as const) for (const name of await own(kind)) await vault.delete(kind, name);
    },
    async destroy(epochs) {
      for (const epoch of epochs) await vault.delete('retired-key', named(epoch));
      await erased();
    },
  };
}
