/** How many addresses of each account of a wallet are in use. The addresses themselves are computed from the key, never stored. */
import type { Migration } from './migration.ts';

export const addresses: Migration = {
  version: 5,
  name: 'addresses',
  sql: `
-- Chain 0 receives, chain 1 takes change. next: the first index that is not in use yet; all below are looked at.
create table address_counters (
  wallet_id   text not null references wallets,
  account     bigint not null check (account between 0 and 2147483647),
  chain       integer not null check (chain in (0, 1)),
  next        bigint not null check (next between 1 and 2147483648),
  -- The node that asked for the latest of them.
  asked_by    text not null check (asked_by ~ '^[A-Za-z0-9._-]{1,64}$'),
  updated_at  timestamptz not null default now(),
  primary key (wallet_id, account, chain)
);

-- Backwards an address would be given out twice.
create function address_counter_step() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or new.next <= old.next or (new.wallet_id, new.account, new.chain) <> (old.wallet_id, old.account, old.chain) then
    raise exception 'address counters only rise' using errcode = 'check_violation', constraint = 'address_counters_rise';
  end if;
  new.updated_at := clock_timestamp();
  return new;
end $$;
create trigger address_counters_step before update or delete on address_counters for each row execute function address_counter_step();

create function address_counter_recorded() returns trigger language plpgsql as $$
begin
  perform audit(case new.chain when 0 then 'address.receive' else 'address.change' end, new.wallet_id,
    jsonb_build_object('account', new.account, 'next', new.next, 'asked_by', new.asked_by));
  return null;
end $$;
create trigger address_counters_recorded after insert or update on address_counters for each row execute function address_counter_recorded();
`,
};
