import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { addressOf } from '../bitcoin/address.ts';
import { DEFAULT_PAYMENT_POLICY } from '../bitcoin/coins.ts';
import { Esplora } from '../bitcoin/esplora.ts';
import { Block, script as scripts, Transaction } from '../bitcoin/library.ts';
import { SEQUENCE, type PaymentIntent, type UnsignedPayment } from '../bitcoin/payment.ts';
import { metadataScript, type SpendType } from '../bitcoin/scripts.ts';
import { singleKey, type SingleKey } from '../bitcoin/testing/single-key.ts';
import { buildPayment } from '../bitcoin/transaction.ts';
import { validatePayment } from '../bitcoin/validation.ts';
import { startChain, type RunningChain } from './chain.ts';

const TYPES: readonly SpendType[] = ['p2wpkh', 'p2wsh', 'p2tr'];
const policy = DEFAULT_PAYMENT_POLICY;
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const folders: string[] = [];
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'chain-test-'));
  folders.push(made);
  return made;
};
const address = (key: SingleKey): string => addressOf(key.wallet.script, 'regtest');
const start = (dataDir: string, autoMineMs?: number): Promise<RunningChain> =>
  startChain({ port: 0, host: '127.0.0.1', dataDir, ...(autoMineMs === undefined ? {} : { autoMineMs }) });
const client = (chain: RunningChain): Esplora => new Esplora({ url: chain.url, network: 'regtest', attempts: 1 });

