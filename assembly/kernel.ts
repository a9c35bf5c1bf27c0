/**
 * The kernel this module is built with: `fma` when relaxed SIMD is enabled (asconfig target *-fma), `extmul` otherwise. Both export the same
 * functions on the same contexts; everything above is written once.
 */
import { DIGIT_BITS as fmaBits, DIGIT_BYTES as fmaBytes } from './fma';
import * as fma from './fma';
import * as extmul from './extmul';

/** Digits for moduli of up to `bits` bits: room for M = k·N < 2^(bits + width) and R ≥ 4M; even, as a single number is cut in halves. */
export function digitsFor(bits: u32): u32 {
  if (ASC_FEATURE_RELAXED_SIMD) return ((bits + fmaBits + 2 + fmaBits - 1) / fmaBits + 1) & ~1;
  return extmul.digitsFor(bits);
}

/** Bits of a digit, for the size class of `digits` digits. */
export function widthFor(digits: u32): u32 {
  return ASC_FEATURE_RELAXED_SIMD ? fmaBits : extmul.widthFor(digits);
}

export function digitBytes(): usize {
  return ASC_FEATURE_RELAXED_SIMD ? fmaBytes : extmul.DIGIT_BYTES;
}

export function startBytes(lanes: usize, digits: usize): usize {
  return ASC_FEATURE_RELAXED_SIMD ? fma.startBytes(lanes, digits) : 0;
}

export function startValues(context: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startValues(context);
}

/** r = a·b/R mod M, below 2M for a, b below 2M. r may be a or b. */
@inline
export function multiply(context: usize, r: usize, a: usize, b: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.multiply(context, r, a, b);
  else extmul.multiply(context, r, a, b);
}

/** r = a²/R mod M. */
@inline
export function square(context: usize, r: usize, a: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.square(context, r, a);
  else extmul.square(context, r, a);
}

export function putDigit(context: usize, number: usize, lane: usize, k: usize, digit: u64): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.putDigit(context, number, lane, k, digit);
  else extmul.putDigit(context, number, lane, k, digit);
}

export function getDigit(context: usize, number: usize, lane: usize, k: usize): i64 {
  if (ASC_FEATURE_RELAXED_SIMD) return fma.getDigit(context, number, lane, k);
  return extmul.getDigit(context, number, lane, k);
}

/** Per lane: entry d0 / d1 of a table in the context's layout, reading all of it. */
export function select(context: usize, target: usize, table: usize, entries: u32, d0: u32, d1: u32): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.select(context, target, table, entries, d0, d1);
  else extmul.select(context, target, table, entries, d0, d1);
}

/** Per lane: entry d0 / d1 by address, for public digits. */
export function lookup(context: usize, target: usize, table: usize, d0: u32, d1: u32): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.lookup(context, target, table, d0, d1);
  else extmul.lookup(context, target, table, d0, d1);
}

/** Entry d0 / d1 of one table of single numbers, reading all of it. */
export function selectShared(context: usize, target: usize, table: usize, stride: usize, entries: u32, d0: u32, d1: u32): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.selectShared(context, target, table, stride, entries, d0, d1);
  else extmul.selectShared(context, target, table, stride, entries, d0, d1);
}

/** 1 when the arithmetic instructions of this kernel do what it needs on this machine. */
export function supported(): i32 {
  return ASC_FEATURE_RELAXED_SIMD ? fma.fusedMultiplyAdd() : 1;
}
