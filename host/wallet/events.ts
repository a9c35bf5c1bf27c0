/** The event bus of one node: use-cases publish, REST streams. A slow listener loses its oldest events, never the node's memory. */
import type { WalletEvent } from './types.ts';

const QUEUE_LIMIT = 1000;

export class EventBus {
  readonly #listeners = new Set<(event: WalletEvent) => void>();

  publish(event: WalletEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Events from now on, until the signal aborts. */
  async *subscribe(signal: AbortSignal): AsyncIterable<WalletEvent> {
    const queue: WalletEvent[] = [];
    let wake: () => void = () => undefined;
    const listener = (event: WalletEvent) => {
      if (queue.length >= QUEUE_LIMIT) queue.shift();
      queue.push(event);
      wake();
    };
    const stop = () => wake();
    this.#listeners.add(listener);
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', stop);
    }
  }
}
