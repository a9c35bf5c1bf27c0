/** What is durable of a switch: {@link Durable} with the plans, votes and certificates that it speaks of, one record per key. */
import { bool, bytes, list, optional, struct, u32, versioned, type Codec, type Infer } from '../base/codec.ts';
import { fromHex, hex } from '../base/bytes.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { rolesOf, runId, ticket, type Ticket } from './plan.ts';
import { certificate, statement, type Certificate } from './statements.ts';
import { afterCrash, type Move, type SwitchState } from './switch.ts';

/** Tries and certificates kept per key; a key that changes every day fills them in half a year, and the oldest go. */
const MAX_KEPT = 200;

export const switchRecord = versioned(
  1,
  struct({
    epoch: optional(u32),
    share: bool,
    highest: u32,
    lock: optional(ticket),
    prepared: list(struct({ ticket, approvals: list(statement, { max: MAX_PARTIES }), digest: bytes(32), aside: bool }), { max: MAX_KEPT }),
    refused: list(bytes(32), { max: MAX_KEPT }),
    committed: optional(struct({ by: list(u32, { max: MAX_PARTIES }), erased: bool })),
    /** Certificates that this node was moved by, oldest first: for peers that start from an older backup. */
    certificates: list(certificate as Codec<Certificate>, { max: MAX_KEPT }),
    retained: list(u32, { max: MAX_KEPT }),
  }),
);
export type SwitchRecord = Infer<typeof switchRecord>;

/** A ticket as the machine sees it from the node with this identity key. */
export function moveOf(value: Ticket, identity: Uint8Array, parameters: Parameters): Move {
  const { epoch: from, nextEpoch: to, newMembers, nextT: t, oldMembers } = value.plan;
  const old = oldMembers.some((key) => hex(key) === hex(identity));
  return { sid: hex(runId(value, parameters)), from, to, n: newMembers.length, t, old, member: rolesOf(value.plan, identity).member };
}

/** State of a node that has just started. */
export function stateOf(record: SwitchRecord, move: (value: Ticket) => Move): SwitchState {
  const { epoch, share, highest, lock, prepared, refused, committed, certificates, retained } = record;
  const last = certificates.at(-1);
  return afterCrash({
    epoch,
    share,
    highest,
    lock: lock && move(lock),
    prepared: prepared.map((entry) => ({ move: move(entry.ticket), aside: entry.aside })),
    refused: refused.map(hex),
    committed: committed && last && { move: move(last.ticket), ...committed },
    retained,
  });
}

/** What belongs to a state beside the machine's own: the plans in full, by sid. */
export interface Papers {
  readonly tickets: ReadonlyMap<string, Ticket>;
  readonly prepared: ReadonlyMap<string, Pick<SwitchRecord['prepared'][number], 'approvals' | 'digest'>>;
  readonly certificates: readonly Certificate[];
}

export function recordOf(state: SwitchState, { tickets, prepared, certificates }: Papers): SwitchRecord {
  const { epoch, share, highest, lock, refused, committed, retained } = state;
  return {
    epoch,
    share,
    highest,
    lock: lock && tickets.get(lock.sid),
    prepared: state.prepared.map(({ move, aside }) => ({ ticket: tickets.get(move.sid)!, ...prepared.get(move.sid)!, aside })),
    refused: refused.slice(-MAX_KEPT).map(fromHex),
    committed: committed && { by: [...committed.by], erased: committed.erased },
    certificates: certificates.slice(-MAX_KEPT),
    retained: [...retained],
  };
}
