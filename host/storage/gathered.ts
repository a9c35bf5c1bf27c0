/**
 * Writes that gather: one at a time is under way, and what comes meanwhile goes together with the next; so does what is added in one go. An idle writer
 * costs nothing, a busy one pays for one commit instead of many, and nobody waits for a clock.
 */
export class Gathered<T, R> {
  readonly #write: (items: readonly T[]) => Promise<readonly PromiseSettledResult<R>[]>;
  readonly #most: number;
  #waiting: { readonly item: T; resolve(result: R): void; reject(error: unknown): void }[] = [];
  #writing = false;

  /** `write` gives one outcome for each item, in order; when it throws, all of them have failed with that. At most `most` items at once. */
  constructor(write: (items: readonly T[]) => Promise<readonly PromiseSettledResult<R>[]>, most: number) {
    this.#write = write;
    this.#most = most;
  }

  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#writing) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#writing = true;
    // Whoever adds several adds them before this goes on.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#most);
      try {
        const results = await this.#write(batch.map(({ item }) => item));
        for (const [i, { resolve, reject }] of batch.entries()) {
          const result = results[i]!;
          if (result.status === 'fulfilled') resolve(result.value);
          else reject(result.reason);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#writing = false;
  }
}
