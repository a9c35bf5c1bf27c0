/** Shapes that the parts of the devnet chain share. */
import type { Block, Transaction } from '../bitcoin/library.ts';

export { scriptType } from '../bitcoin/scripts.ts';

export interface Output {
  readonly script: Uint8Array;
  readonly value: bigint;
}

/** A transaction the chain knows: mined when `height` is set, else in the mempool. */
export interface Entry {
  readonly transaction: Transaction;
  readonly txid: string;
  /** Satoshis; 0 for a coinbase. */
  readonly fee: bigint;
  height: number | undefined;
}

export interface Spend {
  readonly txid: string;
  readonly vin: number;
}

export interface BlockEntry {
  readonly block: Block;
  readonly hash: string;
}

/** A transaction that the chain does not accept. `code` and `reason` are those of Bitcoin Core's `sendrawtransaction`. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
  constructor(
    readonly code: -22 | -25 | -26 | -27,
    readonly reason: string,
  ) {
    super(reason);
  }
}
