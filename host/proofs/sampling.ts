/** The distributions of the provers (cggmp24.md §1.2, 5), under the paper's names. */
import { below, plusMinus, type Random } from '../base/random.ts';
import type { Parameters } from './parameters.ts';

/**
 * A nonce of Z*_N: uniform in {1 … N − 1}. The two sets differ in the multiples of the factors of N, a share of about 2^−1535 for a modulus of
 * two large primes, and a hit would factor N; a gcd of the secret nonce in variable time would cost more than it excludes.
 */
export const unit = (random: Random, N: bigint): bigint => 1n + below(random, N - 1n);

/** ±2^bits. */
export const plusMinusPower = (random: Random, bits: number): bigint => plusMinus(random, 1n << BigInt(bits));

/** ±2^(ℓ+ε): hides e·x for a witness x ∈ ±2^ℓ. */
export const maskOfWitness = (random: Random, { ell, epsilon }: Parameters): bigint => plusMinusPower(random, ell + epsilon);

/** ±2^ℓ·N̂: hides a value committed to under (N̂, s, t). */
export const maskOfCommitment = (random: Random, { ell }: Parameters, Nhat: bigint): bigint =>
  plusMinus(random, (1n << BigInt(ell)) * Nhat);

/** ±2^(ℓ+ε)·N̂: hides e·μ for μ of {@link maskOfCommitment}. */
export const maskOfMask = (random: Random, { ell, epsilon }: Parameters, Nhat: bigint): bigint =>
  plusMinus(random, (1n << BigInt(ell + epsilon)) * Nhat);
