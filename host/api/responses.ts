/**
 * What answers hold. They are filters as well as documentation: a member that is not named here does not leave the node. Forms of strings are
 * not checked on the way out, so that a payment that was made is never answered with an error about its description.
 */
import { z } from 'zod';
import { ADDRESS_TYPES, TRANSACTION_STATES } from '../wallet/types.ts';

const count = z.int();
const protocol = z.enum(['cggmp24', 'frost']);
const addressType = z.enum([...ADDRESS_TYPES.cggmp24, ...ADDRESS_TYPES.frost]);
const network = z.enum(['mainnet', 'testnet', 'signet', 'regtest']);
const state = z.enum(TRANSACTION_STATES);
const time = z.string().describe('ISO 8601');
const level = z.enum(['healthy', 'degraded', 'critical']);

export const health = z
  .object({
    status: level,
    version: z.string(),
    node_id: z.string(),
    time,
    uptime_seconds: z.number(),
    peers_connected: count,
    peer_count: count,
    pool_size: count,
    postgres_connected: z.boolean(),
    bitcoin_connected: z.boolean(),
    kernel: z.string().describe('The arithmetic kernel in use.'),
  })
  .meta({ id: 'Health' });
export const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()), health });

export const wallet = z
  .object({
    wallet_id: z.string(),
    name: z.string(),
    protocol,
    address_type: addressType,
    threshold: count,
    total_nodes: count,
    public_key: z.string(),
    address: z.string(),
    network,
    created_at: time,
  })
  .meta({ id: 'Wallet' });
export const wallets = z.object({ wallets: z.array(wallet) });
export const created = z.union([wallet, wallets]);
export const address = wallet.pick({ wallet_id: true, address: true, address_type: true, public_key: true, network: true });

const place = {
  path: z.string().describe("m for the wallet's own address, m/account/chain/index for others."),
  account: count.nullable(),
  chain: z.enum(['receive', 'change']).nullable(),
  index: count.nullable(),
};
export const derivedAddress = z
  .object({ wallet_id: z.string(), address: z.string(), address_type: addressType, network, ...place })
  .meta({ id: 'Address' });
/** The key is that of the own address only. */
export const walletAddress = derivedAddress.extend({ public_key: z.string().optional() });
export const derivedAddresses = z.object({ addresses: z.array(derivedAddress), total: count, limit: count, offset: count });
export const descriptor = z.object({
  wallet_id: z.string(),
  network,
  extended_public_key: z.string().describe('BIP-32. Shows every address of the wallet, of all accounts.'),
  own: z.string().describe("Descriptor of the wallet's own address."),
  account: count,
  receive: z.string().describe('Descriptor of the receiving addresses of the account.'),
  change: z.string().describe('Descriptor of its change addresses.'),
});

export const balance = z.object({
  wallet_id: z.string(),
  confirmed: count,
  unconfirmed: count,
  reserved: count.describe('Part of confirmed that pending payments have reserved.'),
  total_utxos: count,
});

export const utxos = z.object({
  wallet_id: z.string(),
  utxos: z.array(
    z.object({
      txid: z.string(),
      vout: count,
      value: count,
      address: z.string(),
      path: z.string().describe("m for the wallet's own address."),
      confirmations: count,
      reserved: z.boolean(),
    }),
  ),
});

