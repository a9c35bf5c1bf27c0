/**
 * What the wallet offers: the use-cases behind REST and CLI. Amounts are integer satoshis, times ISO 8601, hashes and keys lower-case hex.
 * Every method throws Refusal (the caller's mistake), Unavailable (try again) or Fault (peers misbehaved).
 */
import type { NodeId } from '../mesh/types.ts';

export type Protocol = 'cggmp24' | 'frost';
export type NetworkName = 'mainnet' | 'testnet' | 'signet' | 'regtest';
/** What a wallet's addresses can be, by the protocol of its key; the first is the usual one. P2WSH: of the script `<key> OP_CHECKSIG`. */
export const ADDRESS_TYPES = { cggmp24: ['p2wpkh', 'p2wsh'], frost: ['p2tr'] } as const satisfies Record<Protocol, readonly string[]>;
export type AddressType = (typeof ADDRESS_TYPES)[Protocol][number];

export interface WalletInfo {
  readonly wallet_id: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly address_type: AddressType;
  readonly threshold: number;
  readonly total_nodes: number;
  /** 33 bytes compressed (cggmp24) or 32 bytes x-only output key (frost). */
  readonly public_key: string;
  readonly address: string;
  readonly network: NetworkName;
  readonly created_at: string;
}

export interface Balance {
  readonly wallet_id: string;
  readonly confirmed: number;
  readonly unconfirmed: number;
  /** Part of `confirmed` that pending payments have reserved. */
  readonly reserved: number;
  readonly total_utxos: number;
}

/** An address of a wallet: its own, or one below its key. */
export interface AddressInfo {
  readonly wallet_id: string;
  readonly address: string;
  readonly address_type: AddressType;
  readonly network: NetworkName;
  /** `m` for the wallet's own address, `m/account/chain/index` for others. */
  readonly path: string;
  readonly account: number | null;
  readonly chain: 'receive' | 'change' | null;
  readonly index: number | null;
}

/** What watch-only software needs: BIP-32 key and BIP-380 descriptors. They show every address of the wallet, of all accounts. */
export interface DescriptorInfo {
  readonly wallet_id: string;
  readonly network: NetworkName;
  readonly extended_public_key: string;
  /** Of the wallet's own address. */
  readonly own: string;
  readonly account: number;
  readonly receive: string;
  readonly change: string;
}

export interface Utxo {
  readonly txid: string;
  readonly vout: number;
  readonly value: number;
  readonly address: string;
  readonly path: string;
  readonly confirmations: number;
  readonly reserved: boolean;
}

/** The states of a payment, in order; the last five are final. */
export const TRANSACTION_STATES = [
  'created', 'voting', 'approved', 'signing', 'signed', 'broadcasting', 'broadcast',
  'confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine',
] as const; // prettier-ignore
export type TransactionState = (typeof TRANSACTION_STATES)[number];

export interface TransactionInfo {
  /** The wallet's own id of the payment (UUID); known before a txid exists. */
  readonly tx_id: string;
  readonly wallet_id: string;
  /** Bitcoin txid; known as soon as the transaction is built (SegWit). */
  readonly txid: string;
  readonly state: TransactionState;
  readonly protocol: Protocol;
  /** `pool`: with presignatures, one round; `interactive`: without; `frost`: one round with prepared nonces, else two. */
  readonly signing_mode: 'pool' | 'interactive' | 'frost' | null;
  readonly recipients: readonly { readonly address: string; readonly amount_sats: number }[];
  readonly fee_sats: number;
  readonly fee_rate: number;
  readonly vsize: number;
  readonly metadata: string | null;
  readonly signers: readonly NodeId[];
  /** Milliseconds of each stage that has ended: build, vote, sign, broadcast. */
  readonly timings: { readonly build?: number; readonly vote?: number; readonly sign?: number; readonly broadcast?: number };
  readonly confirmations: number;
  readonly block_height: number | null;
  readonly error: string | null;
  readonly raw: string | null;
  readonly created_at: string;
  readonly updated_at: string;
}

export interface SendRequest {
  readonly recipients: readonly { readonly address: string; readonly amount_sats: number }[];
  /** sat/vB; the backend's estimate when absent. */
  readonly fee_rate?: number;
  /** Text of at most 80 bytes put into an OP_RETURN output. */
  readonly metadata?: string;
  /** Same key and same request → same payment; same key, other request → 409. */
  readonly idempotency_key?: string;
}

