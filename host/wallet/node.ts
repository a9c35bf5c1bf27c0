/** Puts the use-cases of one node together, registers what it answers, and picks up after a restart. */
import { Ceremonies } from './ceremonies.ts';
import { method } from '../mesh/calls.ts';
import { online, type WalletContext } from './context.ts';
import { Keyring } from './keyring.ts';
import { ended, Ledger } from './ledger.ts';
import { walletAnswer, walletQuery } from './messages.ts';
import { Notices } from './notices.ts';
import { Payments } from './payments.ts';
import { PendingPayments } from './pending.ts';
import { Pools } from './pools.ts';
import { isConfirmed } from './prepared.ts';
import { Refill } from './refill.ts';
import { createWalletService } from './service.ts';
import { Signer } from './signer.ts';
import type { WalletService } from './types.ts';
import { Voting } from './voting.ts';
import { Watcher } from './watcher.ts';
import type { WalletKey } from './keyring.ts';

const queryMethod = method('wallet.query', walletQuery, walletAnswer);

export interface WalletNode {
  readonly service: WalletService;
  /** Background work: after the mesh has started. */
  start(): void;
  stop(): Promise<void>;
}

/** Before the mesh starts: everything that peers may ask is registered when it returns. */
export async function createWalletNode(context: WalletContext): Promise<WalletNode> {
  const keyring = await Keyring.open(context.vault, context.parameters, context.core);
  const pools = new Pools({
    self: context.self,
    vault: context.vault,
    burns: context.burns,
    seen: context.seen,
    target: context.pool.target,
  });
  const ledger = new Ledger(context);
  const pending = new PendingPayments();
  const ceremonies = new Ceremonies(context, keyring, pools);
  const voting = new Voting(context, keyring, ledger, pending);
  const signer = new Signer(context, keyring, pools, ledger, pending);
  const notices = new Notices(context, ledger, pending);
  const payments = new Payments(context, keyring, pools, ledger, pending, voting, signer, notices);
  const watcher = new Watcher(context, ledger, payments, pending);
  const refill = new Refill(context, keyring, pools, ceremonies);
  for (const part of [ceremonies, voting, signer, notices, refill]) part.serve();
  context.calls.serve(queryMethod, (_from, { walletId }) => {
    const key = keyring.find(walletId);
    return Promise.resolve(
      key === undefined ? { state: 'unknown' as const, publicKey: new Uint8Array() } : { state: key.state, publicKey: publicKeyOf(key) },
    );
  });
  for (const key of keyring.keys()) if (key.state === 'active') await pools.open(key);

  await context.records.ceremonies.endInterrupted();
  await endInterruptedPayments(context, ledger);

  return {
    service: createWalletService({ context, keyring, pools, ledger, payments, ceremonies, refill }),
    start() {
      watcher.start();
      if (context.pool.target > 0) refill.start();
      context.mesh.onPeer((node, status) => {
        context.events.publish({ type: 'peer', node_id: node, status });
        if (status === 'active')
          void confirmPrepared(context, keyring, ceremonies).catch((error: unknown) =>
            context.logger.warn({ error }, 'could not ask about a prepared key'),
          );
      });
    },
    async stop() {
      await refill.stop();
      await watcher.stop();
      await pools.settle();
    },
  };
}

const publicKeyOf = (key: WalletKey): Uint8Array => (key.protocol === 'cggmp24' ? key.share.publicKey : key.share.P).toBytes(true);

/**
 * Payments that were under way when this node ended. Without signatures they end here, and their coins are free. Once signers were asked, a
 * signed transaction may exist somewhere: its coins stay reserved, and the watcher looks for it on the chain.
 */
async function endInterruptedPayments(context: WalletContext, ledger: Ledger): Promise<void> {
  const { items } = await ledger.list({ pending: true, limit: 1000, offset: 0 });
  for (const transaction of items) {
    if (ended(transaction) || transaction.raw !== null) continue;
    if (['created', 'voting', 'approved'].includes(transaction.state)) {
      await ledger.apply(transaction.tx_id, 'fail', { error: `${context.self} was restarted before the payment was signed` });
    } else {
      context.logger.warn(
        { tx_id: transaction.tx_id, txid: transaction.txid, state: transaction.state },
        'interrupted while signing: its coins stay reserved',
      );
    }
  }
}

/** Activates the keys that this node had prepared, but not activated, as far as the other members' answers allow ({@link isConfirmed}). */
async function confirmPrepared(context: WalletContext, keyring: Keyring, ceremonies: Ceremonies): Promise<void> {
  for (const key of keyring.keys()) {
    if (key.state !== 'prepared' || ceremonies.isRunning()) continue;
    const asked = key.committee.filter((node) => node !== context.self && online(context).has(node));
    const replies = await Promise.allSettled(asked.map((node) => context.calls.call(node, queryMethod, { walletId: key.walletId })));
    const answers = replies.flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value] : []));
    const { t, n } = key.share;
    if (!isConfirmed({ t, n, publicKey: publicKeyOf(key) }, answers)) continue;
    await ceremonies.registered(key.walletId);
    context.logger.info({ wallet_id: key.walletId }, 'a key prepared earlier is active');
  }
}
