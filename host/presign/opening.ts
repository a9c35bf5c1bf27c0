/**
 * Presignatures that this node has opened for one request (cggmp24.md §7 rule 10): from here on they are spent for it, all together, or burnt, and a
 * restart of the process burns them. The secrets are in memory only.
 */
import { Refusal } from '../base/errors.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { PresignatureRecord } from './record.ts';
import { markBurnt, markSpent } from './states.ts';

/** For the counters. */
export interface OpeningEnd {
  spent(): void;
  burnt(): void;
}

export class Opening {
  /** In the order in which they were asked for. `secret` is wiped when the opening ends. */
  readonly records: readonly PresignatureRecord[];
  /** 32 bytes. */
  readonly request: Uint8Array;
  readonly #burns: BurnJournal;
  readonly #end: OpeningEnd;
  #state: 'opened' | 'spent' | 'burnt' = 'opened';

  constructor(records: readonly PresignatureRecord[], request: Uint8Array, burns: BurnJournal, end: OpeningEnd) {
    this.records = records;
    this.request = request;
    this.#burns = burns;
    this.#end = end;
  }

  get state(): 'opened' | 'spent' | 'burnt' {
    return this.#state;
  }

  /**
   * Marks all of them spent, durably, and then lets `use` see the secrets, once. They are wiped when it returns.
   * @throws Refusal when they were spent or burnt before; Unavailable when it could not be written: they are lost then.
   */
  async spend<T>(use: (records: readonly PresignatureRecord[]) => T): Promise<T> {
    if (this.#state !== 'opened') {
      throw new Refusal(
        'presignature.ended',
        'presignature',
        `the presignatures opened for this request are ${this.#state}`,
        'take others, or sign without',
        409,
      );
    }
    // Before anything is awaited: whoever comes second finds it ended.
    this.#state = 'spent';
    try {
      await markSpent(this.#burns, this.#ids(), this.request);
    } catch (error) {
      this.#wipe();
      this.#end.burnt();
      throw error;
    }
    try {
      return use(this.records);
    } finally {
      this.#wipe();
      this.#end.spent();
    }
  }

  /** Ends what is still open: durable when it resolves. True when it was open. */
  async burn(reason: string): Promise<boolean> {
    if (this.#state !== 'opened') return false;
    this.#state = 'burnt';
    this.#wipe();
    try {
      await markBurnt(this.#burns, this.#ids(), reason);
    } finally {
      this.#end.burnt();
    }
    return true;
  }

  #ids(): Uint8Array[] {
    return this.records.map(({ id }) => id);
  }
  #wipe(): void {
    for (const { secret } of this.records) secret.fill(0);
  }
}
