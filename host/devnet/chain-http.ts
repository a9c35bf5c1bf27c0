/** HTTP in front of the chain: Esplora's routes, and the devnet's own controls under /regtest. Answers are JSON or, as Esplora's, plain text. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { Refusal, Unavailable } from '../base/errors.ts';
import { parseRecipient } from '../bitcoin/address.ts';
import { MAX_MONEY } from '../bitcoin/scripts.ts';
import { addressJson, mempoolJson, outspendJson, statusJson, transactionJson, utxosJson } from './chain-json.ts';
import type { Ledger } from './chain-ledger.ts';
import { Rejected, type Entry } from './chain-types.ts';

/** What the routes can do to the chain. */
export interface ChainControl {
  readonly ledger: Ledger;
  /** Why the chain stopped working (its disk is full); every request is answered with it. */
  failure(): Error | undefined;
  /** @throws Rejected */
  broadcast(hex: string): string;
  mine(blocks: number): string[];
  /** Pays `amount` satoshis to the address from the chain's own coins and mines it. @throws Refusal */
  fund(address: string, amount: bigint): { readonly txid: string; readonly vout: number };
}

const MAX_URL = 2_048;
/** Hex of the largest standard transaction (400 000 weight units). */
const MAX_BODY = 1_000_000;
/** As Esplora's pages. */
const PAGE_MEMPOOL = 50;
const PAGE_CHAIN = 25;
/** sat/vB by target; a quiet chain, so they never change. */
const FEE_ESTIMATES = { '1': 3, '2': 2.5, '3': 2, '6': 1.5, '12': 1.2, '25': 1, '144': 1, '504': 1, '1008': 1 };

const mineRequest = z.strictObject({ blocks: z.number().int().min(1).max(1_000).default(1) });
const fundRequest = z.strictObject({ address: z.string(), amount_sats: z.number().int().min(1).max(Number(MAX_MONEY)) });

class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Answer = string | number | object;
interface Route {
  readonly method: 'GET' | 'POST';
  readonly pattern: RegExp;
  readonly answer: (chain: ChainControl, parameters: readonly string[], body: string) => Answer;
}

const get = (pattern: RegExp, answer: Route['answer']): Route => ({ method: 'GET', pattern, answer });
const post = (pattern: RegExp, answer: Route['answer']): Route => ({ method: 'POST', pattern, answer });

const ROUTES: readonly Route[] = [
  get(/^\/blocks\/tip\/height$/, ({ ledger }) => ledger.height),
  get(/^\/blocks\/tip\/hash$/, ({ ledger }) => ledger.block(ledger.height)!.hash),
  get(/^\/block-height\/(\d{1,9})$/, ({ ledger }, [height]) => ledger.block(Number(height))?.hash ?? notFound('Block not found')),
  get(/^\/block\/([0-9a-f]{64})\/header$/, ({ ledger }, [hash]) => {
    const height = ledger.heightOf(hash!);
    return height === undefined ? notFound('Block not found') : ledger.block(height)!.block.toHex(true);
  }),
  get(/^\/address\/(\w+)$/, ({ ledger }, [address]) => addressJson(ledger, address!, scriptOf(address!))),
  get(/^\/address\/(\w+)\/utxo$/, ({ ledger }, [address]) => utxosJson(ledger, scriptOf(address!))),
  get(/^\/address\/(\w+)\/txs$/, ({ ledger }, [address]) => {
    const [waiting, mined] = newestFirst(ledger, address!);
    return [...waiting.slice(0, PAGE_MEMPOOL), ...mined.slice(0, PAGE_CHAIN)].map((entry) => transactionJson(ledger, entry));
  }),
  get(/^\/address\/(\w+)\/txs\/chain\/([0-9a-f]{64})$/, ({ ledger }, [address, after]) => {
    const [, mined] = newestFirst(ledger, address!);
    const from = mined.findIndex((entry) => entry.txid === after) + 1;
    return from === 0 ? [] : mined.slice(from, from + PAGE_CHAIN).map((entry) => transactionJson(ledger, entry));
  }),
  get(/^\/tx\/([0-9a-f]{64})$/, ({ ledger }, [txid]) => transactionJson(ledger, entryOf(ledger, txid!))),
  get(/^\/tx\/([0-9a-f]{64})\/hex$/, ({ ledger }, [txid]) => entryOf(ledger, txid!).transaction.toHex()),
  get(/^\/tx\/([0-9a-f]{64})\/status$/, ({ ledger }, [txid]) => {
    // As Esplora: unknown is "not confirmed", not "not found".
    const entry = ledger.entry(txid!);
    return entry === undefined ? { confirmed: false } : statusJson(ledger, entry);
  }),
  get(/^\/tx\/([0-9a-f]{64})\/outspend\/(\d{1,9})$/, ({ ledger }, [txid, vout]) => {
    if (entryOf(ledger, txid!).transaction.outs[Number(vout)] === undefined) notFound('Output not found');
    return outspendJson(ledger, txid!, Number(vout));
  }),
  get(/^\/fee-estimates$/, () => FEE_ESTIMATES),
  get(/^\/mempool$/, ({ ledger }) => mempoolJson(ledger)),
  post(/^\/tx$/, (chain, _, body) => chain.broadcast(body.trim())),
  post(/^\/regtest\/mine$/, (chain, _, body) => {
    const hashes = chain.mine(fromJson(mineRequest, body).blocks);
    return { height: chain.ledger.height, hashes };
  }),
  post(/^\/regtest\/fund$/, (chain, _, body) => {
    const { address, amount_sats } = fromJson(fundRequest, body);
    return { ...chain.fund(address, BigInt(amount_sats)), amount_sats, height: chain.ledger.height };
  }),
];

