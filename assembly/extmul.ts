/**
 * The fallback for machines without fused multiply-add: plain SIMD on digits of 28 bits (27 above 3104 bits), two 32×32-bit products per
 * i64x2.extmul. Columns are 64-bit sums, carried once at the end: 2·112 products below 2^56, or 2·232 below 2^54, stay below 2^64.
 *
 * Layout of a number: VECTORS cells of two u32. Pair: cell k = digit k of the two numbers; single: cell k = (digit k, digit k + h), h = digits/2,
 * as in fma.ts, so that lane 1 of column j counts for column j + h. A v128 load holds two cells; extmul_low and extmul_high are their columns.
 */
import { CROSS_START, DIGITS, field, LANES, MODULUS, SIZE, VECTORS, WIDTH } from './context';
import { ACCUMULATOR as T, LINEAR, QUOTIENTS } from './memory';

export const DIGIT_BYTES: usize = 4;

/** Squared contexts have columns of 3·digits products: at most 3·116 below 2^54. */
export function widthFor(bits: u32, parts: u32): u32 {
  return parts == 1 && bits <= 3104 ? 28 : 27;
}

/** Room for M = k·N and R ≥ 4M (32M: modular.ts), and a multiple of 4: h is even, so two cells of one half fill a vector. */
export function digitsFor(bits: u32, parts: u32): u32 {
  const width = widthFor(bits, parts);
  const room: u32 = parts == 2 ? 5 : 2;
  return ((bits + width + room + width - 1) / width + 3) & ~3;
}

@inline
function lower(a: v128, b: v128): v128 {
  return i64x2.extmul_low_i32x4_u(a, b);
}

@inline
function upper(a: v128, b: v128): v128 {
  return i64x2.extmul_high_i32x4_u(a, b);
}

/** Columns 2k and 2k + 1 of four rows: n, l, o are the cells (2k, 2k+1), (2k−2, 2k−1), (2k−4, 2k−3). */
@inline
function twoColumns(p: usize, n: v128, l: v128, o: v128, b0: v128, b1: v128, b2: v128, b3: v128): void {
  v128.store(p, i64x2.add(i64x2.add(v128.load(p), i64x2.add(lower(n, b0), upper(l, b1))), i64x2.add(lower(l, b2), upper(o, b3))));
  v128.store(p, i64x2.add(i64x2.add(v128.load(p, 16), i64x2.add(upper(n, b0), lower(n, b1))), i64x2.add(upper(l, b2), lower(l, b3))), 16);
}

/** Adds the product of n cells (n even) and four digits, each b repeated in both cells of its vector, to the columns from `p` on. */
@inline
function fourRows(p: usize, a: usize, n: usize, b0: v128, b1: v128, b2: v128, b3: v128): void {
  const zero = i64x2.splat(0);
  let o = zero, l = zero;
  const end = a + (n << 3);
  const unrolled = a + (n / 6) * 48;
  while (a < unrolled) {
    const x = v128.load(a);
    twoColumns(p, x, l, o, b0, b1, b2, b3);
    const y = v128.load(a, 16);
    twoColumns(p + 32, y, x, l, b0, b1, b2, b3);
    const z = v128.load(a, 32);
    twoColumns(p + 64, z, y, x, b0, b1, b2, b3);
    o = y;
    l = z;
    a += 48;
    p += 96;
  }
  for (; a < end; a += 16, p += 32) {
    const x = v128.load(a);
    twoColumns(p, x, l, o, b0, b1, b2, b3);
    o = l;
    l = x;
  }
  twoColumns(p, zero, l, o, b0, b1, b2, b3);
  twoColumns(p + 32, zero, zero, l, b0, b1, b2, b3);
}

/** The multiplier of a row, in both cells: a pair's cell at `b`, or one digit for both lanes; times 2^shift. */
@inline
function factor(b: usize, pair: bool, shift: i32 = 0): v128 {
  return i32x4.shl(pair ? v128.load64_splat(b) : v128.load32_splat(b), shift);
}

/** The digits of a single number in their order, at LINEAR. */
function linearize(h: usize, b: usize): void {
  const above = LINEAR + (h << 2);
  for (let k: usize = 0; k < h; k++) {
    store<u32>(LINEAR + (k << 2), load<u32>(b + (k << 3)));
    store<u32>(above + (k << 2), load<u32>(b + (k << 3), 4));
  }
}

