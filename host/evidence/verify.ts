/**
 * The judgement of a file: every signature, every hash, and the full equation of the check that the claim names. It needs no network, no clock and
 * no secret; whoever runs it comes to the same answer.
 *
 * It answers one of three things. `proven`: the accused broke the protocol. `not-proven`: its message passes the check, so the accuser is wrong.
 * `malformed`: the file does not hold together, and shows nothing about anybody.
 */
import { equalBytes, hex } from '../base/bytes.ts';
import { decode, DecodeError } from '../base/codec.ts';
import { systemRandom, type Random } from '../base/random.ts';
import { CheckFailed, demand } from '../cggmp24/verify-each.ts';
import type { Core } from '../core/types.ts';
import { ProofRejected } from '../proofs/context.ts';
import { productionParameters, testParameters, type Parameters } from '../proofs/parameters.ts';
import { complaintRound, echoHash, EVERYBODY, type AnyRound } from '../protocol/rounds.ts';
import { decodeOr, disputeCodec, disputeName, echoCodec, echoName } from '../protocol/signed.ts';
import { Case, require_, Unfounded, type ProtocolJudges } from './case.ts';
import { FileExhibits, type Exhibits } from './exhibits.ts';
import { evidenceFile, MAX_EVIDENCE_BYTES, type EvidenceFile } from './format.ts';
import { frostKeygenJudges, frostSignJudges } from './judge-frost.ts';
import { presignJudges, signJudges } from './judge-presign.ts';
import { EQUIVOCAL_ACK, requirePlan, reshareJudges } from './judge-reshare.ts';
import { auxJudges, keygenJudges } from './judge-setup.ts';

export interface Accusation {
  readonly protocol: string;
  readonly parameters: Parameters['name'];
  readonly sid: string;
  /** Position of the accused in the run, and its identity key. */
  readonly accused: number;
  readonly identity: string;
  readonly check: string;
  readonly round: string;
}
export type Verdict =
  | (Accusation & { readonly verdict: 'proven'; readonly condition: string })
  | (Accusation & { readonly verdict: 'not-proven' })
  | { readonly verdict: 'malformed'; readonly problem: string };

export interface VerifyOptions {
  readonly core: Core;
  /** For the primality tests of moduli, which need no secret randomness. */
  readonly random?: Random;
  /** The parameter set of a name: those of the build. */
  readonly parametersOf?: (name: Parameters['name']) => Parameters;
}
const builtIn = (name: Parameters['name']): Parameters => (name === 'production' ? productionParameters : testParameters);

/** By the protocol of the session. */
const PROTOCOLS: Readonly<Record<string, ProtocolJudges>> = {
  'keygen-cggmp24': keygenJudges,
  'keygen-frost': frostKeygenJudges,
  'aux-info': auxJudges,
  presign: presignJudges,
  sign: signJudges,
  'frost-sign': frostSignJudges,
  refresh: reshareJudges,
  reshare: reshareJudges,
};

/**
 * Complaints about complaints end here: a file inside a complaint may be about a complaint, but then the files in that one may not. A file that is
 * one deeper still convinces whoever reads it by itself.
 */
const MAX_NESTING = 2;
const FALSE_COMPLAINT = 'false-complaint';

export async function verifyEvidence(bytes: Uint8Array, options: VerifyOptions): Promise<Verdict> {
  const file = parse(bytes);
  return file === undefined ? { verdict: 'malformed', problem: 'not a file of evidence' } : judgeFile(file, options);
}

const parse = (bytes: Uint8Array): EvidenceFile | undefined =>
  bytes.length > MAX_EVIDENCE_BYTES ? undefined : decodeOr(undefined, evidenceFile, bytes);

async function judgeFile(file: EvidenceFile, options: VerifyOptions): Promise<Verdict> {
  const exhibits = new FileExhibits(file);
  const { session, facts, claim } = file;
  let of: Case;
  try {
    of = openCase(file, exhibits, options);
  } catch (error) {
    if (!(error instanceof Unfounded)) throw error;
    return { verdict: 'malformed', problem: error.message };
  }
  const accusation: Accusation = {
    protocol: session.protocol,
    parameters: session.parameters,
    sid: hex(of.sid),
    accused: claim.accused,
    identity: hex(session.identities[claim.accused]!),
    check: claim.check,
    round: claim.round,
  };
  const condition = await judge(of, options);
  if (condition instanceof Unfounded) return { verdict: 'malformed', problem: condition.message };
  const unread =
    (facts.digest.length > 0 && claim.check !== 'signature-share') ||
    ((file.resharing?.statements.length ?? 0) > 0 && claim.check !== EQUIVOCAL_ACK);
  if (exhibits.superfluous || unread) return { verdict: 'malformed', problem: 'the file holds what the claim does not need' };
  return condition === undefined ? { ...accusation, verdict: 'not-proven' } : { ...accusation, verdict: 'proven', condition };
}

export function openCase(
  { session, facts, claim, resharing }: Pick<EvidenceFile, 'session' | 'facts' | 'claim' | 'resharing'>,
  exhibits: Exhibits,
  { core, random = systemRandom, parametersOf = builtIn }: VerifyOptions,
): Case {
  const parameters = parametersOf(session.parameters);
  const of = new Case(session, facts, claim, { core, random, parameters }, exhibits, resharing);
  if (resharing !== undefined) requirePlan(resharing.plan, session, parameters);
  return of;
}

