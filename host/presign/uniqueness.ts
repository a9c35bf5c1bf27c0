/**
 * Which nonce points and presigning sessions were ever seen (cggmp24.md §7 rule 9). A repetition means that somebody's random numbers came
 * back, for instance after a virtual machine was set back to a snapshot; two signatures with one nonce point would give the key away.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { PresignatureMeta } from './record.ts';

const digest = (kind: string, value: Uint8Array): Uint8Array => sha256(concatBytes(utf8(`threshold-wallet/seen/${kind}\0`), value));

/**
 * Enters nonce point and session into `seen` durably, for presignature `id`.
 * @throws Refusal `presignature.repeated` when either was entered before, whatever became of it.
 */
export async function claimUnique(
  seen: BurnJournal,
  { id, sid, noncePoint }: Pick<PresignatureMeta, 'id' | 'sid' | 'noncePoint'>,
): Promise<void> {
  try {
    await seen.burnAll([
      { id: digest('nonce-point', noncePoint), purpose: id },
      { id: digest('session', sid), purpose: id },
    ]);
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'burn.repeated') throw error;
    throw new Refusal(
      'presignature.repeated',
      'nonce point',
      'a presignature has the nonce point or the session of an earlier one',
      'discard it; if this comes again, check whether a node was set back to a snapshot',
      409,
    );
  }
}
