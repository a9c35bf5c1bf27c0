/** Where a judge takes the messages from: the log of a run, while a file is made, or the file. Both say what was taken, so that a file holds that and no more. */
import { EVERYBODY } from '../protocol/rounds.ts';
import type { MessageLog } from '../protocol/signed.ts';
import type { EvidenceFile, SignedExhibit } from './format.ts';

export interface Exhibits {
  /** The accused's message; with `payload` unless only its hash is wanted. */
  signed(round: string, to: number): SignedExhibit | undefined;
  /** Two that the accused signed in one place. */
  conflict(round: string, to: number): readonly [SignedExhibit, SignedExhibit] | undefined;
  payload(round: string, author: number): Uint8Array | undefined;
  digests(round: string): readonly Uint8Array[] | undefined;
}

export type Taken = Pick<EvidenceFile, 'signed' | 'acknowledged' | 'echoed'>;

const keyOfSigned = ({ round, to, digest }: SignedExhibit): string => `${round} ${to} ${Buffer.from(digest).toString('hex')}`;
const sorted = <T>(items: Iterable<T>, key: (item: T) => string): T[] => [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1));

/** From the log of a party that was there, with a record of what was taken. */
export class LogExhibits implements Exhibits {
  readonly #signed = new Map<string, SignedExhibit>();
  readonly #payloads = new Map<string, { round: string; author: number; payload: Uint8Array }>();
  readonly #echoed = new Map<string, { round: string; digests: Uint8Array[] }>();

  constructor(
    private readonly log: MessageLog,
    private readonly accused: number,
    private readonly n: number,
  ) {}

  signed(round: string, to: number): SignedExhibit | undefined {
    const found = this.log.find(round, this.accused, to);
    if (found?.payload === undefined) return undefined;
    const { digest, signature, payload } = found;
    return this.#take({ round, to, digest, signature, payload });
  }

  conflict(round: string, to: number): readonly [SignedExhibit, SignedExhibit] | undefined {
    const both = this.log.conflict(round, this.accused, to)?.map(({ digest, signature }) => ({ round, to, digest, signature, payload: undefined })); // prettier-ignore
    const [a, b] = both ?? [];
    return a === undefined || b === undefined ? undefined : [this.#take(a), this.#take(b)];
  }

  payload(round: string, author: number): Uint8Array | undefined {
    const payload = this.log.find(round, author, EVERYBODY)?.payload;
    if (payload !== undefined) this.#payloads.set(`${round} ${author}`, { round, author, payload });
    return payload;
  }

  digests(round: string): readonly Uint8Array[] | undefined {
    const digests = Array.from({ length: this.n }, (_, j) => this.log.find(round, j, EVERYBODY)?.digest);
    if (!digests.every((digest) => digest !== undefined)) return undefined;
    this.#echoed.set(round, { round, digests });
    return digests;
  }

  taken(): Taken {
    return {
      signed: sorted(this.#signed.values(), keyOfSigned),
      acknowledged: sorted(this.#payloads.values(), ({ round, author }) => `${round} ${author}`),
      echoed: sorted(this.#echoed.values(), ({ round }) => round),
    };
  }

  #take(exhibit: SignedExhibit): SignedExhibit {
    this.#signed.set(keyOfSigned(exhibit), exhibit);
    return exhibit;
  }
}

/** From a file. */
export class FileExhibits implements Exhibits {
  readonly #unused = new Set<object>();

  constructor(private readonly file: Taken) {
    for (const list of [file.signed, file.acknowledged, file.echoed]) for (const item of list) this.#unused.add(item);
  }

  signed(round: string, to: number): SignedExhibit | undefined {
    return this.#use(this.file.signed.find((item) => item.round === round && item.to === to && item.payload !== undefined));
  }

  conflict(round: string, to: number): readonly [SignedExhibit, SignedExhibit] | undefined {
    const [a, b] = this.file.signed.filter((item) => item.round === round && item.to === to);
    if (a === undefined || b === undefined) return undefined;
    return [this.#use(a)!, this.#use(b)!];
  }

  payload(round: string, author: number): Uint8Array | undefined {
    return this.#use(this.file.acknowledged.find((item) => item.round === round && item.author === author))?.payload;
  }

  digests(round: string): readonly Uint8Array[] | undefined {
    return this.#use(this.file.echoed.find((item) => item.round === round))?.digests;
  }

  /** Whether the file holds anything that no judge has looked at: then it is not the file of this claim. */
  get superfluous(): boolean {
    return this.#unused.size > 0;
  }

  #use<T extends object>(item: T | undefined): T | undefined {
    if (item !== undefined) this.#unused.delete(item);
    return item;
  }
}
