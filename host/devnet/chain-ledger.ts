/** The chain itself: blocks, mempool and the indexes that the HTTP face reads. Every change is on disk before it shows. */
import { hex } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { Block, Transaction } from '../bitcoin/library.ts';
import { followsFrom, genesisBlock, mineBlock } from './chain-block.ts';
import { checkTransaction, parseTransaction, previousTxid } from './chain-rules.ts';
import type { ChainStore, StoredRecord } from './chain-store.ts';
import { Rejected, type BlockEntry, type Entry, type Output, type Spend } from './chain-types.ts';

/** Room left for header and coinbase in a block of 4 000 000 weight units. */
const MAX_BLOCK_TRANSACTIONS_WEIGHT = 3_990_000;

export const key = (txid: string, vout: number): string => `${txid}:${vout}`;

export class Ledger {
  readonly #store: ChainStore;
  readonly #minerScript: Uint8Array;
  readonly #clock: () => number;
  readonly #blocks: BlockEntry[] = [];
  readonly #heights = new Map<string, number>();
  readonly #entries = new Map<string, Entry>();
  readonly #mempool = new Map<string, Entry>();
  readonly #spends = new Map<string, Spend>();
  /** Transactions that pay to or spend from a script, in the order they came. */
  readonly #history = new Map<string, Set<string>>();

  /** Replays the store. @throws Refusal when what it holds is not a chain. */
  constructor(store: ChainStore, minerScript: Uint8Array, clock: () => number) {
    this.#store = store;
    this.#minerScript = minerScript;
    this.#clock = clock;
    this.#connect(genesisBlock());
    for (const [i, record] of store.records.entries()) this.#replay(record, i);
  }

