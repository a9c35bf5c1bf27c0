/**
 * The wallet's transactions before a node that others wrote: Bitcoin Core (`bitcoind`), or where that is not installed Litecoin Core
 * (`litecoind`), its fork with the same script engine, SegWit and Taproot included, and another address prefix. Listed as skipped without either.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { addressOf } from './address.ts';
import { DEFAULT_PAYMENT_POLICY, type Coin } from './coins.ts';
import { address as codec, Transaction } from './library.ts';
import type { PaymentIntent } from './payment.ts';
import type { SpendType } from './scripts.ts';
import { singleKey } from './testing/single-key.ts';
import { buildPayment } from './transaction.ts';

const NODES = [
  { program: 'bitcoind', prefix: 'bcrt' },
  { program: 'litecoind', prefix: 'rltc' },
];
const node = NODES.find(({ program }) => spawnSync(program, ['-version']).status === 0);
const TYPES: readonly SpendType[] = ['p2wpkh', 'p2wsh', 'p2tr'];

describe.skipIf(node === undefined)(`accepted by a real node (${node?.program ?? 'bitcoind or litecoind, not installed'})`, () => {
  const keys = Object.fromEntries(TYPES.map((type) => [type, singleKey(type, 'real node')])) as Record<
    SpendType,
    ReturnType<typeof singleKey>
  >;
  const coins = new Map<SpendType, Coin>();
  let folder: string;
  let child: ChildProcess;
  let url: string;

  async function rpc<T>(method: string, ...params: unknown[]): Promise<T> {
    const authorization = `Basic ${Buffer.from('test:test').toString('base64')}`;
    const response = await fetch(url, { method: 'POST', headers: { authorization }, body: JSON.stringify({ id: 1, method, params }) });
    const { result, error } = (await response.json()) as { result: T; error: { message: string } | null };
    if (error !== null) throw new Error(`${method}: ${error.message}`);
    return result;
  }
  /** The node's own notation for the script. */
  const nodeAddress = (script: Uint8Array): string => codec.toBech32(script.subarray(2), script[0] === 0 ? 0 : 1, node!.prefix);
  const accepts = async (text: string) =>
    (await rpc<{ allowed: boolean; 'reject-reason'?: string; vsize?: number }[]>('testmempoolaccept', [text]))[0]!;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'real-node-'));
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    url = `http://127.0.0.1:${port}/`;
    const settings = [
      '-regtest',
      '-server',
      '-listen=0',
      '-disablewallet',
      '-acceptnonstdtxn=0',
      '-txindex=1',
      '-printtoconsole=0',
      '-dnsseed=0',
    ];
    const access = [
      '-rpcuser=test',
      '-rpcpassword=test',
      `-rpcport=${port}`,
      '-rpcbind=127.0.0.1',
      '-rpcallowip=127.0.0.1',
      `-datadir=${folder}`,
    ];
    child = spawn(node!.program, [...settings, ...access], { stdio: 'ignore' });
    for (let i = 0; ; i++) {
      try {
        await rpc('getblockcount');
        break;
      } catch (error) {
        if (i === 150 || child.exitCode !== null) throw error;
        await delay(200);
      }
    }
    for (const type of TYPES) {
      const [block] = await rpc<string[]>('generatetoaddress', 1, nodeAddress(keys[type].wallet.script));
      const [coinbase] = (await rpc<{ tx: { txid: string; hex: string }[] }>('getblock', block, 2)).tx;
      const { value, script } = Transaction.fromHex(coinbase!.hex).outs[0]!;
      coins.set(type, { txid: coinbase!.txid, vout: 0, value, script, confirmations: 101 });
    }
    await rpc('generatetoaddress', 100, nodeAddress(keys.p2wpkh.wallet.script));
  }, 60_000);

  afterAll(async () => {
    if (child?.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true });
  });

  test.each(TYPES)('%s: signed by us, accepted, mined and spent on; corrupted, refused', async (type) => {
    const key = keys[type];
    const recipients = TYPES.map((to) => ({ address: addressOf(singleKey(to, 'payee').wallet.script, 'regtest'), amount: 1_000_000n }));
    const intent: PaymentIntent = { recipients, metadata: utf8('MPCW, to a node that others wrote'), feeRate: 20_000n };
    const locktime = await rpc<number>('getblockcount');
    const payment = buildPayment({
      wallet: key.wallet,
      network: 'regtest',
      intent,
      coins: [coins.get(type)!],
      policy: DEFAULT_PAYMENT_POLICY,
      locktime,
    });
    const signed = key.sign(payment);

    const corrupt = Transaction.fromHex(signed.hex);
    const [signature, ...rest] = corrupt.ins[0]!.witness;
    corrupt.setWitness(0, [signature!.with(40, signature![40]! ^ 1), ...rest]);
    expect(await accepts(corrupt.toHex())).toMatchObject({ allowed: false, 'reject-reason': expect.stringMatching(/script-verify-flag/) });
    const diverted = Transaction.fromHex(signed.hex);
    diverted.outs[0]!.value -= 1n;
    expect((await accepts(diverted.toHex())).allowed).toBe(false);

    expect(await accepts(signed.hex)).toMatchObject({ allowed: true, vsize: signed.vsize });
    expect(await rpc('sendrawtransaction', signed.hex)).toBe(signed.txid);
    const [block] = await rpc<string[]>('generatetoaddress', 1, nodeAddress(keys.p2wpkh.wallet.script));
    const mined = await rpc<{ confirmations: number; hex: string; blockhash: string }>('getrawtransaction', signed.txid, true);
    expect(mined).toMatchObject({ confirmations: 1, blockhash: block, hex: signed.hex });

    // The change is ours to spend on.
    const vout = payment.changeIndex!;
    const change: Coin = { txid: signed.txid, vout, value: payment.outputs[vout]!.value, script: key.wallet.script, confirmations: 1 };
    const onward = { recipients: recipients.slice(0, 1), metadata: undefined, feeRate: 20_000n };
    const next = buildPayment({ wallet: key.wallet, network: 'regtest', intent: onward, coins: [change], policy: DEFAULT_PAYMENT_POLICY });
    expect((await accepts(key.sign(next).hex)).allowed).toBe(true);
  });
});
