/** The parts of Esplora's answers that are used, checked on entry. Unknown fields are ignored, as the API grows. */
import { z } from 'zod';
import { MAX_MONEY } from './scripts.ts';

const hash = z.string().regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits expected');
const hexBytes = z.string().regex(/^([0-9a-f]{2})*$/, 'hex digits expected');
const u32 = z.number().int().min(0).max(0xffffffff);
/** Satoshis; 21 million bitcoins are below 2^53. */
const sats = z.number().int().min(0).max(Number(MAX_MONEY));
const height = z.number().int().min(0).max(499_999_999);

export const tipHeight = height;
export const blockHash = hash;

/** Confirmed states name their block. */
export const txStatus = z.discriminatedUnion('confirmed', [
  z.object({ confirmed: z.literal(true), block_height: height, block_hash: hash, block_time: u32 }),
  z.object({ confirmed: z.literal(false) }),
]);
export type TxStatus = z.infer<typeof txStatus>;

export const utxos = z.array(z.object({ txid: hash, vout: u32, value: sats, status: txStatus })).max(100_000);
export type EsploraUtxo = z.infer<typeof utxos>[number];

const output = z.object({ scriptpubkey: hexBytes, scriptpubkey_address: z.string().max(100).optional(), value: sats });

export const transaction = z.object({
  txid: hash,
  version: z.number().int(),
  locktime: u32,
  vin: z.array(
    z.object({
      txid: hash,
      vout: u32,
      prevout: output.nullable(),
      scriptsig: hexBytes,
      witness: z.array(hexBytes).optional(),
      is_coinbase: z.boolean(),
      sequence: u32,
    }),
  ),
  vout: z.array(output),
  size: z.number().int().positive(),
  weight: z.number().int().positive(),
  fee: sats,
  status: txStatus,
});
export type EsploraTransaction = z.infer<typeof transaction>;

export const transactions = z.array(transaction).max(200);

/** Target in blocks → sat/vB. */
export const feeEstimates = z.record(z.string().regex(/^[1-9][0-9]{0,3}$/), z.number().positive().max(100_000));
export type FeeEstimates = z.infer<typeof feeEstimates>;
