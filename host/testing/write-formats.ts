/**
 * Writes fixtures/shares/v1: what version 1 of every record looks like on disk. It was run once, when the format was new, by
 * `node dist/host/testing/write-formats.js`; a later version gets a folder of its own, and this one is read for ever.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { auxInfoCodec, keyShare, presignature, presignaturePublic } from '../cggmp24/index.ts';
import { referenceCore } from '../core/reference.ts';
import { frostShare } from '../frost/share.ts';
import { repetitions } from '../proofs/testing/instances.ts';
import { auxRun, frostKeygenRun, keygenRun, presignRun } from './runs.ts';

const folder = join('fixtures', 'shares', 'v1');
const write = (name: string, records: readonly Uint8Array[]): Promise<void> =>
  writeFile(join(folder, `${name}.json`), `${JSON.stringify({ records: records.map(hex) }, null, 2)}\n`);

const parameters = repetitions(8);
const keys = (await keygenRun(parameters)).outputs;
const aux = (await auxRun(parameters, referenceCore)).outputs;
const presigned = (await presignRun({ keys, aux, parameters, core: referenceCore }, [0, 2], 1)).outputs.map(([first]) => first!);
const shares = (await frostKeygenRun()).outputs;
await mkdir(folder, { recursive: true });
await write('key-share', keys.map((own) => encode(keyShare, own))); // prettier-ignore
await write('aux-info', aux.map((own) => encode(auxInfoCodec(parameters), own))); // prettier-ignore
await write('presignature', presigned.map((own) => encode(presignature, own))); // prettier-ignore
await write('presignature-public', presigned.slice(0, 1).map((own) => encode(presignaturePublic, own))); // prettier-ignore
await write('frost-share', shares.map((own) => encode(frostShare, own))); // prettier-ignore
