/**
 * The proofs on the WebAssembly core. A key with factors takes other paths through it (CRT, the trapdoor of s = t^λ) than a key without, and the
 * oracle takes neither; from the same randomness all must give the same bytes, and the same verdicts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { plusMinus } from '../base/random.ts';
import { createCore } from '../core/index.ts';
import { evaluateReference, referenceCore } from '../core/reference.ts';
import { encrypt, modN2, power, type Core } from '../core/types.ts';
import { G, mul, randomScalar, sgn } from '../curve/secp256k1.ts';
import type { ProofContext } from './context.ts';
import * as affG from './pi-aff-g.ts';
import * as encElg from './pi-enc-elg.ts';
import * as fac from './pi-fac.ts';
import * as mod from './pi-mod.ts';
import { productionParameters, testParameters, type Parameters } from './parameters.ts';
import * as prm from './pi-prm.ts';
import { unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, publicSetup, ringPedersenKey, seeded } from './testing/instances.ts';
import { rejects } from './testing/suite.ts';

let core: Core & { close(): Promise<void> };
beforeAll(async () => {
  core = await createCore({ threads: 2 });
});
afterAll(() => core.close());

function level(parameters: Parameters) {
  const bits = parameters.primeBits as 1024 | 1536;
  const random = seeded(`core paths ${bits}`);
  const [mine, peers, setup] = [paillierKey(bits, 0), paillierKey(bits, 4), ringPedersenKey(bits, 6)];
  const x = sgn(randomScalar(random));
  const y = -plusMinus(random, 1n << BigInt(parameters.ellPrime));
  const [rho, b, A] = [unit(random, mine.n), randomScalar(random), mul(G, randomScalar(random))];
  const [rhoC, rhoD, rhoY] = [unit(random, peers.n), unit(random, peers.n), unit(random, mine.n)];
  const C = evaluateReference(encrypt(peers, -x, rhoC));
  return {
    mine,
    peers,
    setup,
    encElg: {
      statement: { setup, N0: mine, C: evaluateReference(encrypt(mine, x, rho)), A, B: mul(G, b), X: mul(A, b).add(mul(G, x)) },
      witness: { x, rho, b },
    },
    affG: {
      statement: {
        setup,
        N0: peers,
        N1: mine,
        C,
        D: (evaluateReference(power(modN2(peers), [C, x])) * evaluateReference(encrypt(peers, y, rhoD))) % peers.n ** 2n,
        Y: evaluateReference(encrypt(mine, y, rhoY)),
        X: mul(G, x),
      },
      witness: { x, y, rho: rhoD, rhoY },
    },
    at: (in_: Core, changes: Partial<ProofContext> = {}) => contextOf('paths', { parameters, core: in_, ...changes }),
  };
}

describe('at the test level', () => {
  const { mine, peers, setup, encElg: e, affG: a, at } = level(testParameters);
  const repeated = { ...testParameters, m: 4 };
  const same = (encodings: readonly Uint8Array[]) => expect(new Set(encodings.map(hex)).size).toBe(1);

  test('enc-elg', async () => {
    const codec = encElg.proof(testParameters);
    const stranger = { ...e.statement, setup: publicSetup(setup), N0: publicPart(mine) };
    const proofs = [
      await encElg.prove(e.statement, e.witness, at(core)),
      await encElg.prove(stranger, e.witness, at(core)),
      await encElg.prove(e.statement, e.witness, at(referenceCore)),
    ];
    same(proofs.map((proof) => encode(codec, proof)));
    for (const statement of [e.statement, stranger]) {
      await encElg.verify(statement, proofs[0]!, at(core));
      await rejects(encElg.verify(statement, { ...proofs[0]!, z2: proofs[0]!.z2 + 1n }, at(core)), 'enc_N0(z1; z2) ≡ D·C^e mod N0²');
      await rejects(encElg.verify(statement, { ...proofs[0]!, z3: proofs[0]!.z3 + 1n }, at(core)), 's^z1·t^z3 ≡ T·S^e mod N̂');
      await rejects(encElg.verify(statement, { ...proofs[0]!, z2: mine.p }, at(core)), 'z2 ∈ Z*_N0');
    }
  });

  test('aff-g', async () => {
    const codec = affG.proof(testParameters);
    const stranger = { ...a.statement, setup: publicSetup(setup), N0: publicPart(peers), N1: publicPart(mine) };
    const proofs = [
      await affG.prove({ ...a.statement, setup: stranger.setup, N0: stranger.N0 }, a.witness, at(core)), // the prover's view
      await affG.prove(stranger, a.witness, at(core)),
      await affG.prove(a.statement, a.witness, at(core)),
      await affG.prove(a.statement, a.witness, at(referenceCore)),
    ];
    same(proofs.map((proof) => encode(codec, proof)));
    for (const statement of [{ ...a.statement, N1: stranger.N1 }, stranger]) {
      await affG.verify(statement, proofs[0]!, at(core));
      await rejects(affG.verify(statement, { ...proofs[0]!, w: proofs[0]!.w + 1n }, at(core)), 'C^z1·enc_N0(z2; w) ≡ A·D^e mod N0²');
      await rejects(affG.verify(statement, { ...proofs[0]!, z4: proofs[0]!.z4 + 1n }, at(core)), 's^z2·t^z4 ≡ F·T^e mod N̂');
      await rejects(affG.verify(statement, { ...proofs[0]!, A: peers.q }, at(core)), 'A ∈ Z*_{N0²}');
    }
  });

  test('fac', async () => {
    const codec = fac.proof(testParameters);
    const [own, stranger] = [setup, publicSetup(setup)].map((key): fac.Statement => ({ setup: key, N: mine })) as [
      fac.Statement,
      fac.Statement,
    ];
    const proofs = [
      await fac.prove(own, mine, at(core)),
      await fac.prove(stranger, mine, at(core)),
      await fac.prove(stranger, mine, at(referenceCore)),
    ];
    same(proofs.map((proof) => encode(codec, proof)));
    for (const statement of [own, stranger]) {
      await fac.verify(statement, proofs[0]!, at(core));
      await rejects(fac.verify(statement, { ...proofs[0]!, v: proofs[0]!.v + 1n }, at(core)), 'Q^z1·t^v ≡ T·(s^N)^e mod N̂');
    }
  });

  test('prm and mod, whose provers always have the factors', async () => {
    const here = (in_: Core) => at(in_, { parameters: repeated });
    const ringPedersen = { setup: publicSetup(setup) };
    const prms = [await prm.prove(ringPedersen, setup, here(core)), await prm.prove(ringPedersen, setup, here(referenceCore))];
    same(prms.map((proof) => encode(prm.proof(repeated), proof)));
    await prm.verify(ringPedersen, prms[0]!, here(core));
    await prm.verify({ setup }, prms[0]!, here(core));
    const paillier = { N: publicPart(mine) };
    const mods = [await mod.prove(paillier, mine, here(core)), await mod.prove(paillier, mine, here(referenceCore))];
    same(mods.map((proof) => encode(mod.proof(repeated), proof)));
    await mod.verify(paillier, mods[0]!, here(core));
    const [first, ...rest] = mods[0]!.repetitions;
    const wrong = { ...mods[0]!, repetitions: [{ ...first!, z: mine.n - first!.z }, ...rest] };
    await rejects(mod.verify(paillier, wrong, here(core)), 'z_0^N ≡ y_0 mod N');
  });
});

describe('at production size', () => {
  const { mine, peers, setup, encElg: e, affG: a, at } = level(productionParameters);

  test('the proofs of presigning, each side with its own secrets only', async () => {
    const prover = { setup: publicSetup(setup), N0: mine };
    const proofE = await encElg.prove({ ...e.statement, ...prover }, e.witness, at(core));
    await encElg.verify({ ...e.statement, N0: publicPart(mine) }, proofE, at(core));
    expect(encode(encElg.proof(productionParameters), proofE).length).toBeLessThan(2700);

    const proofA = await affG.prove({ ...a.statement, setup: prover.setup, N0: publicPart(peers) }, a.witness, at(core));
    await affG.verify({ ...a.statement, N1: publicPart(mine) }, proofA, at(core));
    expect(encode(affG.proof(productionParameters), proofA).length).toBeLessThan(5300);
  });

  // 16 repetitions show what 128 do, in an eighth of the time.
  test('the proofs of aux info', async () => {
    const parameters = { ...productionParameters, m: 16 };
    const here = () => at(core, { parameters });
    const paillier = { N: publicPart(mine) };
    const proofM = await mod.prove(paillier, mine, here());
    await mod.verify(paillier, proofM, here());
    const ringPedersen = { setup: publicSetup(setup) };
    const proofP = await prm.prove(ringPedersen, setup, here());
    await prm.verify(ringPedersen, proofP, here());
    const proofF = await fac.prove({ ...ringPedersen, N: paillier.N }, mine, here());
    await fac.verify({ setup, N: paillier.N }, proofF, here());
    const sizes = [encode(mod.proof(parameters), proofM), encode(prm.proof(parameters), proofP)].map((b) => b.length);
    for (const size of sizes) expect(size).toBeLessThan(13_000);
    expect(encode(fac.proof(productionParameters), proofF).length).toBeLessThan(4500);
  });
});
