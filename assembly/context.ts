/**
 * A context holds everything that depends on the modulus only: one modulus N (a *single* context), or two moduli of one size class whose
 * numbers travel side by side in the two lanes (a *pair* context).
 *
 * The kernels compute modulo M = k·N with k chosen so that M ≡ −1 mod 2^w (w: bits of a digit). The Montgomery quotient digit is then the
 * low digit of the column itself, without a multiplication. Numbers inside are Montgomery residues x·R mod N, R = 2^(w·digits) ≥ 4M, kept
 * below 2M; the multiple of N is removed once, on export (words.ts).
 *
 * A *squared* context computes modulo N²: its numbers have two parts, x0 + x1·M, each of them as above (modular.ts).
 *
 * Layout (u32 fields): the header below, then the tables it points to, all within `contextBytes`.
 */

/** 1 or 2. */
export const LANES: usize = 0;
/** Digits of a part of a number; even. */
export const DIGITS: usize = 4;
/** Vectors of a part of a number: `digits` in a pair context (lane ℓ = number ℓ), `digits`/2 in a single one (lane 0 = low half, lane 1 = high half). */
export const VECTORS: usize = 8;
/** Bits of a digit, w. */
export const WIDTH: usize = 12;
/** 32-bit words of a number outside. */
export const WORDS_OF: usize = 16;
/** Bytes of a number inside, both lanes and all parts; a multiple of 32. */
export const SIZE: usize = 20;
/** −N⁻¹ mod 2^32, or −N⁻² mod 2^32, per lane. */
export const INVERSE: usize = 24;
/** Pointers: (M + 1)/2^w; R mod M (the number one); R² mod M; 2^(32·words) mod M (all three mod M² in a squared context); start values of a product's columns, of a square's. */
export const MODULUS: usize = 32;
export const ONE: usize = 36;
export const SQUARED: usize = 40;
export const OUT: usize = 44;
export const PRODUCT_START: usize = 48;
export const SQUARE_START: usize = 52;
/** N, or N², in 32-bit words, lane after lane. */
export const PLAIN: usize = 56;
/** Parts of a number: 1, or 2 in a squared context, which alone has the next two. */
export const PARTS: usize = 60;
/** What the columns of a0·b1 + a1·b0 start from, beside the quotient digits of a0·b0. */
export const CROSS_START: usize = 64;
/** 2^(16·words)·R² mod M²: as SQUARED, for the upper half of a number's words. */
export const SHIFTED: usize = 68;
/** M in three words more than N has, lane after lane. */
export const MULTIPLE: usize = 72;
/** k, a u64 for each lane. */
export const FACTOR: usize = 80;
export const HEADER_BYTES: usize = 96;

@inline
export function field(context: usize, offset: usize): usize {
  return <usize>load<u32>(context + offset);
}
