/**
 * The zero-knowledge proofs one by one, at production parameters, elapsed with one worker thread. Each side has what it has in the protocol: the
 * prover its own factors and the verifier's public set-up, the verifier its own trapdoor. All proofs are measured in turn, round after round.
 */
import { systemRandom, type Random } from '../host/base/random.ts';
import { createCore, encrypt, modN2, power, type Core } from '../host/core/index.ts';
import { G, mul, randomNonZeroScalar, randomScalar, sgn } from '../host/curve/secp256k1.ts';
import type { ProofContext } from '../host/proofs/context.ts';
import { productionParameters as parameters } from '../host/proofs/parameters.ts';
import * as affG from '../host/proofs/pi-aff-g.ts';
import * as elog from '../host/proofs/pi-elog.ts';
import * as encElg from '../host/proofs/pi-enc-elg.ts';
import * as fac from '../host/proofs/pi-fac.ts';
import * as mod from '../host/proofs/pi-mod.ts';
import * as prm from '../host/proofs/pi-prm.ts';
import * as sch from '../host/proofs/pi-sch.ts';
import { plusMinusPower, unit } from '../host/proofs/sampling.ts';
import { paillierKey, publicPart, publicSetup, ringPedersenKey } from '../host/proofs/testing/instances.ts';
import { elapsedMs } from './sampling.ts';
import { names, type RunOptions, type Scenario } from './scenario.ts';
import { summarize, type Result } from './types.ts';

export const PROOFS = ['prm', 'mod', 'fac', 'enc-elg', 'aff-g', 'elog', 'sch'] as const;
const ROUNDS = { quick: 3, full: 15 };
/** Proofs of a millisecond or two are repeated in each round, so that their p99 says something. */
const REPEATED = 10;

export interface Case {
  readonly name: (typeof PROOFS)[number];
  readonly times: number;
  readonly prove: () => Promise<unknown>;
  /** Verifies the last proof made. */
  readonly verify: () => Promise<unknown>;
}

/** A case from a proof's functions: the statement as each side holds it. */
function caseOf<S, W, P>(
  name: Case['name'],
  times: number,
  functions: {
    prove: (statement: S, witness: W, context: ProofContext) => Promise<P>;
    verify: (statement: S, proof: P, context: ProofContext) => Promise<void>;
  },
  { mine, theirs, witness }: { mine: S; theirs: S; witness: W },
  context: ProofContext,
): Case {
  let proof: P | undefined;
  return {
    name,
    times,
    prove: async () => {
      proof = await functions.prove(mine, witness, context);
    },
    verify: async () => {
      if (proof === undefined) throw new Error('proved first, verified then');
      await functions.verify(theirs, proof, context);
    },
  };
}

