/** Payments and the coins they hold. Every change of state is a compare-and-set, and is in the audit log in the same database transaction. */
import { Refusal } from '../../base/errors.ts';
import type { Database } from '../database.ts';
import { UUID } from './uuid.ts';
import type { NewPresignatureUsage } from './operations.ts';
import type { NewVote, VotingRoundRow } from './votes.ts';

/** In order; the last five are final. */
export const TRANSACTION_ROW_STATES = [
  'created', 'voting', 'approved', 'signing', 'signed', 'broadcasting', 'broadcast',
  'confirmed', 'rejected', 'timed_out', 'failed', 'aborted_byzantine',
] as const; // prettier-ignore
export type TransactionRowState = (typeof TRANSACTION_ROW_STATES)[number];
export const FINAL_ROW_STATES: readonly TransactionRowState[] = TRANSACTION_ROW_STATES.slice(-5);

export interface InputRow {
  readonly txid: string;
  readonly vout: number;
  readonly value_sats: number;
}

export interface TransactionRow {
  /** UUID. */
  readonly tx_id: string;
  readonly wallet_id: string;
  readonly txid: string;
  readonly state: TransactionRowState;
  readonly protocol: 'cggmp24' | 'frost';
  readonly signing_mode: 'pool' | 'interactive' | 'frost' | null;
  readonly recipients: readonly { readonly address: string; readonly amount_sats: number }[];
  /** Sum over the recipients. */
  readonly amount_sats: number;
  readonly fee_sats: number;
  /** sat/vB */
  readonly fee_rate: number;
  readonly vsize: number;
  /** OP_RETURN text, 1 to 80 bytes of UTF-8. */
  readonly metadata: string | null;
  readonly signers: readonly string[];
  /** Milliseconds per stage. */
  readonly timings: Readonly<Record<string, number>>;
  readonly confirmations: number;
  readonly block_height: number | null;
  readonly error: string | null;
  /** Hex without witnesses. */
  readonly unsigned_tx: string;
  /** Hex with witnesses; null before it is signed. */
  readonly raw: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export type NewTransaction = Pick<
  TransactionRow,
  'tx_id' | 'wallet_id' | 'txid' | 'protocol' | 'recipients' | 'fee_sats' | 'fee_rate' | 'vsize' | 'metadata' | 'unsigned_tx'
> & {
  readonly inputs: readonly InputRow[];
  readonly state?: 'created' | 'voting';
  /** False: record the payment without holding its coins, for one that this node objects to. */
  readonly reserve?: boolean;
  /** The first round of votes on it, opened along with it. */
  readonly round?: { readonly proposer: string } & Pick<VotingRoundRow, 'proposal' | 'quorum' | 'total_nodes'>;
};

/** How a payment is going to be signed, and what is recorded along with it. */
export interface NewSigning {
  readonly proposal: string;
  readonly mode: NonNullable<TransactionRow['signing_mode']>;
  readonly signers: readonly string[];
  /** On this proposal; those that are recorded already stay as they are. */
  readonly votes: readonly NewVote[];
  readonly used: readonly NewPresignatureUsage[];
}

/** What may be set along with a state, or while it stays. Timings are added to those there are. */
export type TransactionChange = Partial<
  Pick<TransactionRow, 'signing_mode' | 'signers' | 'timings' | 'confirmations' | 'block_height' | 'error' | 'raw' | 'fee_sats' | 'vsize'>
>;

export interface TransactionFilter {
  readonly wallet_id?: string;
  readonly state?: TransactionRowState;
  /** Only those whose state is not final. */
  readonly pending?: boolean;
  readonly limit: number;
  readonly offset: number;
}

const CHANGEABLE = ['signing_mode', 'signers', 'timings', 'confirmations', 'block_height', 'error', 'raw', 'fee_sats', 'vsize'] as const;
const JSON_COLUMNS: readonly string[] = ['signers', 'timings'];
const ERROR_LENGTH = 2_000;
/** How long, and how many, coins of payments without a known signature are remembered as such. */
const EXPOSED_DAYS = 7;
const MAX_EXPOSED = 1_000;

export class TransactionRecords {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Enters a payment and reserves its coins, all or nothing.
   * @throws Refusal 409 `inputs.reserved` when another payment holds one of the coins.
   */
  async insert(transaction: NewTransaction): Promise<TransactionRow> {
    const { inputs, recipients, round, reserve: hold = true } = transaction;
    if (inputs.length === 0) throw new Refusal('inputs.none', 'inputs', 'a payment without inputs', 'select at least one coin', 422);
    const amount = recipients.reduce((sum, { amount_sats }) => sum + amount_sats, 0);
    const proposed = round && { proposer: round.proposer, txid: transaction.txid, proposal: round.proposal };
    try {
      // One statement, so that a payment costs one trip and one commit. Coins in one order for everybody: two payments over the same coins then cannot
      // lock each other out.
      const [row] = await this.#database.query<TransactionRow>(
        `with payment as (
           insert into transactions (tx_id, wallet_id, txid, state, protocol, recipients, amount_sats, fee_sats, fee_rate, vsize, metadata, unsigned_tx)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning *
         ), coins as (
           insert into transaction_inputs (tx_id, position, txid, vout, value_sats, reserved)
           select payment.tx_id, input.position, input.txid, input.vout, input.value_sats, $17
           from payment, unnest($13::int[], $14::text[], $15::bigint[], $16::bigint[]) as input (position, txid, vout, value_sats)
           order by input.txid, input.vout
         ), round as (
           insert into voting_rounds (proposal, tx_id, round_number, quorum, total_nodes)
           select $18, payment.tx_id, 1, $19, $20 from payment where $18::text is not null returning tx_id
         ), proposed as (
           select audit('payment.proposed', round.tx_id::text, $21::jsonb) from round
         )
         select payment.*, (select count(*) from proposed) as proposed from payment`,
        [
          transaction.tx_id,
          transaction.wallet_id,
          transaction.txid,
          transaction.state ?? 'created',
          transaction.protocol,
          JSON.stringify(recipients),
          amount,
          transaction.fee_sats,
          transaction.fee_rate,
          transaction.vsize,
          transaction.metadata,
          transaction.unsigned_tx,
          inputs.map((_, i) => i),
          inputs.map(({ txid }) => txid),
          inputs.map(({ vout }) => vout),
          inputs.map(({ value_sats }) => value_sats),
          hold,
          round?.proposal ?? null,
          round?.quorum ?? null,
          round?.total_nodes ?? null,
          JSON.stringify(proposed ?? {}),
        ],
      );
      const { proposed: _, ...entered } = row! as TransactionRow & { proposed: number };
      return entered;
    } catch (error) {
      if (!(error instanceof Refusal) || error.field !== 'transaction_inputs_one_holder') throw error;
      throw new Refusal(
        'inputs.reserved',
        'inputs',
        'a coin of this payment is reserved by another payment',
        'wait until that payment is final, or select other coins',
        409,
      );
    }
  }

