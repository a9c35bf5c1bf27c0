/**
 * A statistical test of the paths that handle secrets: `npm run dudect [-- --quick] [-- --kernel fma|extmul] [-- --rows TEXT] [-- --times N]`. Each row times
 * one piece of work for a fixed secret and for fresh random ones, in random order, and asks whether the two sets of times differ (welch.ts). Rows of the
 * kernel time the WebAssembly call alone; rows of operations what a worker does, BigInt included. The row `control` takes the path for public exponents,
 * whose time depends on them: if it shows nothing, the test could not see anything. In the rows `nothing` both sets are random: what they show is no leak.
 *
 * It says what this machine let it see, with these inputs: an absence of evidence, never a proof.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { bigintToBytes, bitLength, bytesToBigint } from '../host/base/bytes.ts';
import { Evaluator } from '../host/core/evaluate.ts';
import { commit, decrypt, encrypt, modN2, power, type Operation } from '../host/core/index.ts';
import { instantiate, type Exports, type KernelName } from '../host/core/instance.ts';
import { Machine } from '../host/core/machine.ts';
import { chooseKernel } from '../host/core/self-test.ts';
import { greatestT, type Sample } from './welch.ts';

interface Row {
  readonly name: string;
  readonly count: number;
  /** Makes the input of one class ready; not timed. */
  readonly prepare: (fixed: boolean) => void;
  readonly work: () => void;
}

const random = (bits: number): bigint => bytesToBigint(new Uint8Array(randomBytes(Math.ceil(bits / 8)))) >> BigInt((8 - (bits % 8)) % 8);
const align = (n: number): number => (n + 15) & ~15;

function measure({ count, prepare, work }: Row): number {
  const samples: Sample[] = [];
  for (let i = -Math.ceil(count / 50); i < count; i++) {
    const fixed = randomInt(2) === 0;
    prepare(fixed);
    const begin = process.hrtime.bigint();
    work();
    const time = Number(process.hrtime.bigint() - begin);
    if (i >= 0) samples.push({ time, fixed });
  }
  return greatestT(samples);
}

/** Rows that call the module itself, with operands written beforehand. */
function kernelRows(exports: Exports, bits: number, exponentBits: number, count: number): Row[] {
  const bytes = bits / 8;
  const words = exponentBits / 32;
  const context = align(exports.scratch());
  const input = align(context + exports.contextBytes(1, 1, bits));
  const area = align(input + 16 + 3 * bytes + 4 * words);
  const need = area + 80 * bytes * 4 + 2 ** 17;
  if (need > exports.memory.buffer.byteLength) exports.memory.grow(Math.ceil((need - exports.memory.buffer.byteLength) / 65536));
  const view = new Uint8Array(exports.memory.buffer);
  const modulus = random(bits) | (1n << BigInt(bits - 1)) | 1n;
  view.set(bigintToBytes(modulus, bytes), input);
  exports.contextInit(context, 1, 1, bits, input);
  const write = (base: bigint, exponent: bigint): void => {
    new DataView(exports.memory.buffer).setUint32(input, exponentBits, true);
    view.set(bigintToBytes(base, bytes), input + 16);
    view.set(bigintToBytes(exponent, 4 * words).reverse(), input + 16 + 2 * bytes);
  };
  const size = `${bits}/${exponentBits}`;
  const run = (secret: number) => () => exports.power(context, input, area, 1, words, 4, 0, secret, 0, 0, 0);
  const base = random(bits - 1);
  const fresh = (fixed: boolean, value: bigint): bigint => pick(fixed, value, random(exponentBits));
  const chunk = align(area + 4 * bytes * 4);
  const list = chunk + align(exports.combBytes(context));
  const exponents = list + 16;
  const combReady = (): void => {
    view.set(bigintToBytes(base, bytes), input);
    exports.combBuild(context, chunk, input, area);
    const data = new DataView(exports.memory.buffer);
    data.setUint32(list, 1, true);
    data.setUint32(list + 4, chunk, true);
  };
  let built = false;
  return [
    { name: `exponent 0, ${size}`, count, prepare: (fixed) => write(base, fresh(fixed, 0n)), work: run(1) },
    {
      name: `exponent of ones, ${size}`,
      count,
      prepare: (fixed) => write(base, fresh(fixed, 2n ** BigInt(exponentBits) - 1n)),
      work: run(1),
    },
    {
      name: `base 1, ${size}`,
      count,
      prepare: (fixed) => {
        write(pick(fixed, 1n, random(bits - 1)), 2n ** BigInt(exponentBits) - 0x5555n);
      },
      work: run(1),
    },
    ...[
      { name: `table scan, ${bits}/384, digits 0`, digits: () => 0n },
      { name: `table scan, ${bits}/384, digits 63`, digits: () => 2n ** 384n - 1n },
      { name: `table scan, ${bits}/384, nothing`, digits: () => random(384) },
    ].map(({ name, digits }) => ({
      name,
      count,
      prepare: (fixed: boolean) => {
        if (!built) combReady();
        built = true;
        view.set(mix(fixed, bigintToBytes(digits(), 52), bigintToBytes(random(384), 52)).reverse(), exponents);
      },
      work: () => exports.combPower(context, input, area, 1, list, exponents, 1),
    })),
    {
      name: `inverse of 2, ${bits}`,
      count: Math.ceil(count / 4),
      prepare: (fixed) => {
        view.set(bigintToBytes(modulus, bytes), input);
        view.set(mix(fixed, bigintToBytes(2n, bytes), bigintToBytes(random(bits - 1), bytes)), input + bytes);
      },
      work: () => exports.invert(input, input + bytes, bytes, 1),
    },
    {
      name: `control: public exponent 2^k, ${size}`,
      count: Math.ceil(count / 10),
      prepare: (fixed) => write(base, fresh(fixed, 1n << BigInt(exponentBits - 1))),
      work: run(0),
    },
  ];
}

