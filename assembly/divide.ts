/**
 * Integers in 32-bit words, least first: products, and remainders by a modulus that is used again, through its reciprocal (P. Barrett, CRYPTO '86; Menezes,
 * van Oorschot, Vanstone, "Handbook of Applied Cryptography", 14.42). Unlike those of the kernels the modulus may be even, as an order p − 1 is. No
 * branch and no address depends on a value; lengths are public.
 */
import { DIVIDEND, QUOTIENT, SUBTRAHEND } from './memory';
import { bitLength, double, powerOfTwoWords, subtract, subtractOnce } from './words';

/** target = a·b mod 2^(32·room). Not in place. */
export function multiplyWords(target: usize, room: usize, a: usize, aWords: usize, b: usize, bWords: usize): void {
  memory.fill(target, 0, room << 2);
  const rows = min(aWords, room);
  for (let i: usize = 0; i < rows; i++) {
    const x: u64 = load<u32>(a + (i << 2));
    const at = target + (i << 2);
    const end = min(bWords, room - i) << 2;
    let carry: u64 = 0;
    for (let j: usize = 0; j < end; j += 4) {
      const v = <u64>load<u32>(at + j) + x * <u64>load<u32>(b + j) + carry;
      store<u32>(at + j, <u32>v);
      carry = v >> 32;
    }
    if (bWords < room - i) store<u32>(at + end, <u32>carry);
  }
}

/**
 * ⌊2^(64k)/m⌋ in k + 1 words, for m of exactly k words (its top word is not 0), no power of 2. Bit by bit: that takes as long as a hundred remainders, and is
 * done once for a modulus.
 */
export function reciprocal(target: usize, m: usize, k: usize): void {
  const bits = bitLength(m, k);
  memory.fill(target, 0, (k + 1) << 2);
  powerOfTwoWords(DIVIDEND, k, bits - 1);
  for (let i = <i32>(k << 6) - <i32>bits; i >= 0; i--) {
    const at = target + (<usize>(i >> 5) << 2);
    store<u32>(at, load<u32>(at) | (double(DIVIDEND, m, k, 0, SUBTRAHEND) << (i & 31)));
  }
}

/**
 * DIVIDEND, of `words` ≤ 2k words, = DIVIDEND mod m, of k words, with a zero above. The quotient
 *
 *   ⌊⌊x/2^(32(k − 1))⌋·μ / 2^(32(k + 1))⌋,   μ = ⌊2^(64k)/m⌋
 *
 * is at most 2 too small, so that what it leaves is below 3m.
 */
function step(words: usize, m: usize, k: usize, mu: usize): void {
  memory.fill(DIVIDEND + (words << 2), 0, (2 * k + 1 - words) << 2);
  // Below 2^(32(k − 1)) ≤ m.
  if (words < k) return;
  const upper = words + 1 - k;
  multiplyWords(QUOTIENT, upper + k + 1, DIVIDEND + ((k - 1) << 2), upper, mu, k + 1);
  multiplyWords(SUBTRAHEND, k + 1, QUOTIENT + ((k + 1) << 2), upper, m, k);
  subtract(DIVIDEND, DIVIDEND, SUBTRAHEND, k + 1);
  // m has a zero above it, as everything in a record has.
  subtractOnce(DIVIDEND, m, k + 1, 0, SUBTRAHEND);
  subtractOnce(DIVIDEND, m, k + 1, 0, SUBTRAHEND);
}

/** target = x mod m: k words from any number of words, `mu` being the reciprocal of m. There is a zero word above m. Not for target in x. */
export function remainder(target: usize, x: usize, words: usize, m: usize, k: usize, mu: usize): void {
  // The top k + 1 … 2k words first, then k more at a time.
  let below = words > 2 * k ? ((words - 2 * k + k - 1) / k) * k : 0;
  memory.copy(DIVIDEND, x + (below << 2), (words - below) << 2);
  step(words - below, m, k, mu);
  while (below > 0) {
    below -= k;
    memory.copy(DIVIDEND + (k << 2), DIVIDEND, k << 2);
    memory.copy(DIVIDEND, x + (below << 2), k << 2);
    step(2 * k, m, k, mu);
  }
  memory.copy(target, DIVIDEND, k << 2);
}

/**
 * target = x/d in `count` words, for odd d that divides x, by the quotient's words from the least on (K. Hensel). Destroys x. 1 if d does divide x, and the
 * quotient has no more words; else 0.
 */
export function divideExactly(target: usize, count: usize, x: usize, words: usize, d: usize, dWords: usize): u32 {
  const d0 = load<u32>(d);
  let inverse = d0; // right mod 2^3, then mod 2^6, 2^12, 2^24, 2^48
  for (let i = 0; i < 4; i++) inverse *= 2 - d0 * inverse;
  for (let i: usize = 0; i < count; i++) {
    const at = x + (i << 2);
    const digit = load<u32>(at) * inverse;
    store<u32>(target + (i << 2), digit);
    let carry: u64 = 0;
    let borrow: i64 = 0;
    for (let j: usize = 0; j < words - i; j++) {
      const product: u64 = j < dWords ? <u64>digit * <u64>load<u32>(d + (j << 2)) + carry : carry;
      const v = <i64>load<u32>(at + (j << 2)) - <i64>(product & 0xffff_ffff) + borrow;
      store<u32>(at + (j << 2), <u32>v);
      carry = product >> 32;
      borrow = v >> 32;
    }
  }
  return 1 - nonZero(x, words);
}

/** 1 for a number that is not 0, else 0. */
export function nonZero(x: usize, words: usize): u32 {
  let any: u32 = 0;
  for (let i: usize = 0; i < words << 2; i += 4) any |= load<u32>(x + i);
  return (any | (0 - any)) >>> 31;
}

/** target = `chosen` where mask is −1, else `other`. */
export function selectWords(target: usize, chosen: usize, other: usize, words: usize, mask: u32): void {
  for (let i: usize = 0; i < words << 2; i += 4) store<u32>(target + i, (load<u32>(chosen + i) & mask) | (load<u32>(other + i) & ~mask));
}

/** x = ⌊x/2^bits⌋ for 0 < bits < 32. */
export function shiftRight(x: usize, words: usize, bits: u32): void {
  for (let i: usize = 0; i < words; i++) {
    const above: u64 = i + 1 < words ? load<u32>(x + ((i + 1) << 2)) : 0;
    store<u32>(x + (i << 2), <u32>((<u64>load<u32>(x + (i << 2)) | (above << 32)) >> <u64>bits));
  }
}

/** x = −x (two's complement) where mask is −1. */
export function negateWords(x: usize, words: usize, mask: u32): void {
  let carry: u64 = mask & 1;
  for (let i: usize = 0; i < words << 2; i += 4) {
    const v = <u64>(load<u32>(x + i) ^ mask) + carry;
    store<u32>(x + i, <u32>v);
    carry = v >> 32;
  }
}

/** x = x + (y and `mask`), and the carry. */
export function addMaskedWords(x: usize, y: usize, words: usize, mask: u32): u32 {
  let carry: u64 = 0;
  for (let i: usize = 0; i < words << 2; i += 4) {
    const v = <u64>load<u32>(x + i) + <u64>(load<u32>(y + i) & mask) + carry;
    store<u32>(x + i, <u32>v);
    carry = v >> 32;
  }
  return <u32>carry;
}
