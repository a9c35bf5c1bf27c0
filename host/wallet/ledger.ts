/**
 * The payments of this node in its records: every step is a transition of the consensus machine, stored with its audit row before anything
 * acts on it, and told to listeners afterwards.
 */
import { decode, encode } from '../base/codec.ts';
import { fromHex, hex } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { addressOf } from '../bitcoin/address.ts';
import { transactionWeight, virtualSize, satPerVirtualByte } from '../bitcoin/fees.ts';
import { feeOf, metadataOf, txidOf, unsignedPayment, type PaymentIntent, type UnsignedPayment } from '../bitcoin/payment.ts';
import { scriptType } from '../bitcoin/scripts.ts';
import { allowed, isFinal, next, TRANSACTION_STATES, type TransactionEvent } from '../consensus/machine.ts';
import type { NodeId } from '../mesh/types.ts';
import type { NewSigning, NewTransaction, TransactionChange, TransactionRow } from '../storage/records/transactions.ts';
import { scriptOf } from './accounts.ts';
import type { WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import { inTurn } from './turns.ts';
import type { NetworkName, TransactionInfo, VoteInfo, VotesInfo } from './types.ts';

export interface NewPayment {
  readonly txId: string;
  readonly proposer: NodeId;
  readonly key: WalletKey;
  readonly payment: UnsignedPayment;
  readonly intent: PaymentIntent;
  readonly proposal: Uint8Array;
  readonly quorum: number;
  /** Hold its coins for it. */
  readonly reserve: boolean;
}

type RoundEnd = NonNullable<Parameters<WalletContext['records']['transactions']['step']>[3]>;
type Timings = TransactionInfo['timings'];

export class Ledger {
  /** Steps of one payment, one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(private readonly context: Pick<WalletContext, 'records' | 'events' | 'logger' | 'members' | 'network'>) {}

  /** Records a payment that is about to be put to the vote. @throws Refusal when its coins are held by another payment. */
  async open({ txId, proposer, key, payment, intent, proposal, quorum, reserve }: NewPayment): Promise<void> {
    const { records } = this.context;
    const metadata = metadataOf(payment);
    const outputs = payment.outputs.map((output) => output.script);
    const row = await records.transactions.insert({
      tx_id: txId,
      wallet_id: key.walletId,
      txid: txidOf(payment),
      protocol: key.protocol,
      recipients: recipientsOf(payment, intent, this.context.network),
      fee_sats: Number(feeOf(payment)),
      fee_rate: satPerVirtualByte(payment.feeRate),
      vsize: virtualSize(transactionWeight(scriptOf(key).type, payment.inputs.length, outputs)),
      metadata: metadata === undefined ? null : Buffer.from(metadata).toString('utf8'),
      unsigned_tx: hex(encode(unsignedPayment, payment)),
      inputs: payment.inputs.map(({ txid, vout, value }) => ({ txid, vout, value_sats: Number(value) })),
      state: 'created',
      reserve,
      round: { proposer, proposal: hex(proposal), quorum, total_nodes: key.share.n },
    });
    this.#publish(row, null);
  }

  /**
   * Moves a payment by one event, if the machine allows it from where it stands; otherwise nothing happens and undefined comes back: the
   * event came late or twice, which on a network is normal.
   */
  apply(txId: string, event: TransactionEvent, change: TransactionChange = {}): Promise<TransactionInfo | undefined> {
    return this.#step(txId, event, change);
  }

  #step(txId: string, event: TransactionEvent, change: TransactionChange, ends?: RoundEnd): Promise<TransactionInfo | undefined> {
    return inTurn(this.#turns, txId, async () => {
      const steps = leavingBy(event).map((from) => ({ from, to: next(from, event) }));
      const moved = await this.context.records.transactions.step(txId, steps, change, ends);
      if (moved === undefined) return undefined;
      if (moved.before !== moved.row.state) this.#publish(moved.row, moved.before);
      return info(moved.row);
    });
  }

  /** The payment as it was proposed. */
  async payment(txId: string): Promise<UnsignedPayment> {
    const row = await this.context.records.transactions.get(txId);
    invariant(row !== undefined, 'a payment that is looked after is in the records');
    return decode(unsignedPayment, fromHex(row.unsigned_tx));
  }

  /** Notes why a payment does not get on, without a change of state. */
  async note(txId: string, error: string): Promise<void> {
    await this.context.records.transactions.update(txId, { error });
  }

  /**
   * Begins to sign, and enters votes that this node has heard last. The certificate that it was shown, and has verified, holds the quorum, so a payment
   * that is still being voted on here is approved by it. Undefined when it has ended, or is being signed already; `used` is recorded only otherwise.
   */
  signing(
    txId: string,
    proposal: Uint8Array,
    { votes, ...signing }: Pick<NewSigning, 'mode' | 'signers' | 'used'> & { readonly votes: readonly VoteInfo[] },
  ): Promise<TransactionInfo | undefined> {
    return inTurn(this.#turns, txId, async () => {
      const { records, events } = this.context;
      const [approvable, signable] = [leavingBy('approve'), leavingBy('sign')];
      const rows = votes.map((vote) => voteRow(proposal, vote));
      const { moved, entered } = await records.transactions.sign(
        txId,
        { approvable, signable },
        { ...signing, proposal: hex(proposal), votes: rows },
      );
      for (const vote of votes) if (entered.includes(vote.node_id)) events.publish({ type: 'vote', tx_id: txId, vote });
      if (moved === undefined) return undefined;
      const { row, before } = moved;
      const decided = approvable.includes(before);
      if (decided) this.#publish({ ...row, state: 'approved', signing_mode: null, signers: [] }, before);
      this.#publish(row, decided ? 'approved' : before);
      return info(row);
    });
  }

  async approved(txId: string, proposal: Uint8Array): Promise<void> {
    await this.#step(txId, 'approve', {}, { proposal: hex(proposal), result: 'approved' });
  }
  async rejected(txId: string, proposal: Uint8Array, reason: string): Promise<void> {
    await this.#step(txId, 'reject', { error: `rejected by vote: ${reason}` }, { proposal: hex(proposal), result: 'rejected' });
  }
  async impossible(txId: string, proposal: Uint8Array): Promise<void> {
    const error = 'so many nodes voted twice that no quorum is left';
    await this.#step(txId, 'abort_byzantine', { error }, { proposal: hex(proposal), result: 'rejected' });
  }
  async expired(txId: string, reason: string): Promise<void> {
    const { votes } = this.context.records;
    const found = await votes.ofTransaction(txId);
    if (found !== undefined) await votes.closeRound(found.round.proposal, 'timed_out');
    await this.apply(txId, 'time_out', { error: reason });
  }

  async vote(proposal: Uint8Array, txId: string, vote: VoteInfo): Promise<void> {
    const { records, events } = this.context;
    const added = await records.votes.add(voteRow(proposal, vote));
    if (added) events.publish({ type: 'vote', tx_id: txId, vote });
  }

  async violation(node: NodeId, kind: string, txId: string, detail: string, evidence: readonly Uint8Array[]): Promise<void> {
    await this.context.records.operations.addViolation({
      node_id: node,
      kind,
      session: '',
      round: '',
      evidence: { tx_id: txId, detail, messages: evidence.map(hex) },
    });
  }

  /** @throws Refusal when there is none. `id`: the wallet's own id or a Bitcoin txid. */
  async get(id: string): Promise<TransactionInfo> {
    const { transactions } = this.context.records;
    const row = /^[0-9a-f]{64}$/i.test(id) ? await transactions.getByTxid(id) : await transactions.get(id);
    if (row === undefined) {
      throw new Refusal(
        'transaction_unknown',
        'txid',
        `no payment ${id} on this node`,
        'list the payments with GET /api/v1/transactions',
        404,
      );
    }
    return info(row);
  }

  async list(
    filter: Parameters<WalletContext['records']['transactions']['list']>[0],
  ): Promise<{ items: TransactionInfo[]; total: number }> {
    const { items, total } = await this.context.records.transactions.list(filter);
    return { items: items.map(info), total };
  }

  async votes(txId: string): Promise<VotesInfo> {
    const found = await this.context.records.votes.ofTransaction(txId);
    if (found === undefined)
      throw new Refusal(
        'transaction_unknown',
        'tx_id',
        `no payment ${txId} on this node`,
        'list the payments with GET /api/v1/transactions',
        404,
      );
    const { round, votes } = found;
    return {
      tx_id: txId,
      proposal: round.proposal,
      quorum: round.quorum,
      total_nodes: round.total_nodes,
      result: round.result,
      votes: votes
        .map((vote) => ({
          node_id: vote.node_id,
          value: vote.value,
          reason: vote.reason,
          timestamp: vote.voted_at.toISOString(),
          signature: vote.signature,
        }))
        .sort((a, b) => this.context.members.indexOf(a.node_id) - this.context.members.indexOf(b.node_id)),
    };
  }

  #publish(row: TransactionRow, previous: TransactionInfo['state'] | null): void {
    this.context.logger.info(
      { tx_id: row.tx_id, txid: row.txid, from: previous, to: row.state, ...(row.error !== null && { reason: row.error }) },
      'payment',
    );
    this.context.events.publish({ type: 'transaction', transaction: info(row), previous });
  }
}

