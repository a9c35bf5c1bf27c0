/** What a node makes of the answers of others about addresses, some of which lie. */
import { expect, test } from 'vitest';
import type { Method } from '../mesh/calls.ts';
import type { Records } from '../storage/records/index.ts';
import { AddressBook, MAX_AHEAD, type Counter } from './address-book.ts';
import { Addresses } from './addresses.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import { until } from './testing/cluster.ts';

const MEMBERS = ['node-1', 'node-2', 'node-3', 'node-4'];
const counter = (account: number, next: number): Counter => ({ account, chain: 0, next });

/** Node-1 of four, of which one may lie; the others answer as `answer` says. */
async function nodeOne(answer: (node: string, request: { index: number; from: number }, method: string) => unknown) {
  const records = {
    addresses: { list: () => Promise.resolve([]), raise: () => Promise.resolve(), takers: () => Promise.resolve([]) },
  } as unknown as Records;
  const served = new Map<string, (from: string, request: unknown) => Promise<unknown>>();
  const asked: string[] = [];
  const context = {
    self: 'node-1',
    members: MEMBERS,
    network: 'regtest',
    clock: () => 0,
    records,
    mesh: { peers: () => MEMBERS.slice(1).map((node) => ({ node, status: 'active' })), onPeer: () => undefined },
    calls: {
      serve: ({ name }: Method<unknown, unknown>, handler: (from: string, request: unknown) => Promise<unknown>) =>
        served.set(name, handler),
      call: async (node: string, { name }: Method<unknown, unknown>, request: { index: number; from: number }) => {
        asked.push(`${node} ${name}`);
        if (node === 'node-1') return served.get(name)!(node, request);
        const said = answer(node, request, name);
        if (said instanceof Error) throw said;
        return said;
      },
    },
    logger: { debug: () => undefined, warn: () => undefined },
  } as unknown as WalletContext;
  const key = { walletId: 'wallet', state: 'active', committee: MEMBERS, share: { epoch: 0, n: 4, t: 3 } };
  const keyring = { keys: () => [key], active: () => key, frozen: new Set<string>() } as unknown as Keyring;
  const book = await AddressBook.open(context);
  const addresses = new Addresses(context, keyring, book, () => Promise.resolve([]));
  addresses.serve();
  return { addresses, book, asked, keyring };
}

test('counters are taken from others when so many say so that one of them is honest; what a single node says moves nothing', async () => {
  const claims: Record<string, Counter[] | Error> = {
    'node-2': [counter(1, 5), counter(2, 9_000), counter(3, 4)],
    'node-3': [counter(1, 7), counter(3, 3)],
    'node-4': [counter(1, 6), counter(3, 9_000)],
  };
  const { addresses, book } = await nodeOne((node) => ({ total: 1, counters: claims[node] }));
  addresses.start();
  await until(() => book.next('wallet', 1, 0) > 0, 'the counters of the others');
  await addresses.stop();
  expect(book.counters('wallet')).toEqual([counter(1, 6), counter(3, 4)]);
});

test('a node that does not answer is asked again', async () => {
  let silent = true;
  const { addresses, book, asked } = await nodeOne((node) => (silent && node !== 'node-2' ? new Error('silent') : { total: 1, counters: [counter(1, 2)] })); // prettier-ignore
  addresses.start();
  await until(() => asked.length >= 3, 'the first questions');
  expect(book.next('wallet', 1, 0)).toBe(0);
  silent = false;
  await until(() => book.next('wallet', 1, 0) === 2, 'the second answer');
  await addresses.stop();
});

test('an index that one node calls taken, or far away, is given by the others; without enough of them it is not', async () => {
  const accepted = ({ index }: { index: number }) => ({ verdict: 'accepted', next: index + 1 });
  const lying = await nodeOne((node, request) => (node === 'node-4' ? { verdict: 'taken', next: 2 ** 31 } : accepted(request)));
  const given = lying.addresses.issue('wallet', { account: 1 });
  // The fake key has no point to derive from: what is refused here is the address, after the index was given.
  await expect(given).rejects.toBeInstanceOf(TypeError);
  expect(lying.book.next('wallet', 1, 0)).toBe(1);

  // Two that are ahead count, one that is far ahead does not.
  const behind = await nodeOne((node, request) => {
    if (node === 'node-2') return { verdict: 'taken', next: 2 ** 31 };
    return request.index < 40 ? { verdict: 'taken', next: 40 } : accepted(request);
  });
  await expect(behind.addresses.issue('wallet', { account: 1 })).rejects.toBeInstanceOf(TypeError);
  expect(behind.book.next('wallet', 1, 0)).toBe(41);

  const alone = await nodeOne((node, request) => (node === 'node-2' ? accepted(request) : new Error('silent')));
  await expect(alone.addresses.issue('wallet', { account: 1 })).rejects.toMatchObject({
    name: 'Unavailable',
    message: expect.stringMatching(/3 of 4 nodes.*missing: node-3, node-4/),
  });
  await expect(alone.addresses.issue('wallet', { account: 1, index: MAX_AHEAD + 2 })).rejects.toMatchObject({ field: 'index' });
});

test('while the shares of the key are being changed no address is given out, nor noted for others', async () => {
  const { addresses, book, keyring, asked } = await nodeOne((_node, request) => ({ verdict: 'accepted', next: request.index + 1 }));
  keyring.frozen.add('wallet');
  await expect(addresses.issue('wallet', { account: 1 })).rejects.toMatchObject({ name: 'Unavailable' });
  expect([book.next('wallet', 1, 0), asked]).toEqual([0, []]);
});