  /**
   * Moves a payment from one of `from` to `to` and sets `change`. The new row, or undefined when its state was none of `from` (or there is
   * no such payment): somebody else was first. Entering a final state frees its coins.
   */
  async transition(
    txId: string,
    from: readonly TransactionRowState[],
    to: TransactionRowState,
    change: TransactionChange = {},
  ): Promise<TransactionRow | undefined> {
    const { assignments, values } = assign(change, 4);
    const [row] = await this.#database.query<TransactionRow>(
      `update transactions set state = $3${assignments} where tx_id = $1 and state = any($2) returning *`,
      [txId, from, to, ...values],
    );
    return row;
  }

  /**
   * The step of a machine in one statement: from whichever state of `steps` the payment is in to the one beside it, setting `change`; timings are added
   * to those there are. The new row and the state before, or undefined when its state is none of them (or there is no such payment). `ends`: the round
   * of votes, if it is still pending, that has brought this about, ended whether or not the payment moves.
   */
  async step(
    txId: string,
    steps: readonly { readonly from: TransactionRowState; readonly to: TransactionRowState }[],
    change: TransactionChange = {},
    ends?: Pick<VotingRoundRow, 'proposal' | 'result'>,
  ): Promise<{ readonly row: TransactionRow; readonly before: TransactionRowState } | undefined> {
    const { assignments, values } = assign(change, ends ? 6 : 4);
    const move = `update transactions t set state = step.after${assignments} from unnest($2::text[], $3::text[]) as step (before, after)`;
    const matching = 'where t.tx_id = $1 and t.state = step.before returning t.*, step.before';
    const sql = ends
      ? // The count makes the round end first, also in the audit log.
        `with ended as (update voting_rounds set result = $5, ended_at = now() where proposal = $4 and result = 'pending' returning 1)
         ${move}, (select count(*) from ended) as ending ${matching}`
      : `${move} ${matching}`;
    const [row] = await this.#database.query<TransactionRow & { before: TransactionRowState }>(sql, [
      txId,
      steps.map(({ from }) => from),
      steps.map(({ to }) => to),
      ...(ends ? [ends.proposal, ends.result] : []),
      ...values,
    ]);
    if (row === undefined) return undefined;
    const { before, ...after } = row;
    return { row: after, before };
  }

  /**
   * Begins to sign, in one statement: enters votes; a payment that is in one of `approvable` is approved and its round of votes ended; then it goes from
   * there, or from one of `signable`, to signing, and the presignatures that go into it are entered as used. `moved` is undefined, and all there is of
   * this are the votes, when it is in none of these states; `entered` names the nodes whose votes were not there yet.
   * @throws Refusal 409 when one of the presignatures is recorded already: nothing happens then.
   */
  async sign(
    txId: string,
    states: { readonly approvable: readonly TransactionRowState[]; readonly signable: readonly TransactionRowState[] },
    signing: NewSigning,
  ): Promise<{
    readonly moved: { readonly row: TransactionRow; readonly before: TransactionRowState } | undefined;
    readonly entered: readonly string[];
  }> {
    const [row] = await this.#database.query<TransactionRow & { before: TransactionRowState | null; entered: readonly string[] }>(
      'select (s.moved).*, s.before, s.entered from sign_payment($1, $2, $3, $4, $5, $6, $7, $8) s',
      [
        txId,
        signing.proposal,
        JSON.stringify(signing.votes),
        states.approvable,
        states.signable,
        signing.mode,
        JSON.stringify(signing.signers),
        JSON.stringify(signing.used.map((usage) => ({ ...usage, generation_time_ms: Math.round(usage.generation_time_ms) }))),
      ],
    );
    const { before, entered, ...after } = row!;
    return { moved: before === null ? undefined : { row: after, before }, entered };
  }

  /** Sets columns without a change of state (confirmations, timings). Undefined when there is no such payment. */
  async update(txId: string, change: TransactionChange): Promise<TransactionRow | undefined> {
    const { assignments, values } = assign(change, 2);
    if (assignments === '') return this.get(txId);
    const [row] = await this.#database.query<TransactionRow>(
      `update transactions set ${assignments.slice(2)} where tx_id = $1 returning *`,
      [txId, ...values],
    );
    return row;
  }

  /** By the wallet's own id (UUID). */
  async get(txId: string): Promise<TransactionRow | undefined> {
    if (!UUID.test(txId)) return undefined;
    const [row] = await this.#database.query<TransactionRow>('select * from transactions where tx_id = $1', [txId]);
    return row;
  }

  /** By Bitcoin txid; the newest when a payment was tried again with the same transaction. */
  async getByTxid(txid: string): Promise<TransactionRow | undefined> {
    const [row] = await this.#database.query<TransactionRow>(
      'select * from transactions where txid = lower($1) order by created_at desc limit 1',
      [txid],
    );
    return row;
  }

  /** Newest first. `total` counts all that match, whatever the page. */
  async list({
    wallet_id,
    state,
    pending,
    limit,
    offset,
  }: TransactionFilter): Promise<{ items: readonly TransactionRow[]; total: number }> {
    const where = `where ($1::text is null or wallet_id = $1) and ($2::text is null or state = $2) and (not $3::boolean or state <> all($4))`;
    const filter = [wallet_id ?? null, state ?? null, pending ?? false, FINAL_ROW_STATES];
    const [count] = await this.#database.query<{ total: number }>(`select count(*) as total from transactions ${where}`, filter);
    const items = await this.#database.query<TransactionRow>(
      `select * from transactions ${where} order by created_at desc, tx_id limit $5 offset $6`,
      [...filter, limit, offset],
    );
    return { items, total: count!.total };
  }

  async inputs(txId: string): Promise<readonly (InputRow & { readonly reserved: boolean })[]> {
    return this.#database.query('select txid, vout, value_sats, reserved from transaction_inputs where tx_id = $1 order by position', [
      txId,
    ]);
  }

  /** The coins that unfinished payments of a wallet hold, and how far those are. */
  async reserved(walletId: string): Promise<readonly (InputRow & Pick<TransactionRow, 'tx_id' | 'state'>)[]> {
    return this.#database.query(
      `select i.tx_id, t.state, i.txid, i.vout, i.value_sats from transaction_inputs i join transactions t using (tx_id) where t.wallet_id = $1 and i.reserved order by i.txid, i.vout`,
      [walletId],
    );
  }

  /**
   * The coins of payments of a wallet for which signatures may have been asked, and that have ended without one that is known here: somebody may have it. A node that
   * has not heard of the quorum has heard of the failure; it counts when `self` has voted for the payment, so that nobody fills the list with coins that are none.
   */
  async exposed(walletId: string, self: string): Promise<readonly Pick<InputRow, 'txid' | 'vout'>[]> {
    return this.#database.query(
      `select i.txid, i.vout from transactions t join transaction_inputs i using (tx_id)
       where t.wallet_id = $1 and t.state in ('failed', 'timed_out', 'aborted_byzantine') and t.raw is null and t.created_at > now() - interval '${EXPOSED_DAYS} days'
         and exists (select from voting_rounds r left join votes v on v.proposal = r.proposal and v.node_id = $2 and v.value = 'approve'
                     where r.tx_id = t.tx_id and (r.result = 'approved' or (t.state = 'failed' and v.node_id is not null)))
       group by i.txid, i.vout order by max(t.created_at) desc limit ${MAX_EXPOSED}`,
      [walletId, self],
    );
  }

  /** Frees the coins of a payment before it is final; how many. */
  async release(txId: string): Promise<number> {
    return (await this.#database.query('update transaction_inputs set reserved = false where tx_id = $1 and reserved returning 1', [txId]))
      .length;
  }
}

/** `, column = $n` for each column of `change` that is given, parameters from `$first` on. */
function assign(change: TransactionChange, first: number): { assignments: string; values: readonly unknown[] } {
  const given = CHANGEABLE.filter((column) => change[column] !== undefined);
  return {
    // What a stage took is added to what earlier ones took.
    assignments: given
      .map((column, i) => `, ${column} = ${column === 'timings' ? `timings || $${first + i}::jsonb` : `$${first + i}`}`)
      .join(''),
    values: given.map((column) => {
      const value = change[column];
      if (column === 'error' && typeof value === 'string') return value.slice(0, ERROR_LENGTH);
      return JSON_COLUMNS.includes(column) ? JSON.stringify(value) : value;
    }),
  };
}
