/**
 * How faults in presigning, its error rounds and interactive signing are judged (cggmp24.md §5, 6.7, 6.8): by the full equations of every element of
 * the batch, never by a batch of equations, with the public set-up of the verifier that a private proof was made to.
 */
import { bytesToBigint } from '../base/bytes.ts';
import {
  affineStatement,
  decStatement,
  ERROR_ROUNDS,
  identifyRounds,
  LABELS,
  receiverAt,
  type PublicElement,
  type Sum,
} from '../cggmp24/identify.ts';
import { elementSid } from '../cggmp24/presign.ts';
import {
  elogDeltaStatement,
  elogGammaStatement,
  encGStatement,
  encKStatement,
  presignRounds,
  productsFor,
  type Products,
} from '../cggmp24/presign-messages.ts';
import { partialRound } from '../cggmp24/sign-interactive.ts';
import { CheckFailed, demand, demandUnits } from '../cggmp24/verify-each.ts';
import { lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mulPublic, sum, type Point } from '../curve/secp256k1.ts';
import { ProofRejected, type ProofContext } from '../proofs/context.ts';
import * as affG from '../proofs/pi-aff-g.ts';
import * as affGStar from '../proofs/pi-aff-g-star.ts';
import * as dec from '../proofs/pi-dec.ts';
import * as elog from '../proofs/pi-elog.ts';
import * as encElg from '../proofs/pi-enc-elg.ts';
import type { AnyRound } from '../protocol/rounds.ts';
import { require_, type Case, type ProtocolJudges } from './case.ts';
import { everybody } from './judge-setup.ts';

/** Far above the largest batch, and small enough to judge every element. */
const MAX_ELEMENTS = 64;

const messagesOf = ({ record, n, tools }: Case) => {
  require_(record.t === n && 1 <= record.count && record.count <= MAX_ELEMENTS, 'a run of t signers with a number of presignatures');
  return presignRounds(tools.parameters, n, record.count);
};
/** Every element by itself and in order, so that the condition names the first that fails. */
async function all(of: Case, verify: (k: number) => Promise<void>): Promise<void> {
  const { count } = of.record;
  for (let k = 0; k < count; k++) {
    try {
      await verify(k);
    } catch (error) {
      if (count === 1 || !(error instanceof ProofRejected || error instanceof CheckFailed)) throw error;
      throw new CheckFailed(`element ${k}: ${error.message}`);
    }
  }
}
const contextOf = (of: Case, k: number, label: string, rest: { verifier?: number; index?: number } = {}): ProofContext =>
  of.context(label, of.accused, { ...rest, sid: elementSid(of.sid, k) });

const keysOf = (of: Case, position: number) => {
  const keys = of.aux[of.facts.signers[position] ?? -1];
  require_(keys, 'auxiliary information of every signer');
  return keys;
};

/** X_a = λ_a·X'_a by position; that of position 0 carries the shift of a derived key: Σ X_a is the key that is signed under (§6.1). */
function additivePoints({ facts: { signers, publicShares }, record }: Case): Point[] {
  const { publicKey } = record;
  require_(publicKey, 'a key');
  const points = signers.map(shamirPoint);
  const X = signers.map((index, a) => mulPublic(publicShares[index]!, lagrangeAtZero(points, points[a]!)));
  const shift = publicKey.subtract(sum(X));
  require_(shift.is0() || record.path.length > 0, 'the public shares are those of the key');
  X[0] = X[0]!.add(shift);
  return X;
}

function productsOf(of: Case, author: number, receiver: number, k: number): Products {
  return productsFor(author, receiver, of.acknowledged(messagesOf(of).products, author)[k]!);
}
const nonceOf = (of: Case, k: number): Point => sum(everybody(of).map((j) => of.acknowledged(messagesOf(of).products, j)[k]!.Gamma));

