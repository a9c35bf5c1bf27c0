import { script as scripts } from '../bitcoin/library.ts';
import { describe, expect, test } from 'vitest';
import bip143 from '../../fixtures/vectors/bip143.json' with { type: 'json' };
import bip341 from '../../fixtures/vectors/bip341.json' with { type: 'json' };
import { fromHex, hex } from '../base/bytes.ts';
import { Transaction } from '../bitcoin/library.ts';
import { parseStrictDer, spendProblem } from './chain-script.ts';

describe('strict DER (BIP-66)', () => {
  const [vector] = bip143.cases as [(typeof bip143.cases)[0]];
  const der = fromHex(vector.signature);

  test('a published signature', () => {
    const { r, s } = parseStrictDer(der)!;
    expect(r.toString(16)).toBe('3609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a');
    expect(s.toString(16)).toBe('573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee');
    expect(hex(scripts.signature.encode(fromHex(r.toString(16) + s.toString(16)), 1).subarray(0, -1))).toBe(vector.signature);
  });

  test.each([
    ['empty', ''],
    ['not a sequence', '31060201010201' + '01'],
    ['wrong total length', '3007020101020101'],
    ['bytes behind', '300602010102010100'],
    ['first is no integer', '3006030101020101'],
    ['second is no integer', '3006020101030101'],
    ['empty integer', '30060200020201' + '01'],
    ['negative', '3006020181020101'],
    ['needless zero', '300702020001020101'],
    ['length beyond the end', '3006020101020201'],
    ['long form of the length', `30810602010102010100`],
    ['integer of 34 bytes', `3027${'0222'}${'01'.repeat(34)}020101`],
  ])('%s', (_, text) => {
    expect(parseStrictDer(fromHex(text))).toBeUndefined();
  });

  test('the shortest that is well-formed', () => expect(parseStrictDer(fromHex('3006020101020102'))).toEqual({ r: 1n, s: 2n }));
});

/** The published transactions with the published signatures, through the verifier. */
describe('published signatures', () => {
  test('BIP-143: native P2WPKH', () => {
    const [vector] = bip143.cases as [(typeof bip143.cases)[0]];
    const tx = Transaction.fromHex(vector.unsigned_transaction);
    const spent = [
      { script: fromHex('6a'), value: 0n },
      { script: fromHex(vector.script), value: BigInt(vector.value) },
    ];
    tx.setWitness(1, [fromHex(`${vector.signature}01`), fromHex(vector.public_key)]);
    expect(spendProblem(tx, 1, spent)).toBeUndefined();
    expect(spendProblem(tx, 1, spent.with(1, { ...spent[1]!, value: 1n }))).toMatch(/Signature must be zero/);
  });

  test.each(bip341.inputs)('BIP-341: input $index', ({ index, signature }) => {
    const tx = Transaction.fromHex(bip341.unsigned_transaction);
    const spent = bip341.spent.map(({ script, value }) => ({ script: fromHex(script), value: BigInt(value) }));
    tx.setWitness(index, [fromHex(signature)]);
    expect(spendProblem(tx, index, spent)).toBeUndefined();
    const elsewhere = index === 0 ? 1 : 0;
    expect(spendProblem(tx, index, spent.with(elsewhere, { ...spent[elsewhere]!, value: 1n }))).toMatch(/Invalid Schnorr signature/);
  });
});
