/** How faults in CGGMP24 key generation and auxiliary information are judged from signed messages (cggmp24.md §6.3, 6.4). */
import { equalBytes, xorBytes } from '../base/bytes.ts';
import { decode, DecodeError } from '../base/codec.ts';
import { auxCommitment, auxRounds, type AuxOpening } from '../cggmp24/aux-info.ts';
import { auxHash, type PartyAux } from '../cggmp24/aux-record.ts';
import { confirmation, keygenRounds, opensTo, type Opening } from '../cggmp24/keygen.ts';
import { checkModulus } from '../cggmp24/moduli.ts';
import { demand } from '../cggmp24/verify-each.ts';
import { evaluateCommitment, shamirPoint } from '../curve/polynomial.ts';
import { G, mulPublic, sum } from '../curve/secp256k1.ts';
import * as fac from '../proofs/pi-fac.ts';
import * as mod from '../proofs/pi-mod.ts';
import * as prm from '../proofs/pi-prm.ts';
import * as sch from '../proofs/pi-sch.ts';
import { envelope, type Round } from '../protocol/rounds.ts';
import { decodeOr } from '../protocol/signed.ts';
import { sha256 } from '../protocol/transcript.ts';
import { require_, type Case, type ProtocolJudges } from './case.ts';

/** Every party of the run. */
export const everybody = ({ n }: Case): number[] => Array.from({ length: n }, (_, j) => j);

/** That a private message shown in a complaint is `from`'s to the complainer; the message, or that it is none. */
export function reopened<T>(of: Case, round: Round<T, 'p2p'>, from: number, signed: Uint8Array): { message: T } | 'malformed' | 'forged' {
  const opened = decodeOr(undefined, envelope, signed);
  if (opened === undefined || !of.signedBy(from, round.name, of.accused, sha256(opened.payload), opened.signature)) return 'forged';
  try {
    return { message: decode(round.codec, opened.payload) };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return 'malformed';
  }
}

const keygenMessages = ({ record, n }: Case) => {
  require_(record.n === n && 2 <= record.t && record.t <= n, 'a threshold between 2 and n');
  return keygenRounds(record.t);
};

/** The opening of party j, which opens the commitment that the accused echoed (or its own). */
function keygenOpening(of: Case, j: number): Opening {
  const { commit, open } = keygenMessages(of);
  const { V } = of.acknowledged(commit, j);
  if (j === of.accused) {
    const own = of.own(open);
    demand(opensTo(of.sid, j, V, own), 'V_j = Com(sid, j, rid_j, S_j, A_j, c_j; u_j)');
    return own;
  }
  const shown = of.shown(open, j);
  require_(opensTo(of.sid, j, V, shown), `the opening of party ${j} is that of its commitment`);
  return shown;
}

/** σ·G = Σ_k I(receiver)^k·S_k */
const shareFits = ({ S }: Opening, receiver: number, sigma: bigint): boolean =>
  mulPublic(G, sigma).equals(evaluateCommitment(S, shamirPoint(receiver)));

function keyOf(of: Case) {
  const { t, n } = of.record;
  const openings = everybody(of).map((j) => keygenOpening(of, j));
  const S = Array.from({ length: t }, (_, k) => sum(openings.map((opening) => opening.S[k]!)));
  return {
    openings,
    rid: openings.map(({ rid }) => rid).reduce(xorBytes),
    chainCode: openings.map((opening) => opening.chainCode).reduce(xorBytes),
    X: Array.from({ length: n }, (_, j) => evaluateCommitment(S, shamirPoint(j))),
    publicKey: S[0]!,
  };
}

