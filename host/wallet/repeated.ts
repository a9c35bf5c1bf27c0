/** Work that a node repeats while it runs, never twice at once. A failure is told, and ends nothing. */
export class Repeated {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  readonly #work: () => Promise<void>;
  readonly #options: { readonly firstMs: number; readonly thenMs: number; readonly failed: (error: unknown) => void };

  constructor(work: () => Promise<void>, options: { firstMs: number; thenMs: number; failed: (error: unknown) => void }) {
    this.#work = work;
    this.#options = options;
  }

  start(): void {
    const { firstMs, thenMs, failed } = this.#options;
    const tick = (): void => {
      this.#running = this.#work()
        .catch(failed)
        .finally(() => {
          if (this.#timer !== undefined) this.#timer = setTimeout(tick, thenMs);
        });
    };
    this.#timer = setTimeout(tick, firstMs);
  }

  /** Resolves when what is under way has ended; nothing begins after it. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }
}
