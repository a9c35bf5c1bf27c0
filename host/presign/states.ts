/**
 * The states of a one-time thing, as the burn journal holds them (cggmp24.md §7 rule 10):
 *
 *   READY → OPENED(request) → SPENT | BURNT
 *
 * | state | records of the journal |
 * | --- | --- |
 * | READY | none |
 * | OPENED(request) | (id, request) |
 * | SPENT | and (end(id), H("spent", request)) |
 * | BURNT | and (end(id), any other) |
 *
 * with end(id) = H("end", id). The journal takes a second record of one id from nobody, so each arrow is gone along once, by one caller, and is durable
 * when its promise resolves; SPENT and BURNT exclude each other because they would be the same id. Journals written before there were openings
 * have the first record only, for what was used: it is never ready again either way.
 */
import { concatBytes, equalBytes, hex, utf8 } from '../base/bytes.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import type { Burn, BurnJournal } from '../storage/burns.ts';

export type State = { readonly name: 'ready' } | { readonly name: 'opened' | 'spent' | 'burnt'; readonly request: Uint8Array };

const digest = (kind: string, value: Uint8Array): Uint8Array => sha256(concatBytes(utf8(`threshold-wallet/one-time/${kind}\0`), value));
const endOf = (id: Uint8Array): Uint8Array => digest('end', id);

/** What the journal says of `id`. */
export function stateOf(burns: BurnJournal, id: Uint8Array): State {
  const request = burns.purposeOf(id);
  if (request === undefined) return { name: 'ready' };
  const end = burns.purposeOf(endOf(id));
  if (end === undefined) return { name: 'opened', request };
  return { name: equalBytes(end, digest('spent', request)) ? 'spent' : 'burnt', request };
}

/** READY → OPENED(request), all or none. @throws Refusal when one of them is not ready. */
export const markOpened = (burns: BurnJournal, ids: readonly Uint8Array[], request: Uint8Array): Promise<void> =>
  burns.burnAll(ids.map((id) => ({ id, purpose: request })));

/** OPENED(request) → SPENT, all or none. @throws Refusal when one of them has ended. */
export const markSpent = (burns: BurnJournal, ids: readonly Uint8Array[], request: Uint8Array): Promise<void> =>
  burns.burnAll(ids.map((id) => ({ id: endOf(id), purpose: digest('spent', request) })));

/** READY → SPENT in one write, for what is used as soon as it is opened. @throws Refusal when one of them is not ready. */
export const markUsed = (burns: BurnJournal, uses: readonly Burn[]): Promise<void> =>
  burns.burnAll(
    uses.flatMap(({ id, purpose }) => [
      { id, purpose },
      { id: endOf(id), purpose: digest('spent', purpose) },
    ]),
  );

/** READY or OPENED → BURNT, all or none, in one write. @throws Refusal when one of them has ended. */
export const markBurnt = (burns: BurnJournal, ids: readonly Uint8Array[], reason: string): Promise<void> =>
  burns.burnAll(
    ids.flatMap((id): Burn[] => {
      const purpose = digest('burnt', utf8(reason));
      const end = { id: endOf(id), purpose };
      return burns.has(id) ? [end] : [{ id, purpose }, end];
    }),
  );

/**
 * Burns whatever is open. For the start of a node, before it opens anything: what another run of it had opened is in nobody's hands any more.
 * Resolves with how many there were.
 */
export async function burnOpened(burns: BurnJournal): Promise<number> {
  const ids = burns.ids();
  const ends = new Set(ids.map((id) => hex(endOf(id))));
  const open = ids.filter((id) => !ends.has(hex(id)) && !burns.has(endOf(id)));
  await markBurnt(burns, open, 'restart');
  return open.length;
}
