/**
 * Damage to a valid encoding, with knowledge of its fields: what a careless or malicious peer would send. Every mutation takes the bytes as they
 * stand and may be applied after another; fields that have moved since make it a blind one, which is welcome too.
 */
import { concatBytes } from '../host/base/bytes.ts';
import type { Choices } from './choices.ts';
import type { Field } from './layout.ts';

export interface Specimen {
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

/** Lengths and counts around every bound of the codecs, and around what 32 bits can overflow to. */
const COUNTS = [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 1024, 65535, 65536, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff];
const BYTES = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xfe, 0xff];
/** Most bytes that one mutation adds. */
const GROWTH = 4096;

type Mutation = (bytes: Uint8Array, fields: readonly Field[], choose: Choices, other: Specimen) => Uint8Array;

const replace = (bytes: Uint8Array, at: number, length: number, by: Uint8Array): Uint8Array =>
  concatBytes(bytes.slice(0, at), by, bytes.slice(at + length));

const u32be = (n: number): Uint8Array => {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, n >>> 0);
  return out;
};
const readU32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);

const anyField = (fields: readonly Field[], choose: Choices, kind?: Field['kind']): Field | undefined => {
  const candidates = kind === undefined ? fields : fields.filter((field) => field.kind === kind);
  return candidates.length === 0 ? undefined : choose.of(candidates);
};
const within = (bytes: Uint8Array, field: Field | undefined): field is Field =>
  field !== undefined && field.at + field.length <= bytes.length;

const bitFlip: Mutation = (bytes, _, choose) => {
  if (bytes.length === 0) return bytes;
  const at = choose.below(bytes.length);
  return bytes.with(at, bytes[at]! ^ (1 << choose.below(8)));
};

const oddByte: Mutation = (bytes, _, choose) => (bytes.length === 0 ? bytes : bytes.with(choose.below(bytes.length), choose.of(BYTES)));

const truncate: Mutation = (bytes, fields, choose) => {
  const field = anyField(fields, choose);
  return bytes.slice(0, field !== undefined && choose.below(2) === 0 ? field.at : choose.below(bytes.length + 1));
};

const extend: Mutation = (bytes, _, choose) => {
  const length = 1 + choose.below(choose.of([4, 64, GROWTH]));
  return concatBytes(bytes, choose.below(2) === 0 ? new Uint8Array(length) : choose.bytes(length));
};

/** A length or count that says something else than what follows. */
const lie: Mutation = (bytes, fields, choose) => {
  const field = anyField(fields, choose, 'u32');
  if (!within(bytes, field)) return bytes;
  const near = readU32(bytes, field.at) + choose.of([-1, 1]);
  return replace(bytes, field.at, 4, u32be(choose.below(2) === 0 ? near : choose.of(COUNTS)));
};

/** A count and as many more bytes: nested lists that blow up, integers with zeros in front, texts that are too long. */
const grow: Mutation = (bytes, fields, choose) => {
  const field = anyField(fields, choose, 'u32');
  if (!within(bytes, field)) return bytes;
  const more = choose.of([1, 2, 32, 33, 1 + choose.below(GROWTH)]);
  const filling = choose.of([new Uint8Array(more), new Uint8Array(more).fill(0xff), choose.bytes(more)]);
  return concatBytes(bytes.slice(0, field.at), u32be(readU32(bytes, field.at) + more), filling, bytes.slice(field.at + 4));
};

/** One more item than the count says, or the count made to fit: the next field once or many times again. */
const repeat: Mutation = (bytes, fields, choose) => {
  const k = choose.below(Math.max(1, fields.length));
  const [from, to] = [fields[k], fields[Math.min(fields.length - 1, k + choose.below(8))]];
  if (!within(bytes, from) || !within(bytes, to)) return bytes;
  const part = bytes.slice(from.at, to.at + to.length);
  const times =
    part.length === 0 ? 1 : Math.max(1, Math.min(choose.of([1, 1, 2, 1 + choose.below(16), 64]), Math.floor(GROWTH / part.length)));
  const before = fields[k - 1];
  const head = bytes.slice(0, from.at);
  if (before?.kind === 'u32' && before.at + 4 === from.at && choose.below(2) === 0) {
    new DataView(head.buffer).setUint32(before.at, readU32(bytes, before.at) + times);
  }
  return concatBytes(head, ...Array.from({ length: times }, () => part), bytes.slice(from.at));
};

const drop: Mutation = (bytes, fields, choose) => {
  const field = anyField(fields, choose);
  return within(bytes, field) ? replace(bytes, field.at, field.length, new Uint8Array()) : bytes;
};

const swap: Mutation = (bytes, fields, choose) => {
  const [a, b] = [anyField(fields, choose), anyField(fields, choose)];
  if (!within(bytes, a) || !within(bytes, b) || a.length !== b.length) return bytes;
  return replace(replace(bytes, a.at, a.length, bytes.slice(b.at, b.at + b.length)), b.at, b.length, bytes.slice(a.at, a.at + a.length));
};

/** Values at the edges of what a field can hold: 0, 1, all ones, one bit, the field of another message. */
const edge: Mutation = (bytes, fields, choose, other) => {
  const field = anyField(fields, choose);
  if (!within(bytes, field) || field.length === 0) return bytes;
  const donor = anyField(other.fields, choose, field.kind);
  const one = new Uint8Array(field.length);
  one[field.length - 1] = 1;
  const value = choose.of([
    new Uint8Array(field.length),
    new Uint8Array(field.length).fill(0xff),
    one,
    bytes.slice(field.at, field.at + field.length).fill(0, 1),
    donor === undefined ? one : other.bytes.slice(donor.at, donor.at + donor.length),
    choose.bytes(field.length),
  ]);
  return replace(bytes, field.at, field.length, value);
};

/** The beginning of this encoding and the end of another. */
const splice: Mutation = (bytes, fields, choose, other) => {
  const [cut, join] = [anyField(fields, choose), anyField(other.fields, choose)];
  return concatBytes(bytes.slice(0, cut?.at ?? choose.below(bytes.length + 1)), other.bytes.slice(join?.at ?? 0));
};

export const mutations: Readonly<Record<string, Mutation>> = {
  bitFlip, oddByte, truncate, extend, lie, grow, repeat, drop, swap, edge, splice,
}; // prettier-ignore
const all = Object.values(mutations);

/** One to four mutations of `specimen`, often one: a single broken field behind which everything is right finds most. */
export function mutate({ bytes, fields }: Specimen, other: Specimen, choose: Choices): Uint8Array {
  let mutated = bytes;
  for (let left = choose.of([1, 1, 1, 2, 4]); left > 0; left--) mutated = choose.of(all)(mutated, fields, choose, other);
  return mutated;
}