/** T += 2^shift·a·b. */
@inline
function rows(a: usize, b: usize, n: usize, digits: usize, pair: bool, shift: i32): void {
  const step: usize = pair ? 8 : 4;
  let p = T;
  for (let i: usize = 0; i < digits; i += 4, b += step << 2, p += 64) {
    fourRows(p, a, n, factor(b, pair, shift), factor(b + step, pair, shift), factor(b + step * 2, pair, shift), factor(b + step * 3, pair, shift));
  }
}

function addProductTimes(context: usize, a: usize, b: usize, shift: i32): void {
  const n = field(context, VECTORS);
  if (load<u32>(context, LANES) == 2) return rows(a, b, n, n, true, shift);
  linearize(n, b);
  rows(a, LINEAR, n, n << 1, false, shift);
}

/** Bytes of the accumulator: the columns of a product, and those that the row passes touch above them. */
@inline
function columnBytes(context: usize): usize {
  return (field(context, DIGITS) + field(context, VECTORS) + 8) << 4;
}

/** T += a·b. */
export function addProduct(context: usize, a: usize, b: usize): void {
  addProductTimes(context, a, b, 0);
}

/** T = a·b. */
export function startProduct(context: usize, a: usize, b: usize): void {
  memory.fill(T, 0, columnBytes(context));
  addProduct(context, a, b);
}

/** T = a². */
export function startSquare(context: usize, a: usize): void {
  const n = field(context, VECTORS);
  if (load<u32>(context, LANES) == 2) squarePair(a, n);
  else squareSingle(a, n);
}

/**
 * T ≡ −q mod M for the quotient q of the reduction before, digit by digit without a negative one: R − 1 − q has the digits 2^w − 1 − q_i, and the
 * number at CROSS_START is 1 − R mod M.
 */
export function startCross(context: usize): void {
  const digits = field(context, DIGITS);
  const pair = load<u32>(context, LANES) == 2;
  const most = ((<u64>1) << <u64>field(context, WIDTH)) - 1;
  const start = field(context, CROSS_START);
  for (let k: usize = 0; k < digits; k++) {
    const p = T + (k << 4);
    const q = QUOTIENTS + (k << 4);
    store<u64>(p, most - load<u64>(q) + load<u32>(start + place(context, 0, k)));
    store<u64>(p, pair ? most - load<u64>(q, 8) + load<u32>(start + place(context, 1, k)) : 0, 8);
  }
  memory.fill(T + (digits << 4), 0, columnBytes(context) - (digits << 4));
}

/** T ≡ 2·a·b − q. */
export function startDoubledCross(context: usize, a: usize, b: usize): void {
  startCross(context);
  addProductTimes(context, a, b, 1);
}

/** Both 64-bit lanes of cell `a` times one multiplier, for one column. */
@inline
function cell(p: usize, a: usize, b: v128): void {
  v128.store(p, i64x2.add(v128.load(p), lower(v128.load64_zero(a), b)));
}

/** Twice the products of different cells, a_i·a_j in column i + j for j > i, multipliers at `b` (4 bytes apart for a single number). */
@inline
function triangle(p: usize, a: usize, b: usize, n: usize, pair: bool): void {
  const step: usize = pair ? 8 : 4;
  for (; n >= 4; n -= 4, a += 32, b += step << 2, p += 128) {
    const b0 = i32x4.shl(factor(b, pair), 1), b1 = i32x4.shl(factor(b + step, pair), 1);
    const b2 = i32x4.shl(factor(b + step * 2, pair), 1), b3 = i32x4.shl(factor(b + step * 3, pair), 1);
    cell(p + 16, a + 8, b0);
    cell(p + 32, a + 16, b0);
    cell(p + 48, a + 24, b0);
    cell(p + 48, a + 16, b1);
    cell(p + 64, a + 24, b1);
    cell(p + 80, a + 24, b2);
    fourRows(p + 64, a + 32, n - 4, b0, b1, b2, b3);
  }
  if (n == 2) cell(p + 16, a + 8, i32x4.shl(factor(b, pair), 1));
}

