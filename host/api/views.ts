/** The wallet's records as the API shows them: the same members, and the names that clients of older interfaces look for. */
import type { z } from 'zod';
import type { ClusterNode, Health, NetworkName, TransactionInfo, VotesInfo } from '../wallet/types.ts';
import type * as responses from './responses.ts';

/** Public block explorers by network; a regtest chain has none. */
const EXPLORERS: Readonly<Record<NetworkName, string | null>> = {
  mainnet: 'https://blockstream.info/tx/',
  testnet: 'https://blockstream.info/testnet/tx/',
  signet: 'https://mempool.space/signet/tx/',
  regtest: null,
};

export function transactionView(info: TransactionInfo, network: NetworkName): z.input<typeof responses.transaction> {
  const explorer = EXPLORERS[network];
  const [only, ...others] = info.recipients;
  return {
    ...info,
    status: info.state,
    recipient: only !== undefined && others.length === 0 ? only.address : null,
    amount_sats: info.recipients.reduce((sum, recipient) => sum + recipient.amount_sats, 0),
    recipients: [...info.recipients],
    signers: [...info.signers],
    signing_time_ms: info.timings.sign ?? null,
    explorer_url: explorer === null || info.txid === '' ? null : explorer + info.txid,
  };
}

export function votesView(info: VotesInfo): z.input<typeof responses.votes> {
  return { ...info, threshold: info.quorum, votes_received: info.votes.length, votes: [...info.votes] };
}

export function nodeView(node: ClusterNode, now: number): z.input<typeof responses.clusterNodes>['nodes'][number] {
  const seconds = node.last_seen === null ? null : Math.max(0, Math.round((now - Date.parse(node.last_seen)) / 100) / 10);
  return { ...node, last_heartbeat: node.last_seen, seconds_since_heartbeat: seconds };
}

/** Why a load balancer should not send work here; empty when it should. */
export function unreadiness(health: Health): string[] {
  const reasons: string[] = [];
  if (health.status === 'critical') reasons.push('fewer nodes than the threshold are connected');
  if (!health.postgres_connected) reasons.push('the database is not connected');
  return reasons;
}
