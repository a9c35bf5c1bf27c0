/** A bounded number of places; who finds none waits for one, first come, first served. */
import { Unavailable } from '../base/errors.ts';

/** Who waits, at most. */
const MAX_WAITING = 64;

export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  visitor(): Visitor {
    return new Visitor({
      take: () => this.#free > 0 && this.#waiting.length === 0 && this.#free-- > 0,
      wait: () => {
        if (this.#waiting.length >= MAX_WAITING)
          throw new Unavailable('signers', `${MAX_WAITING} payments are waiting to be signed without the pool`, 'ask again later');
        return new Promise((resolve) => this.#waiting.push(resolve));
      },
      giveBack: () => {
        const next = this.#waiting.shift();
        if (next === undefined) this.#free++;
        else next();
      },
    });
  }
}

/** Has one place at most. */
export class Visitor {
  #inside = false;

  constructor(private readonly places: { take(): boolean; wait(): Promise<void>; giveBack(): void }) {}

  /** Whether it has a place now. */
  tryEnter(): boolean {
    return (this.#inside ||= this.places.take());
  }

  /** @throws Unavailable when too many wait. */
  async enter(): Promise<void> {
    if (this.tryEnter()) return;
    await this.places.wait();
    this.#inside = true;
  }

  leave(): void {
    if (this.#inside) this.places.giveBack();
    this.#inside = false;
  }
}