function notFound(what: string): never {
  throw new HttpError(404, what);
}

const entryOf = (ledger: Ledger, txid: string): Entry => ledger.entry(txid) ?? notFound('Transaction not found');
const scriptOf = (address: string): Uint8Array => parseRecipient(address, 'regtest', 'address');

/** Those in the mempool, and those in blocks. */
function newestFirst(ledger: Ledger, address: string): [Entry[], Entry[]] {
  const history = ledger.historyOf(scriptOf(address)).reverse();
  return [
    history.filter((entry) => entry.height === undefined),
    history.filter((entry) => entry.height !== undefined).sort((a, b) => b.height! - a.height!),
  ];
}

function fromJson<T>(schema: z.ZodType<T>, body: string): T {
  let value: unknown;
  try {
    value = JSON.parse(body === '' ? '{}' : body);
  } catch {
    throw new HttpError(400, 'the body is not JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new HttpError(400, result.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; '));
}

/** The server, not listening yet. Every limit is set: the chain may be left running for days. */
export function chainServer(chain: ChainControl): Server {
  const server = createServer(
    { maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 10_000 },
    (request, response) => {
      respond(chain, request, response).catch((error: unknown) => {
        // The answer could not be written: the client is gone.
        response.destroy(error as Error);
      });
    },
  );
  server.maxConnections = 256;
  return server;
}

async function respond(chain: ChainControl, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let status = 200;
  let answer: Answer;
  try {
    answer = await answerTo(chain, request);
  } catch (error) {
    [status, answer] = failure(error);
  }
  const isText = typeof answer === 'string';
  const body = isText ? (answer as string) : JSON.stringify(answer);
  response.writeHead(status, {
    'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': Buffer.byteLength(body),
    // What is left of an oversized request is not read, so the connection cannot be used again.
    ...(status === 413 ? { connection: 'close' } : {}),
  });
  response.end(body);
}

async function answerTo(chain: ChainControl, request: IncomingMessage): Promise<Answer> {
  const broken = chain.failure();
  if (broken !== undefined) throw broken;
  const url = request.url ?? '/';
  if (url.length > MAX_URL) throw new HttpError(414, 'URI too long');
  const path = url.split('?', 1)[0]!.replace(/^\/api(?=\/)/, '');
  const matches = ROUTES.filter(({ pattern }) => pattern.test(path));
  if (matches.length === 0) notFound('endpoint does not exist');
  const route = matches.find(({ method }) => method === request.method);
  if (route === undefined) throw new HttpError(405, `use ${matches[0]!.method}`);
  return route.answer(chain, route.pattern.exec(path)!.slice(1), route.method === 'POST' ? await readBody(request) : '');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Not the plain iterator: leaving it early would cut the connection before the answer is out.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY) throw new HttpError(413, `the body is larger than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function failure(error: unknown): [number, string] {
  if (error instanceof Rejected)
    return [400, `sendrawtransaction RPC error: ${JSON.stringify({ code: error.code, message: error.reason })}`];
  if (error instanceof HttpError) return [error.status, error.message];
  if (error instanceof Refusal) return [400, `${error.field}: ${error.message}; ${error.remedy}`];
  if (error instanceof Unavailable) return [503, `${error.message}; ${error.remedy}`];
  return [500, `internal error: ${(error as Error).message}`];
}
