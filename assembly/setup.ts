/** The setup of a context from its moduli. No branch and no address depends on a value, except on the bit length of a modulus. */
import {
  CROSS_START, DIGITS, FACTOR, field, HEADER_BYTES, INVERSE, LANES, MODULUS, MULTIPLE, ONE, OUT, PARTS, PLAIN, PRODUCT_START, SHIFTED, SIZE, SQUARE_START,
  SQUARED, VECTORS, WIDTH, WORDS_OF,
} from './context';
import { CROSS_IS_NUMBER, crossBytes, digitBytes, digitsFor, putDigit, startBytes, startValues, widthFor } from './kernel';
import { BASE_TWO, OTHER_WORDS, WORDS } from './memory';
import { multiply, square } from './modular';
import { addWords, bitLength, digitsFromWords, double, powerOfTwoWords, subtract, wordsFromBytes } from './words';

/** The upper part of a number modulo M², while the lower one is in WORDS. A modulus that has one is short: N has half as many words as N². */
const UPPER: usize = WORDS + 512;

/** Inverse of an odd number mod 2^64 (Newton: every step doubles the correct bits, starting from 3). */
function inverse64(n: u64): u64 {
  let x = n;
  for (let i = 0; i < 5; i++) x *= 2 - n * x;
  return x;
}

/** Bytes of a part of `digits` digits. */
function partBytes(lanes: u32, digits: u32): usize {
  return (<usize>(lanes * digits) * digitBytes() + 15) & ~15;
}

function plainBytes(lanes: u32, words: u32): usize {
  return <usize>((lanes * words * 4 + 15) & ~15);
}

/** `parts` is 1 for a context modulo N, 2 for one modulo N²; `bits` are those of the longest N. */
export function contextBytes(lanes: u32, parts: u32, bits: u32): usize {
  const digits = digitsFor(bits, parts);
  const words = (bits + 31) >> 5;
  const part = partBytes(lanes, digits);
  const common = HEADER_BYTES + part + part * parts * 3 + startBytes(lanes, digits) * 2 + plainBytes(lanes, words * parts) + plainBytes(lanes, words + 3);
  return parts == 1 ? common : common + part * 2 + crossBytes(lanes, digits);
}

/** Sets up a context for one or two odd moduli N of at most `bits` bits; their big-endian bytes, 4·⌈bits/32⌉ each, stand at `moduli`. */
export function contextInit(context: usize, lanes: u32, parts: u32, bits: u32, moduli: usize): void {
  const digits = digitsFor(bits, parts);
  const words: usize = (bits + 31) >> 5;
  const part = partBytes(lanes, digits);
  const size = part * parts;
  memory.fill(context, 0, contextBytes(lanes, parts, bits));
  store<u32>(context, lanes, LANES);
  store<u32>(context, digits, DIGITS);
  store<u32>(context, lanes == 2 ? digits : digits >> 1, VECTORS);
  store<u32>(context, widthFor(bits, parts), WIDTH);
  store<u32>(context, <u32>words * parts, WORDS_OF);
  store<u32>(context, <u32>size, SIZE);
  store<u32>(context, parts, PARTS);
  let p = context + HEADER_BYTES;
  store<u32>(context, <u32>p, MODULUS);
  store<u32>(context, <u32>(p += part), ONE);
  store<u32>(context, <u32>(p += size), SQUARED);
  store<u32>(context, <u32>(p += size), OUT);
  store<u32>(context, <u32>(p += size), PRODUCT_START);
  store<u32>(context, <u32>(p += startBytes(lanes, digits)), SQUARE_START);
  store<u32>(context, <u32>(p += startBytes(lanes, digits)), PLAIN);
  store<u32>(context, <u32>(p += plainBytes(lanes, <u32>words * parts)), MULTIPLE);
  if (parts == 2) {
    store<u32>(context, <u32>(p += plainBytes(lanes, <u32>words + 3)), SHIFTED);
    store<u32>(context, <u32>(p += size), CROSS_START);
  }
  startValues(context);
  for (let lane: usize = 0; lane < lanes; lane++) modulus(context, lane, words, moduli);
  // SQUARED holds 2R, the number 2.
  memory.copy(BASE_TWO, field(context, SQUARED), size);
  powerOfTwo(context, field(context, SQUARED), <u32>field(context, WIDTH) * digits);
  const out = field(context, OUT);
  powerOfTwo(context, out, <u32>words << 5);
  if (parts == 2) {
    multiply(context, field(context, SHIFTED), out, field(context, SQUARED));
    square(context, out, out);
  }
  // Out of Montgomery form, by the plain number 1.
  memory.fill(BASE_TWO, 0, size);
  for (let lane: usize = 0; lane < lanes; lane++) putDigit(context, BASE_TWO, lane, 0, 1);
  multiply(context, out, out, BASE_TWO);
  memory.fill(BASE_TWO, 0, size);
}

