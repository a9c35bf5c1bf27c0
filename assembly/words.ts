/**
 * Numbers outside the kernels: big-endian bytes on the host's side, little-endian 32-bit words here. Conversion to and from the kernels' digits,
 * the setup of a context, and the last reduction to [0, N). No branch and no address depends on a value, except on the bit length of a modulus.
 */
import {
  DIGITS, field, HEADER_BYTES, INVERSE, LANES, MODULUS, ONE, OUT, PLAIN, PRODUCT_START, SIZE, SQUARE_START, SQUARED, VECTORS, WIDTH, WORDS_OF,
} from './context';
import { digitBytes, digitsFor, getDigit, multiply, putDigit, square, startBytes, startValues, widthFor } from './kernel';
import { BASE_TWO, OTHER_WORDS, WORDS } from './memory';

/** Big-endian bytes at `source` into `words` words. */
export function wordsFromBytes(target: usize, source: usize, words: usize): void {
  for (let i: usize = 0; i < words; i++) store<u32>(target + (i << 2), bswap<u32>(load<u32>(source + ((words - 1 - i) << 2))));
}

export function bytesFromWords(target: usize, source: usize, words: usize): void {
  for (let i: usize = 0; i < words; i++) store<u32>(target + (i << 2), bswap<u32>(load<u32>(source + ((words - 1 - i) << 2))));
}

/** Digits of the words at `source` from bit `shift` on, `count` words being there. */
function digitsFromWords(context: usize, number: usize, lane: usize, source: usize, count: u32, shift: u32): void {
  const width = <u32>field(context, WIDTH);
  const digits = <u32>field(context, DIGITS);
  const low = ((<u64>1) << width) - 1;
  for (let k: u32 = 0; k < digits; k++) {
    const bit = k * width + shift;
    const at = bit >> 5;
    // Up to 31 + 51 bits are needed: three words, those past the end being 0.
    const w0: u64 = at < count ? load<u32>(source + (<usize>at << 2)) : 0;
    const w1: u64 = at + 1 < count ? load<u32>(source + (<usize>(at + 1) << 2)) : 0;
    const w2: u64 = at + 2 < count ? load<u32>(source + (<usize>(at + 2) << 2)) : 0;
    const r: u64 = bit & 31;
    // (w2 << 63) << 1 for r = 0: a shift by 64 would be one by 0.
    putDigit(context, number, lane, k, (((w0 | (w1 << 32)) >> r) | ((w2 << (63 - r)) << 1)) & low);
  }
}

/** The value of a number's digits, carried, in `count` words. */
function wordsFromDigits(context: usize, target: usize, number: usize, lane: usize, count: u32): void {
  const width = <u32>field(context, WIDTH);
  const digits = <u32>field(context, DIGITS);
  const low = ((<i64>1) << width) - 1;
  memory.fill(target, 0, <usize>count << 2);
  let carry: i64 = 0;
  for (let k: u32 = 0; k < digits; k++) {
    const v = getDigit(context, number, lane, k) + carry;
    const digit = <u64>(v & low);
    carry = v >> width;
    const bit = k * width;
    const at = bit >> 5;
    const r: u64 = bit & 31;
    const shifted = digit << r;
    const above = (digit >> 1) >> (63 - r);
    if (at < count) orWord(target, at, <u32>shifted);
    if (at + 1 < count) orWord(target, at + 1, <u32>(shifted >> 32));
    if (at + 2 < count) orWord(target, at + 2, <u32>above);
  }
}

@inline
function orWord(target: usize, at: u32, bits: u32): void {
  const p = target + (<usize>at << 2);
  store<u32>(p, load<u32>(p) | bits);
}

/** x = x − (n and `mask`), returning the borrow: 0 or −1. */
@inline
function subtract(target: usize, x: usize, n: usize, words: usize): i64 {
  let borrow: i64 = 0;
  for (let i: usize = 0; i < words << 2; i += 4) {
    const d = <i64>load<u32>(x + i) - <i64>load<u32>(n + i) + borrow;
    store<u32>(target + i, <u32>d);
    borrow = d >> 32;
  }
  return borrow;
}

