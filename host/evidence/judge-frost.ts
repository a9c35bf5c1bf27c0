/** How faults in FROST key generation and signing are judged (cggmp24.md §10). */
import { equalBytes, xorBytes } from '../base/bytes.ts';
import { demand } from '../cggmp24/verify-each.ts';
import { evaluateCommitment, interpolatePoint, shamirPoint } from '../curve/polynomial.ts';
import { G, mulPublic, sum } from '../curve/secp256k1.ts';
import { commitRound, commitTo, confirmation, confirmRound, openRound, shareRound, type Opening } from '../frost/keygen.ts';
import { verifyPossession } from '../frost/possession.ts';
import type { TaprootSighash } from '../frost/sighash.ts';
import { nonceRound, signatureShareRound, viewOf } from '../frost/sign.ts';
import { verifyShare } from '../frost/signing.ts';
import { tweakKey } from '../frost/taproot.ts';
import { require_, type Case, type ProtocolJudges } from './case.ts';
import { everybody, reopened } from './judge-setup.ts';

const openOf = ({ record, n }: Case) => {
  require_(record.n === n && 2 <= record.t && record.t <= n, 'a threshold between 2 and n');
  return openRound(record.t);
};

function opened(of: Case, j: number): Opening {
  const V = of.acknowledged(commitRound, j);
  const opening = j === of.accused ? of.own(openOf(of)) : of.shown(openOf(of), j);
  const opens = equalBytes(V, commitTo(of.sid, j, opening));
  if (j === of.accused) demand(opens, 'V_j opens');
  require_(opens, `the opening of party ${j} is that of its commitment`);
  return opening;
}

/** f_j(x_i)·G = Σ_k x_i^k·φ_{j,k} */
const shareFits = ({ phi }: Opening, receiver: number, share: bigint): boolean =>
  mulPublic(G, share).equals(evaluateCommitment(phi, shamirPoint(receiver)));

export const frostKeygenJudges: ProtocolJudges = {
  rounds: (of) => [commitRound, openOf(of), shareRound, confirmRound],
  checks: {
    opening: (of) => void opened(of, of.accused),
    possession: (of) => {
      const { phi, possession } = opened(of, of.accused);
      demand(verifyPossession(of.accused, phi[0]!, possession), 'μ_j·G = R_j + c_j·φ_{j,0}');
    },
    share: (of) => {
      const { receiver: to } = of;
      demand(shareFits(opened(of, of.accused), to, of.own(shareRound, to)), 'f_j(x_i)·G = Σ_k x_i^k·φ_{j,k}');
    },
    complaint: (of) => {
      const { complaint } = of.own(confirmRound);
      if (complaint === undefined) return;
      const { dealer, signed } = complaint;
      demand(dealer < of.n && dealer !== of.accused, 'a complaint is about another party');
      const revealed = reopened(of, shareRound, dealer, signed);
      demand(revealed !== 'forged', 'a complaint shows a share that its dealer signed');
      if (typeof revealed !== 'string')
        demand(!shareFits(opened(of, dealer), of.accused, revealed.message), 'the share complained of is wrong');
    },
    confirmation: (of) => {
      const { digest } = of.own(confirmRound);
      if (digest === undefined) return; // it complains instead
      const { t, n, keyId } = of.record;
      const openings = everybody(of).map((j) => opened(of, j));
      const phi = Array.from({ length: t }, (_, k) => sum(openings.map((opening) => opening.phi[k]!)));
      const Y = Array.from({ length: n }, (_, j) => evaluateCommitment(phi, shamirPoint(j)));
      require_(!phi[0]!.is0(), 'the key is not the identity');
      // The secret share is nobody's here: the tweak of the public part does not depend on it.
      const tweaked = tweakKey({ P: phi[0]!, Y, s: 1n });
      const chainCode = openings.map((opening) => opening.chainCode).reduce(xorBytes);
      const key = {
        version: 1 as const,
        keyId,
        epoch: 0,
        index: of.accused,
        t,
        n,
        P: tweaked.P,
        Y: tweaked.Y,
        internal: phi[0]!,
        chainCode,
      };
      demand(equalBytes(digest, confirmation(of.sid, key)), 'the result confirmed is that of the openings');
    },
  },
};

export const frostSignJudges: ProtocolJudges = {
  rounds: () => [nonceRound, signatureShareRound],
  checks: {
    'signature-share': (of) => {
      const { record, facts } = of;
      const { t, n, keyId, epoch, publicKey: P } = record;
      require_(P !== undefined && facts.digest.length === 32, 'a key and a message');
      require_(2 <= t && t <= n, 'a threshold between 2 and n');
      // The shares are those of the key that is signed under, not of one that it was derived from.
      require_(
        interpolatePoint(new Map(facts.publicShares.slice(0, t).map((Y_j, j) => [j, Y_j]))).equals(P),
        'the public shares are those of the key',
      );
      const { z, view } = of.own(signatureShareRound);
      const commitments = everybody(of).map((a) => {
        const { D, E } = a === of.accused ? of.own(nonceRound) : of.shown(nonceRound, a);
        return { index: facts.signers[a]!, D, E };
      });
      const message = facts.digest as TaprootSighash;
      // The accused's share names what it was made for: message and commitments are those, or this shows nothing.
      require_(
        equalBytes(view, viewOf(of.sid, { keyId, epoch, P }, message, commitments)),
        'the share was made for this message and these commitments',
      );
      const key = { t, n, P, internal: P, Y: facts.publicShares };
      demand(verifyShare(key, commitments, message, facts.signers[of.accused]!, z), 'z_j·G = ±(D_j + ρ_j·E_j) + λ_j·c·Y_j');
    },
  },
};
