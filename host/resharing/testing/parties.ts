/** Committees in one process: nodes with identities, keys by key generation, plans with their votes, runs over the memory network. */
import { equalBytes } from '../../base/bytes.ts';
import { invariant } from '../../base/errors.ts';
import { systemRandom as random } from '../../base/random.ts';
import type { AuxInfo } from '../../cggmp24/aux-record.ts';
import { makeKey } from '../../cggmp24/testing/parties.ts';
import { LocalIdentity } from '../../consensus/identity.ts';
import { keygen as frostKeygen } from '../../frost/keygen.ts';
import { testParameters, type Parameters } from '../../proofs/parameters.ts';
import { memoryNetwork, values, type Override } from '../../protocol/testing/network.ts';
import type { Rounds } from '../../protocol/rounds.ts';
import { participants, runId, type Plan, type Ticket } from '../plan.ts';
import { reshare, type NewShare, type ReshareOptions } from '../reshare.ts';
import { ofEcdsa, ofFrost, type Scheme, type SharedKey } from '../shared-key.ts';
import { approvalMessage, planQuorum, type Certificate, type Statement } from '../statements.ts';

export const nodes: readonly LocalIdentity[] = Array.from({ length: 9 }, (_, k) => LocalIdentity.generate(`node-${k + 1}`));

/** A key and who holds it: share k is nodes[members[k]]'s. */
export interface Committee {
  readonly members: readonly number[];
  readonly shares: readonly SharedKey[];
}

export async function makeCommittee(scheme: Scheme, t: number, members: readonly number[]): Promise<Committee> {
  const n = members.length;
  if (scheme === 'cggmp24') return { members, shares: (await makeKey(t, n, testParameters)).map(ofEcdsa) };
  const shares = await memoryNetwork(n, random.bytes(32)).run((rounds) => frostKeygen({ rounds, t, random, keyId: 'test key' }));
  return { members, shares: values(shares).map(ofFrost) };
}

export const keysOf = (members: readonly number[]): Uint8Array[] => members.map((k) => nodes[k]!.publicKey);

/** What changes: `sharers` are indices of the old committee; without `members` it is a refresh. */
export interface Change {
  readonly sharers?: readonly number[];
  readonly t?: number;
  readonly members?: readonly number[];
  readonly aux?: Pick<AuxInfo, 'hash'>;
}

export function planOf({ members, shares }: Committee, change: Change): Plan {
  const { scheme, keyId, publicKey, chainCode, internal, epoch, t, X, n } = shares[0]!;
  return {
    kind: change.members === undefined ? 'refresh' : 'reshare',
    keyId,
    scheme,
    publicKey,
    chainCode,
    internal,
    epoch,
    nextEpoch: epoch + 1,
    t,
    oldMembers: keysOf(members),
    X,
    sharers: change.sharers ?? Array.from({ length: n }, (_, i) => i),
    nextT: change.t ?? t,
    newMembers: keysOf(change.members ?? members),
    auxHash: scheme === 'cggmp24' ? (change.aux?.hash ?? new Uint8Array(32).fill(7)) : new Uint8Array(),
  };
}

/** The votes of the first Q old members, or of those given. */
export function approve(ticket: Ticket, parameters: Parameters = testParameters, by?: readonly number[]): Statement[] {
  const { oldMembers } = ticket.plan;
  const voters = by ?? Array.from({ length: planQuorum(oldMembers.length) }, (_, i) => i);
  const message = approvalMessage(runId(ticket, parameters), ticket);
  return voters.map((index) => ({ index, signature: nodeOf(oldMembers[index]!).sign(message) }));
}

export const nodeOf = (key: Uint8Array): LocalIdentity => {
  const found = nodes.find((node) => equalBytes(node.publicKey, key));
  invariant(found !== undefined, 'a node of the tests');
  return found;
};

export const ticketOf = (plan: Plan): Ticket => ({ plan, nonce: random.bytes(16) });

export interface Run {
  /** By position in {@link participants}. */
  readonly results: readonly PromiseSettledResult<Certificate>[];
  /** By position, of those that came so far. */
  readonly prepared: ReadonlyMap<number, NewShare>;
  readonly ticket: Ticket;
  /** What each participant saw, by position. */
  readonly parties: readonly Rounds[];
}

/** One run. `as` replaces what a participant says, `edit` what it is started with. */
export async function run(
  committee: Committee,
  plan: Plan,
  options: {
    override?: Override;
    as?: (party: number, rounds: Rounds) => Rounds;
    edit?: (party: number, options: ReshareOptions) => ReshareOptions;
    onMessage?: (from: number, to: number, round: string) => void;
    parameters?: Parameters;
    /** Runs a participant's part. */
    around?: (rounds: Rounds, ticket: Ticket, part: (rounds: Rounds) => Promise<Certificate>) => Promise<Certificate>;
  } = {},
): Promise<Run> {
  const {
    override,
    onMessage,
    as = (_, rounds) => rounds,
    edit = (_, given) => given,
    around = (rounds, _, part) => part(rounds),
    parameters = testParameters,
  } = options;
  const ticket = ticketOf(plan);
  const approvals = approve(ticket, parameters);
  const sid = runId(ticket, parameters);
  const keys = participants(plan);
  const prepared = new Map<number, NewShare>();
  const network = memoryNetwork(keys.length, sid, {
    signers: keys.map(nodeOf),
    ...(override && { override }),
    ...(onMessage && { onMessage }),
  });
  const results = await network.run((rounds, party) => {
    const old = committee.members.findIndex((k) => equalBytes(nodes[k]!.publicKey, keys[party]!));
    const part = (own: Rounds) =>
      reshare(
        edit(party, {
          rounds: as(party, own),
          ticket,
          approvals,
          publicKey: committee.shares[0]!.publicKey,
          ...(old >= 0 && { own: { share: committee.shares[old]!, members: keysOf(committee.members) } }),
          parameters,
          random,
          sign: (message) => nodeOf(keys[party]!).sign(message),
          prepared: (share) => {
            prepared.set(party, share);
            return Promise.resolve();
          },
        }),
      );
    return around(rounds, ticket, part);
  });
  return { results, prepared, ticket, parties: network.parties };
}

/** The new committee of a run in which everybody succeeded. */
export async function change(committee: Committee, what: Change): Promise<Committee & { readonly rid: Uint8Array }> {
  const plan = planOf(committee, what);
  const { results, prepared } = await run(committee, plan);
  values(results);
  const next = [...prepared.values()].sort((a, b) => a.key.index - b.key.index);
  return { members: what.members ?? committee.members, shares: next.map(({ key }) => key), rid: next[0]!.rid };
}
