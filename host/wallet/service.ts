/** The use-cases of one node, as REST and CLI see them ({@link WalletService}). */
import { randomUUID } from 'node:crypto';
import { hex, utf8 } from '../base/bytes.ts';
import { Fault, Refusal } from '../base/errors.ts';
import { addressOf } from '../bitcoin/address.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { RECEIVE, showPath } from '../bitcoin/paths.ts';
import type { NodeId } from '../mesh/types.ts';
import { walletInfo } from './accounts.ts';
import type { Addresses } from './addresses.ts';
import type { Ceremonies } from './ceremonies.ts';
import { online, type WalletContext } from './context.ts';
import type { KeyChanges } from './key-changes.ts';
import { unknownWallet, type Keyring, type WalletKey } from './keyring.ts';
import type { Holdings } from './holdings.ts';
import type { Ledger } from './ledger.ts';
import type { Payments } from './payments.ts';
import type { Pools } from './pools.ts';
import type { PrimeStock } from './prime-stock.ts';
import type { Refill } from './refill.ts';
import {
  ADDRESS_TYPES,
  MAX_GENERATE,
  type AddressType,
  type ClusterStatus,
  type Health,
  type Protocol,
  type WalletInfo,
  type WalletService,
} from './types.ts';

const MAX_NAME_BYTES = 64;
/** How long an answer of the Bitcoin backend about its tip counts as "connected". */
const BACKEND_CHECK_MS = 10_000;