/** Rows that call what the owner of a key computes around exponentiations. The key is the same in both sets, residues and exponents are not. */
function ownerRows(exports: Exports, bits: 576 | 1536, count: number): Row[] {
  const [p, q, lambda] = primesOf(bits) as [bigint, bigint, bigint];
  const words = bits / 32;
  const record = align(exports.scratch());
  const halves = align(record + exports.ownerBytes(words, words, words));
  const target = align(halves + 16 * words);
  const number = align(target + 16 * words + 16);
  const area = align(number + 32 * words);
  const need = area + 64 * words;
  if (need > exports.memory.buffer.byteLength) exports.memory.grow(Math.ceil((need - exports.memory.buffer.byteLength) / 65536));
  const view = new Uint8Array(exports.memory.buffer);
  for (const [i, secret] of [p, q, lambda].entries()) view.set(bigintToBytes(secret, 4 * words), halves + 4 * words * i);
  exports.ownerInit(record, halves, words, words, words);
  // λ·x + e for x of 256 bits and e longer than N.
  const [xWords, eWords] = [9, 2 * words + 25];
  const residues = (fixed: boolean, bytes: number, constant: bigint): void => {
    for (const [half, prime] of [p, q].entries()) {
      const drawn = random(8 * bytes) % (bytes > 4 * words ? prime * prime : prime);
      view.set(mix(fixed, bigintToBytes(constant, bytes), bigintToBytes(drawn, bytes)), halves + half * bytes);
    }
  };
  const row = (name: string, prepare: Row['prepare'], work: Row['work']): Row => ({
    name: `${name}, N of ${2 * bits} bits`,
    count,
    prepare,
    work,
  });
  const recombine = (squared: number) => () => exports.ownerRecombine(record, squared, halves, words * (1 + squared), target);
  return [
    row('recombination, residues 0', (fixed) => residues(fixed, 4 * words, 0n), recombine(0)),
    row('recombination modulo N², residues 1', (fixed) => residues(fixed, 8 * words, 1n), recombine(1)),
    row(
      'plaintext, residues 1',
      (fixed) => residues(fixed, 8 * words, 1n),
      () => exports.ownerPlaintext(record, halves, 2 * words, target),
    ),
    row(
      'exponent λ·x + e, 0',
      (fixed) => {
        view.set(mix(fixed, new Uint8Array(4 * xWords), bigintToBytes(random(256), 4 * xWords)), number);
        view.set(mix(fixed, new Uint8Array(4 * eWords), bigintToBytes(random(32 * eWords), 4 * eWords)), number + 4 * xWords);
      },
      () => exports.ownerReduce(record, number, xWords, number + 4 * xWords, eWords, area, target, 4 * words, words),
    ),
  ];
}

