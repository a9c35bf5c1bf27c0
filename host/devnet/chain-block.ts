/** Blocks of the regtest chain: genesis, coinbase, Merkle roots, proof of work. Real ones: a Bitcoin node would parse and hash them alike. */
import { concatBytes, fromHex, utf8 } from '../base/bytes.ts';
import { invariant } from '../base/errors.ts';
import { Block, crypto, script as scripts, Transaction } from '../bitcoin/library.ts';

/** Regtest's difficulty: every second hash satisfies it. */
const REGTEST_BITS = 0x207fffff;
/** BIP-9 version bits, none set. */
const BLOCK_VERSION = 0x20000000;
/** Satoshis of the first coinbases, halved every 150 blocks on regtest. */
const SUBSIDY = 5_000_000_000n;
const HALVING_INTERVAL = 150;
/** BIP-141: OP_RETURN, 36 bytes, magic of the witness commitment. */
const COMMITMENT_PREFIX = fromHex('6a24aa21a9ed');

/** Header and coinbase of Bitcoin's regtest genesis block. */
const GENESIS =
  '0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f200200000001' +
  '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f' +
  '72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0' +
  'ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000';
const GENESIS_HASH = '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206';

export function genesisBlock(): Block {
  const block = Block.fromHex(GENESIS);
  invariant(block.getId() === GENESIS_HASH && block.checkTxRoots(), 'the genesis block is regtest’s');
  return block;
}

export const subsidy = (height: number): bigint => {
  const halvings = Math.floor(height / HALVING_INTERVAL);
  return halvings >= 64 ? 0n : SUBSIDY >> BigInt(halvings);
};

/** Root of Bitcoin's Merkle tree: pairs hashed with SHA-256 twice, an odd last one paired with itself. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  invariant(leaves.length > 0, 'a block has transactions');
  let level = leaves;
  while (level.length > 1) {
    const next: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) next.push(crypto.hash256(concatBytes(level[i]!, level[i + 1] ?? level[i]!)));
    level = next;
  }
  return level[0]!;
}

/** A block on top of `previous` with the transactions in order; the coinbase pays subsidy and `fees` to `minerScript`. */
export function mineBlock(request: {
  readonly previous: Block;
  readonly height: number;
  readonly transactions: readonly Transaction[];
  readonly fees: bigint;
  readonly minerScript: Uint8Array;
  /** Seconds since the epoch. */
  readonly time: number;
}): Block {
  const { previous, height, transactions, fees, minerScript, time } = request;
  const coinbase = new Transaction();
  coinbase.version = 2;
  // BIP-34: the height comes first, which makes every coinbase unique.
  coinbase.addInput(new Uint8Array(32), 0xffffffff, 0xffffffff, scripts.compile([scripts.number.encode(height), utf8('devnet')]));
  const reserved = new Uint8Array(32);
  coinbase.setWitness(0, [reserved]);
  coinbase.addOutput(minerScript, subsidy(height) + fees);
  // BIP-141: the coinbase's own witness id counts as zero.
  const witnessRoot = merkleRoot([new Uint8Array(32), ...transactions.map((tx) => tx.getHash(true))]);
  coinbase.addOutput(concatBytes(COMMITMENT_PREFIX, crypto.hash256(concatBytes(witnessRoot, reserved))), 0n);

  const block = new Block();
  block.version = BLOCK_VERSION;
  block.prevHash = previous.getHash();
  block.transactions = [coinbase, ...transactions];
  block.merkleRoot = merkleRoot(block.transactions.map((tx) => tx.getHash()));
  block.timestamp = time;
  block.bits = REGTEST_BITS;
  while (!block.checkProofOfWork()) block.nonce++;
  return block;
}

/** Whether a stored block is intact: its links, its roots and its work. */
export const followsFrom = (block: Block, previous: Block): boolean =>
  block.prevHash !== undefined &&
  Buffer.compare(block.prevHash, previous.getHash()) === 0 &&
  block.bits === REGTEST_BITS &&
  block.checkProofOfWork() &&
  block.checkTxRoots();
