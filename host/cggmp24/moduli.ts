/**
 * What must hold for the moduli that peers send, before their proofs are believed and long before they are used (cggmp24.md §3.5, 4). A modulus
 * that is too small, prime, even or shared with somebody else has emptied wallets (BitForge, CVE-2023-33241).
 */
import { bitLength } from '../base/bytes.ts';
import { Fault } from '../base/errors.ts';
import { coprime, type Core } from '../core/types.ts';
import { isComposite } from '../proofs/integers.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import type { PartyAux } from './aux-record.ts';
import { demand } from './verify-each.ts';

/**
 * The conditions on one N by itself. Those on N̂, s and t are part of Π^prm, and Π^mod repeats these: here they come before N is a modulus of
 * anything.
 * @throws CheckFailed naming the condition
 */
export async function checkModulus(N: bigint, parameters: Parameters): Promise<void> {
  const { min, max } = modulusBits(parameters);
  demand(min <= bitLength(N) && bitLength(N) <= max, `${min} ≤ bitlen(N) ≤ ${max}`);
  demand((N & 1n) === 1n, 'N odd');
  demand(await isComposite(N), 'N composite');
}

/**
 * No two of the 2n moduli have a common factor. Everybody committed before anybody opened, so nobody could copy: a shared factor means that
 * two parties know the same prime. Within one party's keys, or shared with ours, it is that party's fault; between two others it cannot be told.
 * @throws Fault
 */
export async function checkPairwise(parties: readonly PartyAux[], me: number, core: Core): Promise<void> {
  const moduli = parties.flatMap(({ paillier, pedersen }, j) => [
    { party: j, name: `N of party ${j}`, n: paillier.n },
    { party: j, name: `N̂ of party ${j}`, n: pedersen.n },
  ]);
  const pairs = moduli.flatMap((a, k) => moduli.slice(k + 1).map((b) => ({ a, b })));
  const divides = pairs.map(({ a, b }) => b.n % a.n === 0n);
  const gcds = await core.run(pairs.filter((_, k) => !divides[k]).map(({ a, b }) => coprime(a.n, [b.n % a.n])));
  const unrelated = gcds[Symbol.iterator]();
  for (const [k, { a, b }] of pairs.entries()) {
    if (!divides[k] && unrelated.next().value === 1n) continue;
    const reason = `gcd(${a.name}, ${b.name}) = 1 does not hold`;
    const culprits = a.party === b.party ? [a.party] : a.party === me ? [b.party] : b.party === me ? [a.party] : [];
    throw new Fault(culprits, reason, { round: 'aux/open', detail: reason });
  }
}
