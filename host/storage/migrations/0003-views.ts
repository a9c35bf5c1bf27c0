/** Views for operators, under the names their documents use. */
import type { Migration } from './migration.ts';

export const views: Migration = {
  version: 3,
  name: 'views',
  sql: `
create view voting_rounds_v as
select r.proposal, r.tx_id, t.txid, r.round_number, r.quorum, r.total_nodes, r.result, r.started_at, r.ended_at,
       count(v.node_id) filter (where v.value = 'approve') as approvals,
       count(v.node_id) filter (where v.value = 'reject') as rejections,
       coalesce(jsonb_agg(jsonb_build_object('node_id', v.node_id, 'value', v.value, 'reason', v.reason, 'signature', v.signature, 'voted_at', v.voted_at)
                          order by v.node_id) filter (where v.node_id is not null), '[]') as vote_data
from voting_rounds r
join transactions t using (tx_id)
left join votes v using (proposal)
group by r.proposal, t.txid;

create view transaction_summary as
select t.tx_id, t.wallet_id, t.txid, t.state, t.protocol, t.signing_mode, t.amount_sats, t.fee_sats, t.fee_rate, t.confirmations, t.error,
       coalesce(r.approvals, 0) as approvals, coalesce(r.rejections, 0) as rejections, r.quorum,
       extract(epoch from t.updated_at - t.created_at) * 1000 as duration_ms, t.created_at, t.updated_at
from transactions t
left join lateral (select * from voting_rounds_v v where v.tx_id = t.tx_id order by v.round_number desc limit 1) r on true;

create view node_health as
select node_id, node_index, status, address, last_seen, extract(epoch from now() - last_seen) as silent_seconds, rtt_ms, votes, violations, problem
from node_status
order by node_index;
`,
};
