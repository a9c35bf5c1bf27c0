/** Every route of the API but the event stream. Each is one call of the wallet; the role it needs stands in its row. */
import { Refusal } from '../base/errors.ts';
import type { NetworkName, SendRequest, TransactionState, WalletService } from '../wallet/types.ts';
import { addressRoutes } from './address-routes.ts';
import { keyRoutes } from './key-routes.ts';
import { PaymentEnded } from './problems.ts';
import * as requests from './requests.ts';
import * as responses from './responses.ts';
import { route, type Answer, type AnyRoute } from './route.ts';
import { mayUse, requireWallet, type Principal } from './tokens.ts';
import { nodeView, transactionView, unreadiness, votesView } from './views.ts';

/** Ends of a payment that sent no money as far as the node knows. */
const UNSUCCESSFUL: ReadonlySet<TransactionState> = new Set(['rejected', 'timed_out', 'failed', 'aborted_byzantine']);

const ok = (body: unknown): Answer => ({ status: 200, body });

export interface RouteContext {
  readonly service: WalletService;
  /** The wallet that routes without an id mean; undefined when there is none. */
  readonly defaultWallet: () => Promise<string | undefined>;
  readonly network: () => Promise<NetworkName>;
}

export function createRoutes(context: RouteContext): AnyRoute[] {
  const { service } = context;
  return [
    ...openRoutes(context),
    ...walletRoutes(context),
    ...addressRoutes({ service }),
    ...paymentRoutes(context),
    ...keyRoutes(context),
    ...clusterRoutes(context),
  ];
}

function openRoutes({ service }: RouteContext): AnyRoute[] {
  const health = (url: string, operation: string) =>
    route({
      method: 'GET',
      url,
      role: 'open',
      operation,
      summary: 'Is this node alive, and how well',
      answers: { 200: responses.health },
      handle: async () => ok(await service.health()),
    });
  return [
    health('/health', 'health'),
    health('/api/v1/health', 'healthV1'),
    route({
      method: 'GET',
      url: '/ready',
      role: 'open',
      operation: 'ready',
      summary: 'Can this node take work; 503 when not',
      answers: { 200: responses.readiness, 503: responses.readiness },
      handle: async () => {
        const status = await service.health();
        const reasons = unreadiness(status);
        return { status: reasons.length === 0 ? 200 : 503, body: { ready: reasons.length === 0, reasons, health: status } };
      },
    }),
  ];
}

/** The default wallet, if the caller may use it. */
async function defaultOf({ defaultWallet }: RouteContext, principal: Principal): Promise<string> {
  const id = await defaultWallet();
  if (id === undefined) {
    const remedy = 'create a wallet with POST /api/v1/wallet/create, or name one: /api/v1/wallet/{id}/…';
    throw new Refusal('wallet.no_default', 'wallet_id', 'this node has no default wallet', remedy, 404);
  }
  requireWallet(principal, id);
  return id;
}

