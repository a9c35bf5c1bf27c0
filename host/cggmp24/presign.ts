/**
 * Presigning: three rounds in which t signers share a nonce and its product with the key, without any of them learning either. What remains for
 * the message is one linear equation.
 *
 * Source: CGGMP24 (eprint 2021/060, revision 2024-10-21), three-round presigning; cggmp24.md §6.1, 6.7, 6.9. Every proof of every peer is
 * verified before the value it speaks of is used. Rounds 2 and 3 echo what everybody must hold alike, so that a later cheat is named by all.
 *
 * Indices of the run are positions in the signer set; the sid binds the set through its identity keys.
 */
import { Fault, invariant, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { decrypt, encrypt, modN2, power, type Core } from '../core/types.ts';
import type { Child } from '../curve/bip32.ts';
import { G, invQ, modQ, mul, mulPublic, randomScalar, sgn, sum, type Point } from '../curve/secp256k1.ts';
import type { ProofContext } from '../proofs/context.ts';
import type { Parameters } from '../proofs/parameters.ts';
import * as affG from '../proofs/pi-aff-g.ts';
import * as elog from '../proofs/pi-elog.ts';
import * as encElg from '../proofs/pi-enc-elg.ts';
import { plusMinusPower, unit } from '../proofs/sampling.ts';
import { hedged } from '../protocol/hedged.ts';
import type { Rounds } from '../protocol/rounds.ts';
import type { AuxInfo } from './aux-record.ts';
import { additiveShares, additiveSharesProblem, type KeyShare } from './key-share.ts';
import { elogDeltaStatement, elogGammaStatement, encGStatement, encKStatement, presignRounds, type Encrypted } from './presign-messages.ts';
import { openingCommitment, presignatureId, presignatureProblem, type Presignature } from './presignature.ts';
import { together, verifyEach } from './verify-each.ts';

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
}

/**
 * @throws Refusal for a signer set, key or aux data that do not fit; Fault naming the culprits, or nobody when the sums of round 3 are wrong (who
 * is at fault then takes the error rounds of §6.8). After any fault the run is dead: nothing of it is used again.
 *
 * Secrets: k, γ, masks and nonces are BigInts, which JavaScript cannot overwrite; they become unreachable when the run ends, and the process
 * counts as tainted until it exits. Only k̃, χ̃ and o leave this function.
 */
