/**
 * Client of an Esplora backend (the HTTP API of blockstream.info, mempool.space, and of the local devnet).
 *
 * The backend may be down, slow or lying. Down and slow become {@link Unavailable}; every answer is checked against a schema; and a coin counts
 * only when the raw transaction hashes to its id and holds that output ({@link Esplora.coinsOf}). What cannot be checked this way is whether
 * a coin is still unspent and how deep it is confirmed: that every node asks a backend of its own is the answer to that.
 */
import type { z } from 'zod';
import { equalBytes } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { parseRecipient } from './address.ts';
import { BACKEND, BackendHttp, type HttpAnswer, type HttpOptions } from './backend-http.ts';
import type { Coin } from './coins.ts';
import * as schema from './esplora-schema.ts';
import type { EsploraTransaction, EsploraUtxo, FeeEstimates, TxStatus } from './esplora-schema.ts';
import { DEFAULT_FEE_POLICY, feeRate, type FeeRate } from './fees.ts';
import { Transaction } from './library.ts';
import type { Network } from './networks.ts';

export type { EsploraTransaction, EsploraUtxo, FeeEstimates, TxStatus } from './esplora-schema.ts';

export interface EsploraOptions extends HttpOptions {
  readonly network: Network;
  /** Milliseconds since the epoch; replaced in tests. */
  readonly clock?: () => number;
  /** How long a fee estimate is used. */
  readonly feeCacheMs?: number;
  /** Raw transactions kept after their check: they never change. */
  readonly transactionCache?: number;
}

/** Public instances, for networks where a default makes sense. */
export const DEFAULT_ESPLORA: Readonly<Partial<Record<Network, string>>> = {
  mainnet: 'https://blockstream.info/api',
  testnet: 'https://blockstream.info/testnet/api',
  signet: 'https://blockstream.info/signet/api',
};

const LYING = 'use another backend for this node and tell its operator';
/** Transactions fetched side by side. */
const PARALLEL = 8;

export class Esplora {
  readonly network: Network;
  readonly #http: BackendHttp;
  readonly #clock: () => number;
  readonly #feeCacheMs: number;
  readonly #cacheSize: number;
  #fees: { readonly at: number; readonly estimates: FeeEstimates } | undefined;
  /** Verified transactions by id, oldest first. */
  readonly #transactions = new Map<string, Transaction>();

  /** @throws Refusal for an unusable URL. */
  constructor(options: EsploraOptions) {
    this.network = options.network;
    this.#http = new BackendHttp(options);
    this.#clock = options.clock ?? Date.now;
    this.#feeCacheMs = options.feeCacheMs ?? 120_000;
    this.#cacheSize = options.transactionCache ?? 1_000;
  }

  get url(): string {
    return this.#http.url;
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.#http.close();
  }

  /** Height of the best block. */
  async tipHeight(): Promise<number> {
    return this.#json('/blocks/tip/height', schema.tipHeight);
  }

  /** Hash of the block at that height; undefined above the tip. */
  async blockHash(height: number): Promise<string | undefined> {
    const answer = await this.#http.get(`/block-height/${height}`);
    return answer.status === 404
      ? undefined
      : this.#parse(`/block-height/${height}`, schema.blockHash, expectOk(answer, '/block-height').trim());
  }

  /** Unspent outputs of the address as the backend tells them; {@link coinsOf} checks them. @throws Refusal for an address of another network. */
  async utxos(address: string): Promise<EsploraUtxo[]> {
    parseRecipient(address, this.network, 'address');
    return this.#json(`/address/${address}/utxo`, schema.utxos);
  }

