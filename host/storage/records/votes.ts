/** Voting rounds and signed votes. A vote's signature is checked by whoever uses it: a row proves nothing by itself. */
import { Refusal } from '../../base/errors.ts';
import type { Database } from '../database.ts';
import { Gathered } from '../gathered.ts';
import { UUID } from './uuid.ts';

export interface VotingRoundRow {
  /** Digest of the proposal, 32 bytes in hex. */
  readonly proposal: string;
  readonly tx_id: string;
  readonly round_number: number;
  /** More than half of `total_nodes`. */
  readonly quorum: number;
  readonly total_nodes: number;
  readonly result: 'pending' | 'approved' | 'rejected' | 'timed_out';
  readonly started_at: Date;
  readonly ended_at: Date | null;
}

export interface VoteRow {
  readonly proposal: string;
  readonly node_id: string;
  readonly value: 'approve' | 'reject';
  readonly reason: string;
  /** Ed25519, 64 bytes in hex. */
  readonly signature: string;
  /** Time the voter wrote. */
  readonly voted_at: Date;
  readonly received_at: Date;
}

export type NewVote = Omit<VoteRow, 'received_at'>;
const COLUMNS = ['proposal', 'node_id', 'value', 'reason', 'signature', 'voted_at'] as const;
/** Votes in one statement, at most. */
const MAX_TOGETHER = 64;

export class VoteRecords {
  readonly #database: Database;
  readonly #writes: Gathered<NewVote, boolean>;
  constructor(database: Database) {
    this.#database = database;
    this.#writes = new Gathered((votes) => this.#addAll(votes), MAX_TOGETHER);
  }

  /** Opens a round; the existing one when this proposal is known. `round_number` is counted per payment when left out. */
  async openRound(
    round: Pick<VotingRoundRow, 'proposal' | 'tx_id' | 'quorum' | 'total_nodes'> & { readonly round_number?: number },
  ): Promise<VotingRoundRow> {
    const [row] = await this.#database.query<VotingRoundRow>(
      `insert into voting_rounds (proposal, tx_id, round_number, quorum, total_nodes)
       values ($1, $2, coalesce($3, (select coalesce(max(round_number), 0) + 1 from voting_rounds where tx_id = $2)), $4, $5)
       on conflict (proposal) do nothing returning *`,
      [round.proposal, round.tx_id, round.round_number ?? null, round.quorum, round.total_nodes],
    );
    return row ?? (await this.round(round.proposal))!;
  }

  async round(proposal: string): Promise<VotingRoundRow | undefined> {
    const [row] = await this.#database.query<VotingRoundRow>('select * from voting_rounds where proposal = $1', [proposal]);
    return row;
  }

  /** Ends a pending round. False when it had ended before. */
  async closeRound(proposal: string, result: 'approved' | 'rejected' | 'timed_out'): Promise<boolean> {
    const rows = await this.#database.query(
      `update voting_rounds set result = $2, ended_at = now() where proposal = $1 and result = 'pending' returning 1`,
      [proposal, result],
    );
    return rows.length === 1;
  }

  /**
   * Enters a vote. False when this very vote was there already. Votes that come while others are being written go together, in one commit.
   * @throws Refusal 409 `vote.conflict` when the node voted differently on this proposal: keep both as evidence.
   */
  add(vote: NewVote): Promise<boolean> {
    return this.#writes.add(vote);
  }

  async #addAll(votes: readonly NewVote[]): Promise<readonly PromiseSettledResult<boolean>[]> {
    let entered: ReadonlySet<string>;
    try {
      const rows = await this.#database.query<Pick<VoteRow, 'proposal' | 'node_id'>>(
        `insert into votes (proposal, node_id, value, reason, signature, voted_at)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
         on conflict on constraint votes_once do nothing returning proposal, node_id`,
        COLUMNS.map((column) => votes.map((vote) => vote[column])),
      );
      entered = new Set(rows.map(({ proposal, node_id }) => `${proposal}/${node_id}`));
    } catch (error) {
      // One that the database refuses must not take the others with it.
      if (votes.length === 1 || !(error instanceof Refusal)) throw error;
      return (
        await Promise.all(votes.map((vote) => this.#addAll([vote]).catch((reason: unknown) => [{ status: 'rejected' as const, reason }])))
      ).flat();
    }
    // Of two equal ones in one write the first was entered.
    const first = new Map(votes.toReversed().map((vote) => [`${vote.proposal}/${vote.node_id}`, vote]));
    return Promise.allSettled(
      votes.map(async (vote) => {
        const name = `${vote.proposal}/${vote.node_id}`;
        return (first.get(name) === vote && entered.has(name)) || !(await this.#isKnown(vote));
      }),
    );
  }

  /** @throws Refusal when what is known is another vote of the same node. */
  async #isKnown(vote: NewVote): Promise<true> {
    const [known] = await this.#database.query<VoteRow>('select * from votes where proposal = $1 and node_id = $2', [
      vote.proposal,
      vote.node_id,
    ]);
    if (known?.value === vote.value && known.signature === vote.signature) return true;
    throw new Refusal(
      'vote.conflict',
      'vote',
      `${vote.node_id} voted differently on this proposal before`,
      'the first vote stands; both are evidence',
      409,
    );
  }

  /** Votes of one proposal, by node. */
  votes(proposal: string): Promise<readonly VoteRow[]> {
    return this.#database.query('select * from votes where proposal = $1 order by node_id', [proposal]);
  }

  /** The latest round of a payment with its votes. */
  async ofTransaction(txId: string): Promise<{ readonly round: VotingRoundRow; readonly votes: readonly VoteRow[] } | undefined> {
    if (!UUID.test(txId)) return undefined;
    const [round] = await this.#database.query<VotingRoundRow>(
      'select * from voting_rounds where tx_id = $1 order by round_number desc limit 1',
      [txId],
    );
    return round && { round, votes: await this.votes(round.proposal) };
  }
}
