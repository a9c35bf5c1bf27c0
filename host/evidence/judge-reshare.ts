/**
 * How faults in a refresh or resharing are judged from signed messages (cggmp24.md §6.10), and from two statements of a new member that cannot both be
 * true. The plan comes with the file; the session id is a hash of it.
 */
import { equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import { sessionIdOf } from '../cggmp24/session.ts';
import { CheckFailed, demand } from '../cggmp24/verify-each.ts';
import { signedBy } from '../consensus/identity.ts';
import { G, mulPublic } from '../curve/secp256k1.ts';
import type { Parameters } from '../proofs/parameters.ts';
import * as sch from '../proofs/pi-sch.ts';
import {
  ACKNOWLEDGES,
  commitmentsOf,
  DEALS,
  jointRandomness,
  nextPublicShares,
  OPENS,
  opens,
  outcome,
  PROVES,
  TAGS,
  type Opened,
} from '../resharing/outcome.ts';
import { checkPlan, NONCE_BYTES, participants, PLAN_KINDS, rolesOf, runId, type Plan } from '../resharing/plan.ts';
import { provenCoefficients, reshareRounds } from '../resharing/reshare-messages.ts';
import { ackMessage, refusalMessage, stated } from '../resharing/statements.ts';
import { fits, reveal, type MaskContext } from '../resharing/subshares.ts';
import { require_, type Case, type ProtocolJudges } from './case.ts';
import { everybody } from './judge-setup.ts';

export const isResharing = (protocol: string): boolean => PLAN_KINDS.some((kind) => kind === protocol);

/** That the plan is the one that the session was run for, and one that an honest party could have run. @throws Unfounded */
export function requirePlan(plan: Plan, record: Case['record'], parameters: Parameters): void {
  require_(isResharing(record.protocol), 'a plan is of a refresh or resharing');
  const sid = runId({ plan, nonce: record.nonce.slice(0, NONCE_BYTES) }, parameters);
  require_(equalBytes(sid, sessionIdOf(record)), 'the plan is that of the session');
  try {
    checkPlan(plan, plan.publicKey);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    require_(false, `the plan cannot be carried out: ${error.message}`);
  }
}

const planOf = (of: Case): Plan => {
  require_(of.resharing, 'the plan of the session');
  return of.resharing.plan;
};
const messagesOf = (of: Case) => reshareRounds(planOf(of));
const rolesIn = (of: Case) => participants(planOf(of)).map((key) => rolesOf(planOf(of), key));
const roleOf = (of: Case, party: number) => rolesIn(of)[party]!;

/** The opening of party p, which opens the commitment that the accused echoed (or its own). */
function openingOf(of: Case, p: number) {
  const { commit, open } = messagesOf(of);
  const V = of.acknowledged(commit, p);
  const opening = p === of.accused ? of.own(open) : of.shown(open, p);
  const holds = opens(of.sid, roleOf(of, p), V, opening);
  if (p === of.accused) demand(holds, OPENS);
  require_(holds, `the opening of party ${p} is that of its commitment`);
  return opening;
}

/** What all openings give, as in the run. */
function publicSide(of: Case) {
  const plan = planOf(of);
  const openings = everybody(of).map((p) => openingOf(of, p));
  const roles = rolesIn(of);
  const party = (role: 'sharer' | 'member', index: number): number => roles.findIndex((of_) => of_[role] === index);
  const opened: Opened = {
    sharers: new Map(plan.sharers.map((a) => [a, openings[party('sharer', a)]!.sharer!])),
    members: plan.newMembers.map((_, b) => openings[party('member', b)]!.member!),
  };
  const rid = jointRandomness(opened);
  const masks: MaskContext = { tag: TAGS[plan.kind].mask, sid: of.sid, rid };
  return { plan, opened, rid, masks, S: commitmentsOf(plan, opened), party };
}

/** Sharer a's ciphertext for member b, opened with the one-time key y that b committed to; undefined when y is not that key. */
function subShare(of: Case, a: number, b: number, y: bigint): { readonly fits: boolean } | undefined {
  const { plan, opened, masks, S, party } = publicSide(of);
  const { deal } = messagesOf(of);
  // y_{b,a}·G = Y_{b,a}
  if (!mulPublic(G, y).equals(opened.members[b]!.Y[plan.sharers.indexOf(a)]!)) return undefined;
  const dealt = of.acknowledged(deal, party('sharer', a)).sharer;
  require_(dealt, 'what the sharer dealt');
  return { fits: fits(reveal(masks, a, b, dealt.C[b]!, y, opened.sharers.get(a)!.Y[b]!), S.get(a)!, b) };
}

/** The accused dealt member b a sub-share off its polynomial: b's key for it, from b's complaint, opens the accused's own ciphertext. */
function share(of: Case, b: number): void {
  const plan = planOf(of);
  const { result, deal } = messagesOf(of);
  const a = roleOf(of, of.accused).sharer;
  require_(a !== undefined && b < plan.newMembers.length, 'a sharer and a new member');
  of.own(deal);
  const complainer = rolesIn(of).findIndex(({ member }) => member === b);
  const { complaints } = complainer === of.accused ? of.own(result) : of.shown(result, complainer);
  const found = complaints.flatMap(({ against, y }) => (against === a ? (subShare(of, a, b, y) ?? []) : []));
  require_(found.length > 0, 'the one-time key of the member');
  demand(
    found.every((opened) => opened.fits),
    'v_i·G = Σ_k I*(j)^k·S_{i,k}',
  );
}

const proof = (of: Case): void => {
  const { psi } = checkDeal(of) ?? { psi: [] };
  const { sharer: a } = roleOf(of, of.accused);
  if (a === undefined) return;
  const { plan, opened, rid, S } = publicSide(of);
  for (const [at, k] of provenCoefficients(plan).entries())
    sch.verify(
      { X: S.get(a)![k]! },
      { A: opened.sharers.get(a)!.A[at]!, z: psi[at]! },
      { sid: of.sid, prover: a, label: TAGS[plan.kind].proof, index: k, rid },
    );
};
function checkDeal(of: Case) {
  const { sharer } = of.own(messagesOf(of).deal);
  demand((sharer !== undefined) === (roleOf(of, of.accused).sharer !== undefined), DEALS);
  return sharer;
}

/** Two statements of a new member of which an honest one makes one at most: ACK and REFUSE, or ACKs of two results. */
function equivocalAck(of: Case): void {
  const { plan, statements } = of.resharing ?? {};
  require_(plan !== undefined && statements?.length === 2, 'a plan and two statements');
  require_(of.claim.round === messagesOf(of).ack.name, 'a claim about the acknowledgement');
  require_(roleOf(of, of.accused).member !== undefined, 'the accused is a new member');
  for (const { digest, signature } of statements) {
    const message = digest === undefined ? refusalMessage(of.sid) : ackMessage(of.sid, plan.nextEpoch, digest);
    require_(signedBy(of.record.identities[of.accused]!, message, signature), 'the accused signed both statements');
  }
  const [first, second] = statements.map(({ digest }) => digest);
  const same = first === undefined || second === undefined ? first === second : equalBytes(first, second);
  require_(!same, 'the two statements differ');
  of.about(of.claim.round);
  throw new CheckFailed('one statement about the new share, ACK of one result or REFUSE, does not hold');
}
export const EQUIVOCAL_ACK = 'equivocal-ack';

export const reshareJudges: ProtocolJudges = {
  rounds: (of) => Object.values(messagesOf(of)),
  checks: {
    opening: (of) => void openingOf(of, of.accused),
    [TAGS.refresh.proof]: proof,
    [TAGS.reshare.proof]: proof,
    ...Object.fromEntries(Array.from({ length: MAX_PARTIES }, (_, b) => [`share/${b}`, (of: Case) => share(of, b)])),
    complaint: (of) => {
      const { complaints } = of.own(messagesOf(of).result);
      const { member: b } = roleOf(of, of.accused);
      for (const { against: a, y } of complaints) {
        demand(b !== undefined && planOf(of).sharers.includes(a), 'a complaint is that of a new member about a sharer');
        const opened = subShare(of, a, b!, y);
        demand(opened !== undefined, 'y_{j,i}·G = Y_{j,i}');
        demand(!opened!.fits, 'the sub-share complained of is wrong');
      }
    },
    'sch-new': (of) => {
      const { psi, complaints } = of.own(messagesOf(of).result);
      const { member: b } = roleOf(of, of.accused);
      if (complaints.length > 0) return; // it complains instead of proving
      demand((psi !== undefined) === (b !== undefined), PROVES);
      if (b === undefined) return;
      const { plan, opened, rid, S } = publicSide(of);
      const X = nextPublicShares(plan, S);
      require_(!X.some((X_k) => X_k.is0()), 'no new share is zero');
      sch.verify({ X: X[b]! }, { A: opened.members[b]!.A, z: psi! }, { sid: of.sid, prover: b, label: 'sch-new', rid });
    },
    confirmation: (of) => {
      const { digest } = of.own(messagesOf(of).result);
      demand(equalBytes(digest, digestOf(of)), 'D is equal');
    },
    ack: (of) => {
      const { signature } = of.own(messagesOf(of).ack);
      const { member: b } = roleOf(of, of.accused);
      demand((signature !== undefined) === (b !== undefined), ACKNOWLEDGES);
      if (b === undefined) return;
      const { newMembers, nextEpoch } = planOf(of);
      const message = ackMessage(of.sid, nextEpoch, digestOf(of));
      demand(stated(newMembers, message, { index: b, signature: signature! }), 'ACK_j signs (reshare-ack, sid, E*, D)');
    },
    [EQUIVOCAL_ACK]: equivocalAck,
  },
};

function digestOf(of: Case): Uint8Array {
  const { plan, S } = publicSide(of);
  return outcome(of.sid, plan, nextPublicShares(plan, S));
}
