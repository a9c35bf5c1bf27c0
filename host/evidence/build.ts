/** From what a party saw of a run to files for others. A file is made by judging the claim over the log of the run: what the judge looked at is what it holds. */
import { encode } from '../base/codec.ts';
import type { Claim } from '../base/errors.ts';
import type { PartyAux } from '../cggmp24/aux-record.ts';
import { sessionRecord, type SessionBinding } from '../cggmp24/session.ts';
import type { Point } from '../curve/secp256k1.ts';
import { EVERYBODY, type Rounds } from '../protocol/rounds.ts';
import { MessageLog } from '../protocol/signed.ts';
import type { Plan } from '../resharing/plan.ts';
import { reshareRounds } from '../resharing/reshare-messages.ts';
import { Unfounded } from './case.ts';
import { LogExhibits } from './exhibits.ts';
import { evidenceFile, MAX_EVIDENCE_BYTES, type EvidenceFile, type Resharing } from './format.ts';
import { EQUIVOCAL_ACK } from './judge-reshare.ts';
import { judge, openCase, type VerifyOptions } from './verify.ts';

/** A session with the public data that its id is a hash of. */
export interface SessionFacts {
  readonly binding: SessionBinding;
  /** Key indices of the participants, where the run uses a key. */
  readonly signers?: readonly number[];
  /** X_j or Y_j of all parties of that key. */
  readonly publicShares?: readonly Point[];
  /** Of all parties of the group, where the run uses auxiliary information. */
  readonly aux?: readonly PartyAux[];
  /** What FROST signs. */
  readonly digest?: Uint8Array;
  /** Of a refresh or resharing. */
  readonly plan?: Plan;
}

/** The file for one claim; undefined when the log does not prove it to others, as with silence. */
export const buildEvidence = (
  claim: Claim,
  { log, n }: Pick<Rounds, 'log' | 'n'>,
  session: SessionFacts,
  options: VerifyOptions,
): Promise<Uint8Array | undefined> => build(claim, { log, n }, [], session, options);

/** The file for a new member's two statements about its share that cannot both be true; undefined when they can. */
export const buildStatementEvidence = (
  accused: number,
  statements: Resharing['statements'],
  session: SessionFacts & { readonly plan: Plan },
  options: VerifyOptions,
): Promise<Uint8Array | undefined> => {
  const claim = { accused, check: EQUIVOCAL_ACK, round: reshareRounds(session.plan).ack.name };
  return build(claim, { log: new MessageLog(), n: session.binding.identities.length }, statements, session, options);
};

async function build(
  claim: Claim,
  { log, n }: { readonly log: MessageLog; readonly n: number },
  statements: Resharing['statements'],
  session: SessionFacts,
  options: VerifyOptions,
): Promise<Uint8Array | undefined> {
  const { binding, signers = [], publicShares = [], aux = [], digest = new Uint8Array(), plan } = session;
  const record = sessionRecord(binding);
  const head = {
    session: { ...record, identities: [...record.identities], path: [...record.path] },
    facts: {
      signers: [...signers],
      publicShares: [...publicShares],
      aux: aux.map(({ paillier, pedersen }) => ({
        paillier: { n: paillier.n },
        pedersen: { n: pedersen.n, s: pedersen.s, t: pedersen.t },
      })),
      digest: claim.check === 'signature-share' ? digest : new Uint8Array(),
    },
    claim: { accused: claim.accused, check: claim.check, round: claim.round, to: claim.to ?? EVERYBODY },
    ...(plan !== undefined && { resharing: { plan, statements } }),
  } satisfies Pick<EvidenceFile, 'session' | 'facts' | 'claim' | 'resharing'>;
  const exhibits = new LogExhibits(log, claim.accused, n);
  let condition: string | undefined | Unfounded;
  try {
    condition = await judge(openCase(head, exhibits, options), options);
  } catch (error) {
    if (!(error instanceof Unfounded)) throw error;
    condition = error;
  }
  if (typeof condition !== 'string') return undefined;
  const bytes = encode(evidenceFile, { ...head, ...exhibits.taken() });
  return bytes.length > MAX_EVIDENCE_BYTES ? undefined : bytes;
}