export async function presign(options: PresignOptions): Promise<Presignature> {
  const { rounds, signers, key, aux, core, parameters, child } = options;
  const { sid, me, n: t, peers } = rounds;
  const { x, X, publicKey } = convert(options);
  // Everything that this run draws, the masks of its proofs included: one of them used twice gives x away as surely as a nonce.
  const random = hedged(options.random, x, sid);
  const messages = presignRounds(parameters);
  const own = aux.secret;
  const paillier = (position: number) => aux.parties[signers[position]!]!.paillier;
  const pedersen = (position: number) => aux.parties[signers[position]!]!.pedersen;
  const context = (label: string, prover: number, verifier?: number): ProofContext => ({
    sid, prover, label, parameters, random, core, ...(verifier !== undefined && { verifier }),
  }); // prettier-ignore
  const toEachPeer = async <T>(make: (peer: number) => Promise<T>): Promise<Map<number, T>> =>
    new Map(await Promise.all(peers.map(async (peer) => [peer, await make(peer)] as const)));

  // Round 1: encrypt k_i and γ_i, to oneself (Paillier) and to nobody (El-Gamal under a random point).
  const k = randomScalar(random);
  const gamma = randomScalar(random);
  const rho = unit(random, own.paillier.n);
  const nu = unit(random, own.paillier.n);
  const a = randomScalar(random);
  const b = randomScalar(random);
  const Y = mul(G, randomScalar(random)); // nobody keeps its logarithm
  const opening = random.bytes(32);
  const [K_i, G_i] = await core.run([encrypt(own.paillier, sgn(k), rho), encrypt(own.paillier, sgn(gamma), nu)]);
  const encrypted: Encrypted = {
    K: K_i,
    G: G_i,
    Y,
    A1: mul(G, a),
    A2: mul(Y, a).add(mul(G, k)),
    B1: mul(G, b),
    B2: mul(Y, b).add(mul(G, gamma)),
    Co: openingCommitment(sid, me, opening),
  };
  const encryptedProofs = await toEachPeer(async (j) => {
    const [encK, encG] = await Promise.all([
      encElg.prove(encKStatement(pedersen(j), own.paillier, encrypted), { x: sgn(k), rho, b: a }, context('enc-K', me, j)),
      encElg.prove(encGStatement(pedersen(j), own.paillier, encrypted), { x: sgn(gamma), rho: nu, b }, context('enc-G', me, j)),
    ]);
    return { encK, encG };
  });
  const [received, receivedProofs] = await together(
    rounds.echo(messages.encrypted, encrypted),
    rounds.send(messages.encryptedProofs, encryptedProofs),
  );
  const first = (position: number): Encrypted => (position === me ? encrypted : received.get(position)!);

  // Round 2: both proofs of everybody, then Γ_i and, on each peer's K_j, the two multiplications.
  await verifyEach(rounds, {
    'enc-K': {
      round: messages.encryptedProofs,
      verify: (j) =>
        encElg.verify(encKStatement(own.pedersen, paillier(j), first(j)), receivedProofs.get(j)!.encK, context('enc-K', j, me)),
    },
    'enc-G': {
      round: messages.encryptedProofs,
      verify: (j) =>
        encElg.verify(encGStatement(own.pedersen, paillier(j), first(j)), receivedProofs.get(j)!.encG, context('enc-G', j, me)),
    },
  });
  const Gamma_i = mul(G, gamma);
  const elogGamma = await elog.prove(elogGammaStatement(encrypted, Gamma_i), { y: gamma, lambda: b }, context('elog-Gamma', me));
  const products = await toEachPeer(async (j) => {
    const [byGamma, byX] = await Promise.all([multiply(j, sgn(gamma), Gamma_i, 'aff-gamma'), multiply(j, sgn(x), X[me]!, 'aff-x')]);
    return { byGamma, byX };
  });
  const affine = new Map(
    [...products].map(([j, { byGamma, byX }]) => [
      j,
      { D: byGamma.D, F: byGamma.F, hatD: byX.D, hatF: byX.F, affGamma: byGamma.proof, affX: byX.proof },
    ]),
  );
  const [receivedGamma, receivedAffine] = await together(
    rounds.echo(messages.gamma, { Gamma: Gamma_i, elogGamma }),
    rounds.send(messages.affine, affine),
  );

  // Round 3: all proofs of everybody, then the additive shares of γ·k and x·k.
  const affStatement = (j: number, D: bigint, F: bigint, of: Point): affG.Statement => ({
    setup: own.pedersen, N0: own.paillier, N1: paillier(j), C: K_i, D, Y: F, X: of,
  }); // prettier-ignore
  await verifyEach(rounds, {
    'elog-Gamma': {
      round: messages.gamma,
      verify: (j) => {
        const { Gamma: Gamma_j, elogGamma: proof } = receivedGamma.get(j)!;
        return elog.verify(elogGammaStatement(first(j), Gamma_j), proof, context('elog-Gamma', j));
      },
    },
    'aff-gamma': {
      round: messages.affine,
      verify: (j) => {
        const { D, F, affGamma } = receivedAffine.get(j)!;
        return affG.verify(affStatement(j, D, F, receivedGamma.get(j)!.Gamma), affGamma, context('aff-gamma', j, me));
      },
    },
    'aff-x': {
      round: messages.affine,
      verify: (j) => {
        const { hatD, hatF, affX } = receivedAffine.get(j)!;
        return affG.verify(affStatement(j, hatD, hatF, X[j]!), affX, context('aff-x', j, me));
      },
    },
  });
  const Gamma = sum([Gamma_i, ...[...receivedGamma.values()].map((message) => message.Gamma)]);
  if (Gamma.is0()) throw new Fault([], 'Σ Γ_j = O', { round: messages.gamma.name, detail: 'the nonce point is the identity' });
  const Delta_i = mul(Gamma, k);
  // Σ_j dec(D_j) = dec(∏ D_j): every aff-g of this receiver holds, so the sum is far below N/2 (§9.4 g).
  const [alpha, hatAlpha] = await core.run([
    decrypt(own.paillier, product([...receivedAffine.values()].map(({ D }) => D))),
    decrypt(own.paillier, product([...receivedAffine.values()].map(({ hatD }) => hatD))),
  ]);
  // δ_i = γ_i·k_i + Σ_{j≠i} (dec_i(D_{i,j}) + β_{i→j}),   χ_i = x_i·k_i + Σ_{j≠i} (dec_i(D̂_{i,j}) + β̂_{i→j})   mod q
  const delta_i = modQ(gamma * k + alpha + [...products.values()].reduce((total, { byGamma }) => total + byGamma.beta, 0n));
  const chi = modQ(x * k + hatAlpha + [...products.values()].reduce((total, { byX }) => total + byX.beta, 0n));
  const S_i = mul(Gamma, chi);
  const elogDelta = await elog.prove(elogDeltaStatement(encrypted, Delta_i, Gamma), { y: k, lambda: a }, context('elog-Delta', me));
  const third = await rounds.echo(messages.delta, { delta: delta_i, S: S_i, Delta: Delta_i, elogDelta });

  // Output.
  await verifyEach(rounds, {
    'elog-Delta': {
      round: messages.delta,
      verify: (j) => {
        const { Delta: Delta_j, elogDelta: proof } = third.get(j)!;
        return elog.verify(elogDeltaStatement(first(j), Delta_j, Gamma), proof, context('elog-Delta', j));
      },
    },
  });
  const outputs = Array.from({ length: t }, (_, j) => (j === me ? { delta: delta_i, S: S_i, Delta: Delta_i } : third.get(j)!));
  const delta = modQ(outputs.reduce((total, output) => total + output.delta, 0n));
  checkSums(delta, outputs, publicKey, messages.delta.name);

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
    commitments: outputs.map((_, j) => first(j).Co),
    position: me,
    kTilde: modQ(k * inverse),
    chiTilde: modQ(chi * inverse),
    opening,
  };
  const problem = presignatureProblem(presignature);
  invariant(problem === undefined, `the new presignature is consistent: ${problem}`);
  return presignature;

  /** D = K_j^y·enc_j(−β; s) and F = enc_i(−β; r) for the secret y with point Y, and Π^aff-g of it for j (witness y, −β: §5.6). */
  async function multiply(j: number, y: bigint, of: Point, label: 'aff-gamma' | 'aff-x') {
    const { K } = first(j);
    const [N0, N1] = [paillier(j), own.paillier];
    const beta = plusMinusPower(random, parameters.ellPrime);
    const r = unit(random, N1.n);
    const s = unit(random, N0.n);
    const [shifted, mask, F] = await core.run([power(modN2(N0), [K, y]), encrypt(N0, -beta, s), encrypt(N1, -beta, r)]);
    const D = (shifted * mask) % (N0.n * N0.n);
    const proof = await affG.prove(
      { setup: pedersen(j), N0, N1, C: K, D, Y: F, X: of },
      { x: y, y: -beta, rho: s, rhoY: r },
      context(label, me, j),
    );
    return { D, F, proof, beta };
  }

  function product(ciphertexts: readonly bigint[]): bigint {
    const modulus = own.paillier.n * own.paillier.n;
    return ciphertexts.reduce((total, C) => (total * C) % modulus, 1n);
  }
}

