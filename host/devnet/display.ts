/** What the launcher shows: one line per event, and on a terminal a live line for what is going on. */
const SECOND = 1000;

export class Display {
  readonly #begin = Date.now();
  readonly #terminal: boolean;
  #live = '';
  #lastPlain = 0;

  constructor(private readonly out: NodeJS.WritableStream & { isTTY?: boolean; columns?: number } = process.stdout) {
    this.#terminal = out.isTTY === true;
  }

  /** A line that stays. */
  line(text = ''): void {
    this.#clear();
    this.out.write(text === '' ? '\n' : `${this.#stamp()} ${text}\n`);
    if (this.#terminal && this.#live !== '') this.#draw();
  }

  /** Lines without a time, for the summary. */
  block(text: string): void {
    this.#clear();
    this.#live = '';
    this.out.write(`${text}\n`);
  }

  /** The state of long work; replaces the live line on a terminal, and is a plain line every ten seconds elsewhere. */
  progress(text: string): void {
    if (this.#terminal) {
      this.#clear();
      this.#live = text;
      if (text !== '') this.#draw();
    } else if (text !== '' && text !== this.#live && Date.now() - this.#lastPlain >= 10 * SECOND) {
      this.#live = text;
      this.#lastPlain = Date.now();
      this.out.write(`${this.#stamp()}   … ${text}\n`);
    }
  }

  get elapsedMs(): number {
    return Date.now() - this.#begin;
  }

  #stamp(): string {
    return `[${(this.elapsedMs / SECOND).toFixed(1).padStart(6)} s]`;
  }
  #draw(): void {
    this.out.write(`${this.#stamp()}   … ${this.#live}`.slice(0, (this.out.columns ?? 120) - 1));
  }
  #clear(): void {
    if (this.#terminal && this.#live !== '') this.out.write('\r\u001b[2K');
  }
}

export const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / SECOND).toFixed(1)} s`);
