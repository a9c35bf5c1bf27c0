/**
 * The arithmetic core on one thread: multiplications, exponentiations and Paillier, beside OpenSSL (through node:crypto), BigInt
 * (bigint-crypto-utils) and paillier-bigint. The variants of a figure are measured in turn, round after round, in this one process, so that
 * whatever else the machine does falls on all of them alike; what counts is their ratio. Times are processor time: all of it is on this thread,
 * and what a neighbour takes away between two instructions is nobody's here.
 */
import { modPow } from 'bigint-crypto-utils';
import { createDiffieHellman, generatePrimeSync, randomBytes } from 'node:crypto';
import { PrivateKey, PublicKey } from 'paillier-bigint';
import { bigintToBytes, bytesToBigint } from '../host/base/bytes.ts';
import { Evaluator } from '../host/core/evaluate.ts';
import { decrypt, encrypt } from '../host/core/index.ts';
import { instantiate, type KernelName } from '../host/core/instance.ts';
import { Machine, type Product } from '../host/core/machine.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { summarize, type Result } from './types.ts';

export interface KernelOptions {
  /** A few samples of each figure: under 20 seconds, for a smoke run. */
  readonly quick: boolean;
  /** Default: the one the self-test chooses. */
  readonly kernel?: KernelName;
}

export interface Variant {
  readonly name: string;
  readonly unit: 'ns' | 'ms';
  /** Operations of one call of `work`: the time is divided by it. */
  readonly operations: number;
  readonly work: () => void;
}

const random = (bits: number): bigint => bytesToBigint(new Uint8Array(randomBytes(bits / 8)));
const modulus = (bits: number): bigint => random(bits) | (1n << BigInt(bits - 1)) | 1n;

/** Times the variants in turn. One unmeasured round first, for the compilers. */
function interleave(variants: readonly Variant[], rounds: number): Result[] {
  const samples = variants.map(() => [] as number[]);
  for (let round = -1; round < rounds; round++) {
    variants.forEach(({ work, operations, unit }, i) => {
      const begin = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(begin); // microseconds
      if (round >= 0) samples[i]!.push(((user + system) * (unit === 'ns' ? 1e3 : 1e-3)) / operations);
    });
  }
  return variants.map(({ name, unit }, i) => summarize(name, unit, samples[i]!));
}

/** Multiplications, or squarings: in one lane and in two. */
export function multiplications(module: WebAssembly.Module, bits: number, what: 'modmul' | 'modsqr' = 'modmul'): Variant[] {
  const count = Math.ceil(4e10 / bits ** 2);
  return ([1, 2] as const).map((lanes) => {
    const exports = instantiate(module);
    const context = exports.scratch();
    const size = exports.contextBytes(lanes, 1, bits);
    const input = (context + size + 15) & ~15;
    if (input + 8192 > exports.memory.buffer.byteLength) exports.memory.grow(4);
    for (let lane = 0; lane < lanes; lane++)
      new Uint8Array(exports.memory.buffer, input + (lane * bits) / 8).set(bigintToBytes(modulus(bits), bits / 8));
    exports.contextInit(context, lanes, 1, bits, input);
    return {
      name: `kernel.${what}.${bits}.${lanes === 1 ? 'single' : 'pair'}`,
      unit: 'ns',
      operations: count * lanes,
      work: () => exports.repeat(context, input, count, Number(what === 'modsqr')),
    };
  });
}

