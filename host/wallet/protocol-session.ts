/** One protocol run of this node over the mesh: the session, its rounds, what is left of a fault, and the end, which the others are told. */
import { sessionId } from '../cggmp24/session.ts';
import { sessionIdentity } from '../consensus/identity.ts';
import type { SessionFacts } from '../evidence/index.ts';
import type { NodeId, SessionHub } from '../mesh/types.ts';
import { createRounds, type Rounds, type Tracer } from '../protocol/rounds.ts';
import { leavingEvidence } from './accountable.ts';
import type { WalletContext } from './context.ts';

type SessionOptions = Omit<Parameters<SessionHub['open']>[0], 'sid' | 'members'>;

export interface ProtocolSession extends SessionOptions {
  readonly facts: SessionFacts;
  /** Nodes by position in the run. */
  readonly parties: readonly NodeId[];
  readonly tracer: Tracer;
  /** Called when the session is open, before the protocol says anything. */
  readonly opened?: () => void;
}

/** Runs `protocol` as this node's part. @throws what it throws, with the files of evidence that are on disk */
export async function inSession<T>(
  context: WalletContext,
  { facts, parties, tracer, opened, ...options }: ProtocolSession,
  protocol: (rounds: Rounds) => Promise<T>,
): Promise<T> {
  const sid = sessionId(facts.binding);
  const session = context.sessions.open({ sid, members: parties, ...options });
  opened?.();
  try {
    const rounds = createRounds({
      sid,
      me: parties.indexOf(context.self),
      n: parties.length,
      channel: session,
      identity: sessionIdentity(context.identity, context.roster, parties),
      tracer,
    });
    const result = await leavingEvidence(context, { rounds, session: facts, parties }, protocol);
    session.close();
    return result;
  } catch (error) {
    session.abort(error instanceof Error ? error.message.slice(0, 200) : 'failed');
    throw error;
  }
}
