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
import { chooseKernel } from './self-test.ts';
import { commit, decrypt, encrypt, fourthRoot, modN, modN2, nthRoot, power, powerPublic, type Operation } from './types.ts';

/** Where a context's header says that its constants begin, and where what is not used by the kernel begins (assembly/context.ts). */
const MODULUS_AT = 32;
const PLAIN_AT = 56;
/** What results are reduced by when they leave: −N⁻¹ mod 2^32, beside N at PLAIN, and its length in words. */
const INVERSE_AT = 24;
const WORDS_AT = 16;

const [p, q, hatP, hatQ] = (
  JSON.parse(readFileSync(new URL('../../fixtures/primes/safe-576.json', import.meta.url), 'utf8')) as { primes: string[] }
).primes.map((prime) => BigInt(`0x${prime}`)) as [bigint, bigint, bigint, bigint];
const random = (n: bigint): bigint => below(systemRandom, n);

/** Turns over a bit of the `bytes` bytes at `at`. */
function turnOver({ memory }: Exports, at: number, bytes: number): void {
  const target = new Uint8Array(memory.buffer, at, bytes);
  target[randomInt(bytes)]! ^= 1 << randomInt(8);
}

/** A machine that turns over a bit of the kernel's constants before the exponentiations that `when` says. */
function faulty(module: WebAssembly.Module, when: () => boolean): Machine {
  const exports = instantiate(module);
  return new Machine({
    ...exports,
    power: (context, ...rest) => {
      const field = (at: number): number => new DataView(exports.memory.buffer).getUint32(context + at, true);
      if (when()) turnOver(exports, field(MODULUS_AT), field(PLAIN_AT) - field(MODULUS_AT));
      return exports.power(context, ...rest);
    },
  });
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
  ])('in both lanes modulo %s gives no wrong result', (_, squared) => {
    const key = { n: p * q, p, q };
    const [bad, whole] = [new Evaluator(faulty(module, () => true)), new Evaluator(new Machine(instantiate(module)))];
    const modulus = squared ? modN2(key) : modN(key);
    let caught = 0;
    for (let run = 0; run < 60; run++) {
      const terms = [random(key.n), random(1n << 256n)] as const;
      const operation = run % 2 === 0 ? power(modulus, terms) : powerPublic(modulus, terms, [random(key.n), 3n]);
      const got = outcome(() => bad.evaluate([operation]));
      if (typeof got === 'string') {
        expect(got).toContain('a fault of this machine has spoilt it');
        caught++;
      } else expect(got).toEqual(whole.evaluate([operation]));
    }
    expect(caught).toBeGreaterThan(20);
    // And without the check wrong results do come out.
    const unchecked = [faulty(module, () => true), new Machine(instantiate(module))] as const;
    const wrong = Array.from({ length: 20 }, () => {
      const terms = [{ base: random(p), exponent: random(1n << 256n), bits: 256 }];
      const lane: Product = { n: p, squared, terms, signed: false, secret: true, hidden: true };
      const [got, right] = unchecked.map((machine) => machine.products([lane])[0]);
      return got !== right;
    });
    expect(wrong).toContain(true);
  });

  it.each([
    ['before the context is made', 'contextInit'],
    ['before the exponentiation', 'power'],
  ] as const)('in the moduli, %s: no result', (_, name) => {
    const exports = instantiate(module);
    const machine = new Machine({
      ...exports,
      contextInit: (context, lanes, parts, bits, moduli) => {
        if (name === 'contextInit') turnOver(exports, moduli, lanes * 4 * Math.ceil(bits / 32));
        exports.contextInit(context, lanes, parts, bits, moduli);
      },
      power: (context, ...rest) => {
        const field = (at: number): number => new DataView(exports.memory.buffer).getUint32(context + at, true);
        if (name === 'power' && randomInt(4) === 0) turnOver(exports, context + INVERSE_AT, 8);
        else if (name === 'power') turnOver(exports, field(PLAIN_AT), 8 * field(WORDS_AT));
        return exports.power(context, ...rest);
      },
    });
    const evaluator = new Evaluator(machine);
    const key = { n: p * q, p, q };
    for (let run = 0; run < 20; run++) {
      for (const operation of [power(modN(key), [random(key.n), random(key.n)]), powerPublic(modN2(key), [random(key.n), 5n])])
        expect(outcome(() => evaluator.evaluate([operation]))).toContain('a fault of this machine has spoilt it');
    }
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
      nthRoot(key, random(key.n)),
      fourthRoot(key, random(key.n)),
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

describe('a bit turned over in the record of a key', () => {
  const key = { n: p * q, p, q };
  const { module } = chooseKernel();

  it.each([
    ['before the exponentiation', 'ownerModuli'],
    ['before its result is put together', 'ownerRecombine'],
    ['before a plaintext is', 'ownerPlaintext'],
  ] as const)('%s: no result', (_, name) => {
    const exports = instantiate(module);
    let size = 0;
    const evaluator = new Evaluator(
      new Machine({
        ...exports,
        ownerBytes: (...lengths) => (size = exports.ownerBytes(...lengths)),
        [name]: (record: number, ...rest: number[]) => {
          turnOver(exports, record, size);
          return (exports[name] as (...values: number[]) => number)(record, ...rest);
        },
      }),
    );
    const c = evaluateReference(encrypt(key, 12345n, 6789n));
    const operations =
      name === 'ownerPlaintext'
        ? [decrypt(key, c)]
        : [power(modN(key), [3n, random(key.n)]), power(modN2(key), [c, 5n]), encrypt(key, 1n, 2n), nthRoot(key, 3n)];
    for (let run = 0; run < 20; run++) {
      for (const operation of operations) expect(typeof outcome(() => evaluator.evaluate([operation]))).toBe('string');
    }
  });

  it('that this program keeps: it is made anew, and the next result is right', () => {
    const exports = instantiate(module);
    let made = 0;
    let spoilt = false;
    const evaluator = new Evaluator(
      new Machine({
        ...exports,
        ownerInit: (...given) => (made++, exports.ownerInit(...given)),
        ownerModuli: (record, ...rest) => {
          // As it would be of a copy that is spoilt for good: with every call, until another is made.
          if (spoilt && made === 2) new Uint8Array(exports.memory.buffer)[record]! ^= 1;
          return exports.ownerModuli(record, ...rest);
        },
      }),
    );
    const operation = power(modN(key), [random(key.n), random(key.n)]);
    const right = [evaluateReference(operation)];
    expect(evaluator.evaluate([operation])).toEqual(right);
    spoilt = true;
    expect(outcome(() => evaluator.evaluate([operation]))).toEqual(expect.any(String));
    expect(evaluator.evaluate([operation])).toEqual(right);
    expect(made).toBe(4);
  });

  it('while it is made: no key, and the next time a right one', () => {
    const exports = instantiate(module);
    let calls = 0;
    const evaluator = new Evaluator(
      new Machine({
        ...exports,
        ownerInit: (record, secrets, pWords, ...rest) => {
          // p becomes another number, so that the record agrees with itself.
          if (calls++ === 0) new Uint8Array(exports.memory.buffer)[secrets + 4 * pWords - 2]! ^= 4;
          return exports.ownerInit(record, secrets, pWords, ...rest);
        },
      }),
    );
    const operation = power(modN(key), [random(key.n), random(key.n)]);
    expect(outcome(() => evaluator.evaluate([operation]))).toContain('a fault of this machine has spoilt it');
    expect(evaluator.evaluate([operation])).toEqual([evaluateReference(operation)]);
  });
});
