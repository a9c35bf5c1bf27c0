/**
 * What the owner of a key N = p·q computes beside exponentiations modulo p and q, or p² and q²: exponents modulo p − 1 and q − 1, results put together from their
 * residues (H. Garner, 1959), the plaintext of a decryption. The factors live as long as the key and serve every operation, so none of it is left to BigInt:
 * no branch and no address depends on a value. Lengths of p, q and of operands are public.
 *
 * A *record* has the factors and what follows from them. The host keeps it as bytes and hands in a copy for each call. Every slot ends in zeros.
 */
import { field, INVERSE as MINUS_INVERSE, PARTS, PLAIN as MODULI, WORDS_OF } from './context';
import { addMaskedWords, divideExactly, multiplyWords, negateWords, nonZero, reciprocal, remainder, selectWords, shiftRight } from './divide';
import { invert } from './gcd';
import { FIRST, LONG, OTHER_WORDS, RESULT, SECOND, SHORT } from './memory';
import { absolute, bytesFromWords, subtract, wordsFromBytes } from './words';

/** Header, u32: bytes of a slot; words of p, q; of p², q²; of λ; u64: the sum of all else. */
const SLOT_BYTES: usize = 0;
const PRIME_WORDS: usize = 4;
const SQUARE_WORDS: usize = 12;
const LAMBDA_WORDS: usize = 20;
const SUM: usize = 24;
const HEADER_BYTES: usize = 32;

/** Slots; of a pair the first is that of p, the second that of q. */
const PRIME: usize = 0;
/** p − 1. */
const ORDER: usize = 2;
/** q mod p − 1: r^N = (r^(q mod p − 1))^p mod p². */
const ROOT: usize = 4;
/** N⁻¹ mod p − 1, for N-th roots; 0 where there is none. */
const NTH: usize = 6;
/** ((φ + 4)/8)² mod p − 1, for fourth roots. */
const FOURTH: usize = 8;
const SQUARE: usize = 10;
/** −q⁻¹ mod p, for decryption. */
const PLAIN: usize = 12;
/** Of p, and of p − 1. */
const RECIPROCAL: usize = 14;
const ORDER_RECIPROCAL: usize = 16;
/** Of q². */
const SQUARE_RECIPROCAL: usize = 18;
/** p⁻¹ mod q, p⁻² mod q². */
const INVERSE: usize = 19;
const SQUARE_INVERSE: usize = 20;
/** N. */
const MODULUS: usize = 21;
/** λ of a ring-Pedersen set-up. */
const LAMBDA: usize = 22;
const SLOTS: usize = 23;

/** What is said of a result: it is consistent, and not to be used otherwise; neither of its residues is 0. */
const RIGHT: u32 = 1;
const UNIT: u32 = 2;

@inline
function slot(record: usize, index: usize): usize {
  return record + HEADER_BYTES + index * field(record, SLOT_BYTES);
}

@inline
function wordsOf(record: usize, squared: bool, half: usize): usize {
  return field(record, (squared ? SQUARE_WORDS : PRIME_WORDS) + (half << 2));
}

/** Of all words but its own: another one for any bit that is turned over, as the multiplier is odd. */
function sumOf(record: usize): u64 {
  const end = HEADER_BYTES + SLOTS * field(record, SLOT_BYTES);
  let sum: u64 = 0;
  for (let i: usize = 0; i < end; i += 4) {
    if (i != SUM && i != SUM + 4) sum = (sum + load<u32>(record + i)) * 0x9e37_79b9_7f4a_7c15;
  }
  return sum;
}

/** 1 while the record is as it was made, else 0. */
function intact(record: usize): u32 {
  return sumOf(record) == load<u64>(record, SUM) ? 1 : 0;
}

/** Words of a number up to its top one that is not 0. */
function significant(x: usize, words: usize): usize {
  while (words > 0 && load<u32>(x + ((words - 1) << 2)) == 0) words--;
  return words;
}

function slotBytes(pWords: u32, qWords: u32, lambdaWords: u32): usize {
  return <usize>max(2 * max(pWords, qWords) + 4, lambdaWords) << 2;
}

export function ownerBytes(pWords: u32, qWords: u32, lambdaWords: u32): usize {
  return HEADER_BYTES + SLOTS * slotBytes(pWords, qWords, lambdaWords);
}

/** target = x⁻¹ mod m; 0 if there is none. m odd, x < m. */
function inverseOf(target: usize, x: usize, m: usize, words: usize): u32 {
  bytesFromWords(LONG, m, words);
  bytesFromWords(OTHER_WORDS, x, words);
  const unit = invert(LONG, OTHER_WORDS, <u32>words << 2, 1);
  wordsFromBytes(target, OTHER_WORDS, words);
  return unit;
}

