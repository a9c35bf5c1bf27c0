/** From a batch of operations to tasks for the workers: checks, a model of cost, pairs of equal shape side by side. */
import { bitLength } from '../base/bytes.ts';
import { hasFactors, MAX_TERMS, type Modulus, type Operation, type PaillierKey, type RingPedersenKey } from './types.ts';

const MIN_BITS = 512;
const MAX_BITS = 6144;
/**
 * Of the factors of a key. The kernels are wrong, not slow, for moduli of less than a handful of digits; the squares of longer factors would not fit the areas of
 * assembly/memory.ts.
 */
const MIN_FACTOR_BITS = MIN_BITS / 2;
const MAX_FACTOR_BITS = MAX_BITS / 2;
/** Numbers of unequal length are compared by it: no digit of a good factor is looked at. */
const LEAST_FACTOR = 1n << BigInt(MIN_FACTOR_BITS - 1);
const FACTORS_END = 1n << BigInt(MAX_FACTOR_BITS);

/** Milliseconds of one thread a task should not exceed, so that signing work waits for refill work no longer than that. */
const MAX_TASK = 12;
/** And milliseconds below which the way to a worker costs more than it brings. */
const MIN_TASK = 0.5;

export interface Task {
  /** Positions in the batch. */
  readonly indices: readonly number[];
  readonly operations: readonly Operation[];
}

function checkModulus(name: string, n: bigint): void {
  if (n <= 0n || n % 2n === 0n) throw new RangeError(`${name} must be odd and positive`);
  const bits = bitLength(n);
  if (bits < MIN_BITS || bits > MAX_BITS) throw new RangeError(`${name} has ${bits} bits; the core takes ${MIN_BITS} to ${MAX_BITS}`);
}

function checkFactors(key: PaillierKey | RingPedersenKey): void {
  if (!hasFactors(key)) return;
  const wrong = [key.p, key.q].find((factor) => factor < LEAST_FACTOR || factor >= FACTORS_END);
  if (wrong === undefined) return;
  throw new RangeError(`a factor of a key has ${bitLength(wrong)} bits; the core takes ${MIN_FACTOR_BITS} to ${MAX_FACTOR_BITS}`);
}

/** @throws RangeError naming what is wrong with the operation. */
export function check(operation: Operation): void {
  checkModuli(operation);
  if (operation.op === 'power' && typeof operation.modulus !== 'bigint') checkFactors(operation.modulus.key);
  if (operation.op === 'encrypt' || operation.op === 'decrypt' || operation.op === 'root') checkFactors(operation.key);
  if (operation.op === 'commit') checkFactors(operation.setup);
}

function checkModuli(operation: Operation): void {
  switch (operation.op) {
    case 'power': {
      const { modulus, terms } = operation;
      if (terms.length < 1 || terms.length > MAX_TERMS) throw new RangeError(`power takes 1 to ${MAX_TERMS} terms, got ${terms.length}`);
      if (typeof modulus === 'bigint') checkModulus('the modulus', modulus);
      else if (modulus.mod === 'N') checkModulus('N', modulus.key.n);
      else checkSquare(modulus.key.n);
      return;
    }
    case 'encrypt':
    case 'decrypt':
      return checkSquare(operation.key.n);
    case 'root':
      return checkModulus('N', operation.key.n);
    case 'commit':
      return checkModulus('N̂', operation.setup.n);
    case 'coprime':
      return checkModulus('n', operation.n);
    case 'search':
      if (!Number.isInteger(operation.bits) || operation.bits < MIN_BITS || operation.bits > MAX_BITS / 2)
        throw new RangeError(`safe primes of ${operation.bits} bits; the core searches those of ${MIN_BITS} to ${MAX_BITS / 2}`);
      return;
  }
}

function checkSquare(n: bigint): void {
  checkModulus('N', n);
  if (2 * bitLength(n) > MAX_BITS + 1)
    throw new RangeError(`N has ${bitLength(n)} bits; the core computes modulo N² up to ${MAX_BITS / 2} bits of N`);
}

