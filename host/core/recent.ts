/** A bounded map that forgets what was used longest ago. */
export class Recent<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #bound: number;
  readonly #forget: (value: V) => void;

  /** `forget` is called for each value that leaves. */
  constructor(bound: number, forget: (value: V) => void = () => undefined) {
    this.#bound = bound;
    this.#forget = forget;
  }

  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  /** Lets the oldest entry go if one more would be too many. */
  makeRoom(): void {
    for (const [key, value] of this.#entries) {
      if (this.#entries.size < this.#bound) return;
      this.#entries.delete(key);
      this.#forget(value);
    }
  }

  /** Lets this entry go, if it is there. */
  drop(key: K): void {
    const value = this.#entries.get(key);
    if (value === undefined) return;
    this.#entries.delete(key);
    this.#forget(value);
  }

  set(key: K, value: V): void {
    this.makeRoom();
    this.#entries.set(key, value);
  }
}