/**
 * The slots NTH and FOURTH of one half. N⁻¹ mod p − 1 is q⁻¹, and as p − 1 is even it is found from the inverse the other way round: for k = −(p − 1)⁻¹ mod q, q divides
 * 1 + k·(p − 1), and the quotient is it. 0 when q has none.
 */
function roots(record: usize, half: usize): void {
  const k = wordsOf(record, false, half), other = wordsOf(record, false, 1 - half);
  const order = slot(record, ORDER + half), mu = slot(record, ORDER_RECIPROCAL + half);
  const otherPrime = slot(record, PRIME + 1 - half);
  const nth = slot(record, NTH + half);
  const count = k + other;

  remainder(SHORT, order, k, otherPrime, other, slot(record, RECIPROCAL + 1 - half));
  const unit = inverseOf(FIRST, SHORT, otherPrime, other);
  subtract(FIRST, otherPrime, FIRST, other);
  multiplyWords(LONG, count, order, k, FIRST, other);
  store<u32>(LONG, load<u32>(LONG) | 1); // + 1: it is even
  divideExactly(nth, k, LONG, count, otherPrime, other);
  memory.fill(RESULT, 0, count << 2);
  selectWords(nth, nth, RESULT, k, 0 - unit);

  multiplyWords(LONG, count, order, k, slot(record, ORDER + 1 - half), other);
  store<u32>(RESULT, 4);
  addMaskedWords(LONG, RESULT, count, 0xffff_ffff);
  shiftRight(LONG, count, 3);
  remainder(SHORT, LONG, count, order, k, mu);
  multiplyWords(LONG, 2 * k, SHORT, k, SHORT, k);
  remainder(slot(record, FOURTH + half), LONG, 2 * k, order, k, mu);
}

/**
 * Makes the record of odd p and q of exactly so many words each (and λ; 0 words: none), whose big-endian bytes stand at `secrets` one after the other. 1, or 0
 * when p and q have a common factor.
 */
export function ownerInit(record: usize, secrets: usize, pWords: u32, qWords: u32, lambdaWords: u32): u32 {
  memory.fill(record, 0, ownerBytes(pWords, qWords, lambdaWords));
  store<u32>(record, <u32>slotBytes(pWords, qWords, lambdaWords), SLOT_BYTES);
  store<u32>(record, pWords, PRIME_WORDS);
  store<u32>(record, qWords, PRIME_WORDS + 4);
  store<u32>(record, lambdaWords, LAMBDA_WORDS);
  wordsFromBytes(slot(record, PRIME), secrets, pWords);
  wordsFromBytes(slot(record, PRIME + 1), secrets + (<usize>pWords << 2), qWords);
  wordsFromBytes(slot(record, LAMBDA), secrets + (<usize>(pWords + qWords) << 2), lambdaWords);
  for (let half: usize = 0; half < 2; half++) {
    const words = wordsOf(record, false, half);
    const prime = slot(record, PRIME + half);
    const order = slot(record, ORDER + half);
    const square = slot(record, SQUARE + half);
    memory.copy(order, prime, words << 2);
    store<u32>(order, load<u32>(order) - 1);
    multiplyWords(square, 2 * words, prime, words, prime, words);
    store<u32>(record + SQUARE_WORDS + (half << 2), <u32>significant(square, 2 * words));
    reciprocal(slot(record, RECIPROCAL + half), prime, words);
    reciprocal(slot(record, ORDER_RECIPROCAL + half), order, words);
  }
  const p = slot(record, PRIME), q = slot(record, PRIME + 1);
  const p2 = slot(record, SQUARE), q2 = slot(record, SQUARE + 1);
  const p2Words = wordsOf(record, true, 0), q2Words = wordsOf(record, true, 1);
  multiplyWords(slot(record, MODULUS), pWords + qWords, p, pWords, q, qWords);
  reciprocal(slot(record, SQUARE_RECIPROCAL), q2, q2Words);
  roots(record, 0);
  roots(record, 1);
  remainder(slot(record, ROOT), q, qWords, slot(record, ORDER), pWords, slot(record, ORDER_RECIPROCAL));
  remainder(slot(record, ROOT + 1), p, pWords, slot(record, ORDER + 1), qWords, slot(record, ORDER_RECIPROCAL + 1));
  remainder(SHORT, p, pWords, q, qWords, slot(record, RECIPROCAL + 1));
  let unit = inverseOf(slot(record, INVERSE), SHORT, q, qWords);
  subtract(slot(record, PLAIN + 1), q, slot(record, INVERSE), qWords);
  remainder(SHORT, q, qWords, p, pWords, slot(record, RECIPROCAL));
  unit &= inverseOf(FIRST, SHORT, p, pWords);
  subtract(slot(record, PLAIN), p, FIRST, pWords);
  remainder(SHORT, p2, p2Words, q2, q2Words, slot(record, SQUARE_RECIPROCAL));
  unit &= inverseOf(slot(record, SQUARE_INVERSE), SHORT, q2, q2Words);
  store<u64>(record, sumOf(record), SUM);
  return unit;
}

