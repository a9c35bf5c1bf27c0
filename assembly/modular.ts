/**
 * Multiplication modulo N, and modulo N².
 *
 * In a squared context a number is x0 + x1·M, kept modulo M², a multiple of N². With R as for N, and q the quotient of the first reduction,
 *
 *   a0·b0 + q·M = R·c0                      the product modulo M, as always
 *   a0·b1 + a1·b0 − q + q'·M = R·c1         the same reduction once more
 *   (a0 + a1·M)(b0 + b1·M) ≡ R·(c0 + c1·M) mod M²
 *
 * as the term with M² vanishes. That is five products of half the length (three and a half for a square: a0² and 2·a0·a1) where a plain
 * number of the full length takes eight (six).
 *
 * Bounds, for parts below 2M and R ≥ 32M: c0 < 4M²/R + M; c1 < 8M²/R + M, or (8M² + R + M)/R + M where −q is made as R − 1 − q + (1 − R mod M):
 * both below 2M. And c1 > −q/R ≥ −1.
 */
import { DIGITS, field, LANES, PARTS, SHIFTED, SIZE, SQUARED, WIDTH } from './context';
import { addProduct, getDigit, putDigit, reduce, startCross, startDoubledCross, startProduct, startSquare } from './kernel';
import { LEFT, PART, RIGHT } from './memory';

/** r = a·b/R. r may be a or b. */
export function multiply(context: usize, r: usize, a: usize, b: usize): void {
  startProduct(context, a, b);
  if (load<u32>(context, PARTS) == 1) {
    reduce(context, r);
    return;
  }
  const part = field(context, SIZE) >> 1;
  reduce(context, PART);
  startCross(context);
  addProduct(context, a, b + part);
  addProduct(context, a + part, b);
  reduce(context, r + part);
  memory.copy(r, PART, part);
}

/** r = a²/R. r may be a. */
export function square(context: usize, r: usize, a: usize): void {
  startSquare(context, a);
  if (load<u32>(context, PARTS) == 1) {
    reduce(context, r);
    return;
  }
  const part = field(context, SIZE) >> 1;
  reduce(context, PART);
  startDoubledCross(context, a, a + part);
  reduce(context, r + part);
  memory.copy(r, PART, part);
}

/** r = a + b, carried: below 4M, for a and b below 2M. */
export function add(context: usize, r: usize, a: usize, b: usize): void {
  const lanes = field(context, LANES);
  const digits = field(context, DIGITS);
  const width = <i64>field(context, WIDTH);
  const low = ((<i64>1) << width) - 1;
  const size = field(context, SIZE);
  const step = size / field(context, PARTS);
  for (let part: usize = 0; part < size; part += step) {
    for (let lane: usize = 0; lane < lanes; lane++) {
      let carry: i64 = 0;
      for (let k: usize = 0; k < digits; k++) {
        const v = getDigit(context, a + part, lane, k) + getDigit(context, b + part, lane, k) + carry;
        putDigit(context, r + part, lane, k, <u64>(v & low));
        carry = v >> width;
      }
    }
  }
}

/**
 * Takes an imported number into Montgomery form. In a squared context its parts are the halves of its words, x = low + 2^(16·words)·high, and
 * low·R² and high·(2^(16·words)·R²) are added; each is little above M, as low, high ≤ R/32.
 */
export function enter(context: usize, number: usize): void {
  if (load<u32>(context, PARTS) == 1) return multiply(context, number, number, field(context, SQUARED));
  const size = field(context, SIZE);
  const part = size >> 1;
  memory.fill(LEFT, 0, size);
  memory.fill(RIGHT, 0, size);
  memory.copy(LEFT, number, part);
  memory.copy(RIGHT, number + part, part);
  multiply(context, LEFT, LEFT, field(context, SQUARED));
  multiply(context, RIGHT, RIGHT, field(context, SHIFTED));
  add(context, number, LEFT, RIGHT);
}
