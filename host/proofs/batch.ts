/**
 * Verification of many proofs made to one verifier at the cost of few (cggmp24.md §9.4 e to h′): the equations of all proofs under one modulus are
 * raised to random weights δ and multiplied into one.
 *
 * What makes that sound, and is kept by construction:
 *  - δ is uniform of 128 bits, drawn here from the verifier's generator when all proofs are at hand, for each equation of each proof a δ of its own
 *    ({@link weight}). No caller gives one, none leaves this room, none is used twice.
 *  - Sizes, membership and ranges are checked for every proof by itself (`checkForm` of the proof), and every element of a modulus for being a
 *    unit, before any equation is looked at. What is merged is the gcds into one per modulus, which is exact, and the equations.
 *  - Under which conditions a product of weighted equations tells the truth about each of them stands at each equation (batch-equations.ts).
 *
 * The meaning of "valid" stays that of the proofs' own `verify` (cggmp24.md §5). A batch accepts a little more: w of (1) in Π^aff-g is not looked at,
 * and factors of small order pass (z2 → N − z2, T → N̂ − T). No plaintext and no committed value changes by that. When a batch fails, every proof of it
 * is verified by itself, and only those that fail there are rejected: nobody is blamed for what an honest judge, who has the full equations only,
 * would accept. The other way round nobody is blamed for having accepted.
 */
import { invariant } from '../base/errors.ts';
import { below, type Random } from '../base/random.ts';
import { coprime, type Core } from '../core/types.ts';
import { residuesOf, type UnitGroup } from './checks.ts';
import { ProofRejected, type ProofContext } from './context.ts';

/** A proof with all that its own verification takes. */
export interface Item<S, P> {
  readonly statement: S;
  readonly proof: P;
  readonly context: ProofContext;
}
/** Whoever verifies: its generator and its arithmetic. */
export interface Verifier {
  readonly random: Random;
  readonly core: Core;
}
/** For each item, in order: why it was rejected, or undefined. */
export type Verdicts = readonly (ProofRejected | undefined)[];

const WEIGHT_BITS = 128n;
/** δ. Two different values of an equation agree after weighting for at most one δ modulo each prime above 2^128. */
export const weight = (random: Random): bigint => below(random, 1n << WEIGHT_BITS);
/** An even δ, of as many random bits: it raises every element of order 2 to 1, so that no verdict on a sign is left to chance. */
export const evenWeight = (random: Random): bigint => 2n * weight(random);

interface Batch<I> {
  /** Sizes, membership, ranges of one proof. @throws ProofRejected */
  readonly form: (item: I) => readonly UnitGroup[];
  /** Whether the weighted equations of these proofs hold. Draws the weights. */
  readonly equations: (items: readonly I[]) => Promise<boolean>;
  /** The proof's own verification, all equations. @throws ProofRejected */
  readonly alone: (item: I) => Promise<void>;
}

/** Verdicts on all items: by their batch, and if that fails by each proof's own verification. */
export async function verifyBatch<I>(items: readonly I[], { core }: Verifier, { form, equations, alone }: Batch<I>): Promise<Verdicts> {
  const groups: UnitGroup[] = [];
  const forms = await Promise.all(
    items.map((item) =>
      rejection(() => {
        groups.push(...form(item));
      }),
    ),
  );
  const open = items.filter((_, i) => forms[i] === undefined);
  if (open.length === 0 || ((await allUnits(core, groups)) && (await equations(open)))) return forms;
  const verdicts = await verifyAlone(items, alone);
  // If every proof satisfied its equations, so would their weighted product: a batch that fails alone is an error of the arithmetic.
  invariant(
    open.some((item) => verdicts[items.indexOf(item)] !== undefined),
    'a batch fails only with a proof that fails by itself',
  );
  return verdicts;
}

/** The same verdicts without batches: every proof by its own verification. */
export const verifyAlone = <I>(items: readonly I[], alone: (item: I) => Promise<void>): Promise<Verdicts> =>
  Promise.all(items.map((item) => rejection(() => alone(item))));

async function rejection(verification: () => void | Promise<void>): Promise<ProofRejected | undefined> {
  try {
    await verification();
    return undefined;
  } catch (error) {
    if (error instanceof ProofRejected) return error;
    throw error;
  }
}

/** Whether everything is a unit: one gcd per modulus, of the product of all its elements. */
async function allUnits(core: Core, groups: readonly UnitGroup[]): Promise<boolean> {
  const residues = new Map<bigint, bigint[]>();
  for (const group of groups) {
    const known = residues.get(group.n) ?? [];
    residues.set(group.n, known);
    known.push(...residuesOf(group));
  }
  const verdicts = await core.run([...residues].map(([n, values]) => coprime(n, values)));
  return verdicts.every((verdict) => verdict === 1n);
}