/** The moduli p and q for contextInit, of `words` words each. */
export function ownerModuli(record: usize, target: usize, words: u32): void {
  bytesFromWords(target, slot(record, PRIME), words);
  bytesFromWords(target + (<usize>words << 2), slot(record, PRIME + 1), words);
}

/**
 * 1 when the moduli of a context that has served are p and q, or their squares, else 0. The check of an exponentiation does not see a context made of wrong ones,
 * nor what its result is reduced by at the end.
 */
export function ownerContext(record: usize, context: usize): u32 {
  const first = field(context, PARTS) == 2 ? SQUARE : PRIME;
  const bytes = field(context, WORDS_OF) << 2;
  let difference: u32 = 0;
  for (let half: usize = 0; half < 2; half++) {
    const n = field(context, MODULI) + half * bytes;
    const own = slot(record, first + half);
    for (let i: usize = 0; i < bytes; i += 4) difference |= load<u32>(n + i) ^ load<u32>(own + i);
    // −n⁻¹·n = −1 mod 2^32.
    difference |= load<u32>(context + (half << 2), MINUS_INVERSE) * load<u32>(n) + 1;
  }
  return 1 - ((difference | (0 - difference)) >>> 31);
}

/**
 * Exponents of the record in the words of `power`, that of q `stride` bytes after that of p: p (`which` = 0), p − 1 (1), q mod p − 1 (2), N⁻¹ mod p − 1 (3),
 * ((φ + 4)/8)² mod p − 1 (4). 0 when there is none.
 */
export function ownerExponent(record: usize, which: u32, target: usize, stride: usize, words: u32): u32 {
  memory.copy(target, slot(record, <usize>which << 1), <usize>words << 2);
  memory.copy(target + stride, slot(record, (<usize>which << 1) + 1), <usize>words << 2);
  return nonZero(target, words) & nonZero(target + stride, words);
}

/**
 * The exponent λ·x + e modulo p − 1 and q − 1, in [0, p − 1]: 0 for the number 0 alone, so that the power of a base that is no unit is 0 for every other one.
 * x and e are two's complement, x may have no words. `area` takes max(words of λ and x, words of e) + 1 words. x is destroyed.
 */
export function ownerReduce(record: usize, x: usize, xWords: u32, e: usize, eWords: u32, area: usize, target: usize, stride: usize, words: u32): void {
  const lambdaWords = <u32>field(record, LAMBDA_WORDS);
  const total = max(lambdaWords + xWords, eWords) + 1;
  const negative = xWords ? absolute(x, xWords) : 0;
  multiplyWords(area, total, slot(record, LAMBDA), lambdaWords, x, xWords);
  negateWords(area, total, negative);
  const sign = <u32>(<i32>load<u32>(e + (<usize>(eWords - 1) << 2)) >> 31);
  let carry: u64 = 0;
  for (let i: u32 = 0; i < total; i++) {
    const p = area + (<usize>i << 2);
    const v = <u64>load<u32>(p) + <u64>(i < eWords ? load<u32>(e + (<usize>i << 2)) : sign) + carry;
    store<u32>(p, <u32>v);
    carry = v >> 32;
  }
  const below = absolute(area, total);
  const any = 0 - nonZero(area, total);
  for (let half: usize = 0; half < 2; half++) {
    const k = wordsOf(record, false, half);
    const order = slot(record, ORDER + half);
    remainder(SHORT, area, total, order, k, slot(record, ORDER_RECIPROCAL + half));
    const zero = nonZero(SHORT, k) - 1;
    subtract(LONG, order, SHORT, k);
    memory.fill(RESULT, 0, <usize>words << 2);
    selectWords(RESULT, LONG, SHORT, k, (below & ~zero) | (any & zero));
    memory.copy(target + half * stride, RESULT, <usize>words << 2);
  }
}

/**
 * x = a + m·((b − a)·m⁻¹ mod n), with m, n = p, q or p², q²: a and b modulo these. RIGHT when x ≡ b mod n, which is looked at because a number that is right
 * in one half and wrong in the other shows the factors.
 */
