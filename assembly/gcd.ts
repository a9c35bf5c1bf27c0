/**
 * Greatest common divisor and inverse in constant time: D. J. Bernstein and B.-Y. Yang, "Fast constant-time gcd computation and modular
 * inversion" (CHES 2019), in the half-delta form of P. Wuille. Numbers are signed, in limbs of 30 bits, least first; the top limb has the sign.
 *
 * f = n (odd), g = x. Thirty division steps at a time are first done on the low bits, giving a 2×2 matrix [u v; q r] of integers below 2^30
 * with 2^30·(f', g') = [u v; q r]·(f, g), which is then applied to f, g and, modulo n, to d, e (d·x ≡ f, e·x ≡ g mod n, up to powers of 2
 * that the modular application divides out). When g reaches 0, f = ±gcd.
 */
import { GCD } from './memory';
import { bytesFromWords, wordsFromBytes } from './words';
import { WORDS } from './memory';

const LIMB_BYTES: usize = 1024;
const F = GCD;
const LIMB: i64 = 0x3fff_ffff;

/** The matrix of the last thirty steps. */
let u: i32 = 0;
let v: i32 = 0;
let q: i32 = 0;
let r: i32 = 0;

/** Thirty half-delta division steps on the low 32 bits of f and g; `zeta` = −(delta + 1/2), returned for the next batch. */
function steps(zeta: i32, f: i32, g: i32): i32 {
  let a: i32 = 1, b: i32 = 0, c: i32 = 0, d: i32 = 1;
  for (let i = 0; i < 30; i++) {
    // Masks: zeta < 0, and g odd.
    const swap = zeta >> 31;
    const odd = -(g & 1);
    // g += ±f, and so for the rows of the matrix.
    g += ((f ^ swap) - swap) & odd;
    c += ((a ^ swap) - swap) & odd;
    d += ((b ^ swap) - swap) & odd;
    // When both hold: zeta = −zeta − 2 and f takes the old g; else zeta − 1.
    const both = swap & odd;
    zeta = (zeta ^ both) - 1;
    f += g & both;
    a += c & both;
    b += d & both;
    g >>= 1;
    a <<= 1;
    b <<= 1;
  }
  u = a;
  v = b;
  q = c;
  r = d;
  return zeta;
}

/** (f, g) = matrix·(f, g) / 2^30, exactly. */
function updateFG(f: usize, g: usize, limbs: i32): void {
  let cf = <i64>u * load<i32>(f) + <i64>v * load<i32>(g);
  let cg = <i64>q * load<i32>(f) + <i64>r * load<i32>(g);
  cf >>= 30;
  cg >>= 30;
  const end = <usize>(limbs << 2);
  for (let i: usize = 4; i < end; i += 4) {
    const fi = <i64>load<i32>(f + i);
    const gi = <i64>load<i32>(g + i);
    cf += u * fi + v * gi;
    cg += q * fi + r * gi;
    store<i32>(f + i - 4, <i32>(cf & LIMB));
    store<i32>(g + i - 4, <i32>(cg & LIMB));
    cf >>= 30;
    cg >>= 30;
  }
  store<i32>(f + end - 4, <i32>cf);
  store<i32>(g + end - 4, <i32>cg);
}

/** (d, e) = matrix·(d, e) / 2^30 mod n, both kept in (−2n, n). `inverse` = n⁻¹ mod 2^30. */
function updateDE(d: usize, e: usize, n: usize, limbs: i32, inverse: i32): void {
  const end = <usize>(limbs << 2);
  const signD = load<i32>(d + end - 4) >> 31;
  const signE = load<i32>(e + end - 4) >> 31;
  // Multiples of n: those that make negative d, e positive, and those that make the low 30 bits 0.
  let md = (u & signD) + (v & signE);
  let me = (q & signD) + (r & signE);
  let cd = <i64>u * load<i32>(d) + <i64>v * load<i32>(e);
  let ce = <i64>q * load<i32>(d) + <i64>r * load<i32>(e);
  md -= (inverse * <i32>cd + md) & <i32>LIMB;
  me -= (inverse * <i32>ce + me) & <i32>LIMB;
  cd += <i64>load<i32>(n) * md;
  ce += <i64>load<i32>(n) * me;
  cd >>= 30;
  ce >>= 30;
  for (let i: usize = 4; i < end; i += 4) {
    const di = <i64>load<i32>(d + i);
    const ei = <i64>load<i32>(e + i);
    const ni = <i64>load<i32>(n + i);
    cd += u * di + v * ei + ni * md;
    ce += q * di + r * ei + ni * me;
    store<i32>(d + i - 4, <i32>(cd & LIMB));
    store<i32>(e + i - 4, <i32>(ce & LIMB));
    cd >>= 30;
    ce >>= 30;
  }
  store<i32>(d + end - 4, <i32>cd);
  store<i32>(e + end - 4, <i32>ce);
}

