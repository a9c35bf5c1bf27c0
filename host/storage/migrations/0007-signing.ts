/** A node that begins to sign does so in one statement: votes that it has heard last, what they decide, the new state, and the presignatures that are spent. */
import type { Migration } from './migration.ts';

export const signing: Migration = {
  version: 7,
  name: 'signing',
  sql: `
-- Enters votes (an array of rows of votes), then moves a payment to signing, past approved when this node has not counted the quorum itself. Without the
-- state before, and without a row, when it is in none of the states named; spent, an array of rows of presignature_usage, is entered only with the move.
create function sign_payment(payment uuid, decided_by text, heard jsonb, approvable text[], signable text[], mode text, by_nodes jsonb, spent jsonb)
returns table (before text, moved transactions, entered text[]) language plpgsql as $$
begin
  -- The payment before the audit log, which every row below appends to, and not its key: a presignature that is burnt meanwhile refers to the payment, and then
  -- appends too. In another order the two would wait for each other.
  select t.state into before from transactions t where t.tx_id = payment for no key update;
  with added as (
    insert into votes (proposal, node_id, value, reason, signature, voted_at)
      select v.proposal, v.node_id, v.value, v.reason, v.signature, v.voted_at from jsonb_populate_recordset(null::votes, heard) v
      on conflict on constraint votes_once do nothing returning node_id
  ) select coalesce(array_agg(added.node_id), '{}') into entered from added;
  if not coalesce(before = any (approvable || signable), false) then
    before := null;
    return next;
    return;
  end if;
  if before = any (approvable) then
    update voting_rounds set result = 'approved', ended_at = now() where proposal = decided_by and result = 'pending';
    update transactions set state = 'approved' where tx_id = payment;
  end if;
  update transactions t set state = 'signing', signing_mode = mode, signers = by_nodes where t.tx_id = payment returning t.* into moved;
  insert into presignature_usage (presignature_id, wallet_id, tx_id, protocol, signers, outcome, generation_time_ms)
    select u.presignature_id, u.wallet_id, u.tx_id, u.protocol, u.signers, u.outcome, u.generation_time_ms
    from jsonb_populate_recordset(null::presignature_usage, spent) u;
  return next;
end $$;
`,
};
