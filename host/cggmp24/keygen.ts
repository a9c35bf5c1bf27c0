/**
 * Distributed key generation with a threshold (Feldman), and proofs of knowledge under joint randomness. Any t of the n parties can sign;
 * t − 1 learn nothing about the key; nobody, not even the last to speak, influences the key or its chain code.
 *
 * Source: CGGMP24 (eprint 2021/060, revision 2024-10-21), key generation; cggmp24.md §6.3. Every party commits to its polynomial before it sees
 * another's (rogue keys), the vectors have exactly t entries (threshold raising), and nobody reports success until all n confirmed the same key.
 */
import { equalBytes, xorBytes } from '../base/bytes.ts';
import { bytes, bytesUpTo, list, optional, struct, u32, type Infer } from '../base/codec.ts';
import { Fault, invariant, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { commitPolynomial, evaluate, evaluateCommitment, randomPolynomial, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, point, scalar, sum, type Point } from '../curve/secp256k1.ts';
import * as sch from '../proofs/pi-sch.ts';
import { broadcastRound, echoRound, p2pRound, type Rounds } from '../protocol/rounds.ts';
import { commitment, opens, Transcript } from '../protocol/transcript.ts';
import { keyShareProblem, MAX_PARTIES, type KeyShare } from './key-share.ts';
import { demand, together, verifyEach } from './verify-each.ts';

export interface Opening {
  /** S_{i,k} = a_{i,k}·G, k = 0 … t − 1: commitments to the coefficients of f_i. */
  readonly S: readonly Point[];
  /** A_i: the commitment of the Schnorr proof, fixed before the challenge can be known. */
  readonly A: Point;
  readonly rid: Uint8Array;
  readonly chainCode: Uint8Array;
  readonly u: Uint8Array;
}

/** A wrong share, shown as its author signed it for the party that complains. */
const complaint = struct({ against: u32, signed: bytesUpTo(256) });
type Complaint = Infer<typeof complaint>;

/** The messages of a run with threshold t. A vector of any length but t, or an identity point in it, is malformed. */
export const keygenRounds = (t: number) => ({
  /** V_i. */
  commit: echoRound('keygen/commit', struct({ V: bytes(32) })),
  /** The opening of V_i. */
  open: broadcastRound(
    'keygen/open',
    struct({ S: list(point, { exact: t }), A: point, rid: bytes(32), chainCode: bytes(32), u: bytes(32) }),
  ),
  /** σ_{i,j} = f_i(I(j)); its signature is over (sid, i, j), so that j can show it. */
  share: p2pRound('keygen/share', struct({ sigma: scalar })),
  /** ψ_i, the response of Π^sch for X_i; or, of a party that got wrong shares, what it got and from whom. */
  proof: broadcastRound('keygen/proof', struct({ psi: optional(scalar), complaints: list(complaint, { max: MAX_PARTIES }) })),
  /** H(sid, PK, all X_j, t, n, I, c, rid). */
  confirm: broadcastRound('keygen/confirm', bytes(32)),
});

export interface KeygenOptions {
  readonly rounds: Rounds;
  /** 2 ≤ t ≤ n. */
  readonly t: number;
  readonly random: Random;
  /** The wallet's name for the key; the sid binds it. */
  readonly keyId: string;
  /** Writes the share durably as PREPARED. Awaited before this party confirms; the key is ACTIVE only when `keygen` resolves. */
  readonly prepared?: (share: KeyShare) => Promise<void>;
}

/**
 * @throws Refusal for an impossible threshold, Fault naming the culprits.
 *
 * Secrets: f_i, σ and the Schnorr nonce are BigInts, which JavaScript cannot overwrite; they become unreachable on return, and the process
 * counts as tainted until it exits. Nothing of them is stored or sent but what the rounds say.
 */
export async function keygen({ rounds, t, random, keyId, prepared }: KeygenOptions): Promise<KeyShare> {
  const { sid, me, n } = rounds;
  if (!Number.isInteger(t) || t < 2 || t > n || n > MAX_PARTIES) {
    const remedy = `Choose a threshold from 2 to the number of nodes (${n}), and at most ${MAX_PARTIES} nodes.`;
    throw new Refusal('threshold', 'threshold', `a ${t}-of-${n} key is not possible`, remedy, 422);
  }
  const messages = keygenRounds(t);

  // Round 1: a polynomial, fresh randomness, a Schnorr nonce; commit to all of it.
  const f = randomPolynomial(random, t);
  const nonce = sch.commit(random);
  const opening: Opening = {
    S: commitPolynomial(f),
    A: nonce.A,
    rid: random.bytes(32),
    chainCode: random.bytes(32),
    u: random.bytes(32),
  };
  const commitments = await rounds.echo(messages.commit, { V: keygenCommitment(sid, me, opening) });

  // Round 2: open, and give every party its share.
  const [openings, shares] = await together(
    rounds.broadcast(messages.open, { ...opening, S: [...opening.S] }),
    rounds.send(messages.share, new Map(rounds.peers.map((j) => [j, { sigma: evaluate(f, shamirPoint(j)) }]))),
  );

  // Round 3: every V_j opens.
  await verifyEach(rounds, {
    opening: {
      round: messages.open,
      verify: (j) => demand(opensTo(sid, j, commitments.get(j)!.V, openings.get(j)!), 'the opening matches the commitment'),
    },
  });
  const all: readonly Opening[] = Array.from({ length: n }, (_, j) => (j === me ? opening : openings.get(j)!));
  // σ_{j,i}·G = Σ_k I(i)^k·S_{j,k}
  const shareFits = (author: number, receiver: number, sigma: bigint): boolean =>
    mul(G, sigma).equals(evaluateCommitment(all[author]!.S, shamirPoint(receiver)));
  const complaints: Complaint[] = rounds.peers
    .filter((j) => !shareFits(j, me, shares.get(j)!.sigma))
    .map((j) => ({ against: j, signed: originalOf(rounds.fault(j, messages.share, 'wrong share', 'share')) }));

  // rid = ⊕ rid_j,  c = ⊕ c_j,  X_j = Σ_k I(j)^k·Σ_m S_{m,k},  x_i = Σ_m σ_{m,i},  PK = Σ_m S_{m,0}
  const rid = all.map((o) => o.rid).reduce(xorBytes);
  const chainCode = all.map((o) => o.chainCode).reduce(xorBytes);
  const S = Array.from({ length: t }, (_, k) => sum(all.map((o) => o.S[k]!)));
  const X = Array.from({ length: n }, (_, j) => evaluateCommitment(S, shamirPoint(j)));
  const publicKey = S[0]!;
  const x = modQ(evaluate(f, shamirPoint(me)) + [...shares.values()].reduce((total, { sigma }) => total + sigma, 0n));
  const context = (prover: number): sch.Context => ({ sid, prover, label: 'sch-dkg', rid });
  const psi = complaints.length === 0 ? sch.respond({ X: X[me]! }, { x }, nonce, context(me)) : undefined;
  const proofs = await rounds.broadcast(messages.proof, { psi, complaints });

  const raised = [[me, complaints] as const, ...[...proofs].map(([j, message]) => [j, message.complaints] as const)];
  if (raised.some(([, of]) => of.length > 0)) throw judge(rounds, messages, new Map(raised), shareFits);
  // x_i ≠ 0, X_j ≠ O, PK ≠ O: each fails with probability 2^−256 whatever the others do, because everybody committed first.
  invariant(x !== 0n && !publicKey.is0() && X.every((X_j) => !X_j.is0()), 'a random key is not zero');

  // Output: every Π^sch against X_j and the A_j of round 1.
  await verifyEach(rounds, {
    'sch-dkg': {
      round: messages.proof,
      verify: (j) => {
        const response = proofs.get(j)!.psi;
        demand(response !== undefined, 'ψ_j is present');
        sch.verify({ X: X[j]! }, { A: all[j]!.A, z: response! }, context(j));
      },
    },
  });
  const share: KeyShare = { version: 1, keyId, epoch: 0, index: me, t, n, x, X, publicKey, chainCode, rid };
  const problem = keyShareProblem(share);
  invariant(problem === undefined, `the new key share is consistent: ${problem}`);
  await prepared?.(share);

  // Confirmation: ψ_j and the shares were not echoed, so without it some could hold a key that others rejected. All that the hash covers was
  // fixed by the echoed commitments: an honest party cannot arrive at another one.
  const mine = confirmation(sid, share);
  const confirmations = await rounds.broadcast(messages.confirm, mine);
  await verifyEach(rounds, {
    confirmation: {
      round: messages.confirm,
      verify: (j) => demand(equalBytes(confirmations.get(j)!, mine), 'H(sid, PK, X, t, n, I, c, rid) is equal'),
    },
  });
  return share;
}

const fields =
  (sid: Uint8Array, i: number, { rid, S, A, chainCode }: Opening) =>
  (hash: Transcript): void => {
    hash.bytes(sid).u32(i).bytes(rid);
    hash.list(S, (h, P) => h.point(P));
    hash.point(A).bytes(chainCode);
  };
const TAG = 'keygen-commitment/v1';
/** V_i = Com(sid, i, rid_i, S_i, A_i, c_i; u_i). */
export const keygenCommitment = (sid: Uint8Array, i: number, opening: Opening): Uint8Array =>
  commitment(TAG, fields(sid, i, opening), opening.u);
export const opensTo = (sid: Uint8Array, i: number, V: Uint8Array, opening: Opening): boolean =>
  opens(V, TAG, fields(sid, i, opening), opening.u);

export const confirmation = (
  sid: Uint8Array,
  { publicKey, X, t, n, chainCode, rid }: Pick<KeyShare, 'publicKey' | 'X' | 't' | 'n' | 'chainCode' | 'rid'>,
): Uint8Array =>
  new Transcript('keygen-confirmation/v1')
    .bytes(sid)
    .point(publicKey)
    .list(X, (hash, X_j) => hash.point(X_j))
    .u32(t)
    .u32(n)
    .list(
      X.map((_, j) => shamirPoint(j)),
      (hash, I_j) => hash.integer(I_j),
    )
    .bytes(chainCode)
    .bytes(rid)
    .digest();

function originalOf({ evidence: { signed } }: Fault): Uint8Array {
  invariant(signed !== undefined, 'a message that was received has a signed original');
  return signed;
}

/**
 * Who is at fault when parties complain of wrong shares. A share is signed for its receiver: when the shown message is authentic and does not
 * fit the committed polynomial its author is at fault, otherwise the party that complains. Everybody comes to the same answer.
 */
function judge(
  rounds: Rounds,
  messages: ReturnType<typeof keygenRounds>,
  raised: ReadonlyMap<number, readonly Complaint[]>,
  shareFits: (author: number, receiver: number, sigma: bigint) => boolean,
): Fault {
  const verdicts = [...raised].flatMap(([victim, complaints]) =>
    complaints.map(({ against, signed }) => {
      if (against < rounds.n && against !== victim && isWrongShare(against, victim, signed)) {
        const reason = `the share of party ${against} for party ${victim} does not fit its commitment`;
        return {
          culprit: against,
          reason,
          evidence: {
            round: messages.share.name,
            detail: reason,
            signed,
            claims: [{ accused: against, check: 'share', round: messages.share.name, to: victim }],
          },
        };
      }
      const reason = `the complaint of party ${victim} against party ${against} does not hold`;
      // What it shows may be signed by nobody; that it showed it, it signed.
      return { culprit: victim, reason, evidence: rounds.fault(victim, messages.proof, reason, 'complaint').evidence };
    }),
  );
  const culprits = [...new Set(verdicts.map(({ culprit }) => culprit))].sort((a, b) => a - b);
  const claims = verdicts.flatMap(({ evidence }) => evidence.claims ?? []);
  return new Fault(culprits, verdicts.map(({ reason }) => reason).join('; '), { ...verdicts[0]!.evidence, claims });

  function isWrongShare(author: number, victim: number, signed: Uint8Array): boolean {
    const shown = rounds.reopen(messages.share, author, victim, signed);
    return shown === 'malformed' || (shown !== 'forged' && !shareFits(author, victim, shown.message.sigma));
  }
}
