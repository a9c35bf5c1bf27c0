/**
 * Exponentiation. All terms of a product share the squarings (Straus). One call works in the context's lanes: one product of powers, or two
 * independent ones of the same shape.
 *
 * Secret exponents: fixed windows over a fixed number of bits, every table entry read for every window, and the sign taken in by selecting
 * between the base and its inverse. Public exponents: tables read by address, and, for one number, sliding windows.
 */
import { field, LANES, ONE, OUT, SIZE, SQUARED, WORDS_OF } from './context';
import { lookup, select } from './kernel';
import { add, enter, multiply, square } from './modular';
import { expectPowers } from './shadow';
import { window } from './windows';
import { absolute, exportNumber, importNumber } from './words';

/** The bytes of the area that `power` works in, after its input. */
export function powerBytes(context: usize, terms: u32, width: u32): usize {
  return field(context, SIZE) * (3 + ((<usize>terms) << width));
}

/**
 * Takes a number of each lane, `stride` bytes apart from `source` on, into Montgomery form. With `shift`, the number 2^(32·words), it has twice as many words
 * as the modulus: that is how a base gets modulo a secret factor without being divided by it. The sum of both parts is brought below 2M again by a
 * multiplication by 1: below 4M (or 6M, modulo N²) times M, over R ≥ 4M (32M), is below M, and at most M is added.
 */
function take(context: usize, number: usize, source: usize, stride: usize, shift: usize, spare: usize): void {
  const lanes = field(context, LANES);
  const length = shift ? field(context, WORDS_OF) << 2 : 0;
  for (let lane: usize = 0; lane < lanes; lane++) importNumber(context, number, lane, source + lane * stride + length);
  enter(context, number);
  if (!shift) return;
  for (let lane: usize = 0; lane < lanes; lane++) importNumber(context, spare, lane, source + lane * stride);
  enter(context, spare);
  multiply(context, spare, spare, shift);
  add(context, number, number, spare);
  multiply(context, number, number, field(context, ONE));
}

/**
 * factor · ∏ base^exponent for each lane; the canonical results replace the start of `input`, lane after lane.
 *
 * `input`: for each term, how many bits of its exponent to read (u32; public, and the same for all lanes); padding to 16 bytes; then for each
 * term and lane the base and its inverse (big-endian, the modulus' length each, or twice that with `wide`) and the exponent (little-endian two's
 * complement, `words` 32-bit words); then, when `factors` is 1, a factor for each lane, of a base's length. `signs`: 1 when exponents may be negative; the
 * inverses are read only then. `area`: powerBytes bytes, 16-aligned. Windows have `width` ≥ 2 bits. With `checked`, 0 is returned when a fault has
 * spoilt a result (shadow.ts), which is then not to be used; in every other case 1.
 */
export function power(
  context: usize, input: usize, area: usize, terms: u32, words: u32, width: u32, signs: u32, secret: u32, factors: u32, checked: u32, wide: u32,
): u32 {
  const size = field(context, SIZE);
  const lanes = field(context, LANES);
  const length = field(context, WORDS_OF) << (wide ? 3 : 2);
  const exponentAt = length << 1;
  const perLane = exponentAt + (<usize>words << 2);
  const perTerm = lanes * perLane;
  const data = input + ((<usize>(terms << 2) + 15) & ~15);
  const accumulator = area;
  const chosen = area + size;
  const tables = chosen + size;
  const entries: u32 = 1 << width;
  // 2^(32·words) in Montgomery form, above the tables.
  const shift = wide ? tables + ((<usize>terms * size) << width) : 0;
  if (wide) multiply(context, shift, field(context, OUT), field(context, SQUARED));
  const tableBytes = size << width;
  let bits: u32 = 0;
  let negative0: u32 = 0, negative1: u32 = 0;

  for (let term: u32 = 0; term < terms; term++) {
    bits = max(bits, load<u32>(input + (<usize>term << 2)));
    const table = tables + <usize>term * tableBytes;
    const base = table + size;
    const at = data + <usize>term * perTerm;
    memory.copy(table, field(context, ONE), size);
    take(context, base, at, perLane, shift, chosen);
    if (signs) {
      // Entry 2 holds the inverse for a moment; the sign of each lane selects between the two.
      const inverse = base + size;
      take(context, inverse, at + length, perLane, shift, chosen);
      const s0 = absolute(at + exponentAt, words) & 1;
      const s1 = lanes == 2 ? absolute(at + perLane + exponentAt, words) & 1 : s0;
      select(context, chosen, base, 2, s0, s1);
      memory.copy(base, chosen, size);
      negative0 |= s0 << term;
      negative1 |= s1 << term;
    }
    for (let i: usize = 2; i < entries; i += 2) {
      square(context, table + i * size, table + (i >> 1) * size);
      multiply(context, table + (i + 1) * size, table + i * size, base);
    }
  }

  // First, so that exponents and factor that change on the way do not go into both.
  if (checked) {
    for (let lane: usize = 0; lane < lanes; lane++) {
      const factor = factors ? data + <usize>terms * perTerm + lane * length : 0;
      expectPowers(context, lane, input, data + lane * perLane, length, terms, perTerm, words, lane ? negative1 : negative0, factor);
    }
  }

  memory.copy(accumulator, field(context, ONE), size);
  const top = <i32>((bits + width - 1) / width * width - width);
  for (let position = top; position >= 0; position -= width) {
    if (position != top) for (let i: u32 = 0; i < width; i++) square(context, accumulator, accumulator);
    for (let term: u32 = 0; term < terms; term++) {
      if (<u32>position >= load<u32>(input + (<usize>term << 2))) continue;
      const e = data + <usize>term * perTerm + exponentAt;
      const d0 = window(e, words, position, width);
      const d1 = lanes == 2 ? window(e + perLane, words, position, width) : d0;
      const table = tables + <usize>term * tableBytes;
      if (secret) {
        select(context, chosen, table, entries, d0, d1);
        multiply(context, accumulator, accumulator, chosen);
      } else if (d0 | d1) {
        lookup(context, chosen, table, d0, d1);
        multiply(context, accumulator, accumulator, chosen);
      }
    }
  }
  if (factors) {
    take(context, chosen, data + <usize>terms * perTerm, length, shift, tables);
    multiply(context, accumulator, accumulator, chosen);
  }
  return exportNumber(context, input, accumulator, checked);
}
