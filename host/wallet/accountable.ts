/** Protocol runs of a node that leave evidence: a fault that others can be convinced of becomes a file in the node's folder and a row in its records. */
import { hex } from '../base/bytes.ts';
import { Fault } from '../base/errors.ts';
import { sessionId } from '../cggmp24/session.ts';
import { accountable, readEvidence, type SessionFacts } from '../evidence/index.ts';
import type { NodeId } from '../mesh/types.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { sha256 } from '../protocol/transcript.ts';
import type { WalletContext } from './context.ts';

export interface AccountableRun {
  readonly rounds: Rounds;
  readonly session: SessionFacts;
  /** Nodes by position in the run. */
  readonly parties: readonly NodeId[];
}

/** @throws what `protocol` throws, with the files of evidence that are now on disk */
export async function leavingEvidence<T>(
  context: WalletContext,
  { rounds, session, parties }: AccountableRun,
  protocol: (rounds: Rounds) => Promise<T>,
): Promise<T> {
  const { core, random, parameters } = context;
  try {
    return await accountable({ rounds, session, core, random, parametersOf: () => parameters }, protocol);
  } catch (error) {
    if (error instanceof Fault) for (const file of error.evidence.files ?? []) await keepEvidence(context, session, parties, file);
    throw error;
  }
}

/** A disk or a database that fails hides no fault: the error of the run is what its caller gets. */
export async function keepEvidence(
  context: WalletContext,
  session: SessionFacts,
  parties: readonly NodeId[],
  file: Uint8Array,
): Promise<void> {
  const { accused, check, round } = readEvidence(file).claim;
  const node = parties[accused]!;
  const sid = hex(sessionId(session.binding));
  const digest = hex(sha256(file));
  const name = `${node}-${sid.slice(0, 16)}-${digest.slice(0, 16)}.evidence`;
  try {
    await context.evidence?.write(name, file);
    await context.records.operations.addViolation({
      node_id: node,
      kind: `evidence.${check}`,
      session: sid,
      round,
      evidence: { file: name, sha256: digest },
    });
    context.logger.warn({ node, check, round, file: name }, 'misbehaviour that the file proves: threshold-wallet evidence verify FILE');
  } catch (error) {
    context.logger.error({ node, check, round, error }, 'evidence of misbehaviour could not be kept');
  }
}