const affine = (of: Case, pick: 'affGamma' | 'affX', label: string) =>
  all(of, async (k) => {
    const { accused, receiver: to } = of;
    const messages = messagesOf(of);
    const { D, F, hatD, hatF } = productsOf(of, accused, to, k);
    const { Gamma } = of.own(messages.products)[k]!;
    const statement: affG.Statement = {
      setup: keysOf(of, to).pedersen,
      N0: keysOf(of, to).paillier,
      N1: keysOf(of, accused).paillier,
      C: of.acknowledged(messages.encrypted, to)[k]!.K,
      ...(pick === 'affGamma' ? { D, Y: F, X: Gamma } : { D: hatD, Y: hatF, X: additivePoints(of)[accused]! }),
    };
    await affG.verify(statement, of.own(messages.productProofs, to)[k]![pick], contextOf(of, k, label, { verifier: to }));
  });

const encryption = (of: Case, pick: 'encK' | 'encG', label: string, statementOf: typeof encKStatement) =>
  all(of, async (k) => {
    const { accused, receiver: to } = of;
    const messages = messagesOf(of);
    const statement = statementOf(keysOf(of, to).pedersen, keysOf(of, accused).paillier, of.own(messages.encrypted)[k]!);
    await encElg.verify(statement, of.own(messages.encryptedProofs, to)[k]![pick], contextOf(of, k, label, { verifier: to }));
  });

/** An element as the accused has acknowledged it; only what a statement asks for is looked at. */
const elementOf = (of: Case, k: number): PublicElement => {
  const messages = messagesOf(of);
  return {
    parties: of.n,
    paillier: (j) => keysOf(of, j).paillier,
    K: (j) => of.acknowledged(messages.encrypted, j)[k]!.K,
    X: (j) => additivePoints(of)[j]!,
    Gamma_: (j) => of.acknowledged(messages.products, j)[k]!.Gamma,
    Gamma: () => nonceOf(of, k),
    products: (author, receiver) => productsOf(of, author, receiver, k),
    output: (j) => of.acknowledged(messages.delta, j)[k]!,
  };
};

/** Which element and sum an error round was about is in its name, which the accused signed. */
function errorRound(of: Case): { k: number; messages: ReturnType<typeof identifyRounds>; sum: Sum; offset: number | undefined } {
  const found = /^identify\/(\d{1,3})\/(delta|chi)\/(?:dec|affine\/(\d{1,3}))$/.exec(of.claim.round);
  require_(found, 'a message of an error round');
  const [k, which, offset] = [Number(found[1]), found[2] as Sum, found[3]];
  require_(k < of.record.count, 'an element of the batch');
  require_(offset === undefined || (1 <= Number(offset) && Number(offset) < of.n), 'a round of the error rounds');
  messagesOf(of);
  const messages = identifyRounds(of.tools.parameters, of.n, k, which);
  return { k, sum: which, messages, offset: offset === undefined ? undefined : Number(offset) };
}

async function decryption(of: Case): Promise<void> {
  const { k, sum: which, messages } = errorRound(of);
  const statement = decStatement(which, elementOf(of, k), of.accused);
  await dec.verify(statement, of.own(messages.dec), contextOf(of, k, LABELS[which].dec));
}

async function affineForAll(of: Case): Promise<void> {
  const { k, sum: which, messages, offset } = errorRound(of);
  require_(offset !== undefined, 'a proof about a product');
  const receiver = receiverAt(of.accused, offset, of.n);
  const statement = affineStatement(which, elementOf(of, k), of.accused, receiver);
  await affGStar.verify(statement, of.own(messages.affine(offset)), contextOf(of, k, LABELS[which].affine, { index: receiver }));
}

/** Every claim about a proof of the error rounds is judged by the round it names. */
const errorChecks = (n: number): ProtocolJudges['checks'] =>
  Object.fromEntries(
    Object.values(LABELS).flatMap(({ dec: decLabel, affine: affineLabel }) => [
      [decLabel, decryption] as const,
      ...Array.from({ length: n }, (_, offset) => [`${affineLabel}/${offset}`, affineForAll] as const),
    ]),
  );