function exponentiations(machine: Machine, modulusBits: number, exponentBits: number): Variant[] {
  const lane = (): Product => ({
    n: modulus(modulusBits),
    terms: [{ base: random(modulusBits) >> 1n, exponent: random(exponentBits) | (1n << BigInt(exponentBits - 1)), bits: exponentBits }],
    signed: false,
    secret: true,
    hidden: false,
  });
  const [one, other] = [lane(), lane()];
  const { base, exponent } = one.terms[0]!;
  // The "shared secret" of Diffie–Hellman with modulus n: OpenSSL's constant-time exponentiation.
  const peer = createDiffieHellman(Buffer.from(bigintToBytes(one.n, modulusBits / 8)), Buffer.of(2));
  peer.setPrivateKey(Buffer.from(bigintToBytes(exponent, exponentBits / 8)));
  const baseBytes = Buffer.from(bigintToBytes(base, modulusBits / 8));
  if (bytesToBigint(new Uint8Array(peer.computeSecret(baseBytes))) !== machine.products([one])[0])
    throw new Error('OpenSSL and the core disagree');
  const name = `kernel.modexp.${modulusBits}x${exponentBits}`;
  return [
    { name: `${name}.single`, unit: 'ms', operations: 1, work: () => machine.products([one]) },
    { name: `${name}.pair`, unit: 'ms', operations: 2, work: () => machine.products([one, other]) },
    { name: `${name}.openssl`, unit: 'ms', operations: 1, work: () => peer.computeSecret(baseBytes) },
    { name: `${name}.bigint`, unit: 'ms', operations: 1, work: () => modPow(base, exponent, one.n) },
  ];
}

/** A prime of `bits` bits with its two top bits set. Plain primes do: the speed of Paillier does not depend on their being safe. */
function prime(bits: number): bigint {
  for (;;) {
    const p = generatePrimeSync(bits, { bigint: true });
    if (p >> BigInt(bits - 2) === 3n) return p;
  }
}

function paillier(machine: Machine): Variant[] {
  const evaluator = new Evaluator(machine);
  const [p, q] = [prime(1536), prime(1536)];
  const n = p * q;
  const theirs = new PublicKey(n, n + 1n);
  const lambda = (p - 1n) * (q - 1n);
  const inverse = machine.invert(lambda % n, n);
  if (inverse === undefined) throw new Error('φ(N) must be a unit modulo N');
  const theirSecret = new PrivateKey(lambda, inverse, theirs, p, q);
  const [m, r] = [random(1024), random(3064)];
  const [c] = evaluator.evaluate([encrypt({ n }, m, r)]);
  return [
    { name: 'paillier.encrypt.3072.core', unit: 'ms', operations: 1, work: () => evaluator.evaluate([encrypt({ n }, m, r)]) },
    { name: 'paillier.encrypt.3072.core-own', unit: 'ms', operations: 1, work: () => evaluator.evaluate([encrypt({ n, p, q }, m, r)]) },
    { name: 'paillier.encrypt.3072.paillier-bigint', unit: 'ms', operations: 1, work: () => theirs.encrypt(m, r) },
    { name: 'paillier.decrypt.3072.core', unit: 'ms', operations: 1, work: () => evaluator.evaluate([decrypt({ n, p, q }, c!)]) },
    { name: 'paillier.decrypt.3072.paillier-bigint', unit: 'ms', operations: 1, work: () => theirSecret.decrypt(c!) },
  ];
}

/** Figures of the kernel this machine uses. ns and ms per number, also where two share the lanes. */
export async function kernels({ quick, kernel }: KernelOptions): Promise<Result[]> {
  const { module } = chooseKernel(kernel);
  const machine = new Machine(instantiate(module));
  const results: Result[] = [];
  const figures: [make: () => Variant[], rounds: number, quickRounds: number][] = [
    ...[1536, 3072, 6144].map((bits): (typeof figures)[number] => [() => multiplications(module, bits), 31, 9]),
    [() => exponentiations(machine, 1536, 1536), 25, 9],
    [() => exponentiations(machine, 3072, 3072), 15, 5],
    [() => exponentiations(machine, 6144, 3072), 9, 3],
    [() => paillier(machine), 9, 3],
  ];
  for (const [make, rounds, quickRounds] of figures) {
    results.push(...interleave(make(), quick ? quickRounds : rounds));
    // Others of this process get their turn between figures, never within one.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return results;
}