function walletRoutes(context: RouteContext): AnyRoute[] {
  const { service } = context;
  /** One wallet, or for `both` the list of two. If the second fails, the first one is there. */
  async function create({ body, principal }: { body: requests.CreateWalletBody; principal: Principal }): Promise<Answer> {
    if (principal.wallets !== '*') {
      const remedy = 'use a token whose "wallets" claim is "*"';
      throw new Refusal('auth.wallet', 'Authorization', 'creating a wallet needs a token for all wallets', remedy, 403);
    }
    const { protocol = body.address_type === 'p2tr' ? 'frost' : 'cggmp24', ...shape } = body;
    if (protocol !== 'both') {
      const created = await service.createWallet({ ...shape, protocol });
      return { status: 201, body: created, headers: { location: `/api/v1/wallet/${created.wallet_id}/address` } };
    }
    const wallets = [];
    for (const each of ['cggmp24', 'frost'] as const) wallets.push(await service.createWallet({ ...shape, protocol: each }));
    return { status: 201, body: { wallets }, headers: { location: '/api/v1/wallets' } };
  }

  return [
    route({
      method: 'POST',
      url: '/api/v1/wallet/create',
      role: 'admin',
      operation: 'createWallet',
      summary: 'Create a wallet: the nodes generate its key together',
      body: requests.createWalletBody,
      answers: { 201: responses.created },
      slow: true,
      handle: create,
    }),
    route({
      method: 'POST',
      url: '/api/v1/dkg/start',
      role: 'admin',
      operation: 'startKeyGeneration',
      summary: 'The same as creating a wallet',
      body: requests.createWalletBody,
      answers: { 201: responses.created },
      slow: true,
      handle: create,
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallets',
      role: 'viewer',
      operation: 'listWallets',
      summary: 'The wallets that the token covers',
      answers: { 200: responses.wallets },
      handle: async ({ principal }) => ok({ wallets: (await service.wallets()).filter((one) => mayUse(principal, one.wallet_id)) }),
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/balance',
      role: 'viewer',
      operation: 'defaultBalance',
      summary: 'Balance of the default wallet, in satoshis',
      answers: { 200: responses.balance },
      handle: async ({ principal }) => ok(await service.balance(await defaultOf(context, principal))),
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/address',
      role: 'viewer',
      operation: 'defaultAddress',
      summary: 'Address of the default wallet',
      answers: { 200: responses.address },
      handle: async ({ principal }) => ok(await service.wallet(await defaultOf(context, principal))),
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/balance',
      role: 'viewer',
      operation: 'balance',
      summary: 'Balance in satoshis',
      params: requests.walletParams,
      answers: { 200: responses.balance },
      handle: async ({ params, principal }) => {
        requireWallet(principal, params.id);
        return ok(await service.balance(params.id));
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/utxos',
      role: 'viewer',
      operation: 'utxos',
      summary: 'Unspent outputs',
      params: requests.walletParams,
      answers: { 200: responses.utxos },
      handle: async ({ params, principal }) => {
        requireWallet(principal, params.id);
        return ok({ wallet_id: params.id, utxos: await service.utxos(params.id) });
      },
    }),
  ];
}

function paymentRoutes(context: RouteContext): AnyRoute[] {
  const { service, network } = context;

  /** 201 with the record when the payment was broadcast; otherwise a problem that holds the record. */
  async function send(walletId: string, body: requests.SendBody, key: string | undefined): Promise<Answer> {
    const request: SendRequest = {
      recipients: body.recipients ?? [{ address: body.recipient ?? '', amount_sats: body.amount_sats ?? 0 }],
      ...(body.fee_rate === undefined ? {} : { fee_rate: body.fee_rate }),
      ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
      ...(key === undefined ? {} : { idempotency_key: key }),
    };
    // Asked first: after the payment nothing may fail any more.
    const chain = await network();
    const info = await service.send(walletId, request);
    const view = transactionView(info, chain);
    if (UNSUCCESSFUL.has(info.state)) throw new PaymentEnded(info.state, info.error, responses.transaction.parse(view));
    return { status: 201, body: view, headers: { location: `/api/v1/transactions/${info.tx_id}` } };
  }

  async function list(filter: Parameters<WalletService['transactions']>[0]): Promise<Answer> {
    const [page, chain] = await Promise.all([service.transactions(filter), network()]);
    const transactions = page.items.map((item) => transactionView(item, chain));
    return ok({ transactions, total: page.total, limit: filter.limit, offset: filter.offset });
  }

  /** The payment, as far as the token covers its wallet. Payments of other wallets do not exist for it. */
  async function visible(id: string, principal: Principal) {
    const info = await service.transaction(id);
    if (mayUse(principal, info.wallet_id)) return info;
    throw new Refusal('transaction.unknown', 'txid', `there is no payment ${id}`, 'list payments with GET /api/v1/transactions', 404);
  }

  return [
    route({
      method: 'POST',
      url: '/api/v1/wallet/:id/send',
      role: 'operator',
      operation: 'send',
      summary: 'Pay: build, vote, sign, broadcast',
      params: requests.walletParams,
      body: requests.sendBody,
      headers: requests.sendHeaders,
      answers: { 201: responses.transaction },
      slow: true,
      handle: async ({ params, body, headers, principal }) => {
        requireWallet(principal, params.id);
        return send(params.id, body, headers['idempotency-key']);
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/transactions',
      role: 'operator',
      operation: 'sendFromDefault',
      summary: 'Pay from the default wallet',
      body: requests.sendBody,
      headers: requests.sendHeaders,
      answers: { 201: responses.transaction },
      slow: true,
      handle: async ({ body, headers, principal }) => send(await defaultOf(context, principal), body, headers['idempotency-key']),
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/transactions',
      role: 'viewer',
      operation: 'walletTransactions',
      summary: 'Payments of one wallet, newest first',
      params: requests.walletParams,
      query: requests.walletTransactionsQuery,
      answers: { 200: responses.transactions },
      handle: async ({ params, query, principal }) => {
        requireWallet(principal, params.id);
        return list({ ...query, wallet_id: params.id });
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/transactions',
      role: 'viewer',
      operation: 'transactions',
      summary: 'Payments of all wallets, or of wallet_id, newest first',
      query: requests.transactionsQuery,
      answers: { 200: responses.transactions },
      handle: async ({ query, principal }) => {
        if (query.wallet_id !== undefined) requireWallet(principal, query.wallet_id);
        if (query.wallet_id !== undefined || principal.wallets === '*') return list(query);
        const [only, ...others] = principal.wallets;
        if (only !== undefined && others.length === 0) return list({ ...query, wallet_id: only });
        const message = 'the token covers some wallets, not all, so the list needs one of them';
        throw new Refusal('request.missing_field', 'wallet_id', message, 'add ?wallet_id=<id> with a wallet of the token', 422);
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/transactions/:txid',
      role: 'viewer',
      operation: 'transaction',
      summary: "One payment, by the wallet's id or by Bitcoin txid",
      params: requests.txidParams,
      answers: { 200: responses.transaction },
      handle: async ({ params, principal }) => ok(transactionView(await visible(params.txid, principal), await network())),
    }),
    route({
      method: 'GET',
      url: '/api/v1/consensus/votes/:tx_id',
      role: 'viewer',
      operation: 'votes',
      summary: 'The signed votes on a payment',
      params: requests.votesParams,
      answers: { 200: responses.votes },
      handle: async ({ params, principal }) => {
        const id = principal.wallets === '*' ? params.tx_id : (await visible(params.tx_id, principal)).tx_id;
        return ok(votesView(await service.votes(id)));
      },
    }),
  ];
}

function clusterRoutes(context: RouteContext): AnyRoute[] {
  const { service } = context;

  /** The wallet whose presignatures are meant: without an id the only one that has any, else the default wallet. */
  async function poolWallet(id: string | undefined, principal: Principal): Promise<string> {
    const pools = id === undefined ? (await service.poolStatus()).filter((pool) => mayUse(principal, pool.wallet_id)) : [];
    const wallet = id ?? (pools.length === 1 ? pools[0]!.wallet_id : await defaultOf(context, principal));
    requireWallet(principal, wallet);
    return wallet;
  }

  return [
    route({
      method: 'GET',
      url: '/api/v1/cluster/status',
      role: 'viewer',
      operation: 'clusterStatus',
      summary: 'The cluster as this node sees it',
      answers: { 200: responses.clusterStatus },
      handle: async () => ok(await service.clusterStatus()),
    }),
    route({
      method: 'GET',
      url: '/api/v1/cluster/nodes',
      role: 'viewer',
      operation: 'clusterNodes',
      summary: 'Every node and the state of the link to it',
      answers: { 200: responses.clusterNodes },
      handle: async () => {
        const now = Date.now();
        return ok({ nodes: (await service.clusterNodes()).map((node) => nodeView(node, now)) });
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/pool/status',
      role: 'viewer',
      operation: 'poolStatus',
      summary: 'Presignature pools, per wallet and signer set',
      query: requests.walletQuery,
      answers: { 200: responses.pools },
      handle: async ({ query, principal }) => {
        if (query.wallet_id !== undefined) requireWallet(principal, query.wallet_id);
        return ok({ pools: (await service.poolStatus(query.wallet_id)).filter((pool) => mayUse(principal, pool.wallet_id)) });
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/presig/generate',
      role: 'admin',
      operation: 'generatePresignatures',
      summary: 'Fill the pool now',
      body: requests.generateBody,
      answers: { 200: responses.generated },
      slow: true,
      handle: async ({ body, principal, signal }) => {
        const id = await poolWallet(body.wallet_id, principal);
        return ok({ wallet_id: id, ...(await service.generatePresignatures(id, body.count, signal)) });
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/presig',
      role: 'viewer',
      operation: 'presignatures',
      summary: 'Ready presignatures at this node, oldest first',
      query: requests.walletQuery,
      answers: { 200: responses.presignatures },
      handle: async ({ query, principal }) => {
        const id = await poolWallet(query.wallet_id, principal);
        return ok({ wallet_id: id, presignatures: await service.presignatures(id) });
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/dkg/status',
      role: 'viewer',
      operation: 'ceremonies',
      summary: 'Ceremonies: key generation, auxiliary information, presigning',
      answers: { 200: responses.ceremonies },
      handle: async ({ principal }) => {
        const all = await service.ceremonies();
        return ok({ ceremonies: all.filter((one) => one.wallet_id === null || mayUse(principal, one.wallet_id)) });
      },
    }),
  ];
}
