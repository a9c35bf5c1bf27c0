import { schnorr } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import seeds from '../../fixtures/fuzz/seeds.json' with { type: 'json' };
import { equalBytes, fromHex, hex, utf8 } from '../base/bytes.ts';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { addressOf } from './address.ts';
import { DEFAULT_PAYMENT_POLICY } from './coins.ts';
import { virtualSize, transactionWeight } from './fees.ts';
import { script as scripts, Transaction } from './library.ts';
import {
  amountOf,
  feeOf,
  metadataOf,
  paymentIntent,
  txidOf,
  unsignedPayment,
  type PaymentIntent,
  type UnsignedPayment,
} from './payment.ts';
import type { SpendType } from './scripts.ts';
import { sighash } from './sighash.ts';
import { coinOf, singleKey, type SingleKey } from './testing/single-key.ts';
import { attachEcdsa, attachSchnorr, buildPayment, finalize } from './transaction.ts';

const policy = { ...DEFAULT_PAYMENT_POLICY, maxFeePermille: 1_000_000n, maxFee: 100_000_000n };
const TYPES: readonly SpendType[] = ['p2wpkh', 'p2wsh', 'p2tr'];
const payees = TYPES.map((type) => addressOf(singleKey(type, 'payee').wallet.script, 'regtest'));
const CURVE_ORDER = schnorr.Point.Fn.ORDER;

const intentOf = (amount: bigint, more: Partial<PaymentIntent> = {}): PaymentIntent => ({
  recipients: [{ address: payees[0]!, amount }],
  metadata: undefined,
  feeRate: 2_000n,
  ...more,
});
const pay = (key: SingleKey, values: readonly bigint[], intent: PaymentIntent, locktime = 0): UnsignedPayment =>
  buildPayment({
    wallet: key.wallet,
    network: 'regtest',
    intent,
    coins: values.map((v, i) => coinOf(key.wallet, i + 1, v)),
    policy,
    locktime,
  });
