/**
 * Batch verification: it accepts what the proofs' own verification accepts, finds the one bad proof among many and says of it what that says,
 * and each deviation that it tolerates (cggmp24.md §9.4) is shown to be one that changes no plaintext and no committed value.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Defect } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { createCore } from '../core/index.ts';
import { evaluateReference } from '../core/reference.ts';
import { commit, encrypt, modN, modN2, power, type Core, type Operation } from '../core/types.ts';
import { G, modQ, mul, randomScalar, sgn, type Point } from '../curve/secp256k1.ts';
import { verifyAffG, verifyElog, verifyEncElg, type AffGItem, type ElogItem, type EncElgItem } from './batch-proofs.ts';
import type { Verdicts } from './batch.ts';
import * as affG from './pi-aff-g.ts';
import * as elog from './pi-elog.ts';
import * as encElg from './pi-enc-elg.ts';
import { maskOfCommitment, maskOfMask, maskOfWitness, plusMinusPower, unit } from './sampling.ts';
import { contextOf, paillierKey, publicPart, ringPedersenKey, seeded, smallParameters } from './testing/instances.ts';

const parameters = smallParameters;
const random = seeded('batches');
const own = paillierKey(576, 0);
const setup = ringPedersenKey(576, 2);
const provers = [paillierKey(576, 4), paillierKey(576, 6)];
const pooled = await createCore({ threads: 2 });
const core: Core = pooled;
afterAll(() => pooled.close());

const value = (operation: Operation): bigint => evaluateReference(operation);
const contextAt = (prover: number, index: number) =>
  contextOf('batch', { prover, verifier: 2, index, core, seed: `proof ${prover}/${index}` });

/** −1 as an element of order 2: what a value is multiplied by to change its sign modulo n. */
const negated = (v: bigint, n: bigint): bigint => n - v;

/** An honest Π^enc-elg; `lie` changes the commitment to α before the challenge is made. */
async function encElgItem(prover: number, index: number, lie?: (commitment: encElg.Commitment) => encElg.Commitment): Promise<EncElgItem> {
  const key = provers[prover]!;
  const [x, b, A] = [sgn(randomScalar(random)), randomScalar(random), mul(G, randomScalar(random))];
  const rho = unit(random, key.n);
  const statement = { setup, N0: publicPart(key), C: value(encrypt(key, x, rho)), A, B: mul(G, b), X: mul(A, b).add(mul(G, x)) };
  const context = contextAt(prover, index);
  if (lie === undefined) return { statement, context, proof: await encElg.prove({ ...statement, N0: key }, { x, rho, b }, context) };
  const [alpha, mu, gamma] = [
    maskOfWitness(random, parameters),
    maskOfCommitment(random, parameters, setup.n),
    maskOfMask(random, parameters, setup.n),
  ];
  const [r, beta] = [unit(random, key.n), randomScalar(random)];
  const commitment = lie({
    S: value(commit(setup, x, mu)), T: value(commit(setup, alpha, gamma)), D: value(encrypt(key, alpha, r)),
    Y: mul(A, beta).add(mul(G, alpha)), Z: mul(G, beta),
  }); // prettier-ignore
  const e = encElg.challenge(statement, commitment, context);
  const z2 = value(power(modN(key), [r, 1n], [rho, e]));
  return { statement, context, proof: { ...commitment, z1: alpha + e * x, z2, z3: gamma + e * mu, w: modQ(beta + e * b) } };
}

/** An honest Π^aff-g on an encryption of `plaintext` under the verifier's key. */
async function affGItem(prover: number, index: number): Promise<AffGItem> {
  const key = provers[prover]!;
  const plaintext = sgn(randomScalar(random));
  const [x, y] = [sgn(randomScalar(random)), plusMinusPower(random, parameters.ellPrime)];
  const [rho, rhoY] = [unit(random, own.n), unit(random, key.n)];
  const C = value(encrypt(own, plaintext, unit(random, own.n)));
  const D = (value(power(modN2(own), [C, x])) * value(encrypt(own, y, rho))) % own.n ** 2n;
  const statement = { setup, N0: own, N1: publicPart(key), C, D, Y: value(encrypt(key, y, rhoY)), X: mul(G, x) };
  const context = contextAt(prover, index);
  const proof = await affG.prove({ ...statement, N0: publicPart(own), N1: key }, { x, y, rho, rhoY }, context);
  return { statement, context, proof, plaintext };
}

