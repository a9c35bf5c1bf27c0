/** The chain's contents in the shapes of Esplora's HTTP API. */
import { hex } from '../base/bytes.ts';
import { addressOf } from '../bitcoin/address.ts';
import type { Ledger } from './chain-ledger.ts';
import { previousTxid } from './chain-rules.ts';
import { scriptType, type Entry, type Output } from './chain-types.ts';

const TYPE_NAMES = {
  p2pkh: 'p2pkh',
  p2sh: 'p2sh',
  p2wpkh: 'v0_p2wpkh',
  p2wsh: 'v0_p2wsh',
  p2tr: 'v1_p2tr',
  op_return: 'op_return',
} as const;

export function statusJson(ledger: Ledger, entry: Entry): object {
  if (entry.height === undefined) return { confirmed: false };
  const { block, hash } = ledger.block(entry.height)!;
  return { confirmed: true, block_height: entry.height, block_hash: hash, block_time: block.timestamp };
}

function outputJson({ script, value }: Output): object {
  const type = scriptType(script);
  return {
    scriptpubkey: hex(script),
    scriptpubkey_type: type === undefined ? 'unknown' : TYPE_NAMES[type],
    ...(type === undefined || type === 'op_return' ? {} : { scriptpubkey_address: addressOf(script, 'regtest') }),
    value: Number(value),
  };
}

export function transactionJson(ledger: Ledger, entry: Entry): object {
  const { transaction, txid } = entry;
  const coinbase = transaction.isCoinbase();
  const spent = ledger.spentBy(transaction);
  return {
    txid,
    version: transaction.version,
    locktime: transaction.locktime,
    vin: transaction.ins.map((input, i) => ({
      txid: previousTxid(input.hash),
      vout: input.index,
      prevout: spent[i] === undefined ? null : outputJson(spent[i]),
      scriptsig: hex(input.script),
      ...(input.witness.length === 0 ? {} : { witness: input.witness.map(hex) }),
      is_coinbase: coinbase,
      sequence: input.sequence,
    })),
    vout: transaction.outs.map(outputJson),
    size: transaction.byteLength(),
    weight: transaction.weight(),
    fee: Number(entry.fee),
    status: statusJson(ledger, entry),
  };
}

export const utxosJson = (ledger: Ledger, script: Uint8Array): object[] =>
  ledger
    .unspentOf(script)
    .map(({ entry, vout, value }) => ({ txid: entry.txid, vout, value: Number(value), status: statusJson(ledger, entry) }));

export function outspendJson(ledger: Ledger, txid: string, vout: number): object {
  const spend = ledger.spend(txid, vout);
  return spend === undefined ? { spent: false } : { spent: true, ...spend, status: statusJson(ledger, ledger.entry(spend.txid)!) };
}

/** Sums over the chain and over the mempool, apart. */
export function addressJson(ledger: Ledger, address: string, script: Uint8Array): object {
  const stats = { chain: emptyStats(), mempool: emptyStats() };
  const isOurs = (output: Output | undefined): boolean => output !== undefined && Buffer.compare(output.script, script) === 0;
  for (const entry of ledger.historyOf(script)) {
    const side = entry.height === undefined ? stats.mempool : stats.chain;
    side.tx_count++;
    for (const output of entry.transaction.outs.filter(isOurs)) {
      side.funded_txo_count++;
      side.funded_txo_sum += Number(output.value);
    }
    for (const output of ledger.spentBy(entry.transaction).filter(isOurs)) {
      side.spent_txo_count++;
      side.spent_txo_sum += Number(output!.value);
    }
  }
  return { address, chain_stats: stats.chain, mempool_stats: stats.mempool };
}

const emptyStats = (): Record<'funded_txo_count' | 'funded_txo_sum' | 'spent_txo_count' | 'spent_txo_sum' | 'tx_count', number> => ({
  funded_txo_count: 0,
  funded_txo_sum: 0,
  spent_txo_count: 0,
  spent_txo_sum: 0,
  tx_count: 0,
});

export function mempoolJson(ledger: Ledger): object {
  const entries = ledger.mempool;
  const sizes = entries.map((entry) => entry.transaction.virtualSize());
  return {
    count: entries.length,
    vsize: sizes.reduce((sum, size) => sum + size, 0),
    total_fee: entries.reduce((sum, entry) => sum + Number(entry.fee), 0),
    fee_histogram: entries.map((entry, i) => [Number(entry.fee) / sizes[i]!, sizes[i]!]).sort(([a], [b]) => b! - a!),
  };
}
