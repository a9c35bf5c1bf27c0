/** `wallet address|addresses|export` */
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import { Refusal } from '../../base/errors.ts';
import type { ApiClient } from '../client.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { grid, record } from '../table.ts';
import { action, identifier, integer } from './options.ts';

type OwnAddress = z.output<typeof responses.address>;
type WalletAddress = z.output<typeof responses.walletAddress>;
type Addresses = z.output<typeof responses.derivedAddresses>;
type Descriptor = z.output<typeof responses.descriptor>;

interface Options {
  readonly wallet?: string;
  readonly new?: boolean;
  readonly account?: number;
  readonly index?: number;
  readonly limit?: number;
  readonly offset?: number;
}

const MAX_STEP = 0x7fffffff;

export function registerAddresses(wallet: Command, io: Io): void {
  const command = (name: string, description: string) =>
    wallet
      .command(name)
      .description(description)
      .argument('[wallet]', 'wallet id; the default wallet when absent', identifier('wallet'))
      .option('--wallet <id>', 'the same as an option', identifier('--wallet'))
      .option('--account <n>', 'a user of the wallet', integer('--account', 0, MAX_STEP));

  command('address', "where to receive: the wallet's own address, a new one, or that of an account and index")
    .option('--new', 'one that nobody was given before')
    .option('--index <i>', 'that of this index; with --new it and all before it are looked at from now on', integer('--index', 0, MAX_STEP))
    .action(action(io, address));
  command('addresses', 'the addresses in use')
    .option('--limit <n>', 'how many', integer('--limit', 1, 100))
    .option('--offset <n>', 'after how many', integer('--offset', 0, 1_000_000))
    .action(action(io, addresses));
  command('export', 'extended public key and output descriptors, for watch-only software').action(action(io, exported));
}

/** These routes name the wallet; the default wallet's id comes from its address. */
const idOf = async (client: ApiClient, { wallet }: Options, id: string | undefined): Promise<string> =>
  wallet ?? id ?? (await client.get<OwnAddress>('/api/v1/wallet/address')).wallet_id;

async function address(session: Session, options: Options, id?: string): Promise<void> {
  const { account, index } = options;
  if (account !== undefined && index === undefined && options.new !== true)
    throw new Refusal('cli.option', '--account', 'an account has many addresses', 'add --index I for one of them, or --new for a new one');
  const client = await session.client();
  const url = `/api/v1/wallet/${await idOf(client, options, id)}`;
  const answer =
    options.new === true
      ? await client.post<WalletAddress>(`${url}/addresses`, { account, index })
      : await client.get<WalletAddress>(`${url}/address`, { account, index });
  session.print(answer, () =>
    record(session.paint, [
      ['wallet', answer.wallet_id],
      ['address', answer.address],
      ['type', `${answer.address_type}, ${answer.network}`],
      ['path', answer.path],
      ...(answer.public_key === undefined ? [] : [['public key', answer.public_key] as const]),
    ]),
  );
}

async function addresses(session: Session, options: Options, id?: string): Promise<void> {
  const client = await session.client();
  const { account, limit, offset } = options;
  const answer = await client.get<Addresses>(`/api/v1/wallet/${await idOf(client, options, id)}/addresses`, { account, limit, offset });
  session.print(answer, () =>
    grid(
      session.paint,
      ['path', 'address', 'account', 'chain', 'index'],
      answer.addresses.map((one) => [one.path, one.address, one.account ?? '', one.chain ?? 'own', one.index ?? '']),
      'no addresses in use; take one with `threshold-wallet wallet address --new`',
    ),
  );
}

async function exported(session: Session, options: Options, id?: string): Promise<void> {
  const client = await session.client();
  const { account } = options;
  const answer = await client.get<Descriptor>(`/api/v1/wallet/${await idOf(client, options, id)}/descriptor`, { account });
  session.note('whoever has these sees every address of the wallet, past and future; they cannot spend');
  session.print(answer, () =>
    record(session.paint, [
      ['wallet', `${answer.wallet_id} (${answer.network})`],
      ['extended key', answer.extended_public_key],
      ['own address', answer.own],
      [`account ${answer.account}, receive`, answer.receive],
      [`account ${answer.account}, change`, answer.change],
    ]),
  );
}
