/** The launcher as a user of the REST API: it drives the main job through the same routes as everybody else. */
import { readFile } from 'node:fs/promises';
import { request } from 'undici';
import { Unavailable } from '../base/errors.ts';
import type {
  CeremonyInfo,
  ClusterNode,
  Health,
  PoolStatus,
  Protocol,
  SendRequest,
  TransactionInfo,
  VotesInfo,
  WalletInfo,
} from '../wallet/types.ts';
import type { ClusterFile, Layout } from './layout.ts';

/** An answer that is not 2xx: the problem document's detail and remedy. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

export class DevnetClient {
  private constructor(
    private readonly cluster: ClusterFile,
    private readonly token: string,
    private readonly chainUrl: string,
    /** Ends calls under way. */
    private readonly signal: AbortSignal,
  ) {}

  static async open(cluster: ClusterFile, files: Layout, signal: AbortSignal): Promise<DevnetClient> {
    return new DevnetClient(cluster, (await readFile(files.adminToken, 'utf8')).trim(), `http://127.0.0.1:${cluster.chain_port}`, signal);
  }

  get endpoints(): string[] {
    return this.cluster.nodes.map((node) => `http://127.0.0.1:${node.api_port}`);
  }
  get endpoint(): string {
    return this.endpoints[0]!;
  }

  async health(endpoint: string): Promise<Health | undefined> {
    try {
      return await this.#call<Health>(endpoint, 'GET', '/health', undefined, 2000);
    } catch (error) {
      if (error instanceof Unavailable || error instanceof ApiProblem) return undefined;
      throw error;
    }
  }

  /** Whether every node is up and linked to every other one. */
  async allLinked(): Promise<boolean> {
    const states = await Promise.all(this.endpoints.map((endpoint) => this.health(endpoint)));
    return states.every((state) => state !== undefined && state.peers_connected === this.cluster.nodes.length - 1);
  }

  wallets = () => this.#call<{ wallets: WalletInfo[] }>(this.endpoint, 'GET', '/api/v1/wallets').then((answer) => answer.wallets);
  create = (name: string, protocol: Protocol) =>
    this.#call<WalletInfo>(this.endpoint, 'POST', '/api/v1/wallet/create', { name, protocol }, 30 * 60_000);
  send = (walletId: string, body: SendRequest, idempotencyKey: string) =>
    this.#call<TransactionInfo>(this.endpoint, 'POST', `/api/v1/wallet/${walletId}/send`, body, 10 * 60_000, {
      'idempotency-key': idempotencyKey,
    });
  transaction = (id: string) => this.#call<TransactionInfo>(this.endpoint, 'GET', `/api/v1/transactions/${id}`);
  transactions = (limit: number) =>
    this.#call<{ total: number }>(this.endpoint, 'GET', `/api/v1/transactions?limit=${limit}`).then(({ total }) => total);
  /** Bytes of frames that the nodes have sent to each other since they were started. */
  async meshBytes(): Promise<number> {
    const all = await Promise.all(
      this.endpoints.map((endpoint) => this.#call<{ nodes: ClusterNode[] }>(endpoint, 'GET', '/api/v1/cluster/nodes')),
    );
    return all.flatMap(({ nodes }) => nodes).reduce((sum, node) => sum + node.bytes_out, 0);
  }
  votes = (txId: string) => this.#call<VotesInfo>(this.endpoint, 'GET', `/api/v1/consensus/votes/${txId}`);
  generate = (walletId: string, count: number) =>
    this.#call<{ generated: number; new_pool_size: number; duration_ms: number }>(
      this.endpoint,
      'POST',
      '/api/v1/presig/generate',
      { wallet_id: walletId, count },
      60 * 60_000,
    );
  pool = (walletId: string) =>
    this.#call<{ pools: PoolStatus[] }>(this.endpoint, 'GET', `/api/v1/pool/status?wallet_id=${walletId}`).then((answer) =>
      answer.pools.find((pool) => pool.wallet_id === walletId),
    );

  /** The running ceremony as every node sees it: progress is each node's own. */
  async ceremonies(): Promise<{ node: string; ceremony: CeremonyInfo }[]> {
    const all = await Promise.all(
      this.cluster.nodes.map(async ({ id }, i) => {
        try {
          const { ceremonies } = await this.#call<{ ceremonies: CeremonyInfo[] }>(this.endpoints[i]!, 'GET', '/api/v1/dkg/status');
          return ceremonies.filter((c) => c.status === 'running').map((ceremony) => ({ node: id, ceremony }));
        } catch (error) {
          // Only the display depends on it; the call that runs the ceremony reports what is wrong.
          if (error instanceof Unavailable || error instanceof ApiProblem) return [];
          throw error;
        }
      }),
    );
    return all.flat();
  }

  fund = (address: string, amountSats: number) =>
    this.#call<{ txid: string }>(this.chainUrl, 'POST', '/regtest/fund', { address, amount_sats: amountSats });
  mine = (blocks: number) => this.#call<unknown>(this.chainUrl, 'POST', '/regtest/mine', { blocks });

  async #call<T>(
    base: string,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    timeoutMs = 10_000,
    headers: Record<string, string> = {},
  ): Promise<T> {
    let answer;
    let text;
    try {
      answer = await request(base + path, {
        method,
        headers: { authorization: `Bearer ${this.token}`, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: this.signal,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      text = await answer.body.text();
    } catch (cause) {
      this.signal.throwIfAborted();
      throw new Unavailable('api', `no answer from ${base}${path}: ${(cause as Error).message}`, 'see the log of that node', { cause });
    }
    if (answer.statusCode >= 300) {
      const problem = parse(text) as { detail?: string; remedy?: string; title?: string } | undefined;
      throw new ApiProblem(answer.statusCode, [problem?.detail ?? problem?.title ?? text, problem?.remedy].filter(Boolean).join('; '));
    }
    return parse(text) as T;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