/** T = a² for a pair. A doubled digit has 29 bits; the sums are those of the product. */
function squarePair(a: usize, n: usize): void {
  memory.fill(T, 0, (n * 2 + 8) << 4);
  triangle(T, a, a, n, true);
  for (let k: usize = 0; k < n; k++) cell(T + (k << 5), a + (k << 3), v128.load64_splat(a + (k << 3)));
}

/** T = a² for one number: see squareSingle in fma.ts for which product stands where. */
function squareSingle(a: usize, h: usize): void {
  memory.fill(T, 0, (h * 3 + 8) << 4);
  linearize(h, a);
  triangle(T, a, LINEAR, h, false);
  triangle(T + (h << 4), a, LINEAR + (h << 2), h, false);
  for (let k: usize = 0, p = T; k < h; k++, p += 32) {
    const low: u64 = load<u32>(a + (k << 3));
    const high: u64 = load<u32>(a + (k << 3), 4);
    store<u64>(p, load<u64>(p) + low * low);
    store<u64>(p + 8, load<u64>(p + 8) + 2 * low * high);
    const above = p + (h << 4) + 8;
    store<u64>(above, load<u64>(above) + high * high);
  }
}

/**
 * Four quotient digits of T / R mod M in one lane (`lane`: 0 or 4). M ≡ −1 mod 2^w, so q_i = T_i mod 2^w; T_i >> w is carried, and
 * q_i·(M + 1)/2^w is to be added from column i + 1 on. The columns that the four digits share are summed here in scalars. The digits go to
 * QUOTIENTS; the columns that they clear are dead.
 */
@inline
function quotients(p: usize, m: usize, width: u64, lane: usize): void {
  const low = ((<u64>1) << width) - 1;
  const m0: u64 = load<u32>(m + lane), m1: u64 = load<u32>(m + lane, 8), m2: u64 = load<u32>(m + lane, 16);
  const at = p + (lane << 1);
  let c = load<u64>(at);
  const q0 = c & low;
  c = load<u64>(at, 16) + (c >> width) + q0 * m0;
  const q1 = c & low;
  c = load<u64>(at, 32) + (c >> width) + q0 * m1 + q1 * m0;
  const q2 = c & low;
  c = load<u64>(at, 48) + (c >> width) + q0 * m2 + q1 * m1 + q2 * m0;
  const q3 = c & low;
  store<u64>(at, load<u64>(at, 64) + (c >> width), 64);
  const kept = QUOTIENTS + (at - T);
  store<u64>(kept, q0);
  store<u64>(kept, q1, 16);
  store<u64>(kept, q2, 32);
  store<u64>(kept, q3, 48);
}

/** (low word of lane 0, low word of lane 1) of two 64-bit lanes, in both cells. */
@inline
function packed(p: usize): v128 {
  const v = v128.load(p);
  return i32x4.shuffle(v, v, 0, 2, 0, 2);
}

/** For both lanes. The rows may add to dead columns. */
function reducePair(context: usize, r: usize): void {
  const n = field(context, VECTORS);
  const m = field(context, MODULUS);
  const width: u64 = field(context, WIDTH);
  let p = T;
  for (const end = T + (n << 4); p < end; p += 64) {
    quotients(p, m, width, 0);
    quotients(p, m, width, 4);
    const q = QUOTIENTS + (p - T);
    fourRows(p + 16, m, n, packed(q), packed(q + 16), packed(q + 32), packed(q + 48));
  }
  const low = i64x2.splat(((<u64>1) << width) - 1);
  let carry = i64x2.splat(0);
  for (const end = r + (n << 3); r < end; r += 8, p += 16) {
    const v = i64x2.add(v128.load(p), carry);
    const d = v128.and(v, low);
    v128.store64_lane(r, i32x4.shuffle(d, d, 0, 2, 0, 2), 0);
    carry = i64x2.shr_u(v, <i32>width);
  }
}

