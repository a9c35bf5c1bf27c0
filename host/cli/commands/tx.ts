/** `tx status|list` and `votes` */
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import { TRANSACTION_STATES } from '../../wallet/types.ts';
import { btc, sats } from '../amounts.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { grid, record, type Cell } from '../table.ts';
import { ago, painted, plain } from '../text.ts';
import { action, identifier, integer, oneOf } from './options.ts';

type Transaction = z.output<typeof responses.transaction>;
type Transactions = z.output<typeof responses.transactions>;
type Votes = z.output<typeof responses.votes>;

interface ListOptions {
  readonly wallet?: string;
  readonly state?: string;
  readonly limit: number;
  readonly offset: number;
}

export function registerTransactions(program: Command, io: Io): void {
  const tx = program.command('tx').description('payments');
  const id = ['<tx>', "the payment's id or its Bitcoin txid", identifier('tx')] as const;
  tx.command('status')
    .description('one payment')
    .argument(...id)
    .action(action(io, status));
  tx.command('list')
    .description('payments, newest first')
    .option('--wallet <id>', 'of one wallet', identifier('--wallet'))
    .option('--state <state>', `in one state: ${TRANSACTION_STATES.join(', ')}`, oneOf('--state', TRANSACTION_STATES))
    .option('--limit <n>', 'at most so many', integer('--limit', 1, 100), 20)
    .option('--offset <n>', 'after so many', integer('--offset', 0, 1_000_000), 0)
    .action(action(io, list));
  program
    .command('votes')
    .description('the signed votes on a payment')
    .argument(...id)
    .action(action(io, votes));
}

/** The whole record of a payment. */
export function transactionTable({ paint, now }: Session, one: Transaction): string {
  const stages = Object.entries(one.timings).map(([stage, ms]) => `${stage} ${Math.round(ms ?? 0)} ms`);
  const rows: [string, Cell][] = [
    ['payment', one.tx_id],
    ['txid', one.txid === '' ? '–' : one.txid],
    ['state', { painted: painted(paint, one.state) }],
    ['wallet', `${one.wallet_id} (${one.protocol})`],
    ...one.recipients.map(({ address, amount_sats }): [string, Cell] => ['to', `${address}  ${btc(amount_sats)}  (${sats(amount_sats)})`]),
    ['fee', `${sats(one.fee_sats)} (${one.fee_rate} sat/vB, ${one.vsize} vB)`],
    ['signed by', one.signers.length === 0 ? '–' : `${one.signers.join(', ')} (${one.signing_mode ?? 'not yet'})`],
    ['stages', stages.length === 0 ? '–' : stages.join(', ')],
    ['confirmations', one.block_height === null ? one.confirmations : `${one.confirmations}, since block ${one.block_height}`],
    ['created', `${one.created_at} (${ago(one.created_at, now)})`],
  ];
  if (one.metadata !== null) rows.push(['public text', one.metadata]);
  if (one.error !== null) rows.push(['error', { painted: paint('red', plain(one.error)) }]);
  if (one.explorer_url !== null) rows.push(['explorer', one.explorer_url]);
  return record(paint, rows);
}

async function status(session: Session, _options: object, id: string): Promise<void> {
  const answer = await (await session.client()).get<Transaction>(`/api/v1/transactions/${id}`);
  session.print(answer, () => transactionTable(session, answer));
}

async function list(session: Session, { wallet, state, limit, offset }: ListOptions): Promise<void> {
  const query = { wallet_id: wallet, state, limit, offset };
  const answer = await (await session.client()).get<Transactions>('/api/v1/transactions', query);
  session.print(answer, () => {
    const table = grid(
      session.paint,
      ['payment', 'wallet', 'state', 'amount', 'fee', 'confirmations', 'created'],
      answer.transactions.map((one) => [
        one.tx_id,
        one.wallet_id,
        { painted: painted(session.paint, one.state) },
        sats(one.amount_sats),
        sats(one.fee_sats),
        one.confirmations,
        ago(one.created_at, session.now),
      ]),
      'no payments',
    );
    const last = answer.offset + answer.transactions.length;
    return answer.total > last ? `${table}\n${answer.total - last} more: --offset ${last}` : table;
  });
}

async function votes(session: Session, _options: object, id: string): Promise<void> {
  const answer = await (await session.client()).get<Votes>(`/api/v1/consensus/votes/${id}`);
  session.print(answer, () => {
    const table = grid(
      session.paint,
      ['node', 'vote', 'reason', 'at', 'signature'],
      answer.votes.map((vote) => [
        vote.node_id,
        { painted: painted(session.paint, vote.value) },
        vote.reason === '' ? '–' : vote.reason,
        vote.timestamp,
        `${vote.signature.slice(0, 16)}…`,
      ]),
      'no votes yet',
    );
    const result = painted(session.paint, answer.result);
    return `${table}\n${answer.votes_received} of ${answer.total_nodes} voted, ${answer.quorum} needed: ${result}`;
  });
}
