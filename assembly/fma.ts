/**
 * Montgomery multiplication and squaring on fused multiply-add (the method of N. Emmart, "Faster modular exponentiation using double
 * precision floating point arithmetic", ARITH 2018, and the zero-knowledge prize entries that followed it), two products per instruction.
 *
 * Digits are integers of 51 bits held in doubles, d in [−1, 2^51 + 2^10). A product of two digits, at most 2^102 + 2^63, is split exactly:
 *
 *   c1 = 1.25·2^103, c2 = c1 + 1.5·2^52                  in [2^103, 2^104) a double's last place is 2^51
 *   x  = fma(a, b, c1)      = c1 + H·2^51                H = ⌊a·b / 2^51⌉ in the low bits of x
 *   y  = fma(a, b, c2 − x)  = 1.5·2^52 + (a·b − H·2^51)  exact: |a·b − H·2^51| ≤ 2^50; L in the low bits of y
 *
 * As bit patterns, x = bits(c1) + H and y = bits(1.5·2^52) + L. So columns add bit patterns as 64-bit integers, and the sum of the constants,
 * which depends on the column only, is subtracted beforehand: it is in the start values of the columns.
 *
 * A column gathers at most 2·digits lows and highs, or 3·digits in a squared context, which has half as many: below 2^60 in absolute value for up to 122 digits (6144 bits). Start values add 2^60 to
 * every column but the top one, so that a column shifts right as an unsigned number, and take the 2^9 that arrives with each carry off again.
 *
 * Layout of a number (VECTORS vectors of two lanes):
 *   pair    vector k = (digit k of the first number, digit k of the second)
 *   single  vector k = (digit k, digit k + h), h = digits/2. A row "digit i times all vectors" then adds to column i + k in lane 0 and i + k + h
 *           in lane 1: the same loop as for a pair with half the length, and no shuffle in it. Lane 1 of column j counts for column j + h.
 *
 * Everything runs the same instructions and addresses for all values. Constants come from memory: as literals they are rebuilt at each use
 * by newer engines at twice the time.
 */
import { CROSS_START, DIGITS, field, LANES, MODULUS, ONE, PARTS, PRODUCT_START, SIZE, SQUARE_START, VECTORS } from './context';
import { ACCUMULATOR as T, LINEAR, QUOTIENTS } from './memory';

export const DIGIT_BITS: u32 = 51;

/** Digits for moduli of up to `bits` bits: room for M = k·N < 2^(bits + 51) and R ≥ 4M (32M in squared contexts: modular.ts); even. */
export function digitsFor(bits: u32, parts: u32): u32 {
  const room: u32 = parts == 2 ? 5 : 2;
  return ((bits + DIGIT_BITS + room + DIGIT_BITS - 1) / DIGIT_BITS + 1) & ~1;
}
export const DIGIT_BYTES: usize = 8;

const HIGH_BITS: u64 = 0x4664_0000_0000_0000; // bits(c1)
const LOW_BITS: u64 = 0x4338_0000_0000_0000; // bits(1.5·2^52)
const BIAS: u64 = 1 << 60;
const BIAS_CARRY: u64 = 1 << 9; // BIAS >> 51

const constants: usize = memory.data<u64>(
  [
    0x4664_0000_0000_0000, 0x4664_0000_0000_0000, //  0: c1
    0x4664_0000_0000_0003, 0x4664_0000_0000_0003, // 16: c2
    0x0007_ffff_ffff_ffff, 0x0007_ffff_ffff_ffff, // 32: 2^51 − 1
    0x4330_0000_0000_0000, 0x4330_0000_0000_0000, // 48: 2^52, as bits and as a double
    0x4330_0000_0010_0000, 0x4330_0000_0010_0000, // 64: 2^52 + 2^20
    0x0007_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, // 80: the mask of the top vector of a single number, whose lane 1 keeps all bits
    0xffff_ffff_ffff_ffff, 0x0000_0000_0000_0000, // 96: lane 0 only
  ],
  16,
);

/** The high half of a·b, as a bit pattern. */
@inline
function high(a: v128, b: v128, c1: v128): v128 {
  return f64x2.relaxed_madd(a, b, c1);
}

/** The low half of a·b, as a bit pattern, given the high one. */
@inline
function low(a: v128, b: v128, c2: v128, x: v128): v128 {
  return f64x2.relaxed_madd(a, b, f64x2.sub(c2, x));
}

/** An integer below 2^52 as a double. */
@inline
function toDouble(v: v128): v128 {
  const two52 = v128.load(constants, 48);
  return f64x2.sub(v128.or(v, two52), two52);
}

/** An integer in [−2^20, 2^52 − 2^20) as a double. */
@inline
function toDoubleSigned(v: v128): v128 {
  const offset = v128.load(constants, 64);
  return f64x2.sub(i64x2.add(v, offset), offset);
}

@inline
function mask(): v128 {
  return v128.load(constants, 32);
}

/** (lane 1 of v, 0): what lane 1 of a column adds to lane 0 of the column h further up. */
@inline
function lane1To0(v: v128): v128 {
  return i64x2.shuffle(v, i64x2.splat(0), 1, 2);
}