const presignChecks: ProtocolJudges['checks'] = {
  'enc-K': (of) => encryption(of, 'encK', 'enc-K', encKStatement),
  'enc-G': (of) => encryption(of, 'encG', 'enc-G', encGStatement),
  'elog-Gamma': (of) => {
    const messages = messagesOf(of);
    return all(of, (k) => {
      const { Gamma, elogGamma } = of.own(messages.products)[k]!;
      return elog.verify(elogGammaStatement(of.own(messages.encrypted)[k]!, Gamma), elogGamma, contextOf(of, k, 'elog-Gamma'));
    });
  },
  'D, F, D̂, F̂': (of) => {
    const others = everybody(of).filter((j) => j !== of.accused);
    const elements = Array.from({ length: of.record.count }, (_, k) => k);
    const made = (j: number) => elements.map((k) => productsOf(of, of.accused, j, k));
    return demandUnits(of.tools.core, [
      ...others.map((j) => ({ name: `N_${j}`, n: keysOf(of, j).paillier.n, values: made(j).flatMap(({ D, hatD }) => [D, hatD]) })),
      {
        name: `N_${of.accused}`,
        n: keysOf(of, of.accused).paillier.n,
        values: others.flatMap((j) => made(j).flatMap(({ F, hatF }) => [F, hatF])),
      },
    ]);
  },
  'aff-gamma': (of) => affine(of, 'affGamma', 'aff-gamma'),
  'aff-x': (of) => affine(of, 'affX', 'aff-x'),
  'elog-Delta': (of) => {
    const messages = messagesOf(of);
    return all(of, (k) => {
      const { Delta, elogDelta } = of.own(messages.delta)[k]!;
      return elog.verify(
        elogDeltaStatement(of.own(messages.encrypted)[k]!, Delta, nonceOf(of, k)),
        elogDelta,
        contextOf(of, k, 'elog-Delta'),
      );
    });
  },
  ...errorChecks(64),
};

const roundsOf = (of: Case): AnyRound[] => {
  const messages: AnyRound[] = Object.values(messagesOf(of));
  if (!of.claim.round.startsWith(ERROR_ROUNDS)) return messages;
  const { messages: error, offset } = errorRound(of);
  return [offset === undefined ? error.dec : error.affine(offset)];
};

export const presignJudges: ProtocolJudges = { rounds: roundsOf, checks: presignChecks };

export const signJudges: ProtocolJudges = {
  rounds: (of) => (of.claim.round === partialRound.name ? [partialRound] : roundsOf(of)),
  checks: {
    ...presignChecks,
    partial: (of) => {
      const { sigma } = of.own(partialRound);
      const { delta } = messagesOf(of);
      require_(of.record.message.length === 32 && of.record.count === 1, 'a session for one message');
      const outputs = everybody(of).map((j) => of.acknowledged(delta, j)[0]!);
      const Gamma = nonceOf(of, 0);
      const total = modQ(outputs.reduce((value, output) => value + output.delta, 0n));
      const [m, r] = [modQ(bytesToBigint(of.record.message)), modQ(Gamma.toAffine().x)];
      require_(total !== 0n && !Gamma.is0(), 'δ ≠ 0, Γ ≠ O');
      // Without σ of anybody presigning has no such check: an honest signer gets here only when both sums hold.
      require_(mulPublic(G, total).equals(sum(outputs.map(({ Delta }) => Delta))), 'δ·G = Σ Δ_j');
      // σ_j·Γ = m·Δ̃_j + r·S̃_j, times δ
      const { Delta, S } = outputs[of.accused]!;
      demand(mulPublic(Gamma, total * sigma).equals(mulPublic(Delta, m).add(mulPublic(S, r))), 'σ_j·Γ = m·Δ̃_j + r·S̃_j');
    },
  },
};
