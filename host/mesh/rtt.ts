/** Round-trip times of the last heartbeats, in milliseconds. */
const WINDOW = 120;

export class RoundTrips {
  #samples: number[] = [];

  add(milliseconds: number): void {
    this.#samples.push(milliseconds);
    if (this.#samples.length > WINDOW) this.#samples.shift();
  }

  clear(): void {
    this.#samples = [];
  }

  /** Nearest-rank percentiles; undefined before the first sample. */
  summary(): { readonly p50: number; readonly p99: number } | undefined {
    if (this.#samples.length === 0) return undefined;
    const sorted = [...this.#samples].sort((a, b) => a - b);
    const rank = (p: number) => sorted[Math.ceil((p / 100) * sorted.length) - 1]!;
    return { p50: rank(50), p99: rank(99) };
  }
}
