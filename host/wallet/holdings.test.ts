import { expect, test } from 'vitest';
import type { Coin } from '../bitcoin/coins.ts';
import { G } from '../curve/secp256k1.ts';
import type { Records } from '../storage/records/index.ts';
import { addressAt, scriptOf } from './accounts.ts';
import { AddressBook } from './address-book.ts';
import type { WalletContext } from './context.ts';
import { Holdings } from './holdings.ts';
import type { WalletKey } from './keyring.ts';

const key = {
  walletId: 'wallet',
  protocol: 'cggmp24',
  addressType: 'p2wpkh',
  share: { publicKey: G, chainCode: new Uint8Array(32) },
} as unknown as WalletKey;

/** So many addresses of account 7 in use. */
const recordsWith = (counter: { chain: 0 | 1; next: number }): Records => {
  const rows = [{ wallet_id: 'wallet', account: 7, ...counter }];
  return { addresses: { list: () => Promise.resolve(rows), takers: () => Promise.resolve([]) } } as unknown as Records;
};

test('a wallet of a hundred addresses asks for all when the chain has moved, and for a payment only for those that it spends from', async () => {
  const records = recordsWith({ chain: 0, next: 100 });
  const world = { tip: 10, now: 0, asked: 0 };
  const coin = (path: number[], n: number): [string, Coin] => [
    addressAt(key, path, 'regtest'),
    { txid: n.toString(16).padStart(64, '0'), vout: 0, value: 1_000n, script: scriptOf(key, path).script, confirmations: 1 },
  ];
  const coins = new Map([coin([], 1), coin([7, 0, 3], 2), coin([7, 0, 99], 3)]);
  const coinsOf = (address: string) => {
    world.asked++;
    const found = coins.get(address);
    return found === undefined ? [] : [found];
  };
  const esplora = {
    tipHeight: () => Promise.resolve(world.tip),
    coinsOf: (address: string) => Promise.resolve(coinsOf(address)),
    coinsOfEach: (addresses: string[]) => Promise.resolve(addresses.map(coinsOf)),
  };
  const context = { esplora, network: 'regtest', clock: () => world.now, records } as unknown as WalletContext;
  const holdings = new Holdings(context, await AddressBook.open(context));
  const questions = async (work: () => Promise<unknown>) => {
    const before = world.asked;
    await work();
    return world.asked - before;
  };
  const all = () => holdings.all(key);

  expect(holdings.remembered(key)).toEqual([]);
  expect((await all()).map(({ path }) => path)).toEqual([[], [7, 0, 3], [7, 0, 99]]);
  // The own address is asked each time, the others when the tip or ten seconds have passed.
  expect(await questions(all)).toBe(1);
  world.now += 10_001;
  expect(await questions(all)).toBe(101);
  world.tip++;
  expect(await questions(all)).toBe(101);

  world.tip++;
  const [mine, other] = holdings.remembered(key).map((found) => ({ ...found, path: found.path! }));
  expect(await questions(async () => expect(await holdings.confirm(key, [mine!, { ...mine!, path: [] }])).toBe(true))).toBe(1);
  coins.delete(addressAt(key, [7, 0, 99], 'regtest'));
  expect(await holdings.confirm(key, [mine!, other!])).toBe(false);
  expect(holdings.remembered(key).map(({ path }) => path)).toEqual([[7, 0, 3]]);
});

test('change that was seen empty, and is not among the last of its account, is asked once a day', async () => {
  const records = recordsWith({ chain: 1, next: 1_010 });
  const world = { tip: 10, now: 1_000_000, asked: 0 };
  const addresses = Array.from({ length: 10 }, (_, index) => addressAt(key, [7, 1, index], 'regtest'));
  const found = { txid: '1'.padStart(64, '0'), vout: 0, value: 1_000n, script: scriptOf(key, [7, 1, 4]).script, confirmations: 1 };
  const asked: string[] = [];
  const coinsOfEach = (some: string[]) => {
    asked.push(...some);
    return Promise.resolve(some.map((address) => (address === addresses[4] ? [found] : [])));
  };
  const esplora = { tipHeight: () => Promise.resolve(world.tip), coinsOf: () => Promise.resolve([]), coinsOfEach };
  const context = { esplora, network: 'regtest', clock: () => world.now, records } as unknown as WalletContext;
  const holdings = new Holdings(context, await AddressBook.open(context));
  const look = async () => {
    asked.splice(0);
    world.tip++;
    const coins = await holdings.all(key);
    expect(coins.map(({ path }) => path)).toEqual([[7, 1, 4]]);
    return addresses.filter((address) => asked.includes(address)).length;
  };
  expect(await look()).toBe(10);
  expect(asked).toHaveLength(1_010);
  // The one that has a coin, and the last thousand, with every block.
  expect(await look()).toBe(1);
  expect(asked).toHaveLength(1_001);
  world.now += 24 * 60 * 60_000 + 1;
  expect(await look()).toBe(10);
});
