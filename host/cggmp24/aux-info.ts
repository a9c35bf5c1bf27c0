/**
 * Auxiliary information: every party makes a Paillier modulus and ring-Pedersen parameters of four fresh safe primes and proves them well
 * formed. What the range proofs of presigning are worth rests on these checks, so none is optional and each is verified on its own.
 *
 * Source: CGGMP24 (eprint 2021/060, revision 2024-10-21), auxiliary info; cggmp24.md §3.5, 4, 6.4.
 */
import { bitLength, equalBytes, xorBytes } from '../base/bytes.ts';
import { bytes, encode, natural, struct } from '../base/codec.ts';
import { invariant } from '../base/errors.ts';
import { below, type Random } from '../base/random.ts';
import { modN, power, type Core, type PaillierSecret, type RingPedersenSecret } from '../core/types.ts';
import type { ProofContext } from '../proofs/context.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import * as fac from '../proofs/pi-fac.ts';
import * as mod from '../proofs/pi-mod.ts';
import * as prm from '../proofs/pi-prm.ts';
import { unit } from '../proofs/sampling.ts';
import { broadcastRound, echoRound, p2pRound, type Rounds } from '../protocol/rounds.ts';
import { commitment } from '../protocol/transcript.ts';
import { auxHash, type AuxInfo, type PartyAux } from './aux-record.ts';
import { checkModulus, checkPairwise } from './moduli.ts';
import { demand, together, verifyEach } from './verify-each.ts';

/** Where safe primes come from: a generator, or an own stock whose primes are taken once. */
export interface PrimeSource {
  /** A safe prime of the size of the parameters, with its two top bits set, that nobody was given before. */
  next(): Promise<bigint>;
}

export const auxRounds = (parameters: Parameters) => {
  const modulus = natural(modulusBits(parameters).max);
  return {
    /** V_i. */
    commit: echoRound('aux/commit', struct({ V: bytes(32) })),
    /** The opening of V_i: N; N̂, s, t; Π^prm; ρ. */
    open: broadcastRound(
      'aux/open',
      struct({ N: modulus, hatN: modulus, s: modulus, t: modulus, prm: prm.proof(parameters), rho: bytes(32), u: bytes(32) }),
    ),
    /** Π^mod of N, bound to ρ. */
    mod: broadcastRound('aux/mod', mod.proof(parameters)),
    /** Π^fac of N to the receiver's set-up, bound to ρ. */
    fac: p2pRound('aux/fac', fac.proof(parameters)),
    /** auxHash: everybody verified everything, so everybody may store. */
    confirm: broadcastRound('aux/confirm', bytes(32)),
  };
};

export interface AuxOptions {
  readonly rounds: Rounds;
  readonly primes: PrimeSource;
  readonly random: Random;
  readonly core: Core;
  readonly parameters: Parameters;
}

/** What V_i commits to. */
export interface AuxOpening {
  readonly N: bigint;
  readonly hatN: bigint;
  readonly s: bigint;
  readonly t: bigint;
  readonly prm: prm.Proof;
  readonly rho: Uint8Array;
  readonly u: Uint8Array;
}

/** V_i = Com(sid, i, N_i, N̂_i, s_i, t_i, π^prm_i, ρ_i; u_i). */
export const auxCommitment = (sid: Uint8Array, i: number, opening: AuxOpening, parameters: Parameters): Uint8Array => {
  const { N, hatN, s, t, prm: proof, rho, u } = opening;
  const encoded = encode(prm.proof(parameters), proof);
  return commitment('aux-commitment/v1', (hash) => void hash.bytes(sid).u32(i).integers(N, hatN, s, t).bytes(encoded).bytes(rho), u);
};

