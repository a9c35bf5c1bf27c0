/**
 * The checks that come before the equations of a proof, in the order of cggmp24.md §5: sizes, membership, ranges. Each rejects by the name of
 * the value and the set it is not in.
 */
import { bitLength } from '../base/bytes.ts';
import { coprime, type Core } from '../core/types.ts';
import type { Point } from '../curve/secp256k1.ts';
import { check } from './context.ts';
import { abs } from './integers.ts';

type Named<T> = Readonly<Record<string, T>>;

/** |v| of at most `bits` bits: for responses without a range of the paper, so that no exponent is huge. */
export function checkSizes(proof: string, bits: number, values: Named<bigint>): void {
  for (const [name, v] of Object.entries(values)) check(proof, bitLength(v) <= bits, `bitlen(${name}) ≤ ${bits}`);
}

/** |v| ≤ bound. `text` is the bound in paper notation. */
export function checkRange(proof: string, values: Named<bigint>, bound: bigint, text: string): void {
  for (const [name, v] of Object.entries(values)) check(proof, abs(v) <= bound, `|${name}| ≤ ${text}`);
}

/** 0 ≤ v < n. `text` names n. */
export function checkResidues(proof: string, values: Named<bigint>, n: bigint, text: string): void {
  for (const [name, v] of Object.entries(values)) check(proof, v >= 0n && v < n, `${name} ∈ ${text}`);
}

/** No point is the identity. (Points on the curve are what the type says: the codec admits no others.) */
export function checkPoints(proof: string, points: Named<Point>): void {
  for (const [name, P] of Object.entries(points)) check(proof, !P.is0(), `${name} ≠ O`);
}

/** Elements that must lie in Z*_N, or for `squared` in Z*_{N²} (the same gcd with N). */
export interface UnitGroup {
  /** Name of N. */
  readonly name: string;
  readonly n: bigint;
  readonly units?: Named<bigint>;
  readonly squared?: Named<bigint>;
}

const membersOf = ({ name, n, units = {}, squared = {} }: UnitGroup) => [
  ...Object.entries(squared).map(([member, v]) => ({ v, bound: n * n, text: `${member} ∈ Z*_{${name}²}` })),
  ...Object.entries(units).map(([member, v]) => ({ v, bound: n, text: `${member} ∈ Z*_${name}` })),
];

/** The part of {@link checkUnits} that needs no gcd: 0 < v < N (or N²), and N does not divide v. */
export function checkBounds(proof: string, ...groups: readonly UnitGroup[]): void {
  for (const group of groups) {
    for (const { v, bound, text } of membersOf(group)) check(proof, v > 0n && v < bound && v % group.n !== 0n, text);
  }
}

/** Residues modulo N of all elements: they are units exactly when these are. */
export const residuesOf = (group: UnitGroup): bigint[] => membersOf(group).map(({ v }) => v % group.n);

/** 0 < v < N (or N²) and gcd(v, N) = 1 for every element; one gcd operation per modulus. */
export async function checkUnits(proof: string, core: Core, ...groups: readonly UnitGroup[]): Promise<void> {
  checkBounds(proof, ...groups);
  const verdicts = await core.run(groups.map((group) => coprime(group.n, residuesOf(group))));
  for (const [k, group] of groups.entries()) {
    if (verdicts[k] === 1n) continue;
    // Somebody cheats, or a number was factored: worth the time to say which element it is.
    const members = membersOf(group);
    const single = await core.run(members.map(({ v }) => coprime(group.n, [v % group.n])));
    for (const [i, { text }] of members.entries()) check(proof, single[i] === 1n, text);
    check(proof, false, `gcd of all elements with ${group.name} = 1`);
  }
}