/** Rows that run whole operations with the factors at hand, conversions and BigInt included. */
function operationRows(machine: Machine, bits: 576 | 1536, count: number): Row[] {
  const evaluator = new Evaluator(machine);
  const [p, q, hatP, hatQ] = primesOf(bits) as [bigint, bigint, bigint, bigint];
  const key = { n: p * q, p, q };
  const hatN = hatP * hatQ;
  const [t, lambda] = [random(2 * bits - 2) ** 2n % hatN, random(2 * bits - 4)];
  const [s] = evaluator.evaluate([power({ mod: 'N', key: { n: hatN, s: t, t, p: hatP, q: hatQ, lambda } }, [t, lambda])]);
  const setup = { n: hatN, s: s!, t, p: hatP, q: hatQ, lambda };
  const row = (name: string, make: (fixed: boolean) => Operation): Row => {
    let operation: Operation;
    return {
      name: `${name}, N of ${2 * bits} bits`,
      count,
      prepare: (fixed) => {
        operation = make(fixed);
      },
      work: () => evaluator.evaluate([operation]),
    };
  };
  const N2 = key.n * key.n;
  const unit = (bound: number): bigint => random(bound);
  const [c, r, m, k] = [random(4 * bits - 2) % N2, random(2 * bits - 2), random(256), random(768)];
  return [
    row('decrypt, nothing', (fixed) => decrypt(key, pick(fixed, unit(4 * bits - 2) % N2, unit(4 * bits - 2) % N2))),
    row('decrypt', (fixed) => decrypt(key, pick(fixed, c, unit(4 * bits - 2) % N2))),
    row('encrypt, own key, r', (fixed) => encrypt(key, m, pick(fixed, r, unit(2 * bits - 2)))),
    row('encrypt, own key, m', (fixed) => encrypt(key, pick(fixed, m, unit(256)), r)),
    row('encrypt, own key, m = 1', (fixed) => encrypt(key, pick(fixed, 1n, unit(256)), r)),
    row('power, own N², k', (fixed) => power(modN2(key), [c, pick(fixed, k, unit(768))])),
    row('power, own N², k = 2^767', (fixed) => power(modN2(key), [c, pick(fixed, 1n << 767n, unit(768) | (1n << 767n))])),
    row('power, somebody’s N², k', (fixed) => power(modN2({ n: key.n }), [c, pick(fixed, k, unit(768))])),
    row('commit, own set-up', (fixed) => commit(setup, pick(fixed, m, unit(256)), pick(fixed, r, unit(2 * bits - 2)))),
    row('commit, somebody’s set-up', (fixed) =>
      commit({ n: hatN, s: s!, t }, pick(fixed, m, unit(256)), pick(fixed, r, unit(2 * bits - 2))),
    ),
  ];
}

/** A new number in either case, made in the same way, so that making it leaves the same traces in caches and heap. */
const pick = (fixed: boolean, constant: bigint, drawn: bigint): bigint => {
  const bytes = 8 * Math.ceil(Math.max(bitLength(constant), bitLength(drawn), 1) / 64);
  return bytesToBigint(mix(fixed, bigintToBytes(constant, bytes), bigintToBytes(drawn, bytes)));
};

/** One of two byte strings, without going to either by itself: which was read last is in the caches. */
const mix = (fixed: boolean, constant: Uint8Array, drawn: Uint8Array): Uint8Array => {
  const mask = 0 - Number(fixed); // no −0, which would be no small integer
  return drawn.map((byte, i) => byte ^ ((byte ^ constant[i]!) & mask));
};

const primesOf = (bits: 576 | 1536): bigint[] =>
  (
    JSON.parse(readFileSync(new URL(`../../fixtures/primes/safe-${bits}.json`, import.meta.url), 'utf8')) as { primes: string[] }
  ).primes.map((prime) => BigInt(`0x${prime}`));

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    kernel: { type: 'string' },
    rows: { type: 'string', default: '' },
    times: { type: 'string', default: '1' },
  },
});
const kernels = (values.kernel === undefined ? ['fma', 'extmul'] : [values.kernel]) as KernelName[];
const scale = (values.quick ? 0.05 : 1) * Number(values.times);
console.log(`${cpus()[0]!.model}, Node ${process.version}; |t| < 4.5: no evidence of a difference, > 10: a difference`);
for (const kernel of kernels) {
  const { module } = chooseKernel(kernel);
  const rows = [
    ...kernelRows(instantiate(module), 512, 256, 100_000 * scale),
    ...kernelRows(instantiate(module), 3072, 256, 5_000 * scale),
    ...ownerRows(instantiate(module), 576, 50_000 * scale),
    ...ownerRows(instantiate(module), 1536, 10_000 * scale),
    ...operationRows(new Machine(instantiate(module)), 576, 4_000 * scale),
    ...operationRows(new Machine(instantiate(module)), 1536, 400 * scale),
  ];
  for (const row of rows.filter(({ name }) => name.includes(values.rows))) {
    const t = measure(row);
    console.log(`${kernel.padEnd(7)} ${row.name.padEnd(48)} n = ${String(row.count).padStart(6)}  t = ${t.toFixed(1).padStart(7)}`);
  }
}
