/**
 * A check of an exponentiation against faults (A. Shamir, 1997), of which the kernels happen to do the costly part: they work modulo M = k·N, or
 * M², so that a result is right modulo k, or k², too, where k is a number of one digit. The same product of powers is made there, in a
 * hundredth of the time, and compared with the result while that still has its multiple of N. A wrong digit anywhere on the way is told with
 * probability 1 − 1/k, about 1 − 2^−51 (2^−27 with integer digits).
 *
 * Numbers modulo k² are x0 + x1·k; of those of a context modulo N, which are right modulo k only, x0 is compared. Products modulo k are
 * a·b − ⌊a·b/k⌋·k, the quotient from floating point, at most 1 off below 2^51. As in the kernels no branch and no address depends on a value.
 */
import { FACTOR, field, PARTS, WORDS_OF } from './context';
import { SHADOW, WORDS } from './memory';
import { window } from './windows';

const WIDTH: u32 = 4;
const ENTRIES: usize = 16;
const ENTRY_BYTES: usize = 16;
/** What the lanes' results must be; the tables come after it. */
const EXPECTED: usize = SHADOW;
const TABLES: usize = SHADOW + 32;

/** The lane's modulus, its reciprocal, and 2^32. */
let k: i64 = 1;
let reciprocal: f64 = 1;
let word0: i64 = 0;
let word1: i64 = 0;
/** ⌊a·b/k⌋ of the last product. */
let quotient: i64 = 0;
/** The number at hand. */
let x0: i64 = 0;
let x1: i64 = 0;

export function wipeShadow(): void {
  k = 1;
  reciprocal = 1;
  word0 = word1 = quotient = x0 = x1 = 0;
}

/** v − q·k for the q at hand, at most 1 off; both are put right. */
@inline
function corrected(v: i64, q: i64): i64 {
  const r = v - q * k;
  const negative = r >> 63;
  const s = r + (k & negative);
  const below = (s - k) >> 63;
  quotient = q + negative + 1 + below;
  return s - (k & ~below);
}

/** a·b mod k for 0 ≤ a, b < k. */
@inline
function product(a: i64, b: i64): i64 {
  return corrected(a * b, <i64>(<f64>a * <f64>b * reciprocal));
}

/** v mod k for 0 ≤ v < 2^52. */
@inline
function modulo(v: i64): i64 {
  return corrected(v, <i64>(<f64>v * reciprocal));
}

/** a mod k for 0 ≤ a < 2k. */
@inline
function once(a: i64): i64 {
  const r = a - k;
  return r + (k & (r >> 63));
}

/** x = x·(y0 + y1·k). */
function multiply(y0: i64, y1: i64): void {
  const r0 = product(x0, y0);
  const carried = quotient;
  x1 = once(once(product(x0, y1) + product(x1, y0)) + carried);
  x0 = r0;
}

/** x = 2^32·x + word. */
function append(word: i64): void {
  multiply(word0, word1);
  const low = modulo(word);
  const upper = modulo(quotient);
  const sum = x0 + low;
  x0 = once(sum);
  x1 = once(once(x1 + upper) + <i64>(sum >= k));
}

function begin(context: usize, lane: usize): void {
  k = load<i64>(context + FACTOR + (lane << 3));
  reciprocal = 1 / <f64>k;
  word0 = modulo(1 << 32);
  word1 = modulo(quotient);
  x0 = x1 = 0;
}

@inline
function keep(at: usize): void {
  store<i64>(at, x0);
  store<i64>(at, x1, 8);
}

@inline
function one(): void {
  x0 = once(1);
  x1 = 0;
}

/**
 * Works out what `factor · ∏ base^exponent` of a lane is modulo k² when it is written, so with the factor 2^(32·words) of exportNumber. The layout
 * of `data` is that of power.ts, at this lane, with bases of `length` bytes; exponents have been replaced by their absolute values, and bit t of `signs` tells the sign of
 * term t's.
 */
export function expectPowers(
  context: usize, lane: usize, lengths: usize, data: usize, length: usize, terms: u32, perTerm: usize, words: u32, signs: u32, factor: usize,
): void {
  begin(context, lane);
  const count = field(context, WORDS_OF);
  let bits: u32 = 0;
  for (let term: u32 = 0; term < terms; term++) {
    bits = max(bits, load<u32>(lengths + (<usize>term << 2)));
    const base = data + <usize>term * perTerm;
    const negative = <u32>(-<i32>((signs >> term) & 1));
    const table = TABLES + <usize>term * (ENTRIES * ENTRY_BYTES);
    one();
    keep(table);
    x0 = x1 = 0;
    for (let i: usize = 0; i < length; i += 4) {
      const positive = load<u32>(base + i);
      append(<i64>bswap<u32>(positive ^ ((positive ^ load<u32>(base + length + i)) & negative)));
    }
    const b0 = x0, b1 = x1;
    keep(table + ENTRY_BYTES);
    for (let d: usize = 2; d < ENTRIES; d++) {
      multiply(b0, b1);
      keep(table + d * ENTRY_BYTES);
    }
  }
  one();
  const top = <i32>((bits + WIDTH - 1) / WIDTH * WIDTH - WIDTH);
  for (let position = top; position >= 0; position -= WIDTH) {
    for (let i: u32 = 0; i < WIDTH; i++) multiply(x0, x1);
    for (let term: u32 = 0; term < terms; term++) {
      if (<u32>position >= load<u32>(lengths + (<usize>term << 2))) continue;
      const d = window(data + <usize>term * perTerm + (length << 1), words, position, WIDTH);
      const table = TABLES + <usize>term * (ENTRIES * ENTRY_BYTES);
      let y0: i64 = 0, y1: i64 = 0;
      for (let e: u32 = 0; e < <u32>ENTRIES; e++) {
        const chosen = (<i64>(e ^ d) - 1) >> 63;
        y0 |= load<i64>(table + <usize>e * ENTRY_BYTES) & chosen;
        y1 |= load<i64>(table + <usize>e * ENTRY_BYTES, 8) & chosen;
      }
      multiply(y0, y1);
    }
  }
  if (factor) {
    const p0 = x0, p1 = x1;
    x0 = x1 = 0;
    for (let i: usize = 0; i < length; i += 4) append(<i64>bswap<u32>(load<u32>(factor + i)));
    multiply(p0, p1);
  }
  for (let i: usize = 0; i < count; i++) append(0);
  keep(EXPECTED + (lane << 4));
}

/** 1 when the `count` words at WORDS are what was expected of the lane, else 0. */
export function asExpected(context: usize, lane: usize, count: usize): u32 {
  begin(context, lane);
  for (let i = count; i > 0; i--) append(load<u32>(WORDS + ((i - 1) << 2)));
  const at = EXPECTED + (lane << 4);
  const difference = (x0 ^ load<i64>(at)) | (field(context, PARTS) == 2 ? x1 ^ load<i64>(at, 8) : 0);
  return difference == 0 ? 1 : 0;
}
