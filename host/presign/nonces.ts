/**
 * The prepared FROST nonces of one node (cggmp24.md §10.4): pairs (d, e) whose commitments it has given to coordinators, each pair to one. A pair is
 * taken once, and the journal has that durably before a share made with it leaves; nothing is ever put back.
 *
 * They are in memory only. Every pair is handed out when it is made, and a restart burns what was handed out, so a copy on disk could only do harm.
 */
import { hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { nonceId, prepareNonces } from '../frost/nonces.ts';
import type { FrostShare } from '../frost/share.ts';
import type { NonceCommitment, SigningNonces } from '../frost/signing.ts';
import type { BurnJournal } from '../storage/burns.ts';
import { markUsed } from './states.ts';

interface Prepared {
  readonly holder: string;
  readonly share: Pick<FrostShare, 'keyId' | 'epoch'>;
  readonly nonces: SigningNonces;
}

/** Pairs that one coordinator may have of one key; the oldest make room. */
const MAX_HELD = 128;

export class NonceStock {
  /** By {@link nonceId}, oldest first. */
  readonly #prepared = new Map<string, Prepared>();
  readonly #burns: BurnJournal;
  readonly #random: Random;

  constructor({ burns, random }: { readonly burns: BurnJournal; readonly random: Random }) {
    this.#burns = burns;
    this.#random = random;
  }

  get size(): number {
    return this.#prepared.size;
  }

  /** Makes `count` pairs for `holder`, whose fresh bytes `context` are, and drops what it has of an older epoch of the key. */
  prepare(share: FrostShare, holder: string, context: Uint8Array, count: number): NonceCommitment[] {
    const held = [...this.#prepared].filter(([, entry]) => entry.holder === holder && entry.share.keyId === share.keyId);
    const surplus = held.filter(([, entry], i) => entry.share.epoch !== share.epoch || i < held.length + count - MAX_HELD);
    for (const [id] of surplus) this.#drop(id);
    return prepareNonces(share, this.#random, context, count).map((nonces) => {
      const id = hex(nonceId(share, nonces.commitment));
      this.#prepared.set(id, { holder, share: { keyId: share.keyId, epoch: share.epoch }, nonces });
      return nonces.commitment;
    });
  }

  /** Whether `holder` may have all of them used, each once. */
  holds(share: FrostShare, holder: string, commitments: readonly NonceCommitment[]): boolean {
    const ids = commitments.map((commitment) => hex(nonceId(share, commitment)));
    return new Set(ids).size === ids.length && ids.every((id) => this.#prepared.get(id)?.holder === holder);
  }

  /**
   * Takes the pairs of `commitments`, all or none; `purposes` are 32-byte digests of what each is used for: message, set and commitments of all. Durable
   * when it resolves.
   * @throws Refusal when `holder` was not given one of them, or it was used. @throws Unavailable when it could not be written; they are lost then.
   */
  async take(
    share: FrostShare,
    holder: string,
    commitments: readonly NonceCommitment[],
    purposes: readonly Uint8Array[],
  ): Promise<SigningNonces[]> {
    if (!this.holds(share, holder, commitments)) {
      throw new Refusal(
        'nonces.unknown',
        'commitments',
        'a nonce commitment that was not given to this coordinator, or is used',
        'ask for fresh commitments',
        409,
      );
    }
    const ids = commitments.map((commitment) => nonceId(share, commitment));
    const taken = ids.map((id) => this.#prepared.get(hex(id))!.nonces);
    // Out of the stock before anything is awaited: a second call for one of them finds nothing, whatever happens to the first.
    for (const id of ids) this.#prepared.delete(hex(id));
    try {
      await markUsed(this.#burns, ids.map((id, i) => ({ id, purpose: purposes[i]! }))); // prettier-ignore
      return taken;
    } catch (error) {
      for (const nonces of taken) nonces.erase();
      throw error;
    }
  }

  /** Drops all pairs of a key, or of everybody: for the end of an epoch, and of the process. */
  purge(keyId?: string): void {
    for (const [id, { share }] of this.#prepared) if (keyId === undefined || share.keyId === keyId) this.#drop(id);
  }

  #drop(id: string): void {
    this.#prepared.get(id)?.nonces.erase();
    this.#prepared.delete(id);
  }
}
