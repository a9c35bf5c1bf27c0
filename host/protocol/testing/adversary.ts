/**
 * Dishonest parties among honest ones. A {@link Cheat} replaces what a party says in one round, to everybody or to one receiver; the message is
 * properly signed, and the party runs honest code otherwise, so that a run differs from an honest one in exactly what the test is about.
 * {@link attack} returns what each honest party made of it; {@link expectJust} is what must hold whatever the cheat was.
 */
import { expect } from 'vitest';
import { decode, encode, type Codec } from '../../base/codec.ts';
import { Abandoned, Fault, type Evidence } from '../../base/errors.ts';
import type { Round, Rounds } from '../rounds.ts';
import { authentic, memoryNetwork, values } from './network.ts';

/**
 * A protocol as all parties run it. It is the same run every time: one session, randomness from a seed, so that a failure can be repeated and a liar
 * knows beforehand what its honest self would have said.
 */
export interface Protocol<R> {
  readonly n: number;
  readonly sid: Uint8Array;
  readonly run: (rounds: Rounds, me: number) => Promise<R>;
  /** What the parties must agree on of a result: equal texts for equal keys, moduli, signatures. */
  readonly shared: (result: R) => string;
}

export type AnyRound<T = unknown> = Round<T, 'echo' | 'broadcast' | 'p2p'>;

export interface Cheat {
  readonly round: string;
  /** The only receiver that is lied to; without it everybody is. */
  readonly to?: number;
  /** In an echo round: the liar's own echo covers what it sent, so that nobody sees a difference. */
  readonly consistent: boolean;
  /** The payload to send instead, or `undefined` for none. */
  readonly edit: (payload: Uint8Array) => Uint8Array | undefined;
  /** What the liar takes a message of a peer for, so that the honest code it runs can live with the lies that it told or was party to. */
  readonly hear?: (message: unknown, from: number) => unknown;
}
/** The liars of a run and what each of them does. */
export type Cheats = ReadonlyMap<number, readonly Cheat[]>;

/** Sends other bytes in `round`, which need not be a message of it. */
export const changeBytes = (round: AnyRound, edit: (payload: Uint8Array) => Uint8Array, to?: number): Cheat => ({
  round: round.name,
  consistent: round.delivery === 'echo' && to === undefined,
  edit,
  ...(to !== undefined && { to }),
});

/** Says something else in `round`. */
export const change = <T>(round: AnyRound<T>, edit: (message: T) => T, to?: number): Cheat =>
  changeBytes(round, (payload) => encode(round.codec, edit(decode(round.codec, payload))), to);

/** Says nothing in `round`. */
export const silence = (round: AnyRound, to?: number): Cheat => ({
  round: round.name,
  consistent: false,
  edit: () => undefined,
  ...(to !== undefined && { to }),
});

/** Takes what others say in `round` for something else. */
export const hear = <T>(round: AnyRound<T>, edit: (message: T, from: number) => T): Cheat => ({
  round: round.name,
  consistent: false,
  edit: (payload) => payload,
  hear: edit as (message: unknown, from: number) => unknown,
});

/** What an honest party made of a run. */
export interface Verdict<R> {
  readonly party: number;
  /** `left`: it only learned that somebody else had left. `broken`: something other than a fault of a peer, which no peer may cause. */
  readonly outcome: 'finished' | 'named' | 'unnamed' | 'left' | 'broken';
  readonly culprits: readonly number[];
  readonly reason: string;
  readonly evidence?: Evidence;
  readonly result?: R;
}

export interface Report<R> {
  readonly sid: Uint8Array;
  readonly liars: readonly number[];
  /** Of the honest parties, by index. */
  readonly verdicts: readonly Verdict<R>[];
  /** What the honest parties that finished hold; at most one text when all is well. */
  readonly results: readonly string[];
  /** Rounds in which an honest party said something. */
  readonly said: ReadonlySet<string>;
}

/** Runs `protocol` with the liars of `cheats`. */
export async function attack<R>({ n, sid, run, shared }: Protocol<R>, cheats: Cheats): Promise<Report<R>> {
  const said = new Set<string>();
  const network = memoryNetwork(n, sid, {
    override: (from, to, round, payload) => {
      const lies = (cheats.get(from) ?? []).filter((cheat) => cheat.round === round && !cheat.consistent && (cheat.to ?? to) === to);
      return lies.reduce<Uint8Array | undefined>((sent, { edit }) => (sent === undefined ? undefined : edit(sent)), payload);
    },
    onMessage: (from, _to, round) => {
      if (!cheats.has(from)) said.add(round);
    },
  });
  const settled = await network.run((rounds, me) => run(standingBy(rounds, cheats.get(me) ?? []), me));
  const verdicts = settled.map((result, party) => verdictOf(party, result)).filter(({ party }) => !cheats.has(party));
  const results = new Set(verdicts.flatMap(({ outcome, result }) => (outcome === 'finished' ? [shared(result!)] : [])));
  return { sid, liars: [...cheats.keys()].sort((a, b) => a - b), verdicts, results: [...results], said };
}