/** The condition that the accused's message fails; undefined when it fails none; or why the exhibits show neither. */
export async function judge(of: Case, options: VerifyOptions): Promise<string | undefined | Unfounded> {
  let condition: string | undefined;
  try {
    await check(of, options);
  } catch (error) {
    if (error instanceof Unfounded) return error;
    // Numbers that no honest party can have signed reach the arithmetic only in files that were made up.
    if (error instanceof RangeError || error instanceof DecodeError) return new Unfounded(`impossible values: ${error.message}`);
    if (!(error instanceof ProofRejected || error instanceof CheckFailed)) throw error;
    condition = error.message;
  }
  return of.isAboutItsClaim ? condition : new Unfounded('the claim names another message than the check is about');
}

async function check(of: Case, options: VerifyOptions): Promise<void> {
  const { check: name, round, to } = of.claim;
  const judges = Object.hasOwn(PROTOCOLS, of.record.protocol) ? PROTOCOLS[of.record.protocol] : undefined;
  switch (name) {
    case 'equivocation':
      of.twoSigned(round, to);
      throw new CheckFailed(`one message for ${to === EVERYBODY ? 'everybody' : `party ${to}`} in round ${round} does not hold`);
    case 'echo':
      return checkEcho(of);
    case 'malformed': {
      const known = [...(judges?.rounds(of) ?? []), ...following(of)].find((candidate) => candidate.name === round);
      require_(known, `round ${round} is not known in protocol ${of.record.protocol}`);
      require_((known.delivery === 'p2p') === (to !== EVERYBODY), 'the receiver fits the round');
      of.own(known, to);
      return;
    }
    case FALSE_COMPLAINT:
      return checkComplaint(of, options);
    default: {
      const judgement = judges !== undefined && Object.hasOwn(judges.checks, name) ? judges.checks[name] : undefined;
      require_(judgement, `check ${name} is not known in protocol ${of.record.protocol}`);
      await judgement(of);
    }
  }
}

/** The rounds that every protocol has: they follow an echoed one, or end the run. */
function following(of: Case): AnyRound[] {
  const base = of.claim.round.replace(/\/(?:echo|dispute)$/, '');
  return [
    { name: echoName(base), delivery: 'broadcast', codec: echoCodec },
    { name: disputeName(base), delivery: 'broadcast', codec: disputeCodec(of.n) },
    complaintRound,
  ];
}

/** What the accused showed of a round gives its own echo of it, and every signature in it is that of its author. */
function checkEcho(of: Case): void {
  const { round } = of.claim;
  const view = of.bytes(echoName(round));
  of.about(round);
  const shown = decodeOr(undefined, disputeCodec(of.n), of.bytes(disputeName(round)));
  demand(shown !== undefined, 'a well-formed account of the round');
  for (const [j, { digest, signature }] of shown!.entries())
    demand(of.signedBy(j, round, EVERYBODY, digest, signature), `the message of party ${j} is signed by it`);
  const digests = shown!.map(({ digest }) => digest);
  demand(equalBytes(view, echoHash(of.sid, round, digests)), 'the echo is the hash of the messages shown');
}

/** Every file of the complaint proves its claim, about this very session. */
async function checkComplaint(of: Case, options: VerifyOptions): Promise<void> {
  require_(of.claim.round === complaintRound.name, 'a complaint');
  const files = of.own(complaintRound);
  demand(files.length > 0, 'a complaint shows something');
  for (const bytes of files) await demandProof(bytes, of.sid, options);
}

/**
 * Whether a file may stand in a complaint. Whoever answers a false complaint that is itself about a complaint has a file that may not, and must keep
 * it to itself: told to others it would convict the one who tells.
 */
export const mayBeShown = (bytes: Uint8Array): boolean => nesting(bytes) < MAX_NESTING;

/** What a complaint in a session must show. @throws CheckFailed when it does not */
export async function demandProof(bytes: Uint8Array, sid: Uint8Array, options: VerifyOptions): Promise<Verdict & { verdict: 'proven' }> {
  demand(mayBeShown(bytes), 'a complaint is not about complaints about complaints');
  const verdict = await verifyEvidence(bytes, options);
  demand(verdict.verdict === 'proven' && verdict.sid === hex(sid), 'a file of the complaint proves its claim in this session');
  return verdict as Verdict & { verdict: 'proven' };
}

/** How many complaints a file has inside each other. */
function nesting(bytes: Uint8Array, depth = 0): number {
  const file = parse(bytes);
  if (file?.claim.check !== FALSE_COMPLAINT || depth > MAX_NESTING) return 0;
  const complaints = file.signed.flatMap(({ payload }) =>
    payload === undefined ? [] : [decodeOr(undefined, complaintRound.codec, payload)],
  );
  const inner = complaints.flatMap((files) => files ?? []).map((inside) => nesting(inside, depth + 1));
  return 1 + Math.max(0, ...inner);
}

/** A file as it lies on disk, for whoever wants to look. @throws DecodeError */
export const readEvidence = (bytes: Uint8Array): EvidenceFile => decode(evidenceFile, bytes);
