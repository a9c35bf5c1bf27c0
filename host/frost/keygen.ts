/**
 * FROST key generation for Taproot: Pedersen's DKG with proofs of possession, commit first, then even Y and the BIP-341 tweak
 * (cggmp24.md §10.2, 10.3), and the confirmation without which the key does not count (§6.3).
 *
 * The equations are written out here over host/curve rather than taken from `schnorr_FROST.DKG`: that one reports a failed check without
 * naming the sender, returns the tweaked key only (PSBTs need the internal key), and reduces random bits instead of rejecting. Its messages and
 * results are the same, which the tests show by running the two against each other.
 *
 * | round | message | delivery |
 * | --- | --- | --- |
 * | commit | V_i | echo |
 * | open | φ_i, proof of possession, chain code contribution c_i, u_i | broadcast |
 * | share | f_i(j + 1) | p2p |
 * | confirm | digest of the result, or a complaint that reveals a wrong share | broadcast |
 */
import { equalBytes, xorBytes } from '../base/bytes.ts';
import { bytes, bytesUpTo, DecodeError, encode, list, map, optional, struct, u32, type Infer } from '../base/codec.ts';
import { Fault, joint, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { commitPolynomial, evaluate, evaluateCommitment, randomPolynomial, shamirPoint, type Polynomial } from '../curve/polynomial.ts';
import { G, modQ, mul, point, scalar, sum, type Point } from '../curve/secp256k1.ts';
import { broadcastRound, echoRound, p2pRound, type Rounds } from '../protocol/rounds.ts';
import { commitment, opens, Transcript } from '../protocol/transcript.ts';
import { proofOfPossession, provePossession, verifyPossession } from './possession.ts';
import { brokenRelation, MAX_KEY_ID_BYTES, MAX_PARTIES, type FrostShare } from './share.ts';
import { tweakKey } from './taproot.ts';

export const commitRound = echoRound('frost-dkg/commit', bytes(32));
/** φ has exactly t points, none of them the identity: a longer vector would raise the threshold, a shorter one lower it. */
export const openRound = (t: number) =>
  broadcastRound(
    'frost-dkg/open',
    struct({ phi: list(point, { exact: t }), possession: proofOfPossession, chainCode: bytes(32), u: bytes(32) }),
  );
export const shareRound = p2pRound('frost-dkg/share', scalar);
/** A complaint carries the dealer's signed message, so that everybody can judge it. Exactly one of the two is present. */
const MAX_COMPLAINT_BYTES = 1024;
const complaint = struct({ dealer: u32, signed: bytesUpTo(MAX_COMPLAINT_BYTES) });
export const confirmRound = broadcastRound(
  'frost-dkg/confirm',
  map(
    struct({ digest: optional(bytes(32)), complaint: optional(complaint) }),
    (message) => {
      if ((message.digest === undefined) === (message.complaint === undefined)) throw new DecodeError('', 'either a digest or a complaint');
      return message;
    },
    (message) => message,
  ),
);

export type Opening = Infer<ReturnType<typeof openRound>['codec']>;

export const COMMITMENT_TAG = 'frost-dkg/v1';
/** What V_i commits to: session, author, φ_i, the proof, and c_i; then u_i. The chain code inside, or the last to speak would choose it. */
export const committed =
  (sid: Uint8Array, author: number, { phi, possession, chainCode }: Opening) =>
  (transcript: Transcript): void => {
    transcript
      .bytes(sid)
      .u32(author)
      .list(phi, (t, phi_k) => t.point(phi_k))
      .bytes(encode(proofOfPossession, possession))
      .bytes(chainCode);
  };

/** V_i = SHA-256(T("frost-dkg/v1"), B(sid), U(i), φ_i, PoP_i, B(c_i), B(u_i)) */
export const commitTo = (sid: Uint8Array, author: number, opening: Opening): Uint8Array =>
  commitment(COMMITMENT_TAG, committed(sid, author, opening), opening.u);

/** A dealer's polynomial f, and what it opens in round `open`. */
export function deal(random: Random, party: number, t: number): { f: Polynomial; opening: Opening } {
  const f = randomPolynomial(random, t);
  const opening = {
    phi: commitPolynomial(f),
    possession: provePossession(random, party, f[0]!),
    chainCode: random.bytes(32),
    u: random.bytes(32),
  };
  return { f, opening };
}

/** f_j(x_i)·G = Σ_k x_i^k·φ_{j,k} with x_i = i + 1 */
export const shareHolds = (share: bigint, phi: readonly Point[], receiver: number): boolean =>
  mul(G, share).equals(evaluateCommitment(phi, shamirPoint(receiver)));

/** What all parties must have equal before the key counts (§6.3). */
export const confirmation = (sid: Uint8Array, { keyId, epoch, t, n, P, internal, Y, chainCode }: Omit<FrostShare, 's'>): Uint8Array =>
  new Transcript('frost-dkg/confirm/v1')
    .bytes(sid)
    .text(keyId)
    .u32(epoch)
    .u32(t)
    .u32(n)
    .points(P, internal)
    .list(Y, (transcript, Y_j) => transcript.point(Y_j))
    .bytes(chainCode)
    .digest();

/**
 * Generates a key among the parties of `rounds`, any `t` of which can sign.
 *
 * `prepared` is awaited with the finished share before this party confirms: store it there as PREPARED. When the promise of `keygen` resolves,
 * all parties hold theirs and the key may be used; when it rejects, discard what was prepared.
 *
 * @throws Refusal for a threshold outside 2 … n or an unusable key id.
 * @throws Fault naming who sent a malformed message, a commitment that does not open, an invalid proof of possession, a wrong share (for every
 *   party, not only for its victim), a false complaint, or another result; without culprits when the echo shows different views.
 */
export async function keygen(options: {
  rounds: Rounds;
  t: number;
  random: Random;
  keyId: string;
  prepared?: (share: FrostShare) => Promise<void>;
}): Promise<FrostShare> {
  const { rounds, t, random, keyId, prepared } = options;
  const { sid, me, n } = rounds;
  if (n > MAX_PARTIES)
    throw new Refusal('too_many_parties', 'n', `${n} parties, at most ${MAX_PARTIES}`, `use at most ${MAX_PARTIES} parties`);
  if (!Number.isInteger(t) || t < 2 || t > n) {
    throw new Refusal('threshold_out_of_range', 't', `threshold ${t} of ${n} parties`, `choose a whole number from 2 to ${n}`);
  }
  if (keyId === '' || Buffer.byteLength(keyId) > MAX_KEY_ID_BYTES) {
    throw new Refusal('key_id_malformed', 'keyId', 'the key id is empty or too long', `use 1 to ${MAX_KEY_ID_BYTES} bytes of UTF-8`);
  }
  const open = openRound(t);

  // Part 0: commit, so that nobody chooses φ_j or c_j after seeing the others'. The proof of possession alone would leave a bias of P.
  const { f, opening } = deal(random, me, t);
  const V = await rounds.echo(commitRound, commitTo(sid, me, opening));

  // Part 1: open. Length and identity points are checked by the codec of the round.
  const openings = new Map(await rounds.broadcast(open, opening));
  blameAll(
    [...openings].flatMap(([j, theirs]) => {
      if (!opens(V.get(j)!, COMMITMENT_TAG, committed(sid, j, theirs), theirs.u))
        return [rounds.fault(j, open, 'commitment does not open', 'opening')];
      // μ_j·G = R_j + c_j·φ_{j,0}
      return verifyPossession(j, theirs.phi[0]!, theirs.possession)
        ? []
        : [rounds.fault(j, open, 'invalid proof of possession', 'possession')];
    }),
  );
  openings.set(me, opening);

  // Part 2: f_i(x_j) to each j alone.
  const shares = await receiveShares(rounds, openings, f);
  shares.set(me, evaluate(f, shamirPoint(me)));

  // Part 3: s_i = Σ_j f_j(x_i), Y_j = Σ_m Σ_k x_j^k·φ_{m,k}, P = Σ_j φ_{j,0}; then even Y and tweak.
  const dealt = [...openings.values()];
  const phi = Array.from({ length: t }, (_, k) => sum(dealt.map((theirs) => theirs.phi[k]!)));
  const internal = phi[0]!;
  const Y = Array.from({ length: n }, (_, j) => evaluateCommitment(phi, shamirPoint(j)));
  const s = modQ([...shares.values()].reduce((total, share) => total + share, 0n));
  if (internal.is0() || s === 0n || Y.some((Y_j) => Y_j.is0())) throw degenerate();
  const tweaked = tweakKey({ P: internal, Y, s });
  if (tweaked.P.is0() || tweaked.s === 0n || tweaked.Y.some((Y_j) => Y_j.is0())) throw degenerate();
  const chainCode = dealt.map((theirs) => theirs.chainCode).reduce(xorBytes);
  const share: FrostShare = { version: 1, keyId, epoch: 0, index: me, t, n, ...tweaked, internal, chainCode };
  const broken = brokenRelation(share);
  if (broken !== undefined) throw new Fault([], broken, { round: shareRound.name, detail: broken });

  // Confirm: everybody has the same key and has stored its share.
  await prepared?.(share);
  const digest = confirmation(sid, share);
  const confirmed = await rounds.broadcast(confirmRound, { digest, complaint: undefined });
  blameAll(judge(rounds, openings, confirmed));
  blameAll(
    [...confirmed].flatMap(([j, theirs]) =>
      theirs.digest !== undefined && equalBytes(theirs.digest, digest)
        ? []
        : [rounds.fault(j, confirmRound, 'confirms another result', 'confirmation')],
    ),
  );
  return share;
}

type Confirm = Infer<(typeof confirmRound)['codec']>;

/** Sends f_i(x_j) and receives f_j(x_i), each checked against φ_j. A wrong one ends the run, after everybody has been shown it. */
async function receiveShares(rounds: Rounds, openings: ReadonlyMap<number, Opening>, f: Polynomial): Promise<Map<number, bigint>> {
  try {
    const shares = await rounds.send(shareRound, new Map(rounds.peers.map((j) => [j, evaluate(f, shamirPoint(j))])));
    const wrong = [...shares].filter(([j, share]) => !shareHolds(share, openings.get(j)!.phi, rounds.me));
    blameAll(wrong.map(([j]) => rounds.fault(j, shareRound, 'share does not match the commitment', 'share')));
    return new Map(shares);
  } catch (error) {
    if (error instanceof Fault) await complain(rounds, error);
    throw error;
  }
}

/** Tells everybody about a wrong or malformed share, if its dealer signed it: the first of them, a message of this round has room for one. */
async function complain(rounds: Rounds, { culprits: [dealer], evidence: { signed } }: Fault): Promise<void> {
  if (dealer === undefined || signed === undefined || signed.length > MAX_COMPLAINT_BYTES) return;
  if (rounds.reopen(shareRound, dealer, rounds.me, signed) === 'forged') return;
  // Whatever the others answer, or fail to, does not change whose fault it was: the caller throws that one. The wait lets the complaint arrive.
  await Promise.allSettled([rounds.broadcast(confirmRound, { digest: undefined, complaint: { dealer, signed } })]);
}

/** Decides each complaint between dealer and complainer: the dealer's signed share is checked against its commitment, which everybody has. */
function judge(rounds: Rounds, openings: ReadonlyMap<number, Opening>, messages: ReadonlyMap<number, Confirm>): Fault[] {
  return [...messages].flatMap(([complainer, { complaint }]) => {
    if (complaint === undefined) return [];
    const { dealer, signed } = complaint;
    const revealed = dealer < rounds.n ? rounds.reopen(shareRound, dealer, complainer, signed) : 'forged';
    if (revealed === 'forged')
      return [rounds.fault(complainer, confirmRound, 'complaint without a share signed by the accused', 'complaint')];
    if (revealed !== 'malformed' && shareHolds(revealed.message, openings.get(dealer)!.phi, complainer)) {
      return [rounds.fault(complainer, confirmRound, `complaint about a correct share of party ${dealer}`, 'complaint')];
    }
    const reason = `share to party ${complainer} does not match the commitment`;
    const claims = [{ accused: dealer, check: 'share', round: shareRound.name, to: complainer }];
    return [new Fault([dealer], reason, { round: shareRound.name, detail: reason, claims, signed })];
  });
}

function blameAll(faults: readonly Fault[]): void {
  if (faults.length > 0) throw joint(faults);
}

/** Happens with probability below 2^−250 however the parties behave, because they committed first. */
const degenerate = (): Fault =>
  new Fault([], 'the generated key is degenerate; generate again', { round: shareRound.name, detail: 'identity point or zero share' });
