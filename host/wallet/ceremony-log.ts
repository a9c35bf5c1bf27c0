/** Ceremonies of this node as its operator sees them, and their rows in the records: begun, how far, how they ended and through whom. */
import { Abandoned, Fault, Unavailable } from '../base/errors.ts';
import type { NodeId } from '../mesh/types.ts';
import type { CeremonyRow } from '../storage/records/operations.ts';
import type { WalletContext } from './context.ts';
import type { Standing } from './standing.ts';
import type { CeremonyInfo } from './types.ts';

/** Ended ceremonies kept for the status route. */
const HISTORY = 100;

export class CeremonyLog {
  readonly #infos = new Map<string, CeremonyInfo>();

  constructor(
    private readonly context: WalletContext,
    private readonly standing: Standing,
  ) {}

  /** Newest first: those of this run of the node, with their progress, and what the records have of earlier ones. */
  async list(): Promise<readonly CeremonyInfo[]> {
    const here = [...this.#infos.values()].reverse();
    const earlier = (await this.#recordedBefore()).filter(({ ceremony_id: id }) => !this.#infos.has(id));
    return [...here, ...earlier.map(fromRecord)].slice(0, HISTORY);
  }

  /** Nothing while the records cannot be read: what runs is known without them. */
  async #recordedBefore(): Promise<readonly CeremonyRow[]> {
    try {
      return await this.context.records.ceremonies.list(HISTORY);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      return [];
    }
  }

  /** Runs `work` under a row of the records, which is there before its first message. */
  async recorded<T>(
    id: string,
    { kind, protocol, walletId, parties }: Pick<CeremonyInfo, 'kind' | 'protocol'> & { walletId: string; parties: readonly NodeId[] },
    work: () => Promise<T>,
  ): Promise<T> {
    const { context } = this;
    const started: CeremonyInfo = {
      id,
      kind,
      protocol,
      wallet_id: walletId || null,
      status: 'running',
      participants: parties,
      culprits: [],
      error: null,
      progress: null,
      started_at: new Date(context.clock()).toISOString(),
      ended_at: null,
    };
    this.#update(started);
    const begin = context.clock();
    try {
      await context.records.ceremonies.insert({
        ceremony_id: id,
        kind,
        protocol,
        wallet_id: started.wallet_id,
        participants: parties,
      });
      const result = await work();
      await this.#finish(id, { status: 'completed' });
      context.logger.info({ ceremony: id, kind, protocol, ms: context.clock() - begin }, 'ceremony completed');
      return result;
    } catch (error) {
      const culprits = error instanceof Fault ? error.culprits.map((index) => parties[index]!) : [];
      this.standing.note(error instanceof Abandoned ? [parties[error.by]!] : culprits.filter((node) => node !== context.self));
      const message = error instanceof Error ? error.message : String(error);
      context.logger.warn({ ceremony: id, kind, culprits, error: message }, 'ceremony failed');
      await this.#finish(id, { status: 'failed', culprits, error: message }).catch((failure: unknown) =>
        context.logger.error({ ceremony: id, error: failure }, 'the end of a ceremony could not be recorded'),
      );
      throw error;
    }
  }

  progress(id: string, step: string, done: number, total: number): void {
    const info = this.#infos.get(id);
    if (info === undefined) return;
    const next = { ...info, progress: { step, done, total } };
    this.#infos.set(id, next);
    this.context.events.publish({ type: 'ceremony', ceremony: next });
  }

  async #finish(id: string, end: { status: 'completed' | 'failed'; culprits?: readonly NodeId[]; error?: string }): Promise<void> {
    const { status, culprits = [], error } = end;
    try {
      await this.context.records.ceremonies.end(id, { culprits, ...(error !== undefined && { error }) });
    } finally {
      const info = this.#infos.get(id)!;
      this.#update({ ...info, status, culprits, error: error ?? null, ended_at: new Date(this.context.clock()).toISOString() });
    }
  }

  #update(info: CeremonyInfo): void {
    this.#infos.set(info.id, info);
    for (const [id, old] of this.#infos) if (this.#infos.size > HISTORY && old.status !== 'running') this.#infos.delete(id);
    this.context.events.publish({ type: 'ceremony', ceremony: info });
  }
}

const fromRecord = ({ ceremony_id: id, started_at, ended_at, ...row }: CeremonyRow): CeremonyInfo => ({
  ...row,
  id,
  started_at: started_at.toISOString(),
  ended_at: ended_at?.toISOString() ?? null,
});