export const keygenJudges: ProtocolJudges = {
  rounds: (of) => Object.values(keygenMessages(of)),
  checks: {
    opening: (of) => void keygenOpening(of, of.accused),
    share: (of) => {
      const { receiver: to } = of;
      const { sigma } = of.own(keygenMessages(of).share, to);
      demand(shareFits(keygenOpening(of, of.accused), to, sigma), 'σ_{j,i}·G = Σ_k I(i)^k·S_{j,k}');
    },
    complaint: (of) => {
      const messages = keygenMessages(of);
      for (const { against, signed } of of.own(messages.proof).complaints) {
        demand(against < of.n && against !== of.accused, 'a complaint is about another party');
        const revealed = reopened(of, messages.share, against, signed);
        demand(revealed !== 'forged', 'a complaint shows a share that its author signed');
        if (typeof revealed === 'string') continue;
        demand(!shareFits(keygenOpening(of, against), of.accused, revealed.message.sigma), 'the share complained of is wrong');
      }
    },
    'sch-dkg': (of) => {
      const { psi, complaints } = of.own(keygenMessages(of).proof);
      if (complaints.length > 0) return; // it complains instead of proving
      demand(psi !== undefined, 'ψ_j is present');
      const { openings, X, rid } = keyOf(of);
      const { accused: j, sid } = of;
      sch.verify({ X: X[j]! }, { A: openings[j]!.A, z: psi! }, { sid, prover: j, label: 'sch-dkg', rid });
    },
    confirmation: (of) => {
      const mine = of.own(keygenMessages(of).confirm);
      const { t, n } = of.record;
      demand(equalBytes(mine, confirmation(of.sid, { ...keyOf(of), t, n })), 'H(sid, PK, X, t, n, I, c, rid) is equal');
    },
  },
};

const auxMessages = ({ record, n, tools }: Case) => {
  require_(record.n === n, 'all members take part');
  return auxRounds(tools.parameters);
};

function auxOpening(of: Case, j: number): AuxOpening {
  const { commit, open } = auxMessages(of);
  const { V } = of.acknowledged(commit, j);
  const opening = j === of.accused ? of.own(open) : of.shown(open, j);
  const opens = equalBytes(V, auxCommitment(of.sid, j, opening, of.tools.parameters));
  if (j === of.accused) demand(opens, 'V_j = Com(sid, j, N_j, N̂_j, s_j, t_j, π^prm_j, ρ_j; u_j)');
  require_(opens, `the opening of party ${j} is that of its commitment`);
  return opening;
}
const keysOf = ({ N, hatN, s, t }: AuxOpening): PartyAux => ({ paillier: { n: N }, pedersen: { n: hatN, s, t } });
const ridOf = (of: Case): Uint8Array =>
  everybody(of)
    .map((j) => auxOpening(of, j).rho)
    .reduce(xorBytes);

export const auxJudges: ProtocolJudges = {
  rounds: (of) => Object.values(auxMessages(of)),
  checks: {
    opening: (of) => void auxOpening(of, of.accused),
    N: (of) => checkModulus(of.own(auxMessages(of).open).N, of.tools.parameters),
    prm: (of) => {
      const opening = of.own(auxMessages(of).open);
      return prm.verify({ setup: keysOf(opening).pedersen }, opening.prm, of.context('prm', of.accused));
    },
    mod: (of) => {
      const proof = of.own(auxMessages(of).mod);
      return mod.verify({ N: keysOf(auxOpening(of, of.accused)).paillier }, proof, of.context('mod', of.accused, { rid: ridOf(of) }));
    },
    fac: (of) => {
      const { receiver: verifier } = of;
      const proof = of.own(auxMessages(of).fac, verifier);
      const setup = keysOf(auxOpening(of, verifier)).pedersen;
      const N = keysOf(auxOpening(of, of.accused)).paillier;
      return fac.verify({ setup, N }, proof, of.context('fac', of.accused, { verifier, rid: ridOf(of) }));
    },
    confirmation: (of) => {
      const hash = of.own(auxMessages(of).confirm);
      demand(equalBytes(hash, auxHash(everybody(of).map((j) => keysOf(auxOpening(of, j))))), 'the hash of all N_j, N̂_j, s_j, t_j is equal');
    },
  },
};