/** number = 2^exponent from the number 2 in BASE_TWO, from the top bit down. */
function powerOfTwo(context: usize, number: usize, exponent: u32): void {
  memory.copy(number, BASE_TWO, field(context, SIZE));
  for (let i = 30 - <i32>clz<u32>(exponent); i >= 0; i--) {
    square(context, number, number);
    if ((exponent >> i) & 1) multiply(context, number, number, BASE_TWO);
  }
}

/** MODULUS from the N of `words` words at `n`; leaves M + 1 = k·N + 1, k = −N⁻¹ mod 2^w, in words + 3 words at WORDS. Returns −N⁻¹ mod 2^64. */
function multipleOf(context: usize, lane: usize, n: usize, words: usize): u64 {
  const width = field(context, WIDTH);
  const minusInverse = 0 - inverse64(load<u32>(n) | (<u64>load<u32>(n, 4) << 32));
  const k = minusInverse & (((<u64>1) << <u64>width) - 1);
  store<u64>(context + FACTOR + (lane << 3), k);
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
  digitsFromWords(context, field(context, MODULUS), lane, WORDS, <u32>words + 3, <u32>width);
  return minusInverse;
}

/** N or N² at PLAIN, M at MULTIPLE, R at ONE and 2R at SQUARED, modulo M or in two parts modulo M². */
function modulus(context: usize, lane: usize, words: usize, moduli: usize): void {
  const squared = field(context, PARTS) == 2;
  const count = words + 3;
  const plain = field(context, PLAIN) + lane * (field(context, WORDS_OF) << 2);
  wordsFromBytes(OTHER_WORDS, moduli + lane * (words << 2), words);
  if (squared) addWords(plain, words << 1, OTHER_WORDS, words, OTHER_WORDS, words);
  else memory.copy(plain, OTHER_WORDS, words << 2);
  const minusInverse = multipleOf(context, lane, OTHER_WORDS, words);
  store<u32>(context + (lane << 2), <u32>(squared ? 0 - minusInverse * minusInverse : minusInverse), INVERSE);

  const m = field(context, MULTIPLE) + lane * (count << 2);
  memory.fill(OTHER_WORDS, 0, count << 2);
  store<u32>(OTHER_WORDS, 1);
  subtract(m, WORDS, OTHER_WORDS, count);

  // By doubling from 2^(bits of M − 1) < M; what leaves the lower part is carried into the upper one.
  const length = bitLength(m, count);
  powerOfTwoWords(WORDS, count, length - 1);
  if (squared) memory.fill(UPPER, 0, count << 2);
  const r = <u32>field(context, WIDTH) * <u32>field(context, DIGITS);
  for (let e = length - 1; e <= r; e++) {
    if (e == r) numberFromWords(context, field(context, ONE), lane, count);
    const carry = double(WORDS, m, count, 0, OTHER_WORDS);
    if (squared) double(UPPER, m, count, carry, OTHER_WORDS);
    if (e == r) numberFromWords(context, field(context, SQUARED), lane, count);
    else if (CROSS_IS_NUMBER && squared && e == r - 1) crossNumber(context, lane, m, count);
  }
}

/** The number with its lower part in WORDS, its upper one in UPPER. */
function numberFromWords(context: usize, number: usize, lane: usize, count: usize): void {
  digitsFromWords(context, number, lane, WORDS, <u32>count, 0);
  if (field(context, PARTS) == 2) digitsFromWords(context, number + (field(context, SIZE) >> 1), lane, UPPER, <u32>count, 0);
}

/** 1 − R mod M as M − (R mod M − 1), from R mod M in WORDS. */
function crossNumber(context: usize, lane: usize, m: usize, count: usize): void {
  const spare = UPPER + 512;
  memory.fill(spare, 0, count << 2);
  store<u32>(spare, 1);
  subtract(OTHER_WORDS, WORDS, spare, count);
  subtract(spare, m, OTHER_WORDS, count);
  digitsFromWords(context, field(context, CROSS_START), lane, spare, <u32>count, 0);
}
