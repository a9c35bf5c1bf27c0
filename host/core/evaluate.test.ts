/** Operations against their definition (reference.ts) and against paillier-bigint, in this thread, on both kernels. */
import { PrivateKey, PublicKey } from 'paillier-bigint';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesToBigint } from '../base/bytes.ts';
import { Evaluator } from './evaluate.ts';
import { instantiate, type KernelName } from './instance.ts';
import { paddedBits } from './integers.ts';
import { Machine } from './machine.ts';
import { evaluateReference } from './reference.ts';
import { chooseKernel } from './self-test.ts';
import {
  commit,
  commitPublic,
  coprime,
  decrypt,
  encrypt,
  encryptPublic,
  fourthRoot,
  MAX_TERMS,
  modN,
  modN2,
  nthRoot,
  power,
  powerPublic,
  type Operation,
} from './types.ts';

const kernels: KernelName[] = ['fma', 'extmul'];
const random = (bits: number): bigint => bytesToBigint(new Uint8Array(randomBytes(Math.ceil(bits / 8)))) >> BigInt((8 - (bits % 8)) % 8);
const signed = (bits: number): bigint => (randomBytes(1)[0]! & 1 ? -random(bits) : random(bits));

const primesOf = (bits: number): bigint[] =>
  (
    JSON.parse(readFileSync(new URL(`../../fixtures/primes/safe-${bits}.json`, import.meta.url), 'utf8')) as { primes: string[] }
  ).primes.map((p) => BigInt(`0x${p}`));

function setup(bits: number) {
  const [p, q, pHat, qHat] = primesOf(bits) as [bigint, bigint, bigint, bigint];
  const secret = { n: p * q, p, q };
  const n = pHat * qHat;
  const t = evaluateReference(power(n, [random(2 * bits - 2), 2n]));
  const lambda = random(2 * bits - 4);
  const s = evaluateReference(power(n, [t, lambda]));
  return { secret, key: { n: secret.n }, ownSetup: { n, s, t, p: pHat, q: qHat, lambda }, itsSetup: { n, s, t } };
}

