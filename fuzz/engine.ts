/**
 * What is asked of a decoder for every byte string: it returns a value whose encoding is the same byte string, or it throws the error that it
 * documents. Another error, another encoding, or no end is a finding.
 */
import { equalBytes } from '../host/base/bytes.ts';
import { decode, DecodeError, encode, type Codec } from '../host/base/codec.ts';
import { invariant } from '../host/base/errors.ts';
import { Choices } from './choices.ts';
import { layout } from './layout.ts';
import { mutate, type Specimen } from './mutate.ts';

export interface Decoder {
  /** `cggmp24/keygen/open`, `storage/burn journal` … */
  readonly name: string;
  readonly specimens: readonly Specimen[];
  /** The encoding of what was decoded; undefined where a decoder has none that must be equal. Throws what the decoder throws. */
  again(bytes: Uint8Array): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Whether the decoder documents this error. */
  documented(error: unknown): boolean;
}

/** A decoder that is a codec. @throws DecodeError when a seed is not a valid encoding. */
export const ofCodec = <T>(name: string, codec: Codec<T>, seeds: readonly Uint8Array[]): Decoder => ({
  name,
  specimens: seeds.map((bytes) => ({ bytes, fields: layout(codec, decode(codec, bytes)) })),
  again: (bytes) => encode(codec, decode(codec, bytes)),
  documented: (error) => error instanceof DecodeError,
});

/** The n-th input under `seed`; numbers below the number of specimens are the specimens themselves. */
export function inputOf({ name, specimens }: Decoder, seed: number, n: number): Uint8Array {
  invariant(specimens.length > 0, `${name} has no seeds: add one in fuzz/seeds.ts`);
  if (n < specimens.length) return specimens[n]!.bytes;
  const choose = new Choices(`${seed}/${name}/${n}`);
  return mutate(choose.of(specimens), choose.of(specimens), choose);
}

/** A value with the same encoding, the documented error, or what is wrong about the answer. */
export type Answer = 'accepted' | 'refused' | { readonly problem: string };

export async function answerTo(decoder: Decoder, bytes: Uint8Array): Promise<Answer> {
  let again: Uint8Array | undefined;
  try {
    again = await decoder.again(bytes);
  } catch (error) {
    if (decoder.documented(error)) return 'refused';
    return { problem: `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}` };
  }
  if (again !== undefined && !equalBytes(again, bytes)) return { problem: 'decoded to a value with another encoding' };
  return 'accepted';
}

export interface Finding {
  readonly decoder: string;
  readonly seed: number;
  readonly input: number;
  readonly bytes: Uint8Array;
  readonly problem: string;
}

/** Called with the number of an input before it is tried, and with the answer afterwards. */
export type Watcher = (input: number, answer?: Answer) => void;

/** Tries the inputs `from`, `from + 1` … `to − 1`. */
export async function hunt(decoder: Decoder, seed: number, from: number, to: number, watch: Watcher = () => undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (let n = from; n < to; n++) {
    watch(n);
    const bytes = inputOf(decoder, seed, n);
    const answer = await answerTo(decoder, bytes);
    watch(n, answer);
    if (typeof answer === 'object') findings.push({ decoder: decoder.name, seed, input: n, bytes, problem: answer.problem });
  }
  return findings;
}

/** The command that shows a finding again. */
export const replay = ({ decoder, seed, input }: Pick<Finding, 'decoder' | 'seed' | 'input'>): string =>
  `npm run fuzz -- --decoder ${JSON.stringify(decoder)} --seed ${seed} --input ${input}`;