/** The rounds of a liar whose own view has the lies that it tells everybody, and what it wants to hear. */
function standingBy(rounds: Rounds, cheats: readonly Cheat[]): Rounds {
  const heard = <T>(name: string, received: ReadonlyMap<number, T>): ReadonlyMap<number, T> => {
    const ears = cheats.filter((cheat) => cheat.round === name).flatMap(({ hear }) => hear ?? []);
    return new Map([...received].map(([from, message]) => [from, ears.reduce<unknown>((m, ear) => ear(m, from), message) as T]));
  };
  return {
    ...rounds,
    broadcast: async (round, message) => heard(round.name, await rounds.broadcast(round, message)),
    send: async (round, messages) => heard(round.name, await rounds.send(round, messages)),
    async echo<T>(round: Round<T, 'echo'>, message: T) {
      const lies = cheats.filter((cheat) => cheat.round === round.name && cheat.consistent);
      const codec: Codec<T> = {
        write: (writer, value) => writer.raw(lies.reduce((sent, { edit }) => edit(sent) ?? sent, encode(round.codec, value))),
        read: (reader) => round.codec.read(reader),
      };
      return heard(round.name, await rounds.echo({ ...round, codec }, message));
    },
  };
}

function verdictOf<R>(party: number, settled: PromiseSettledResult<R>): Verdict<R> {
  if (settled.status === 'fulfilled') return { party, outcome: 'finished', culprits: [], reason: '', result: settled.value };
  const error: unknown = settled.reason;
  if (!(error instanceof Fault)) return { party, outcome: 'broken', culprits: [], reason: String(error) };
  const { culprits, reason, evidence } = error;
  const outcome = error instanceof Abandoned ? 'left' : culprits.length > 0 ? 'named' : 'unnamed';
  return { party, outcome, culprits, reason, evidence };
}

/** What is named without a signed message: silence has none, and a common factor is in two openings that everybody has. */
const UNSIGNED = /^no message in round|^gcd\(/;

/**
 * What must hold after any cheat: nobody names an honest party, nobody fails for any other reason than a fault of a peer, all who finished hold
 * the same, and whoever names somebody shows a message that a named party signed.
 */
export function expectJust({ sid, liars, verdicts, results }: Report<unknown>, what = 'the cheat'): void {
  for (const { party, outcome, culprits, reason, evidence } of verdicts) {
    const context = `${what}: party ${party} ${outcome} [${culprits.join()}] ${reason}`;
    expect(outcome, context).not.toBe('broken');
    expect(liars, context).toEqual(expect.arrayContaining([...culprits]));
    if (outcome !== 'named' || UNSIGNED.test(reason)) continue;
    expect(evidence?.signed, context).toBeDefined();
    expect(
      culprits.filter((culprit) => authentic(sid, culprit, evidence!.round, evidence!.signed!)),
      context,
    ).not.toEqual([]);
  }
  expect(results.length, `${what}: different results`).toBeLessThanOrEqual(1);
}

/**
 * Every honest party names the liars and nobody else, for `reason`. Parties in `unaware` could not see the lie and only learn that an honest party
 * left.
 */
export function expectNamed(report: Report<unknown>, reason: string | RegExp, unaware: readonly number[] = []): void {
  expectJust(report);
  for (const verdict of report.verdicts) {
    const expected = unaware.includes(verdict.party) ? { outcome: 'left' } : { outcome: 'named', culprits: report.liars };
    expect(verdict, `party ${verdict.party}: ${verdict.reason}`).toMatchObject(expected);
    if (!unaware.includes(verdict.party)) expect(verdict.reason).toMatch(reason);
  }
}

/** What party `from` says to everybody, or to `to`, in each round of an honest run, in the order of the rounds. All parties must finish alike. */
export async function rehearse<R>(
  { n, sid, run, shared }: Protocol<R>,
  from: number,
  to: number,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const lines = new Map<string, Uint8Array>();
  const network = memoryNetwork(n, sid, {
    override: (sender, receiver, round, payload) => {
      if (sender === from && receiver === to) lines.set(round, payload);
      return payload;
    },
  });
  expect(new Set(values(await network.run(run)).map(shared)).size, 'results of an honest run').toBe(1);
  return lines;
}

/**
 * Commits to one thing and opens that, though it is not what the honest party would have: `edit` changes the opening, and the commitment is made
 * for it. `lines` is the party's rehearsal.
 */
export function commitTo<V, O>(
  lines: ReadonlyMap<string, Uint8Array>,
  { commit, open }: { readonly commit: AnyRound<V>; readonly open: AnyRound<O> },
  commitment: (opening: O) => V,
  edit: (opening: O) => O,
): Cheat[] {
  const opening = edit(decode(open.codec, lines.get(open.name)!));
  return [change(commit, () => commitment(opening)), change(open, () => opening)];
}
