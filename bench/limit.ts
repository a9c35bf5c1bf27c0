/**
 * How far the fma kernel is from what the processor could issue. Its unit is the vector product: two 51-bit products by two multiply-adds, a
 * subtraction and two integer additions. The clock is not asked for but measured, as it is seldom the advertised one.
 */
import { scaled, type Result } from './types.ts';

const STEPS = 2_000_000;
/** Cycles of a 32-bit multiplication until its result can be used: three on every x86-64 and 64-bit ARM processor of the last fifteen years. */
const MULTIPLICATION = 3;

/** Multiplications that each wait for the one before. */
function chain(x: number, y: number): number {
  for (let i = 0; i < STEPS / 4; i++) {
    x = Math.imul(x, y);
    x = Math.imul(x, y);
    x = Math.imul(x, y);
    x = Math.imul(x, y);
  }
  return x;
}

/** GHz that this thread runs at. */
export function clock(): number {
  let fastest = Infinity;
  for (let round = 0; round < 20; round++) {
    const begin = process.cpuUsage();
    chain(3, round | 1);
    const { user, system } = process.cpuUsage(begin);
    if (round > 2) fastest = Math.min(fastest, user + system);
  }
  return (STEPS * MULTIPLICATION) / (fastest * 1000);
}

/** Digits of a number of that many bits, as assembly/kernel.ts has them. */
const digits = (bits: number): number => (Math.floor((bits + 103) / 51) + 1) & ~1;

/**
 * From the times of multiplications, `kernel.modmul.*`: cycles for each vector product. A multiplication of L digits takes L² for the product and L² for
 * the reduction, and each serves two digits.
 */
export const vectorProducts = (results: readonly Result[], gigahertz: number): Result[] =>
  results.flatMap((result) => {
    const [, bits, lanes] = /^kernel\.modmul\.(\d+)\.(single|pair)$/.exec(result.name) ?? [];
    return bits === undefined ? [] : [scaled(`kernel.vector.${bits}.${lanes!}`, 'cycles', result, gigahertz / digits(Number(bits)) ** 2)];
  });