/** The length of a plain modulus that costs as much: modulo N² of 2b bits as modulo 1.6b. */
const size = (modulus: Modulus): number =>
  typeof modulus === 'bigint' ? bitLength(modulus) : bitLength(modulus.key.n) * (modulus.mod === 'N' ? 1 : SQUARE);
const SQUARE = 1.6;

/** Milliseconds, to a factor of two or so: an exponentiation with e-bit exponent modulo b bits grows as e·b². */
const powers = (b: number, e: number): number => (8 * e * b * b) / 3072 ** 3;

interface Estimate {
  readonly cost: number;
  /** Operations of equal shape may share the lanes; those that fill both lanes by themselves have none. */
  readonly shape?: string;
}

function estimate(operation: Operation): Estimate {
  switch (operation.op) {
    case 'power': {
      const { modulus, terms, secret } = operation;
      const lengths = terms.map(({ exponent }) => Math.max(64, Math.ceil(bitLength(exponent) / 256) * 256));
      const e = Math.max(...lengths) + 0.2 * lengths.reduce((sum, n) => sum + n, 0);
      const own = typeof modulus !== 'bigint' && hasFactors(modulus.key);
      if (own) return { cost: powers(size(modulus), Math.min(e, size(modulus) * 1.2)) / 2 };
      // Many public terms are nearly all multiplications, of which the sliding windows of a single number take fewer than the fixed ones of a pair.
      if (!secret && terms.length > 2) return { cost: powers(size(modulus), e) };
      return { cost: powers(size(modulus), e), shape: ['power', size(modulus), secret, ...lengths].join() };
    }
    case 'encrypt': {
      const bits = bitLength(operation.key.n);
      return hasFactors(operation.key)
        ? { cost: powers(SQUARE * bits, bits) * 0.4 }
        : { cost: powers(SQUARE * bits, bits), shape: `encrypt,${bits}` };
    }
    case 'decrypt':
      return { cost: powers(SQUARE * bitLength(operation.key.n), bitLength(operation.key.n)) * 0.3 };
    case 'root':
      return { cost: powers(bitLength(operation.key.n), bitLength(operation.key.n)) * 0.3 };
    case 'commit': {
      const bits = bitLength(operation.setup.n);
      if (hasFactors(operation.setup)) return { cost: powers(bits, bits) * 0.3 };
      const lengths = [operation.x, operation.y].map((e) => Math.ceil(bitLength(e) / 384) * 384);
      return { cost: powers(bits, lengths[0]! + lengths[1]!) * 0.25, shape: ['commit', bits, operation.secret, ...lengths].join() };
    }
    case 'coprime':
      return { cost: 0.2 + operation.values.length * 0.02 };
    case 'search':
      return { cost: MAX_TASK };
  }
}

/**
 * Cuts a batch into tasks. With more operations than idle workers, operations of equal shape stand side by side, two to a task or a multiple;
 * with fewer, each gets its own worker: then the pair's saving in work is worth less than the second worker.
 */
export function plan(operations: readonly Operation[], threads: number, idle: number): Task[] {
  const estimates = operations.map(estimate);
  const units: { indices: number[]; cost: number }[] = [];
  const half = new Map<string, number>();
  estimates.forEach(({ cost, shape }, i) => {
    const partner = shape === undefined || operations.length <= idle ? undefined : half.get(shape);
    if (partner !== undefined) {
      half.delete(shape!);
      units[partner]!.indices.push(i);
      units[partner]!.cost += cost * 0.7;
      return;
    }
    units.push({ indices: [i], cost });
    if (shape !== undefined) half.set(shape, units.length - 1);
  });
  const total = units.reduce((sum, { cost }) => sum + cost, 0);
  const target = Math.max(MIN_TASK, Math.min(MAX_TASK, total / (2 * threads)));
  const tasks: { indices: number[]; cost: number }[] = [];
  for (const unit of units) {
    const last = tasks.at(-1);
    if (last !== undefined && last.cost + unit.cost <= target) {
      last.indices.push(...unit.indices);
      last.cost += unit.cost;
    } else tasks.push({ indices: [...unit.indices], cost: unit.cost });
  }
  return tasks.map(({ indices }) => ({ indices, operations: indices.map((i) => operations[i]!) }));
}
