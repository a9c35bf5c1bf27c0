/**
 * For tests only: keys from the published test primes, randomness from a seed, and honest instances of every proof. Nothing here may be
 * reachable from a node.
 */
import { modPow } from 'bigint-crypto-utils';
import safe1024 from '../../../fixtures/primes/safe-1024.json' with { type: 'json' };
import safe1536 from '../../../fixtures/primes/safe-1536.json' with { type: 'json' };
import safe576 from '../../../fixtures/primes/safe-576.json' with { type: 'json' };
import { concatBytes, utf8 } from '../../base/bytes.ts';
import { below, type Random } from '../../base/random.ts';
import type { PaillierSecret, RingPedersenPublic, RingPedersenSecret } from '../../core/types.ts';
import { referenceCore } from '../../core/reference.ts';
import { sha256 } from '../../protocol/transcript.ts';
import type { ProofContext } from '../context.ts';
import { testParameters, type Parameters } from '../parameters.ts';

/**
 * The level of the tests of single proofs: ranges as in production except ℓ', and the smallest moduli that keep every proof complete (N > 2^(4ℓ) of
 * Π^fac, N > 2^(ℓ'+ε+1) of Π^aff-g). What it drops of §1.4 is strength, which no test here measures.
 */
export const smallParameters: Parameters = { ...testParameters, primeBits: 576, ellPrime: 576 };

/** Bits of the published primes. */
type Bits = 576 | 1024 | 1536;
const primes: Record<Bits, readonly bigint[]> = {
  576: safe576.primes.map((hex) => BigInt(`0x${hex}`)),
  1024: safe1024.primes.map((hex) => BigInt(`0x${hex}`)),
  1536: safe1536.primes.map((hex) => BigInt(`0x${hex}`)),
};

/** The k-th published safe prime of that many bits. */
export function safePrime(bits: Bits, k: number): bigint {
  const prime = primes[bits][k];
  if (prime === undefined) throw new RangeError(`no test prime ${k} of ${bits} bits`);
  return prime;
}

/** The same bytes for the same seed: SHA-256 in counter mode. */
export function seeded(seed: string): Random {
  let block = 0;
  return {
    bytes(length) {
      const blocks: Uint8Array[] = [];
      for (let have = 0; have < length; have += 32) blocks.push(sha256(utf8(`${seed}/${block++}`)));
      return concatBytes(...blocks).slice(0, length);
    },
  };
}

/** Paillier key of two published primes. Party i of a test usually takes primes 4i and 4i + 1. */
export const paillierKey = (bits: Bits, first: number): PaillierSecret => {
  const [p, q] = [safePrime(bits, first), safePrime(bits, first + 1)];
  return { n: p * q, p, q };
};

/** Ring-Pedersen parameters of two published primes (§4), with their trapdoor. */
export function ringPedersenKey(bits: Bits, first: number): RingPedersenSecret {
  const { n, p, q } = paillierKey(bits, first);
  const random = seeded(`ring-pedersen/${bits}/${first}`);
  const t = modPow(below(random, n), 2n, n);
  const lambda = below(random, ((p - 1n) * (q - 1n)) / 4n);
  return { n, s: modPow(t, lambda, n), t, p, q, lambda };
}

/** What everybody else knows of a key. */
export const publicPart = ({ n }: PaillierSecret): { n: bigint } => ({ n });
export const publicSetup = ({ n, s, t }: RingPedersenPublic): RingPedersenPublic => ({ n, s, t });

/** A context on the oracle with the small level; `changes` replaces parts of it. */
export const contextOf = (label: string, changes: Partial<ProofContext> & { readonly seed?: string } = {}): ProofContext => {
  const { seed = 'prover', ...rest } = changes;
  return {
    sid: new Uint8Array(32).fill(7),
    prover: 0,
    label,
    parameters: smallParameters,
    random: seeded(seed),
    core: referenceCore,
    ...rest,
  };
};

/** The small level with fewer repetitions, for the proofs with binary challenges. */
export const repetitions = (m: number): Parameters => ({ ...smallParameters, m });
