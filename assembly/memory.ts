/**
 * The static areas of linear memory that the arithmetic uses between its own steps. They hold secrets while a call runs; `wipe` clears them,
 * and the host calls it at the end of every task. Everything else lives in areas that the host hands in.
 */

/** Vectors of zeros in front of the accumulator: the single-number reduction reads up to three columns before column 0. */
const FRONT: usize = 64;
/** Columns of the widest accumulator: two lanes of 232 integer limbs, twice, and a margin for the row passes. */
const ACCUMULATOR_BYTES: i32 = 64 + 16 * 480;
const LINEAR_BYTES: i32 = 1024;
/** 2·192 + 1 words of 6144 bits while a number is reduced. */
const WORD_BYTES: i32 = 1600;
const GCD_BYTES: i32 = 5120;
const QUOTIENT_BYTES: i32 = 16 * 232;
/** Two results, and 16 powers of 16 bases, modulo the square of a digit. */
const SHADOW_BYTES: i32 = 32 + 16 * 256;
/** A residue modulo a factor or its square, of up to 192 words (factors of up to 3072 bits), and a product of two. */
const SHORT_BYTES: i32 = 800;
const LONG_BYTES: i32 = 1600;
/** Two lanes of 122 digits of 8 bytes, or of twice 62, or of 232 digits of 4 bytes. */
const NUMBER_BYTES: i32 = 2048;

const accumulatorArea: usize = memory.data(ACCUMULATOR_BYTES, 16);
/** Column 0 of the product that is being built, 16 bytes (two lanes) per column. */
export const ACCUMULATOR: usize = accumulatorArea + FRONT;
/** One operand in plain digit order, for broadcasting digit by digit. */
export const LINEAR: usize = memory.data(LINEAR_BYTES, 16);
/** Two numbers in 32-bit words: a modulus' multiple, and the number on its way in or out. */
export const WORDS: usize = memory.data(WORD_BYTES, 16);
export const OTHER_WORDS: usize = memory.data(WORD_BYTES, 16);
/** Quotient digits of a reduction, a column each. */
export const QUOTIENTS: usize = memory.data(QUOTIENT_BYTES, 16);
/** Numbers inside: part 0 of a product modulo N² while part 1 is made, two summands, and 2·R while a context is set up. */
export const PART: usize = memory.data(NUMBER_BYTES, 16);
export const LEFT: usize = memory.data(NUMBER_BYTES, 16);
export const RIGHT: usize = memory.data(NUMBER_BYTES, 16);
export const BASE_TWO: usize = memory.data(NUMBER_BYTES, 16);
/** f, g, d, e and the modulus of the greatest common divisor, in 30-bit limbs. */
export const GCD: usize = memory.data(GCD_BYTES, 16);

/** What the check of an exponentiation works with. */
export const SHADOW: usize = memory.data(SHADOW_BYTES, 16);

/** A number while its remainder is made, its quotient by the modulus, and what is subtracted from it. */
export const DIVIDEND: usize = memory.data(LONG_BYTES, 16);
export const QUOTIENT: usize = memory.data(LONG_BYTES, 16);
export const SUBTRAHEND: usize = memory.data(SHORT_BYTES, 16);
/** What the owner of a key computes with: the two residues, one number on its way, a product, a result. */
export const FIRST: usize = memory.data(SHORT_BYTES, 16);
export const SECOND: usize = memory.data(SHORT_BYTES, 16);
export const SHORT: usize = memory.data(SHORT_BYTES, 16);
export const LONG: usize = memory.data(LONG_BYTES, 16);
export const RESULT: usize = memory.data(LONG_BYTES, 16);

export function wipeStatic(): void {
  memory.fill(accumulatorArea, 0, ACCUMULATOR_BYTES);
  memory.fill(LINEAR, 0, LINEAR_BYTES);
  memory.fill(WORDS, 0, WORD_BYTES);
  memory.fill(OTHER_WORDS, 0, WORD_BYTES);
  memory.fill(QUOTIENTS, 0, QUOTIENT_BYTES);
  memory.fill(PART, 0, NUMBER_BYTES);
  memory.fill(LEFT, 0, NUMBER_BYTES);
  memory.fill(RIGHT, 0, NUMBER_BYTES);
  memory.fill(GCD, 0, GCD_BYTES);
  memory.fill(SHADOW, 0, SHADOW_BYTES);
  memory.fill(DIVIDEND, 0, LONG_BYTES);
  memory.fill(QUOTIENT, 0, LONG_BYTES);
  memory.fill(SUBTRAHEND, 0, SHORT_BYTES);
  memory.fill(FIRST, 0, SHORT_BYTES);
  memory.fill(SECOND, 0, SHORT_BYTES);
  memory.fill(SHORT, 0, SHORT_BYTES);
  memory.fill(LONG, 0, LONG_BYTES);
  memory.fill(RESULT, 0, LONG_BYTES);
}
