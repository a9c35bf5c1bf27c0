/**
 * Every way to change one field of a message, found by walking the decoded value: structure is kept, so that what is tested is the protocol's
 * checks and not its decoders. A change that the codec cannot express (a scalar ≥ q, a list of another length) is left out: such bytes are
 * malformed, which has tests of its own.
 */
import { expect } from 'vitest';
import { decode, DecodeError, encode } from '../../base/codec.ts';
import { G, Point } from '../../curve/secp256k1.ts';
import { attack, changeBytes, expectJust, silence, type AnyRound, type Cheat, type Protocol, type Report } from './adversary.ts';

export interface Mutation {
  /** Field and change: `S[0] := −S[0]`. */
  readonly name: string;
  /** Path of the field, list indices as `[]`. */
  readonly field: string;
  /** The rehearsed message, changed. */
  readonly payload: Uint8Array;
  /** The same change of another message of the round: a run need not repeat the rehearsal byte by byte where proofs are made side by side. */
  readonly of: (message: Uint8Array) => Uint8Array;
}

/** Of a list only the first and the last item are changed: all are treated alike, and Π^prm has 128. */
const sampled = (items: readonly unknown[]): number[] => [...new Set([0, items.length - 1])].filter((k) => k >= 0);

function* changes(value: unknown, constants: Readonly<Record<string, bigint>>): Generator<[how: string, value: unknown]> {
  if (typeof value === 'bigint') {
    yield ['+ 1', value + 1n];
    yield ['− 1', value - 1n];
    yield ['negated', -value];
    for (const [name, constant] of Object.entries({ 0: 0n, 1: 1n, ...constants })) yield [`:= ${name}`, constant];
  } else if (value instanceof Point) {
    yield ['+ G', value.add(G)];
    yield ['negated', value.negate()];
    yield [':= G', G];
  } else if (value instanceof Uint8Array) {
    yield ['first bit', value.with(0, value[0]! ^ 0x80)];
    yield ['last bit', value.with(-1, value.at(-1)! ^ 1)];
    yield [':= 0', new Uint8Array(value.length)];
  } else if (typeof value === 'number') {
    yield ['+ 1', value + 1];
    yield [':= 0', 0];
  } else if (typeof value === 'boolean') {
    yield ['inverted', !value];
  } else if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    if (items.length === 0) return;
    yield ['emptied', []];
    yield ['without its last item', items.slice(0, -1)];
    yield ['with its last item twice', [...items, items.at(-1)]];
    yield ['reversed', items.toReversed()];
  }
}

function* walk(
  value: unknown,
  path: string,
  constants: Readonly<Record<string, bigint>>,
): Generator<[path: string, how: string, value: unknown]> {
  for (const [how, changed] of changes(value, constants)) yield [path, how, changed];
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    for (const k of sampled(items)) {
      for (const [at, how, item] of walk(items[k], `${path}[${k}]`, constants)) yield [at, how, items.with(k, item)];
    }
  } else if (isStruct(value)) {
    for (const [key, field] of Object.entries(value)) {
      const at = path === '' ? key : `${path}.${key}`;
      if (field !== undefined && value[key] !== undefined) {
        for (const [inner, how, changed] of walk(field, at, constants)) yield [inner, how, { ...value, [key]: changed }];
      }
      // Two fields of one kind in each other's place, once per pair.
      for (const [other, theirs] of Object.entries(value)) {
        if (other > key && alike(field, theirs)) yield [at, `exchanged with ${other}`, { ...value, [key]: theirs, [other]: field }];
      }
    }
  }
}

const isStruct = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !(value instanceof Point) && !(value instanceof Uint8Array) && !Array.isArray(value);

const alike = (a: unknown, b: unknown): boolean => isStruct(a) && isStruct(b) && Object.keys(a).join() === Object.keys(b).join();

/** The mutations of an honest message of `round`. `constants` are numbers worth trying in place of every integer: N, q … */
export function mutations(round: AnyRound, honest: Uint8Array, constants: Readonly<Record<string, bigint>> = {}): Mutation[] {
  const seen = new Set([keyOf(honest)]);
  const found: Mutation[] = [];
  for (const [path, how, value] of walk(decode(round.codec, honest), '', constants)) {
    const payload = encodable(round, value);
    if (payload === undefined || seen.has(keyOf(payload))) continue;
    seen.add(keyOf(payload));
    const of = (message: Uint8Array): Uint8Array => {
      for (const [at, change, changed] of walk(decode(round.codec, message), '', constants))
        if (at === path && change === how) return encodable(round, changed) ?? payload;
      return payload;
    };
    found.push({ name: `${round.name} ${path} ${how}`, field: path.replaceAll(/\[\d+\]/g, '[]'), payload, of });
  }
  return found;
}

