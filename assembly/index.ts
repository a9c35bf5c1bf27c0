/** What the host may call. Pointers are into linear memory; the host owns everything from `scratch()` on. See docs/architecture.md, rule 1. */
import { field, ONE, SIZE } from './context';
import { supported as kernelSupported } from './kernel';
import { wipeStatic } from './memory';
import { multiply, square } from './modular';
import { wipeShadow } from './shadow';

export { contextBytes, contextInit } from './setup';
export { power, powerBytes } from './power';
export { slide, slideBytes } from './sliding';
export { combBuild, combBytes, combPower } from './comb';
export { invert } from './gcd';
export { ownerBytes, ownerContext, ownerExponent, ownerInit, ownerModuli, ownerPlaintext, ownerRecombine, ownerReduce } from './owner';

/** First address the host may use, 16-aligned. */
export function scratch(): usize {
  return (__heap_base + 15) & ~15;
}

/** 1 when this kernel's instructions are exact on this machine. */
export function supported(): i32 {
  return kernelSupported();
}

/** Zeroes the module's own working areas and the `bytes` bytes at `from`. */
export function wipe(from: usize, bytes: usize): void {
  wipeStatic();
  wipeShadow();
  memory.fill(from, 0, bytes);
}

/** Bytes of a number inside a context. */
export function numberBytes(context: usize): usize {
  return field(context, SIZE);
}

/** `count` multiplications (or squarings) of a number at `target` by itself and the one, for measuring. */
export function repeat(context: usize, target: usize, count: i32, squarings: i32): void {
  memory.copy(target, field(context, ONE), field(context, SIZE));
  if (squarings) for (let i = 0; i < count; i++) square(context, target, target);
  else for (let i = 0; i < count; i++) multiply(context, target, target, target);
}
