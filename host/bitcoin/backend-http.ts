/**
 * HTTP to a Bitcoin backend: bounded in time and size, retried where a repetition does no harm. All requests of the Esplora API are such: reads
 * have no effect, and broadcasting the same transaction twice is broadcasting it once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { Refusal, Unavailable } from '../base/errors.ts';

export interface HttpOptions {
  /** Base URL, http or https, path allowed; a slash at its end is ignored. */
  readonly url: string;
  /** Milliseconds to connect, to the first header, between two chunks of the body, and for one attempt altogether. */
  readonly connectMs?: number;
  readonly headersMs?: number;
  readonly bodyMs?: number;
  readonly totalMs?: number;
  /** Bytes of one response. A block's largest transaction in hex fits the default. */
  readonly maxBytes?: number;
  /** Attempts in all. */
  readonly attempts?: number;
  /** Milliseconds before the first repetition; doubled for each further one (1, 2, 4 s …). */
  readonly backoffMs?: number;
  /** Waits between attempts; replaced in tests. */
  readonly sleep?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
  /** Told of each attempt that failed and will be repeated. */
  readonly onRetry?: (failure: { readonly path: string; readonly attempt: number; readonly reason: string }) => void;
}

/** A response below 500 other than 429: the backend's considered answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export const BACKEND = 'bitcoin backend';
const REMEDY = 'check that the Bitcoin backend is running and reachable at the configured URL, then try again';

/** Ends early, without an error, when the signal is given. */
const pause = (milliseconds: number, signal: AbortSignal): Promise<unknown> =>
  delay(milliseconds, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });

/** A failed attempt that is worth another. */
class Transient extends Error {}

export class BackendHttp {
  readonly #base: string;
  readonly #agent: Agent;
  readonly #closed = new AbortController();
  readonly #options: Required<Omit<HttpOptions, 'url' | 'connectMs' | 'headersMs' | 'bodyMs' | 'maxBytes' | 'onRetry'>> &
    Pick<HttpOptions, 'onRetry'>;

  /** @throws Refusal when the URL is not http(s), or carries a user name, password, query or fragment. */
  constructor(options: HttpOptions) {
    this.#base = parseBase(options.url);
    this.#options = {
      totalMs: options.totalMs ?? 30_000,
      attempts: options.attempts ?? 3,
      backoffMs: options.backoffMs ?? 1_000,
      sleep: options.sleep ?? pause,
      ...(options.onRetry === undefined ? {} : { onRetry: options.onRetry }),
    };
    this.#agent = new Agent({
      connect: { timeout: options.connectMs ?? 5_000 },
      headersTimeout: options.headersMs ?? 15_000,
      bodyTimeout: options.bodyMs ?? 15_000,
      maxResponseSize: options.maxBytes ?? 8 * 1024 * 1024,
      connections: 8,
    });
  }

  get url(): string {
    return this.#base;
  }

  get(path: string): Promise<HttpAnswer> {
    return this.#repeat('GET', path);
  }

  post(path: string, body: string): Promise<HttpAnswer> {
    return this.#repeat('POST', path, body);
  }

  /** Ends all connections; requests under way and those that wait for a repetition fail at once. */
  close(): Promise<void> {
    this.#closed.abort();
    return this.#agent.destroy();
  }

  /** @throws Unavailable when every attempt failed. */
  async #repeat(method: 'GET' | 'POST', path: string, body?: string): Promise<HttpAnswer> {
    const { attempts, backoffMs, sleep, onRetry } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(method, path, body);
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        if (this.#closed.signal.aborted)
          throw new Unavailable(BACKEND, 'the connection to the Bitcoin backend is closed', 'start the node again', { cause: error });
        if (attempt >= attempts) {
          throw new Unavailable(BACKEND, `${method} ${this.#base}${path} failed ${attempt} times: ${error.message}`, REMEDY, {
            cause: error,
          });
        }
        onRetry?.({ path, attempt, reason: error.message });
        await sleep(backoffMs * 2 ** (attempt - 1), this.#closed.signal);
      }
    }
  }

  async #once(method: 'GET' | 'POST', path: string, body?: string): Promise<HttpAnswer> {
    let response: Dispatcher.ResponseData;
    let content: string;
    try {
      response = await request(this.#base + path, {
        method,
        dispatcher: this.#agent,
        // Each chunk may come in time and the whole never: the attempt has a deadline of its own.
        signal: AbortSignal.timeout(this.#options.totalMs),
        headers: { accept: 'application/json, text/plain', ...(body === undefined ? {} : { 'content-type': 'text/plain' }) },
        ...(body === undefined ? {} : { body }),
      });
      content = await response.body.text();
    } catch (error) {
      throw new Transient(reasonOf(error), { cause: error });
    }
    if (response.statusCode >= 500 || response.statusCode === 429) throw new Transient(`HTTP ${response.statusCode}`);
    return { status: response.statusCode, body: content };
  }
}

/** undici wraps some causes twice and leaves some messages empty (several addresses refused at once). */
function reasonOf(error: unknown): string {
  const { name, message, code } = error as Error & { code?: string };
  if (name === 'TimeoutError') return 'no complete answer in time';
  return message || code || name;
}

function parseBase(text: string): string {
  const refuse = (problem: string): never => {
    throw new Refusal(
      'bad_backend_url',
      'bitcoin.esplora_url',
      `the Bitcoin backend's URL ${problem}`,
      'give a URL such as http://127.0.0.1:3002 or https://host/api',
    );
  };
  if (!URL.canParse(text)) return refuse('is malformed');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return refuse('is neither http nor https');
  if (url.username !== '' || url.password !== '') return refuse('carries credentials');
  if (url.search !== '' || url.hash !== '') return refuse('has a query or fragment');
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}
