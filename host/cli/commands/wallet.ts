/** `wallet create|list|balance|utxos` */
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import { btc, sats } from '../amounts.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { grid, record } from '../table.ts';
import { ago } from '../text.ts';
import { registerAddresses } from './addresses.ts';
import { action, identifier, integer, oneOf } from './options.ts';

type Wallet = z.output<typeof responses.wallet>;
type Created = z.output<typeof responses.created>;
type Address = z.output<typeof responses.address>;
type Balance = z.output<typeof responses.balance>;
type Utxos = z.output<typeof responses.utxos>;

interface CreateOptions {
  readonly name?: string;
  readonly protocol?: string;
  readonly addressType?: string;
  readonly threshold?: number;
  readonly totalNodes?: number;
  readonly total?: number;
}

export function registerWallet(program: Command, io: Io): void {
  const wallet = program.command('wallet').description('wallets: create them, and read what they hold');

  creating(wallet.command('create').description('create a wallet: the nodes generate its key together'), io);

  wallet.command('list').description('wallets this token covers').action(action(io, list));

  for (const [name, description, work] of [
    ['balance', 'balance of a wallet', balance],
    ['utxos', 'unspent outputs', utxos],
  ] as const) {
    wallet
      .command(name)
      .description(description)
      .argument('[wallet]', 'wallet id; the default wallet when absent', identifier('wallet'))
      .option('--wallet <id>', 'the same as an option', identifier('--wallet'))
      .action(action(io, work));
  }
  registerAddresses(wallet, io);
}

/** The options and the work of a command that makes a key. */
export function creating(command: Command, io: Io): void {
  command
    .option('--name <text>', 'name for people')
    .option(
      '--protocol <protocol>',
      'cggmp24 (ECDSA; the default), frost (Schnorr), or both: two wallets',
      oneOf('--protocol', ['cggmp24', 'frost', 'both']),
    )
    .option(
      '--address-type <type>',
      'p2wpkh (the usual of cggmp24), p2wsh (cggmp24) or p2tr (frost)',
      oneOf('--address-type', ['p2wpkh', 'p2wsh', 'p2tr']),
    )
    .option('--threshold <t>', 'nodes that must sign', integer('--threshold', 2, 16))
    .option('--total-nodes <n>', 'nodes that hold a share', integer('--total-nodes', 2, 16))
    .option('--total <n>', 'the same as --total-nodes', integer('--total', 2, 16))
    .action(action(io, create));
}

async function create(session: Session, { name, protocol, addressType, threshold, totalNodes, total }: CreateOptions): Promise<void> {
  session.note('generating the key: every node takes part, this may take a while');
  const client = await session.client();
  const body = { name, protocol, address_type: addressType, threshold, total_nodes: totalNodes ?? total };
  const created = await client.post<Created>('/api/v1/wallet/create', body);
  const describe = (one: Wallet) =>
    record(session.paint, [
      ['wallet', one.wallet_id],
      ['name', one.name],
      ['protocol', `${one.protocol}, ${one.threshold} of ${one.total_nodes}`],
      ['address', `${one.address} (${one.address_type}, ${one.network})`],
      ['public key', one.public_key],
    ]);
  session.print(created, () => ('wallets' in created ? created.wallets : [created]).map(describe).join('\n'));
}

async function list(session: Session): Promise<void> {
  const answer = await (await session.client()).get<{ wallets: Wallet[] }>('/api/v1/wallets');
  session.print(answer, () =>
    grid(
      session.paint,
      ['wallet', 'name', 'protocol', 'type', 'signers', 'address', 'network', 'created'],
      answer.wallets.map((one) => [
        one.wallet_id,
        one.name,
        one.protocol,
        one.address_type,
        `${one.threshold} of ${one.total_nodes}`,
        one.address,
        one.network,
        ago(one.created_at, session.now),
      ]),
      'no wallets; create one with `threshold-wallet wallet create`',
    ),
  );
}

interface WalletOption {
  readonly wallet?: string;
}
const pathOf = (id: string | undefined, what: string) => (id === undefined ? `/api/v1/wallet/${what}` : `/api/v1/wallet/${id}/${what}`);

async function balance(session: Session, options: WalletOption, id?: string): Promise<void> {
  const answer = await (await session.client()).get<Balance>(pathOf(options.wallet ?? id, 'balance'));
  const amount = (value: number) => `${btc(value)}  (${sats(value)})`;
  session.print(answer, () =>
    record(session.paint, [
      ['wallet', answer.wallet_id],
      ['confirmed', amount(answer.confirmed)],
      ['unconfirmed', amount(answer.unconfirmed)],
      ['reserved', amount(answer.reserved)],
      ['outputs', answer.total_utxos],
    ]),
  );
}

async function utxos(session: Session, options: WalletOption, id?: string): Promise<void> {
  const client = await session.client();
  // The API lists outputs per wallet only; the default wallet's id comes from its address.
  const wallet = options.wallet ?? id ?? (await client.get<Address>('/api/v1/wallet/address')).wallet_id;
  const answer = await client.get<Utxos>(pathOf(wallet, 'utxos'));
  session.print(answer, () =>
    grid(
      session.paint,
      ['output', 'value', 'confirmations', 'reserved', 'path'],
      answer.utxos.map((one) => [`${one.txid}:${one.vout}`, sats(one.value), one.confirmations, one.reserved ? 'yes' : 'no', one.path]),
      'no unspent outputs',
    ),
  );
}