function reduceSingle(context: usize, r: usize): void {
  const h = field(context, VECTORS);
  const m = field(context, MODULUS);
  const width: u64 = field(context, WIDTH);
  const half = h << 4;
  let p = T;
  for (const end = T + (half << 1); p < end; p += 64) {
    if (p + 48 >= T + half) {
      // Lane 1 counts for the column h further up. Below column 0 these read the zeros in front of the accumulator.
      for (let k: usize = 0; k < 64; k += 16) store<u64>(p + k, load<u64>(p + k) + load<u64>(p + k - half + 8));
    }
    quotients(p, m, width, 0);
    const q = QUOTIENTS + (p - T);
    fourRows(p + 16, m, h, v128.load32_splat(q), v128.load32_splat(q, 16), v128.load32_splat(q, 32), v128.load32_splat(q, 48));
  }
  // Digit j: lane 0 of column 2h + j and lane 1 of column h + j; digit h + j: lane 1 of column 2h + j.
  const low = ((<u64>1) << width) - 1;
  let carry: u64 = 0;
  for (let j: usize = 0; j < h; j++) {
    const at = p + (j << 4);
    const v = load<u64>(at) + load<u64>(at - half + 8) + carry;
    store<u32>(r + (j << 3), <u32>(v & low));
    carry = v >> width;
  }
  for (let j: usize = 0; j < h; j++) {
    const v = load<u64>(p + (j << 4), 8) + carry;
    store<u32>(r + (j << 3), <u32>(v & low), 4);
    carry = v >> width;
  }
}

/** r = T/R. */
export function reduce(context: usize, r: usize): void {
  if (load<u32>(context, LANES) == 2) reducePair(context, r);
  else reduceSingle(context, r);
}

@inline
function place(context: usize, lane: usize, k: usize): usize {
  const n = field(context, VECTORS);
  return field(context, LANES) == 2 ? (k << 3) + (lane << 2) : k < n ? k << 3 : ((k - n) << 3) + 4;
}

@inline
export function putDigit(context: usize, number: usize, lane: usize, k: usize, digit: u64): void {
  store<u32>(number + place(context, lane, k), <u32>digit);
}

@inline
export function getDigit(context: usize, number: usize, lane: usize, k: usize): i64 {
  return <i64>load<u32>(number + place(context, lane, k));
}

/** Per lane: entry d0 / d1 of a table in the context's layout, reading all of it. Single contexts: d0 = d1. */
export function select(context: usize, target: usize, table: usize, entries: u32, d0: u32, d1: u32): void {
  const size = field(context, SIZE);
  const one = i32x4.splat(1);
  const d = i64x2.splat((<i64>d1 << 32) | <i64>d0);
  for (let k: usize = 0; k < size; k += 16) {
    let v = i32x4.splat(0), i = v;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += size, i = i32x4.add(i, one)) v = v128.or(v, v128.and(v128.load(p), i32x4.eq(i, d)));
    v128.store(target + k, v);
  }
}

/** The same by address: for public digits. */
export function lookup(context: usize, target: usize, table: usize, d0: u32, d1: u32): void {
  const size = field(context, SIZE);
  const first = table + <usize>d0 * size;
  const second = table + <usize>d1 * size;
  for (let k: usize = 0; k < size; k += 16) v128.store(target + k, i32x4.shuffle(v128.load(first + k), v128.load(second + k), 0, 5, 2, 7));
}

/** Entry d0 / d1 of one table of single numbers, `stride` bytes apart, reading all of it. */
export function selectShared(context: usize, target: usize, table: usize, stride: usize, entries: u32, d0: u32, d1: u32): void {
  const n = field(context, VECTORS);
  const one = i32x4.splat(1);
  const first = i32x4.splat(d0);
  if (field(context, LANES) == 1) {
    for (let k: usize = 0; k < n << 3; k += 16) {
      let v = i32x4.splat(0), i = v;
      for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride, i = i32x4.add(i, one)) v = v128.or(v, v128.and(v128.load(p), i32x4.eq(i, first)));
      v128.store(target + k, v);
    }
    return;
  }
  const second = i32x4.splat(d1);
  const half = n << 2;
  for (let k: usize = 0; k < half; k += 16) {
    let v = i32x4.splat(0), w = v, i = v;
    for (let e: u32 = 0, p = table + k; e < entries; e++, p += stride, i = i32x4.add(i, one)) {
      const entry = v128.load(p);
      v = v128.or(v, v128.and(entry, i32x4.eq(i, first)));
      w = v128.or(w, v128.and(entry, i32x4.eq(i, second)));
    }
    v128.store(target + k, i32x4.shuffle(v, w, 0, 4, 2, 6));
    v128.store(target + k + half, i32x4.shuffle(v, w, 1, 5, 3, 7));
  }
}
