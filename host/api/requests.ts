/**
 * What requests may hold. Every object is strict: a field nobody knows is refused by name, so that a misspelt `fee_rate` is never ignored.
 * These checks are about form. Whether an address is of this network or a balance suffices, the wallet decides.
 */
import { z } from 'zod';
import { ADDRESS_TYPES, MAX_GENERATE, TRANSACTION_STATES } from '../wallet/types.ts';

/** All the satoshis there can ever be. */
const MAX_SATOSHIS = 2_100_000_000_000_000;
export const MAX_METADATA_BYTES = 80;

const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
const amount = z.int().min(1).max(MAX_SATOSHIS).describe('Satoshis, a whole number.');
/** Bech32 addresses have at most 90 characters (BIP-173), others fewer. */
const address = z.string().regex(/^[A-Za-z0-9]{14,90}$/).describe('Bitcoin address of the network of the cluster.'); // prettier-ignore

export const walletParams = z.strictObject({ id });
export const txidParams = z.strictObject({ txid: id });
export const votesParams = z.strictObject({ tx_id: id });

export const createWalletBody = z
  .strictObject({
    name: z.exactOptional(z.string().min(1).max(64)),
    protocol: z
      .exactOptional(z.enum(['cggmp24', 'frost', 'both']))
      .describe('cggmp24: ECDSA. frost: Schnorr. both: two wallets, one of each. When absent what address_type needs, else cggmp24.'),
    address_type: z
      .exactOptional(z.enum([...ADDRESS_TYPES.cggmp24, ...ADDRESS_TYPES.frost]))
      .describe(
        'p2wpkh (the usual one of cggmp24), p2wsh (cggmp24, of the script <key> OP_CHECKSIG) or p2tr (frost). It never changes afterwards.',
      ),
    threshold: z.exactOptional(z.int().min(2).max(16)),
    total_nodes: z.exactOptional(z.int().min(2).max(16)),
  })
  .superRefine(({ protocol, address_type, threshold, total_nodes }, context) => {
    if (protocol === 'both' && address_type !== undefined) {
      const message = `"address_type" cannot be ${address_type} for both protocols: no type is of both`;
      context.addIssue({ code: 'custom', path: ['address_type'], message });
    }
    if (threshold !== undefined && total_nodes !== undefined && threshold > total_nodes) {
      const message = `"threshold" cannot be ${threshold}: it must be at most total_nodes (${total_nodes})`;
      context.addIssue({ code: 'custom', path: ['threshold'], message });
    }
  });

export type CreateWalletBody = z.output<typeof createWalletBody>;

export const sendBody = z
  .strictObject({
    recipient: z.exactOptional(address).describe('The one recipient; with amount_sats.'),
    amount_sats: z.exactOptional(amount),
    recipients: z.exactOptional(z.array(z.strictObject({ address, amount_sats: amount })).min(1).max(100)).describe('Instead of recipient and amount_sats.'), // prettier-ignore
    fee_rate: z
      .exactOptional(z.number().positive().max(1_000_000))
      .describe("Satoshis per virtual byte; the backend's estimate when absent."),
    metadata: z.exactOptional(z.string()).describe(`Public text in an OP_RETURN output, at most ${MAX_METADATA_BYTES} bytes in UTF-8.`),
  })
  .superRefine((body, context) => {
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if (body.recipients !== undefined) {
      if (body.recipient !== undefined) refuse('recipient', '"recipient" and "recipients" are both given');
      if (body.amount_sats !== undefined) refuse('amount_sats', '"amount_sats" and "recipients" are both given');
    } else {
      if (body.recipient === undefined) refuse('recipient', '"recipient" is missing');
      if (body.amount_sats === undefined) refuse('amount_sats', '"amount_sats" is missing');
    }
    const bytes = Buffer.byteLength(body.metadata ?? '', 'utf8');
    if (bytes > MAX_METADATA_BYTES) refuse('metadata', `"metadata" is ${bytes} bytes long; at most ${MAX_METADATA_BYTES} fit`);
    if (body.metadata === '') refuse('metadata', '"metadata" is empty');
  });
export type SendBody = z.output<typeof sendBody>;

/** Loose: a request has other headers, which are none of our business. */
export const sendHeaders = z.looseObject({
  'idempotency-key': z
    .exactOptional(z.string().regex(/^[\x21-\x7e]{1,128}$/))
    .describe('Same key and same body: same payment. Same key, other body: 409.'),
});

const paging = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
};
const state = z.exactOptional(z.enum(TRANSACTION_STATES));
export const walletTransactionsQuery = z.strictObject({ ...paging, state });
export const transactionsQuery = z.strictObject({ ...paging, state, wallet_id: z.exactOptional(id) });
/** Accounts and indices: BIP-32 steps that are not hardened. */
const step = z.int().min(0).max(0x7fffffff);
const stepQuery = z.coerce.number().pipe(step);
export const newAddressBody = z.strictObject({
  account: z.exactOptional(step).describe('A user of the wallet; 0 when absent.'),
  index: z
    .exactOptional(step)
    .describe(
      'An index that other software derived from the descriptor: it and all before it are looked at from now on. The next one when absent.',
    ),
});
export const addressQuery = z
  .strictObject({ account: z.exactOptional(stepQuery), index: z.exactOptional(stepQuery) })
  .refine(({ account, index }) => account === undefined || index !== undefined, {
    path: ['index'],
    message: '"index" is missing: an account has many addresses',
  });
export const addressesQuery = z.strictObject({ ...paging, account: z.exactOptional(stepQuery) });
export const descriptorQuery = z.strictObject({ account: stepQuery.default(0) });
export const walletQuery = z.strictObject({ wallet_id: z.exactOptional(id) });

const nodes = z
  .array(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/))
  .min(2)
  .max(16);
const threshold = z.int().min(2).max(16);
/** Of a request that says all in its URL. */
export const emptyBody = z.strictObject({});
export const reshareBody = z.strictObject({
  threshold: threshold.describe('Nodes that must sign afterwards.'),
  nodes: nodes.describe('Nodes that hold a share afterwards.'),
});
export const agreeBody = z.strictObject({
  threshold,
  nodes,
  public_key: z
    .exactOptional(z.string().regex(/^([0-9a-f]{64}|[0-9a-f]{66})$/))
    .describe('The key that is joined, at a node that does not hold it yet; compare it by another way than the node that asks.'),
});

export const generateBody = z.strictObject({
  wallet_id: z.exactOptional(id).describe('When absent: the only wallet with presignatures, or the default wallet.'),
  count: z.int().min(1).max(MAX_GENERATE),
});
