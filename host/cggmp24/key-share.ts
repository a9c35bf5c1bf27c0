/** One party's share of a key: the record that key generation ends with, and its conversion for a set of signers (cggmp24.md §6.1, 6.3). */
import { bytes, DecodeError, list, map, struct, text, u32, versioned, type Codec } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { Child } from '../curve/bip32.ts';
import { interpolatePoint, lagrangeAtZero, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, mulPublic, point, scalar, type Point } from '../curve/secp256k1.ts';

/** More parties than this make no sense for a wallet; it bounds every decoder. */
export const MAX_PARTIES = 64;

export interface KeyShare {
  readonly version: 1;
  /** The wallet's name for the key, at most 64 bytes; part of every session id. */
  readonly keyId: string;
  /** 0 after key generation, raised by every refresh or resharing. */
  readonly epoch: number;
  /** This party; its Shamir point is index + 1. */
  readonly index: number;
  readonly t: number;
  readonly n: number;
  /** x_i, secret: the polynomial of the key at the own Shamir point. */
  readonly x: bigint;
  /** X_j = x_j·G of every party. */
  readonly X: readonly Point[];
  readonly publicKey: Point;
  /** BIP-32 chain code, chosen jointly; public within the wallet. */
  readonly chainCode: Uint8Array;
  /** Joint randomness of the run that made this share. */
  readonly rid: Uint8Array;
}

/**
 * What makes a share consistent: x·G = X_index, and all X_j on one polynomial of degree t − 1 whose value at 0 is the public key.
 * Returns the condition that fails, or undefined.
 */
export function keyShareProblem({ index, t, n, x, X, publicKey }: KeyShare): string | undefined {
  if (!(2 <= t && t <= n && n <= MAX_PARTIES && index < n)) return '2 ≤ t ≤ n and index < n';
  if (X.length !== n) return 'one X_j per party';
  if (x === 0n || !mul(G, x).equals(X[index]!)) return 'x·G = X_index, x ≠ 0';
  const firstWith = (last: number) => [...Array.from({ length: t - 1 }, (_, j) => j), last];
  for (let last = t - 1; last < n; last++) {
    // Any t of the points give the key: the first t − 1 of them with each of the others in turn.
    if (!interpolatePoint(new Map(firstWith(last).map((j) => [j, X[j]!]))).equals(publicKey)) return 'Σ λ_j·X_j = PK';
  }
  return undefined;
}

/** The share as it is sealed on disk. What it decodes is consistent by {@link keyShareProblem}. */
export const keyShare: Codec<KeyShare> = versioned(
  1,
  map(
    struct({
      keyId: text(64),
      epoch: u32,
      index: u32,
      t: u32,
      n: u32,
      x: scalar,
      X: list(point, { max: MAX_PARTIES }),
      publicKey: point,
      chainCode: bytes(32),
      rid: bytes(32),
    }),
    (fields): KeyShare => {
      const share = { version: 1 as const, ...fields };
      const problem = keyShareProblem(share);
      if (problem !== undefined) throw new DecodeError('', `inconsistent key share: ${problem} does not hold`);
      return share;
    },
    (share) => ({ ...share, X: [...share.X] }),
  ),
);

/** The key that is signed under: a child's is fixed before presigning (§7 rule 4), or enters the re-randomisation (rule 10). */
export function additiveKey(publicKey: Point, child: Child | undefined): Point {
  if (child === undefined) return publicKey;
  Child.requireOf(publicKey, child);
  return child.publicKey;
}

/** The key of one run of signing, in additive shares: position a stands for key index signers[a]. */
export interface AdditiveShares {
  /** x_a = λ_a·x'_a of the own position, secret. */
  readonly x: bigint;
  /** X_a of every position; Σ X_a = publicKey. */
  readonly X: readonly Point[];
  readonly publicKey: Point;
}

/**
 * Shamir → additive for exactly t signers (§6.1). The shift of a child key goes to position 0.
 * @throws Refusal when `signers` is not an ascending list of t indices of the key that contains this party's.
 */
export function additiveShares(key: KeyShare, signers: readonly number[], child?: Child): AdditiveShares {
  const ascending = signers.every(
    (index, a) => Number.isInteger(index) && 0 <= index && index < key.n && (a === 0 || index > signers[a - 1]!),
  );
  if (signers.length !== key.t || !ascending || !signers.includes(key.index)) {
    throw new Refusal(
      'signer_set',
      'signers',
      `party ${key.index} cannot sign as one of [${signers.join(', ')}] with a ${key.t}-of-${key.n} key`,
      `Name exactly ${key.t} different parties below ${key.n} in ascending order, this one among them.`,
      422,
    );
  }
  const points = signers.map(shamirPoint);
  const shift = child?.shift ?? 0n;
  const lambda = points.map((at) => lagrangeAtZero(points, at));
  const X = signers.map((index, a) => mulPublic(key.X[index]!, lambda[a]!));
  X[0] = X[0]!.add(mulPublic(G, shift));
  const me = signers.indexOf(key.index);
  return { x: modQ(lambda[me]! * key.x + (me === 0 ? shift : 0n)), X, publicKey: additiveKey(key.publicKey, child) };
}

/** The checks of §6.1 on its result: Σ X_a = PK_child, own x_a·G = X_a, every X_a ≠ O, x_a ≠ 0. */
export function additiveSharesProblem({ x, X, publicKey }: AdditiveShares, me: number): string | undefined {
  if (!X.reduce((total, X_a) => total.add(X_a)).equals(publicKey)) return 'Σ X_a = PK';
  if (X.some((X_a) => X_a.is0())) return 'X_a ≠ O';
  if (x === 0n || !mul(G, x).equals(X[me]!)) return 'x_a·G = X_a, x_a ≠ 0';
  return undefined;
}
