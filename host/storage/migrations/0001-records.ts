/** Wallets, payments, votes, ceremonies and what operators look at. No table holds a secret. */
import type { Migration } from './migration.ts';

export const records: Migration = {
  version: 1,
  name: 'records',
  sql: `
create table wallets (
  wallet_id     text primary key check (wallet_id ~ '^[A-Za-z0-9_-]{1,40}$'),
  name          text not null check (length(name) between 1 and 100),
  protocol      text not null check (protocol in ('cggmp24', 'frost')),
  address_type  text not null check (address_type in ('p2wpkh', 'p2tr')),
  threshold     integer not null,
  total_nodes   integer not null,
  public_key    text not null,
  address       text not null,
  network       text not null check (network in ('mainnet', 'testnet', 'signet', 'regtest')),
  created_at    timestamptz not null default now(),
  constraint wallets_threshold check (threshold between 2 and total_nodes and total_nodes <= 16),
  -- 33 bytes compressed, or 32 bytes x-only
  constraint wallets_public_key check (public_key ~ case protocol when 'cggmp24' then '^0[23][0-9a-f]{64}$' else '^[0-9a-f]{64}$' end),
  constraint wallets_address unique (network, address)
);

create table transactions (
  tx_id          uuid primary key,
  wallet_id      text not null references wallets,
  txid           text not null check (txid ~ '^[0-9a-f]{64}$'),
  state          text not null constraint transactions_state check (state in (
                   'created', 'voting', 'approved', 'signing', 'signed', 'broadcasting', 'broadcast',
                   'confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine')),
  protocol       text not null check (protocol in ('cggmp24', 'frost')),
  signing_mode   text check (signing_mode in ('pool', 'interactive', 'frost')),
  recipients     jsonb not null check (jsonb_typeof(recipients) = 'array' and jsonb_array_length(recipients) > 0),
  amount_sats    bigint not null constraint transactions_amount check (amount_sats > 0 and amount_sats <= 2100000000000000),
  fee_sats       bigint not null constraint transactions_fee check (fee_sats > 0 and fee_sats <= 2100000000000000),
  fee_rate       double precision not null check (fee_rate > 0),
  vsize          integer not null check (vsize > 0),
  metadata       text constraint transactions_metadata check (octet_length(metadata) between 1 and 80),
  signers        jsonb not null default '[]' check (jsonb_typeof(signers) = 'array'),
  timings        jsonb not null default '{}' check (jsonb_typeof(timings) = 'object'),
  confirmations  integer not null default 0 check (confirmations >= 0),
  block_height   integer check (block_height >= 0),
  error          text check (length(error) <= 2000),
  unsigned_tx    text not null check (unsigned_tx ~ '^([0-9a-f]{2})+$'),
  raw            text check (raw ~ '^([0-9a-f]{2})+$'),
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now()
);
create index transactions_by_state on transactions (state, created_at desc);
create index transactions_by_wallet on transactions (wallet_id, created_at desc);
create index transactions_by_time on transactions (created_at desc);
create index transactions_by_txid on transactions (txid);

-- The coins of a payment. reserved: held for it until it is final.
create table transaction_inputs (
  tx_id       uuid not null references transactions on delete restrict,
  position    integer not null check (position >= 0),
  txid        text not null check (txid ~ '^[0-9a-f]{64}$'),
  vout        bigint not null check (vout between 0 and 4294967295),
  value_sats  bigint not null check (value_sats > 0),
  reserved    boolean not null default true,
  primary key (tx_id, position)
);
create unique index transaction_inputs_one_holder on transaction_inputs (txid, vout) where reserved;

create table voting_rounds (
  proposal      text primary key check (proposal ~ '^[0-9a-f]{64}$'),
  tx_id         uuid not null references transactions,
  round_number  integer not null check (round_number >= 1),
  quorum        integer not null,
  total_nodes   integer not null check (total_nodes between 1 and 16),
  result        text not null default 'pending' check (result in ('pending', 'approved', 'rejected', 'timed_out')),
  started_at    timestamptz not null default now(),
  ended_at      timestamptz,
  unique (tx_id, round_number),
  -- two quorums always share a node
  constraint voting_rounds_quorum check (quorum * 2 > total_nodes and quorum <= total_nodes),
  constraint voting_rounds_ended check ((result = 'pending') = (ended_at is null))
);

create table votes (
  proposal     text not null references voting_rounds,
  node_id      text not null check (node_id ~ '^[A-Za-z0-9._-]{1,64}$'),
  value        text not null check (value in ('approve', 'reject')),
  reason       text not null check (length(reason) <= 500),
  signature    text not null check (signature ~ '^[0-9a-f]{128}$'),
  voted_at     timestamptz not null,
  received_at  timestamptz not null default now(),
  constraint votes_once primary key (proposal, node_id)
);

create table presignature_usage (
  presignature_id     text primary key check (presignature_id ~ '^[0-9a-f]{64}$'),
  wallet_id           text not null references wallets,
  tx_id               uuid references transactions,
  protocol            text not null check (protocol in ('cggmp24', 'frost')),
  signers             jsonb not null check (jsonb_typeof(signers) = 'array'),
  outcome             text not null check (outcome in ('used', 'failed')),
  generation_time_ms  integer not null check (generation_time_ms >= 0),
  used_at             timestamptz not null default now()
);
create index presignature_usage_by_wallet on presignature_usage (wallet_id, used_at desc);

create table node_status (
  node_id     text primary key check (node_id ~ '^[A-Za-z0-9._-]{1,64}$'),
  node_index  integer not null unique check (node_index >= 0),
  status      text not null check (status in ('self', 'active', 'degraded', 'connecting', 'dead', 'idle')),
  address     text not null,
  last_seen   timestamptz,
  rtt_ms      double precision check (rtt_ms >= 0),
  problem     text,
  votes       bigint not null default 0,
  violations  bigint not null default 0,
  updated_at  timestamptz not null default now()
);

create table ceremonies (
  ceremony_id   text primary key check (length(ceremony_id) between 1 and 80),
  kind          text not null check (kind in ('aux', 'dkg', 'presign')),
  protocol      text not null check (protocol in ('cggmp24', 'frost')),
  wallet_id     text,
  status        text not null check (status in ('running', 'completed', 'failed')),
  participants  jsonb not null check (jsonb_typeof(participants) = 'array'),
  culprits      jsonb not null default '[]' check (jsonb_typeof(culprits) = 'array'),
  error         text check (length(error) <= 2000),
  progress      jsonb check (jsonb_typeof(progress) = 'object'),
  started_at    timestamptz not null default now(),
  ended_at      timestamptz,
  constraint ceremonies_ended check ((status = 'running') = (ended_at is null))
);
create index ceremonies_by_time on ceremonies (started_at desc);

-- What a ceremony left in this node's vault: never the content, only what lets an operator check that it is there and unchanged.
create table sealed_objects (
  ceremony_id  text not null references ceremonies,
  party        integer not null check (party >= 0),
  kind         text not null check (kind in ('key-share', 'aux-info')),
  public_key   text check (public_key ~ '^([0-9a-f]{2}){32,33}$'),
  size_bytes   integer not null check (size_bytes > 0),
  digest       text not null check (digest ~ '^[0-9a-f]{64}$'),
  created_at   timestamptz not null default now(),
  primary key (ceremony_id, party, kind)
);

create table idempotency_keys (
  scope         text not null check (length(scope) between 1 and 100),
  key           text not null check (length(key) between 1 and 200),
  request_hash  text not null check (request_hash ~ '^[0-9a-f]{64}$'),
  tx_id         uuid references transactions,
  created_at    timestamptz not null default now(),
  primary key (scope, key)
);
`,
};