export async function cases(core: Core, random: Random = systemRandom): Promise<Case[]> {
  const context: ProofContext = { sid: random.bytes(32), prover: 0, verifier: 1, label: 'bench', parameters, random, core };
  // Party 0 proves to party 1.
  const own = { paillier: paillierKey(1536, 0), pedersen: ringPedersenKey(1536, 2) };
  const peer = { paillier: paillierKey(1536, 4), pedersen: ringPedersenKey(1536, 6) };
  const setup = publicSetup(peer.pedersen);

  const k = randomNonZeroScalar(random);
  const b = randomScalar(random);
  const A = mul(G, randomNonZeroScalar(random));
  const rho = unit(random, own.paillier.n);
  const [C] = await core.run([encrypt(own.paillier, sgn(k), rho)]);
  const elGamal = { C, A, B: mul(G, b), X: mul(A, b).add(mul(G, k)) };

  const [x, y] = [randomNonZeroScalar(random), plusMinusPower(random, parameters.ellPrime)];
  const [s, r] = [unit(random, peer.paillier.n), unit(random, own.paillier.n)];
  const [K] = await core.run([encrypt(peer.paillier, sgn(randomScalar(random)), unit(random, peer.paillier.n))]);
  const [shifted, mask, Y] = await core.run([
    power(modN2(peer.paillier), [K, sgn(x)]),
    encrypt(peer.paillier, y, s),
    encrypt(own.paillier, y, r),
  ]);
  const D = (shifted * mask) % (peer.paillier.n * peer.paillier.n);
  const affine = { C: K, D, Y, X: mul(G, x) };

  // A second base for Π^elog, as Γ is in round 3.
  const H = mul(G, randomNonZeroScalar(random));
  const logarithm: elog.Statement = { L: elGamal.B, M: elGamal.X, X: A, Y: mul(H, k), H: H };
  const statement: sch.Statement = { X: mul(G, x) };
  const { parameters: _, random: __, core: ___, ...bare } = context;
  return [
    caseOf('prm', 1, prm, { mine: { setup: own.pedersen }, theirs: { setup: publicSetup(own.pedersen) }, witness: own.pedersen }, context),
    caseOf('mod', 1, mod, { mine: { N: own.paillier }, theirs: { N: publicPart(own.paillier) }, witness: own.paillier }, context),
    caseOf(
      'fac',
      1,
      fac,
      { mine: { setup, N: own.paillier }, theirs: { setup: peer.pedersen, N: publicPart(own.paillier) }, witness: own.paillier },
      context,
    ),
    caseOf(
      'enc-elg',
      1,
      encElg,
      {
        mine: { setup, N0: own.paillier, ...elGamal },
        theirs: { setup: peer.pedersen, N0: publicPart(own.paillier), ...elGamal },
        witness: { x: sgn(k), rho, b },
      },
      context,
    ),
    caseOf(
      'aff-g',
      1,
      affG,
      {
        mine: { setup, N0: publicPart(peer.paillier), N1: own.paillier, ...affine },
        theirs: { setup: peer.pedersen, N0: peer.paillier, N1: publicPart(own.paillier), ...affine },
        witness: { x: sgn(x), y, rho: s, rhoY: r },
      },
      context,
    ),
    caseOf('elog', REPEATED, elog, { mine: logarithm, theirs: logarithm, witness: { y: k, lambda: b } }, context),
    caseOf(
      'sch',
      REPEATED,
      {
        prove: async (mine: sch.Statement, witness: sch.Witness) => {
          const nonce = sch.commit(random);
          return { A: nonce.A, z: sch.respond(mine, witness, nonce, bare) };
        },
        verify: async (theirs: sch.Statement, proof: sch.Proof) => sch.verify(theirs, proof, bare),
      },
      { mine: statement, theirs: statement, witness: { x } },
      context,
    ),
  ];
}

async function* run({ quick, wanted, signal, progress }: RunOptions): AsyncGenerator<Result> {
  const core = await createCore({ threads: 1 });
  try {
    const chosen = (await cases(core)).filter(({ name }) => wanted(`proof.${name}.prove`) || wanted(`proof.${name}.verify`));
    const samples = new Map(names(['proof'], PROOFS, ['prove', 'verify']).map((name) => [name, [] as number[]]));
    const rounds = quick ? ROUNDS.quick : ROUNDS.full;
    // One round first that does not count: compilers, tables.
    for (let round = -1; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`);
      for (const { name, times, prove, verify } of chosen) {
        for (let i = 0; i < times; i++) {
          signal.throwIfAborted();
          const proving = await elapsedMs(prove);
          const verifying = await elapsedMs(verify);
          if (round < 0) continue;
          samples.get(`proof.${name}.prove`)!.push(proving);
          samples.get(`proof.${name}.verify`)!.push(verifying);
        }
      }
    }
    for (const [name, taken] of samples) if (taken.length > 0) yield summarize(name, 'ms', taken);
  } finally {
    await core.close();
  }
}

export const proofs: Scenario = { title: 'proofs', names: () => names(['proof'], PROOFS, ['prove', 'verify']), run };
