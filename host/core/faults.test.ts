/**
 * Fault attacks on CRT (D. Boneh, R. DeMillo, R. Lipton, 1997): a result that is right modulo p and wrong modulo q shows both. Here bits of the constants
 * that the kernel works with are turned over before an exponentiation; whatever that does to a result, a wrong one must not come out.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemRandom, below } from '../base/random.ts';
import { Evaluator } from './evaluate.ts';
import { instantiate, type Exports, type KernelName } from './instance.ts';
import { Machine, type Product } from './machine.ts';
import { evaluateReference } from './reference.ts';
import { recombine } from './secrets.ts';
import { chooseKernel } from './self-test.ts';
import { commit, decrypt, encrypt, modN, modN2, power, type Operation } from './types.ts';

/** Where a context's header says that its constants begin, and where what is not used by the kernel begins (assembly/context.ts). */
const MODULUS_AT = 32;
const PLAIN_AT = 56;

const [p, q, hatP, hatQ] = (
  JSON.parse(readFileSync(new URL('../../fixtures/primes/safe-576.json', import.meta.url), 'utf8')) as { primes: string[] }
).primes.map((prime) => BigInt(`0x${prime}`)) as [bigint, bigint, bigint, bigint];
const random = (n: bigint): bigint => below(systemRandom, n);

/** A machine that turns over a bit before the exponentiations that `when` says. */
function faulty(module: WebAssembly.Module, when: () => boolean): Machine {
  const exports = instantiate(module);
  const broken: Exports = {
    ...exports,
    power: (context, ...rest) => {
      if (when()) {
        const view = new DataView(exports.memory.buffer);
        const at = randomInt(view.getUint32(context + MODULUS_AT, true), view.getUint32(context + PLAIN_AT, true));
        view.setUint8(at, view.getUint8(at) ^ (1 << randomInt(8)));
      }
      return exports.power(context, ...rest);
    },
  };
  return new Machine(broken);
}

/** The value, or what was thrown instead. */
const outcome = (work: () => bigint[]): bigint[] | string => {
  try {
    return work();
  } catch (error) {
    return (error as Error).message;
  }
};

describe.each(['fma', 'extmul'] as KernelName[])('a bit turned over, on kernel %s', (kernel) => {
  const { module } = chooseKernel(kernel);

  it.each([
    ['p', false],
    ['p²', true],
  ])('in one or both lanes modulo %s gives no wrong result', (_, squared) => {
    const machine = faulty(module, () => true);
    const whole = new Machine(instantiate(module));
    let caught = 0;
    for (let run = 0; run < 60; run++) {
      const lanes = [p, q].map((n): Product => {
        const bound = squared ? n * n : n;
        const terms = [{ base: random(bound), exponent: random(1n << 256n), bits: 256 }];
        return { n, squared, terms, factor: random(bound), signed: false, secret: true, hidden: true, checked: true };
      }) as [Product, Product];
      const got = outcome(() => machine.products(lanes));
      const right = whole.products(lanes);
      if (typeof got === 'string') {
        expect(got).toContain('a fault of this machine has spoilt it');
        caught++;
      } else expect(got).toEqual(right);
    }
    expect(caught).toBeGreaterThan(20);
    // And without the check wrong results do come out.
    const unchecked = Array.from({ length: 20 }, () => {
      const terms = [{ base: random(p), exponent: random(1n << 256n), bits: 256 }];
      const lane: Product = { n: p, squared, terms, signed: false, secret: true, hidden: true };
      return machine.products([lane])[0] !== whole.products([lane])[0];
    });
    expect(unchecked).toContain(true);
  });

  it('in any step of what the owner of a key computes', () => {
    const key = { n: p * q, p, q };
    const hatN = hatP * hatQ;
    const [t, lambda] = [random(hatN), random(1n << 1000n)];
    const setup = { n: hatN, s: evaluateReference(power(hatN, [t, lambda])), t, p: hatP, q: hatQ, lambda };
    const c = evaluateReference(encrypt(key, 12345n, 6789n));
    const operations: Operation[] = [
      encrypt(key, -5n, random(key.n)),
      decrypt(key, c),
      power(modN(key), [random(key.n), random(key.n)]),
      power(modN2(key), [c, -random(1n << 256n)], [c + key.n, random(1n << 768n)]),
      commit(setup, random(1n << 256n), -random(1n << 800n)),
    ];
    for (const operation of operations) {
      const right = [evaluateReference(operation)];
      let caught = 0;
      for (let step = 0; step < 8; step++) {
        let calls = 0;
        const got = outcome(() => new Evaluator(faulty(module, () => calls++ === step % 2)).evaluate([operation]));
        if (typeof got === 'string') caught++;
        else expect(got).toEqual(right);
      }
      expect(caught, operation.op).toBeGreaterThan(0);
    }
  });
});

describe('putting the halves together', () => {
  it('does not give out a number that is wrong in one half', () => {
    const pInverse = new Machine(instantiate(chooseKernel().module)).invert(p % q, q)!;
    const x = random(p * q);
    expect(recombine({ p, q, pInverse }, x % p, x % q)).toBe(x);
    expect(() => recombine({ p, q, pInverse: pInverse ^ 2n }, x % p, x % q)).toThrow('put together');
  });
});
