/**
 * A well-behaved wallet in memory, for tests of what stands in front of it: it keeps its contract (idempotency, refusals, states) and signs
 * nothing. A test may replace any method.
 */
import { Refusal } from '../../base/errors.ts';
import type { AddressInfo, SendRequest, TransactionInfo, WalletEvent, WalletInfo, WalletService, KeyStatus } from '../../wallet/types.ts';

export const ECDSA_WALLET: WalletInfo = {
  wallet_id: 'w-ecdsa',
  name: 'treasury',
  protocol: 'cggmp24',
  address_type: 'p2wpkh',
  threshold: 4,
  total_nodes: 5,
  public_key: '02'.padEnd(66, 'a'),
  address: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080',
  network: 'regtest',
  created_at: '2026-01-02T03:04:05.000Z',
};
export const FROST_WALLET: WalletInfo = {
  ...ECDSA_WALLET,
  wallet_id: 'w-frost',
  name: 'cold',
  protocol: 'frost',
  address_type: 'p2tr',
  public_key: 'b'.repeat(64),
  address: 'bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6',
};
export const RECIPIENT = 'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry';

const NODES = ['node-1', 'node-2', 'node-3', 'node-4', 'node-5'];

export interface FakeWallet {
  readonly service: WalletService;
  /** Every request `send` was called with, in order. */
  readonly sends: { walletId: string; request: SendRequest }[];
  /** Hands an event to everybody who listens. */
  emit(event: WalletEvent): void;
  /** Number of open event streams. */
  listeners(): number;
}

export function paymentOf(walletId: string, request: SendRequest, number: number): TransactionInfo {
  return {
    tx_id: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    wallet_id: walletId,
    txid: number.toString(16).padStart(64, '0'),
    state: 'broadcast',
    protocol: walletId === FROST_WALLET.wallet_id ? 'frost' : 'cggmp24',
    signing_mode: 'pool',
    recipients: request.recipients,
    fee_sats: 282,
    fee_rate: request.fee_rate ?? 2,
    vsize: 141,
    metadata: request.metadata ?? null,
    signers: NODES.slice(0, 4),
    timings: { build: 12, vote: 40, sign: 180, broadcast: 9 },
    confirmations: 0,
    block_height: null,
    error: null,
    raw: '0200000000',
    created_at: '2026-01-02T03:05:00.000Z',
    updated_at: '2026-01-02T03:05:01.000Z',
  };
}

const keyStatusOf = ({ wallet_id, threshold }: WalletInfo): KeyStatus => ({
  wallet_id,
  epoch: 0,
  holds_share: true,
  state: 'active',
  threshold,
  nodes: NODES,
  next_epoch: null,
  committed_nodes: [],
  old_shares: [],
  erased_nodes: [],
  erasures_needed: null,
});

