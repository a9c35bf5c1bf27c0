/**
 * The steps of FROST signing without a network: commit, sign, aggregate (RFC 9591 §5 with the suite FROST-secp256k1-SHA256-TR-v1; cggmp24.md
 * §10.4–10.6). The arithmetic is `schnorr_FROST` of @noble/curves; this file gives it our types, guards its inputs, and names cheaters.
 */
import { schnorr, schnorr_FROST } from '@noble/curves/secp256k1.js';
import { decode, encode, struct, u32, type Codec } from '../base/codec.ts';
import { Defect, invariant, Refusal } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { point, scalar, type Point } from '../curve/secp256k1.ts';
import { outputKey, type FrostPublicKey, type FrostShare } from './share.ts';
import type { TaprootSighash } from './sighash.ts';

/** What a signer publishes about its nonces (d, e): D = d·G and E = e·G, neither the identity. */
export interface NonceCommitment {
  /** Party index of the signer. */
  readonly index: number;
  readonly D: Point;
  readonly E: Point;
}
export const nonceCommitment: Codec<NonceCommitment> = struct({ index: u32, D: point, E: point });

/** The secret nonces of one signature. They leave the object once; used a second time, two signatures would give the share away. */
export class SigningNonces {
  #pair: { hiding: Uint8Array; binding: Uint8Array } | undefined;
  constructor(
    readonly commitment: NonceCommitment,
    hiding: Uint8Array,
    binding: Uint8Array,
  ) {
    this.#pair = { hiding, binding };
  }

  get spent(): boolean {
    return this.#pair === undefined;
  }

  /** @throws Refusal when the nonces were used or erased before. */
  take(): { hiding: Uint8Array; binding: Uint8Array } {
    const pair = this.#pair;
    if (pair === undefined) {
      throw new Refusal(
        'nonces_spent',
        'nonces',
        'these nonces have been used or erased',
        'commit to fresh nonces for every signature',
        409,
      );
    }
    this.#pair = undefined;
    return pair;
  }

  /** Overwrites unused nonces: for a run that ends before it signs. */
  erase(): void {
    this.#pair?.hiding.fill(0);
    this.#pair?.binding.fill(0);
    this.#pair = undefined;
  }
}

const sameCommitment = (a: NonceCommitment, b: NonceCommitment): boolean => a.index === b.index && a.D.equals(b.D) && a.E.equals(b.E);

const identifier = (index: number): string => schnorr_FROST.Identifier.fromNumber(index + 1);

const publicPackage = ({ t, n, P, Y }: FrostPublicKey) => ({
  signers: { min: t, max: n },
  // Signing reads the first commitment only: the key itself.
  commitments: [encode(point, P)],
  verifyingShares: Object.fromEntries(Y.map((Y_j, j) => [identifier(j), encode(point, Y_j)])),
});

const commitmentList = (commitments: readonly NonceCommitment[]) =>
  commitments.map(({ index, D, E }) => ({ identifier: identifier(index), hiding: encode(point, D), binding: encode(point, E) }));

/** @throws Refusal unless `indices` are t to n different parties of the key, in ascending order. */
export function checkSigners({ t, n }: Pick<FrostPublicKey, 't' | 'n'>, indices: readonly number[]): void {
  const refuse = (message: string): never => {
    throw new Refusal('signers_invalid', 'signers', message, `name ${t} to ${n} different parties, in ascending order, each below ${n}`);
  };
  if (indices.length < t || indices.length > n) refuse(`${indices.length} signers for a key with threshold ${t} of ${n}`);
  if (indices.some((j, k) => !Number.isInteger(j) || j < 0 || j >= n || (k > 0 && j <= indices[k - 1]!)))
    refuse(`signers ${indices.join(', ')}`);
}

