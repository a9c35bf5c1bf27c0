import { expect, test } from 'vitest';
import { Refusal } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { Agreement } from './agreement.ts';
import { LookFurther, type Builder } from './building.ts';
import type { WalletContext } from './context.ts';
import type { Holdings } from './holdings.ts';
import type { WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import type { Pending } from './pending.ts';
import { NoPlace, type Proposals } from './proposing.ts';
import type { Visitor } from './places.ts';
import type { SendRequest } from './types.ts';

const key = { walletId: 'wallet' } as WalletKey;
const send = (amount: number): SendRequest => ({ recipients: [{ address: 'somebody', amount_sats: amount }] });
const amountOf = ({ recipients }: SendRequest) => recipients[0]!.amount_sats;

interface World {
  build?(amount: number, complete: boolean): void;
  /** Outpoints that are not free, or undefined for an approval. */
  decide?(attempt: number): string[] | undefined;
  needsPlace?: boolean;
  look?(): Promise<unknown>;
}

/** An agreement whose proposals and coins are what `world` says. */
function agreementOf({ build = () => undefined, decide = () => undefined, needsPlace = false, look = () => Promise.resolve() }: World) {
  const log = { noted: [] as string[], doubted: [] as string[], proposed: 0 };
  const builder = {
    notFree: { note: (coins: string[]) => log.doubted.push(...coins) },
    build: (_: WalletKey, request: SendRequest, { complete }: { complete: boolean }) => {
      build(amountOf(request), complete);
      return Promise.resolve({ amount: amountOf(request) });
    },
  } as unknown as Builder;
  const proposals = {
    propose: (_: WalletKey, { amount }: { amount: number }, place: Visitor) => {
      if (needsPlace && !place.tryEnter()) return Promise.reject(new NoPlace());
      return Promise.resolve({ txId: `${amount}/${++log.proposed}` });
    },
    decide: async ({ txId }: { txId: string }, recorded: (pending: Pending) => Promise<unknown>) => {
      await recorded({ txId } as Pending);
      const lost = decide(Number(txId.split('/')[1]));
      if (lost === undefined) return { pending: { txId } };
      return { txId, lost, payment: {}, told: Promise.resolve(), end: () => ({ ended: txId }) };
    },
  } as unknown as Proposals;
  const ledger = {
    get: (txId: string) => Promise.resolve({ error: `lost ${txId}` }),
    note: (txId: string, error: string) => Promise.resolve(log.noted.push(`${txId}: ${error}`)),
  } as unknown as Ledger;
  const context = { random: systemRandom, logger: { info: () => undefined } } as unknown as WalletContext;
  return { agreement: new Agreement(context, ledger, proposals, builder, { all: look } as unknown as Holdings), log };
}
const nothing = () => Promise.resolve();
const idOf = ({ txId }: Pending) => Promise.resolve({ paid: txId });

test('what is tried again is recorded as taking the place of the try before, and only the last is signed', async () => {
  const { agreement, log } = agreementOf({ decide: (attempt) => (attempt < 3 ? [`coin ${attempt}`] : undefined) });
  const recorded: [string, string | undefined][] = [];
  const signed: string[] = [];
  const outcome = await agreement.reach(key, send(7), (...change) => Promise.resolve(recorded.push(change)), ({ txId }) => Promise.resolve({ of: signed.push(txId) })); // prettier-ignore
  expect(outcome).toEqual({ of: 1 });
  expect(signed).toEqual(['7/3']);
  expect(recorded).toEqual([['7/1', undefined], ['7/2', '7/1'], ['7/3', '7/2']]); // prettier-ignore
  expect(log.doubted).toEqual(['coin 1', 'coin 2']);
  expect(log.noted[0]).toBe('7/1: lost 7/1; proposed again with other coins as 7/2');
});

test('a payment that is more than the coins that are known has all addresses asked, and others go on meanwhile', async () => {
  let found = (): void => undefined;
  const look = () => new Promise<void>((resolve) => (found = resolve));
  const build = (amount: number, complete: boolean) => {
    if (amount > 100 && !complete) throw new LookFurther();
    if (amount > 1_000) throw new Refusal('insufficient_funds', 'amount_sats', 'too much', 'less', 422);
  };
  const { agreement } = agreementOf({ build, look });
  const large = agreement.reach(key, send(500), nothing, idOf);
  expect(await agreement.reach(key, send(50), nothing, idOf)).toEqual({ paid: '50/1' });
  found();
  expect(await large).toEqual({ paid: '500/2' });
  const absurd = agreement.reach(key, send(5_000), nothing, idOf);
  await new Promise(setImmediate);
  found();
  await expect(absurd).rejects.toMatchObject({ code: 'insufficient_funds' });
});

test('one payment at a time is signed without the pool, the next when it has ended, however it has', async () => {
  const { agreement, log } = agreementOf({ needsPlace: true });
  const ends: ((error?: Error) => void)[] = [];
  const work = ({ txId }: Pending) =>
    new Promise<{ paid: string }>((resolve, reject) =>
      ends.push((error) => (error === undefined ? resolve({ paid: txId }) : reject(error))),
    );
  const [first, second] = [1, 2].map((amount) => agreement.reach(key, send(amount), nothing, work));
  while (ends.length === 0) await new Promise(setImmediate);
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  expect(log.proposed).toBe(1);
  ends[0]!(new Error('not signed'));
  await expect(first).rejects.toThrow('not signed');
  while (ends.length === 1) await new Promise(setImmediate);
  ends[1]!();
  expect(await second).toEqual({ paid: '2/2' });
});