  get height(): number {
    return this.#blocks.length - 1;
  }
  get mempool(): readonly Entry[] {
    return [...this.#mempool.values()];
  }
  block(height: number): BlockEntry | undefined {
    return this.#blocks[height];
  }
  heightOf(hash: string): number | undefined {
    return this.#heights.get(hash);
  }
  entry(txid: string): Entry | undefined {
    return this.#entries.get(txid);
  }
  spend(txid: string, vout: number): Spend | undefined {
    return this.#spends.get(key(txid, vout));
  }
  /** Transactions that touch the script, oldest first. */
  historyOf(script: Uint8Array): Entry[] {
    return [...(this.#history.get(hex(script)) ?? [])].map((txid) => this.#entries.get(txid)!);
  }
  /** Unspent outputs of the script, mempool included on both sides, oldest first. */
  unspentOf(script: Uint8Array): { readonly entry: Entry; readonly vout: number; readonly value: bigint }[] {
    return this.historyOf(script).flatMap((entry) =>
      entry.transaction.outs.flatMap((output, vout) =>
        Buffer.compare(output.script, script) === 0 && this.spend(entry.txid, vout) === undefined
          ? [{ entry, vout, value: output.value }]
          : [],
      ),
    );
  }
  /** The outputs that a transaction's inputs spend; undefined for a coinbase's. */
  spentBy(transaction: Transaction): (Output | undefined)[] {
    return transaction.ins.map(({ hash, index }) => this.#entries.get(previousTxid(hash))?.transaction.outs[index]);
  }

  /** Takes a serialised transaction into the mempool and returns its id. @throws Rejected */
  accept(text: string): string {
    const transaction = parseTransaction(text);
    const txid = transaction.getId();
    const known = this.#entries.get(txid);
    if (known?.height !== undefined) throw new Rejected(-27, 'Transaction already in block chain');
    if (known !== undefined) return txid;
    const entry = this.#examine(transaction, txid);
    this.#store.append({ kind: 'transaction', payload: transaction.toBuffer() });
    this.#enter(entry);
    return txid;
  }

  /** Mines blocks, the first with what the mempool holds. Returns their hashes. */
  mine(count: number): string[] {
    const blocks: Block[] = [];
    const times = this.#blocks.slice(-11).map(({ block }) => block.timestamp);
    let previous = this.#blocks.at(-1)!.block;
    let chosen = this.#choose();
    for (let i = 0; i < count; i++) {
      // Later than the median of the last 11, as consensus asks, and never in the past.
      const median = [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
      const time = Math.max(Math.floor(this.#clock() / 1000), median + 1);
      previous = mineBlock({
        previous,
        height: this.height + 1 + i,
        transactions: chosen.map((entry) => entry.transaction),
        fees: chosen.reduce((sum, entry) => sum + entry.fee, 0n),
        minerScript: this.#minerScript,
        time,
      });
      blocks.push(previous);
      times.push(time);
      if (times.length > 11) times.shift();
      chosen = [];
    }
    this.#store.append(...blocks.map((block): StoredRecord => ({ kind: 'block', payload: block.toBuffer() })));
    for (const block of blocks) this.#connect(block);
    return blocks.map((block) => block.getId());
  }

  /** In order of arrival, so that parents come before children, as far as a block has room. */
  #choose(): Entry[] {
    const chosen: Entry[] = [];
    let weight = 0;
    for (const entry of this.#mempool.values()) {
      weight += entry.transaction.weight();
      if (weight > MAX_BLOCK_TRANSACTIONS_WEIGHT) break;
      chosen.push(entry);
    }
    return chosen;
  }

  #examine(transaction: Transaction, txid: string): Entry {
    const fee = checkTransaction(transaction, {
      tipHeight: this.height,
      output: (id, vout) => {
        const entry = this.#entries.get(id);
        const output = entry?.transaction.outs[vout];
        return entry === undefined || output === undefined
          ? undefined
          : { ...output, height: entry.height, coinbase: entry.transaction.isCoinbase() };
      },
      spender: (id, vout) => {
        const spend = this.spend(id, vout);
        return spend === undefined ? undefined : { confirmed: this.#entries.get(spend.txid)!.height !== undefined };
      },
    });
    return { transaction, txid, fee, height: undefined };
  }

  #enter(entry: Entry): void {
    this.#index(entry);
    this.#mempool.set(entry.txid, entry);
  }

  #connect(block: Block): void {
    const height = this.#blocks.length;
    const hash = block.getId();
    this.#blocks.push({ block, hash });
    this.#heights.set(hash, height);
    for (const transaction of block.transactions ?? []) {
      const txid = transaction.getId();
      const waiting = this.#mempool.get(txid);
      if (waiting === undefined) {
        invariant(transaction.isCoinbase(), 'only the coinbase of a block was not in the mempool before');
        this.#index({ transaction, txid, fee: 0n, height });
      } else {
        waiting.height = height;
        this.#mempool.delete(txid);
      }
    }
  }

  #index(entry: Entry): void {
    const { transaction, txid } = entry;
    this.#entries.set(txid, entry);
    const touch = (script: Uint8Array): void => {
      const name = hex(script);
      const history = this.#history.get(name) ?? new Set();
      this.#history.set(name, history.add(txid));
    };
    for (const output of transaction.outs) touch(output.script);
    if (transaction.isCoinbase()) return;
    for (const [vin, { hash, index }] of transaction.ins.entries()) {
      const from = previousTxid(hash);
      this.#spends.set(key(from, index), { txid, vin });
      touch(this.#entries.get(from)!.transaction.outs[index]!.script);
    }
  }

  /** Stored transactions are examined again, blocks checked for links, roots and work: a damaged file is noticed, not served. */
  #replay(record: StoredRecord, i: number): void {
    try {
      if (record.kind === 'transaction') {
        const transaction = Transaction.fromBuffer(record.payload);
        this.#enter(this.#examine(transaction, transaction.getId()));
      } else {
        const block = Block.fromBuffer(record.payload);
        invariant(followsFrom(block, this.#blocks.at(-1)!.block), 'the block follows from the one before');
        this.#connect(block);
      }
    } catch (error) {
      throw new Refusal(
        'damaged_chain',
        'data',
        `record ${i} of the stored chain is not valid: ${(error as Error).message}`,
        'restore chain.dat from a copy, or remove it to start a new chain',
      );
    }
  }
}
