/**
 * Which kernel this machine can run. The fma kernel gives wrong results, not slow ones, where relaxed multiply-add rounds twice; so before use a
 * kernel must pass an exact test of that instruction and known answers through the whole path, one lane and two.
 */
import { Defect } from '../base/errors.ts';
import { compile, instantiate, type KernelName } from './instance.ts';
import { Machine, type Product } from './machine.ts';

/** The 1024-bit MODP group of RFC 2409 §6.2 (a safe prime) and 2^521 − 1. */
const primes = [
  BigInt(
    '0xFFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF',
  ),
  2n ** 521n - 1n,
];

const product = (n: bigint, base: bigint, exponent: bigint, bits: number, secret: boolean): Product => ({
  n,
  terms: [{ base, exponent, bits }],
  signed: false,
  secret,
  hidden: true,
});

/**
 * Fermat: b^(p−1) = 1 for every b, and b^(p(p−1)) = 1 mod p²; and 2^521 = 1 mod 2^521 − 1, 2^520 = (p + 1)/2. A wrong digit anywhere gives
 * another number.
 */
export function passes(machine: Machine): boolean {
  const [p, mersenne] = primes as [bigint, bigint];
  for (const secret of [true, false]) {
    for (const base of [3n, p - 2n, (p * 5n) / 7n]) {
      const lane = product(p, base, p - 1n, 1024, secret);
      if (machine.products([lane])[0] !== 1n) return false;
      if (machine.products([lane, product(p, base, 1n, 1024, secret)]).some((value, i) => value !== [1n, base][i])) return false;
    }
    const square: Product = { ...product(p, p - 2n, p * (p - 1n), 2048, secret), squared: true };
    const other: Product = { ...product(p, p + 1n, 5n, 2048, secret), squared: true };
    if (machine.products([square])[0] !== 1n) return false;
    if (machine.products([square, other]).some((value, i) => value !== [1n, 1n + 5n * p][i])) return false;
    if (machine.products([product(mersenne, 2n, 520n, 521, secret)])[0] !== (mersenne + 1n) / 2n) return false;
  }
  return true;
}

/** Why a kernel cannot be used here, or its module. */
export function probe(kernel: KernelName): { module: WebAssembly.Module } | { problem: string } {
  let module: WebAssembly.Module;
  try {
    module = compile(kernel);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    return { problem: `the engine cannot compile it: ${error.message}` };
  }
  const exports = instantiate(module);
  if (exports.supported() !== 1) return { problem: 'the processor has no fused multiply-add' };
  return passes(new Machine(exports)) ? { module } : { problem: 'the self-test gave wrong results' };
}

/** The fastest kernel that works here, or the one asked for. @throws Defect when that one fails its self-test. */
export function chooseKernel(wanted?: KernelName): { kernel: KernelName; module: WebAssembly.Module } {
  const problems: string[] = [];
  for (const kernel of wanted === undefined ? (['fma', 'extmul'] as const) : [wanted]) {
    const outcome = probe(kernel);
    if ('module' in outcome) return { kernel, module: outcome.module };
    problems.push(`${kernel}: ${outcome.problem}`);
  }
  throw new Defect(`no arithmetic kernel works on this machine (${problems.join('; ')})`);
}