export function createWalletService(parts: {
  context: WalletContext;
  keyring: Keyring;
  pools: Pools;
  ledger: Ledger;
  payments: Payments;
  ceremonies: Ceremonies;
  refill: Refill;
  changes: KeyChanges;
  primes: PrimeStock;
  addresses: Addresses;
  holdings: Holdings;
}): WalletService {
  const { context, keyring, pools, ledger, payments, ceremonies, refill, primes, changes, addresses, holdings } = parts;
  const started = context.clock();
  let backend = { at: -Infinity, connected: false };

  const wallet = (walletId: string): WalletInfo => {
    if (keyring.find(walletId) === undefined) throw unknownWallet(walletId);
    return walletInfo(keyring.active(walletId), context.network);
  };
  const requirePool = (walletId: string): WalletKey => {
    const key = keyring.active(walletId);
    if (key.protocol === 'cggmp24') return key;
    throw new Refusal('protocol', 'wallet_id', 'only CGGMP24 wallets have presignatures', 'name a cggmp24 wallet', 422);
  };
  const active = () => keyring.keys().filter((key) => key.state === 'active');

  async function backendConnected(): Promise<boolean> {
    if (context.clock() - backend.at < BACKEND_CHECK_MS) return backend.connected;
    const connected = await Promise.race([
      context.esplora.tipHeight().then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 2_000).unref()),
    ]);
    backend = { at: context.clock(), connected };
    return connected;
  }

  const level = (linked: number): Health['status'] =>
    linked === context.members.length ? 'healthy' : linked >= context.threshold ? 'degraded' : 'critical';

  /** A fault of protocol parties, with culprits as members of the cluster instead of positions in a run. */
  async function named<T>(parties: readonly NodeId[], work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault(
        error.culprits.map((position) => context.members.indexOf(parties[position] ?? '')),
        error.reason,
        error.evidence,
      );
    }
  }

  return {
    async health() {
      const linked = online(context).size;
      const [postgres, bitcoin] = await Promise.all([context.records.ping(), backendConnected()]);
      const mesh = level(linked);
      return {
        status: mesh !== 'healthy' || (postgres && bitcoin) ? mesh : 'degraded',
        version: context.version,
        node_id: context.self,
        time: new Date(context.clock()).toISOString(),
        uptime_seconds: Math.round((context.clock() - started) / 1000),
        peers_connected: linked - 1,
        peer_count: context.members.length - 1,
        pool_size: pools.total(),
        postgres_connected: postgres,
        bitcoin_connected: bitcoin,
        kernel: context.core.kernel,
      };
    },

    async clusterStatus(): Promise<ClusterStatus> {
      const linked = online(context).size;
      return {
        node_id: context.self,
        total_nodes: context.members.length,
        healthy_nodes: linked,
        threshold: context.threshold,
        status: level(linked),
        network: context.network,
        kernel: context.core.kernel,
        primes_ready: await primes.ready(),
        timestamp: new Date(context.clock()).toISOString(),
      };
    },

    clusterNodes() {
      const peers = new Map(context.mesh.peers().map((peer) => [peer.node, peer]));
      return Promise.resolve(
        context.members.map((node) => {
          const peer = peers.get(node);
          return {
            node_id: node,
            status: node === context.self ? ('self' as const) : (peer?.status ?? ('idle' as const)),
            address: peer?.address ?? 'local',
            last_seen:
              node === context.self
                ? new Date(context.clock()).toISOString()
                : peer?.lastSeen === undefined
                  ? null
                  : new Date(peer.lastSeen).toISOString(),
            rtt_ms: peer?.rtt?.p50 ?? null,
            bytes_in: peer?.bytesIn ?? 0,
            bytes_out: peer?.bytesOut ?? 0,
            problem: peer?.problem ?? null,
          };
        }),
      );
    },

    async createWallet({
      name,
      protocol,
      address_type: addressType,
      threshold = context.threshold,
      total_nodes: n = context.members.length,
    }) {
      requireType(protocol, addressType);
      if (n > context.members.length || n < 2) {
        throw new Refusal(
          'total_nodes',
          'total_nodes',
          `a wallet of ${n} nodes in a cluster of ${context.members.length}`,
          `choose 2 to ${context.members.length}`,
          422,
        );
      }
      if (threshold < 2 || threshold > n) {
        throw new Refusal(
          'threshold',
          'threshold',
          `insufficient participants for threshold: ${threshold}-of-${n}`,
          `choose a threshold from 2 to ${n}`,
          422,
        );
      }
      const committee = context.members.slice(0, n);
      if (!committee.includes(context.self)) {
        throw new Refusal(
          'total_nodes',
          'total_nodes',
          `${context.self} is not of the first ${n} nodes, which would hold this wallet`,
          `ask ${committee[0]!}, or choose total_nodes ${context.members.length}`,
          422,
        );
      }
      if (name !== undefined && (name === '' || utf8(name).length > MAX_NAME_BYTES))
        throw new Refusal('name', 'name', 'a wallet name is empty or too long', `give 1 to ${MAX_NAME_BYTES} bytes`, 422);
      const walletId = randomUUID();
      const common = {
        protocol,
        walletName: name ?? `${protocol}-${walletId.slice(0, 8)}`,
        threshold,
        committee: [...committee],
        signers: [],
        count: 0,
      };
      // Auxiliary information first: a wallet that has an address can also sign.
      if (protocol === 'cggmp24' && !(await ceremonies.auxShared(committee)))
        await named(committee, () => ceremonies.start({ ...common, kind: 'aux', walletId: '' }));
      const typed = { ...common, ...(addressType === 'p2wsh' && { addressType }) };
      await named(committee, () => ceremonies.start({ ...typed, kind: 'dkg', walletId }));
      return wallet(walletId);
    },

    wallets: () => Promise.resolve(active().map((key) => walletInfo(key, context.network))),
    wallet: (walletId) => Promise.resolve().then(() => wallet(walletId)),

    async balance(walletId) {
      const key = keyring.active(walletId);
      const [coins, held] = await Promise.all([holdings.all(key), context.records.transactions.reserved(walletId)]);
      const sum = (values: readonly bigint[]) => Number(values.reduce((total, value) => total + value, 0n));
      const reserved = new Set(held.map(outpoint));
      const confirmed = coins.filter((coin) => coin.confirmations > 0);
      return {
        wallet_id: walletId,
        confirmed: sum(confirmed.map((coin) => coin.value)),
        unconfirmed: sum(coins.filter((coin) => coin.confirmations === 0).map((coin) => coin.value)),
        reserved: sum(confirmed.filter((coin) => reserved.has(outpoint(coin))).map((coin) => coin.value)),
        total_utxos: coins.length,
      };
    },

    async utxos(walletId) {
      const key = keyring.active(walletId);
      const [coins, held] = await Promise.all([holdings.all(key), context.records.transactions.reserved(walletId)]);
      const reserved = new Set(held.map(outpoint));
      return coins.map((coin) => ({
        txid: coin.txid,
        vout: coin.vout,
        value: Number(coin.value),
        address: addressOf(coin.script, context.network),
        path: showPath(coin.path ?? []),
        confirmations: coin.confirmations,
        reserved: reserved.has(outpoint(coin)),
      }));
    },

    newAddress: (walletId, wanted) => addresses.issue(walletId, wanted),
    addressAt: (walletId, account, index) => Promise.resolve().then(() => addresses.at(walletId, [account, RECEIVE, index])),
    addresses: (walletId, filter) => Promise.resolve().then(() => addresses.list(walletId, filter)),
    descriptor: (walletId, account) => Promise.resolve().then(() => addresses.descriptor(walletId, account)),

    send: (walletId, request) => payments.send(walletId, request),
    transaction: (id) => ledger.get(id),
    transactions: (filter) => ledger.list(filter),
    votes: (txId) => ledger.votes(txId),

    async poolStatus(walletId) {
      const reachable = online(context);
      if (walletId !== undefined && keyring.active(walletId).protocol !== 'cggmp24') return [];
      return Promise.all((walletId === undefined ? pools.wallets() : [walletId]).map((id) => pools.status(id, reachable)));
    },

    async presignatures(walletId) {
      requirePool(walletId);
      return pools
        .of(walletId)
        .available()
        .map(({ id, signers, epoch, createdAt, generationMs }) => ({
          presignature_id: hex(id),
          wallet_id: walletId,
          signers,
          epoch,
          created_at: new Date(createdAt).toISOString(),
          generation_time_ms: generationMs,
        }));
    },

    async generatePresignatures(walletId, count, signal) {
      const key = requirePool(walletId);
      if (count < 1 || count > MAX_GENERATE)
        throw new Refusal('count', 'count', `${count} presignatures in one request`, `ask for 1 to ${MAX_GENERATE}`, 422);
      const begin = context.clock();
      const generated = await named(key.committee, () => refill.generate(walletId, count, signal));
      return { generated, new_pool_size: pools.of(walletId).counters.available, duration_ms: context.clock() - begin };
    },

    keyStatus: (walletId) => changes.status(walletId),
    refreshKey: (walletId) => changes.change(walletId),
    reshareKey: (walletId, change) => changes.change(walletId, change),
    agreeToReshare: (walletId, { public_key: publicKey, ...change }) =>
      changes.agree(walletId, { ...change, ...(publicKey !== undefined && { publicKey }) }),
    eraseOldShares: (walletId) => changes.erase(walletId),

    ceremonies: () => ceremonies.list(),
    events: (signal) => context.events.subscribe(signal),
  };
}

/** @throws Refusal for addresses that keys of the protocol cannot have. */
function requireType(protocol: Protocol, addressType: AddressType | undefined): void {
  const possible: readonly AddressType[] = ADDRESS_TYPES[protocol];
  if (addressType === undefined || possible.includes(addressType)) return;
  const other = protocol === 'frost' ? 'cggmp24' : 'frost';
  throw new Refusal(
    'address_type',
    'address_type',
    `a ${protocol} key has ${possible.join(' or ')} addresses, never ${addressType}`,
    `name the protocol ${other} for ${addressType}, or one of ${possible.join(', ')}`,
    422,
  );
}
