/** Digits of exponents. */

/** Bits [at, at + width) of the little-endian words at `e`, of which there are `words`; zeros above. */
@inline
export function window(e: usize, words: u32, at: u32, width: u32): u32 {
  const i = at >> 5;
  const low: u64 = load<u32>(e + (<usize>i << 2));
  const high: u64 = i + 1 < words ? load<u32>(e + (<usize>(i + 1) << 2)) : 0;
  return <u32>(((low | (high << 32)) >> (at & 31)) & ((1 << width) - 1));
}