/** @throws Fault naming the culprits. */
export async function auxInfo({ rounds, primes, random, core, parameters }: AuxOptions): Promise<AuxInfo> {
  const { sid, me, n, peers, tracer } = rounds;
  const messages = auxRounds(parameters);
  const context = (label: string, prover: number, to: { verifier?: number; rid?: Uint8Array } = {}): ProofContext => ({
    sid, prover, label, parameters, random, core, ...to,
  }); // prettier-ignore

  // Round 0: four safe primes.
  const { paillier, pedersen } = await makeKeys();

  // Round 1: prove the ring-Pedersen parameters, commit to everything.
  tracer.work('prove prm', 0, 1);
  const ownPrm = await prm.prove({ setup: pedersen }, pedersen, context('prm', me));
  tracer.work('prove prm', 1, 1);
  const opening: AuxOpening = {
    N: paillier.n,
    hatN: pedersen.n,
    s: pedersen.s,
    t: pedersen.t,
    prm: ownPrm,
    rho: random.bytes(32),
    u: random.bytes(32),
  };
  const commitments = await rounds.echo(messages.commit, { V: auxCommitment(sid, me, opening, parameters) });

  // Round 2: open.
  const openings = await rounds.broadcast(messages.open, { ...opening, prm: ownPrm });

  // Round 3: every V_j opens; the moduli are what they must be; every Π^prm.
  await verifyEach(rounds, {
    opening: {
      round: messages.open,
      verify: (j) => {
        const theirs = openings.get(j)!;
        demand(equalBytes(commitments.get(j)!.V, auxCommitment(sid, j, theirs, parameters)), 'the opening matches the commitment');
      },
    },
  });
  const all: readonly AuxOpening[] = Array.from({ length: n }, (_, j) => (j === me ? opening : openings.get(j)!));
  const parties: readonly PartyAux[] = all.map(({ N, hatN, s, t }) => ({ paillier: { n: N }, pedersen: { n: hatN, s, t } }));
  let verified = 0;
  const counted = async (work: Promise<void>): Promise<void> => {
    await work;
    tracer.work('verify proofs', ++verified, 3 * peers.length);
  };
  await verifyEach(rounds, {
    N: { round: messages.open, verify: (j) => checkModulus(parties[j]!.paillier.n, parameters) },
    prm: {
      round: messages.open,
      verify: (j) => counted(prm.verify({ setup: parties[j]!.pedersen }, openings.get(j)!.prm, context('prm', j))),
    },
  });
  await checkPairwise(parties, me, core);

  // ρ = ⊕ ρ_j; prove N, to everybody and to each party's set-up.
  const rid = all.map(({ rho }) => rho).reduce(xorBytes);
  let proven = 0;
  const produced = async <T>(work: Promise<T>): Promise<T> => {
    const proof = await work;
    tracer.work('prove mod and fac', ++proven, n);
    return proof;
  };
  const [ownMod, ...ownFacs] = await Promise.all([
    produced(mod.prove({ N: paillier }, paillier, context('mod', me, { rid }))),
    ...peers.map((j) =>
      produced(fac.prove({ setup: parties[j]!.pedersen, N: paillier }, paillier, context('fac', me, { verifier: j, rid }))),
    ),
  ]);
  const [mods, facs] = await together(
    rounds.broadcast(messages.mod, ownMod),
    rounds.send(messages.fac, new Map(peers.map((j, k) => [j, ownFacs[k]!]))),
  );

  // Output: every Π^mod and Π^fac.
  await verifyEach(rounds, {
    mod: {
      round: messages.mod,
      verify: (j) => counted(mod.verify({ N: parties[j]!.paillier }, mods.get(j)!, context('mod', j, { rid }))),
    },
    fac: {
      round: messages.fac,
      verify: (j) =>
        counted(fac.verify({ setup: pedersen, N: parties[j]!.paillier }, facs.get(j)!, context('fac', j, { verifier: me, rid }))),
    },
  });

  // Confirmation: Π^fac is private, so one party may have rejected what the others accepted; nobody keeps a group that somebody left.
  const hash = auxHash(parties);
  const confirmations = await rounds.broadcast(messages.confirm, hash);
  await verifyEach(rounds, {
    confirmation: {
      round: messages.confirm,
      verify: (j) => demand(equalBytes(confirmations.get(j)!, hash), 'the hash of all N_j, N̂_j, s_j, t_j is equal'),
    },
  });
  return { version: 1, parameters: parameters.name, index: me, secret: { paillier, pedersen }, parties, hash };

  async function makeKeys(): Promise<{ paillier: PaillierSecret; pedersen: RingPedersenSecret }> {
    const found: bigint[] = [];
    tracer.work('safe primes', 0, 4);
    // All asked for at once: the length of a search varies a lot, and everybody waits for the slowest party.
    const search = async (): Promise<void> => {
      const prime = await primes.next();
      invariant(!found.includes(prime), 'the prime source gives every prime once');
      invariant(bitLength(prime) === parameters.primeBits, `a safe prime has ${parameters.primeBits} bits`);
      found.push(prime);
      tracer.work('safe primes', found.length, 4);
    };
    await Promise.all(Array.from({ length: 4 }, search));
    const [p, q, hatP, hatQ] = found as [bigint, bigint, bigint, bigint];
    const hatN = hatP * hatQ;
    // r ← Z*_N̂,  t = r²,  λ ← [0, φ̂/4),  s = t^λ mod N̂
    const r = unit(random, hatN);
    const t = (r * r) % hatN;
    const lambda = below(random, ((hatP - 1n) * (hatQ - 1n)) / 4n);
    const [s] = await core.run([power(modN({ n: hatN, s: t, t, p: hatP, q: hatQ, lambda }), [t, lambda])]);
    return { paillier: { n: p * q, p, q }, pedersen: { n: hatN, s, t, p: hatP, q: hatQ, lambda } };
  }
}
