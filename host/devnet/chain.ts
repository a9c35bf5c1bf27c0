/**
 * A regtest chain in one process, with the HTTP API of Esplora: for the local cluster and for tests, where there is no Bitcoin node. What it
 * accepts it has verified: amounts, maturity, relay rules, scripts and signatures. It has one miner, itself, so it never reorganises, and
 * it knows no replacement (BIP-125).
 */
import type { AddressInfo } from 'node:net';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToBigint, utf8 } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { DEFAULT_PAYMENT_POLICY, type Coin } from '../bitcoin/coins.ts';
import { walletScript } from '../bitcoin/scripts.ts';
import { sighash } from '../bitcoin/sighash.ts';
import { attachEcdsa, buildPayment, finalize } from '../bitcoin/transaction.ts';
import { chainServer } from './chain-http.ts';
import { Ledger } from './chain-ledger.ts';
import { COINBASE_MATURITY } from './chain-rules.ts';
import { ChainStore } from './chain-store.ts';

export interface ChainOptions {
  /** 0 for any free port. */
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  /** Milliseconds from a transaction's entry into the mempool to the block that holds it; without it, blocks come by POST /regtest/mine only. */
  readonly autoMineMs?: number;
  /** Milliseconds since the epoch; replaced in tests. */
  readonly clock?: () => number;
}

export interface RunningChain {
  readonly url: string;
  close(): Promise<void>;
}

/** The miner's key is no secret: it holds regtest coins only, and a fixed one survives restarts without being stored. */
const MINER_KEY = sha256(utf8('threshold-wallet devnet miner'));
const MINER = walletScript('p2wpkh', secp256k1.getPublicKey(MINER_KEY, true));
/** Coinbases of 50 BTC that can be spent right after the first start. */
const MATURE_AT_START = 20;
/** sat/kvB. */
const FUNDING_RATE = 2_000n;
const FUNDING_POLICY = { ...DEFAULT_PAYMENT_POLICY, maxInputs: 100 };

/** @throws Refusal when the data folder cannot be written, holds a damaged chain, or the port is in use. */
export async function startChain(options: ChainOptions): Promise<RunningChain> {
  const store = new ChainStore(options.dataDir);
  try {
    const ledger = new Ledger(store, MINER.script, options.clock ?? Date.now);
    // The first coinbases mature, so that there is something to fund from.
    if (ledger.height === 0) ledger.mine(COINBASE_MATURITY + MATURE_AT_START);
    return await serve(ledger, store, options);
  } catch (error) {
    store.close();
    throw error;
  }
}

async function serve(ledger: Ledger, store: ChainStore, { port, host, autoMineMs }: ChainOptions): Promise<RunningChain> {
  let timer: NodeJS.Timeout | undefined;
  let failure: Error | undefined;
  const scheduleBlock = (): void => {
    if (autoMineMs === undefined || timer !== undefined || ledger.mempool.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      try {
        ledger.mine(1);
      } catch (error) {
        // Nobody waits for this block: whoever asks next is told.
        failure = error as Error;
        return;
      }
      // What had no room waits for the next block.
      scheduleBlock();
    }, autoMineMs);
  };
  const server = chainServer({
    ledger,
    failure: () => failure,
    broadcast: (hex) => {
      const txid = ledger.accept(hex);
      scheduleBlock();
      return txid;
    },
    mine: (blocks) => ledger.mine(blocks),
    fund: (address, amount) => fund(ledger, address, amount),
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const remedy =
        error.code === 'EADDRINUSE'
          ? 'stop what listens there, or choose another port'
          : 'choose an address and port this machine may listen on';
      reject(new Refusal('cannot_listen', 'port', `the chain cannot listen on ${host}:${port}: ${error.message}`, remedy));
    });
    server.listen(port, host, resolve);
  });
  scheduleBlock();
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    close: async () => {
      clearTimeout(timer);
      await new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      });
      store.close();
    },
  };
}

/** Spends mature coins of the miner through the front door: the transaction is checked like any other. */
function fund(ledger: Ledger, address: string, amount: bigint): { txid: string; vout: number } {
  const coins = minerCoins(ledger);
  const balance = coins.reduce((sum, coin) => sum + coin.value, 0n);
  if (balance < amount + FUNDING_POLICY.exemptFee) {
    throw new Refusal(
      'insufficient_funds',
      'amount_sats',
      `the chain's own mature coins are worth ${balance} sat`,
      'ask for less, or mine blocks first: POST /regtest/mine',
    );
  }
  const payment = buildPayment({
    wallet: MINER,
    network: 'regtest',
    intent: { recipients: [{ address, amount }], metadata: undefined, feeRate: FUNDING_RATE },
    coins,
    policy: FUNDING_POLICY,
  });
  const witnesses = payment.inputs.map((_, i) => {
    const signature = secp256k1.sign(sighash(payment, i), MINER_KEY, { prehash: false, lowS: true });
    return attachEcdsa(
      payment,
      i,
      { r: bytesToBigint(signature.subarray(0, 32)), s: bytesToBigint(signature.subarray(32)) },
      MINER.publicKey,
    );
  });
  const txid = ledger.accept(finalize(payment, witnesses).hex);
  ledger.mine(1);
  invariant(ledger.entry(txid)?.height === ledger.height, 'the funding transaction is in the block just mined');
  return { txid, vout: 0 };
}

/** What the miner can spend now: mature coinbases and confirmed change. */
function minerCoins(ledger: Ledger): Coin[] {
  return ledger.unspentOf(MINER.script).flatMap(({ entry, vout, value }) => {
    const confirmations = entry.height === undefined ? 0 : ledger.height - entry.height + 1;
    if (entry.transaction.isCoinbase() && confirmations < COINBASE_MATURITY) return [];
    return [{ txid: entry.txid, vout, value, script: MINER.script, confirmations }];
  });
}