async function elogItem(prover: number, index: number, H: Point): Promise<ElogItem> {
  const [y, lambda, X] = [randomScalar(random), randomScalar(random), mul(G, randomScalar(random))];
  const statement = { L: mul(G, lambda), M: mul(G, y).add(mul(X, lambda)), X, Y: mul(H, y), H };
  const context = contextAt(prover, index);
  return { statement, context, proof: await elog.prove(statement, { y, lambda }, context) };
}

/** Two provers with two proofs each. */
const four = <T>(make: (prover: number, index: number) => Promise<T>): Promise<T[]> =>
  Promise.all([0, 1].flatMap((prover) => [0, 1].map((index) => make(prover, index))));

let encElgs: EncElgItem[];
let affGs: AffGItem[];
let elogs: ElogItem[];
beforeAll(async () => {
  encElgs = await four(encElgItem);
  affGs = await four(affGItem);
  const Gamma = mul(G, randomScalar(random));
  elogs = await four((prover, index) => elogItem(prover, index, index === 0 ? G : Gamma));
});

const verifier = { random, core };
const checks = (verdicts: Verdicts) => verdicts.map((verdict) => verdict?.check);
const NOBODY = [undefined, undefined, undefined, undefined];
/** With `proof` of item 2 changed, the batch says of it what its own verification says, and nothing of the others. */
async function foundAt2<I extends { readonly proof: object }>(
  items: readonly I[],
  change: Partial<I['proof']>,
  verifyAll: (items: readonly I[]) => Promise<Verdicts>,
  check: string,
): Promise<void> {
  const changed = items.map((item, i) => (i === 2 ? { ...item, proof: { ...item.proof, ...change } } : item));
  expect(checks(await verifyAll(changed))).toEqual([undefined, undefined, check, undefined]);
}

describe('Π^enc-elg', () => {
  const verifyAll = (items: readonly EncElgItem[]) => verifyEncElg(items, verifier);

  test('honest proofs of two provers are accepted', async () => {
    expect(await verifyAll(encElgs)).toEqual(NOBODY);
  });
  test.each([
    ['z1', (z: bigint) => z + 1n, 'enc_N0(z1; z2) ≡ D·C^e mod N0²'],
    ['z2', (z: bigint) => z + 1n, 'enc_N0(z1; z2) ≡ D·C^e mod N0²'],
    ['w', (w: bigint) => modQ(w + 1n), 'w·A + z1·G = Y + e·X'],
    ['z3', (z: bigint) => z + 1n, 's^z1·t^z3 ≡ T·S^e mod N̂'],
    ['z1', () => (1n << 767n) + 1n, '|z1| ≤ 2^(ℓ+ε−1)'],
    ['z2', () => provers[1]!.p * 3n, 'z2 ∈ Z*_N0'],
    ['S', () => setup.p, 'S ∈ Z*_N̂'],
    ['w', () => 1n << 256n, 'w ∈ Z_q'],
  ] as const)('another %s of one proof is found, by its own check', (field, change, check) =>
    foundAt2(encElgs, { [field]: change(encElgs[2]!.proof[field]) }, verifyAll, check),
  );
  test('errors of two proofs that cancel each other without weights are both found', async () => {
    const shifted = encElgs.map((_, i) => (i === 0 ? 1n : i === 3 ? -1n : 0n));
    const changed = encElgs.map((item, i) => ({ ...item, proof: { ...item.proof, z3: item.proof.z3 + shifted[i]! } }));
    const equation = 's^z1·t^z3 ≡ T·S^e mod N̂';
    expect(checks(await verifyAll(changed))).toEqual([equation, undefined, undefined, equation]);
  });
  test('a proof moved to another place in the batch is found', async () => {
    const changed = [encElgs[0]!, { ...encElgs[1]!, proof: encElgs[0]!.proof }, ...encElgs.slice(2)];
    expect(checks(await verifyAll(changed))).toEqual([undefined, 'enc_N0(z1; z2) ≡ D·C^e mod N0²', undefined, undefined]);
  });

  describe('tolerated, though the proof alone is refused', () => {
    const refusedAlone = ({ statement, proof, context }: EncElgItem) =>
      expect(encElg.verify(statement, proof, context)).rejects.toMatchObject({ name: 'ProofRejected' });

    test('z2 → N − z2: −1 is an N-th power, so the plaintext is the same', async () => {
      const item = encElgs[1]!;
      const bent = { ...item, proof: { ...item.proof, z2: negated(item.proof.z2, item.statement.N0.n) } };
      await refusedAlone(bent);
      // Always, not for every other weight.
      for (let run = 0; run < 8; run++) expect(await verifyAll([encElgs[0]!, bent])).toEqual([undefined, undefined]);
    });
    test.each(['T', 'S'] as const)('%s → N̂ − %s: the sign ambiguity of the commitment', async (field) => {
      // −S spoils the equation only when e is odd.
      for (let index = 10; ; index++) {
        const bent = await encElgItem(0, index, (commitment) => ({ ...commitment, [field]: negated(commitment[field], setup.n) }));
        if (field === 'S' && (encElg.challenge(bent.statement, bent.proof, bent.context) & 1n) === 0n) continue;
        await refusedAlone(bent);
        for (let run = 0; run < 8; run++) expect(await verifyAll([encElgs[0]!, bent])).toEqual([undefined, undefined]);
        return;
      }
    });
    test('but beside a bad proof it is judged by the full equations, like every other', async () => {
      const bent = { ...encElgs[1]!, proof: { ...encElgs[1]!.proof, z2: negated(encElgs[1]!.proof.z2, encElgs[1]!.statement.N0.n) } };
      const bad = { ...encElgs[2]!, proof: { ...encElgs[2]!.proof, z3: 0n } };
      const [first, second, third] = await verifyAll([encElgs[0]!, bent, bad]);
      expect([first, second?.check, third?.check]).toEqual([undefined, 'enc_N0(z1; z2) ≡ D·C^e mod N0²', 's^z1·t^z3 ≡ T·S^e mod N̂']);
    });
  });
});