/** x = x − n if that is not negative; `top` is a word above x. */
function subtractOnce(x: usize, n: usize, words: usize, top: u32, spare: usize): void {
  const borrow = subtract(spare, x, n, words);
  const keep = <u32>((<i64>top + borrow) >> 63);
  for (let i: usize = 0; i < words << 2; i += 4) store<u32>(x + i, (load<u32>(x + i) & keep) | (load<u32>(spare + i) & ~keep));
}

/** x = 2x mod n. */
function double(x: usize, n: usize, words: usize, spare: usize): void {
  let carry: u32 = 0;
  for (let i: usize = 0; i < words << 2; i += 4) {
    const v = load<u32>(x + i);
    store<u32>(x + i, (v << 1) | carry);
    carry = v >> 31;
  }
  subtractOnce(x, n, words, carry, spare);
}

/** Inverse of an odd number mod 2^64 (Newton: every step doubles the correct bits, starting from 3). */
function inverse64(n: u64): u64 {
  let x = n;
  for (let i = 0; i < 5; i++) x *= 2 - n * x;
  return x;
}

function bitLength(n: usize, words: usize): u32 {
  for (let i = words; i > 0; i--) {
    const v = load<u32>(n + ((i - 1) << 2));
    if (v) return <u32>((i << 5) - clz<u32>(v));
  }
  return 0;
}

export function contextBytes(lanes: u32, bits: u32): usize {
  const digits = digitsFor(bits);
  return HEADER_BYTES + sizeOf(lanes, digits) * 4 + startBytes(lanes, digits) * 2 + <usize>((lanes * ((bits + 31) >> 5) * 4 + 15) & ~15);
}

/** Bytes of a number of `digits` digits. */
function sizeOf(lanes: u32, digits: u32): usize {
  return (<usize>(lanes * digits) * digitBytes() + 15) & ~15;
}

/** Sets up a context for one or two odd moduli of at most `bits` bits; their big-endian bytes, 4·⌈bits/32⌉ each, stand at `moduli`. */
export function contextInit(context: usize, lanes: u32, bits: u32, moduli: usize): void {
  const digits = digitsFor(bits);
  const words: usize = (bits + 31) >> 5;
  const size = sizeOf(lanes, digits);
  const width = widthFor(digits);
  memory.fill(context, 0, contextBytes(lanes, bits));
  store<u32>(context, lanes, LANES);
  store<u32>(context, digits, DIGITS);
  store<u32>(context, lanes == 2 ? digits : digits >> 1, VECTORS);
  store<u32>(context, width, WIDTH);
  store<u32>(context, <u32>words, WORDS_OF);
  store<u32>(context, <u32>size, SIZE);
  let p = context + HEADER_BYTES;
  store<u32>(context, <u32>p, MODULUS);
  store<u32>(context, <u32>(p += size), ONE);
  store<u32>(context, <u32>(p += size), SQUARED);
  store<u32>(context, <u32>(p += size), OUT);
  store<u32>(context, <u32>(p += size), PRODUCT_START);
  store<u32>(context, <u32>(p += startBytes(lanes, digits)), SQUARE_START);
  store<u32>(context, <u32>(p += startBytes(lanes, digits)), PLAIN);

  startValues(context);
  const one = field(context, ONE);
  const two = field(context, SQUARED);
  for (let lane: usize = 0; lane < lanes; lane++) {
    const n = p + lane * (words << 2);
    wordsFromBytes(n, moduli + lane * (words << 2), words);
    const inverse = inverse64(load<u32>(n) | (<u64>load<u32>(n, 4) << 32));
    store<u32>(context + (lane << 2), <u32>(0 - inverse), INVERSE);

    // M + 1 = k·N + 1 with k = −N⁻¹ mod 2^w.
    const k = (0 - inverse) & (((<u64>1) << width) - 1);
    let carry: u64 = 1;
    for (let i: usize = 0; i < words + 2; i++) {
      const word: u64 = i < words ? load<u32>(n + (i << 2)) : 0;
      const below: u64 = i > 0 && i <= words ? load<u32>(n + ((i - 1) << 2)) : 0;
      const a = word * (k & 0xffff_ffff);
      const b = below * (k >> 32);
      const sum = carry + (a & 0xffff_ffff) + (b & 0xffff_ffff);
      store<u32>(WORDS + (i << 2), <u32>sum);
      carry = (sum >> 32) + (a >> 32) + (b >> 32);
    }
    store<u32>(WORDS + ((words + 2) << 2), <u32>carry);
    digitsFromWords(context, field(context, MODULUS), lane, WORDS, <u32>words + 3, width);

    // 2^(32·words), R and 2R mod N, by doubling from 2^(bits of N − 1) < N.
    const length = bitLength(n, words);
    memory.fill(WORDS, 0, words << 2);
    store<u32>(WORDS + (((length - 1) >> 5) << 2), 1 << ((length - 1) & 31));
    const out = <u32>words << 5;
    const r = width * digits;
    for (let e = length - 1; e <= r; e++) {
      if (e == out) digitsFromWords(context, field(context, OUT), lane, WORDS, <u32>words, 0);
      if (e == r) digitsFromWords(context, one, lane, WORDS, <u32>words, 0);
      double(WORDS, n, words, OTHER_WORDS);
    }
    digitsFromWords(context, two, lane, WORDS, <u32>words, 0);
  }
  // R² = 2^(w·digits)·R: the number 2 (as 2R) to that power, from the top bit down.
  const exponent = width * digits;
  memory.copy(BASE_TWO, two, size);
  for (let i = 30 - <i32>clz<u32>(exponent); i >= 0; i--) {
    square(context, two, two);
    if ((exponent >> i) & 1) multiply(context, two, two, BASE_TWO);
  }
  memory.fill(BASE_TWO, 0, size);
}

