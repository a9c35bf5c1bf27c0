/**
 * Presignatures on their way through a vote (cggmp24.md §7 rule 10). The proposal names a signer set and a presignature for each input; a signer that
 * approves opens them for this proposal, durably, and its signed vote carries the openings, so no round is added. With the votes of the whole set
 * every signer can make the nonce points over; with anything less what was opened is burnt, here and wherever that is noticed.
 *
 * Which votes a signer is shown does not matter for the result: the openings are those that were committed to, or they are refused, and the request
 * is the proposal, so there is one f for each input.
 */
import { decode, DecodeError, encode } from '../base/codec.ts';
import { equalBytes, hex } from '../base/bytes.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import type { WalletPath } from '../bitcoin/paths.ts';
import { openingCommitment, presignaturePublic, sealedPresignature } from '../cggmp24/presignature.ts';
import type { Vote } from '../consensus/vote.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Opening } from '../presign/opening.ts';
import type { NewPresignatureUsage } from '../storage/records/operations.ts';
import { Allowance } from './allowance.ts';
import type { WalletContext } from './context.ts';
import type { WalletKey } from './keyring.ts';
import type { Ledger } from './ledger.ts';
import { voteOpenings } from './messages.ts';
import type { OpenedStock, Pending, Stock } from './pending.ts';
import type { Pools } from './pools.ts';

const SIGHASH_ALL = 1;

/** req of §7 rule 10. The proposal's id covers the unsigned transaction, the wallet and the choice of presignatures, and is never that of another proposal. */
export const signingRequestOf = (proposal: Uint8Array, walletId: string, { presignatures, paths }: Stock): Uint8Array =>
  new Transcript('signing-request/v1')
    .bytes(proposal)
    .text(walletId)
    // Each with its path and its sighash type.
    .list([...presignatures.entries()], (hash, [input, id]) =>
      hash
        .bytes(id)
        .list(paths[input]!, (steps, step) => steps.u32(step))
        .u32(SIGHASH_ALL),
    )
    .digest();

/** What the proposal names, or undefined for none. @throws Refusal when it fits neither key nor payment. */
export function stockOf(
  { signers, presignatures }: { readonly signers: readonly number[]; readonly presignatures: readonly Uint8Array[] },
  key: WalletKey,
  inputs: readonly { readonly path: WalletPath }[],
): Stock | undefined {
  if (signers.length === 0 && presignatures.length === 0) return undefined;
  const ascending = signers.every((index, a) => index < key.share.n && (a === 0 || index > signers[a - 1]!));
  const different = new Set(presignatures.map(hex)).size === presignatures.length;
  if (key.protocol !== 'cggmp24' || signers.length !== key.share.t || !ascending || !different || presignatures.length !== inputs.length) {
    throw new Refusal(
      'proposal_refused',
      'presignatures',
      `${presignatures.length} presignatures of [${signers.join(', ')}] for ${inputs.length} inputs`,
      'name t signers in ascending order and a presignature of its own for each input, or none of both',
      422,
    );
  }
  return { signers, nodes: signers.map((index) => key.committee[index]!), presignatures, paths: inputs.map(({ path }) => path) };
}

const isOwn = (paths: readonly WalletPath[]): boolean => paths.every((path) => path.length === 0);

/** Whether this node signs from the pool for keys at these paths: its stock is of the wallet's own key, so others need the re-randomised profile. */
const mayUse = ({ derivedKeys }: Pick<WalletContext, 'derivedKeys'>, paths: readonly WalletPath[]): boolean =>
  derivedKeys === 're-randomised' || isOwn(paths);

/** How far the openings of a proposal are: all there, some still to come, or never to be complete. */
export type StockState = 'complete' | 'waiting' | 'lost';

/** A proposer whose proposals have burnt this many in an hour gets no more openings: it may still be paid for interactively. */
const MAX_BURNT = 24;
/** How long a node that opened nothing for derived keys is left out of sets for such. */
const DECLINED_MS = 60 * 60_000;

