/**
 * The oracle: every operation of the core in plain BigInt, straight from its definition, with no CRT, no tables and no constant time. Tests
 * hold the WebAssembly core against it, and protocol tests with small parameters may run on it. Production never constructs it.
 */
import { gcd, modInv, modPow } from 'bigint-crypto-utils';
import { generatePrimeSync } from 'node:crypto';
import type { Core, Modulus, Operation } from './types.ts';

const value = (modulus: Modulus): bigint =>
  typeof modulus === 'bigint' ? modulus : modulus.mod === 'N' ? modulus.key.n : modulus.key.n * modulus.key.n;
const reduce = (x: bigint, n: bigint): bigint => ((x % n) + n) % n;
const exp = (base: bigint, exponent: bigint, n: bigint): bigint =>
  exponent < 0n ? modPow(modInv(reduce(base, n), n), -exponent, n) : modPow(reduce(base, n), exponent, n);

export function evaluateReference(operation: Operation): bigint {
  switch (operation.op) {
    case 'power': {
      const n = value(operation.modulus);
      return operation.terms.reduce((product, { base, exponent }) => (product * exp(base, exponent, n)) % n, 1n);
    }
    case 'encrypt': {
      const { n } = operation.key;
      return ((1n + reduce(operation.m, n) * n) * modPow(reduce(operation.r, n), n, n * n)) % (n * n);
    }
    case 'decrypt': {
      const { n, p, q } = operation.key;
      const phi = (p - 1n) * (q - 1n);
      const m = (((modPow(operation.c, phi, n * n) - 1n) / n) * modInv(phi, n)) % n;
      return m > n / 2n ? m - n : m;
    }
    case 'root': {
      const { n, p, q } = operation.key;
      const phi = (p - 1n) * (q - 1n);
      return exp(operation.base, operation.degree === 4 ? ((phi + 4n) / 8n) ** 2n % phi : modInv(n, phi), n);
    }
    case 'commit': {
      const { n, s, t } = operation.setup;
      return (exp(s, operation.x, n) * exp(t, operation.y, n)) % n;
    }
    case 'coprime':
      return operation.values.every((v) => gcd(v, operation.n) === 1n) ? 1n : 0n;
    case 'search':
      return generatePrimeSync(operation.bits, { safe: true, bigint: true });
  }
}

export const referenceCore: Core = {
  kernel: 'reference',
  run: async <const O extends readonly Operation[]>(operations: O) =>
    operations.map(evaluateReference) as { -readonly [K in keyof O]: bigint },
};