function garner(record: usize, squared: bool, x: usize, a: usize, b: usize): u32 {
  const m = slot(record, squared ? SQUARE : PRIME), n = slot(record, squared ? SQUARE + 1 : PRIME + 1);
  const mWords = wordsOf(record, squared, 0), nWords = wordsOf(record, squared, 1);
  const mu = slot(record, squared ? SQUARE_RECIPROCAL : RECIPROCAL + 1);
  remainder(SHORT, a, mWords, n, nWords, mu);
  const borrow = subtract(SHORT, b, SHORT, nWords);
  addMaskedWords(SHORT, n, nWords, <u32>borrow);
  multiplyWords(LONG, 2 * nWords, SHORT, nWords, slot(record, squared ? SQUARE_INVERSE : INVERSE), nWords);
  remainder(SHORT, LONG, 2 * nWords, n, nWords, mu);
  const words = mWords + nWords;
  multiplyWords(x, words, m, mWords, SHORT, nWords);
  memory.copy(LONG, a, mWords << 2);
  memory.fill(LONG + (mWords << 2), 0, nWords << 2);
  addMaskedWords(x, LONG, words, 0xffff_ffff);
  remainder(SHORT, x, words, n, nWords, mu);
  let difference: u32 = 0;
  for (let i: usize = 0; i < nWords << 2; i += 4) difference |= load<u32>(SHORT + i) ^ load<u32>(b + i);
  return 1 - ((difference | (0 - difference)) >>> 31);
}

/**
 * The number modulo N (or N²) with the residues at `halves`, which are big-endian and have `words` words each, in twice as many words at `target`. Returns RIGHT,
 * without which it is not to be used, and UNIT.
 */
export function ownerRecombine(record: usize, squared: u32, halves: usize, words: u32, target: usize): u32 {
  wordsFromBytes(FIRST, halves, words);
  wordsFromBytes(SECOND, halves + (<usize>words << 2), words);
  memory.fill(RESULT, 0, <usize>words << 3);
  const right = garner(record, squared != 0, RESULT, FIRST, SECOND) & intact(record);
  bytesFromWords(target, RESULT, <usize>words << 1);
  return right * RIGHT + (nonZero(FIRST, words) & nonZero(SECOND, words)) * UNIT;
}

/**
 * The plaintext of c, in (−N/2, N/2), from c^(p−1) mod p² and c^(q−1) mod q² (big-endian, `words` words each), as two's complement in words + 1 words:
 * m mod p = L(c^(p−1))·(−q⁻¹), L(u) = (u − 1)/p, as (1 + N)^(p−1) = 1 − N mod p² and L of that is −q. Returns RIGHT, which says besides that both divisions leave
 * nothing, and UNIT.
 */
export function ownerPlaintext(record: usize, halves: usize, words: u32, target: usize): u32 {
  let right: u32 = 1;
  let unit: u32 = 1;
  for (let half: usize = 0; half < 2; half++) {
    const k = wordsOf(record, false, half);
    const prime = slot(record, PRIME + half);
    const residue = half ? SECOND : FIRST;
    wordsFromBytes(RESULT, halves + half * (<usize>words << 2), words);
    unit &= nonZero(RESULT, words);
    memory.fill(SHORT, 0, <usize>words << 2);
    store<u32>(SHORT, 1);
    subtract(RESULT, RESULT, SHORT, words);
    right &= divideExactly(SHORT, k, RESULT, words, prime, k);
    multiplyWords(LONG, 2 * k, SHORT, k, slot(record, PLAIN + half), k);
    remainder(residue, LONG, 2 * k, prime, k, slot(record, RECIPROCAL + half));
  }
  right &= garner(record, false, RESULT, FIRST, SECOND);
  const count = wordsOf(record, false, 0) + wordsOf(record, false, 1);
  memory.fill(RESULT + (count << 2), 0, (<usize>words + 1 - count) << 2);
  // N − 2m < 0: the plaintext is m − N.
  memory.copy(LONG, RESULT, (<usize>words + 1) << 2);
  addMaskedWords(LONG, RESULT, <usize>words + 1, 0xffff_ffff);
  const above = <u32>subtract(LONG, slot(record, MODULUS), LONG, <usize>words + 1);
  memory.copy(LONG, slot(record, MODULUS), (<usize>words + 1) << 2);
  negateWords(LONG, <usize>words + 1, 0xffff_ffff);
  addMaskedWords(RESULT, LONG, <usize>words + 1, above);
  bytesFromWords(target, RESULT, <usize>words + 1);
  // Last, for a record that was spoilt on the way.
  right &= intact(record);
  return right * RIGHT + unit * UNIT;
}
