/**
 * What becomes of a key that this node had prepared, but not activated, when its generation ended for it: by a crash, a lost link, or a party
 * that confirmed to some and not to others. The other members are asked what they hold (cggmp24.md §6.3: active only when all n have confirmed).
 */
import { equalBytes } from '../base/bytes.ts';

/** What a member says of a key. */
export interface Answer {
  readonly state: 'unknown' | 'prepared' | 'active';
  readonly publicKey: Uint8Array;
}

/**
 * Whether the key counts, from the answers of other members (each asked once, those that gave none left out). An honest member has activated it
 * only when all confirmed, and of any t members one is honest; or all others hold it, which is what confirming says. One member's word is not
 * enough: it could give an address to a key of which another honest member has no share.
 */
export function isConfirmed({ t, n, publicKey }: { t: number; n: number; publicKey: Uint8Array }, answers: readonly Answer[]): boolean {
  const holders = answers.filter((answer) => answer.state !== 'unknown' && equalBytes(answer.publicKey, publicKey));
  return holders.length === n - 1 || holders.filter(({ state }) => state === 'active').length >= t;
}