export class Openings {
  /** When presignatures were burnt unused, by the proposer that had them opened. */
  readonly #burnt: Allowance;
  /** When a node has approved a payment with derived keys without opening anything: its operator may want it so. */
  readonly #declined = new Map<NodeId, number>();

  constructor(
    private readonly context: WalletContext,
    private readonly pools: Pools,
    private readonly ledger: Ledger,
  ) {
    this.#burnt = new Allowance(MAX_BURNT, context.clock);
  }

  /**
   * Opens this node's part for the proposal: durable when it resolves. Undefined when there is nothing to open: this node is not of the set, or lacks
   * one of them; its vote then carries no openings, and the payment is signed without the pool.
   */
  async open(proposal: { id: Uint8Array; proposer: NodeId; key: WalletKey; stock: Stock | undefined }): Promise<OpenedStock | undefined> {
    const { id, proposer, key, stock } = proposal;
    const { context } = this;
    if (stock === undefined || !stock.nodes.includes(context.self) || !this.#burnt.has(proposer) || !mayUse(context, stock.paths))
      return undefined;
    const pool = this.pools.of(key.walletId);
    const ready = new Set(pool.available(stock.nodes).map((meta) => hex(meta.id)));
    if (!stock.presignatures.every((wanted) => ready.has(hex(wanted)))) return undefined;
    let opening: Opening;
    try {
      opening = await pool.open(stock.presignatures, signingRequestOf(id, key.walletId, stock));
    } catch (error) {
      if (!(error instanceof Refusal) && !(error instanceof Unavailable)) throw error;
      context.logger.warn({ wallet_id: key.walletId, error }, 'presignatures could not be opened');
      return undefined;
    }
    const presignatures = opening.records.map(({ secret }) => decode(sealedPresignature, secret));
    const fits = presignatures.every(
      (presignature, input) =>
        equalBytes(presignature.id, stock.presignatures[input]!) &&
        presignature.signers.join() === stock.signers.join() &&
        presignature.keyId === key.walletId &&
        presignature.epoch === key.share.epoch &&
        key.protocol === 'cggmp24' &&
        presignature.publicKey.equals(key.share.publicKey),
    );
    if (fits) return { opening, presignatures };
    context.logger.error({ wallet_id: key.walletId }, 'presignatures of another key or signer set in the pool');
    await opening.burn('not what the pool said');
    return undefined;
  }

  /**
   * A node of the set that votes against the payment: others may have opened, so this part is of no use to anybody any more. Not for a proposer that
   * has had too many burnt: its proposals would empty the pool without opening anything.
   */
  async refuse({ proposer, key, stock }: { proposer: NodeId; key: WalletKey; stock: Stock | undefined }): Promise<void> {
    if (!stock?.nodes.includes(this.context.self) || !this.#burnt.has(proposer)) return;
    this.#burnt.spend(proposer, await this.pools.of(key.walletId).discard(stock.presignatures, 'voted against'));
  }

  /** Whether a payment with these keys is worth proposing from the pool with this node in the set. */
  willing(node: NodeId, paths: readonly WalletPath[]): boolean {
    const { self, clock } = this.context;
    return isOwn(paths) || (node === self ? mayUse(this.context, paths) : (this.#declined.get(node) ?? -Infinity) < clock() - DECLINED_MS);
  }

  /** For the extension of the own vote. */
  extension(opened: OpenedStock | undefined): Uint8Array {
    return opened === undefined ? new Uint8Array() : encode(voteOpenings, { openings: opened.presignatures.map(({ opening }) => opening) });
  }

  /** How far a proposal's openings are, by the votes that this node has counted. 'lost' for a node that has opened nothing. */
  state({ stock, opened, ballot }: Pending): StockState {
    if (stock === undefined || opened === undefined || opened.opening.state !== 'opened') return 'lost';
    const heard = new Map(ballot.votes.map(({ vote, counted }) => [vote.voter, counted ? vote : undefined]));
    const missing = stock.nodes.filter((node) => !heard.has(node));
    const good = ({ vote, position }: { vote: Vote | undefined; position: number }) =>
      vote?.value === 'approve' && openingsIn(vote, opened, position) !== undefined;
    const broken = stock.nodes.some((node, position) => heard.has(node) && !good({ vote: heard.get(node), position }));
    return broken ? 'lost' : missing.length > 0 ? 'waiting' : 'complete';
  }

  /** The openings of all signers by input, each list by position; undefined when the approvals lack one, or one is wrong. */
  collect({ stock, opened }: Pending, approvals: readonly Vote[]): Uint8Array[][] | undefined {
    if (stock === undefined || opened === undefined) return undefined;
    const byPosition: Uint8Array[][] = [];
    for (const [position, node] of stock.nodes.entries()) {
      const vote = approvals.find(({ voter }) => voter === node);
      const openings = vote && openingsIn(vote, opened, position);
      if (openings === undefined) return undefined;
      byPosition.push(openings);
    }
    return stock.presignatures.map((_, input) => byPosition.map((openings) => openings[input]!));
  }

  /** After every vote: a wrong opening is on record with the vote that its author signed, and what cannot be completed is burnt. */
  async heard(pending: Pending, vote: Vote | undefined): Promise<void> {
    const { stock, opened, accused } = pending;
    if (stock === undefined || opened === undefined) return;
    const position = vote === undefined ? -1 : stock.nodes.indexOf(vote.voter);
    if (vote?.value === 'approve' && position >= 0 && vote.extension.length === 0 && !isOwn(stock.paths))
      this.#declined.set(vote.voter, this.context.clock());
    if (vote?.value === 'approve' && position >= 0 && vote.extension.length > 0 && openingsIn(vote, opened, position) === undefined) {
      const accusation = `wrong_opening/${vote.voter}`;
      if (!accused.has(accusation)) {
        accused.add(accusation);
        this.context.logger.warn({ tx_id: pending.txId, node: vote.voter }, 'a signed vote with wrong openings');
        const evidence = opened.presignatures.map((presignature) => encode(presignaturePublic, presignature));
        await this.ledger.violation(vote.voter, 'wrong_opening', pending.txId, 'openings that are not what was committed to', [vote.signature, vote.extension, ...evidence]); // prettier-ignore
      }
    }
    if (opened.opening.state === 'opened' && this.state(pending) === 'lost') await this.burn(pending, 'a vote without its openings');
  }

  /** Ends what this node has opened for a payment and not spent. Again does no harm. */
  async burn({ opened, key, proposal, txId }: Pending, reason: string): Promise<void> {
    if (opened === undefined || !(await opened.opening.burn(reason))) return;
    const { context } = this;
    this.#burnt.spend(proposal.proposer, opened.presignatures.length);
    context.logger.info(
      { tx_id: txId, wallet_id: key.walletId, reason, presignatures: opened.presignatures.length },
      'opened presignatures burnt',
    );
    await this.record(opened, key.walletId, txId, 'failed');
  }

  /** Enters the outcome into the records. */
  async record(opened: OpenedStock, walletId: string, txId: string, outcome: 'used' | 'failed'): Promise<void> {
    const { operations } = this.context.records;
    for (const usage of usageOf(opened, walletId, txId, outcome)) await operations.addPresignatureUsage(usage);
  }
}

/** What the records say of presignatures that a payment has taken. */
export const usageOf = ({ opening }: OpenedStock, walletId: string, txId: string, outcome: 'used' | 'failed'): NewPresignatureUsage[] =>
  opening.records.map(({ id, signers, generationMs }) => ({
    presignature_id: hex(id),
    wallet_id: walletId,
    tx_id: txId,
    protocol: 'cggmp24',
    signers,
    outcome,
    generation_time_ms: generationMs,
  }));

/** o_j of each input as the vote has them, if each is what signer j committed to when the presignature was made. */
function openingsIn({ extension }: Vote, { presignatures }: OpenedStock, position: number): Uint8Array[] | undefined {
  let openings: Uint8Array[];
  try {
    ({ openings } = decode(voteOpenings, extension));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
  const right = presignatures.every(
    ({ sid, commitments }, input) =>
      openings[input] !== undefined && equalBytes(openingCommitment(sid, position, openings[input]), commitments[position]!),
  );
  return right && openings.length === presignatures.length ? openings : undefined;
}
