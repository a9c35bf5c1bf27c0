/** Released formats: what each version wrote is read, written again alike, and signs. */
import { schnorr } from '@noble/curves/secp256k1.js';
import { afterAll, describe, expect, test } from 'vitest';
import auxFile from '../../fixtures/shares/v1/aux-info.json' with { type: 'json' };
import frostFile from '../../fixtures/shares/v1/frost-share.json' with { type: 'json' };
import keyFile from '../../fixtures/shares/v1/key-share.json' with { type: 'json' };
import publicFile from '../../fixtures/shares/v1/presignature-public.json' with { type: 'json' };
import presignatureFile from '../../fixtures/shares/v1/presignature.json' with { type: 'json' };
import entryFile1 from '../../fixtures/shares/v1/vault-entry.json' with { type: 'json' };
import entryFile2 from '../../fixtures/shares/v2/vault-entry.json' with { type: 'json' };
import entryFile3 from '../../fixtures/shares/v3/vault-entry.json' with { type: 'json' };
import { fromHex, hex } from '../base/bytes.ts';
import { decode, DecodeError, encode, type Codec } from '../base/codec.ts';
import { auxInfoCodec, checkAuxInfo, combine, keyShare, partialSignature, presignature, presignaturePublic } from '../cggmp24/index.ts';
import { sealedPresignature } from '../cggmp24/presignature.ts';
import { nobleAccepts, opensslAccepts } from '../cggmp24/testing/verifiers.ts';
import { createCore } from '../core/index.ts';
import { frostShare, outputKey } from '../frost/share.ts';
import { taprootSighash } from '../frost/sighash.ts';
import { smallParameters as parameters } from '../proofs/testing/instances.ts';
import { entry } from '../wallet/keyring.ts';
import { frostSignRun, MESSAGE, PREIMAGE, signRun, TAPROOT_PREIMAGE } from './runs.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());

interface Format {
  readonly name: string;
  readonly codec: Codec<unknown>;
  readonly records: readonly string[];
}
const format = <T>(name: string, codec: Codec<T>, { records }: { records: readonly string[] }): Format => ({
  name,
  codec: codec as Codec<unknown>,
  records,
});
const formats = [
  format('key share', keyShare, keyFile),
  format('auxiliary information', auxInfoCodec(parameters), auxFile),
  format('presignature', presignature, presignatureFile),
  format('presignature on its way to its use', sealedPresignature, presignatureFile),
  format('public part of a presignature', presignaturePublic, publicFile),
  format('FROST share', frostShare, frostFile),
];
const read = <T>(codec: Codec<T>, { records }: { records: readonly string[] }): T[] =>
  records.map((record) => decode(codec, fromHex(record)));

describe.each(formats)('version 1 of $name', ({ codec, records }) => {
  test('is read, and written again alike', () => {
    expect(records.length).toBeGreaterThan(0);
    for (const record of records) expect(hex(encode(codec, decode(codec, fromHex(record))))).toBe(record);
  });

  test.each([0, 2, 255])('under the number %i is refused by that number', (version) => {
    for (const record of records) {
      const other = fromHex(record).with(0, version);
      expect(() => decode(codec, other)).toThrow(DecodeError);
      expect(() => decode(codec, other)).toThrow(`version ${version}, only 1 is known`);
    }
  });
});

describe('a key in the vault', () => {
  const files = [entryFile1, entryFile2, entryFile3];
  const keys = files.map((file) => read(entry, file));

  test('of each version is read, and written again alike', () => {
    for (const [i, file] of files.entries()) expect(keys[i]!.map((key) => hex(encode(entry, key)))).toEqual(file.records);
    const types = keys.map((of) => of.map(({ protocol, addressType, auxHash }) => `${protocol} ${addressType} ${auxHash.length}`));
    expect(types).toEqual([['cggmp24 p2wpkh 0', 'frost p2tr 0'], ['cggmp24 p2wpkh 32'], ['cggmp24 p2wsh 0', 'cggmp24 p2wsh 32']]);
  });

  test.each([0, 4, 255])('under the number %i is refused by that number', (version) => {
    for (const record of files.flatMap(({ records }) => records))
      expect(() => decode(entry, fromHex(record).with(0, version))).toThrow(`version ${version}, only 1, 2, 3 are known`);
  });

  test('has one encoding, and no type that its protocol has not', () => {
    const [, changed] = [files[0]!.records[0]!, files[1]!.records[0]!].map(fromHex);
    // Version 2 with nothing in it that version 1 could not say: of 32 bytes at the end, none.
    const empty = Uint8Array.of(...changed!.slice(0, -36), 0, 0, 0, 0);
    expect(() => decode(entry, empty)).toThrow('a value of version 1 in version 2');
    const [, frost] = files[0]!.records.map(fromHex);
    expect(() => decode(entry, Uint8Array.of(3, ...frost!.slice(1), 0, 0, 0, 0, 0))).toThrow('p2wsh of a frost key');
  });
});

describe('with the records of version 1', () => {
  const keys = read(keyShare, keyFile);
  const { publicKey } = keys[0]!;

  test('two of three sign, with auxiliary information that passes its check', async () => {
    const aux = read(auxInfoCodec(parameters), auxFile);
    for (const own of aux) await checkAuxInfo(own, parameters, core);
    const { outputs } = await signRun({ keys, aux, parameters, core }, [1, 2]);
    for (const signature of outputs) {
      expect(opensslAccepts(publicKey, PREIMAGE, signature)).toBe(true);
      expect(nobleAccepts(publicKey, PREIMAGE, signature)).toBe(true);
    }
  });

  test('the stored presignature signs, and its public part alone combines', () => {
    const presignatures = read(presignature, presignatureFile);
    const partials = new Map(presignatures.map((own) => [own.position, partialSignature(own, MESSAGE)]));
    const signature = combine(read(presignaturePublic, publicFile)[0]!, MESSAGE, partials);
    expect(opensslAccepts(publicKey, PREIMAGE, signature)).toBe(true);
  });

  test('two of three sign for Taproot', async () => {
    const shares = read(frostShare, frostFile);
    const { outputs } = await frostSignRun(shares, [0, 1]);
    for (const signature of outputs) expect(schnorr.verify(signature, taprootSighash(TAPROOT_PREIMAGE), outputKey(shares[0]!))).toBe(true);
  });
});
