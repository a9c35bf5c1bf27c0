/**
 * Numbers outside the kernels: big-endian bytes on the host's side, little-endian 32-bit words here. Conversion to and from the kernels' digits,
 * and the last reduction to [0, N). No branch and no address depends on a value.
 */
import { DIGITS, field, INVERSE, LANES, MULTIPLE, OUT, PARTS, PLAIN, SIZE, WIDTH, WORDS_OF } from './context';
import { getDigit, putDigit } from './kernel';
import { OTHER_WORDS, WORDS } from './memory';
import { multiply } from './modular';
import { asExpected } from './shadow';

/** Big-endian bytes at `source` into `words` words. */
export function wordsFromBytes(target: usize, source: usize, words: usize): void {
  for (let i: usize = 0; i < words; i++) store<u32>(target + (i << 2), bswap<u32>(load<u32>(source + ((words - 1 - i) << 2))));
}

export function bytesFromWords(target: usize, source: usize, words: usize): void {
  for (let i: usize = 0; i < words; i++) store<u32>(target + (i << 2), bswap<u32>(load<u32>(source + ((words - 1 - i) << 2))));
}

/** Digits of the words at `source` from bit `shift` on, `count` words being there. */
export function digitsFromWords(context: usize, number: usize, lane: usize, source: usize, count: u32, shift: u32): void {
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

/** target = x − n, returning the borrow: 0 or −1. */
@inline
export function subtract(target: usize, x: usize, n: usize, words: usize): i64 {
  let borrow: i64 = 0;
  for (let i: usize = 0; i < words << 2; i += 4) {
    const d = <i64>load<u32>(x + i) - <i64>load<u32>(n + i) + borrow;
    store<u32>(target + i, <u32>d);
    borrow = d >> 32;
  }
  return borrow;
}

/** x = x − n if that is not negative; `top` is a word above x. Returns how many times n was subtracted: 0 or 1. */
export function subtractOnce(x: usize, n: usize, words: usize, top: u32, spare: usize): u32 {
  const borrow = subtract(spare, x, n, words);
  const keep = <u32>((<i64>top + borrow) >> 63);
  for (let i: usize = 0; i < words << 2; i += 4) store<u32>(x + i, (load<u32>(x + i) & keep) | (load<u32>(spare + i) & ~keep));
  return keep + 1;
}

/** x = 2x + `carry` mod n, returning how many times n was subtracted. */
export function double(x: usize, n: usize, words: usize, carry: u32, spare: usize): u32 {
  for (let i: usize = 0; i < words << 2; i += 4) {
    const v = load<u32>(x + i);
    store<u32>(x + i, (v << 1) | carry);
    carry = v >> 31;
  }
  return subtractOnce(x, n, words, carry, spare);
}

/** Of the number in `words` words at `n`; the length is public. */
export function bitLength(n: usize, words: usize): u32 {
  for (let i = words; i > 0; i--) {
    const v = load<u32>(n + ((i - 1) << 2));
    if (v) return <u32>((i << 5) - clz<u32>(v));
  }
  return 0;
}

/** x = 2^exponent in `words` words. */
export function powerOfTwoWords(x: usize, words: usize, exponent: u32): void {
  memory.fill(x, 0, words << 2);
  store<u32>(x + <usize>((exponent >> 5) << 2), 1 << (exponent & 31));
}

/** Takes a two's complement number in place to its absolute value; −1 for a negative one, else 0. */
export function absolute(e: usize, words: u32): u32 {
  const sign = <u32>(<i32>load<u32>(e + (<usize>(words - 1) << 2)) >> 31);
  let carry: u64 = sign & 1;
  for (let i: u32 = 0; i < words; i++) {
    const p = e + (<usize>i << 2);
    const v = <u64>(load<u32>(p) ^ sign) + carry;
    store<u32>(p, <u32>v);
    carry = v >> 32;
  }
  return sign;
}

/** target += a·b, where nothing is carried out of the `room` words from `target` on. */
export function addWords(target: usize, room: usize, a: usize, aWords: usize, b: usize, bWords: usize): void {
  for (let i: usize = 0; i < aWords; i++) {
    const x: u64 = load<u32>(a + (i << 2));
    const at = target + (i << 2);
    let carry: u64 = 0;
    for (let j: usize = 0; j < bWords << 2; j += 4) {
      const v = <u64>load<u32>(at + j) + x * <u64>load<u32>(b + j) + carry;
      store<u32>(at + j, <u32>v);
      carry = v >> 32;
    }
    for (let j = bWords; i + j < room && j < bWords + 2; j++) {
      const v = <u64>load<u32>(at + (j << 2)) + carry;
      store<u32>(at + (j << 2), <u32>v);
      carry = v >> 32;
    }
  }
}

/** number = the big-endian bytes at `source`, to be taken into Montgomery form by `enter`. `source` need not be reduced. */
export function importNumber(context: usize, number: usize, lane: usize, source: usize): void {
  const words = field(context, WORDS_OF);
  wordsFromBytes(WORDS, source, words);
  if (field(context, PARTS) == 1) {
    digitsFromWords(context, number, lane, WORDS, <u32>words, 0);
    return;
  }
  const half = words >> 1;
  digitsFromWords(context, number, lane, WORDS, <u32>half, 0);
  digitsFromWords(context, number + (field(context, SIZE) >> 1), lane, WORDS + (half << 2), <u32>half, 0);
}

/** WORDS = the value of a lane of a number, a multiple of M included, in 2·words + 1 words. */
function wordsFromNumber(context: usize, number: usize, lane: usize): void {
  const words = field(context, WORDS_OF);
  const room = (words << 1) + 1;
  wordsFromDigits(context, WORDS, number, lane, <u32>room);
  if (field(context, PARTS) == 1) return;
  const multiple = (words >> 1) + 3;
  wordsFromDigits(context, OTHER_WORDS, number + (field(context, SIZE) >> 1), lane, <u32>multiple);
  addWords(WORDS, room, OTHER_WORDS, multiple, field(context, MULTIPLE) + lane * (multiple << 2), multiple);
}

/**
 * Writes the canonical values of a number, lane after lane, as big-endian bytes. The factor 2^(32·words) makes up for the reduction by words:
 * y = x·2^(32·words) mod N below 2M, or 2M + 2M², then (y + q·N)/2^(32·words) ≤ N + 2^104, minus N where possible. Destroys `number`.
 * With `checked`, 0 is returned when a y is not what expectPowers made out; in every other case 1.
 */
export function exportNumber(context: usize, target: usize, number: usize, checked: u32 = 0): u32 {
  const words = field(context, WORDS_OF);
  const lanes = field(context, LANES);
  let right: u32 = 1;
  multiply(context, number, number, field(context, OUT));
  for (let lane: usize = 0; lane < lanes; lane++) {
    const n = field(context, PLAIN) + lane * (words << 2);
    const minusInverse: u64 = load<u32>(context + (lane << 2), INVERSE);
    wordsFromNumber(context, number, lane);
    if (checked) right &= asExpected(context, lane, words + 4);
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
  return right;
}