describe('Π^aff-g', () => {
  const verifyAll = (items: readonly AffGItem[]) => verifyAffG(items, verifier);

  test('honest proofs of two provers are accepted', async () => {
    expect(await verifyAll(affGs)).toEqual(NOBODY);
  });
  const [first, third, fourth, fifth] = [
    'C^z1·enc_N0(z2; w) ≡ A·D^e mod N0²',
    'enc_N1(z2; w_y) ≡ B_y·Y^e mod N1²',
    's^z1·t^z3 ≡ E·S^e mod N̂',
    's^z2·t^z4 ≡ F·T^e mod N̂',
  ];
  test.each([
    ['z1', (z: bigint) => z + 1n, first],
    ['z2', (z: bigint) => z + 1n, first],
    ['wy', (w: bigint) => w + 1n, third],
    ['z3', (z: bigint) => z + 1n, fourth],
    ['z4', (z: bigint) => z + 1n, fifth],
    ['z2', () => (1n << 1087n) + 1n, "|z2| ≤ 2^(ℓ'+ε−1)"],
    ['wy', () => provers[1]!.q, 'w_y ∈ Z*_N1'],
    ['w', () => own.q, 'w ∈ Z*_N0'],
    ['F', () => setup.q, 'F ∈ Z*_N̂'],
  ] as const)('another %s of one proof is found, by its own check', (field, change, check) =>
    foundAt2(affGs, { [field]: change(affGs[2]!.proof[field]) }, verifyAll, check!),
  );
  test('a wrong plaintext relation is found where only the decryption can see it: D with another mask than Y', async () => {
    const { statement } = affGs[2]!;
    const D = (statement.D * (1n + own.n)) % own.n ** 2n;
    const changed = affGs.map((item, i) => (i === 2 ? { ...item, statement: { ...statement, D } } : item));
    expect(checks(await verifyAll(changed))).toEqual([undefined, undefined, first, undefined]);
  });
  test('another point is found: (2) is not left to other proofs', async () => {
    const changed = affGs.map((item, i) => (i === 2 ? { ...item, statement: { ...item.statement, X: item.statement.X.add(G) } } : item));
    expect(checks(await verifyAll(changed))).toEqual([undefined, undefined, first, undefined]); // the challenge changed with it
  });

  test.each([
    ['w_y → N1 − w_y', ({ proof, statement }: AffGItem) => ({ wy: negated(proof.wy, statement.N1.n) }), third],
    ['another unit w: the equation is checked on plaintexts', ({ proof }: AffGItem) => ({ w: (proof.w * 2n) % own.n }), first],
  ])('tolerated, though the proof alone is refused: %s', async (_, change, check) => {
    const item = affGs[0]!;
    const bent = { ...item, proof: { ...item.proof, ...change(item) } };
    await expect(affG.verify(bent.statement, bent.proof, bent.context)).rejects.toMatchObject({ check });
    for (let run = 0; run < 4; run++) expect(await verifyAll([bent, affGs[1]!])).toEqual([undefined, undefined]);
  });
});

