import { describe, expect, test } from 'vitest';
import { fromHex, hex } from '../host/base/bytes.ts';
import { DecodeError, list, map, natural, struct, u32, u8, bytesUpTo, encode, type Codec } from '../host/base/codec.ts';
import { Refusal } from '../host/base/errors.ts';
import { presignRounds } from '../host/cggmp24/presign-messages.ts';
import found from '../fixtures/fuzz/found.json' with { type: 'json' };
import { BATCH, decoders, PARAMETERS, T } from './decoders.ts';
import { answerTo, hunt, inputOf, ofCodec, replay } from './engine.ts';
import { parseOptions } from './options.ts';

const all = decoders();
const SEED = 20_260_101;
/** Enough that every mutation meets every decoder; `npm run fuzz` goes on from here. */
const INPUTS = 100;

describe('every decoder', () => {
  test.each(all)('$name: decodes to the same bytes or refuses', async (decoder) => {
    expect(decoder.specimens.length, 'add a seed in fuzz/seeds.ts').toBeGreaterThan(0);
    for (const { bytes } of decoder.specimens) await decoder.again(bytes);
    const findings = await hunt(decoder, SEED, 0, INPUTS);
    expect(findings.map((finding) => `${finding.problem}\n${replay(finding)}`)).toEqual([]);
  });

  test('the messages of all recorded rounds are among them, and no name is there twice', () => {
    const names = all.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name } of Object.values(presignRounds(PARAMETERS, T, BATCH))) expect(names).toContain(`round/${name}`);
  });

  test('what was found once stays refused', async () => {
    for (const { decoder: name, bytes } of found.inputs) {
      const decoder = all.find((candidate) => candidate.name === name);
      expect(decoder, name).toBeDefined();
      expect(await answerTo(decoder!, fromHex(bytes)), `${name}: ${bytes}`).not.toHaveProperty('problem');
    }
  });
});

describe('the fuzzer', () => {
  const valid = struct({ version: u8, count: u32, items: list(bytesUpTo(64), { max: 8 }), n: natural(128) });
  const seed = encode(valid, { version: 1, count: 2, items: [Uint8Array.of(1, 2, 3), new Uint8Array()], n: 12345n });
  const planted = <T>(codec: Codec<T>) => hunt(ofCodec('planted', codec, [seed]), 1, 0, 2000);

  test('finds nothing in a sound codec', async () => expect(await planted(valid)).toEqual([]));

  test('finds an encoding that is not canonical', async () => {
    const forgiving = { ...valid, read: (r: Parameters<typeof valid.read>[0]) => ({ ...valid.read(r), version: 1 }) };
    expect((await planted(forgiving))[0]?.problem).toBe('decoded to a value with another encoding');
  });

  test('finds an error of another kind', async () => {
    const careless = map(valid, (value) => ({ ...value, first: value.items[0]!.length }), ({ first: _, ...value }) => value); // prettier-ignore
    expect((await planted(careless))[0]?.problem).toMatch(/TypeError/);
  });

  test('finds a length that is one too many', async () => {
    const read: typeof valid.read = (r) => {
      const value = valid.read(r);
      if (value.items.length === 3) throw new RangeError('never');
      return value;
    };
    expect((await planted({ ...valid, read }))[0]?.problem).toMatch(/RangeError: never/);
  });

  test('makes the same inputs of the same seed, and others of another', () => {
    const decoder = ofCodec('planted', valid, [seed]);
    const inputs = (from: number) => Array.from({ length: 50 }, (_, n) => hex(inputOf(decoder, from, n)));
    expect(inputs(1)).toEqual(inputs(1));
    expect(inputs(1)).not.toEqual(inputs(2));
    expect(new Set(inputs(1)).size).toBeGreaterThan(40);
  });

  test('an invalid seed is noticed', () => expect(() => ofCodec('planted', valid, [seed.slice(1)])).toThrow(DecodeError));

  test('a finding tells how to see it again', () => {
    const line = replay({ decoder: 'round/presign/1', seed: 7, input: 42 });
    expect(line).toBe('npm run fuzz -- --decoder "round/presign/1" --seed 7 --input 42');
    expect(parseOptions(['--decoder', 'round/presign/1', '--seed', '7', '--input', '42'], 0)).toMatchObject({
      decoder: 'round/presign/1',
      seed: 7,
      input: 42,
    });
  });

  test.each([['--seconds', 'x'], ['--input', '-1'], ['--unknown', '1'], ['stray']])('refuses %s %s', (...argv) => {
    expect(() => parseOptions(argv.filter((word) => word !== undefined), 0)).toThrow(Refusal); // prettier-ignore
  });
});
