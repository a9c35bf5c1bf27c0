import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { decode, DecodeError, encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { Child } from '../curve/bip32.ts';
import { G, modQ, mul, sum } from '../curve/secp256k1.ts';
import { testParameters } from '../proofs/parameters.ts';
import { seeded, smallParameters } from '../proofs/testing/instances.ts';
import type * as affG from '../proofs/pi-aff-g.ts';
import { values, type Override } from '../protocol/testing/network.ts';
import { presign } from './presign.ts';
import { presignRounds, type Encrypted } from './presign-messages.ts';
import { presignature, presignatureProblem, presignaturePublic, sealedPresignature, type Presignature } from './presignature.ts';
import { bitcoinSighash } from './sighash.ts';
import { combine, partialSignature } from './sign.ts';
import { makeGroup, random, runPresign, subsets, type Group } from './testing/parties.ts';
import { nobleAccepts, opensslAccepts } from './testing/verifiers.ts';

const preimage = utf8('the preimage of a sighash');
const core = await createCore({ threads: 2 });
afterAll(() => core.close());

function expectSignature(presignatures: readonly Presignature[]): void {
  const message = bitcoinSighash(preimage);
  const partials = new Map(presignatures.map((own, position) => [position, partialSignature(own, message)]));
  const signatures = presignatures.map((own) => combine(own, message, partials));
  const { publicKey } = presignatures[0]!;
  for (const signature of signatures) {
    expect(signature).toEqual(signatures[0]);
    expect(opensslAccepts(publicKey, preimage, signature)).toBe(true);
    expect(nobleAccepts(publicKey, preimage, signature)).toBe(true);
    expect(opensslAccepts(publicKey, utf8('another message'), signature)).toBe(false);
  }
}

describe('presigning and signing', () => {
  let group: Group;
  beforeAll(async () => {
    group = await makeGroup(2, 3, testParameters, core);
  });

  test.each(subsets(3, 2))('signers %i and %i of a 2-of-3 key', async (...signers) => {
    const presignatures = values(await runPresign(group, signers));
    for (const [position, own] of presignatures.entries()) {
      expect(own).toMatchObject({ version: 1, keyId: 'test key', epoch: 0, signers, path: [], position });
      expect(own.publicKey.equals(group.keys[0]!.publicKey)).toBe(true);
      expect(own.id).toEqual(presignatures[0]!.id);
      expect(encode(presignaturePublic, own)).toEqual(encode(presignaturePublic, presignatures[0]!));
      expect(presignatureProblem(own)).toBeUndefined();
    }
    expect(sum(presignatures[0]!.DeltaTilde).equals(G)).toBe(true);
    expectSignature(presignatures);
  });

  test('four signers of a 4-of-5 key', async () => {
    const five = await makeGroup(4, 5, testParameters, core);
    expectSignature(values(await runPresign(five, [0, 1, 3, 4])));
  });

  test('a child key is fixed at presigning, and its signature verifies under it alone', async () => {
    const child = Child.of(group.keys[0]!, [0, 5]);
    const presignatures = values(await runPresign(group, [0, 2], { child }));
    expect(child.publicKey.equals(group.keys[0]!.publicKey.add(mul(G, child.shift)))).toBe(true);
    expect(presignatures[0]!.publicKey.equals(child.publicKey)).toBe(true);
    expect(presignatures[0]!.path).toEqual(child.path);
    expectSignature(presignatures);
  });

  describe('with a generator that repeats itself', () => {
    const messages = presignRounds(smallParameters, 2, 1);
    let runs: { own: Presignature; encrypted: Encrypted; affX: affG.Proof }[];
    let small: Group;
    beforeAll(async () => {
      small = await makeGroup(2, 2, smallParameters, core);
      const once = async () => {
        const sent = new Map<string, Uint8Array>();
        const override: Override = (from, _to, round, payload) => {
          if (from === 0) sent.set(round, payload);
          return payload;
        };
        const [own] = values(await runPresign(small, [0, 1], { override, source: () => seeded('a restored virtual machine') }));
        const [encrypted] = decode(messages.encrypted.codec, sent.get(messages.encrypted.name)!);
        const [proofs] = decode(messages.productProofs.codec, sent.get(messages.productProofs.name)!);
        return { own: own!, encrypted: encrypted!, affX: proofs!.affX };
      };
      runs = [await once(), await once()];
    });

    test('no nonce point is repeated', () => {
      const [first, second] = runs;
      expect(first!.own.Gamma.equals(second!.own.Gamma)).toBe(false);
      expect(first!.own.kTilde).not.toBe(second!.own.kTilde);
      expect(first!.own.DeltaTilde[0]!.equals(first!.own.DeltaTilde[1]!)).toBe(false); // both had the same bytes, and other shares
    });

    test('two runs do not show the difference of their nonces: ρ, ν, a, b, Y are others', () => {
      const [first, second] = runs;
      const { n } = small.aux[0]!.secret.paillier;
      // enc(k; ρ) mod N = ρ^N
      for (const field of ['K', 'G'] as const) expect(first!.encrypted[field] % n).not.toBe(second!.encrypted[field] % n);
      for (const field of ['Y', 'A1', 'B1'] as const) expect(first!.encrypted[field].equals(second!.encrypted[field])).toBe(false);
      expect(first!.encrypted.Co).not.toEqual(second!.encrypted.Co);
    });

    test('two proofs about the key share do not give it away: their masks are others', () => {
      const [first, second] = runs;
      for (const field of ['A', 'By', 'E', 'S', 'F', 'T'] as const) expect(first!.affX[field]).not.toBe(second!.affX[field]);
      expect(first!.affX.Bx.equals(second!.affX.Bx)).toBe(false); // B_x = α·G
    });
  });

  test('a presignature survives encoding, and a damaged one is refused', async () => {
    const [own] = values(await runPresign(group, [0, 1]));
    const encoded = encode(presignature, own!);
    expect(encode(presignature, decode(presignature, encoded))).toEqual(encoded);
    const damage: [string, Partial<Presignature>][] = [
      ['k̃_i·Γ = Δ̃_i', { kTilde: modQ(own!.kTilde + 1n) }],
      ['χ̃_i·Γ = S̃_i', { chiTilde: modQ(own!.chiTilde + 1n) }],
      ['o_i opens Co_i', { opening: new Uint8Array(32) }],
      ['Σ Δ̃_j = G', { DeltaTilde: [own!.DeltaTilde[0]!, G] }],
      ['Σ S̃_j = PK', { publicKey: G }],
      ['id = H(sid, Γ)', { sid: new Uint8Array(32) }],
      ['one Δ̃_j, S̃_j and Co_j per signer', { STilde: [own!.STilde[0]!] }],
      ['at least two signers in ascending order', { signers: [1, 0] }],
      ['position < t', { position: 2 }],
      ['o_i opens Co_i', { position: 1 }],
    ];
    for (const [problem, change] of damage) {
      const damaged = { ...own!, ...change };
      expect(presignatureProblem(damaged)).toBe(problem);
      expect(() => decode(presignature, encode(presignature, damaged))).toThrow(DecodeError);
      // From an authenticated store only the two secret multiplications are taken on trust.
      const secret = problem === 'k̃_i·Γ = Δ̃_i' || problem === 'χ̃_i·Γ = S̃_i';
      const fromStore = (): Presignature => decode(sealedPresignature, encode(sealedPresignature, damaged));
      if (secret) expect(encode(presignature, fromStore())).toEqual(encode(presignature, damaged));
      else expect(fromStore).toThrow(DecodeError);
    }
    const part = encode(presignaturePublic, own!);
    expect(decode(presignaturePublic, part)).not.toHaveProperty('kTilde');
    expect(() => decode(presignaturePublic, encode(presignaturePublic, { ...own!, Gamma: G }))).toThrow('id = H(sid, Γ)');
  });

  test.each([
    ['signers', 'too few signers', { signers: [0] }],
    ['signers', 'descending signers', { signers: [1, 0] }],
    ['signers', 'signers without this party', { signers: [1, 2] }],
    ['signers', 'a position that is not this party’s', { rounds: { me: 1 } }],
    ['signers', 'another number of parties', { rounds: { n: 3 } }],
    ['aux', 'auxiliary information of another party', { aux: { index: 1 } }],
    ['aux', 'auxiliary information of a smaller group', { aux: { parties: [] } }],
    ['aux', 'auxiliary information of another strength', { aux: { parameters: 'production' } }],
    [undefined, 'nothing when all of it fits', {}],
  ] as const)('refuses, by the field %s: %s', async (field, _what, changes: any) => {
    const { keys, aux, parameters } = group;
    const sent = () => Promise.reject(new Error('sent'));
    const rounds = { me: 0, n: 2, peers: [1], sid: new Uint8Array(32), echo: sent, send: sent, ...changes.rounds };
    const stopped = { kernel: 'reference', run: () => Promise.reject(new Error('computed')) } as const;
    const inputs = {
      rounds,
      signers: changes.signers ?? [0, 1],
      key: keys[0]!,
      aux: { ...aux[0]!, ...changes.aux },
      random,
      core: stopped,
      parameters,
    };
    const error = await presign(inputs).catch((e: unknown) => e);
    if (field === undefined) expect(error).toMatchObject({ message: 'computed' });
    else {
      expect(error).toBeInstanceOf(Refusal);
      expect(error).toMatchObject({ field });
    }
  });
});
