import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { schnorr } from '@noble/curves/secp256k1.js';
import { expect, test } from 'vitest';
import safePrimes from '../fixtures/primes/safe-1536.json' with { type: 'json' };
import { fromHex, utf8 } from '../host/base/bytes.ts';
import { nobleAccepts, opensslAccepts } from '../host/cggmp24/testing/verifiers.ts';
import { Point } from '../host/curve/secp256k1.ts';
import { taprootSighash } from '../host/frost/sighash.ts';

// The compiled example in a process of its own, which finds the library by its name, as a program that installed it does. Two parties instead of
// three, and published primes instead of minutes of search: all else is at full strength.
const program = `
  import { example } from './dist/examples/two-of-three.js';
  const primes = ${JSON.stringify(safePrimes.primes.slice(0, 8))}.map((hex) => BigInt('0x' + hex));
  const made = await example(() => ({ next: async () => primes.shift() }), new TextEncoder().encode('preimage'), new Uint8Array(175), [0, 1]);
  const text = (_, value) => (typeof value === 'bigint' ? value.toString() : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value);
  console.log(JSON.stringify(made, text));
`;

test('the example makes keys and signs: its signatures hold for OpenSSL and noble', async () => {
  const cwd = new URL('..', import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd });
  const made = JSON.parse(stdout) as {
    publicKey: string;
    outputKey: string;
    schnorr: string;
    ecdsa: { r: string; s: string; recovery: number };
  };
  const publicKey = Point.fromHex(made.publicKey);
  const signature = { r: BigInt(made.ecdsa.r), s: BigInt(made.ecdsa.s), recovery: made.ecdsa.recovery };
  expect(opensslAccepts(publicKey, utf8('preimage'), signature)).toBe(true);
  expect(nobleAccepts(publicKey, utf8('preimage'), signature)).toBe(true);
  expect(schnorr.verify(fromHex(made.schnorr), taprootSighash(new Uint8Array(175)), fromHex(made.outputKey))).toBe(true);
});
