/**
 * The main job of a first start: keys, auxiliary information, a few presignatures, two funded wallets, one payment from P2WPKH (CGGMP24) and one
 * from P2TR (FROST), each through REST, votes, threshold signature, broadcast and confirmation. What an earlier start has done is not repeated.
 */
import { randomUUID } from 'node:crypto';
import type { CeremonyInfo, Protocol, TransactionInfo, VotesInfo, WalletInfo } from '../wallet/types.ts';
import type { DevnetClient } from './client.ts';
import { seconds, type Display } from './display.ts';
import type { ClusterFile } from './layout.ts';

interface MainJob {
  readonly client: DevnetClient;
  readonly cluster: ClusterFile;
  readonly display: Display;
  readonly presignatures: number;
  readonly signal: AbortSignal;
}
interface Payment {
  readonly transaction: TransactionInfo;
  readonly votes: VotesInfo;
  readonly requestMs: number;
  readonly confirmMs: number;
}

const FUND_SATS = 10_000_000;
const PAYMENT_SATS = 250_000;

export async function runMainJob({ client, cluster, display, presignatures, signal }: MainJob): Promise<void> {
  const stages: [string, number][] = [];
  const stage = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    const begin = Date.now();
    const result = await withProgress(client, display, signal, work);
    stages.push([name, Date.now() - begin]);
    display.line(`${name}: done in ${seconds(Date.now() - begin)}`);
    return result;
  };

  const existing = await client.wallets();
  const wallet = async (protocol: Protocol, what: string): Promise<WalletInfo> =>
    existing.find((w) => w.protocol === protocol) ??
    (await stage(what, () => client.create(protocol === 'frost' ? 'taproot' : 'segwit', protocol)));
  const taproot = await wallet('frost', 'FROST key generation (P2TR)');
  const segwit = await wallet('cggmp24', 'CGGMP24 key generation and auxiliary information (P2WPKH): safe primes and proofs');

  const level = (await client.pool(segwit.wallet_id))?.available ?? 0;
  const wanted = Math.min(presignatures, Math.max(0, presignatures - level));
  if (wanted > 0) await stage(`${wanted} presignatures`, () => client.generate(segwit.wallet_id, wanted));
  else display.line(`pool: ${level} presignatures ready`);

  await stage('funding both wallets on the regtest chain', async () => {
    for (const w of [segwit, taproot]) await client.fund(w.address, FUND_SATS);
    await client.mine(1);
  });
  const payments = [
    await stage('payment from P2WPKH to P2TR', () => pay(client, segwit, taproot.address)),
    await stage('payment from P2TR to P2WPKH', () => pay(client, taproot, segwit.address)),
  ];
  display.progress('');
  display.block(summary({ cluster, wallets: [segwit, taproot], payments, stages, elapsedMs: display.elapsedMs }));
}

async function pay(client: DevnetClient, from: WalletInfo, to: string): Promise<Payment> {
  const begin = Date.now();
  const sent = await client.send(from.wallet_id, { recipients: [{ address: to, amount_sats: PAYMENT_SATS }] }, randomUUID());
  const requestMs = Date.now() - begin;
  if (!['broadcast', 'confirmed'].includes(sent.state))
    throw new Error(`payment ${sent.tx_id} ended as ${sent.state}: ${sent.error ?? 'no reason given'}`);
  for (const deadline = Date.now() + 60_000; ;) {
    const transaction = await client.transaction(sent.tx_id);
    if (transaction.state === 'confirmed')
      return { transaction, votes: await client.votes(sent.tx_id), requestMs, confirmMs: Date.now() - begin };
    if (Date.now() > deadline) throw new Error(`payment ${sent.tx_id} was broadcast as ${sent.txid} but not confirmed within a minute`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs `work` and shows meanwhile what the nodes say of their ceremonies. */
async function withProgress<T>(client: DevnetClient, display: Display, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const finished = new AbortController();
  const watch = (async () => {
    while (!finished.signal.aborted && !signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const running = await client.ceremonies();
      if (!finished.signal.aborted) display.progress(describe(running));
    }
  })();
  try {
    return await work();
  } finally {
    finished.abort();
    await watch;
    display.progress('');
  }
}

/** `safe primes 9/20 · prove fac 3/4 …`: the sum over the nodes of each step that any of them is at. */
function describe(running: readonly { node: string; ceremony: CeremonyInfo }[]): string {
  const steps = new Map<string, { done: number; total: number; nodes: number }>();
  for (const { ceremony } of running) {
    const { step, done, total } = ceremony.progress ?? { step: 'rounds', done: 0, total: 0 };
    const sum = steps.get(step) ?? { done: 0, total: 0, nodes: 0 };
    steps.set(step, { done: sum.done + done, total: sum.total + total, nodes: sum.nodes + 1 });
  }
  return [...steps]
    .map(([step, { done, total, nodes }]) => `${step}${total > 0 ? ` ${done}/${total}` : ''} (${nodes} ${nodes === 1 ? 'node' : 'nodes'})`)
    .join(' · ');
}

function summary(job: {
  cluster: ClusterFile;
  wallets: readonly WalletInfo[];
  payments: readonly Payment[];
  stages: readonly [string, number][];
  elapsedMs: number;
}): string {
  const rule = '─'.repeat(100);
  const lines = [rule, `Threshold Wallet: ${job.cluster.threshold}-of-${job.cluster.nodes.length} on regtest, the key exists nowhere`, ''];
  for (const w of job.wallets) lines.push(`  ${w.name.padEnd(8)} ${w.protocol.padEnd(8)} ${w.address_type.padEnd(7)} ${w.address}`);
  for (const { transaction: t, votes, requestMs, confirmMs } of job.payments) {
    const yes = votes.votes.filter((vote) => vote.value === 'approve').map((vote) => vote.node_id);
    const no = votes.votes.filter((vote) => vote.value === 'reject').map((vote) => vote.node_id);
    const ms = (n: number | undefined) => (n === undefined ? '–' : seconds(n));
    lines.push(
      '',
      `  payment  ${t.recipients.map((r) => `${r.amount_sats} sat to ${r.address}`).join(', ')}, fee ${t.fee_sats} sat (${t.vsize} vB)`,
      `  txid     ${t.txid}, ${t.state} at height ${t.block_height ?? '?'}`,
      `  voted    yes: ${yes.join(' ')}${no.length > 0 ? `  no: ${no.join(' ')}` : ''} (quorum ${votes.quorum})`,
      `  signed   ${t.signers.join(' ')} (${t.signing_mode ?? '?'})`,
      `  times    build ${ms(t.timings.build)}, vote ${ms(t.timings.vote)}, sign ${ms(t.timings.sign)}, broadcast ${ms(t.timings.broadcast)}; request ${seconds(requestMs)}, confirmed after ${seconds(confirmMs)}`,
    );
  }
  lines.push(
    '',
    ...job.stages.map(([name, ms]) => `  ${seconds(ms).padStart(8)}  ${name}`),
    `  ${seconds(job.elapsedMs).padStart(8)}  in all`,
    rule,
  );
  return lines.join('\n');
}