/** The key in additive shares for this signer set, and everything that must fit together before the first secret is drawn. */
function convert({ rounds, signers, key, aux, parameters, child }: PresignOptions) {
  const refuse = (field: string, message: string, remedy: string) => new Refusal('signing_inputs', field, message, remedy, 422);
  if (aux.parameters !== parameters.name || aux.parties.length !== key.n || aux.index !== key.index) {
    const found = `party ${aux.index} of ${aux.parties.length} with ${aux.parameters} parameters`;
    throw refuse('aux', `auxiliary information of ${found} does not belong to the key`, 'Use that of the group that holds the key.');
  }
  const shares = additiveShares(key, signers, child);
  if (rounds.n !== signers.length || signers[rounds.me] !== key.index) {
    throw refuse('signers', `the run has ${rounds.n} parties and this is number ${rounds.me}`, 'Run with the signers in ascending order.');
  }
  const problem = additiveSharesProblem(shares, rounds.me);
  invariant(problem === undefined, `the additive shares are consistent: ${problem}`);
  return shares;
}

/**
 * δ·G = Σ Δ_j and δ·PK = Σ S_j. All individual proofs hold by now, so a failure means that somebody's δ_j or S_j is not what its ciphertexts say;
 * only the error rounds of §6.8 can tell whose. The run is dead either way.
 */
function checkSums(delta: bigint, outputs: readonly { S: Point; Delta: Point }[], publicKey: Point, round: string): void {
  const unattributed = (equation: string): Fault =>
    new Fault([], `${equation} does not hold: a signer gave a wrong value in ${round}`, { round, detail: equation });
  if (delta === 0n) throw unattributed('δ ≠ 0');
  if (!mulPublic(G, delta).equals(sum(outputs.map(({ Delta }) => Delta)))) throw unattributed('δ·G = Σ Δ_j');
  if (!mulPublic(publicKey, delta).equals(sum(outputs.map(({ S }) => S)))) throw unattributed('δ·PK = Σ S_j');
}
