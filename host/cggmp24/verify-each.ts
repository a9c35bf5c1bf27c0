/**
 * Verification with attribution. A round's checks are listed by name; every check is made for every peer, and what was made is compared with
 * what was listed, so that no control flow can skip one (cggmp24.md §8 row 30). All failures are collected before anybody is blamed.
 */
import { Fault, invariant, joint } from '../base/errors.ts';
import { coprime, type Core } from '../core/types.ts';
import type { Verdicts } from '../proofs/batch.ts';
import { ProofRejected } from '../proofs/context.ts';
import type { AnyRound, Rounds } from '../protocol/rounds.ts';

/** A condition on a peer's message that is no proof of knowledge, such as an opening that must match its commitment. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

/** Throws a {@link CheckFailed} unless `holds`. `condition` is the equation in paper notation. */
export function demand(holds: boolean, condition: string): void {
  if (!holds) throw new CheckFailed(`${condition} does not hold`);
}

/** 0 < C < N² and gcd(C, N) = 1 for all `values` of each modulus, with one gcd per modulus. `name` is that of N. */
export async function demandUnits(
  core: Core,
  groups: readonly { readonly name: string; readonly n: bigint; readonly values: readonly bigint[] }[],
): Promise<void> {
  const condition = (name: string) => `C ∈ Z*_{${name}²} for every ciphertext under ${name}`;
  for (const { name, n, values } of groups) {
    demand(
      values.every((C) => 0n < C && C < n * n && C % n !== 0n),
      condition(name),
    );
  }
  const residues = (n: bigint, values: readonly bigint[]) => values.map((C) => C % n);
  const verdicts = await core.run(groups.map(({ n, values }) => coprime(n, residues(n, values))));
  for (const [k, { name }] of groups.entries()) demand(verdicts[k] === 1n, condition(name));
}

/**
 * Proofs of one kind, verified together: all labels, peers and elements of a batch. What it resolves with throws the first rejection of one peer
 * under one label, with the number of the element where there are several; it fails for a label that was not judged.
 */
export async function judge<Label extends string, I>(
  { peers }: Pick<Rounds, 'peers'>,
  labels: readonly Label[],
  count: number,
  item: (label: Label, peer: number, element: number) => I,
  verify: (items: readonly I[]) => Promise<Verdicts>,
): Promise<(label: Label, peer: number) => void> {
  const elements = Array.from({ length: count }, (_, k) => k);
  const places = labels.flatMap((label) => peers.flatMap((peer) => elements.map((element) => ({ label, peer, element }))));
  const verdicts = await verify(places.map(({ label, peer, element }) => item(label, peer, element)));
  invariant(verdicts.length === places.length, 'one verdict for each proof');
  return (label, peer) => {
    const judged = verdicts.filter((_, i) => places[i]!.label === label && places[i]!.peer === peer);
    invariant(judged.length === count, `every ${label} of ${peer} was judged`);
    const element = judged.findIndex((verdict) => verdict !== undefined);
    if (element < 0) return;
    const rejected = judged[element]!;
    throw count === 1 ? rejected : new CheckFailed(`element ${element}: ${rejected.message}`);
  };
}

const blames = (error: unknown): error is ProofRejected | CheckFailed => error instanceof ProofRejected || error instanceof CheckFailed;

export interface Check {
  /** The round whose message is checked: that message is the evidence. */
  readonly round: AnyRound;
  /** Throws {@link ProofRejected} or {@link CheckFailed} when the peer is at fault; any other error is ours and passes through. */
  readonly verify: (peer: number) => void | Promise<void>;
}

/** Makes every check for every peer, concurrently. @throws Fault naming every peer that failed one, with the first failure as evidence. */
export async function verifyEach(rounds: Rounds, checks: Readonly<Record<string, Check>>): Promise<void> {
  const listed = rounds.peers.flatMap((peer) => Object.entries(checks).map(([name, { round, verify }]) => ({ peer, name, round, verify })));
  const made = new Set<string>();
  const results = await Promise.allSettled(
    listed.map(async ({ peer, name, verify }) => {
      await verify(peer);
      made.add(`${name} of ${peer}`);
    }),
  );

  const failures: Failure[] = [];
  for (const [k, result] of results.entries()) {
    if (result.status === 'fulfilled') continue;
    const { peer, name, round } = listed[k]!;
    const error: unknown = result.reason;
    if (!blames(error)) throw error;
    failures.push({ peer, round, check: name, reason: `${name}: ${error.message}` });
  }
  if (failures.length > 0) throw blame(rounds, failures);
  invariant(
    made.size === rounds.peers.length * Object.keys(checks).length && listed.every(({ peer, name }) => made.has(`${name} of ${peer}`)),
    'every listed check was made',
  );
}

interface Failure {
  readonly peer: number;
  readonly round: AnyRound;
  /** What failed, by the name that a third party knows it by. */
  readonly check: string;
  readonly reason: string;
}

/** One fault for all culprits, with a claim for every check that failed; the signed message is that of the first. */
export function blame(rounds: Rounds, failures: readonly Failure[]): Fault {
  return joint(failures.map(({ peer, round, check, reason }) => rounds.fault(peer, round, reason, check)));
}

/**
 * Two deliveries of one step, under way together. Both are awaited; when both fail, a failure that names a culprit is thrown rather than one
 * that only follows from it (a peer that left).
 */
export async function together<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  const failures = [a, b].flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((error) => error instanceof Fault && error.culprits.length > 0) ?? failures[0];
  invariant(a.status === 'fulfilled' && b.status === 'fulfilled', 'no failure');
  return [a.value, b.value];
}