/** Round 1: d = H3(32 random bytes ‖ s), e likewise. No message is needed yet, so this may be done in advance. */
export function commit(share: FrostShare, random: Random): SigningNonces {
  const secret = { identifier: identifier(share.index), signingShare: encode(scalar, share.s) };
  const { nonces, commitments } = schnorr_FROST.commit(secret, (length = 32) => random.bytes(length));
  secret.signingShare.fill(0);
  const commitment = { index: share.index, D: decode(point, commitments.hiding), E: decode(point, commitments.binding) };
  return new SigningNonces(commitment, nonces.hiding, nonces.binding);
}

/**
 * Round 2: z_i = d + e·ρ_i + λ_i·s_i·c, with the signs that make P and R even. Once the input is accepted the nonces are used up, whatever happens then.
 * `commitments` are those of all signers, own included, ascending by index.
 *
 * @throws Refusal for spent nonces, signers that do not fit the key, or a list in which the own commitment is missing or another.
 */
export function signShare(
  share: FrostShare,
  nonces: SigningNonces,
  commitments: readonly NonceCommitment[],
  message: TaprootSighash,
): bigint {
  checkSigners(share, commitments.map(({ index }) => index)); // prettier-ignore
  const own = commitments.find(({ index }) => index === share.index);
  if (own === undefined || !sameCommitment(own, nonces.commitment)) {
    const problem = own === undefined ? 'the own commitment is not in the list' : 'the list has another commitment of this party';
    throw new Refusal('commitment_list_invalid', 'commitments', problem, 'sign with the commitment that these nonces were made with');
  }
  const pair = nonces.take();
  const secret = { identifier: identifier(share.index), signingShare: encode(scalar, share.s) };
  try {
    return decode(scalar, schnorr_FROST.signShare(secret, publicPackage(share), pair, commitmentList(commitments), message));
  } finally {
    secret.signingShare.fill(0);
    pair.hiding.fill(0);
    pair.binding.fill(0);
  }
}

/** z_j·G = ±(D_j + ρ_j·E_j) + λ_j·c·Y_j: whether the signature share of party `index` is right. */
export const verifyShare = (
  key: FrostPublicKey,
  commitments: readonly NonceCommitment[],
  message: TaprootSighash,
  index: number,
  z: bigint,
): boolean => schnorr_FROST.verifyShare(publicPackage(key), commitmentList(commitments), message, identifier(index), encode(scalar, z));

export type Aggregate =
  { readonly signature: Uint8Array; readonly cheaters?: never } | { readonly cheaters: readonly number[]; readonly signature?: never };

/**
 * The 64-byte BIP-340 signature x(R) ‖ Σ z_j under the output key, or the indices of all whose shares are wrong.
 * `shares` has one z per commitment, by party index.
 *
 * @throws Refusal when signers do not fit the key or shares do not fit the commitments.
 */
export function aggregate(
  key: FrostPublicKey,
  commitments: readonly NonceCommitment[],
  message: TaprootSighash,
  shares: ReadonlyMap<number, bigint>,
): Aggregate {
  const indices = commitments.map(({ index }) => index);
  checkSigners(key, indices);
  if (shares.size !== indices.length || indices.some((j) => !shares.has(j))) {
    throw new Refusal('shares_incomplete', 'shares', 'not one share per commitment', `pass the shares of parties ${indices.join(', ')}`);
  }
  const sigShares = Object.fromEntries([...shares].map(([j, z]) => [identifier(j), encode(scalar, z)]));
  let signature: Uint8Array;
  try {
    signature = schnorr_FROST.aggregate(publicPackage(key), commitmentList(commitments), message, sigShares);
  } catch (cause) {
    const cheaters = indices.filter((j) => !verifyShare(key, commitments, message, j, shares.get(j)!));
    if (cheaters.length === 0) throw new Defect('aggregation failed although every share is right', { cause });
    return { cheaters };
  }
  // Nothing leaves that a verifier without any FROST in it would not accept.
  invariant(schnorr.verify(signature, message, outputKey(key)), 'the aggregate does not verify as a BIP-340 signature');
  return { signature };
}
