/**
 * Public exponents, one number at a time: sliding windows over tables of odd powers. All terms share the squarings. Time and addresses follow
 * the exponents, which everybody knows; bases may be secret.
 */
import { field, ONE, SIZE, WORDS_OF } from './context';
import { enter, multiply, square } from './modular';
import { exportNumber, importNumber } from './words';

/** The bytes of the area that `slide` works in. */
export function slideBytes(context: usize, terms: u32, bits: u32, width: u32): usize {
  return field(context, SIZE) * (2 + (<usize>terms << (width - 1))) + <usize>((terms * (bits + 1) + 15) & ~15);
}

@inline
function bit(e: usize, i: u32): u32 {
  return (load<u32>(e + (<usize>(i >> 5) << 2)) >> (i & 31)) & 1;
}

/** Splits e = Σ digit_i·2^i with digits 0 or odd below 2^width, at least `width` positions apart. */
function recode(digits: usize, e: usize, bits: u32, width: u32): void {
  memory.fill(digits, 0, bits);
  for (let i: u32 = 0; i < bits; ) {
    if (!bit(e, i)) {
      i++;
      continue;
    }
    let d: u32 = 0;
    for (let k: u32 = 0; k < width && i + k < bits; k++) d |= bit(e, i + k) << k;
    store<u8>(digits + i, <u8>d);
    i += width;
  }
}

/** As `power` (power.ts) for non-negative exponents in a single context: same input, same result. `bits`: the longest exponent's. */
export function slide(context: usize, input: usize, area: usize, terms: u32, words: u32, width: u32, bits: u32, factors: u32): void {
  const size = field(context, SIZE);
  const length = field(context, WORDS_OF) << 2;
  const perTerm = (length << 1) + (<usize>words << 2);
  const data = input + ((<usize>(terms << 2) + 15) & ~15);
  const accumulator = area;
  const spare = area + size;
  const tables = spare + size;
  const tableBytes = size << (width - 1);
  const digits = tables + <usize>terms * tableBytes;
  for (let term: u32 = 0; term < terms; term++) {
    const table = tables + <usize>term * tableBytes;
    const at = data + <usize>term * perTerm;
    importNumber(context, table, 0, at);
    enter(context, table);
    square(context, spare, table);
    for (let i: usize = 1; i < <usize>1 << (width - 1); i++) multiply(context, table + i * size, table + (i - 1) * size, spare);
    recode(digits + <usize>(term * bits), at + (length << 1), bits, width);
  }
  memory.copy(accumulator, field(context, ONE), size);
  let started = false;
  for (let i = <i32>bits - 1; i >= 0; i--) {
    if (started) square(context, accumulator, accumulator);
    for (let term: u32 = 0; term < terms; term++) {
      const d: usize = load<u8>(digits + <usize>(term * bits) + i);
      if (!d) continue;
      multiply(context, accumulator, accumulator, tables + <usize>term * tableBytes + (d >> 1) * size);
      started = true;
    }
  }
  if (factors) {
    importNumber(context, spare, 0, data + <usize>terms * perTerm);
    enter(context, spare);
    multiply(context, accumulator, accumulator, spare);
  }
  exportNumber(context, input, accumulator);
}