/**
 * Whom the transaction pays, for it may come about although this node has voted against it, and then the record is to be true, whatever the proposer has said
 * here about it. What was asked for only of a payment to scripts without an address, which is never approved.
 */
function recipientsOf(payment: UnsignedPayment, intent: PaymentIntent, network: NetworkName): NewTransaction['recipients'] {
  const paid = payment.outputs.filter(({ script }, i) => i !== payment.changeIndex && scriptType(script) !== 'op_return');
  const addresses = paid.map(({ script }) => (scriptType(script) === undefined ? undefined : addressOf(script, network)));
  if (paid.length === 0 || addresses.includes(undefined))
    return intent.recipients.map(({ address, amount }) => ({ address, amount_sats: Number(amount) }));
  return paid.map(({ value }, i) => ({ address: addresses[i]!, amount_sats: Number(value) }));
}

export const ended = (transaction: TransactionInfo): boolean => isFinal(transaction.state);

/** The states that the event leads out of. */
const leavingBy = (event: TransactionEvent) => TRANSACTION_STATES.filter((state) => allowed(state, event));

const voteRow = (proposal: Uint8Array, { node_id, value, reason, signature, timestamp }: VoteInfo) => ({
  proposal: hex(proposal),
  node_id,
  value,
  reason,
  signature,
  voted_at: new Date(timestamp),
});

const info = (row: TransactionRow): TransactionInfo => ({
  tx_id: row.tx_id,
  wallet_id: row.wallet_id,
  txid: row.txid,
  state: row.state,
  protocol: row.protocol,
  signing_mode: row.signing_mode,
  recipients: row.recipients,
  fee_sats: row.fee_sats,
  fee_rate: row.fee_rate,
  vsize: row.vsize,
  metadata: row.metadata,
  signers: row.signers,
  timings: row.timings as Timings,
  confirmations: row.confirmations,
  block_height: row.block_height,
  error: row.error,
  raw: row.raw,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
});