describe.each(kernels)('operations on kernel %s', (kernel) => {
  const evaluator = new Evaluator(new Machine(instantiate(chooseKernel(kernel).module)));
  const agree = (operations: Operation[]): void => {
    const values = evaluator.evaluate(operations);
    operations.forEach((operation, i) => expect(values[i], `operation ${i} (${operation.op})`).toBe(evaluateReference(operation)));
  };
  const { secret, key, ownSetup, itsSetup } = setup(576);
  const { n } = key;
  const base = (): bigint => random(1150);
  const wide = (): bigint => random(2300);

  it('power: plain modulus, N and N² of strangers', () => {
    agree([
      power(n, [base(), random(256)]),
      power(n, [base(), -random(256)]),
      power(n, [base(), 0n]),
      power(n, [0n, 5n]),
      power(n, [n - 1n, signed(700)]),
      power(n, [n + 5n, 3n]),
      power(n, [-3n, 7n]),
      powerPublic(n, [base(), signed(900)]),
      powerPublic(n, [base(), signed(256)], [base(), signed(768)], [base(), 1n], [base(), 0n]),
      power(modN2(key), [wide(), signed(256)], [wide(), signed(768)]),
      powerPublic(modN2(key), [wide(), random(256)], [random(1150), n]),
      power(modN(key), [base(), signed(1280)]),
      power(modN(itsSetup), [base(), signed(256)]),
    ]);
  });

  it('power: through the factors gives the same', () => {
    agree([
      power(modN(secret), [base(), signed(256)]),
      power(modN(secret), [base(), random(2000)]),
      power(modN(secret), [base(), -random(2000)]),
      power(modN(secret), [base(), 0n]),
      power(modN(secret), [base(), secret.p - 1n], [base(), (secret.p - 1n) * (secret.q - 1n)]),
      power(modN2(secret), [wide(), signed(256)]),
      power(modN2(secret), [wide(), signed(3000)], [wide(), signed(768)]),
      powerPublic(modN2(secret), [wide(), -random(256)], [wide(), n]),
      powerPublic(modN(ownSetup), [base(), signed(256)]),
      // Bases that share a factor with N.
      power(modN(secret), [secret.p, 3n]),
      power(modN(secret), [secret.q * 5n, 0n]),
      power(modN2(secret), [secret.p * 7n, 1n]),
      power(modN2(secret), [0n, 2n], [3n, -5n]),
    ]);
  });

  it('power: as many terms as it takes, of unequal lengths', () => {
    const terms = (sign: () => bigint) =>
      Array.from({ length: MAX_TERMS }, (_, i) => [wide(), i % 2 === 0 ? random(128) : sign() * random(384)] as const);
    const positive = terms(() => 1n);
    const any = terms(() => (randomBytes(1)[0]! & 1 ? 1n : -1n));
    for (const modulus of [modN2(key), modN2(secret), modN(itsSetup), modN(ownSetup)])
      agree([powerPublic(modulus, ...positive), powerPublic(modulus, ...any)]);
    agree([power(modN2(key), ...any)]);
  });

  it('encrypt and decrypt: own key, others’ keys, any sign and size of the plaintext', () => {
    const r = base();
    const messages = [0n, 1n, -1n, n / 2n, -(n / 2n), signed(1000), n * 3n + 5n, -n * 2n - 1n];
    agree(messages.flatMap((m) => [encrypt(key, m, r), encrypt(secret, m, r), encryptPublic(key, m, r)]));
    agree([encrypt(secret, 5n, secret.p), encrypt(key, 5n, 0n), encrypt(key, 5n, r + n), encrypt(secret, 5n, r + n)]);
    for (const m of messages.slice(0, 6)) {
      const [c] = evaluator.evaluate([encrypt(key, m, r)]);
      expect(evaluator.evaluate([decrypt(secret, c!)])).toEqual([m]);
    }
    expect(() => evaluator.evaluate([decrypt(secret, secret.p * 3n)])).toThrow(RangeError);
  });

  it('roots: N-th ones of everything, fourth ones of squares or their negatives', () => {
    const values = [1n, n - 1n, 2n, base(), base() + n];
    agree(values.flatMap((value) => [nthRoot(secret, value), fourthRoot(secret, value)]));
    const [x, y] = evaluator.evaluate([nthRoot(secret, 12345n), fourthRoot(secret, 16n)]);
    expect(evaluateReference(power(n, [x!, n]))).toBe(12345n);
    expect(evaluateReference(power(n, [y!, 4n]))).toBe(16n);
    // Without a root: N has a factor in common with φ(N).
    const [small, large] = [2n ** 521n - 1n, 0x1c3n * (2n ** 521n - 1n) * 2n + 1n];
    expect(() => evaluator.evaluate([nthRoot({ n: small * large, p: small, q: large }, 2n)])).toThrow('in common with φ(N)');
  });

  it('encrypt and decrypt: as paillier-bigint', () => {
    const theirs = new PublicKey(n, n + 1n);
    const theirSecret = new PrivateKey(
      ((secret.p - 1n) * (secret.q - 1n)) / 2n,
      evaluateReference(power(n, [((secret.p - 1n) * (secret.q - 1n)) / 2n, -1n])),
      theirs,
      secret.p,
      secret.q,
    );
    for (const m of [0n, 1n, random(1000)]) {
      const r = base();
      const [c, own] = evaluator.evaluate([encrypt(key, m, r), encrypt(secret, m, r)]);
      expect(c).toBe(theirs.encrypt(m, r));
      expect(own).toBe(c);
      expect(theirSecret.decrypt(c!)).toBe(m);
      expect(evaluator.evaluate([decrypt(secret, theirs.encrypt(m))])).toEqual([m]);
    }
  });

  it('commit: tables, trapdoor and definition agree', () => {
    const exponents: [bigint, bigint][] = [
      [0n, 0n],
      [1n, -1n],
      [signed(256), signed(1408)],
      [signed(768), signed(1920)],
      [-(1n << 768n), (1n << 1792n) - 1n],
      [signed(256), -random(2500)],
    ];
    agree(
      exponents.flatMap(([x, y]) => [
        commit(itsSetup, x, y),
        commit(ownSetup, x, y),
        commitPublic(itsSetup, x, y),
        commitPublic(ownSetup, x, y),
      ]),
    );
    // No unit, no tables; still the definition, as far as it reaches.
    const broken = { ...itsSetup, s: ownSetup.p };
    agree([commit(broken, 5n, 7n)]);
    expect(() => evaluator.evaluate([commit(broken, -5n, 7n)])).toThrow('unit');
  });

  it('coprime: one non-unit anywhere makes it 0', () => {
    agree([
      coprime(n, []),
      coprime(n, [base(), base(), 1n]),
      coprime(n, [base(), secret.p, base()]),
      coprime(n, [secret.q * 3n]),
      coprime(n, [0n]),
      coprime(secret.p, [base(), base()]),
    ]);
  });

  it('refuses a negative exponent of a non-unit, and factors that do not fit the modulus', () => {
    for (const operation of [power(n, [secret.p, -1n]), powerPublic(n, [secret.p, -3n]), power(modN(secret), [secret.q, -2n])]) {
      expect(() => evaluator.evaluate([operation])).toThrow('a negative exponent needs a base that is a unit');
    }
    expect(() => evaluator.evaluate([power(modN({ ...secret, p: secret.p + 2n }), [3n, 5n])])).toThrow('do not multiply to its n');
    const prime = secret.p;
    expect(() => evaluator.evaluate([power(modN({ n: prime * prime, p: prime, q: prime }), [3n, 5n])])).toThrow('coprime');
  });

  it('pairs what it is given together without mixing it up', () => {
    const operations = Array.from({ length: 7 }, (_, i) => [
      encrypt(key, BigInt(i), base()),
      power(n, [base(), random(250)]),
      commit(itsSetup, random(200), random(1200)),
    ]).flat();
    agree(operations);
  });
});

describe('production sizes', () => {
  it('agree with the definition, key holder and stranger', () => {
    const { secret, key, ownSetup, itsSetup } = setup(1536);
    const evaluator = new Evaluator(new Machine(instantiate(chooseKernel().module)));
    const r = random(3070);
    const m = signed(1300);
    const c = evaluateReference(encrypt(key, m, r));
    const [x, y] = [signed(768), signed(3840)];
    const d = evaluateReference(commit(itsSetup, x, y));
    expect(
      evaluator.evaluate([encrypt(key, m, r), encrypt(secret, m, r), decrypt(secret, c), commit(itsSetup, x, y), commit(ownSetup, x, y)]),
    ).toEqual([c, c, m, d, d]);
  });
});

describe('the length of a secret exponent', () => {
  it('is told in steps of 256 bits only', () => {
    expect([0n, 1n, -1n, (1n << 256n) - 1n].map(paddedBits)).toEqual([256, 256, 256, 256]);
    expect([1n << 256n, -(1n << 700n), (1n << 768n) - 1n].map(paddedBits)).toEqual([512, 768, 768]);
  });
});