describe('Π^elog', () => {
  const verifyAll = (items: readonly ElogItem[]) => verifyElog(items, verifier);

  test('honest proofs to two bases are accepted', async () => {
    expect(await verifyAll(elogs)).toEqual(NOBODY);
  });
  test.each([
    ['z', (z: bigint) => modQ(z + 1n), 'z·G = A + e·L'],
    ['u', (u: bigint) => modQ(u + 1n), 'u·G + z·X = N + e·M'],
    ['u', () => 1n << 256n, 'u ∈ Z_q'],
  ] as const)('another %s of one proof is found, by its own check', (field, change, check) =>
    foundAt2(elogs, { [field]: change(elogs[2]!.proof[field]) }, verifyAll, check),
  );
  test('errors of two proofs that cancel each other without weights are both found', async () => {
    const changed = elogs.map((item, i) => ({
      ...item,
      proof: { ...item.proof, z: modQ(item.proof.z + (i === 0 ? 1n : i === 1 ? -1n : 0n)) },
    }));
    expect(checks(await verifyAll(changed))).toEqual(['z·G = A + e·L', 'z·G = A + e·L', undefined, undefined]);
  });
});

describe('the weights', () => {
  /** Records what is drawn. */
  function watched(): { source: Random; drawn: string[] } {
    const drawn: string[] = [];
    return {
      drawn,
      source: {
        bytes(length) {
          const bytes = random.bytes(length);
          drawn.push(bytes.join());
          return bytes;
        },
      },
    };
  }

  test('are 128 bits from the verifier’s generator, one for every equation, new ones for every verification', async () => {
    const { source, drawn } = watched();
    const from = { random: source, core };
    const equations = { encElg: 4, affG: 5, elog: 3 };
    await verifyEncElg(encElgs, from);
    await verifyAffG(affGs, from);
    await verifyElog(elogs, from);
    const expected = 4 * (equations.encElg + equations.affG + equations.elog);
    expect(drawn.length).toBeGreaterThanOrEqual(expected);
    await verifyEncElg(encElgs, from);
    expect(new Set(drawn).size).toBe(drawn.length);
  });

  test('are drawn only when all proofs have their form: nothing is computed on values out of range', async () => {
    const { source, drawn } = watched();
    const bad = encElgs.map((item) => ({ ...item, proof: { ...item.proof, z1: 1n << 800n } }));
    const verdicts = await verifyEncElg(bad, { random: source, core });
    expect(checks(verdicts)).toEqual(Array(4).fill('|z1| ≤ 2^(ℓ+ε−1)'));
    expect(drawn).toEqual([]);
  });
});

describe('what is not a peer’s fault', () => {
  test('a batch that fails although every proof holds alone blames nobody: the arithmetic is wrong', async () => {
    const faulty: Core = {
      kernel: 'reference',
      run: async <const O extends readonly Operation[]>(operations: O) =>
        (await core.run(operations)).map((result, i) => (operations[i]!.op === 'decrypt' ? result + 1n : result)) as {
          -readonly [K in keyof O]: bigint;
        },
    };
    await expect(verifyAffG(affGs, { random, core: faulty })).rejects.toBeInstanceOf(Defect);
  });
  test('proofs to two verifiers are no batch', async () => {
    const other = { ...encElgs[0]!, statement: { ...encElgs[0]!.statement, setup: ringPedersenKey(576, 8) } };
    await expect(verifyEncElg([encElgs[1]!, other], verifier)).rejects.toBeInstanceOf(Defect);
  });
  test('no proofs, no verdicts', async () => {
    expect(await verifyElog([], verifier)).toEqual([]);
  });
});