  /** Newest first, up to 25 confirmed ones and those in the mempool; `after` continues below a confirmed transaction id. */
  async addressTxs(address: string, after?: string): Promise<EsploraTransaction[]> {
    parseRecipient(address, this.network, 'address');
    return this.#json(
      after === undefined ? `/address/${address}/txs` : `/address/${address}/txs/chain/${txidOf(after)}`,
      schema.transactions,
    );
  }

  /** The transaction, or undefined when the backend does not know it. */
  async tx(txid: string): Promise<EsploraTransaction | undefined> {
    return this.#optionalJson(`/tx/${txidOf(txid)}`, schema.transaction);
  }

  /** The serialised transaction, checked to hash to `txid`; undefined when the backend does not know it. */
  async txHex(txid: string): Promise<string | undefined> {
    return (await this.#transaction(txidOf(txid)))?.toHex();
  }

  /** Whether and where the transaction is confirmed; undefined when the backend does not know it. */
  async txStatus(txid: string): Promise<TxStatus | undefined> {
    // The status route answers "unconfirmed" for unknown ids; the transaction itself does not.
    return (await this.tx(txid))?.status;
  }

  /** sat/vB by target in blocks, at most 120 s old. */
  async feeEstimates(): Promise<FeeEstimates> {
    const now = this.#clock();
    if (this.#fees === undefined || now - this.#fees.at >= this.#feeCacheMs) {
      this.#fees = { at: now, estimates: await this.#json('/fee-estimates', schema.feeEstimates) };
    }
    return this.#fees.estimates;
  }

  /** The estimate for confirmation within `blocks`: that of the slowest target that is no slower, or of the fastest there is. */
  async feeRate(blocks = 6): Promise<FeeRate> {
    const targets = Object.entries(await this.feeEstimates())
      .map(([target, rate]) => [Number(target), rate] as const)
      .sort(([a], [b]) => a - b);
    const chosen = targets.findLast(([target]) => target <= blocks) ?? targets[0];
    if (chosen === undefined) throw new Unavailable(BACKEND, 'the backend has no fee estimate now', 'give fee_rate with the payment');
    // Some backends estimate below what their own node relays.
    const rate = feeRate(chosen[1]);
    return rate < DEFAULT_FEE_POLICY.minFeeRate ? DEFAULT_FEE_POLICY.minFeeRate : rate;
  }

  /**
   * Hands the transaction to the network and returns its id. Safe to repeat: a transaction that the backend already has counts as broadcast.
   * @throws Refusal with the backend's reason when it is rejected; Unavailable when no answer came (it may or may not have been accepted).
   */
  async broadcast(hex: string): Promise<string> {
    const txid = Transaction.fromHex(hex).getId();
    const answer = await this.#http.post('/tx', hex);
    if (answer.status === 200) {
      if (answer.body.trim() !== txid) throw new Unavailable(BACKEND, `the backend took ${txid} for ${shorten(answer.body)}`, LYING);
      return txid;
    }
    // An earlier attempt may have been accepted and its answer lost, and the transaction been mined since.
    if ((await this.tx(txid)) !== undefined) return txid;
    throw new Refusal(
      'broadcast_rejected',
      'transaction',
      `the network refuses the transaction: ${shorten(answer.body) || `HTTP ${answer.status}`}`,
      'the reason names the rule: coins spent meanwhile need a new payment, a low fee a higher fee_rate',
      422,
    );
  }

  /**
   * The coins of an address, each verified: the raw transaction hashes to the id and its output has that script and value. Unconfirmed ones
   * come with 0 confirmations.
   * @throws Unavailable when the backend's answers contradict each other or the transactions.
   */
  coinsOf(address: string): Promise<Coin[]> {
    // Asked after the coins, so that no coin is above it.
    return this.#coins(address, () => this.tipHeight());
  }

  /** The coins of each of many addresses, under one tip, which was asked for just now: what has come since counts as not confirmed. */
  coinsOfEach(addresses: readonly string[], tip: number): Promise<Coin[][]> {
    return inParallel(addresses, PARALLEL, (address) => this.#coins(address, () => tip));
  }

  async #coins(address: string, tipHeight: () => number | Promise<number>): Promise<Coin[]> {
    const script = parseRecipient(address, this.network, 'address');
    const utxos = await this.utxos(address);
    const tip = await tipHeight();
    if (new Set(utxos.map(({ txid, vout }) => `${txid}:${vout}`)).size !== utxos.length) {
      throw new Unavailable(BACKEND, `the backend lists a coin of ${address} twice`, LYING);
    }
    return inParallel(utxos, PARALLEL, async ({ txid, vout, value, status }) => {
      const output = (await this.#transaction(txid))?.outs[vout];
      if (output === undefined) throw new Unavailable(BACKEND, `the backend lists coin ${txid}:${vout} but has no such output`, LYING);
      if (output.value !== BigInt(value) || !equalBytes(output.script, script)) {
        throw new Unavailable(
          BACKEND,
          `the backend says that ${txid}:${vout} pays ${value} sat to ${address}; the transaction says otherwise`,
          LYING,
        );
      }
      // After a reorganisation between the two requests the height can be above the tip: not confirmed then.
      const confirmations = status.confirmed ? Math.max(0, tip - status.block_height + 1) : 0;
      return { txid, vout, value: output.value, script: output.script, confirmations };
    });
  }

  /** A transaction by id, from the cache or the backend, its id recomputed. */
  async #transaction(txid: string): Promise<Transaction | undefined> {
    const cached = this.#transactions.get(txid);
    if (cached !== undefined) return cached;
    const answer = await this.#http.get(`/tx/${txid}/hex`);
    if (answer.status === 404) return undefined;
    const transaction = this.#decode(txid, expectOk(answer, '/tx/:txid/hex').trim());
    if (this.#transactions.size >= this.#cacheSize) {
      const [oldest] = this.#transactions.keys();
      if (oldest !== undefined) this.#transactions.delete(oldest);
    }
    this.#transactions.set(txid, transaction);
    return transaction;
  }

  #decode(txid: string, hex: string): Transaction {
    let transaction: Transaction;
    try {
      transaction = Transaction.fromHex(hex);
    } catch (cause) {
      throw new Unavailable(BACKEND, `the backend's transaction ${txid} is not a transaction`, LYING, { cause });
    }
    if (transaction.getId() !== txid)
      throw new Unavailable(BACKEND, `the backend's transaction ${txid} hashes to ${transaction.getId()}`, LYING);
    return transaction;
  }

  async #json<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#parse(path, schema, fromJson(path, expectOk(await this.#http.get(path), path)));
  }

  async #optionalJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const answer = await this.#http.get(path);
    return answer.status === 404 ? undefined : this.#parse(path, schema, fromJson(path, expectOk(answer, path)));
  }

  #parse<T>(path: string, schema: z.ZodType<T>, value: unknown): T {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw unexpected(path, `${issue?.path.join('.') || 'value'}: ${issue?.message}`);
  }
}