export function createFakeWallet(overrides: Partial<WalletService> = {}): FakeWallet {
  const wallets: WalletInfo[] = [ECDSA_WALLET, FROST_WALLET];
  const payments: TransactionInfo[] = [];
  const byKey = new Map<string, { request: string; payment: TransactionInfo }>();
  const sends: FakeWallet['sends'] = [];
  const listeners = new Set<(event: WalletEvent) => void>();
  const known = (id: string): WalletInfo => {
    const found = wallets.find((wallet) => wallet.wallet_id === id);
    if (found === undefined) throw new Refusal('wallet.unknown', 'wallet_id', `there is no wallet ${id}`, 'list them', 404);
    return found;
  };
  const payment = (id: string): TransactionInfo => {
    const found = payments.find((one) => one.tx_id === id || one.txid === id);
    if (found === undefined) throw new Refusal('transaction.unknown', 'txid', `there is no payment ${id}`, 'list them', 404);
    return found;
  };
  const vote = { value: 'approve' as const, reason: '', timestamp: '2026-01-02T03:05:00.500Z', signature: 'cd'.repeat(64) };

  const service: WalletService = {
    health: async () => ({
      status: 'healthy',
      version: '0.1.0',
      node_id: 'node-1',
      time: '2026-01-02T03:04:05.000Z',
      uptime_seconds: 12,
      peers_connected: 4,
      peer_count: 4,
      pool_size: 8,
      postgres_connected: true,
      bitcoin_connected: true,
      kernel: 'wasm',
    }),
    clusterStatus: async () => ({
      node_id: 'node-1',
      total_nodes: 5,
      healthy_nodes: 5,
      threshold: 4,
      status: 'healthy',
      network: 'regtest',
      kernel: 'wasm',
      primes_ready: 4,
      timestamp: '2026-01-02T03:04:05.000Z',
    }),
    clusterNodes: async () =>
      NODES.map((node_id, index) => ({
        node_id,
        status: index === 0 ? ('self' as const) : ('active' as const),
        address: `127.0.0.1:${9001 + index}`,
        last_seen: index === 0 ? null : '2026-01-02T03:04:04.000Z',
        rtt_ms: index === 0 ? null : 0.8,
        bytes_in: 1000 * index,
        bytes_out: 2000 * index,
        problem: null,
      })),
    createWallet: async (request) => {
      const created = {
        ...(request.protocol === 'frost' ? FROST_WALLET : ECDSA_WALLET),
        wallet_id: `w-${wallets.length + 1}`,
        name: request.name ?? `wallet ${wallets.length + 1}`,
        ...(request.address_type !== undefined && { address_type: request.address_type }),
        threshold: request.threshold ?? 4,
        total_nodes: request.total_nodes ?? 5,
      };
      wallets.push(created);
      return created;
    },
    wallets: async () => wallets,
    wallet: async (id) => known(id),
    balance: async (id) => ({ wallet_id: known(id).wallet_id, confirmed: 5_000_000, unconfirmed: 1_000, reserved: 0, total_utxos: 2 }),
    utxos: async (id) => {
      known(id);
      const { address } = known(id);
      return [{ txid: 'ef'.repeat(32), vout: 1, value: 5_000_000, address, path: 'm', confirmations: 6, reserved: false }];
    },
    newAddress: async (id, { account = 0, index = 3 }) => addressInfoOf(known(id), account, index),
    addressAt: async (id, account, index) => addressInfoOf(known(id), account, index),
    addresses: async (id, { account = 0, limit, offset }) => {
      const items = [0, 1, 2].map((index) => addressInfoOf(known(id), account, index));
      return { items: items.slice(offset, offset + limit), total: items.length };
    },
    descriptor: async (id, account) => ({
      wallet_id: known(id).wallet_id,
      network: 'regtest',
      extended_public_key: 'tpub',
      own: 'wpkh(tpub)#aaaaaaaa',
      account,
      receive: `wpkh(tpub/${account}/0/*)#bbbbbbbb`,
      change: `wpkh(tpub/${account}/1/*)#cccccccc`,
    }),
    keyStatus: async (id) => keyStatusOf(known(id)),
    refreshKey: async (id) => ({ ...keyStatusOf(known(id)), epoch: 1, state: 'erased' }),
    reshareKey: async (id, { threshold, nodes }) => ({
      ...keyStatusOf(known(id)),
      epoch: 1,
      state: 'committed',
      threshold,
      nodes,
      old_shares: [0],
    }),
    agreeToReshare: async () => undefined,
    eraseOldShares: async (id) => ({ ...keyStatusOf(known(id)), epoch: 1, state: 'erased' }),
    send: async (walletId, request) => {
      known(walletId);
      sends.push({ walletId, request });
      const { idempotency_key: key, ...content } = request;
      const before = key === undefined ? undefined : byKey.get(key);
      if (before !== undefined) {
        if (before.request === JSON.stringify(content)) return before.payment;
        throw new Refusal('send.key_reused', 'idempotency_key', 'this key belongs to another payment', 'use a new key', 409);
      }
      if (request.recipients.some((one) => one.amount_sats > 5_000_000)) {
        throw new Refusal('send.balance', 'amount_sats', 'the balance is 5000000 sats', 'send less, or fund the wallet', 422);
      }
      const made = paymentOf(walletId, request, payments.length + 1);
      payments.unshift(made);
      if (key !== undefined) byKey.set(key, { request: JSON.stringify(content), payment: made });
      return made;
    },
    transaction: async (id) => payment(id),
    transactions: async (filter) => {
      const all = payments.filter(
        (one) => (filter.wallet_id ?? one.wallet_id) === one.wallet_id && (filter.state ?? one.state) === one.state,
      );
      return { items: all.slice(filter.offset, filter.offset + filter.limit), total: all.length };
    },
    votes: async (id) => ({
      tx_id: payment(id).tx_id,
      proposal: 'ab'.repeat(32),
      quorum: 4,
      total_nodes: 5,
      result: 'approved',
      votes: NODES.slice(0, 4).map((node_id) => ({ node_id, ...vote })),
    }),
    poolStatus: async (id) =>
      wallets
        .filter((wallet) => (id ?? wallet.wallet_id) === wallet.wallet_id && wallet.protocol === 'cggmp24')
        .map(({ wallet_id }) => ({
          wallet_id,
          enabled: true,
          available: 8,
          in_use: 0,
          used: 2,
          failed: 0,
          expired: 0,
          empty: 1,
          target: 10,
          low: 8,
          max_size: 150,
          utilization_percent: 7,
          is_healthy: true,
          is_critical: false,
          generating: false,
          generation_rate: 0.5,
          hourly_usage: 2,
          total_used: 2,
          total_failed: 0,
          total_generated: 10,
          sets: [{ signers: NODES.slice(0, 4), ready: 8, blocked: false }],
        })),
    presignatures: async (id) =>
      [1, 2].map((n) => ({
        presignature_id: String(n).repeat(64),
        wallet_id: known(id).wallet_id,
        signers: NODES.slice(0, 4),
        epoch: 0,
        created_at: `2026-01-02T03:04:0${n}.000Z`,
        generation_time_ms: 640,
      })),
    generatePresignatures: async (id, count) => {
      known(id);
      return { generated: count, new_pool_size: 8 + count, duration_ms: 1500 };
    },
    ceremonies: async () => [
      {
        id: 'c-1',
        kind: 'dkg',
        protocol: 'cggmp24',
        wallet_id: ECDSA_WALLET.wallet_id,
        status: 'completed',
        participants: NODES,
        culprits: [],
        error: null,
        progress: null,
        started_at: '2026-01-02T03:00:00.000Z',
        ended_at: '2026-01-02T03:00:30.000Z',
      },
      {
        id: 'c-2',
        kind: 'aux',
        protocol: 'cggmp24',
        wallet_id: null,
        status: 'running',
        participants: NODES,
        culprits: [],
        error: null,
        progress: { step: 'safe primes', done: 3, total: 4 },
        started_at: '2026-01-02T03:00:30.000Z',
        ended_at: null,
      },
    ],
    events: (signal) => listen(listeners, signal),
    ...overrides,
  };
  return { service, sends, emit: (event) => listeners.forEach((listener) => listener(event)), listeners: () => listeners.size };
}

async function* listen(listeners: Set<(event: WalletEvent) => void>, signal: AbortSignal): AsyncIterable<WalletEvent> {
  const waiting: WalletEvent[] = [];
  let wake = () => {};
  const listener = (event: WalletEvent) => {
    waiting.push(event);
    wake();
  };
  listeners.add(listener);
  signal.addEventListener('abort', () => wake(), { once: true });
  try {
    while (!signal.aborted) {
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    listeners.delete(listener);
  }
}

const addressInfoOf = ({ wallet_id, address, address_type }: WalletInfo, account: number, index: number): AddressInfo => ({
  wallet_id,
  address,
  address_type,
  network: 'regtest',
  path: `m/${account}/0/${index}`,
  account,
  chain: 'receive',
  index,
});