export interface VoteInfo {
  readonly node_id: NodeId;
  readonly value: 'approve' | 'reject';
  readonly reason: string;
  readonly timestamp: string;
  readonly signature: string;
}
export interface VotesInfo {
  readonly tx_id: string;
  readonly proposal: string;
  readonly quorum: number;
  readonly total_nodes: number;
  readonly result: 'pending' | 'approved' | 'rejected' | 'timed_out';
  readonly votes: readonly VoteInfo[];
}

export interface ClusterNode {
  readonly node_id: NodeId;
  readonly status: 'self' | 'active' | 'degraded' | 'connecting' | 'dead' | 'idle';
  readonly address: string;
  readonly last_seen: string | null;
  readonly rtt_ms: number | null;
  /** Of frames from it and to it, since the node asked was started; without what QUIC adds. */
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly problem: string | null;
}
export interface ClusterStatus {
  readonly node_id: NodeId;
  readonly total_nodes: number;
  readonly healthy_nodes: number;
  readonly threshold: number;
  readonly status: 'healthy' | 'degraded' | 'critical';
  readonly network: NetworkName;
  readonly kernel: string;
  /** Safe primes in this node's stock for its next auxiliary information, which takes four. */
  readonly primes_ready: number;
  readonly timestamp: string;
}

/** Presignatures of one request. */
export const MAX_GENERATE = 50;

/** The presignatures of one wallet that this node has a part in: t of n of all. */
export interface PoolStatus {
  readonly wallet_id: string;
  /** False where the configuration has switched the pool off: every payment is signed interactively. */
  readonly enabled: boolean;
  readonly available: number;
  readonly in_use: number;
  /** Used, and gone without use, since the node was started; of the latter those that were too old. */
  readonly used: number;
  readonly failed: number;
  readonly expired: number;
  /** Payments that found none they could use, since the node was started. */
  readonly empty: number;
  /** Levels of the whole pool: aimed at, refilled below, never exceeded. */
  readonly target: number;
  readonly low: number;
  readonly max_size: number;
  /** Of this node's share of the largest size. */
  readonly utilization_percent: number;
  /** Not below this node's share of `low`; below half of it. */
  readonly is_healthy: boolean;
  readonly is_critical: boolean;
  readonly generating: boolean;
  /** Made per minute, over the last hour. */
  readonly generation_rate: number;
  /** From the records; null while they cannot be read. */
  readonly hourly_usage: number | null;
  readonly total_used: number | null;
  readonly total_failed: number | null;
  readonly total_generated: number | null;
  /** Ready presignatures per signer set; a set with a dead member is blocked. */
  readonly sets: readonly { readonly signers: readonly NodeId[]; readonly ready: number; readonly blocked: boolean }[];
}

/** A ready presignature. Its nonce point is not told to anybody: it shall not be known before there is a message to sign. */
export interface PresignatureInfo {
  readonly presignature_id: string;
  readonly wallet_id: string;
  readonly signers: readonly NodeId[];
  readonly epoch: number;
  readonly created_at: string;
  readonly generation_time_ms: number;
}

/** A key's shares at this node. */
export interface KeyStatus {
  readonly wallet_id: string;
  readonly epoch: number;
  /** False at a node that the key has left. */
  readonly holds_share: boolean;
  /** prepared: a new share waits for its certificate. committed: the new shares are in force, the old ones kept. erased: destroyed. */
  readonly state: 'active' | 'prepared' | 'committed' | 'erased';
  readonly threshold: number | null;
  readonly nodes: readonly NodeId[];
  readonly next_epoch: number | null;
  /** New members that said that they have stored the certificate of this epoch. */
  readonly committed_nodes: readonly NodeId[];
  /** Earlier epochs whose shares are still here. */
  readonly old_shares: readonly number[];
  /** Old members that say, signed, that their share of the epoch before is destroyed; those that could be asked. */
  readonly erased_nodes: readonly NodeId[];
  /** n − t + 1: with so many of them a node that left cannot bring the old key together any more. Null when the key was never changed. */
  readonly erasures_needed: number | null;
}

export interface CeremonyInfo {
  readonly id: string;
  readonly kind: 'aux' | 'dkg' | 'presign' | 'refresh' | 'reshare';
  readonly protocol: Protocol;
  readonly wallet_id: string | null;
  readonly status: 'running' | 'completed' | 'failed';
  readonly participants: readonly NodeId[];
  readonly culprits: readonly NodeId[];
  readonly error: string | null;
  /** What it is doing now, and how far: safe primes 3 of 4, proofs 5 of 12 …; of a round of messages its name, 0 of 0. */
  readonly progress: { readonly step: string; readonly done: number; readonly total: number } | null;
  readonly started_at: string;
  readonly ended_at: string | null;
}

