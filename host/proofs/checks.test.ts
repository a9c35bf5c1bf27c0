import { describe, expect, test } from 'vitest';
import { referenceCore } from '../core/reference.ts';
import type { Core } from '../core/types.ts';
import { G, O } from '../curve/secp256k1.ts';
import { checkPoints, checkRange, checkResidues, checkSizes, checkUnits } from './checks.ts';
import { rejects } from './testing/suite.ts';

const n = 7n * 11n;
const units = (values: Record<string, bigint>, core: Core = referenceCore) => checkUnits('p', core, { name: 'N', n, units: values });
const squared = (values: Record<string, bigint>) => checkUnits('p', referenceCore, { name: 'N', n, squared: values });

describe('membership in Z*_N', () => {
  test.each([1n, 2n, 76n])('%s is a unit', (a) => units({ a }));
  test.each([0n, 7n, 11n, 70n, 77n, 78n, -1n])('%s is not, and the message names it', (b) =>
    rejects(units({ a: 1n, b, c: 1n }), 'b ∈ Z*_N'),
  );
  test('modulo the square the bound is N² and the gcd is with N', async () => {
    await squared({ a: n * n - 1n });
    for (const b of [0n, 77n, 7n * 100n, n * n, n * n + 1n, -1n]) await rejects(squared({ a: 1n, b }), 'b ∈ Z*_{N²}');
  });
  test('one operation per modulus', async () => {
    let operations = 0;
    const counting: Core = { kernel: 'reference', run: (batch) => ((operations += batch.length), referenceCore.run(batch)) };
    await checkUnits('p', counting, { name: 'N', n, squared: { a: 1n, b: 2n }, units: { c: 3n } }, { name: 'M', n: 15n, units: { d: 2n } });
    expect(operations).toBe(2);
  });
});

describe('the other checks', () => {
  test('sizes', () => {
    checkSizes('p', 8, { v: 255n, w: -255n });
    expect(() => checkSizes('p', 8, { v: 256n })).toThrow('bitlen(v) ≤ 8');
    expect(() => checkSizes('p', 8, { v: 1n, w: -256n })).toThrow('bitlen(w) ≤ 8');
  });
  test('ranges', () => {
    checkRange('p', { v: 5n, w: -5n }, 5n, '5');
    expect(() => checkRange('p', { v: 6n }, 5n, '5')).toThrow('|v| ≤ 5');
    expect(() => checkRange('p', { v: -6n }, 5n, '5')).toThrow('|v| ≤ 5');
  });
  test('residues', () => {
    checkResidues('p', { v: 0n, w: 4n }, 5n, 'Z_5');
    expect(() => checkResidues('p', { v: 5n }, 5n, 'Z_5')).toThrow('v ∈ Z_5');
    expect(() => checkResidues('p', { v: -1n }, 5n, 'Z_5')).toThrow('v ∈ Z_5');
  });
  test('points', () => {
    checkPoints('p', { P: G });
    expect(() => checkPoints('p', { P: G, Q: O })).toThrow('Q ≠ O');
  });
});
