/**
 * What becomes of a key that this node had prepared, but not activated, when its generation ended for it: by a crash, a lost link, or a party
 * that confirmed to some and not to others. The other members are asked what they hold (cggmp24.md §6.3: active only when all n have confirmed).
 */
import { equalBytes } from '../base/bytes.ts';
import { method } from '../mesh/calls.ts';
import type { Ceremonies } from './ceremonies.ts';
import { online, type WalletContext } from './context.ts';
import type { Keyring, WalletKey } from './keyring.ts';
import { walletAnswer, walletQuery } from './messages.ts';
import { Repeated } from './repeated.ts';

/** What a member says of a key. */
export interface Answer {
  readonly state: 'unknown' | 'prepared' | 'active';
  readonly publicKey: Uint8Array;
}

/**
 * Whether the key counts, from the answers of other members (each asked once, those that gave none left out). An honest member has activated it
 * only when all confirmed, and of any t members one is honest; or all others hold it, which is what confirming says. One member's word is not
 * enough: it could give an address to a key of which another honest member has no share.
 */
export function isConfirmed({ t, n, publicKey }: { t: number; n: number; publicKey: Uint8Array }, answers: readonly Answer[]): boolean {
  const holders = answers.filter((answer) => answer.state !== 'unknown' && equalBytes(answer.publicKey, publicKey));
  return holders.length === n - 1 || holders.filter(({ state }) => state === 'active').length >= t;
}

const queryMethod = method('wallet.query', walletQuery, walletAnswer);
const FIRST_LOOK_MS = 200;
const LOOK_MS = 10_000;

const publicKeyOf = (key: WalletKey): Uint8Array => (key.protocol === 'cggmp24' ? key.share.publicKey : key.share.P).toBytes(true);

/** Asks at the start and then from time to time: links may have stayed up while the last messages of a key generation were lost. */
export class PreparedKeys {
  readonly #looks: Repeated;

  constructor(
    private readonly context: WalletContext,
    private readonly keyring: Keyring,
    private readonly ceremonies: Ceremonies,
  ) {
    this.#looks = new Repeated(() => this.#look(), {
      firstMs: FIRST_LOOK_MS,
      thenMs: LOOK_MS,
      failed: (error) => context.logger.warn({ error }, 'could not ask about a prepared key'),
    });
  }

  serve(): void {
    this.context.calls.serve(queryMethod, (_from, { walletId }) => {
      const key = this.keyring.find(walletId);
      return Promise.resolve(
        key === undefined ? { state: 'unknown' as const, publicKey: new Uint8Array() } : { state: key.state, publicKey: publicKeyOf(key) },
      );
    });
  }

  start(): void {
    this.#looks.start();
  }
  stop(): Promise<void> {
    return this.#looks.stop();
  }

  async #look(): Promise<void> {
    for (const key of this.keyring.keys()) {
      if (key.state !== 'prepared' || this.ceremonies.isRunning()) continue;
      const { t, n } = key.share;
      if (!isConfirmed({ t, n, publicKey: publicKeyOf(key) }, await this.#answers(key))) continue;
      await this.ceremonies.registered(key.walletId);
      this.context.logger.info({ wallet_id: key.walletId }, 'a key prepared earlier is active');
    }
  }

  async #answers(key: WalletKey): Promise<Answer[]> {
    const { context } = this;
    const reachable = online(context);
    const asked = key.committee.filter((node) => node !== context.self && reachable.has(node));
    const replies = await Promise.allSettled(asked.map((node) => context.calls.call(node, queryMethod, { walletId: key.walletId })));
    return replies.flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value] : []));
  }
}