export interface Health {
  readonly status: 'healthy' | 'degraded' | 'critical';
  readonly version: string;
  readonly node_id: NodeId;
  readonly time: string;
  readonly uptime_seconds: number;
  readonly peers_connected: number;
  readonly peer_count: number;
  readonly pool_size: number;
  readonly postgres_connected: boolean;
  readonly bitcoin_connected: boolean;
  readonly kernel: string;
}

export interface Page {
  readonly limit: number;
  readonly offset: number;
}

export interface WalletService {
  health(): Promise<Health>;
  clusterStatus(): Promise<ClusterStatus>;
  clusterNodes(): Promise<readonly ClusterNode[]>;
  createWallet(request: {
    name?: string;
    protocol: Protocol;
    /** The usual one of the protocol when absent. */
    address_type?: AddressType;
    threshold?: number;
    total_nodes?: number;
  }): Promise<WalletInfo>;
  wallets(): Promise<readonly WalletInfo[]>;
  wallet(walletId: string): Promise<WalletInfo>;
  balance(walletId: string): Promise<Balance>;
  utxos(walletId: string): Promise<readonly Utxo[]>;
  /** A receiving address that nobody was given before, or with `index` that one. Account 0 when absent. */
  newAddress(walletId: string, wanted: { account?: number; index?: number }): Promise<AddressInfo>;
  /** The receiving address of that account and index, in use or not. Changes nothing. */
  addressAt(walletId: string, account: number, index: number): Promise<AddressInfo>;
  /** The addresses in use. */
  addresses(
    walletId: string,
    filter: Page & { account?: number },
  ): Promise<{ readonly items: readonly AddressInfo[]; readonly total: number }>;
  descriptor(walletId: string, account: number): Promise<DescriptorInfo>;
  /** Returns once the payment is broadcast, or has failed; its record says which. */
  send(walletId: string, request: SendRequest): Promise<TransactionInfo>;
  /** By the wallet's own id or by Bitcoin txid. */
  transaction(id: string): Promise<TransactionInfo>;
  transactions(
    filter: Page & { wallet_id?: string; state?: TransactionState },
  ): Promise<{ readonly items: readonly TransactionInfo[]; readonly total: number }>;
  votes(txId: string): Promise<VotesInfo>;
  poolStatus(walletId?: string): Promise<readonly PoolStatus[]>;
  /** Ready ones at this node, oldest first; none of their content. */
  presignatures(walletId: string): Promise<readonly PresignatureInfo[]>;
  /** Ends between two batches when the signal says so; what is made by then stays. */
  generatePresignatures(
    walletId: string,
    count: number,
    signal?: AbortSignal,
  ): Promise<{ readonly generated: number; readonly new_pool_size: number; readonly duration_ms: number }>;
  keyStatus(walletId: string): Promise<KeyStatus>;
  /** New shares for the same nodes; all of them take part. */
  refreshKey(walletId: string): Promise<KeyStatus>;
  /** The same key for other nodes or another threshold. Every old and new node's operator has agreed before. */
  reshareKey(walletId: string, change: { threshold: number; nodes: readonly NodeId[] }): Promise<KeyStatus>;
  /** This node's operator agrees to a resharing, for a day. `public_key` at a node that does not hold the key yet. */
  agreeToReshare(walletId: string, change: { threshold: number; nodes: readonly NodeId[]; public_key?: string }): Promise<void>;
  /** Destroys old shares although a new node never said that it is committed. */
  eraseOldShares(walletId: string): Promise<KeyStatus>;
  ceremonies(): Promise<readonly CeremonyInfo[]>;
  /** Live events until the signal ends it. */
  events(signal: AbortSignal): AsyncIterable<WalletEvent>;
}

export type WalletEvent =
  | { readonly type: 'transaction'; readonly transaction: TransactionInfo; readonly previous: TransactionState | null }
  | { readonly type: 'vote'; readonly tx_id: string; readonly vote: VoteInfo }
  | { readonly type: 'ceremony'; readonly ceremony: CeremonyInfo }
  | { readonly type: 'pool'; readonly pool: PoolStatus }
  | { readonly type: 'peer'; readonly node_id: NodeId; readonly status: string };
