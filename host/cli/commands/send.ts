/** `send`: shows what would be paid, asks, pays. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import { Refusal, Unavailable } from '../../base/errors.ts';
import { btc, parseBtc, parseSats, sats } from '../amounts.ts';
import type { ApiClient } from '../client.ts';
import { EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { record, type Cell } from '../table.ts';
import { action, feeRate, identifier } from './options.ts';
import { transactionTable } from './tx.ts';

type Transaction = z.output<typeof responses.transaction>;

interface SendOptions {
  readonly to: string;
  readonly amount?: number;
  readonly btc?: number;
  readonly wallet?: string;
  readonly feeRate?: number;
  readonly metadata?: string;
  readonly yes?: boolean;
  readonly idempotencyKey?: string;
}

export function registerSend(program: Command, io: Io): void {
  program
    .command('send')
    .description('pay: build, vote, sign, broadcast')
    .requiredOption('--to <address>', 'recipient')
    .option('--amount <sats>', 'whole satoshis', parseSats)
    .option('--btc <amount>', 'the amount in bitcoins instead, for example 0.001', parseBtc)
    .option('--wallet <id>', 'wallet that pays; the default wallet when absent', identifier('--wallet'))
    .option('--fee-rate <rate>', 'satoshis per virtual byte; the estimate when absent', feeRate)
    .option('--metadata <text>', 'public text of at most 80 bytes in the transaction (OP_RETURN)')
    .option('--idempotency-key <key>', 'the same key never pays twice; one is made when absent')
    .option('-y, --yes', 'pay without asking')
    .action(action(io, send));
}

async function send(session: Session, options: SendOptions): Promise<number> {
  const amount = amountOf(options);
  if (options.yes !== true && session.io.stdin.isTTY !== true) {
    throw new Refusal('cli.confirmation', '--yes', 'there is no terminal to confirm the payment on', 'add --yes to pay without asking');
  }
  const client = await session.client();
  const key = options.idempotencyKey ?? randomUUID();
  let wallet = options.wallet;
  if (options.yes !== true) {
    const previewed = await preview(session, client, options, amount, key);
    if (!(await session.confirm('Pay? [y/N] '))) {
      session.note('nothing was paid');
      return EXIT.failure;
    }
    // What was shown is what pays, even if the default changes in between.
    wallet = previewed;
  }
  session.note('building, voting, signing, broadcasting');
  const sent = await pay(client, wallet, { ...options, amount }, key);
  session.print(sent, () => transactionTable(session, sent));
  return EXIT.ok;
}

function amountOf({ amount, btc: inBitcoins }: SendOptions): number {
  if (amount !== undefined && inBitcoins !== undefined) {
    throw new Refusal('cli.option', '--btc', '--amount and --btc are both given', 'give one of them');
  }
  const value = amount ?? inBitcoins;
  if (value !== undefined) return value;
  throw new Refusal('cli.option', '--amount', 'the amount is missing', 'give --amount <satoshis> or --btc <bitcoins>');
}

/** Shows the payment on stderr. @returns the id of the wallet shown. */
async function preview(session: Session, client: ApiClient, options: SendOptions, amount: number, key: string): Promise<string> {
  const address = await client.get<z.output<typeof responses.address>>(walletPath(options.wallet, 'address'));
  const balance = await client.get<z.output<typeof responses.balance>>(`/api/v1/wallet/${address.wallet_id}/balance`);
  const rows: [string, Cell][] = [
    ['from wallet', `${address.wallet_id} (${address.address_type}, ${address.network})`],
    ['spendable', `${btc(balance.confirmed - balance.reserved)}  (${sats(balance.confirmed - balance.reserved)})`],
    ['to', options.to],
    ['amount', `${btc(amount)}  (${sats(amount)})`],
    [
      'fee',
      options.feeRate === undefined ? 'by the current estimate; known once built' : `${options.feeRate} sat/vB; sum known once built`,
    ],
    ...(options.metadata === undefined ? [] : [['public text', options.metadata] as [string, Cell]]),
    ['idempotency key', key],
  ];
  session.io.stderr.write(`${record(session.paint, rows)}\n`);
  return address.wallet_id;
}

const walletPath = (id: string | undefined, what: string) => (id === undefined ? `/api/v1/wallet/${what}` : `/api/v1/wallet/${id}/${what}`);

async function pay(
  client: ApiClient,
  wallet: string | undefined,
  options: SendOptions & { amount: number },
  key: string,
): Promise<Transaction> {
  const path = wallet === undefined ? '/api/v1/transactions' : `/api/v1/wallet/${wallet}/send`;
  const body = { recipient: options.to, amount_sats: options.amount, fee_rate: options.feeRate, metadata: options.metadata };
  try {
    return await client.post<Transaction>(path, body, { headers: { 'idempotency-key': key } });
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    // The request may have arrived: only the same key makes trying again safe.
    const remedy = `repeat the same command with --idempotency-key ${key}: it cannot pay twice`;
    throw new Unavailable(error.dependency, error.message, remedy, { cause: error });
  }
}