/** number = the big-endian bytes at `source`, in Montgomery form. `source` need not be reduced. */
export function importNumber(context: usize, number: usize, lane: usize, source: usize): void {
  const words = field(context, WORDS_OF);
  wordsFromBytes(WORDS, source, words);
  digitsFromWords(context, number, lane, WORDS, <u32>words, 0);
}

/** Takes the lanes of an imported number into Montgomery form. */
export function enter(context: usize, number: usize): void {
  multiply(context, number, number, field(context, SQUARED));
}

/**
 * Writes the canonical values of a number, lane after lane, as big-endian bytes. The factor 2^(32·words) makes up for the reduction by words:
 * y = x·2^(32·words) mod N below 2M, then (y + q·N)/2^(32·words) ≤ N, minus N where possible. Destroys `number`.
 */
export function exportNumber(context: usize, target: usize, number: usize): void {
  const words = field(context, WORDS_OF);
  const lanes = field(context, LANES);
  multiply(context, number, number, field(context, OUT));
  for (let lane: usize = 0; lane < lanes; lane++) {
    const n = field(context, PLAIN) + lane * (words << 2);
    const minusInverse: u64 = load<u32>(context + (lane << 2), INVERSE);
    // y < 2M < 2^(32·words + 52); the rest of the 2·words + 1 words of y + q·N starts as 0.
    wordsFromDigits(context, WORDS, number, lane, <u32>(words << 1) + 1);
    let above: u64 = 0;
    for (let i: usize = 0; i < words; i++) {
      const p = WORDS + (i << 2);
      const q: u64 = (load<u64>(p) * minusInverse) & 0xffff_ffff;
      let carry: u64 = 0;
      for (let j: usize = 0; j < words << 2; j += 4) {
        const v = <u64>load<u32>(p + j) + q * <u64>load<u32>(n + j) + carry;
        store<u32>(p + j, <u32>v);
        carry = v >> 32;
      }
      const v = <u64>load<u32>(p + (words << 2)) + carry + above;
      store<u32>(p + (words << 2), <u32>v);
      above = v >> 32;
    }
    const result = WORDS + (words << 2);
    subtractOnce(result, n, words, <u32>above, OTHER_WORDS);
    bytesFromWords(target + lane * (words << 2), result, words);
  }
}