export const transaction = z
  .object({
    tx_id: z.string().describe("The wallet's own id of the payment."),
    wallet_id: z.string(),
    txid: z.string().describe('Bitcoin transaction id.'),
    state,
    status: state.describe('The same as state.'),
    protocol,
    signing_mode: z.enum(['pool', 'interactive', 'frost']).nullable(),
    recipient: z.string().nullable().describe('The recipient, when there is one.'),
    amount_sats: count.describe('Sum over the recipients.'),
    recipients: z.array(z.object({ address: z.string(), amount_sats: count })),
    fee_sats: count,
    fee_rate: z.number(),
    vsize: z.number(),
    metadata: z.string().nullable(),
    signers: z.array(z.string()),
    timings: z
      .object({ build: z.number().optional(), vote: z.number().optional(), sign: z.number().optional(), broadcast: z.number().optional() })
      .describe('Milliseconds of each stage that has ended.'),
    signing_time_ms: z.number().nullable().describe('The same as timings.sign.'),
    confirmations: count,
    block_height: count.nullable(),
    error: z.string().nullable(),
    raw: z.string().nullable(),
    explorer_url: z.string().nullable(),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Transaction' });
export const transactions = z.object({ transactions: z.array(transaction), total: count, limit: count, offset: count });

const vote = z.object({
  node_id: z.string(),
  value: z.enum(['approve', 'reject']),
  reason: z.string(),
  timestamp: time,
  signature: z.string(),
});
export const votes = z.object({
  tx_id: z.string(),
  proposal: z.string(),
  quorum: count,
  threshold: count.describe('The same as quorum.'),
  total_nodes: count,
  votes_received: count,
  result: z.enum(['pending', 'approved', 'rejected', 'timed_out']),
  votes: z.array(vote),
});

export const clusterStatus = z.object({
  node_id: z.string(),
  total_nodes: count,
  healthy_nodes: count,
  threshold: count,
  status: level,
  network,
  kernel: z.string(),
  primes_ready: count.describe('Safe primes in stock for the next auxiliary information, which takes four.'),
  timestamp: time,
});
export const clusterNodes = z.object({
  nodes: z.array(
    z.object({
      node_id: z.string(),
      status: z.enum(['self', 'active', 'degraded', 'connecting', 'dead', 'idle']),
      address: z.string(),
      last_seen: time.nullable(),
      last_heartbeat: time.nullable().describe('The same as last_seen.'),
      seconds_since_heartbeat: z.number().nullable(),
      rtt_ms: z.number().nullable(),
      bytes_in: count.describe('Of frames from it since this node was started, without what QUIC adds.'),
      bytes_out: count,
      problem: z.string().nullable(),
    }),
  ),
});

const pool = z
  .object({
    wallet_id: z.string(),
    enabled: z.boolean().describe('False where the pool is switched off.'),
    available: count.describe('Ready at this node, which has a part in t of n of all.'),
    in_use: count,
    used: count,
    failed: count,
    expired: count,
    empty: count.describe('Payments that found no presignature, since the node was started.'),
    target: count.describe('Of the whole pool, like low and max_size.'),
    low: count,
    max_size: count,
    utilization_percent: z.number(),
    is_healthy: z.boolean().describe('Not below low.'),
    is_critical: z.boolean().describe('Below half of low.'),
    generating: z.boolean(),
    generation_rate: z.number().describe('Per minute, over the last hour.'),
    hourly_usage: count.nullable().describe('From the records, like the totals; null while they cannot be read.'),
    total_used: count.nullable(),
    total_failed: count.nullable(),
    total_generated: count.nullable(),
    sets: z.array(z.object({ signers: z.array(z.string()), ready: count, blocked: z.boolean() })),
  })
  .meta({ id: 'Pool' });
export const pools = z.object({ pools: z.array(pool) });
export const presignatures = z.object({
  wallet_id: z.string(),
  presignatures: z.array(
    z.object({
      presignature_id: z.string(),
      wallet_id: z.string(),
      signers: z.array(z.string()),
      epoch: count,
      created_at: time,
      generation_time_ms: count,
    }),
  ),
});
export const generated = z.object({ wallet_id: z.string(), generated: count, new_pool_size: count, duration_ms: z.number() });

export const keyStatus = z
  .object({
    wallet_id: z.string(),
    epoch: count,
    holds_share: z.boolean(),
    state: z.enum(['active', 'prepared', 'committed', 'erased']),
    threshold: count.nullable(),
    nodes: z.array(z.string()),
    next_epoch: count.nullable(),
    committed_nodes: z.array(z.string()),
    old_shares: z.array(count),
    erased_nodes: z.array(z.string()),
    erasures_needed: count.nullable(),
  })
  .meta({ id: 'KeyStatus' });
export const agreed = z.object({ wallet_id: z.string(), threshold: count, nodes: z.array(z.string()) });

const ceremony = z
  .object({
    id: z.string(),
    kind: z.enum(['aux', 'dkg', 'presign', 'refresh', 'reshare']),
    protocol,
    wallet_id: z.string().nullable(),
    status: z.enum(['running', 'completed', 'failed']),
    participants: z.array(z.string()),
    culprits: z.array(z.string()),
    error: z.string().nullable(),
    progress: z.object({ step: z.string(), done: z.number(), total: z.number() }).nullable(),
    started_at: time,
    ended_at: time.nullable(),
  })
  .meta({ id: 'Ceremony' });
export const ceremonies = z.object({ ceremonies: z.array(ceremony) });

export const event = z.discriminatedUnion('type', [
  z.object({ type: z.literal('transaction'), transaction, previous: state.nullable() }),
  z.object({ type: z.literal('vote'), tx_id: z.string(), vote }),
  z.object({ type: z.literal('ceremony'), ceremony }),
  z.object({ type: z.literal('pool'), pool }),
  z.object({ type: z.literal('peer'), node_id: z.string(), status: z.string() }),
]);

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: count,
    detail: z.string(),
    instance: z.string(),
    code: z.string(),
    field: z.string().optional(),
    remedy: z.string().optional(),
    culprits: z.array(z.string()).optional(),
    transaction: transaction.optional(),
    trace_id: z.string(),
  })
  .meta({ id: 'Problem' });
