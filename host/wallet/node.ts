/** Puts the use-cases of one node together, registers what it answers, and picks up after a restart. */
import { burnOpened } from '../presign/states.ts';
import { AddressBook } from './address-book.ts';
import { Addresses } from './addresses.ts';
import { Agreement } from './agreement.ts';
import { Attempts } from './attempts.ts';
import { Builder } from './building.ts';
import { Ceremonies } from './ceremonies.ts';
import type { WalletContext } from './context.ts';
import { EarlyEnds } from './early-ends.ts';
import { Erasures } from './erasures.ts';
import { Holdings } from './holdings.ts';
import { KeyChanges } from './key-changes.ts';
import { KeyQuestions } from './key-questions.ts';
import { KeySwitches } from './key-switches.ts';
import { Keyring } from './keyring.ts';
import { Ledger } from './ledger.ts';
import { Nonces } from './nonces.ts';
import { Notices } from './notices.ts';
import { Payments } from './payments.ts';
import { Openings } from './openings.ts';
import { PendingPayments } from './pending.ts';
import { Pools } from './pools.ts';
import { Proposals } from './proposing.ts';
import { PreparedKeys } from './prepared.ts';
import { PrimeStock } from './prime-stock.ts';
import { Refill } from './refill.ts';
import { createWalletService } from './service.ts';
import { Signer } from './signer.ts';
import { Standing } from './standing.ts';
import type { WalletService } from './types.ts';
import { Voting } from './voting.ts';
import { Watcher } from './watcher.ts';

export interface WalletNode {
  readonly service: WalletService;
  /** Background work: after the mesh has started. */
  start(): void;
  stop(): Promise<void>;
}

/** Before the mesh starts: everything that peers may ask is registered when it returns. */
export async function createWalletNode(given: WalletContext): Promise<WalletNode> {
  const keyring = await Keyring.open(given.vault, given.parameters, given.core);
  const primes = new PrimeStock({
    context: given,
    target: given.pool.primes,
    busy: () => ceremonies.isRunning(),
    used: () => keyring.ownPrimes(),
    checkMs: given.pool.checkMs,
  });
  // Whoever needs primes takes them from the stock, as long as there are any.
  const context: WalletContext = Object.create(given, { primes: { value: primes } }) as WalletContext;
  const interrupted = await burnOpened(context.burns);
  if (interrupted > 0) context.logger.warn({ interrupted }, 'presignatures that were open when the node ended are burnt');
  const pools = new Pools({
    self: context.self,
    vault: context.vault,
    burns: context.burns,
    seen: context.seen,
    settings: context.pool,
    records: context.records,
    clock: context.clock,
    logger: context.logger,
  });
  const ledger = new Ledger(context);
  const openings = new Openings(context, pools, ledger);
  const pending = new PendingPayments((payment) => {
    openings.burn(payment, 'the payment has ended').catch((error: unknown) => {
      context.logger.error({ tx_id: payment.txId, error }, 'opened presignatures could not be burnt on disk; a restart burns them');
    });
  });
  const nonces = new Nonces(context, keyring);
  const standing = new Standing(context.clock);
  const book = await AddressBook.open(context);
  const addresses = new Addresses(context, keyring, book, (walletId) => switches.formerOf(walletId));
  const holdings = new Holdings(context, book);
  const ceremonies = new Ceremonies(context, keyring, pools, standing);
  const ends = new EarlyEnds();
  const voting = new Voting(context, keyring, ledger, pending, openings, book, ends);
  const signer = new Signer(context, keyring, ledger, pending, voting, openings, nonces);
  const notices = new Notices(context, keyring, ledger, pending, book, ends);
  const attempts = new Attempts(context, ledger, pending, openings, nonces, signer, standing);
  const builder = new Builder(context, book, holdings);
  const proposals = new Proposals(context, ledger, pending, voting, pools, nonces, standing, openings);
  const agreement = new Agreement(context, ledger, proposals, builder, holdings);
  const payments = new Payments(context, keyring, ledger, agreement, proposals, attempts, notices);
  const watcher = new Watcher(context, ledger, payments, notices, pending);
  const refill = new Refill(context, keyring, pools, ceremonies, standing);
  const prepared = new PreparedKeys(context, keyring, ceremonies);
  const switches = await KeySwitches.open(context, keyring, pools, ceremonies, nonces);
  const questions = new KeyQuestions(context, keyring, ceremonies, switches);
  const erasures = new Erasures(context, switches);
  const changes = new KeyChanges(context, keyring, ceremonies, switches, erasures);
  for (const part of [ceremonies, voting, signer, nonces, notices, refill, prepared, switches, erasures, changes, addresses]) part.serve();

  await context.records.ceremonies.endInterrupted();
  // Again, for what a crash or a lost database left out; what is there already stays.
  for (const key of keyring.keys()) if (key.state === 'active') await ceremonies.registered(key.walletId);

  return {
    service: createWalletService({ context, keyring, pools, ledger, payments, ceremonies, refill, primes, changes, addresses, holdings }),
    start() {
      watcher.start();
      if (context.pool.target > 0) refill.start();
      context.mesh.onPeer((node, status) => {
        context.events.publish({ type: 'peer', node_id: node, status });
      });
      prepared.start();
      questions.start();
      addresses.start();
      primes.start();
    },
    async stop() {
      ceremonies.stop();
      voting.stop();
      await primes.stop();
      await prepared.stop();
      await questions.stop();
      await addresses.stop();
      await refill.stop();
      await watcher.stop();
      await pools.settle();
    },
  };
}