const refusal = (act: () => unknown): Refusal => {
  try {
    act();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('building', () => {
  const key = singleKey('p2wpkh', 'payer');
  test('recipients in order, then metadata, then change', () => {
    const recipients = payees.map((address, i) => ({ address, amount: 1_000n * BigInt(i + 1) }));
    const payment = pay(key, [100_000n], intentOf(0n, { recipients, metadata: utf8('MPCW test') }), 100);
    expect(payment).toMatchObject({ network: 'regtest', version: 2, locktime: 100, changeIndex: 4 });
    expect(payment.outputs.slice(0, 3).map((output) => addressOf(output.script, 'regtest'))).toEqual(payees);
    expect(payment.outputs.slice(0, 3).map((output) => output.value)).toEqual([1_000n, 2_000n, 3_000n]);
    expect(metadataOf(payment)).toEqual(utf8('MPCW test'));
    expect(equalBytes(payment.outputs[4]!.script, key.wallet.script)).toBe(true);
    expect(amountOf(payment)).toBe(6_000n);
    expect(feeOf(payment)).toBe(100_000n - 6_000n - payment.outputs[4]!.value);
  });

  test.each([1, 75, 76, 80])('%i bytes of metadata come back', (length) => {
    const metadata = Uint8Array.from({ length }, (_, i) => i);
    expect(metadataOf(pay(key, [100_000n], intentOf(10_000n, { metadata })))).toEqual(metadata);
  });

  test('no metadata, no OP_RETURN', () => {
    const payment = pay(key, [100_000n], intentOf(10_000n));
    expect(payment.outputs).toHaveLength(2);
    expect(metadataOf(payment)).toBeUndefined();
  });

  test.each([
    ['dust', intentOf(293n), 'dust', 'recipients[0].amount_sats'],
    ['zero', intentOf(0n), 'bad_amount', 'recipients[0].amount_sats'],
    ['negative', intentOf(-1n), 'bad_amount', 'recipients[0].amount_sats'],
    ['more than all bitcoins', intentOf(2_100_000_000_000_001n), 'bad_amount', 'recipients[0].amount_sats'],
    ['nobody', intentOf(0n, { recipients: [] }), 'no_recipient', 'recipients'],
    [
      'too many',
      intentOf(0n, { recipients: Array(21).fill({ address: payees[0]!, amount: 1_000n }) }),
      'too_many_recipients',
      'recipients',
    ],
    ['81 bytes of metadata', intentOf(1_000n, { metadata: new Uint8Array(81) }), 'bad_metadata', 'metadata'],
    ['empty metadata', intentOf(1_000n, { metadata: new Uint8Array() }), 'bad_metadata', 'metadata'],
    [
      'mainnet address',
      intentOf(0n, { recipients: [{ address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', amount: 1_000n }] }),
      'wrong_network',
      'recipients[0].address',
    ],
    ['too much', intentOf(200_000n), 'insufficient_funds', 'amount_sats'],
  ])('%s is refused', (_, intent, code, field) => {
    const error = refusal(() => pay(key, [100_000n], intent));
    expect([error.code, error.field]).toEqual([code, field]);
    expect(error.remedy).not.toBe('');
  });

  test("another wallet's coin among the candidates is our own bug", () => {
    const foreign = coinOf(singleKey('p2wpkh', 'other').wallet, 1, 100_000n);
    expect(() => buildPayment({ wallet: key.wallet, network: 'regtest', intent: intentOf(1_000n), coins: [foreign], policy })).toThrow(
      Defect,
    );
  });
});

describe('codec', () => {
  const payment = pay(singleKey('p2wsh', 'payer'), [50_000n, 60_000n], intentOf(100_000n, { metadata: utf8('x') }));
  test('a payment and an intent survive a round trip, in one encoding', () => {
    const bytes = encode(unsignedPayment, payment);
    expect(decode(unsignedPayment, bytes)).toEqual(payment);
    expect(hex(encode(unsignedPayment, decode(unsignedPayment, bytes)))).toBe(hex(bytes));
    const intent = intentOf(5n, { metadata: utf8('x') });
    expect(decode(paymentIntent, encode(paymentIntent, intent))).toEqual(intent);
    expect(txidOf(decode(unsignedPayment, bytes))).toBe(txidOf(payment));
  });

  test('trailing, missing and impossible bytes are refused', () => {
    const bytes = encode(unsignedPayment, payment);
    expect(() => decode(unsignedPayment, Uint8Array.of(...bytes, 0))).toThrow(DecodeError);
    expect(() => decode(unsignedPayment, bytes.subarray(0, -1))).toThrow(DecodeError);
    expect(() => decode(unsignedPayment, bytes.with(0, 3))).toThrow(/version 3/);
    // Version 2 is for payments that have a path.
    expect(() => decode(unsignedPayment, bytes.with(0, 2))).toThrow(DecodeError);
    expect(() => decode(unsignedPayment, bytes.with(1, 4))).toThrow(/network/);
    // The value of the first input, 8 bytes behind version, network, version, lock time, count, txid and index.
    expect(() => decode(unsignedPayment, bytes.with(1 + 1 + 4 + 4 + 4 + 32 + 4, 0xff))).toThrow(/inputs\[0\]\.value/);
    expect(() => encode(unsignedPayment, { ...payment, outputs: [{ ...payment.outputs[0]!, value: -1n }] })).toThrow(RangeError);
  });

  test('without paths it is the record that earlier releases wrote; with one it is version 2, and version 2 has one', () => {
    const [recorded] = seeds['bitcoin/unsignedPayment'];
    const old = decode(unsignedPayment, fromHex(recorded!));
    expect(old).toMatchObject({ locktime: 812, changePath: [], inputs: [{ value: 50_000n, path: [] }] });
    expect(hex(encode(unsignedPayment, old))).toBe(recorded);
    expect(recorded!.slice(0, 2)).toBe('01');

    const derived = { ...payment, inputs: payment.inputs.with(1, { ...payment.inputs[1]!, path: [7, 0, 3] }), changePath: [7, 1, 0] };
    const bytes = encode(unsignedPayment, derived);
    expect(bytes[0]).toBe(2);
    expect(decode(unsignedPayment, bytes)).toEqual(derived);
    const long = { ...derived, changePath: [7, 1, 0, 0] };
    expect(() => encode(unsignedPayment, long)).toThrow(RangeError);
    // With its paths taken out, it would be a second encoding of a payment of the own key.
    const [input, change] = ['00000003000000070000000000000003', '00000003000000070000000100000000'];
    const emptied = hex(bytes).replace(input, '00000000').replace(change, '00000000');
    expect(emptied).toHaveLength(2 * (bytes.length - 24));
    expect(() => decode(unsignedPayment, fromHex(emptied))).toThrow('a value of version 1 in version 2');
  });

  test('what cannot be decoded throws a DecodeError and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (junk) => {
        expect(() => decode(unsignedPayment, junk)).toThrow(DecodeError);
      }),
      { numRuns: 300 },
    );
  });
});

describe.each(TYPES)('signing %s', (type) => {
  const key = singleKey(type, 'payer');
  const payment = pay(key, [50_000n, 60_000n], intentOf(100_000n));

  test('the signed transaction parses, keeps its id, and carries the witnesses', () => {
    const signed = key.sign(payment);
    const parsed = Transaction.fromHex(signed.hex);
    expect(parsed.getId()).toBe(signed.txid);
    expect(signed.txid).toBe(txidOf(payment));
    expect(parsed.virtualSize()).toBe(signed.vsize);
    expect(signed.fee).toBe(feeOf(payment));
    expect(parsed.ins.every((input) => input.script.length === 0)).toBe(true);
    expect(parsed.ins.map((input) => input.witness.length)).toEqual(type === 'p2tr' ? [1, 1] : [2, 2]);
  });

  test('a missing, doubled, swapped or corrupted witness never leaves', () => {
    const [first, second] = [key.witness(payment, 0), key.witness(payment, 1)];
    expect(() => finalize(payment, [first])).toThrow(Defect);
    expect(() => finalize(payment, [first, first])).toThrow(Defect);
    expect(() => finalize(payment, [{ ...first, index: 1 }, { ...second, index: 0 }])).toThrow(Defect); // prettier-ignore
    const bent = first.stack[0]!.with(20, first.stack[0]![20]! ^ 1);
    expect(() => finalize(payment, [{ index: 0, stack: [bent, ...first.stack.slice(1)] }, second])).toThrow(Defect);
    expect(() => finalize(payment, [{ index: 0, stack: [] }, second])).toThrow(Defect);
    expect(() => finalize(payment, [{ index: 0, stack: [Uint8Array.of(0x30, 1), ...first.stack.slice(1)] }, second])).toThrow(Defect);
    const noDer = [new Uint8Array(70).fill(1), ...first.stack.slice(1)];
    expect(() => finalize(payment, [{ index: 0, stack: noDer }, second])).toThrow(Defect);
  });

  test('a signature of another payment does not fit', () => {
    const other = pay(key, [50_000n, 60_000n], intentOf(100_001n));
    expect(() => finalize(payment, [key.witness(other, 0), key.witness(payment, 1)])).toThrow(Defect);
  });

  test('the estimate is never below the real size, and at most a few bytes of signature above', () => {
    const shape = fc.record({
      values: fc.array(fc.bigInt({ min: 30_000n, max: 90_000n }), { minLength: 1, maxLength: 4 }),
      share: fc.bigInt({ min: 10n, max: 90n }),
      metadata: fc.option(fc.uint8Array({ minLength: 1, maxLength: 80 }), { nil: undefined }),
      payee: fc.constantFrom(...payees),
      feeRate: fc.bigInt({ min: 1_000n, max: 20_000n }),
    });
    let apart = 0;
    fc.assert(
      fc.property(shape, ({ values, share, metadata, payee, feeRate }) => {
        const amount = (values.reduce((sum, v) => sum + v, 0n) * share) / 100n - 4_000n;
        fc.pre(amount > 546n);
        let built: UnsignedPayment;
        try {
          built = pay(key, values, { recipients: [{ address: payee, amount }], metadata, feeRate });
        } catch (error) {
          expect((error as Refusal).code).toBe('insufficient_funds');
          return;
        }
        const signed = key.sign(built);
        const estimate = transactionWeight(type, built.inputs.length, built.outputs.map((output) => output.script)); // prettier-ignore
        expect(signed.weight).toBeLessThanOrEqual(estimate);
        // ECDSA: 72 bytes estimated, 71 half of the time, 70 and less rarely.
        expect(estimate - signed.weight).toBeLessThanOrEqual(type === 'p2tr' ? 0 : 3 * built.inputs.length);
        apart = Math.max(apart, virtualSize(estimate) - signed.vsize);
        // What was asked for is what is paid, or more.
        expect(signed.fee * 1000n).toBeGreaterThanOrEqual(BigInt(signed.vsize) * feeRate);
      }),
      { numRuns: 40 },
    );
    expect(apart).toBeLessThanOrEqual(type === 'p2tr' ? 0 : 2);
  });
});

describe('attaching', () => {
  const ecdsa = singleKey('p2wpkh', 'payer');
  const taproot = singleKey('p2tr', 'payer');
  const payment = pay(ecdsa, [50_000n], intentOf(10_000n));
  const taprootPayment = pay(taproot, [50_000n], intentOf(10_000n));
  const { signature } = scripts.signature.decode(ecdsa.witness(payment, 0).stack[0]!);
  const r = BigInt(`0x${hex(signature.subarray(0, 32))}`);
  const s = BigInt(`0x${hex(signature.subarray(32))}`);

  test('the high-s twin of a valid signature is refused', () => {
    expect(() => attachEcdsa(payment, 0, { r, s: CURVE_ORDER - s }, ecdsa.wallet.publicKey)).toThrow(Defect);
  });
  test.each([
    [0n, 1n],
    [CURVE_ORDER, 1n],
    [1n, 0n],
    [-1n, 1n],
  ])('r = %s, s = %s is refused', (badR, badS) => {
    expect(() => attachEcdsa(payment, 0, { r: badR, s: badS }, ecdsa.wallet.publicKey)).toThrow(Defect);
  });
  test('another key does not open the output', () => {
    const stranger = singleKey('p2wpkh', 'stranger').wallet.publicKey;
    expect(() => finalize(payment, [attachEcdsa(payment, 0, { r, s }, stranger)])).toThrow(Defect);
  });
  test('another sighash type', () => {
    const [encoded, lock] = ecdsa.witness(payment, 0).stack;
    expect(() => finalize(payment, [{ index: 0, stack: [encoded!.with(-1, Transaction.SIGHASH_NONE), lock!] }])).toThrow(Defect);
  });
  test('each input takes its own kind of signature', () => {
    expect(() => attachSchnorr(payment, 0, new Uint8Array(64))).toThrow(Defect);
    expect(() => attachEcdsa(taprootPayment, 0, { r, s }, ecdsa.wallet.publicKey)).toThrow(Defect);
    expect(() => attachSchnorr(taprootPayment, 0, new Uint8Array(65))).toThrow(Defect);
    expect(() => attachSchnorr(taprootPayment, 1, new Uint8Array(64))).toThrow(Defect);
  });
  test('Taproot signs under the output key as it is', () => {
    const [bytes] = taproot.witness(taprootPayment, 0).stack;
    expect(schnorr.verify(bytes!, sighash(taprootPayment, 0), taproot.wallet.publicKey)).toBe(true);
  });
});
