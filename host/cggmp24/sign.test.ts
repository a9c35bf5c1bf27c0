import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { Defect, Fault, Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { modQ, q } from '../curve/secp256k1.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { memoryNetwork, tamper, values, type Override } from '../protocol/testing/network.ts';
import { sha256 } from '../protocol/transcript.ts';
import type { Presignature } from './presignature.ts';
import { signingSessionId } from './session.ts';
import { bitcoinSighash, Sighash } from './sighash.ts';
import { partialRound, signInteractive } from './sign-interactive.ts';
import { combine, partialFits, partialSignature } from './sign.ts';
import { expectBlamed, freshNonce, identitiesOf, makeGroup, random, reasons, runPresign, subsets, type Group } from './testing/parties.ts';
import { nobleAccepts, opensslAccepts } from './testing/verifiers.ts';

const preimage = utf8('the preimage of a sighash');
const message = bitcoinSighash(preimage);
const core = await createCore({ threads: 2 });
let group: Group;
let threshold: Group;
let presignatures: Presignature[];
beforeAll(async () => {
  group = await makeGroup(3, 3, smallParameters, core);
  threshold = await makeGroup(2, 3, smallParameters, core);
  presignatures = values(await runPresign(group, [0, 1, 2]));
});
afterAll(() => core.close());
const partials = () => new Map(presignatures.map((own, position) => [position, partialSignature(own, message)]));

describe('a message', () => {
  test('is the double SHA-256 of its preimage', () => {
    expect(message.digest).toEqual(sha256(sha256(preimage)));
  });

  test('cannot be made from a digest: no cast, no look-alike, no change afterwards', () => {
    const digest = sha256(utf8('a digest of somebody’s choice'));
    const lookAlike = Object.create(Sighash.prototype, { digest: { value: digest } });
    for (const forged of [digest, { digest }, lookAlike])
      expect(() => partialSignature(presignatures[0]!, forged as Sighash)).toThrow(TypeError);
    expect(new Sighash(digest).digest).toEqual(sha256(sha256(digest)));
    const before = partialSignature(presignatures[0]!, message);
    message.digest.fill(0);
    expect(partialSignature(presignatures[0]!, message)).toBe(before);
  });
});

describe('partial signatures', () => {
  test('combine to a low-s signature at every signer', () => {
    for (const own of presignatures) {
      const signature = combine(own, message, partials());
      expect(signature.s <= (q - 1n) / 2n).toBe(true);
      expect(opensslAccepts(own.publicKey, preimage, signature)).toBe(true);
      expect(nobleAccepts(own.publicKey, preimage, signature)).toBe(true);
    }
  });

  test('both halves of s occur over messages, and are normalised with the right recovery id', () => {
    const recoveries = new Set<number>();
    for (let i = 0; i < 12; i++) {
      const text = utf8(`message ${i}`);
      const hash = bitcoinSighash(text);
      const signature = combine(presignatures[0]!, hash, new Map(presignatures.map((own, j) => [j, partialSignature(own, hash)])));
      expect(nobleAccepts(presignatures[0]!.publicKey, text, signature)).toBe(true);
      recoveries.add(signature.recovery);
    }
    expect(recoveries.size).toBe(2);
  });

  test.each([
    ['off by one', (sigma: bigint) => modQ(sigma + 1n)],
    ['negated', (sigma: bigint) => modQ(-sigma)],
    ['zero', () => 0n],
    ['not reduced', (sigma: bigint) => sigma + q],
  ])('one that is %s names its signer', (_what, change) => {
    const wrong = partials().set(1, change(partials().get(1)!));
    expect(() => combine(presignatures[0]!, message, wrong)).toThrow(Fault);
    expect(() => combine(presignatures[0]!, message, wrong)).toThrow('(party 1)');
  });

  test('two wrong ones name both signers, unless they cancel: then the signature is valid', () => {
    const shifted = partials();
    shifted.set(0, modQ(shifted.get(0)! + 5n)).set(2, modQ(shifted.get(2)! - 4n));
    expect(() => combine(presignatures[1]!, message, shifted)).toThrow('(party 0, 2)');
    shifted.set(2, modQ(shifted.get(2)! - 1n));
    expect(combine(presignatures[1]!, message, shifted)).toEqual(combine(presignatures[1]!, message, partials()));
    expect([0, 1, 2].map((j) => partialFits(presignatures[1]!, message, j, shifted.get(j)!))).toEqual([false, true, false]);
  });

  test('for another message, or of another presignature, name their signer', async () => {
    const other = bitcoinSighash(utf8('another message'));
    expect(() => combine(presignatures[0]!, message, partials().set(2, partialSignature(presignatures[2]!, other)))).toThrow('(party 2)');
    const [, second] = values(await runPresign(group, [0, 1, 2]));
    expect(() => combine(presignatures[0]!, message, partials().set(1, partialSignature(second!, message)))).toThrow('(party 1)');
  });

  test('one missing or of nobody is our own mistake', () => {
    const missing = partials();
    missing.delete(2);
    expect(() => combine(presignatures[0]!, message, missing)).toThrow(Defect);
    expect(() => combine(presignatures[0]!, message, missing.set(7, 1n))).toThrow(Defect);
  });
});

describe('interactive signing', () => {
  async function run(of: Group, signers: readonly number[], options: { override?: Override; other?: Sighash; liar?: number } = {}) {
    const { keys, aux, parameters } = of;
    const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
    const inputs = (position: number) => ({ key: keys[signers[position]!]!, aux: aux[signers[position]!]!, parameters });
    const sid = signingSessionId({ protocol: 'sign', signers, ...inputs(0), ...session, message });
    return memoryNetwork(signers.length, sid, { ...(options.override && { override: options.override }) }).run((rounds, me) =>
      signInteractive({ rounds, signers, ...inputs(me), random, core, session, message: me === options.liar ? options.other! : message }),
    );
  }

  test.each(subsets(3, 2))('signers %i and %i of a 2-of-3 key', async (...signers) => {
    const signatures = values(await run(threshold, signers));
    for (const signature of signatures) {
      expect(signature).toEqual(signatures[0]);
      expect(opensslAccepts(threshold.keys[0]!.publicKey, preimage, signature)).toBe(true);
      expect(nobleAccepts(threshold.keys[0]!.publicKey, preimage, signature)).toBe(true);
    }
  });

  test('a wrong partial signature is named by all, with the signed message', async () => {
    const results = await run(group, [0, 1, 2], { override: tamper(1, partialRound, ({ sigma }) => ({ sigma: modQ(sigma + 1n) })) });
    expectBlamed(results, [1], 'wrong partial signature');
    expect((reasons(results)[0] as Fault).evidence.signed!.length).toBeGreaterThan(64);
  });

  test('a session that does not bind the message is refused before anything is sent', async () => {
    const results = await run(threshold, [0, 1], { liar: 1, other: bitcoinSighash(utf8('another message')) });
    expect(reasons(results)[1]).toBeInstanceOf(Refusal);
    expect(reasons(results)[1]).toMatchObject({ field: 'sid' });
  });
});