/** Limbs of the big-endian bytes at `source`. */
function limbsFromBytes(target: usize, source: usize, words: usize, limbs: i32): void {
  wordsFromBytes(WORDS, source, words);
  for (let i = 0; i < limbs; i++) {
    const bit = 30 * i;
    const at = <usize>(bit >> 5);
    const low: u64 = at < words ? load<u32>(WORDS + (at << 2)) : 0;
    const high: u64 = at + 1 < words ? load<u32>(WORDS + ((at + 1) << 2)) : 0;
    store<i32>(target + <usize>(i << 2), <i32>((low | (high << 32)) >> (bit & 31)) & <i32>LIMB);
  }
}

/** d + (n and `mask`), or −d + … when `negate` is −1, carried. */
function addMasked(d: usize, n: usize, limbs: i32, negate: i32, mask: i32): void {
  let carry = 0;
  for (let i = 0; i < limbs; i++) {
    const p = d + <usize>(i << 2);
    const x = ((load<i32>(p) ^ negate) - negate) + (load<i32>(n + <usize>(i << 2)) & mask) + carry;
    if (i == limbs - 1) store<i32>(p, x);
    else store<i32>(p, x & <i32>LIMB);
    carry = x >> 30;
  }
}

/**
 * 1 when gcd(x, n) = 1. Big-endian numbers of `bytes` bytes (a multiple of 4) at `nAt` (odd) and `xAt`, x < n; when `wanted`, the inverse of
 * x mod n replaces x (garbage when there is none).
 */
export function invert(nAt: usize, xAt: usize, bytes: u32, wanted: u32): u32 {
  const words = <usize>bytes >> 2;
  const limbs = <i32>((bytes * 8 + 3 + 29) / 30);
  const size = <usize>limbs << 2;
  const f = F;
  const g = f + LIMB_BYTES;
  const d = g + LIMB_BYTES;
  const e = d + LIMB_BYTES;
  const n = e + LIMB_BYTES;
  limbsFromBytes(n, nAt, words, limbs);
  limbsFromBytes(g, xAt, words, limbs);
  memory.copy(f, n, size);
  memory.fill(d, 0, size);
  memory.fill(e, 0, size);
  store<i32>(e, 1);
  const n0 = load<i32>(n);
  let inverse = n0;
  for (let i = 0; i < 4; i++) inverse *= 2 - n0 * inverse;

  // (45907·b + 26313)/19929 steps reach g = 0 for b-bit numbers; the loop below is the proof, should the bound be wrong.
  const bits = bytes * 8;
  let batches = <i32>((<u64>45907 * bits + 26313) / 19929 / 30) + 1;
  let zeta = -1;
  let rest = 1;
  while (batches > 0 || rest != 0) {
    zeta = steps(zeta, load<i32>(f) | (load<i32>(f, 4) << 30), load<i32>(g) | (load<i32>(g, 4) << 30));
    if (wanted) updateDE(d, e, n, limbs, inverse);
    updateFG(f, g, limbs);
    if (--batches <= 0) {
      rest = 0;
      for (let i: usize = 0; i < size; i += 4) rest |= load<i32>(g + i);
    }
  }
  // f = ±gcd. Its sign goes into d, which is then brought from (−2n, n) to [0, n).
  const sign = load<i32>(f + size - 4) >> 31;
  addMasked(f, n, limbs, sign, 0);
  let other = load<i32>(f) ^ 1;
  for (let i: usize = 4; i < size; i += 4) other |= load<i32>(f + i);
  if (wanted) {
    addMasked(d, n, limbs, 0, load<i32>(d + size - 4) >> 31);
    addMasked(d, n, limbs, sign, 0);
    addMasked(d, n, limbs, 0, load<i32>(d + size - 4) >> 31);
    memory.fill(WORDS, 0, words << 2);
    for (let i = 0; i < limbs; i++) {
      const bit = 30 * i;
      const at = <usize>(bit >> 5);
      const shifted = <u64>load<u32>(d + <usize>(i << 2)) << (bit & 31);
      if (at < words) store<u32>(WORDS + (at << 2), load<u32>(WORDS + (at << 2)) | <u32>shifted);
      if (at + 1 < words) store<u32>(WORDS + ((at + 1) << 2), load<u32>(WORDS + ((at + 1) << 2)) | <u32>(shifted >> 32));
    }
    bytesFromWords(xAt, WORDS, words);
  }
  u = v = q = r = 0;
  return other == 0 ? 1 : 0;
}
