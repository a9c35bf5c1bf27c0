/** Security parameters (cggmp24.md §1.3). Constants of the build: no message carries them, no peer chooses them. */
export interface Parameters {
  readonly name: 'production' | 'test';
  /** Bits of each prime of N and N̂. */
  readonly primeBits: number;
  /** ℓ: range of k, γ, x_i. */
  readonly ell: number;
  /** ℓ': range of the MtA masks. */
  readonly ellPrime: number;
  /** ε: slack of the range proofs. */
  readonly epsilon: number;
  /** m: repetitions of the proofs with binary challenges. */
  readonly m: number;
}

/** SecurityLevel128: ℓ' = 5ℓ, ε = 2ℓ, four safe primes of 1536 bits per party. */
export const productionParameters: Parameters = { name: 'production', primeBits: 1536, ell: 256, ellPrime: 1280, epsilon: 512, m: 128 };

/**
 * For tests only: every relation of §1.4 but the strength of the moduli (1024-bit primes, as the smallest that keep N > 2^(ℓ'+ε+1)) and that of Π^dec,
 * N > 2^(Λ+ε+1): an author who adds N to its summand passes it here, and not in production.
 */
export const testParameters: Parameters = { name: 'test', primeBits: 1024, ell: 256, ellPrime: 1280, epsilon: 512, m: 128 };

/** Bounds of §1.3 and §5 that follow. Bit lengths unless said otherwise. */
export const modulusBits = ({ primeBits }: Parameters): { min: number; max: number } => ({ min: 2 * primeBits - 1, max: 2 * primeBits });
/** Masks without a range check of the paper: z3, z4, w1, w2 (honest: ≤ 2^(ℓ+ε−1)·N̂·(1+2^−200)). */
export const maskBits = (parameters: Parameters): number => parameters.ell + parameters.epsilon + 2 * parameters.primeBits + 1;
