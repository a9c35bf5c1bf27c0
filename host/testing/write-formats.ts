/**
 * Writes fixtures/shares: what each version of every record looks like on disk. It is run when a version is new, by
 * `node dist/host/testing/write-formats.js`; a later version gets a folder of its own, and the earlier ones stay as they are and are read for ever.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { auxInfoCodec, keyShare, presignature, presignaturePublic } from '../cggmp24/index.ts';
import { referenceCore } from '../core/reference.ts';
import { frostShare } from '../frost/share.ts';
import { entry } from '../wallet/keyring.ts';
import { repetitions } from '../proofs/testing/instances.ts';
import { auxRun, frostKeygenRun, keygenRun, presignRun } from './runs.ts';

/** What is there stays: later programs draw their randomness in another order, so they would write other records. */
async function write(name: string, records: readonly Uint8Array[], version = 1): Promise<void> {
  const folder = join('fixtures', 'shares', `v${version}`);
  const file = join(folder, `${name}.json`);
  await mkdir(folder, { recursive: true });
  if (!existsSync(file)) await writeFile(file, `${JSON.stringify({ records: records.map(hex) }, null, 2)}\n`);
}

const parameters = repetitions(8);
const keys = (await keygenRun(parameters)).outputs;
const aux = (await auxRun(parameters, referenceCore)).outputs;
const presigned = (await presignRun({ keys, aux, parameters, core: referenceCore }, [0, 2], 1)).outputs.map(([first]) => first!);
const shares = (await frostKeygenRun()).outputs;
await write('key-share', keys.map((own) => encode(keyShare, own))); // prettier-ignore
await write('aux-info', aux.map((own) => encode(auxInfoCodec(parameters), own))); // prettier-ignore
await write('presignature', presigned.map((own) => encode(presignature, own))); // prettier-ignore
await write('presignature-public', presigned.slice(0, 1).map((own) => encode(presignaturePublic, own))); // prettier-ignore
await write('frost-share', shares.map((own) => encode(frostShare, own))); // prettier-ignore

const wallet = {
  walletId: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
  walletName: 'treasury',
  committee: ['node-1', 'node-2', 'node-3'],
  createdAt: 1_700_000_000_000,
};
const ecdsa = { ...wallet, state: 'active', protocol: 'cggmp24', share: encode(keyShare, keys[0]!) } as const;
const frost = { ...wallet, state: 'prepared', protocol: 'frost', share: encode(frostShare, shares[0]!) } as const;
const [none, renewed] = [new Uint8Array(), new Uint8Array(32).fill(7)];
await write('vault-entry', [encode(entry, { ...ecdsa, addressType: 'p2wpkh', auxHash: none }), encode(entry, { ...frost, addressType: 'p2tr', auxHash: none })]); // prettier-ignore
await write('vault-entry', [encode(entry, { ...ecdsa, addressType: 'p2wpkh', auxHash: renewed })], 2);
await write('vault-entry', [none, renewed].map((auxHash) => encode(entry, { ...ecdsa, addressType: 'p2wsh', auxHash })), 3); // prettier-ignore
