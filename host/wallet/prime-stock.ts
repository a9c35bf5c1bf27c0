/**
 * A node's own stock of safe primes for its next auxiliary information (cggmp24.md §3.1, §6.4 round 0), searched while nothing else is to do, sealed
 * in the vault.
 *
 * A prime goes into one modulus: it leaves the disk, durably, before anybody gets it, so a crash in between loses it. Entries are never part
 * of a backup, and a prime of an own modulus that turns up in the stock again (a vault set back to an older state) is thrown away: a prime in two
 * moduli gives both factorisations to anybody who computes one gcd.
 */
import { hex } from '../base/bytes.ts';
import { decode, encode, natural, versioned } from '../base/codec.ts';
import { Unavailable } from '../base/errors.ts';
import type { PrimeSource } from '../cggmp24/aux-info.ts';
import type { WalletContext } from './context.ts';
import { Repeated } from './repeated.ts';

/** Nothing is searched for the stock within this time after the start, or after a ceremony: a search takes all processors for minutes. */
const QUIET_MS = 10 * 60_000;

export interface PrimeStockOptions {
  readonly context: Pick<WalletContext, 'self' | 'vault' | 'parameters' | 'random' | 'clock' | 'logger' | 'primes'>;
  readonly target: number;
  /** Whether something runs that the search should not compete with. */
  readonly busy: () => boolean;
  /** The primes of all own moduli. */
  readonly used: () => readonly bigint[];
  readonly quietMs?: number;
  readonly checkMs: number;
}

export class PrimeStock implements PrimeSource {
  readonly #options: PrimeStockOptions;
  readonly #quietMs: number;
  readonly #stopped = new AbortController();
  readonly #looks: Repeated;
  /** Takes go one after the other, so that no entry is given twice. */
  #takes: Promise<unknown> = Promise.resolve();
  #lastBusy: number;

  constructor(options: PrimeStockOptions) {
    this.#options = options;
    this.#quietMs = options.quietMs ?? QUIET_MS;
    this.#lastBusy = options.context.clock();
    this.#looks = new Repeated(() => this.#look(), {
      firstMs: options.checkMs,
      thenMs: options.checkMs,
      failed: (error) => {
        if (!this.#stopped.signal.aborted) options.context.logger.warn({ error }, 'the stock of primes was not filled');
      },
    });
  }

  async ready(): Promise<number> {
    return (await this.#options.context.vault.list('safe-prime')).length;
  }

  /** From the stock, or searched now. */
  async next(): Promise<bigint> {
    const { context } = this.#options;
    this.#lastBusy = context.clock();
    const taken = this.#takes.then(() => this.#take());
    this.#takes = taken.catch(() => undefined);
    return (await taken) ?? (await context.primes.next());
  }

  async #take(): Promise<bigint | undefined> {
    const { vault, parameters, logger } = this.#options.context;
    for (const id of await vault.list('safe-prime')) {
      const content = await vault.get('safe-prime', id);
      if (content === undefined) continue;
      // Out of the vault before it is used.
      await vault.delete('safe-prime', id);
      const prime = decode(primeRecord(parameters.primeBits), content);
      content.fill(0);
      if (!this.#options.used().includes(prime)) return prime;
      logger.error({ id }, 'the stock held a prime of an own modulus: was the vault set back to an older state? It is thrown away');
    }
    return undefined;
  }

  start(): void {
    if (this.#options.target > 0) this.#looks.start();
  }

  async stop(): Promise<void> {
    const { self } = this.#options.context;
    this.#stopped.abort(new Unavailable(self, `${self} is stopping`, 'start it again'));
    await this.#looks.stop();
  }

  /** Adds a prime if there is quiet and room for one. */
  async #look(): Promise<void> {
    const { context, target, busy } = this.#options;
    if (busy()) this.#lastBusy = context.clock();
    if (context.clock() - this.#lastBusy < this.#quietMs || (await this.ready()) >= target) return;
    const prime = await context.primes.next({ signal: this.#stopped.signal, priority: 'idle' });
    const content = encode(primeRecord(context.parameters.primeBits), prime);
    await context.vault.put('safe-prime', hex(context.random.bytes(16)), content);
    content.fill(0);
    context.logger.info({ ready: await this.ready(), target }, 'a safe prime for the next auxiliary information is in stock');
  }
}

/** An entry of the stock. */
export const primeRecord = (bits: number) => versioned(1, natural(bits));
