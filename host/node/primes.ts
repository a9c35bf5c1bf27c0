/** Safe primes ahead of time: made anywhere into a file for one node, and read into the vault of that node while it is stopped. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { createCore } from '../core/index.ts';
import { SafePrimes } from '../core/primes.ts';
import { productionParameters } from '../proofs/parameters.ts';
import { openBurnJournal } from '../storage/burns.ts';
import { onFile, removeDurably } from '../storage/files.ts';
import { checkNewPassphrase } from '../storage/seal.ts';
import { createVault, openVault, vaultExists } from '../storage/vault.ts';
import { Keyring } from '../wallet/keyring.ts';
import { importPrimes, MAX_PRIME_FILE_BYTES, sealPrimes, type PrimeOwner } from '../wallet/prime-file.ts';
import { loadConfig, type NodeConfig } from './config.ts';

export interface PrimeFile {
  /** The node.toml of the node that the primes are for. */
  readonly config: string;
  readonly file: string;
  /** Of the file; the passphrase of the node's vault when absent. */
  readonly passphraseFile?: string;
}

const ownerOf = ({ cluster, node }: NodeConfig): PrimeOwner => ({
  clusterId: fromHex(cluster.id),
  node: node.id,
  bits: productionParameters.primeBits,
});

/** Searches `count` primes on all processors and writes them into a new file, sealed. @throws Refusal when the file exists */
export async function makePrimes(
  { config: path, file, passphraseFile }: PrimeFile,
  { count, threads, found }: { readonly count: number; readonly threads: number; readonly found: (ready: number) => void },
): Promise<void> {
  const config = loadConfig(path);
  const passphrase = await secret(passphraseFile ?? config.vault.passphrase_file);
  checkNewPassphrase(passphrase);
  const handle = await onFile(file, () => open(file, 'wx', 0o600));
  try {
    const core = await createCore({ threads });
    try {
      const search = new SafePrimes(core, productionParameters.primeBits, threads);
      let ready = 0;
      const primes = await Promise.all(
        Array.from({ length: count }, async () => {
          const prime = await search.next();
          found(++ready);
          return prime;
        }),
      );
      await handle.writeFile(await sealPrimes(systemRandom, ownerOf(config), primes, passphrase));
      await handle.sync();
    } finally {
      await core.close();
    }
  } catch (error) {
    await removeDurably(file);
    throw error;
  } finally {
    await handle.close();
  }
}

/** Reads a file into the stock of its node, and deletes it. Resolves with the primes in stock. @throws Refusal, also while the node runs */
export async function readPrimes({ config: path, file, passphraseFile }: PrimeFile): Promise<{ imported: number; ready: number }> {
  const config = loadConfig(path);
  const content = await onFile(file, () => readFile(file));
  if (content.length > MAX_PRIME_FILE_BYTES) throw new Refusal('primes.malformed', 'file', `${file} is too large for safe primes`, 'give the right file', 422); // prettier-ignore
  const vaultPassphrase = process.env['THRESHOLD_VAULT_PASSPHRASE'] ?? (await secret(config.vault.passphrase_file));
  const folder = join(config.node.data, 'vault');
  const vault = (await vaultExists(folder)) ? await openVault(folder, vaultPassphrase) : await createVault(folder, vaultPassphrase);
  try {
    const journal = await openBurnJournal(join(config.node.data, 'burns', 'prime-files'));
    const core = await createCore({ threads: 1 });
    try {
      const keyring = await Keyring.open(vault, productionParameters, core);
      const imported = await importPrimes(content, passphraseFile === undefined ? vaultPassphrase : await secret(passphraseFile), {
        owner: ownerOf(config),
        vault,
        journal,
        used: keyring.ownPrimes(),
        random: systemRandom,
      });
      await removeDurably(file);
      return { imported, ready: (await vault.list('safe-prime')).length };
    } finally {
      await core.close();
      await journal.close();
    }
  } finally {
    await vault.close();
  }
}

const secret = async (path: string): Promise<string> => (await onFile(path, () => readFile(path, 'utf8'))).trim();