/**
 * One mutation of each field, another way of change from field to field. For long messages of proofs, whose every equation and bound has tests of its
 * own: here it matters that the protocol checks the proof.
 */
export function oncePerField(all: readonly Mutation[]): Mutation[] {
  const fields = [...new Set(all.map(({ field }) => field))];
  return fields.map((field, k) => {
    const ways = all.filter((mutation) => mutation.field === field);
    return ways[k % ways.length]!;
  });
}

/** A mutation as a lie. */
export const tell = (round: AnyRound, { of }: Mutation, to?: number): Cheat => changeBytes(round, of, to);

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

function encodable(round: AnyRound, value: unknown): Uint8Array | undefined {
  try {
    const payload = encode(round.codec, value);
    decode(round.codec, payload);
    return payload;
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof DecodeError)) throw error;
    return undefined;
  }
}

/**
 * What becomes of a mutation. `named`: whoever got it names its author. `concerned`: so does whoever it concerns, and the others learn that somebody
 * left. `unnamed`: nobody finishes, nobody is named. `harmless`: everybody finishes as if nothing had been.
 */
export type Effect = 'named' | 'concerned' | 'unnamed' | 'harmless';

export interface Campaign<R> {
  readonly protocol: Protocol<R>;
  readonly liar: number;
  /** The only receiver that is lied to, or everybody. */
  readonly to?: number;
  /** How the liar tells a mutation; as it is, by default. */
  readonly cheats?: (mutation: Mutation) => readonly Cheat[];
  /** The fields with another effect than `named`, as in {@link Mutation.field}. */
  readonly effects?: Readonly<Record<string, Effect>>;
  /** The round is the last: who is not lied to finishes before the victim can say anything. */
  readonly last?: boolean;
}

/** Runs the protocol once with each of `mutations` of `round`. */
export async function expectEffects<R>(round: AnyRound, mutations: readonly Mutation[], campaign: Campaign<R>): Promise<void> {
  const { protocol, liar, to, effects = {}, cheats = (mutation: Mutation) => [tell(round, mutation, to)], last = false } = campaign;
  expect(mutations.length, `mutations of ${round.name}`).toBeGreaterThan(0);
  for (const mutation of mutations) {
    const report = await attack(protocol, new Map([[liar, cheats(mutation)]]));
    const what = `${mutation.name} to ${to ?? 'everybody'}`;
    expectJust(report, what);
    expectEffect(report, effects[mutation.field] ?? 'named', what, { to, last });
  }
}

/** What a party can say in a round that belongs somewhere else, by name. `foreign` is its rehearsal of another session, `lines` that of this one. */
export const misplaced = (
  rounds: readonly AnyRound[],
  lines: ReadonlyMap<string, Uint8Array>,
  foreign: ReadonlyMap<string, Uint8Array>,
): Record<string, (round: AnyRound) => Cheat> => ({
  nothing: (round) => silence(round),
  'what it said in another session': (round) => changeBytes(round, () => foreign.get(round.name)!),
  'what belongs to the next round': (round) => {
    const next = rounds[(rounds.indexOf(round) + 1) % rounds.length]!;
    return changeBytes(round, () => lines.get(next.name)!);
  },
});

/** Tells `lie` in each of `rounds` in turn. Effects are those of the campaign by name of the round. */
export async function expectInEachRound<R>(
  rounds: readonly AnyRound[],
  lie: (round: AnyRound) => Cheat,
  campaign: Campaign<R>,
): Promise<void> {
  const { protocol, liar, to, effects = {} } = campaign;
  for (const round of rounds) {
    const report = await attack(protocol, new Map([[liar, [lie(round)]]]));
    expectJust(report, round.name);
    expectEffect(report, effects[round.name] ?? 'named', round.name, { to, last: false });
  }
}

function expectEffect(
  { verdicts, liars }: Report<unknown>,
  effect: Effect,
  what: string,
  { to, last }: { to: number | undefined; last: boolean },
): void {
  for (const { party, outcome, culprits, reason } of verdicts) {
    const told = to === undefined || to === party;
    const context = `${what}: party ${party} ${outcome} [${culprits.join()}] ${reason}`;
    if (effect === 'harmless') expect(outcome, context).toBe('finished');
    else if (effect === 'unnamed') expect(['unnamed', 'left', ...(last && !told ? ['finished'] : [])], context).toContain(outcome);
    else if (told && effect === 'named') expect({ outcome, culprits }, context).toEqual({ outcome: 'named', culprits: liars });
    else expect(['named', 'left', ...(last ? ['finished'] : [])], context).toContain(outcome);
  }
  if (effect === 'concerned') expect(verdicts.map(({ outcome }) => outcome), what).toContain('named'); // prettier-ignore
}
