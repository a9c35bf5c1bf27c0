/**
 * The audit log and the violations: append-only, each row hashed together with its predecessor. The head of each chain is kept apart, so
 * that cutting off the end shows too. Rows enter the log in the database itself, in the transaction that changes the state they tell of.
 *
 * Row hash = SHA-256 of the row's fields as text, each as "<bytes>:<text>,": previous hash, seq, microseconds since the epoch, and the
 * columns named in the trigger. The same is computed in audit.ts.
 */
import type { Migration } from './migration.ts';

export const audit: Migration = {
  version: 2,
  name: 'audit',
  sql: `
create table chain_heads (
  chain  text primary key,
  seq    bigint not null,
  hash   text not null
);
insert into chain_heads values ('audit_log', 0, repeat('0', 64)), ('byzantine_violations', 0, repeat('0', 64));

create table audit_log (
  seq        bigint primary key,
  at         timestamptz not null,
  actor      text not null,
  action     text not null check (length(action) between 1 and 100),
  subject    text not null check (length(subject) <= 200),
  detail     jsonb not null check (jsonb_typeof(detail) = 'object'),
  prev_hash  text not null,
  hash       text not null unique
);
create index audit_log_by_subject on audit_log (subject, seq);

create table byzantine_violations (
  seq        bigint primary key,
  at         timestamptz not null,
  node_id    text not null check (node_id ~ '^[A-Za-z0-9._-]{1,64}$'),
  kind       text not null check (length(kind) between 1 and 100),
  session    text not null check (session ~ '^([0-9a-f]{64})?$'),
  round      text not null check (length(round) <= 64),
  evidence   jsonb not null constraint byzantine_violations_evidence check (jsonb_typeof(evidence) = 'object'),
  prev_hash  text not null,
  hash       text not null unique
);
create index byzantine_violations_by_node on byzantine_violations (node_id, seq);

create function chain_field(value text) returns text language sql immutable as $$
  select octet_length(convert_to(coalesce(value, ''), 'UTF8')) || ':' || coalesce(value, '') || ','
$$;

-- Runs with the owner's rights: the application role cannot touch chain_heads by itself. The row lock on the head serialises writers.
create function chain_append() returns trigger language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  head chain_heads%rowtype;
  fields text;
begin
  select * into strict head from public.chain_heads where chain = tg_table_name for update;
  new.seq := head.seq + 1;
  new.at := clock_timestamp();
  new.prev_hash := head.hash;
  fields := public.chain_field(new.prev_hash) || public.chain_field(new.seq::text)
         || public.chain_field((extract(epoch from new.at) * 1000000)::bigint::text);
  if tg_table_name = 'audit_log' then
    fields := fields || public.chain_field(new.actor) || public.chain_field(new.action) || public.chain_field(new.subject)
           || public.chain_field(new.detail::text);
  else
    fields := fields || public.chain_field(new.node_id) || public.chain_field(new.kind) || public.chain_field(new.session)
           || public.chain_field(new.round) || public.chain_field(new.evidence::text);
  end if;
  new.hash := encode(sha256(convert_to(fields, 'UTF8')), 'hex');
  update public.chain_heads set seq = new.seq, hash = new.hash where chain = tg_table_name;
  return new;
end $$;

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger audit_log_append before insert on audit_log for each row execute function chain_append();
create trigger audit_log_fixed before update or delete or truncate on audit_log for each statement execute function refuse_change();
create trigger byzantine_violations_append before insert on byzantine_violations for each row execute function chain_append();
create trigger byzantine_violations_fixed before update or delete or truncate on byzantine_violations for each statement execute function refuse_change();

create function audit(action text, subject text, detail jsonb) returns void language sql as $$
  insert into public.audit_log (actor, action, subject, detail) values (coalesce(nullif(current_setting('application_name'), ''), current_user), action, subject, detail)
$$;

-- A payment's life: final states are final, coins go free with them, and each step is in the log.
create function transaction_step() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if old.state in ('confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine') and new.state <> old.state then
      raise exception 'transaction % is final (%)', old.tx_id, old.state using errcode = 'check_violation', constraint = 'transactions_final';
    end if;
    new.updated_at := clock_timestamp();
  end if;
  return new;
end $$;
create trigger transactions_step before update on transactions for each row execute function transaction_step();

create function transaction_recorded() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform audit('transaction.' || new.state, new.tx_id::text, jsonb_build_object('from', null, 'wallet_id', new.wallet_id, 'txid', new.txid,
      'amount_sats', new.amount_sats, 'fee_sats', new.fee_sats));
  elsif new.state <> old.state then
    perform audit('transaction.' || new.state, new.tx_id::text, jsonb_strip_nulls(jsonb_build_object('from', old.state, 'txid', new.txid,
      'signing_mode', new.signing_mode, 'signers', new.signers, 'timings', new.timings, 'block_height', new.block_height, 'error', new.error)));
    if new.state in ('confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine') then
      update transaction_inputs set reserved = false where tx_id = new.tx_id and reserved;
    end if;
  end if;
  return null;
end $$;
create trigger transactions_recorded after insert or update on transactions for each row execute function transaction_recorded();

create function vote_recorded() returns trigger language plpgsql as $$
begin
  perform audit('vote.' || new.value, (select tx_id::text from voting_rounds where proposal = new.proposal),
    jsonb_build_object('proposal', new.proposal, 'node_id', new.node_id, 'reason', new.reason, 'signature', new.signature));
  update node_status set votes = votes + 1 where node_id = new.node_id;
  return null;
end $$;
create trigger votes_recorded after insert on votes for each row execute function vote_recorded();

create function voting_round_recorded() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform audit('voting.started', new.tx_id::text, jsonb_build_object('proposal', new.proposal, 'quorum', new.quorum, 'total_nodes', new.total_nodes));
  elsif new.result <> old.result then
    perform audit('voting.' || new.result, new.tx_id::text, jsonb_build_object('proposal', new.proposal));
  end if;
  return null;
end $$;
create trigger voting_rounds_recorded after insert or update on voting_rounds for each row execute function voting_round_recorded();

create function violation_recorded() returns trigger language plpgsql as $$
begin
  perform audit('violation.' || new.kind, new.node_id, jsonb_build_object('violation', new.seq, 'session', new.session, 'round', new.round, 'hash', new.hash));
  update node_status set violations = violations + 1 where node_id = new.node_id;
  return null;
end $$;
create trigger byzantine_violations_recorded after insert on byzantine_violations for each row execute function violation_recorded();

create function ceremony_recorded() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' or new.status <> old.status then
    perform audit('ceremony.' || new.status, new.ceremony_id, jsonb_strip_nulls(jsonb_build_object('kind', new.kind, 'protocol', new.protocol,
      'wallet_id', new.wallet_id, 'participants', new.participants, 'culprits', new.culprits, 'error', new.error)));
  end if;
  return null;
end $$;
create trigger ceremonies_recorded after insert or update on ceremonies for each row execute function ceremony_recorded();

create function wallet_recorded() returns trigger language plpgsql as $$
begin
  perform audit('wallet.created', new.wallet_id, jsonb_build_object('protocol', new.protocol, 'threshold', new.threshold, 'total_nodes', new.total_nodes,
    'public_key', new.public_key, 'address', new.address, 'network', new.network));
  return null;
end $$;
create trigger wallets_recorded after insert on wallets for each row execute function wallet_recorded();

create function presignature_recorded() returns trigger language plpgsql as $$
begin
  perform audit('presignature.' || new.outcome, new.presignature_id, jsonb_strip_nulls(jsonb_build_object('wallet_id', new.wallet_id, 'tx_id', new.tx_id, 'signers', new.signers)));
  return null;
end $$;
create trigger presignature_usage_recorded after insert on presignature_usage for each row execute function presignature_recorded();
`,
};
