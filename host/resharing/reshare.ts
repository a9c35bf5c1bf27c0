/**
 * Resharing: the sharers of an old committee deal the key to a new one, and nobody's share of the old epoch says anything about the new. The
 * public key and the chain code stay. A refresh is the same run with all members sharing zero, added to what each has; the additive n-of-n
 * refresh is its case t = n.
 *
 * Source: cggmp24.md §6.5, 6.6, 6.10. Roles: i is an index of H ⊆ O (old), j an index of O* (new); a node in both sends to itself like to others.
 * Checks (1) to (6) are those of §6.10 by number. Check (2), S_{i,0} = λ_i·X_i, holds by construction: S_{i,0} is computed, never received.
 *
 * The function ends with the certificate, or with a fault; what a node does with either is the switch's business (switch.ts).
 */
import { equalBytes } from '../base/bytes.ts';
import { Fault, invariant, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { evaluate, interpolatePoint, lagrangeAtZero, shamirPoint, type Polynomial } from '../curve/polynomial.ts';
import { G, modQ, mul, randomScalar, type Point } from '../curve/secp256k1.ts';
import { blame, demand, verifyEach } from '../cggmp24/verify-each.ts';
import type { Parameters } from '../proofs/parameters.ts';
import * as sch from '../proofs/pi-sch.ts';
import { hedged } from '../protocol/hedged.ts';
import type { Rounds } from '../protocol/rounds.ts';
import {
  ACKNOWLEDGES,
  commitmentsOf,
  DEALS,
  jointRandomness,
  nextPublicShares,
  opens,
  OPENS,
  outcome,
  PROVES,
  TAGS,
  type Opened,
} from './outcome.ts';
import { checkHeld, checkOwnShare, checkPlan, participants, rolesOf, runId, weighted, type Held, type Ticket } from './plan.ts';
import {
  memberCommitment,
  provenCoefficients,
  reshareRounds,
  sharerCommitment,
  type MemberOpening,
  type SharerOpening,
} from './reshare-messages.ts';
import type { SharedKey } from './shared-key.ts';
import { ackMessage, checkApprovals, stated, type Certificate, type Sign, type Statement } from './statements.ts';
import { conceal, fits, judge, oneTimeKey, reveal, type MaskContext } from './subshares.ts';

export interface ReshareOptions {
  /** A run of {@link participants}, in their order; its sid from {@link runId}. */
  readonly rounds: Rounds;
  readonly ticket: Ticket;
  /** The vote on it. */
  readonly approvals: readonly Statement[];
  /** The key that this node knows, or that its own configuration told it to join. */
  readonly publicKey: Point;
  /**
   * This node's share of epoch E, if it is of O and has one, with its committee as this node knows it from the making of the key; every sharer has one, and in
   * a refresh everybody is one. Votes count by the keys that the plan names, so the plan is compared with both ({@link checkHeld}).
   */
  readonly own?: Held;
  readonly parameters: Parameters;
  readonly random: Random;
  readonly sign: Sign;
  /** Stores the new share durably beside the old one, and reads it back. Awaited before ACK_j leaves. */
  readonly prepared: (share: NewShare) => Promise<void>;
}

/** What a member of O* prepares. */
export interface NewShare {
  readonly key: SharedKey;
  /** D. */
  readonly digest: Uint8Array;
  /** Joint randomness of the run. */
  readonly rid: Uint8Array;
}

/**
 * Resolves with Cert at every participant, when all n* members hold their shares durably.
 *
 * @throws Refusal before anything is sent, when plan, vote, key or session do not fit. @throws Fault naming the culprits; any complaint ends the
 * run, epoch E stays in force, and the next run leaves the offender out.
 *
 * Secrets: g_i, w_i, y, α and the received v are BigInts, which JavaScript cannot overwrite; none is stored, and they become unreachable when
 * the run ends. A new run draws everything anew.
 */
export async function reshare(options: ReshareOptions): Promise<Certificate> {
  const { rounds, ticket, approvals, own, sign, prepared } = options;
  const { plan } = ticket;
  const { sid, me } = rounds;
  const { roles, w } = begin(options);
  const { sharer: i, member: j } = roles[me]!;
  // What a sharer draws hides its share: one repetition of g_i's coefficients in two plans would give w_i away.
  const random = own === undefined ? options.random : hedged(options.random, own.share.x, sid);
  const messages = reshareRounds(plan);
  const proven = provenCoefficients(plan);
  const sharerParty = (index: number): number => roles.findIndex(({ sharer }) => sharer === index);
  const memberParty = (index: number): number => roles.findIndex(({ member }) => member === index);

  // Round 1: commit to a polynomial with the weighted share (or 0) at 0, to one-time keys, and to Schnorr nonces.
  const g: Polynomial = [w, ...Array.from({ length: plan.nextT - 1 }, () => randomScalar(random))];
  const nonces = proven.map(() => sch.commit(random));
  const sending = plan.newMembers.map(() => oneTimeKey(random));
  const receiving = plan.sharers.map(() => oneTimeKey(random));
  const nonce = sch.commit(random);
  const fresh = () => ({ rid: random.bytes(32), u: random.bytes(32) });
  const own_i: SharerOpening | undefined =
    i === undefined
      ? undefined
      : { S: g.slice(1).map((a) => mul(G, a)), A: nonces.map(({ A }) => A), Y: sending.map(({ Y }) => Y), ...fresh() };
  const own_j: MemberOpening | undefined = j === undefined ? undefined : { Y: receiving.map(({ Y }) => Y), A: nonce.A, ...fresh() };
  const commitments = await rounds.echo(messages.commit, {
    sharer: own_i && sharerCommitment(sid, i!, own_i),
    member: own_j && memberCommitment(sid, j!, own_j),
  });

  // Round 2: open.
  const openings = await rounds.broadcast(messages.open, {
    sharer: own_i && { ...own_i, S: [...own_i.S], A: [...own_i.A], Y: [...own_i.Y] },
    member: own_j && { ...own_j, Y: [...own_j.Y] },
  });

  // Round 3. (1) every V opens, to vectors of exactly the planned lengths.
  await verifyEach(rounds, {
    opening: {
      round: messages.open,
      verify: (p) => demand(opens(sid, roles[p]!, commitments.get(p)!, openings.get(p)!), OPENS),
    },
  });
  const opened: Opened = {
    sharers: new Map(plan.sharers.map((a) => [a, a === i ? own_i! : openings.get(sharerParty(a))!.sharer!])),
    members: plan.newMembers.map((_, b) => (b === j ? own_j! : openings.get(memberParty(b))!.member!)),
  };
  const { sharers, members } = opened;
  const rid = jointRandomness(opened);
  const masks: MaskContext = { tag: TAGS[plan.kind].mask, sid, rid };
  // (2)
  const S = commitmentsOf(plan, opened);
  const positionOf = (a: number): number => plan.sharers.indexOf(a);
  const label = TAGS[plan.kind].proof;
  const coefficient = (a: number, k: number): sch.Context => ({ sid, prover: a, label, index: k, rid });
  const mine =
    i === undefined
      ? undefined
      : {
          // C_{j,i} = g_i(I*(j)) + H_q(mask; sid, rid, i, j, y_{i,j}·Y_{j,i})
          C: members.map(({ Y }, b) => conceal(masks, i, b, evaluate(g, shamirPoint(b)), sending[b]!.y, Y[positionOf(i)]!)),
          psi: proven.map((k, at) => sch.respond({ X: S.get(i)![k]! }, { x: g[k]! }, nonces[at]!, coefficient(i, k))),
        };
  const dealt = await rounds.echo(messages.deal, { sharer: mine });

  // Round 4. (3) ψ_{i,k}·G = A_{i,k} + e_{i,k}·S_{i,k}
  await verifyEach(rounds, {
    [label]: {
      round: messages.deal,
      verify: (p) => {
        const { sharer: a } = roles[p]!;
        const deal = dealt.get(p)!.sharer;
        demand((deal !== undefined) === (a !== undefined), DEALS);
        if (a === undefined || deal === undefined) return;
        for (const [at, k] of proven.entries())
          sch.verify({ X: S.get(a)![k]! }, { A: sharers.get(a)!.A[at]!, z: deal.psi[at]! }, coefficient(a, k));
      },
    },
  });
  const C = new Map(plan.sharers.map((a) => [a, a === i ? mine!.C : dealt.get(sharerParty(a))!.sharer!.C]));
  // (4) v_i = C_{j,i} − H_q(mask; sid, rid, i, j, y_{j,i}·Y_{i,j});  v_i·G = Σ_k I*(j)^k·S_{i,k}
  const received =
    j === undefined
      ? []
      : plan.sharers.map((a, at) => ({
          a,
          y: receiving[at]!.y,
          v: reveal(masks, a, j, C.get(a)![j]!, receiving[at]!.y, sharers.get(a)!.Y[j]!),
        }));
  const complaints = j === undefined ? [] : received.filter(({ a, v }) => !fits(v, S.get(a)!, j)).map(({ a, y }) => ({ against: a, y }));
  // (5) Σ S_{i,0} = PK is checkPlan's, since S_{i,0} comes from the plan.
  // (6) x*_j = Σ v_i, in a refresh on top of x_j
  const nextX = nextPublicShares(plan, S);
  const x = modQ(received.reduce((value, { v }) => value + v, 0n) + (plan.kind === 'refresh' ? own!.share.x : 0n));
  const digest = outcome(sid, plan, nextX);
  const knows = (b: number): sch.Context => ({ sid, prover: b, label: 'sch-new', rid });
  const psi =
    j === undefined || complaints.length > 0 || nextX[j]!.is0() ? undefined : sch.respond({ X: nextX[j]! }, { x }, nonce, knows(j));
  const results = await rounds.broadcast(messages.result, { psi, complaints, digest });

  const raised = [[me, complaints] as const, ...[...results].map(([p, result]) => [p, result.complaints] as const)];
  if (raised.some(([, of]) => of.length > 0)) throw decide(raised);
  // With probability 2^−256 whatever anybody does, because everybody committed first: run again.
  if (nextX.some((X_k) => X_k.is0())) {
    throw new Fault([], 'a new share is zero; run again', { round: messages.result.name, detail: 'X*_k = O' });
  }

  // Round 5: every ψ_k, and one D.
  await verifyEach(rounds, {
    'sch-new': {
      round: messages.result,
      verify: (p) => {
        const { member: b } = roles[p]!;
        const response = results.get(p)!.psi;
        demand((response !== undefined) === (b !== undefined), PROVES);
        if (b !== undefined) sch.verify({ X: nextX[b]! }, { A: members[b]!.A, z: response! }, knows(b));
      },
    },
    confirmation: { round: messages.result, verify: (p) => demand(equalBytes(results.get(p)!.digest, digest), 'D is equal') },
  });
  const points = plan.newMembers.slice(0, plan.nextT).map((_, b) => b);
  invariant(
    interpolatePoint(new Map(points.map((b) => [b, nextX[b]!]))).equals(plan.publicKey),
    'Σ λ*_k·X*_k = PK follows from S_{i,0} and the checks of the plan',
  );
  let signature: Uint8Array | undefined;
  if (j !== undefined) {
    invariant(x !== 0n && mul(G, x).equals(nextX[j]!), 'x*_j·G = X*_j follows from check (4)');
    const { keyId, scheme, nextEpoch: epoch, nextT: t, publicKey, chainCode, internal } = plan;
    const key: SharedKey = {
      scheme, keyId, epoch, index: j, t, n: plan.newMembers.length, x, X: nextX, publicKey, chainCode, ...(internal && { internal }),
    }; // prettier-ignore
    await prepared({ key, digest, rid });
    signature = sign(ackMessage(sid, epoch, digest));
  }
  const acks = await rounds.broadcast(messages.ack, { signature });
  const message = ackMessage(sid, plan.nextEpoch, digest);
  await verifyEach(rounds, {
    ack: {
      round: messages.ack,
      verify: (p) => {
        const { member: b } = roles[p]!;
        const theirs = acks.get(p)!.signature;
        demand((theirs !== undefined) === (b !== undefined), ACKNOWLEDGES);
        if (b !== undefined)
          demand(stated(plan.newMembers, message, { index: b, signature: theirs! }), 'ACK_j signs (reshare-ack, sid, E*, D)');
      },
    },
  });
  return {
    ticket,
    approvals,
    digest,
    acks: plan.newMembers.map((_, b) => (b === j ? signature! : acks.get(memberParty(b))!.signature!)),
  };

  /** Everybody holds C, S and all Y, so everybody comes to the same answer about a published y_{j,i}. */
  function decide(all: readonly (readonly [number, readonly { against: number; y: bigint }[]])[]): Fault {
    const verdicts = all.flatMap(([p, list]) =>
      list.map(({ against: a, y }) => {
        const { member: b } = roles[p]!;
        const opening = sharers.get(a);
        const reason = `the complaint of party ${p} against sharer ${a} does not hold`;
        const unfounded = { peer: p, round: messages.result, check: 'complaint', reason };
        if (b === undefined || opening === undefined) return unfounded;
        const disputed = { S: S.get(a)!, dealerY: opening.Y[b]!, C: C.get(a)![b]!, receiverY: members[b]!.Y[positionOf(a)]! };
        return judge(masks, a, b, disputed, y) === 'receiver'
          ? unfounded
          : {
              peer: sharerParty(a),
              round: messages.deal,
              check: `share/${b}`,
              reason: `the sub-share of sharer ${a} for member ${b} does not fit its commitment`,
            };
      }),
    );
    return blame(rounds, verdicts);
  }

  function begin({ publicKey, parameters }: ReshareOptions) {
    const keys = participants(plan);
    const identity = keys[me];
    if (identity === undefined || rounds.n !== keys.length || !equalBytes(sid, runId(ticket, parameters))) {
      throw new Refusal('plan', 'sid', 'the session is not of this plan', 'open the session of its participants, with its id', 409);
    }
    checkPlan(plan, publicKey);
    checkApprovals(ticket, approvals, sid);
    const all = keys.map((key) => rolesOf(plan, key));
    const role = all[me]!.sharer;
    if (own !== undefined) {
      checkHeld(plan, own);
      checkOwnShare(plan, own.share, identity);
    }
    if (role === undefined) return { roles: all, w: 0n };
    if (own === undefined) throw new Refusal('plan', 'sharers', 'this node has no share to deal', 'leave it out of the sharers', 409);
    // w_i·G = W_i: a node whose stored share fails this stays out of H.
    const weight = modQ(lagrangeAtZero(plan.sharers.map(shamirPoint), shamirPoint(role)) * own.share.x);
    if (weight === 0n || !mul(G, weight).equals(weighted(plan).get(role)!))
      throw new Refusal('plan', 'sharers', 'the share of this node is damaged', 'leave it out of the sharers; it can be a new member', 409);
    return { roles: all, w: plan.kind === 'refresh' ? 0n : weight };
  }
}
