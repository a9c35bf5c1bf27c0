/**
 * Sessions over the mesh: many at once, each a channel between the members of one protocol run, whatever happens to the links underneath.
 * A frame belongs to the session whose id it carries, and to the party that the link's certificate names.
 */
import { hex } from '../base/bytes.ts';
import { decode, DecodeError, encode, text } from '../base/codec.ts';
import { Defect } from '../base/errors.ts';
import { SESSION_BYTES } from './frame.ts';
import { Outbox, type OutboxLimits } from './outbox.ts';
import { Session, type SessionLimits } from './session.ts';
import type { MeshLogger } from './transport.ts';
import type { Frame, Mesh, NodeId, SessionHub } from './types.ts';

export interface HubLimits extends SessionLimits, OutboxLimits {
  /** Messages, and their bytes, that one peer may have waiting for sessions that this node has not joined yet. */
  readonly earlyMessages: number;
  readonly earlyBytes: number;
  /** Milliseconds after which such a message is dropped. */
  readonly earlyMs: number;
  /** Session ids that are remembered after their end. */
  readonly remembered: number;
}
export const HUB_LIMITS: HubLimits = {
  rounds: 256,
  partyBytes: 64 << 20,
  earlyMessages: 512,
  earlyBytes: 32 << 20,
  earlyMs: 60_000,
  remembered: 20_000,
  lingerMs: 30_000,
  lingerBytes: 64 << 20,
};

export interface HubStatistics {
  readonly open: number;
  /** Messages waiting for sessions not joined yet. */
  readonly early: number;
  readonly earlyDropped: number;
  readonly duplicates: number;
  /** Frames of sessions that are over. */
  readonly late: number;
  /** Frames from nodes that are not parties of the session. */
  readonly strangers: number;
  readonly conflicts: number;
}

const MESSAGE = 'session';
const ABORT = 'session.abort';
const claimText = text(256);

interface Early {
  readonly frame: Frame;
  readonly session: string;
  readonly at: number;
}

export function createSessionHub(
  mesh: Mesh,
  options: { readonly limits?: Partial<HubLimits>; readonly logger?: MeshLogger } = {},
): SessionHub & { statistics(): HubStatistics } {
  const limits = { ...HUB_LIMITS, ...options.limits };
  const outbox = new Outbox(mesh, limits);
  const running = new Map<string, { session: Session; members: readonly NodeId[] }>();
  /** In the order of their end, so that the oldest is forgotten first. */
  const ended = new Set<string>();
  /** Per peer, in the order of arrival. */
  const early = new Map<NodeId, Early[]>();
  const count = { earlyDropped: 0, duplicates: 0, late: 0, strangers: 0, conflicts: 0 };

  mesh.handle(MESSAGE, arrive);
  mesh.handle(ABORT, arrive);

  function arrive(from: NodeId, frame: Frame): void {
    if (frame.session.every((byte) => byte === 0)) throw new DecodeError('session', 'zero in a frame of a session');
    const id = hex(frame.session);
    const found = running.get(id);
    if (found !== undefined) deliver(found, from, frame);
    else if (ended.has(id)) count.late++;
    else keep(from, id, frame);
  }

  function deliver({ session, members }: { session: Session; members: readonly NodeId[] }, from: NodeId, frame: Frame): void {
    const party = members.indexOf(from);
    if (party < 0) {
      count.strangers++;
      return;
    }
    if (frame.kind === ABORT) return session.depart(party, decode(claimText, frame.body));
    switch (session.deliver(party, frame.round, frame.body)) {
      case 'duplicate':
        count.duplicates++;
        break;
      case 'conflict':
        count.conflicts++;
        options.logger?.warn(
          { peer: from, round: frame.round, session: hex(frame.session) },
          'equivocation: two different messages in one round',
        );
        break;
      case 'taken':
      case 'dropped':
    }
  }

  /** A faster peer: its message waits until this node joins. A peer that sends too much loses its own oldest messages, nobody else's. */
  function keep(from: NodeId, session: string, frame: Frame): void {
    if (frame.kind === ABORT) decode(claimText, frame.body);
    const waiting = fresh(from);
    waiting.push({ frame, session, at: performance.now() });
    let bytes = waiting.reduce((sum, { frame: { body } }) => sum + body.length, 0);
    while (waiting.length > limits.earlyMessages || bytes > limits.earlyBytes) {
      bytes -= waiting.shift()!.frame.body.length;
      if (count.earlyDropped++ % 1000 === 0) {
        options.logger?.warn(
          { peer: from, dropped: count.earlyDropped },
          'messages for sessions that this node has not joined are dropped',
        );
      }
    }
  }

  /** What still waits from `node`, without what is too old. */
  function fresh(node: NodeId): Early[] {
    const oldest = performance.now() - limits.earlyMs;
    const all = early.get(node) ?? [];
    const kept = all.filter(({ at }) => at >= oldest);
    count.earlyDropped += all.length - kept.length;
    early.set(node, kept);
    return kept;
  }

  function forgetOldest(): void {
    if (ended.size > limits.remembered) ended.delete(ended.values().next().value!);
  }

  return {
    open({ sid, members, class: traffic, roundTimeoutMs, totalMs, slow, signal }) {
      if (sid.length !== SESSION_BYTES || sid.every((byte) => byte === 0))
        throw new Defect(`a session id has ${SESSION_BYTES} bytes, not all zero`);
      const id = hex(sid);
      if (running.has(id) || ended.has(id)) throw new Defect(`session ${id} was used before: a session id is never used twice`);
      const me = members.indexOf(mesh.self);
      if (me < 0 || new Set(members).size !== members.length || !members.every((node) => mesh.members.includes(node))) {
        throw new Defect(`the parties of a session are different members of the mesh, ${mesh.self} among them: ${members.join(', ')}`);
      }
      if (![roundTimeoutMs, totalMs ?? 1, slow?.roundTimeoutMs ?? 1, slow?.totalMs ?? 1].every((ms) => ms > 0))
        throw new Defect('a session needs a time-out above 0');
      signal?.throwIfAborted();

      const post = (to: NodeId, kind: string, round: string, body: Uint8Array) =>
        outbox.add(id, to, { class: traffic, kind, session: sid.slice(), round, body });
      const session = new Session({
        members,
        me,
        roundTimeoutMs,
        totalMs,
        slow,
        limits,
        signal,
        send: (to, round, message) => post(members[to]!, MESSAGE, round, message),
        ended(claim) {
          if (claim !== undefined) for (const node of members) if (node !== mesh.self) post(node, ABORT, '', encode(claimText, claim));
          running.delete(id);
          ended.add(id);
          forgetOldest();
          outbox.finish(id);
        },
      });
      running.set(id, { session, members: [...members] });
      for (const node of [...early.keys()]) {
        const mine = fresh(node).filter((entry) => entry.session === id);
        if (mine.length === 0) continue;
        early.set(
          node,
          fresh(node).filter((entry) => entry.session !== id),
        );
        for (const { frame } of mine) deliver({ session, members }, node, frame);
      }
      return session;
    },

    statistics: () => ({ open: running.size, early: [...early.keys()].reduce((sum, node) => sum + fresh(node).length, 0), ...count }),
  };
}
