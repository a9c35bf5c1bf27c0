/**
 * Presigning: three rounds in which t signers share a nonce and its product with the key, without any of them learning either. What remains for
 * the message is one linear equation.
 *
 * Source: CGGMP24 (eprint 2021/060, revision 2024-10-21), three-round presigning; cggmp24.md §6.1, 6.7, 6.9. Every proof of every peer is
 * verified before the value it speaks of is used. All rounds echo what everybody must hold alike, so that a later cheat is named by all.
 *
 * One run makes a batch: every message is a list with one entry per presignature, and each entry is an execution of its own, with its own sid in
 * every proof, nonce and commitment. What they share is the three rounds, and the cost of verification.
 *
 * Indices of the run are positions in the signer set; the sid binds the set through its identity keys.
 */
import { Fault, invariant, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { gathering } from '../core/gather.ts';
import { decrypt, encrypt, modN2, power, type Core } from '../core/types.ts';
import type { Child } from '../curve/bip32.ts';
import { G, invQ, modQ, mul, mulPublic, randomScalar, sgn, sum, type Point } from '../curve/secp256k1.ts';
import { proofVerification, type AffGItem, type ElogItem, type EncElgItem } from '../proofs/batch-proofs.ts';
import type { ProofContext } from '../proofs/context.ts';
import type { Parameters } from '../proofs/parameters.ts';
import * as affG from '../proofs/pi-aff-g.ts';
import * as elog from '../proofs/pi-elog.ts';
import * as encElg from '../proofs/pi-enc-elg.ts';
import { plusMinusPower, unit } from '../proofs/sampling.ts';
import { hedged } from '../protocol/hedged.ts';
import type { Rounds } from '../protocol/rounds.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { AuxInfo } from './aux-record.ts';
import { additiveShares, additiveSharesProblem, type KeyShare } from './key-share.ts';
import {
  checkBatch,
  elogDeltaStatement,
  elogGammaStatement,
  encGStatement,
  encKStatement,
  presignRounds,
  productsFor,
  type Encrypted,
  type Multiplied,
  type Products,
} from './presign-messages.ts';
import type { Mask } from './identify.ts';
import { failingSum, sumFailed, totalDelta, type Element } from './presign-sums.ts';
import { openingCommitment, presignatureId, presignatureProblem, type Presignature } from './presignature.ts';
import { demandUnits, judge, together, verifyEach } from './verify-each.ts';

export interface PresignOptions {
  /** A run of exactly t participants, in the order of `signers`; its sid from `signingSessionId`. */
  readonly rounds: Rounds;
  /** Key indices by position, ascending. */
  readonly signers: readonly number[];
  readonly key: KeyShare;
  /** Of the group that holds the key: same indices. */
  readonly aux: AuxInfo;
  readonly random: Random;
  readonly core: Core;
  readonly parameters: Parameters;
  /** Sign under a key derived from `key`: fixed here, never afterwards. */
  readonly child?: Child;
  /** Whether proofs are verified in batches (the default) or each alone, by all its equations: twice the cost, and the same security. */
  readonly verification?: 'batch' | 'each';
}
export interface PresignBatchOptions extends PresignOptions {
  /** Presignatures to make, the same number at all signers; at most `batchLimit`. */
  readonly count: number;
}

/** One presignature: a batch of one. */
export async function presign(options: PresignOptions): Promise<Presignature> {
  const [presignature] = await presignBatch({ ...options, count: 1 });
  invariant(presignature !== undefined, 'a batch of one has one element');
  return presignature;
}

/** The sid of element k of a run: no proof, opening or presignature of one element passes for another's. */
export const elementSid = (sid: Uint8Array, k: number): Uint8Array => new Transcript('presign-item/v1').bytes(sid).u32(k).digest();

/**
 * All presignatures of the batch, or none: one wrong message of a signer ends the run for every element.
 *
 * @throws Refusal for a signer set, count, key or aux data that do not fit; Fault naming the culprits, or nobody when the sums of round 3 are wrong
 * (presign-sums.ts). After any fault the run is dead: nothing of it is used again.
 *
 * Secrets: k, γ, masks and nonces are BigInts, which JavaScript cannot overwrite; they become unreachable when the run ends, and the process
 * counts as tainted until it exits. Only k̃, χ̃ and o leave this function.
 */
export async function presignBatch(options: PresignBatchOptions): Promise<Presignature[]> {
  const { rounds, signers, key, aux, parameters, child, count } = options;
  const { me, n: t, peers } = rounds;
  const { x, X, publicKey } = convert(options);
  const core = gathering(options.core);
  // Everything that this run draws, the masks of its proofs included: one of them used twice gives x away as surely as a nonce.
  const random = hedged(options.random, x, rounds.sid);
  const messages = presignRounds(parameters, t, count);
  const verification = proofVerification(options.verification ?? 'batch', { random, core });
  const own = aux.secret;
  const paillier = (position: number) => aux.parties[signers[position]!]!.paillier;
  const pedersen = (position: number) => aux.parties[signers[position]!]!.pedersen;
  const positions = Array.from({ length: t }, (_, j) => j);
  const elements = Array.from({ length: count }, (_, k) => k);
  const sids = elements.map((k) => elementSid(rounds.sid, k));
  const context = (k: number, label: string, prover: number, verifier?: number): ProofContext => ({
    sid: sids[k]!, prover, label, parameters, random, core, ...(verifier !== undefined && { verifier }),
  }); // prettier-ignore
  /** `make` for every element, one list. */
  const forEach = <T>(make: (k: number) => Promise<T>): Promise<T[]> => core.forEach(elements, make);
  /** The same for every peer. */
  const toEachPeer = async <T>(make: (peer: number, k: number) => Promise<T>): Promise<Map<number, T[]>> => {
    const made = await core.forEach(
      peers.flatMap((peer) => elements.map((k) => ({ peer, k }))),
      ({ peer, k }) => make(peer, k),
    );
    return new Map(peers.map((peer, i) => [peer, made.slice(i * count, (i + 1) * count)]));
  };

  // Round 1: encrypt k_i and γ_i, to oneself (Paillier) and to nobody (El-Gamal under a random point).
  const nonces = await forEach(encryptNonces);
  const encrypted = nonces.map((nonce) => nonce.encrypted);
  const encryptedProofs = await toEachPeer(async (j, k) => {
    const { k: k_i, gamma, rho, nu, a, b } = nonces[k]!;
    const [encK, encG] = await Promise.all([
      encElg.prove(encKStatement(pedersen(j), own.paillier, encrypted[k]!), { x: sgn(k_i), rho, b: a }, context(k, 'enc-K', me, j)),
      encElg.prove(encGStatement(pedersen(j), own.paillier, encrypted[k]!), { x: sgn(gamma), rho: nu, b }, context(k, 'enc-G', me, j)),
    ]);
    return { encK, encG };
  });
  const [received, receivedProofs] = await together(
    rounds.echo(messages.encrypted, encrypted),
    rounds.send(messages.encryptedProofs, encryptedProofs),
  );
  const first = (position: number, k: number): Encrypted => (position === me ? encrypted : received.get(position)!)[k]!;

  // Round 2: both proofs of everybody, then Γ_i and, on each peer's K_j, the two multiplications.
  const judgeEncrypted = await judge(
    rounds,
    ['enc-K', 'enc-G'],
    count,
    (label, j, k): EncElgItem => {
      const { encK, encG } = receivedProofs.get(j)![k]!;
      const common = { setup: own.pedersen, N0: paillier(j) };
      return label === 'enc-K'
        ? {
            statement: { ...encKStatement(own.pedersen, paillier(j), first(j, k)), ...common },
            proof: encK,
            context: context(k, label, j, me),
          }
        : {
            statement: { ...encGStatement(own.pedersen, paillier(j), first(j, k)), ...common },
            proof: encG,
            context: context(k, label, j, me),
          };
    },
    verification.encElg,
  );
  await verifyEach(rounds, {
    'enc-K': { round: messages.encryptedProofs, verify: (j) => judgeEncrypted('enc-K', j) },
    'enc-G': { round: messages.encryptedProofs, verify: (j) => judgeEncrypted('enc-G', j) },
  });
  const Gammas = nonces.map(({ gamma }) => mul(G, gamma));
  const multiplications = await toEachPeer(async (j, k) => {
    const [byGamma, byX] = await Promise.all([
      multiply(j, k, sgn(nonces[k]!.gamma), Gammas[k]!, 'aff-gamma'),
      multiply(j, k, sgn(x), X[me]!, 'aff-x'),
    ]);
    return { byGamma, byX };
  });
  const multiplied = await forEach(async (k): Promise<Multiplied> => {
    const { gamma, b } = nonces[k]!;
    const products = peers.map((j): Products => {
      const { byGamma, byX } = multiplications.get(j)![k]!;
      return { D: byGamma.D, F: byGamma.F, hatD: byX.D, hatF: byX.F };
    });
    const statement = elogGammaStatement(encrypted[k]!, Gammas[k]!);
    return {
      Gamma: Gammas[k]!,
      elogGamma: await elog.prove(statement, { y: gamma, lambda: b }, context(k, 'elog-Gamma', me)),
      products,
    };
  });
  const productProofs = new Map(
    [...multiplications].map(([j, made]) => [j, made.map(({ byGamma, byX }) => ({ affGamma: byGamma.proof, affX: byX.proof }))]),
  );
  const [receivedProducts, receivedProductProofs] = await together(
    rounds.echo(messages.products, multiplied),
    rounds.send(messages.productProofs, productProofs),
  );
  const second = (position: number, k: number): Multiplied => (position === me ? multiplied : receivedProducts.get(position)!)[k]!;
  const products = (author: number, receiver: number, k: number): Products => productsFor(author, receiver, second(author, k));

  // Round 3: all proofs of everybody, then the additive shares of γ·k and x·k.
  const [judgeGamma, judgeProducts] = await Promise.all([
    judge(
      rounds,
      ['elog-Gamma'],
      count,
      (label, j, k): ElogItem => {
        const { Gamma, elogGamma } = second(j, k);
        return { statement: elogGammaStatement(first(j, k), Gamma), proof: elogGamma, context: context(k, label, j) };
      },
      verification.elog,
    ),
    judge(
      rounds,
      ['aff-gamma', 'aff-x'],
      count,
      (label, j, k): AffGItem => {
        const { D, F, hatD, hatF } = products(j, me, k);
        const { affGamma, affX } = receivedProductProofs.get(j)![k]!;
        const common = { setup: own.pedersen, N0: own.paillier, N1: paillier(j), C: encrypted[k]!.K };
        const rest = { context: context(k, label, j, me), plaintext: sgn(nonces[k]!.k) };
        return label === 'aff-gamma'
          ? { statement: { ...common, D, Y: F, X: second(j, k).Gamma }, proof: affGamma, ...rest }
          : { statement: { ...common, D: hatD, Y: hatF, X: X[j]! }, proof: affX, ...rest };
      },
      verification.affG,
    ),
  ]);
  await verifyEach(rounds, {
    // Those for others as well: they are in the error rounds' statements, and everybody sees and names who sent one that would factor a modulus.
    'D, F, D̂, F̂': { round: messages.products, verify: checkCiphertexts },
    'elog-Gamma': { round: messages.products, verify: (j) => judgeGamma('elog-Gamma', j) },
    'aff-gamma': { round: messages.productProofs, verify: (j) => judgeProducts('aff-gamma', j) },
    'aff-x': { round: messages.productProofs, verify: (j) => judgeProducts('aff-x', j) },
  });
  const shares = await forEach(addShares);
  const third = await rounds.echo(
    messages.delta,
    shares.map(({ message }) => message),
  );

  // Output.
  const judgeDelta = await judge(
    rounds,
    ['elog-Delta'],
    count,
    (label, j, k): ElogItem => {
      const { Delta, elogDelta } = third.get(j)![k]!;
      return { statement: elogDeltaStatement(first(j, k), Delta, shares[k]!.Gamma), proof: elogDelta, context: context(k, label, j) };
    },
    verification.elog,
  );
  await verifyEach(rounds, { 'elog-Delta': { round: messages.delta, verify: (j) => judgeDelta('elog-Delta', j) } });
  const ended = elements.map(endOf);
  const failing = await forEach((k) => Promise.resolve(failingSum(ended[k]!)));
  // One is enough: the error rounds are about the first, and the run is dead.
  for (const [k, sum] of failing.entries()) if (sum !== undefined) throw await sumFailed(rounds, ended[k]!, sum);
  return ended.map(presignatureOf);

  /** k_i, γ_i with their nonces, and what everybody sees of them. */
  async function encryptNonces(k: number) {
    const k_i = randomScalar(random);
    const gamma = randomScalar(random);
    const rho = unit(random, own.paillier.n);
    const nu = unit(random, own.paillier.n);
    const a = randomScalar(random);
    const b = randomScalar(random);
    const Y = mul(G, randomScalar(random)); // nobody keeps its logarithm
    const opening = random.bytes(32);
    const [K, G_i] = await core.run([encrypt(own.paillier, sgn(k_i), rho), encrypt(own.paillier, sgn(gamma), nu)]);
    const message: Encrypted = {
      K,
      G: G_i,
      Y,
      A1: mul(G, a),
      A2: mul(Y, a).add(mul(G, k_i)),
      B1: mul(G, b),
      B2: mul(Y, b).add(mul(G, gamma)),
      Co: openingCommitment(sids[k]!, me, opening),
    };
    return { k: k_i, gamma, rho, nu, a, b, opening, encrypted: message };
  }

  /** D = K_j^y·enc_j(−β; s) and F = enc_i(−β; r) for the secret y with point Y, and Π^aff-g of it for j (witness y, −β: §5.6). */
  async function multiply(j: number, k: number, y: bigint, of: Point, label: 'aff-gamma' | 'aff-x') {
    const { K } = first(j, k);
    const [N0, N1] = [paillier(j), own.paillier];
    const mask: Mask = { beta: plusMinusPower(random, parameters.ellPrime), r: unit(random, N1.n), s: unit(random, N0.n) };
    const { beta, r, s } = mask;
    const [shifted, masked, F] = await core.run([power(modN2(N0), [K, y]), encrypt(N0, -beta, s), encrypt(N1, -beta, r)]);
    const D = (shifted * masked) % (N0.n * N0.n);
    const proof = await affG.prove(
      { setup: pedersen(j), N0, N1, C: K, D, Y: F, X: of },
      { x: y, y: -beta, rho: s, rhoY: r },
      context(k, label, me, j),
    );
    return { D, F, proof, mask };
  }

  /** All ciphertexts that `j` made, for whomever: units modulo N², one gcd per modulus. */
  function checkCiphertexts(j: number): Promise<void> {
    const others = positions.filter((l) => l !== j);
    const made = (l: number) => elements.map((k) => products(j, l, k));
    return demandUnits(core, [
      ...others.map((l) => ({ name: `N_${l}`, n: paillier(l).n, values: made(l).flatMap(({ D, hatD }) => [D, hatD]) })),
      { name: `N_${j}`, n: paillier(j).n, values: others.flatMap((l) => made(l).flatMap(({ F, hatF }) => [F, hatF])) },
    ]);
  }

  /** Γ, δ_i, χ_i, and the message of round 3. */
  async function addShares(k: number) {
    const { k: k_i, gamma, a } = nonces[k]!;
    const Gamma = sum(positions.map((j) => second(j, k).Gamma));
    if (Gamma.is0()) throw new Fault([], 'Σ Γ_j = O', { round: messages.products.name, detail: 'the nonce point is the identity' });
    const Delta = mul(Gamma, k_i);
    // Σ_j dec(D_j) = dec(∏ D_j): every aff-g of this receiver holds, so the sum is far below N/2 (§9.4 g).
    const [alpha, hatAlpha] = await core.run([
      decrypt(own.paillier, product(peers.map((j) => products(j, me, k).D))),
      decrypt(own.paillier, product(peers.map((j) => products(j, me, k).hatD))),
    ]);
    const masks = peers.map((j) => multiplications.get(j)![k]!);
    // δ_i = γ_i·k_i + Σ_{j≠i} (dec_i(D_{i,j}) + β_{i→j}),   χ_i = x_i·k_i + Σ_{j≠i} (dec_i(D̂_{i,j}) + β̂_{i→j})   mod q
    const delta = modQ(gamma * k_i + alpha + masks.reduce((total, { byGamma }) => total + byGamma.mask.beta, 0n));
    const chi = modQ(x * k_i + hatAlpha + masks.reduce((total, { byX }) => total + byX.mask.beta, 0n));
    const statement = elogDeltaStatement(encrypted[k]!, Delta, Gamma);
    const elogDelta = await elog.prove(statement, { y: k_i, lambda: a }, context(k, 'elog-Delta', me));
    return { Gamma, chi, message: { delta, S: mul(Gamma, chi), Delta, elogDelta } };
  }

  function product(ciphertexts: readonly bigint[]): bigint {
    const modulus = own.paillier.n * own.paillier.n;
    return ciphertexts.reduce((total, C) => (total * C) % modulus, 1n);
  }

  function endOf(k: number): Element {
    const { k: k_i, gamma } = nonces[k]!;
    const { Gamma, chi, message } = shares[k]!;
    return {
      index: k,
      sid: sids[k]!,
      context: (label, prover, verifier) => context(k, label, prover, verifier),
      public: {
        publicKey,
        paillier: positions.map(paillier),
        K: positions.map((j) => first(j, k).K),
        X,
        Gammas: positions.map((j) => second(j, k).Gamma),
        Gamma,
        products: (author, receiver) => products(author, receiver, k),
        outputs: positions.map((j) => (j === me ? message : third.get(j)![k]!)),
      },
      secret: {
        paillier: own.paillier,
        k: k_i,
        gamma,
        x,
        chi,
        masks: new Map(
          peers.map((j) => {
            const { byGamma, byX } = multiplications.get(j)![k]!;
            return [j, { byGamma: byGamma.mask, byX: byX.mask }];
          }),
        ),
      },
    };
  }

  function presignatureOf(element: Element): Presignature {
    const { index, sid } = element;
    const { Gamma, outputs } = element.public;
    const delta = totalDelta(element);
    // With both sums right, δ = 0 means Σ k_j = 0 for nonces that were all committed to in round 1: probability 2^−256.
    if (delta === 0n) throw new Fault([], 'δ = 0', { round: messages.delta.name, detail: 'δ ≠ 0' });
    const inverse = invQ(delta);
    const presignature: Presignature = {
      version: 1,
      id: presignatureId(sid, Gamma),
      keyId: key.keyId,
      epoch: key.epoch,
      sid,
      signers: [...signers],
      path: [...(child?.path ?? [])],
      publicKey,
      Gamma,
      DeltaTilde: outputs.map(({ Delta }) => mulPublic(Delta, inverse)),
      STilde: outputs.map(({ S }) => mulPublic(S, inverse)),
      commitments: positions.map((j) => first(j, index).Co),
      position: me,
      kTilde: modQ(element.secret.k * inverse),
      chiTilde: modQ(element.secret.chi * inverse),
      opening: nonces[index]!.opening,
    };
    const problem = presignatureProblem(presignature);
    invariant(problem === undefined, `the new presignature is consistent: ${problem}`);
    return presignature;
  }
}

/** The key in additive shares for this signer set, and everything that must fit together before the first secret is drawn. */
function convert({ rounds, signers, key, aux, parameters, child, count }: PresignBatchOptions) {
  const refuse = (field: string, message: string, remedy: string) => new Refusal('signing_inputs', field, message, remedy, 422);
  if (aux.parameters !== parameters.name || aux.parties.length !== key.n || aux.index !== key.index) {
    const found = `party ${aux.index} of ${aux.parties.length} with ${aux.parameters} parameters`;
    throw refuse('aux', `auxiliary information of ${found} does not belong to the key`, 'Use that of the group that holds the key.');
  }
  const shares = additiveShares(key, signers, child);
  if (rounds.n !== signers.length || signers[rounds.me] !== key.index) {
    throw refuse('signers', `the run has ${rounds.n} parties and this is number ${rounds.me}`, 'Run with the signers in ascending order.');
  }
  checkBatch(parameters, rounds.n, count);
  const problem = additiveSharesProblem(shares, rounds.me);
  invariant(problem === undefined, `the additive shares are consistent: ${problem}`);
  return shares;
}