const unexpected = (path: string, problem: string): Unavailable =>
  new Unavailable(
    BACKEND,
    `the backend's answer to ${path} is not Esplora's: ${problem}`,
    'check that the configured URL is that of an Esplora API',
  );

function expectOk(answer: HttpAnswer, path: string): string {
  if (answer.status !== 200) throw unexpected(path, `HTTP ${answer.status}${answer.body === '' ? '' : `, ${shorten(answer.body)}`}`);
  return answer.body;
}

function fromJson(path: string, body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw unexpected(path, 'not JSON');
  }
}

/** @throws Refusal unless it is 64 lower-case hex digits: it becomes part of a URL. */
function txidOf(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new Refusal('malformed_txid', 'txid', 'not a transaction id', 'give 64 lower-case hex digits');
  return text;
}

/** What a backend writes goes into our errors: one line of printable characters, at most 300. */
const shorten = (text: string): string => text.replace(/[^\x20-\x7e]+/g, ' ').trim().slice(0, 300); // prettier-ignore

/** Maps in order, at most `width` at a time. */
async function inParallel<A, B>(items: readonly A[], width: number, work: (item: A) => Promise<B>): Promise<B[]> {
  const results = new Array<B>(items.length);
  const pending = items.entries();
  const lane = async (): Promise<void> => {
    for (const [i, item] of pending) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
