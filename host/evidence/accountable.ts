/**
 * A protocol run that leaves evidence. Whoever can prove a fault shows the proof to all before it leaves; whoever waits for one that has left
 * reads what it showed, and judges. So all honest parties name the same, also when only one could see the fault (cggmp24.md §6.8).
 */
import { equalBytes } from '../base/bytes.ts';
import { Fault, invariant } from '../base/errors.ts';
import { sessionId } from '../cggmp24/session.ts';
import { CheckFailed } from '../cggmp24/verify-each.ts';
import { complaintRound, sendable, type Rounds } from '../protocol/rounds.ts';
import { buildEvidence, type SessionFacts } from './build.ts';
import { demandProof, mayBeShown, type VerifyOptions } from './verify.ts';

export interface AccountableOptions extends VerifyOptions {
  readonly rounds: Rounds;
  readonly session: SessionFacts;
}

/** Runs `protocol`. @throws what it throws; a fault with `evidence.files` where others can be convinced of it */
export async function accountable<T>(options: AccountableOptions, protocol: (rounds: Rounds) => Promise<T>): Promise<T> {
  invariant(equalBytes(sessionId(options.session.binding), options.rounds.sid), 'the session of the evidence is that of the run');
  try {
    return await protocol(options.rounds);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw (await ownEvidence(options, error)) ?? (await shownByOthers(options)) ?? error;
  }
}

async function ownEvidence(options: AccountableOptions, fault: Fault): Promise<Fault | undefined> {
  const { rounds, session } = options;
  const files: Uint8Array[] = [];
  // Of each culprit the first claim that others can be convinced of.
  for (const accused of fault.culprits) {
    for (const claim of fault.evidence.claims?.filter((one) => one.accused === accused) ?? []) {
      const file = await buildEvidence(claim, rounds, session, options);
      if (file === undefined) continue;
      files.push(file);
      break;
    }
  }
  if (files.length === 0) return undefined;
  show(rounds, files);
  return new Fault(fault.culprits, fault.reason, { ...fault.evidence, files });
}

/** Tells the others what they can judge. */
function show(rounds: Rounds, files: readonly Uint8Array[]): void {
  const shown = files.filter(mayBeShown);
  if (shown.length > 0 && sendable(shown)) rounds.complain(shown);
}

/** What those who left have shown. A complaint that does not hold is the fault of its author. */
async function shownByOthers(options: AccountableOptions): Promise<Fault | undefined> {
  const { rounds, session } = options;
  const culprits = new Set<number>();
  const reasons: string[] = [];
  const files: Uint8Array[] = [];
  for (const [from, complaint] of await rounds.complaints()) {
    try {
      if (complaint.length === 0) throw new CheckFailed('a complaint shows something does not hold');
      for (const bytes of complaint) {
        const { accused, check, condition } = await demandProof(bytes, rounds.sid, options);
        culprits.add(accused);
        reasons.push(`${check} of party ${accused}, shown by party ${from}: ${condition}`);
        files.push(bytes);
      }
    } catch (error) {
      if (!(error instanceof CheckFailed)) throw error;
      culprits.add(from);
      reasons.push(`the complaint of party ${from}: ${error.message}`);
      const file = await buildEvidence({ accused: from, check: 'false-complaint', round: complaintRound.name }, rounds, session, options);
      if (file !== undefined) files.push(file);
    }
  }
  if (culprits.size === 0) return undefined;
  show(rounds, files);
  const reason = reasons.join('; ');
  return new Fault([...culprits].sort((a, b) => a - b), reason, { round: complaintRound.name, detail: reason, files }); // prettier-ignore
}
