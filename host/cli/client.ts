/** The REST API as the commands use it. */
import type { Dispatcher } from 'undici';
import { Refusal, Unavailable } from '../base/errors.ts';
import type { Problem } from '../api/problems.ts';
import type { Connection } from './connection.ts';
import { ApiProblem } from './failure.ts';

/** Reads are answered in seconds; ceremonies and payments take what they take. */
const READ_TIMEOUT_MS = 60_000;
const NO_TIMEOUT = 0;

export interface ApiClient {
  readonly endpoint: string;
  get<T>(path: string, query?: Readonly<Record<string, string | number | undefined>>): Promise<T>;
  /** No deadline: the server answers when the ceremony or the payment has ended. */
  post<T>(
    path: string,
    body: unknown,
    options?: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal },
  ): Promise<T>;
  /** The data of each server-sent event, parsed. */
  events(signal: AbortSignal): AsyncIterable<unknown>;
}

export function createClient(connection: Connection): ApiClient {
  const { endpoint, token } = connection;

  async function call(path: string, options: Omit<Dispatcher.RequestOptions, 'path' | 'origin'>): Promise<Dispatcher.ResponseData> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    // Loaded here, so that help and completion do not wait for it.
    const { request } = await import('undici');
    try {
      return await request(endpoint + path, { ...options, headers: { ...authorization, ...(options.headers as Record<string, string>) } });
    } catch (error) {
      throw unreachable(endpoint, error);
    }
  }

  async function json<T>(path: string, options: Omit<Dispatcher.RequestOptions, 'path' | 'origin'>): Promise<T> {
    const response = await call(path, options);
    return checked<T>(response, endpoint);
  }

  return {
    endpoint,
    get: (path, query = {}) => {
      const parameters = Object.entries(query).filter((pair): pair is [string, string | number] => pair[1] !== undefined);
      const search =
        parameters.length === 0
          ? ''
          : `?${new URLSearchParams(parameters.map(([name, value]): [string, string] => [name, String(value)]))}`;
      return json(path + search, { method: 'GET', headersTimeout: READ_TIMEOUT_MS, bodyTimeout: READ_TIMEOUT_MS });
    },
    post: (path, body, { headers = {}, signal } = {}) =>
      json(path, {
        method: 'POST',
        ...(signal === undefined ? {} : { signal }),
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        headersTimeout: NO_TIMEOUT,
        bodyTimeout: READ_TIMEOUT_MS,
      }),
    events: async function* (signal) {
      const response = await call('/api/v1/events', {
        method: 'GET',
        signal,
        headersTimeout: READ_TIMEOUT_MS,
        bodyTimeout: READ_TIMEOUT_MS,
      });
      if (response.statusCode !== 200) await checked(response, endpoint);
      try {
        yield* eventsOf(response.body);
      } catch (error) {
        if (signal.aborted) return;
        throw unreachable(endpoint, error);
      }
    },
  };
}

async function checked<T>(response: Dispatcher.ResponseData, endpoint: string): Promise<T> {
  let text: string;
  try {
    text = await response.body.text();
  } catch (error) {
    throw unreachable(endpoint, error);
  }
  const value = parsed(text);
  if (value === undefined) {
    const message = `${endpoint} answered ${response.statusCode} with something that is not JSON`;
    throw new Refusal('cli.endpoint', '--api-endpoint', message, 'check that this is the address of a Threshold Wallet node');
  }
  if (response.statusCode >= 200 && response.statusCode < 300) return value as T;
  throw problemOf(value, response.statusCode, endpoint);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function problemOf(value: unknown, status: number, endpoint: string): Error {
  const { detail, code } = (typeof value === 'object' ? (value ?? {}) : {}) as Partial<Problem>;
  if (typeof detail !== 'string' || typeof code !== 'string') {
    return new Refusal('cli.endpoint', '--api-endpoint', `${endpoint} answered ${status}`, 'check that this is a Threshold Wallet node');
  }
  const problem = value as Problem;
  if (code === 'auth.missing') return new ApiProblem(problem, 'give a token with --token-file, --token or THRESHOLD_TOKEN');
  return new ApiProblem(problem);
}

function unreachable(endpoint: string, error: unknown): Unavailable {
  const { code, message } = error as NodeJS.ErrnoException;
  const remedy = 'start the local cluster with `npm start`, or check --api-endpoint';
  return new Unavailable('api', `${endpoint} cannot be reached (${code ?? message})`, remedy, { cause: error });
}

/** WHATWG HTML §9.2.6, as far as our server uses it: one data line per event, comments as heartbeats. */
async function* eventsOf(body: AsyncIterable<Uint8Array>): AsyncIterable<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = block.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) yield JSON.parse(data.slice('data: '.length));
    }
  }
}
