/** `keys status|refresh|reshare|agree|erase`: the shares of a wallet's key. Key and address never change. */
import type { Command } from 'commander';
import type { z } from 'zod';
import type * as responses from '../../api/responses.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { record } from '../table.ts';
import { action, identifier, integer, nodeList } from './options.ts';

type KeyStatus = z.output<typeof responses.keyStatus>;
type Agreed = z.output<typeof responses.agreed>;

interface Change {
  readonly threshold: number;
  readonly nodes: readonly string[];
}

export function registerKeys(program: Command, io: Io): void {
  const keys = program.command('keys').description("shares of a wallet's key: refresh them, hand them to other nodes");
  const command = (name: string, description: string) =>
    keys.command(name).description(description).argument('<wallet>', 'wallet id', identifier('wallet'));
  const change = (name: string, description: string) =>
    command(name, description)
      .requiredOption('--threshold <t>', 'nodes that must sign afterwards', integer('--threshold', 2, 16))
      .requiredOption('--nodes <names>', 'nodes that hold a share afterwards, with commas', nodeList('--nodes'));

  command('status', 'epoch and committee, and how far a change has come').action(action(io, status));
  command('refresh', 'new shares for the same nodes; all of them take part').action(action(io, refresh));
  change('reshare', 'the same key for other nodes or another threshold').action(action(io, reshare));
  change('agree', 'the consent of the node asked to a resharing; every old and new node needs its own')
    .option('--public-key <hex>', 'the key that is joined, at a node that does not hold it yet')
    .action(action(io, agree));
  command('erase', 'destroy the old shares at the node asked, when a new node never confirmed').action(action(io, erase));
}

const states: Readonly<Record<KeyStatus['state'], string>> = {
  active: 'active',
  prepared: 'a new share is prepared and waits for its certificate; the old one still signs',
  committed: 'new shares are in force; the old one is kept until all new nodes have confirmed',
  erased: 'new shares are in force; the old one is destroyed here',
};

/** Until enough have, a node that left may still find t old shares. */
function erasedBy({ erased_nodes: nodes, erasures_needed: needed }: KeyStatus): string {
  if (needed === null) return 'nobody: the shares were never changed';
  return `${nodes.length === 0 ? 'nobody yet' : nodes.join(', ')} (${nodes.length} of the ${needed} needed)`;
}

function show(session: Session, key: KeyStatus): void {
  session.print(key, () =>
    record(session.paint, [
      ['wallet', key.wallet_id],
      ['epoch', key.next_epoch === null ? key.epoch : `${key.epoch}, ${key.next_epoch} prepared`],
      ['state', states[key.state]],
      ['held here', key.holds_share ? 'yes' : 'no'],
      ['signers', key.threshold === null ? 'unknown' : `${key.threshold} of ${key.nodes.join(', ')}`],
      ['confirmed by', key.committed_nodes.length === 0 ? 'nobody yet' : key.committed_nodes.join(', ')],
      ['destroyed by', erasedBy(key)],
      ['old shares', key.old_shares.length === 0 ? 'none' : `of epoch ${key.old_shares.join(', ')}`],
    ]),
  );
}

async function status(session: Session, _options: object, wallet: string): Promise<void> {
  show(session, await (await session.client()).get<KeyStatus>(`/api/v1/keys/${wallet}`));
}

async function refresh(session: Session, _options: object, wallet: string): Promise<void> {
  session.note('making new shares: every node of the wallet takes part; fresh safe primes can take minutes (dkg status shows how far)');
  show(session, await (await session.client()).post<KeyStatus>(`/api/v1/keys/${wallet}/refresh`, {}));
}

async function reshare(session: Session, { threshold, nodes }: Change, wallet: string): Promise<void> {
  session.note(`handing the key to ${nodes.join(', ')}: fresh safe primes can take minutes (dkg status shows how far)`);
  show(session, await (await session.client()).post<KeyStatus>(`/api/v1/keys/${wallet}/reshare`, { threshold, nodes }));
}

async function agree(session: Session, { threshold, nodes, publicKey }: Change & { publicKey?: string }, wallet: string): Promise<void> {
  const body = { threshold, nodes, public_key: publicKey };
  const agreed = await (await session.client()).post<Agreed>(`/api/v1/keys/${wallet}/agree`, body);
  session.print(agreed, () =>
    record(session.paint, [
      ['wallet', agreed.wallet_id],
      ['agreed to', `${agreed.threshold} of ${agreed.nodes.join(', ')}`],
      ['valid', 'for one day, at the node asked'],
    ]),
  );
}

async function erase(session: Session, _options: object, wallet: string): Promise<void> {
  show(session, await (await session.client()).post<KeyStatus>(`/api/v1/keys/${wallet}/erase`, {}));
}
