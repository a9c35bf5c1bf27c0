/**
 * Powers of a base that is used again and again, from tables (C. H. Lim and P. J. Lee, CRYPTO '94, cut into chunks). A chunk serves 384 bits of
 * the exponent: six teeth, 64 bits apart. For chunk c of base g, with G = g^(2^(384c)),
 *
 *   entry d  = ∏ over the bits r of d of G^(2^(64r))     d < 64
 *   entry 64 = G^(−2^384) = g^(−2^(384(c + 1)))
 *
 * and g^e for e = Σ_c Σ_r Σ_j e_(384c + 64r + j)·2^(384c + 64r + j) takes 64 rounds: for j from 63 down, square, and for each chunk multiply by the
 * entry of the six bits (e_(384c + 64r + j))_r. All chunks of all bases share the squarings. A short exponent uses few chunks.
 *
 * Signed exponents are two's complement over the chunks in use: e = u − sign·2^(384·chunks), so entry 64 of the last chunk is selected in if
 * the sign is set. Secret digits and signs read all entries.
 */
import { field, LANES, ONE, PLAIN, SIZE, WORDS_OF } from './context';
import { invert } from './gcd';
import { selectShared } from './kernel';
import { enter, multiply, square } from './modular';
import { bytesFromWords, exportNumber, importNumber } from './words';

const TEETH: usize = 6;
const SPACING: u32 = 64;
const CHUNK_WORDS: u32 = 12;
const ENTRIES: usize = 64;

/** Bytes of a chunk for a modulus with this context, single or pair. */
export function combBytes(context: usize): usize {
  return (ENTRIES + 1) * (field(context, SIZE) / field(context, LANES));
}

/**
 * Builds a chunk for the base at `base` (big-endian), and replaces that by the next chunk's base. `context` is single; `area` takes a number and
 * twice the modulus' length. 1, or 0 when the base has no inverse.
 */
export function combBuild(context: usize, chunk: usize, base: usize, area: usize): u32 {
  const size = field(context, SIZE);
  const words = field(context, WORDS_OF);
  memory.copy(chunk, field(context, ONE), size);
  const running = area;
  importNumber(context, running, 0, base);
  enter(context, running);
  for (let tooth: usize = 0; tooth < TEETH; tooth++) {
    const count: usize = 1 << tooth;
    const at = chunk + count * size;
    memory.copy(at, running, size);
    for (let d: usize = 1; d < count; d++) multiply(context, at + d * size, chunk + d * size, running);
    for (let i: u32 = 0; i < SPACING; i++) square(context, running, running);
  }
  exportNumber(context, base, running);
  const n = area + size;
  const x = n + (words << 2);
  bytesFromWords(n, field(context, PLAIN), words);
  memory.copy(x, base, words << 2);
  const unit = invert(n, x, <u32>words << 2, 1);
  const correction = chunk + ENTRIES * size;
  importNumber(context, correction, 0, x);
  enter(context, correction);
  return unit;
}

/** The digit of column j of chunk c: bits 384c + 64r + j of the words at `e`. */
@inline
function digit(e: usize, c: u32, j: u32): u32 {
  let d: u32 = 0;
  const at = e + (<usize>(c * CHUNK_WORDS + (j >> 5)) << 2);
  for (let r: usize = 0; r < TEETH; r++) d |= ((load<u32>(at + (r << 3)) >> (j & 31)) & 1) << <u32>r;
  return d;
}

/**
 * ∏ base^exponent over `bases` bases in each lane; a pair context holds the same modulus twice, as both lanes use the same tables.
 * `input`: the results, lane after lane, will be written here; `list` for each base: the number of chunks in use, then their addresses;
 * `exponents` for each base and lane: 12·chunks + 1 words. `area` takes two numbers.
 */
export function combPower(context: usize, output: usize, area: usize, bases: u32, list: usize, exponents: usize, secret: u32): void {
  const size = field(context, SIZE);
  const lanes = field(context, LANES);
  const stride = size / lanes;
  const accumulator = area;
  const chosen = area + size;
  memory.copy(accumulator, field(context, ONE), size);
  for (let j = <i32>SPACING - 1; j >= 0; j--) {
    if (j != <i32>SPACING - 1) square(context, accumulator, accumulator);
    let chunks = list;
    let e = exponents;
    for (let b: u32 = 0; b < bases; b++) {
      const count = load<u32>(chunks);
      const perLane = <usize>(count * CHUNK_WORDS + 1) << 2;
      for (let c: u32 = 0; c < count; c++) {
        chunks += 4;
        const d0 = digit(e, c, j);
        const d1 = lanes == 2 ? digit(e + perLane, c, j) : d0;
        step(context, accumulator, chosen, load<u32>(chunks), stride, <u32>ENTRIES, d0, d1, secret);
      }
      chunks += 4;
      e += perLane * lanes;
    }
  }
  let chunks = list;
  let e = exponents;
  for (let b: u32 = 0; b < bases; b++) {
    const count = load<u32>(chunks);
    const perLane = <usize>(count * CHUNK_WORDS + 1) << 2;
    const signAt = perLane - 4;
    const s0 = load<u32>(e + signAt) & 1;
    const s1 = lanes == 2 ? load<u32>(e + perLane + signAt) & 1 : s0;
    if (count) step(context, accumulator, chosen, load<u32>(chunks + (<usize>count << 2)), stride * ENTRIES, 2, s0, s1, secret);
    chunks += <usize>(count + 1) << 2;
    e += perLane * lanes;
  }
  exportNumber(context, output, accumulator);
}

/** Multiplies by an entry. A public zero digit costs nothing; for one number, public digits read the table by address. */
function step(context: usize, accumulator: usize, chosen: usize, table: usize, stride: usize, entries: u32, d0: u32, d1: u32, secret: u32): void {
  if (!secret) {
    if (!(d0 | d1)) return;
    if (field(context, LANES) == 1) {
      multiply(context, accumulator, accumulator, table + stride * d0);
      return;
    }
  }
  selectShared(context, chosen, table, stride, entries, d0, d1);
  multiply(context, accumulator, accumulator, chosen);
}
