/**
 * The kernel this module is built with: `fma` when relaxed SIMD is enabled (asconfig target *-fma), `extmul` otherwise. Both export the same
 * functions on the same contexts; everything above is written once.
 */
import { DIGIT_BITS as fmaBits, DIGIT_BYTES as fmaBytes } from './fma';
import * as fma from './fma';
import * as extmul from './extmul';

/** Digits of a part for moduli of up to `bits` bits; even, as a single number is cut in halves. */
export function digitsFor(bits: u32, parts: u32): u32 {
  if (ASC_FEATURE_RELAXED_SIMD) return fma.digitsFor(bits, parts);
  return extmul.digitsFor(bits, parts);
}

/** Bits of a digit, for moduli of up to `bits` bits. */
export function widthFor(bits: u32, parts: u32): u32 {
  return ASC_FEATURE_RELAXED_SIMD ? fmaBits : extmul.widthFor(bits, parts);
}

export function digitBytes(): usize {
  return ASC_FEATURE_RELAXED_SIMD ? fmaBytes : extmul.DIGIT_BYTES;
}

export function startBytes(lanes: usize, digits: usize): usize {
  return ASC_FEATURE_RELAXED_SIMD ? fma.startBytes(lanes, digits) : 0;
}

/** Bytes at CROSS_START: start values, or a number of one part. */
export function crossBytes(lanes: usize, digits: usize): usize {
  return ASC_FEATURE_RELAXED_SIMD ? fma.startBytes(lanes, digits) : (lanes * digits * extmul.DIGIT_BYTES + 15) & ~15;
}

/** Whether CROSS_START holds the number 1 − R mod M, instead of start values. */
export const CROSS_IS_NUMBER: bool = !ASC_FEATURE_RELAXED_SIMD;

export function startValues(context: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startValues(context);
}

/*
 * A product modulo M is made in the accumulator and then reduced: T = a·b (or a²), r = T/R mod M, below 2M for a, b below 2M. Arguments are
 * numbers of one part.
 */

/** T = a·b. */
@inline
export function startProduct(context: usize, a: usize, b: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startProduct(context, a, b);
  else extmul.startProduct(context, a, b);
}

/** T = a². */
@inline
export function startSquare(context: usize, a: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startSquare(context, a);
  else extmul.startSquare(context, a);
}

/** T = −q, the quotient of the reduction before, in a squared context. */
@inline
export function startCross(context: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startCross(context);
  else extmul.startCross(context);
}

/** T = 2·a·b − q. */
@inline
export function startDoubledCross(context: usize, a: usize, b: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.startDoubledCross(context, a, b);
  else extmul.startDoubledCross(context, a, b);
}

/** T += a·b. */
@inline
export function addProduct(context: usize, a: usize, b: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.addProduct(context, a, b);
  else extmul.addProduct(context, a, b);
}

/** r = T/R mod M; the quotient stays in T for startCross and startDoubledCross. r may be where a or b was. */
@inline
export function reduce(context: usize, r: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) fma.reduce(context, r);
  else extmul.reduce(context, r);
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