/**
 * Columns 3 … n + 3 of four rows: column k gathers a_k·b0 + a_(k−1)·b1 + a_(k−2)·b2 + a_(k−3)·b3. r0, r1, r2 are a_0, a_1, a_2, and `h` is
 * what column 2 carries up. n ≥ 3. Each product's low half goes into its column's `t`, its high half into `g`, the next column's `h`.
 */
@inline
function fourRowsFrom3(t0: usize, a0: usize, n: usize, b0: v128, b1: v128, b2: v128, b3: v128, r0: v128, r1: v128, r2: v128, h: v128): void {
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  let t: v128, g: v128, x: v128, r3: v128;
  let p = t0;
  let a = a0;
  const unrolledEnd = a0 + (((n - 3) & ~3) << 4);
  const end = a0 + ((n - 3) << 4);
  for (; a < unrolledEnd; a += 64, p += 64) {
    r3 = v128.load(a, 48);
    t = i64x2.add(v128.load(p, 48), h);
    x = high(r3, b0, c1); t = i64x2.add(t, low(r3, b0, c2, x)); g = x;
    x = high(r2, b1, c1); t = i64x2.add(t, low(r2, b1, c2, x)); g = i64x2.add(g, x);
    x = high(r1, b2, c1); t = i64x2.add(t, low(r1, b2, c2, x)); g = i64x2.add(g, x);
    x = high(r0, b3, c1); t = i64x2.add(t, low(r0, b3, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 48);

    r0 = v128.load(a, 64);
    t = i64x2.add(v128.load(p, 64), h);
    x = high(r0, b0, c1); t = i64x2.add(t, low(r0, b0, c2, x)); g = x;
    x = high(r3, b1, c1); t = i64x2.add(t, low(r3, b1, c2, x)); g = i64x2.add(g, x);
    x = high(r2, b2, c1); t = i64x2.add(t, low(r2, b2, c2, x)); g = i64x2.add(g, x);
    x = high(r1, b3, c1); t = i64x2.add(t, low(r1, b3, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 64);

    r1 = v128.load(a, 80);
    t = i64x2.add(v128.load(p, 80), h);
    x = high(r1, b0, c1); t = i64x2.add(t, low(r1, b0, c2, x)); g = x;
    x = high(r0, b1, c1); t = i64x2.add(t, low(r0, b1, c2, x)); g = i64x2.add(g, x);
    x = high(r3, b2, c1); t = i64x2.add(t, low(r3, b2, c2, x)); g = i64x2.add(g, x);
    x = high(r2, b3, c1); t = i64x2.add(t, low(r2, b3, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 80);

    r2 = v128.load(a, 96);
    t = i64x2.add(v128.load(p, 96), h);
    x = high(r2, b0, c1); t = i64x2.add(t, low(r2, b0, c2, x)); g = x;
    x = high(r1, b1, c1); t = i64x2.add(t, low(r1, b1, c2, x)); g = i64x2.add(g, x);
    x = high(r0, b2, c1); t = i64x2.add(t, low(r0, b2, c2, x)); g = i64x2.add(g, x);
    x = high(r3, b3, c1); t = i64x2.add(t, low(r3, b3, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 96);
  }
  for (; a < end; a += 16, p += 16) {
    r3 = v128.load(a, 48);
    t = i64x2.add(v128.load(p, 48), h);
    x = high(r3, b0, c1); t = i64x2.add(t, low(r3, b0, c2, x)); g = x;
    x = high(r2, b1, c1); t = i64x2.add(t, low(r2, b1, c2, x)); g = i64x2.add(g, x);
    x = high(r1, b2, c1); t = i64x2.add(t, low(r1, b2, c2, x)); g = i64x2.add(g, x);
    x = high(r0, b3, c1); t = i64x2.add(t, low(r0, b3, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 48);
    r0 = r1;
    r1 = r2;
    r2 = r3;
  }
  t = i64x2.add(v128.load(p, 48), h);
  x = high(r2, b1, c1); t = i64x2.add(t, low(r2, b1, c2, x)); g = x;
  x = high(r1, b2, c1); t = i64x2.add(t, low(r1, b2, c2, x)); g = i64x2.add(g, x);
  x = high(r0, b3, c1); t = i64x2.add(t, low(r0, b3, c2, x)); h = i64x2.add(g, x);
  v128.store(p, t, 48);
  t = i64x2.add(v128.load(p, 64), h);
  x = high(r2, b2, c1); t = i64x2.add(t, low(r2, b2, c2, x)); g = x;
  x = high(r1, b3, c1); t = i64x2.add(t, low(r1, b3, c2, x)); h = i64x2.add(g, x);
  v128.store(p, t, 64);
  t = i64x2.add(v128.load(p, 80), h);
  x = high(r2, b3, c1); t = i64x2.add(t, low(r2, b3, c2, x));
  v128.store(p, t, 80);
  v128.store(p, i64x2.add(v128.load(p, 96), x), 96);
}

/** Adds the product of n ≥ 3 vectors at `a` and four digits to the columns from `p` on. */
@inline
function fourRows(p: usize, a: usize, n: usize, b0: v128, b1: v128, b2: v128, b3: v128): void {
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  const r0 = v128.load(a);
  const r1 = v128.load(a, 16);
  const r2 = v128.load(a, 32);
  let x = high(r0, b0, c1);
  v128.store(p, i64x2.add(v128.load(p), low(r0, b0, c2, x)));
  let t = i64x2.add(v128.load(p, 16), x);
  x = high(r1, b0, c1); t = i64x2.add(t, low(r1, b0, c2, x));
  let g = x;
  x = high(r0, b1, c1); t = i64x2.add(t, low(r0, b1, c2, x)); g = i64x2.add(g, x);
  v128.store(p, t, 16);
  t = i64x2.add(v128.load(p, 32), g);
  x = high(r2, b0, c1); t = i64x2.add(t, low(r2, b0, c2, x)); g = x;
  x = high(r1, b1, c1); t = i64x2.add(t, low(r1, b1, c2, x)); g = i64x2.add(g, x);
  x = high(r0, b2, c1); t = i64x2.add(t, low(r0, b2, c2, x)); g = i64x2.add(g, x);
  v128.store(p, t, 32);
  fourRowsFrom3(p, a, n, b0, b1, b2, b3, r0, r1, r2, g);
}

/** Columns 1 … n + 1 of two rows; r0 is a_0, `h` what column 0 carries up. n ≥ 1. */
@inline
function twoRowsFrom1(p: usize, a: usize, n: usize, b0: v128, b1: v128, r0: v128, h: v128): void {
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  let t: v128, g: v128, x: v128;
  for (const end = a + ((n - 1) << 4); a < end; a += 16, p += 16) {
    const r1 = v128.load(a, 16);
    t = i64x2.add(v128.load(p, 16), h);
    x = high(r1, b0, c1); t = i64x2.add(t, low(r1, b0, c2, x)); g = x;
    x = high(r0, b1, c1); t = i64x2.add(t, low(r0, b1, c2, x)); h = i64x2.add(g, x);
    v128.store(p, t, 16);
    r0 = r1;
  }
  t = i64x2.add(v128.load(p, 16), h);
  x = high(r0, b1, c1);
  v128.store(p, i64x2.add(t, low(r0, b1, c2, x)), 16);
  v128.store(p, i64x2.add(v128.load(p, 32), x), 32);
}

@inline
function twoRows(p: usize, a: usize, n: usize, b0: v128, b1: v128): void {
  const r0 = v128.load(a);
  const x = high(r0, b0, v128.load(constants));
  v128.store(p, i64x2.add(v128.load(p), low(r0, b0, v128.load(constants, 16), x)));
  twoRowsFrom1(p, a, n, b0, b1, r0, x);
}

/** Adds the product of n ≥ 0 vectors at `a` and one digit. */
function oneRow(p: usize, a: usize, n: usize, b: v128): void {
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  let h = i64x2.splat(0);
  for (const end = a + (n << 4); a < end; a += 16, p += 16) {
    const r = v128.load(a);
    const x = high(r, b, c1);
    v128.store(p, i64x2.add(i64x2.add(v128.load(p), h), low(r, b, c2, x)));
    h = x;
  }
  v128.store(p, i64x2.add(v128.load(p), h));
}

/** All products of two different vectors of the n at `a`, row i multiplied by the vectors above it: column i + j gets a_i·a_j for j > i. */
@inline
function triangle(p: usize, a: usize, n: usize, lowHalf: bool, pair: bool): void {
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  for (; n >= 8; n -= 4, a += 64, p += 128) {
    const r0 = v128.load(a), r1 = v128.load(a, 16), r2 = v128.load(a, 32), r3 = v128.load(a, 48);
    const b0 = factor(r0, lowHalf, pair), b1 = factor(r1, lowHalf, pair), b2 = factor(r2, lowHalf, pair), b3 = factor(r3, lowHalf, pair);
    let x = high(r1, b0, c1);
    v128.store(p, i64x2.add(v128.load(p, 16), low(r1, b0, c2, x)), 16);
    let t = i64x2.add(v128.load(p, 32), x);
    x = high(r2, b0, c1); t = i64x2.add(t, low(r2, b0, c2, x));
    v128.store(p, t, 32);
    t = i64x2.add(v128.load(p, 48), x);
    x = high(r3, b0, c1); t = i64x2.add(t, low(r3, b0, c2, x));
    let g = x;
    x = high(r2, b1, c1); t = i64x2.add(t, low(r2, b1, c2, x)); g = i64x2.add(g, x);
    v128.store(p, t, 48);
    t = i64x2.add(v128.load(p, 64), g);
    x = high(r3, b1, c1); t = i64x2.add(t, low(r3, b1, c2, x));
    v128.store(p, t, 64);
    t = i64x2.add(v128.load(p, 80), x);
    x = high(r3, b2, c1); t = i64x2.add(t, low(r3, b2, c2, x));
    v128.store(p, t, 80);
    v128.store(p, i64x2.add(v128.load(p, 96), x), 96);
    fourRows(p + 64, a + 64, n - 4, b0, b1, b2, b3);
  }
  for (; n > 1; n--, a += 16, p += 32) oneRow(p + 16, a + 16, n - 1, factor(v128.load(a), lowHalf, pair));
}

/** The multiplier of a row: in a pair each lane its own digit, in a single number one digit of the low or the high half for both lanes. */
@inline
function factor(v: v128, lowHalf: bool, pair: bool): v128 {
  return pair ? v : lowHalf ? i64x2.shuffle(v, v, 0, 0) : i64x2.shuffle(v, v, 1, 1);
}

/** T += a·b for a pair of n vectors. */
function rowsPair(a: usize, b: usize, n: usize): void {
  const end = b + ((n & ~3) << 4);
  let p = T;
  for (; b < end; b += 64, p += 64) fourRows(p, a, n, v128.load(b), v128.load(b, 16), v128.load(b, 32), v128.load(b, 48));
  if (n & 2) twoRows(p, a, n, v128.load(b), v128.load(b, 16));
}

/** T += a·b for one number of h vectors. */
function rowsSingle(a: usize, b: usize, h: usize): void {
  const digits = h << 1;
  for (let k: usize = 0, high = LINEAR + (h << 3); k < h; k++) {
    const v = v128.load(b + (k << 4));
    v128.store64_lane(LINEAR + (k << 3), v, 0);
    v128.store64_lane(high + (k << 3), v, 1);
  }
  let q = LINEAR;
  let p = T;
  for (const end = LINEAR + ((digits & ~3) << 3); q < end; q += 32, p += 64) {
    fourRows(p, a, h, v128.load64_splat(q), v128.load64_splat(q, 8), v128.load64_splat(q, 16), v128.load64_splat(q, 24));
  }
  if (digits & 2) twoRows(p, a, h, v128.load64_splat(q), v128.load64_splat(q, 8));
}

/** Columns of the accumulator. */
@inline
function columnsOf(context: usize): usize {
  const n = field(context, VECTORS);
  return load<u32>(context, LANES) == 2 ? n << 1 : n * 3 + 1;
}

/** T += a·b. */
export function addProduct(context: usize, a: usize, b: usize): void {
  if (load<u32>(context, LANES) == 2) rowsPair(a, b, field(context, VECTORS));
  else rowsSingle(a, b, field(context, VECTORS));
}

/** T = start + a·b. */
export function startProduct(context: usize, a: usize, b: usize): void {
  memory.copy(T, field(context, PRODUCT_START), columnsOf(context) << 4);
  addProduct(context, a, b);
}

/** T = start + a². */
export function startSquare(context: usize, a: usize): void {
  if (load<u32>(context, LANES) == 2) squarePair(context, a);
  else squareSingle(context, a);
}

/** The quotient digits that `reduce` left in the columns it cleared: in a single number only lane 0 is one. */
@inline
function quotientMask(context: usize): v128 {
  return load<u32>(context, LANES) == 2 ? i64x2.splat(-1) : v128.load(constants, 96);
}

/** T = start − q, with q the quotient of the reduction before, for the sum of two products. */
export function startCross(context: usize): void {
  const start = field(context, CROSS_START);
  const quotients = field(context, DIGITS) << 4;
  const columns = columnsOf(context) << 4;
  const lanes = quotientMask(context);
  for (let k: usize = 0; k < quotients; k += 16) v128.store(T + k, i64x2.sub(v128.load(start + k), v128.and(v128.load(T + k), lanes)));
  memory.copy(T + quotients, start + quotients, columns - quotients);
}

/** T = start − q + 2·a·b. */
export function startDoubledCross(context: usize, a: usize, b: usize): void {
  const start = field(context, CROSS_START);
  const quotients = field(context, DIGITS) << 4;
  const columns = columnsOf(context) << 4;
  const lanes = quotientMask(context);
  memory.copy(QUOTIENTS, T, quotients);
  memory.fill(T, 0, columns);
  addProduct(context, a, b);
  let k: usize = 0;
  for (; k < quotients; k += 16) {
    const t = v128.load(T + k);
    v128.store(T + k, i64x2.add(i64x2.add(t, t), i64x2.sub(v128.load(start + k), v128.and(v128.load(QUOTIENTS + k), lanes))));
  }
  for (; k < columns; k += 16) {
    const t = v128.load(T + k);
    v128.store(T + k, i64x2.add(i64x2.add(t, t), v128.load(start + k)));
  }
}

/** T = start + a². Twice the triangle of products of different digits, then the squares of the digits in the even columns. */
function squarePair(context: usize, a: usize): void {
  const n = field(context, VECTORS);
  memory.fill(T, 0, n << 5);
  triangle(T, a, n, false, true);
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  let s = field(context, SQUARE_START);
  let p = T;
  for (const end = a + (n << 4); a < end; a += 16, p += 32, s += 32) {
    const r = v128.load(a);
    const x = high(r, r, c1);
    const t = v128.load(p);
    const u = v128.load(p, 16);
    v128.store(p, i64x2.add(i64x2.add(i64x2.add(t, t), v128.load(s)), low(r, r, c2, x)));
    v128.store(p, i64x2.add(i64x2.add(i64x2.add(u, u), v128.load(s, 16)), x), 16);
  }
}

/**
 * T = start + a² for one number, digits a_0 … a_(2h−1). The products of two different digits are, for i < k < h,
 *   a_i·a_k and a_i·a_(k+h)        row a_i times the vectors k > i, at column i + k
 *   a_(i+h)·a_k and a_(i+h)·a_(k+h)  row a_(i+h) times the vectors k > i, at column i + k + h
 * and a_i·a_(i+h), lane 1 of a_i times vector i. They count twice; the squares a_i², a_(i+h)² belong to columns 2i (lane 0), 2i + h (lane 1).
 */
function squareSingle(context: usize, a: usize): void {
  const h = field(context, VECTORS);
  const columns = h * 3 + 1;
  memory.fill(T, 0, columns << 4);
  triangle(T, a, h, true, false);
  triangle(T + (h << 4), a, h, false, false);
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  const zero = i64x2.splat(0);
  for (let k: usize = 0, p = T; k < h; k++, p += 32) {
    const r = v128.load(a + (k << 4));
    const b = i64x2.shuffle(zero, r, 0, 2);
    const x = high(r, b, c1);
    v128.store(p, i64x2.add(v128.load(p), low(r, b, c2, x)));
    v128.store(p, i64x2.add(v128.load(p, 16), x), 16);
  }
  const start = field(context, SQUARE_START);
  for (let k: usize = 0; k < columns << 4; k += 16) {
    const t = v128.load(T + k);
    v128.store(T + k, i64x2.add(i64x2.add(t, t), v128.load(start + k)));
  }
  for (let k: usize = 0, p = T; k < h; k++, p += 32) {
    const r = v128.load(a + (k << 4));
    const x = high(r, r, c1);
    const y = low(r, r, c2, x);
    const upper = p + (h << 4);
    // (y, x) of lane 0 are columns 2k and 2k + 1; those of lane 1 the same columns above.
    store<u64>(p, load<u64>(p) + i64x2.extract_lane(y, 0));
    store<u64>(p + 16, load<u64>(p + 16) + i64x2.extract_lane(x, 0));
    store<u64>(upper + 8, load<u64>(upper + 8) + i64x2.extract_lane(y, 1));
    store<u64>(upper + 24, load<u64>(upper + 24) + i64x2.extract_lane(x, 1));
  }
}

/**
 * r = T / R mod M (Montgomery), for both lanes. With M ≡ −1 mod 2^51, the quotient digit is q_i = T_i mod 2^51, and adding q_i·M leaves
 * T_i − q_i, a multiple of 2^51, in column i; what remains is to carry T_i >> 51 and to add q_i·(M + 1)/2^51 from column i + 1 on. Four
 * quotient digits at a time: the first three columns they share are summed in registers, the rest is a row pass. The quotient digits are left
 * in the columns that they clear, for modular.ts.
 */
function reducePair(context: usize, r: usize): void {
  const n = field(context, VECTORS);
  const m = field(context, MODULUS);
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  const low51 = mask();
  const m0 = v128.load(m), m1 = v128.load(m, 16), m2 = v128.load(m, 32);
  let p = T;
  for (const end = T + ((n & ~3) << 4); p < end; p += 64) {
    let c = v128.load(p);
    const d0 = v128.and(c, low51);
    v128.store(p, d0);
    const q0 = toDouble(d0);
    c = i64x2.add(v128.load(p, 16), i64x2.shr_u(c, 51));
    let x = high(q0, m0, c1); c = i64x2.add(c, low(q0, m0, c2, x));
    let g = x;
    const d1 = v128.and(c, low51);
    v128.store(p, d1, 16);
    const q1 = toDouble(d1);
    c = i64x2.add(i64x2.add(v128.load(p, 32), g), i64x2.shr_u(c, 51));
    x = high(q0, m1, c1); c = i64x2.add(c, low(q0, m1, c2, x)); g = x;
    x = high(q1, m0, c1); c = i64x2.add(c, low(q1, m0, c2, x)); g = i64x2.add(g, x);
    const d2 = v128.and(c, low51);
    v128.store(p, d2, 32);
    const q2 = toDouble(d2);
    c = i64x2.add(i64x2.add(v128.load(p, 48), g), i64x2.shr_u(c, 51));
    x = high(q0, m2, c1); c = i64x2.add(c, low(q0, m2, c2, x)); g = x;
    x = high(q1, m1, c1); c = i64x2.add(c, low(q1, m1, c2, x)); g = i64x2.add(g, x);
    x = high(q2, m0, c1); c = i64x2.add(c, low(q2, m0, c2, x)); g = i64x2.add(g, x);
    const d3 = v128.and(c, low51);
    v128.store(p, d3, 48);
    const q3 = toDouble(d3);
    fourRowsFrom3(p + 16, m, n - 1, q0, q1, q2, q3, m0, m1, m2, i64x2.add(g, i64x2.shr_u(c, 51)));
  }
  if (n & 2) {
    let c = v128.load(p);
    const d0 = v128.and(c, low51);
    v128.store(p, d0);
    const q0 = toDouble(d0);
    c = i64x2.add(v128.load(p, 16), i64x2.shr_u(c, 51));
    const x = high(q0, m0, c1); c = i64x2.add(c, low(q0, m0, c2, x));
    const d1 = v128.and(c, low51);
    v128.store(p, d1, 16);
    const q1 = toDouble(d1);
    twoRowsFrom1(p + 16, m, n - 1, q0, q1, m0, i64x2.add(x, i64x2.shr_u(c, 51)));
    p += 32;
  }
  // Columns n … 2n − 1 are the result. One parallel carry makes them digits below 2^51 + 2^10 again; the top column keeps all its bits.
  let carry = i64x2.splat(0);
  for (const end = r + ((n - 1) << 4); r < end; r += 16, p += 16) {
    const v = v128.load(p);
    v128.store(r, toDoubleSigned(i64x2.add(v128.and(v, low51), carry)));
    carry = i64x2.shr_u(v, 51);
  }
  v128.store(r, toDoubleSigned(i64x2.add(v128.load(p), carry)));
}

/** The same for one number: quotient digits come from lane 0, after lane 1 of the column h below has been added to it. */
function reduceSingle(context: usize, r: usize): void {
  const h = field(context, VECTORS);
  const digits = h << 1;
  const m = field(context, MODULUS);
  const c1 = v128.load(constants);
  const c2 = v128.load(constants, 16);
  const low51 = mask();
  const lane0 = v128.load(constants, 96);
  const m0 = v128.load(m), m1 = v128.load(m, 16), m2 = v128.load(m, 32);
  const half = h << 4;
  let p = T;
  for (const end = T + ((digits & ~3) << 4); p < end; p += 64) {
    if (p + 48 >= T + half) {
      // Below column 0 these read the zeros in front of the accumulator.
      const f = p - half;
      v128.store(p, i64x2.add(v128.load(p), lane1To0(v128.load(f))));
      v128.store(p, i64x2.add(v128.load(p, 16), lane1To0(v128.load(f, 16))), 16);
      v128.store(p, i64x2.add(v128.load(p, 32), lane1To0(v128.load(f, 32))), 32);
      v128.store(p, i64x2.add(v128.load(p, 48), lane1To0(v128.load(f, 48))), 48);
    }
    let s = v128.load64_splat(p);
    const d0 = v128.and(s, low51);
    v128.store64_lane(p, d0, 0);
    const q0 = toDouble(d0);
    let c = i64x2.add(v128.load(p, 16), v128.and(i64x2.shr_u(s, 51), lane0));
    let x = high(q0, m0, c1); c = i64x2.add(c, low(q0, m0, c2, x));
    let g = x;
    v128.store(p, c, 16);
    s = i64x2.shuffle(c, c, 0, 0);
    const d1 = v128.and(s, low51);
    v128.store64_lane(p + 16, d1, 0);
    const q1 = toDouble(d1);
    c = i64x2.add(i64x2.add(v128.load(p, 32), g), v128.and(i64x2.shr_u(s, 51), lane0));
    x = high(q0, m1, c1); c = i64x2.add(c, low(q0, m1, c2, x)); g = x;
    x = high(q1, m0, c1); c = i64x2.add(c, low(q1, m0, c2, x)); g = i64x2.add(g, x);
    v128.store(p, c, 32);
    s = i64x2.shuffle(c, c, 0, 0);
    const d2 = v128.and(s, low51);
    v128.store64_lane(p + 32, d2, 0);
    const q2 = toDouble(d2);
    c = i64x2.add(i64x2.add(v128.load(p, 48), g), v128.and(i64x2.shr_u(s, 51), lane0));
    x = high(q0, m2, c1); c = i64x2.add(c, low(q0, m2, c2, x)); g = x;
    x = high(q1, m1, c1); c = i64x2.add(c, low(q1, m1, c2, x)); g = i64x2.add(g, x);
    x = high(q2, m0, c1); c = i64x2.add(c, low(q2, m0, c2, x)); g = i64x2.add(g, x);
    v128.store(p, c, 48);
    s = i64x2.shuffle(c, c, 0, 0);
    const d3 = v128.and(s, low51);
    v128.store64_lane(p + 48, d3, 0);
    const q3 = toDouble(d3);
    fourRowsFrom3(p + 16, m, h, q0, q1, q2, q3, m0, m1, m2, i64x2.add(g, v128.and(i64x2.shr_u(s, 51), lane0)));
  }
  if (digits & 2) {
    const f = p - half;
    v128.store(p, i64x2.add(v128.load(p), lane1To0(v128.load(f))));
    v128.store(p, i64x2.add(v128.load(p, 16), lane1To0(v128.load(f, 16))), 16);
    let s = v128.load64_splat(p);
    const d0 = v128.and(s, low51);
    v128.store64_lane(p, d0, 0);
    const q0 = toDouble(d0);
    let c = i64x2.add(v128.load(p, 16), v128.and(i64x2.shr_u(s, 51), lane0));
    const x = high(q0, m0, c1); c = i64x2.add(c, low(q0, m0, c2, x));
    v128.store(p, c, 16);
    s = i64x2.shuffle(c, c, 0, 0);
    const d1 = v128.and(s, low51);
    v128.store64_lane(p + 16, d1, 0);
    const q1 = toDouble(d1);
    twoRowsFrom1(p + 16, m, h, q0, q1, m0, i64x2.add(x, v128.and(i64x2.shr_u(s, 51), lane0)));
    p += 32;
  }
  // Result digit j < h: lane 0 of column 2h + j and lane 1 of column h + j; digit h + j: lane 1 of column 2h + j (and once lane 0 of 3h).
  v128.store(p, i64x2.add(v128.load(p), i64x2.shuffle(i64x2.splat(0), v128.load(p + half), 0, 2)));
  let t = i64x2.add(v128.load(p), lane1To0(v128.load(p - half)));
  const lastAt = p + half - 16;
  const last = i64x2.add(v128.load(lastAt), lane1To0(v128.load(lastAt - half)));
  // Lane 1 of the first carry comes from the last digit of lane 0.
  let carry = i64x2.shuffle(i64x2.splat(0), i64x2.shr_u(last, 51), 0, 2);
  for (; p < lastAt; r += 16) {
    v128.store(r, toDoubleSigned(i64x2.add(v128.and(t, low51), carry)));
    carry = i64x2.shr_u(t, 51);
    p += 16;
    t = i64x2.add(v128.load(p), lane1To0(v128.load(p - half)));
  }
  v128.store(r, toDoubleSigned(i64x2.add(v128.and(last, v128.load(constants, 80)), carry)));
}

/** r = T/R. */
export function reduce(context: usize, r: usize): void {
  if (load<u32>(context, LANES) == 2) reducePair(context, r);
  else reduceSingle(context, r);
}

/** Products i + k = c of rows i < rows and vectors k < n. */
function productsOf(c: i32, rows: i32, n: i32): u64 {
  return c < 0 ? 0 : <u64>max(0, min(min(c + 1, rows + n - 1 - c), min(rows, n)));
}

/** Bytes of one table of start values. */
export function startBytes(lanes: usize, digits: usize): usize {
  return (lanes == 2 ? digits << 1 : (digits >> 1) * 3 + 1) << 4;
}

/**
 * The start values of the columns: bias, minus the constants of the reduction (counted: one low in column i + 1 + k and one high in the next for
 * each row i and vector k of the modulus), minus the constants of the product or square (measured: the columns of 0·0 hold nothing else).
 */
export function startValues(context: usize): void {
  const pair = load<u32>(context, LANES) == 2;
  const digits = <i32>field(context, DIGITS);
  const half = <i32>field(context, VECTORS);
  const columns = <i32>(startBytes(pair ? 2 : 1, digits) >> 4);
  const cross = field(context, PARTS) == 2 ? field(context, CROSS_START) : 0;
  const zero = field(context, ONE);
  memory.fill(zero, 0, field(context, SIZE));
  for (let pass = 0; pass < 2; pass++) {
    const start = field(context, pass ? SQUARE_START : PRODUCT_START);
    memory.fill(start, 0, columns << 4);
    if (pass) startSquare(context, zero);
    else startProduct(context, zero, zero);
    for (let c = 0; c < columns; c++) {
      const ofModulus = pair ? digits - 1 : half;
      const reduction = LOW_BITS * productsOf(c - 1, digits, ofModulus) + HIGH_BITS * productsOf(c - 2, digits, ofModulus);
      for (let lane = 0; lane < 2; lane++) {
        // The column of the number this lane of this vector stands for, or −1 where lane 1 is counted into a lane 0 above.
        const column = pair || (lane == 0 && c < digits + half) ? c : lane == 1 && c >= digits ? c + half : -1;
        const bias = (column >= 0 && column < 2 * digits - 1 ? BIAS : 0) - (column > 0 && column < 2 * digits ? BIAS_CARRY : 0);
        const at = <usize>(16 * c + 8 * lane);
        const product = load<u64>(T + at);
        store<u64>(start + at, bias - reduction - product);
        if (!pass && cross) store<u64>(cross + at, bias - reduction - 2 * product);
      }
    }
  }
}

/** Digit k of a number in the context's layout. */
@inline
function place(context: usize, lane: usize, k: usize): usize {
  const n = field(context, VECTORS);
  return field(context, LANES) == 2 ? (k << 4) + (lane << 3) : k < n ? k << 4 : ((k - n) << 4) + 8;
}

/** Writes digit k < digits. */
@inline
export function putDigit(context: usize, number: usize, lane: usize, k: usize, digit: u64): void {
  store<f64>(number + place(context, lane, k), <f64>digit);
}

/** Digit k, in [−1, 2^51 + 2^10). */
@inline
export function getDigit(context: usize, number: usize, lane: usize, k: usize): i64 {
  return <i64>load<f64>(number + place(context, lane, k));
}

/** 1 when relaxed_madd rounds once: (1 + 2^-30)² − 1 − 2^-29 = 2^-60, which a separate rounding of the product loses. */
export function fusedMultiplyAdd(): i32 {
  const a = v128.load(probe);
  return f64x2.extract_lane(f64x2.relaxed_madd(a, a, v128.load(probe, 16)), 0) == 8.673617379884035e-19 ? 1 : 0;
}
const probe: usize = memory.data<f64>([1.000000000931322574615478515625, 1.000000000931322574615478515625, -1.00000000186264514923095703125, -1.00000000186264514923095703125], 16);

/**
 * target = entry `digit` of a table of single numbers, `stride` bytes apart, reading all `entries` of them. In a pair context, lane 0 takes entry
 * `digit` and lane 1 entry `other` of the same table.
 */
export function selectShared(context: usize, target: usize, table: usize, stride: usize, entries: u32, digit: u32, other: u32): void {
  const n = field(context, VECTORS);
  const one = i64x2.splat(1);
  const zero = i64x2.splat(0);
  const d0 = i64x2.splat(digit);
  let k: usize = 0;
  if (field(context, LANES) == 1) {
    const size = n << 4;
    // Four vectors at a time: the comparison and most of the loop are shared.
    for (; k + 64 <= size; k += 64) {
      let v0 = zero, v1 = zero, v2 = zero, v3 = zero, i = zero;
      for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride) {
        const chosen = i64x2.eq(i, d0);
        i = i64x2.add(i, one);
        v0 = v128.or(v0, v128.and(v128.load(p), chosen));
        v1 = v128.or(v1, v128.and(v128.load(p, 16), chosen));
        v2 = v128.or(v2, v128.and(v128.load(p, 32), chosen));
        v3 = v128.or(v3, v128.and(v128.load(p, 48), chosen));
      }
      v128.store(target + k, v0);
      v128.store(target + k, v1, 16);
      v128.store(target + k, v2, 32);
      v128.store(target + k, v3, 48);
    }
    for (; k < size; k += 16) {
      let v = zero, i = zero;
      for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride) {
        v = v128.or(v, v128.and(v128.load(p), i64x2.eq(i, d0)));
        i = i64x2.add(i, one);
      }
      v128.store(target + k, v);
    }
    return;
  }
  const d1 = i64x2.splat(other);
  const half = n << 3;
  // Three vectors at a time, for both lanes' entries.
  for (; k + 48 <= half; k += 48) {
    let v0 = zero, v1 = zero, v2 = zero, w0 = zero, w1 = zero, w2 = zero, i = zero;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride) {
      const first = i64x2.eq(i, d0);
      const second = i64x2.eq(i, d1);
      i = i64x2.add(i, one);
      const x0 = v128.load(p), x1 = v128.load(p, 16), x2 = v128.load(p, 32);
      v0 = v128.or(v0, v128.and(x0, first));
      w0 = v128.or(w0, v128.and(x0, second));
      v1 = v128.or(v1, v128.and(x1, first));
      w1 = v128.or(w1, v128.and(x1, second));
      v2 = v128.or(v2, v128.and(x2, first));
      w2 = v128.or(w2, v128.and(x2, second));
    }
    const low = target + k;
    const high = low + half;
    v128.store(low, i64x2.shuffle(v0, w0, 0, 2));
    v128.store(low, i64x2.shuffle(v1, w1, 0, 2), 16);
    v128.store(low, i64x2.shuffle(v2, w2, 0, 2), 32);
    v128.store(high, i64x2.shuffle(v0, w0, 1, 3));
    v128.store(high, i64x2.shuffle(v1, w1, 1, 3), 16);
    v128.store(high, i64x2.shuffle(v2, w2, 1, 3), 32);
  }
  for (; k < half; k += 16) {
    let v = zero, w = zero, i = zero;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride) {
      const entry = v128.load(p);
      v = v128.or(v, v128.and(entry, i64x2.eq(i, d0)));
      w = v128.or(w, v128.and(entry, i64x2.eq(i, d1)));
      i = i64x2.add(i, one);
    }
    v128.store(target + k, i64x2.shuffle(v, w, 0, 2));
    v128.store(target + k + half, i64x2.shuffle(v, w, 1, 3));
  }
}

/** target = entry `d0` (lane 0) and `d1` (lane 1) of a table in the context's own layout, reading all entries. Single contexts: d0 = d1. */
export function select(context: usize, target: usize, table: usize, entries: u32, d0: u32, d1: u32): void {
  const size = field(context, SIZE);
  const one = i64x2.splat(1);
  const d = i64x2.replace_lane(i64x2.splat(d0), 1, d1);
  let k: usize = 0;
  for (; k + 64 <= size; k += 64) {
    let v0 = i64x2.splat(0), v1 = v0, v2 = v0, v3 = v0, i = v0;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += size, i = i64x2.add(i, one)) {
      const chosen = i64x2.eq(i, d);
      v0 = v128.or(v0, v128.and(v128.load(p), chosen));
      v1 = v128.or(v1, v128.and(v128.load(p, 16), chosen));
      v2 = v128.or(v2, v128.and(v128.load(p, 32), chosen));
      v3 = v128.or(v3, v128.and(v128.load(p, 48), chosen));
    }
    v128.store(target + k, v0);
    v128.store(target + k, v1, 16);
    v128.store(target + k, v2, 32);
    v128.store(target + k, v3, 48);
  }
  for (; k < size; k += 16) {
    let v = i64x2.splat(0), i = v;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += size, i = i64x2.add(i, one)) v = v128.or(v, v128.and(v128.load(p), i64x2.eq(i, d)));
    v128.store(target + k, v);
  }
}

/** The same by address: for public digits. */
export function lookup(context: usize, target: usize, table: usize, d0: u32, d1: u32): void {
  const size = field(context, SIZE);
  const first = table + <usize>d0 * size;
  const second = table + <usize>d1 * size;
  for (let k: usize = 0; k < size; k += 16) v128.store(target + k, i64x2.shuffle(v128.load(first + k), v128.load(second + k), 0, 3));
}