async function post(chain: RunningChain, path: string, body: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(chain.url + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
  return { status: response.status, text: await response.text() };
}
const get = async (chain: RunningChain, path: string): Promise<any> => (await fetch(chain.url + path)).json();
async function fund(chain: RunningChain, key: SingleKey, amount: number): Promise<string> {
  const { status, text } = await post(chain, '/regtest/fund', { address: address(key), amount_sats: amount });
  expect([status, text]).toEqual([200, expect.stringContaining('txid')]);
  return (JSON.parse(text) as { txid: string }).txid;
}
const intentOf = (to: string, amount: bigint, more: Partial<PaymentIntent> = {}): PaymentIntent => ({
  recipients: [{ address: to, amount }],
  metadata: undefined,
  feeRate: 2_000n,
  ...more,
});
/** Builds from the chain's own answers, and has it checked as a voter would. */
async function build(backend: Esplora, key: SingleKey, intent: PaymentIntent): Promise<UnsignedPayment> {
  const view = { coins: await backend.coinsOf(address(key)), tipHeight: await backend.tipHeight() };
  const payment = buildPayment({ wallet: key.wallet, network: 'regtest', intent, coins: view.coins, policy, locktime: view.tipHeight });
  validatePayment(payment, { wallet: key.wallet, network: 'regtest', policy, intent, view });
  return payment;
}

afterAll(() => folders.forEach((path) => rmSync(path, { recursive: true })));

describe('a running chain', () => {
  let chain: RunningChain;
  let backend: Esplora;
  beforeAll(async () => {
    chain = await start(folder());
    backend = client(chain);
  });
  afterAll(async () => {
    await backend.close();
    await chain.close();
  });
  /** A fresh wallet with one confirmed coin of 100 000 sat, and a payment of 60 000 sat from it. */
  let serial = 0;
  const prepare = async (type: SpendType): Promise<{ key: SingleKey; payment: UnsignedPayment }> => {
    const key = singleKey(type, `wallet ${++serial}`);
    await fund(chain, key, 100_000);
    return { key, payment: await build(backend, key, intentOf(address(singleKey('p2tr', 'payee')), 60_000n)) };
  };
  const refused = async (transaction: Transaction | string): Promise<string> => {
    const { status, text } = await post(chain, '/tx', typeof transaction === 'string' ? transaction : transaction.toHex());
    expect([status, text]).toEqual([400, expect.stringMatching(/^sendrawtransaction RPC error: \{"code":-2\d,"message":".+"\}$/)]);
    return (JSON.parse(text.slice(text.indexOf('{'))) as { message: string }).message;
  };

  test("it is regtest's genesis that it grows from", async () => {
    expect(await backend.blockHash(0)).toBe('0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206');
    expect(await backend.tipHeight()).toBeGreaterThanOrEqual(120);
    expect(await (await fetch(`${chain.url}/blocks/tip/hash`)).text()).toBe(await backend.blockHash(await backend.tipHeight()));
  });

  test.each(TYPES.flatMap((from) => TYPES.map((to) => [from, to] as const)))(
    'a payment from %s to %s: fund, spend, mine, spend on',
    async (from, to) => {
      const [payer, payee] = [singleKey(from, `payer to ${to}`), singleKey(to, `payee of ${from}`)];
      const funding = await fund(chain, payer, 70_000);
      await fund(chain, payer, 50_000);
      const payment = await build(backend, payer, intentOf(address(payee), 90_000n, { metadata: utf8('MPCW') }));
      expect(payment.inputs).toHaveLength(2);
      const signed = payer.sign(payment);

      expect(await backend.broadcast(signed.hex)).toBe(signed.txid);
      expect(await backend.broadcast(signed.hex)).toBe(signed.txid);
      expect(await backend.txStatus(signed.txid)).toEqual({ confirmed: false });
      expect((await backend.coinsOf(address(payee))).map((coin) => [coin.value, coin.confirmations])).toEqual([[90_000n, 0]]);
      expect(await get(chain, '/mempool')).toMatchObject({ count: 1, vsize: signed.vsize, total_fee: Number(signed.fee) });

      await post(chain, '/regtest/mine', { blocks: 2 });
      const tip = await backend.tipHeight();
      expect(await backend.txStatus(signed.txid)).toMatchObject({
        confirmed: true,
        block_height: tip - 1,
        block_hash: await backend.blockHash(tip - 1),
      });
      expect((await backend.coinsOf(address(payee)))[0]!.confirmations).toBe(2);
      expect((await backend.coinsOf(address(payer))).map((coin) => coin.value)).toEqual([30_000n - signed.fee]);
      expect(await get(chain, `/tx/${funding}/outspend/0`)).toMatchObject({ spent: true, txid: signed.txid });
      expect(await get(chain, `/tx/${signed.txid}/outspend/0`)).toEqual({ spent: false });
      // Once mined, a repetition is refused as Core does, and the client knows better.
      expect(await refused(signed.hex)).toBe('Transaction already in block chain');
      expect(await backend.broadcast(signed.hex)).toBe(signed.txid);

      const seen = (await backend.tx(signed.txid))!;
      expect([seen.fee, seen.weight, seen.vin.length]).toEqual([Number(signed.fee), signed.weight, 2]);
      expect(seen.vout.map((output) => [output.scriptpubkey_address, output.value])).toEqual([
        [address(payee), 90_000],
        [undefined, 0],
        [address(payer), 30_000 - Number(signed.fee)],
      ]);
      expect((await backend.addressTxs(address(payer))).map((tx) => tx.txid)[0]).toBe(signed.txid);
      expect(await get(chain, `/address/${address(payer)}`)).toMatchObject({
        chain_stats: { funded_txo_count: 3, spent_txo_count: 2, spent_txo_sum: 120_000, tx_count: 3 },
      });
    },
  );

  test.each(['mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', '2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc'])(
    'legacy recipient %s is paid',
    async (recipient) => {
      const key = singleKey('p2wpkh', `legacy ${recipient}`);
      await fund(chain, key, 100_000);
      await backend.broadcast(key.sign(await build(backend, key, intentOf(recipient, 10_000n))).hex);
      expect((await backend.coinsOf(recipient))[0]!.value).toBe(10_000n);
      await post(chain, '/regtest/mine', {});
    },
  );

  test('a block is real: its header hashes to its id, its roots hold, and the id has the work', async () => {
    const { payment, key } = await prepare('p2wpkh');
    await backend.broadcast(key.sign(payment).hex);
    await post(chain, '/regtest/mine', { blocks: 1 });
    const id = (await backend.blockHash(await backend.tipHeight()))!;
    const header = Block.fromHex(await (await fetch(`${chain.url}/block/${id}/header`)).text());
    expect([header.getId(), header.checkProofOfWork()]).toEqual([id, true]);
    expect(hex(Uint8Array.from(header.prevHash!).reverse())).toBe(await backend.blockHash((await backend.tipHeight()) - 1));
  });

  describe('what it refuses', () => {
    const signedBy = async (type: SpendType): Promise<Transaction> => {
      const { key, payment } = await prepare(type);
      return Transaction.fromHex(key.sign(payment).hex);
    };
    const bent = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, bytes.at(at)! ^ 1);

    test.each([
      ['p2wpkh', /Signature must be zero/],
      ['p2wsh', /Signature must be zero/],
      ['p2tr', /Invalid Schnorr signature/],
    ] as const)('%s: one bit of the signature, of the outputs, of the value spent', async (type, reason) => {
      const tx = await signedBy(type);
      const witness = tx.ins[0]!.witness;
      const corrupt = tx.clone();
      corrupt.setWitness(0, [bent(witness[0]!, 40), ...witness.slice(1)]);
      expect(await refused(corrupt)).toMatch(reason);
      const diverted = tx.clone();
      diverted.outs[0]!.value -= 1n;
      expect(await refused(diverted)).toMatch(reason);
      const redirected = tx.clone();
      redirected.outs[0]!.script = singleKey('p2wpkh', 'thief').wallet.script;
      expect(await refused(redirected)).toMatch(reason);
      // Untouched, it is accepted.
      expect((await post(chain, '/tx', tx.toHex())).status).toBe(200);
    });

    test.each(['p2wpkh', 'p2wsh'] as const)('%s: high s, loose DER, other sighash types, other keys, surplus items', async (type) => {
      const tx = await signedBy(type);
      const [signature, lock] = tx.ins[0]!.witness as [Uint8Array, Uint8Array];
      const withWitness = (...stack: Uint8Array[]): Transaction => {
        const copy = tx.clone();
        copy.setWitness(0, stack);
        return copy;
      };
      const { signature: compact } = scripts.signature.decode(signature);
      const s = CURVE_ORDER - BigInt(`0x${hex(compact.subarray(32))}`);
      const high = Buffer.concat([compact.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
      expect(await refused(withWitness(scripts.signature.encode(high, 1), lock))).toMatch(/S value is unnecessarily high/);
      expect(await refused(withWitness(Uint8Array.of(...signature.subarray(0, -1), 0, 1), lock))).toMatch(/Non-canonical DER/);
      expect(await refused(withWitness(signature.with(-1, 2), lock))).toMatch(/not supported by the devnet: sighash/);
      expect(await refused(withWitness(signature.with(-1, 0x81), lock))).toMatch(/not supported by the devnet: sighash/);
      expect(
        await refused(withWitness(signature, singleKey(type, 'thief').wallet.witnessScript ?? singleKey(type, 'thief').wallet.publicKey)),
      ).toMatch(/program hash mismatch/);
      expect(await refused(withWitness(signature, signature, lock))).toMatch(type === 'p2wpkh' ? /mismatch/ : /Stack size/);
      expect(await refused(withWitness(signature))).toMatch(/mismatch/);
      expect(await refused(withWitness(new Uint8Array(), lock))).toMatch(/Non-canonical DER/);
      const scriptSig = tx.clone();
      scriptSig.setInputScript(0, Uint8Array.of(0x51));
      expect(await refused(scriptSig)).toMatch(/empty scriptSig/);
    });

    test('p2tr: script path, annex, other sighash types, other lengths', async () => {
      const tx = await signedBy('p2tr');
      const [signature] = tx.ins[0]!.witness as [Uint8Array];
      const withWitness = (...stack: Uint8Array[]): Transaction => {
        const copy = tx.clone();
        copy.setWitness(0, stack);
        return copy;
      };
      expect(await refused(withWitness(Uint8Array.of(...signature, 1)))).toMatch(/not supported by the devnet: Taproot sighash/);
      expect(await refused(withWitness(signature, Uint8Array.of(0x50)))).toMatch(/not supported by the devnet: Taproot script path/);
      expect(await refused(withWitness(signature.subarray(1)))).toMatch(/Invalid Schnorr signature size/);
      const bare = tx.clone();
      bare.ins[0]!.witness = [];
      expect(await refused(bare)).toMatch(/empty witness/);
    });

    test('spent coins: in the mempool, and in a block', async () => {
      const { key, payment } = await prepare('p2wpkh');
      const again = await build(backend, key, intentOf(address(singleKey('p2wpkh', 'thief')), 50_000n));
      await backend.broadcast(key.sign(payment).hex);
      expect(await refused(key.sign(again).hex)).toBe('txn-mempool-conflict');
      await post(chain, '/regtest/mine', {});
      expect(await refused(key.sign(again).hex)).toBe('bad-txns-inputs-missingorspent');
    });

    /** A payment changed before it is signed: the signatures are right, something else is not. */
    const edited = async (change: Partial<UnsignedPayment> | ((payment: UnsignedPayment) => Partial<UnsignedPayment>)): Promise<string> => {
      const { key, payment } = await prepare('p2tr');
      return refused(key.sign({ ...payment, ...(typeof change === 'function' ? change(payment) : change) }).hex);
    };
    const changeOf = (value: (payment: UnsignedPayment) => bigint) => (payment: UnsignedPayment) => ({
      outputs: payment.outputs.with(1, { ...payment.outputs[1]!, value: value(payment) }),
    });

    test('amounts', async () => {
      expect(await edited(changeOf(() => 40_001n))).toBe('bad-txns-in-belowout');
      expect(await edited(changeOf(() => 39_999n))).toMatch(/min relay fee not met, 1 < \d+/);
      expect(await edited(changeOf(() => 329n))).toBe('dust');
      expect(await edited(changeOf(() => 2_100_000_000_000_001n))).toBe('bad-txns-vout-toolarge');
      expect(await edited((p) => ({ outputs: [{ ...p.outputs[0]!, value: 2_100_000_000_000_000n }, { ...p.outputs[1]!, value: 1_000n }] }))).toBe('bad-txns-vout-toolarge'); // prettier-ignore
    });

    test('a fee that is surely a mistake', async () => {
      const key = singleKey('p2tr', 'careless');
      await fund(chain, key, 10_000_000);
      const payment = await build(backend, key, intentOf(address(key), 60_000n));
      const burning = { ...payment, outputs: payment.outputs.slice(0, 1) };
      expect(await refused(key.sign(burning).hex)).toMatch(/Fee exceeds maximum/);
    });

    test('inputs that do not exist, or twice the same', async () => {
      expect(await edited((p) => ({ inputs: [{ ...p.inputs[0]!, txid: '11'.repeat(32) }] }))).toBe('bad-txns-inputs-missingorspent');
      expect(await edited((p) => ({ inputs: [{ ...p.inputs[0]!, vout: 9 }] }))).toBe('bad-txns-inputs-missingorspent');
      expect(await edited((p) => ({ inputs: [p.inputs[0]!, p.inputs[0]!] }))).toBe('bad-txns-inputs-duplicate');
    });

    test('locks, versions and forms', async () => {
      expect(await edited({ locktime: (await backend.tipHeight()) + 2 })).toBe('non-final');
      expect(await edited({ locktime: 1_700_000_000 })).toMatch(/not supported by the devnet: lock times/);
      expect(await edited((p) => ({ inputs: [{ ...p.inputs[0]!, sequence: 5 }] }))).toMatch(/not supported by the devnet: relative/);
      expect(await edited({ version: 3 })).toBe('version');
      expect(await edited((p) => ({ outputs: [...p.outputs, { script: Uint8Array.of(0x51), value: 1_000n }] }))).toBe('scriptpubkey');
      const note = { script: metadataScript(utf8('x')), value: 0n };
      expect(await edited((p) => ({ outputs: [...p.outputs, note, note] }))).toBe('multi-op-return');
      expect(await edited({ outputs: [{ script: Uint8Array.of(0x6a), value: 0n }] })).toMatch(/tx-size-small|Fee exceeds/);
    });

    test('a coinbase before its 100 blocks, and a script the devnet does not run', async () => {
      const tip = (await get(chain, `/blocks/tip/height`)) as number;
      const header = Block.fromHex(await (await fetch(`${chain.url}/block/${await backend.blockHash(tip)}/header`)).text());
      // A block with nothing but its coinbase: the Merkle root is the coinbase's id.
      await post(chain, '/regtest/mine', { blocks: 1 });
      const empty = Block.fromHex(await (await fetch(`${chain.url}/block/${await backend.blockHash(tip + 1)}/header`)).text());
      const spend = (merkleRoot: Uint8Array): Transaction => {
        const tx = new Transaction();
        tx.version = 2;
        tx.addInput(merkleRoot, 0, SEQUENCE);
        tx.addOutput(singleKey('p2tr', 'x').wallet.script, 1_000n);
        return tx;
      };
      expect(await refused(spend(empty.merkleRoot!))).toBe('bad-txns-premature-spend-of-coinbase');
      const genesis = Block.fromHex(await (await fetch(`${chain.url}/block/${await backend.blockHash(0)}/header`)).text());
      const old = spend(genesis.merkleRoot!);
      old.outs[0]!.value = 4_999_999_000n;
      expect(await refused(old)).toMatch(/not supported by the devnet/);
      expect(header.version).toBe(0x20000000);
    });

    test('nothing in, nothing out', async () => {
      const tx = await signedBy('p2tr');
      const noOutputs = tx.clone();
      noOutputs.outs = [];
      expect(await refused(noOutputs)).toBe('bad-txns-vout-empty');
      const coinbase = tx.clone();
      coinbase.ins[0]!.hash = new Uint8Array(32);
      expect(await refused(coinbase)).toBe('coinbase');
    });

    test.each(['', 'zz', '00', '0'.repeat(9), '02000000000000000000', 'ff'.repeat(100)])('%j is no transaction', async (text) => {
      expect(await refused(text)).toMatch(/TX decode failed/);
    });
    test('bytes behind a transaction', async () => {
      const tx = await signedBy('p2tr');
      expect(await refused(`${tx.toHex()}00`)).toMatch(/TX decode failed/);
    });
  });

  describe('bad requests', () => {
    test.each<[string, string, unknown, number, RegExp]>([
      ['GET', '/nothing', undefined, 404, /endpoint/],
      ['GET', `/tx/${'ab'.repeat(32)}`, undefined, 404, /Transaction not found/],
      ['GET', `/tx/${'ab'.repeat(32)}/hex`, undefined, 404, /Transaction not found/],
      ['GET', '/block-height/999999', undefined, 404, /Block not found/],
      ['GET', '/address/bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4/utxo', undefined, 400, /mainnet/],
      ['GET', '/tx', undefined, 405, /use POST/],
      ['GET', `/${'x'.repeat(4_000)}`, undefined, 414, /too long/],
      ['POST', '/tx', 'a'.repeat(1_000_001), 413, /larger/],
      ['POST', '/regtest/mine', '{"blocks":0}', 400, /blocks/],
      ['POST', '/regtest/mine', '{"blocks":1001}', 400, /blocks/],
      ['POST', '/regtest/mine', '{', 400, /not JSON/],
      ['POST', '/regtest/fund', '{"address":"x","amount_sats":1000}', 400, /address/],
      ['POST', '/regtest/fund', '{"amount_sats":1000}', 400, /address/],
      ['POST', '/regtest/fund', `{"address":"${address(singleKey('p2tr', 'x'))}","amount_sats":1}`, 400, /dust/],
      ['POST', '/regtest/fund', `{"address":"${address(singleKey('p2tr', 'x'))}","amount_sats":1.5}`, 400, /amount_sats/],
      [
        'POST',
        '/regtest/fund',
        `{"address":"${address(singleKey('p2tr', 'x'))}","amount_sats":2000000000000000}`,
        400,
        /mine blocks first/,
      ],
    ])('%s %s', async (method, path, body, status, message) => {
      const response = await fetch(chain.url + path, { method, ...(body === undefined ? {} : { body: body as string }) });
      expect([response.status, await response.text()]).toEqual([status, expect.stringMatching(message)]);
    });

    test('what is no HTTP at all does not stop it', async () => {
      await new Promise<void>((resolve, reject) => {
        const socket = connect(Number(new URL(chain.url).port), '127.0.0.1', () => socket.write('\x16\x03\x01 nonsense\r\n\r\n'));
        socket
          .on('close', () => resolve())
          .on('error', reject)
          .resume();
      });
      expect(await backend.tipHeight()).toBeGreaterThan(0);
    });
  });

  test('fee estimates are those a wallet can use', async () => {
    expect(await backend.feeRate(1)).toBe(3_000n);
    expect(await backend.feeRate(144)).toBe(1_000n);
  });
});

describe('across restarts', () => {
  const running: RunningChain[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((chain) => chain.close()));
  });
  const open = async (dataDir: string, autoMineMs?: number): Promise<RunningChain> => {
    const chain = await start(dataDir, autoMineMs);
    running.push(chain);
    return chain;
  };
  const stop = async (chain: RunningChain): Promise<void> => {
    running.splice(running.indexOf(chain), 1);
    await chain.close();
  };
  /** A folder with a funded wallet and a payment of it in the mempool. */
  const prepared = async (): Promise<{ dataDir: string; key: SingleKey; txid: string; tip: string }> => {
    const dataDir = folder();
    const chain = await open(dataDir);
    const backend = client(chain);
    const key = singleKey('p2wpkh', 'saver');
    await fund(chain, key, 100_000);
    const { txid, hex } = key.sign(await build(backend, key, intentOf(address(singleKey('p2tr', 'payee')), 60_000n)));
    await backend.broadcast(hex);
    const tip = (await backend.blockHash(await backend.tipHeight()))!;
    await backend.close();
    await stop(chain);
    return { dataDir, key, txid, tip };
  };

  test('blocks, coins and mempool are kept', async () => {
    const { dataDir, key, txid, tip } = await prepared();
    const chain = await open(dataDir);
    const backend = client(chain);
    expect(await backend.blockHash(await backend.tipHeight())).toBe(tip);
    expect(await backend.txStatus(txid)).toEqual({ confirmed: false });
    await post(chain, '/regtest/mine', { blocks: 1 });
    expect((await backend.coinsOf(address(key)))[0]!.confirmations).toBe(1);
    expect((await backend.txStatus(txid))!.confirmed).toBe(true);
    await backend.close();
    expect(statSync(join(dataDir, 'chain.dat')).mode & 0o777).toBe(0o600);
  });

  test('what a crash left half-written is cut off, and the chain goes on', async () => {
    const { dataDir, txid, tip } = await prepared();
    const path = join(dataDir, 'chain.dat');
    truncateSync(path, statSync(path).size - 10);
    const chain = await open(dataDir);
    const backend = client(chain);
    expect(await backend.blockHash(await backend.tipHeight())).toBe(tip);
    expect(await backend.tx(txid)).toBeUndefined();
    await post(chain, '/regtest/mine', { blocks: 1 });
    const height = await backend.tipHeight();
    await backend.close();
    await stop(chain);
    expect(await get(await open(dataDir), '/blocks/tip/height')).toBe(height);
  });

  test('damage in the middle is named, not served', async () => {
    const { dataDir } = await prepared();
    const path = join(dataDir, 'chain.dat');
    const content = readFileSync(path);
    const middle = Math.floor(content.length / 2);
    writeFileSync(path, content.fill(content[middle]! ^ 0xff, middle, middle + 1));
    await expect(open(dataDir)).rejects.toThrow(/damaged at byte/);
    writeFileSync(path, 'something else entirely');
    await expect(open(dataDir)).rejects.toThrow(/damaged at byte 0/);
  });

  test('a file with whole records that are no chain', async () => {
    const [a, b] = [await prepared(), await prepared()];
    const path = join(a.dataDir, 'chain.dat');
    // The second chain's records behind the first's: intact one by one, and not linked.
    writeFileSync(path, Buffer.concat([readFileSync(path), readFileSync(join(b.dataDir, 'chain.dat')).subarray(8)]));
    await expect(open(a.dataDir)).rejects.toThrow(/record \d+ of the stored chain is not valid/);
  });

  test('a folder that cannot be written, a port that is taken', async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    await expect(start(join(file, 'data'))).rejects.toThrow(Refusal);
    const chain = await open(folder());
    const second = startChain({ port: Number(new URL(chain.url).port), host: '127.0.0.1', dataDir: folder() });
    await expect(second).rejects.toMatchObject({ name: 'Refusal', field: 'port' });
  });

  test('blocks come by themselves when asked for, also for what waited over a restart', async () => {
    const { dataDir, txid, key } = await prepared();
    const chain = await open(dataDir, 10);
    const backend = client(chain);
    const confirmed = async (id: string): Promise<void> => {
      for (let i = 0; i < 500 && !(await backend.txStatus(id))?.confirmed; i++) await delay(10);
      expect((await backend.txStatus(id))!.confirmed).toBe(true);
    };
    await confirmed(txid);
    const next = key.sign(await build(backend, key, intentOf(address(singleKey('p2tr', 'payee')), 10_000n)));
    await backend.broadcast(next.hex);
    await confirmed(next.txid);
    await backend.close();
  });
});
