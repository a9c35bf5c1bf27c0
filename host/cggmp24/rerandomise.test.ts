import { secp256k1 } from '@noble/curves/secp256k1.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bigintToBytes, concatBytes, hex, utf8 } from '../base/bytes.ts';
import { Fault, Refusal } from '../base/errors.ts';
import { createCore } from '../core/index.ts';
import { Child } from '../curve/bip32.ts';
import { G, invQ, modQ, mul, q } from '../curve/secp256k1.ts';
import { smallParameters } from '../proofs/testing/instances.ts';
import { values } from '../protocol/testing/network.ts';
import { sha256 } from '../protocol/transcript.ts';
import type { Presignature } from './presignature.ts';
import { Rerandomised, type Opened } from './rerandomise.ts';
import { bitcoinSighash, scalarOf } from './sighash.ts';
import { combine, partialSignature, type Signature } from './sign.ts';
import { identitiesOf, makeGroup, runPresign, type Group } from './testing/parties.ts';
import { nobleAccepts, opensslAccepts } from './testing/verifiers.ts';

const SIGNERS = [0, 2];
const PATH = [0, 5];
const preimage = utf8('the preimage of a sighash');
const message = bitcoinSighash(preimage);
const core = await createCore({ threads: 2 });
let group: Group;
/** One presignature of the key itself, one made for PATH: every signer's. */
let own: Presignature[];
let bound: Presignature[];
beforeAll(async () => {
  group = await makeGroup(2, 3, smallParameters, core);
  own = values(await runPresign(group, SIGNERS));
  bound = values(await runPresign(group, SIGNERS, { child: Child.of(group.keys[0]!, PATH) }));
});
afterAll(() => core.close());

const openedBy = (presignatures: readonly Presignature[], change: Partial<Opened> = {}): Opened => ({
  key: group.keys[0]!,
  presignature: presignatures[0]!,
  identities: identitiesOf(SIGNERS),
  openings: presignatures.map(({ opening }) => opening),
  request: sha256(utf8('a request')),
  input: 0,
  path: [],
  message,
  ...change,
});
function signed(presignatures: readonly Presignature[], opened: Opened): { made: Rerandomised; signature: Signature } {
  const made = presignatures.map((presignature) => Rerandomised.of({ ...opened, presignature }));
  const partials = new Map(presignatures.map((presignature, j) => [j, made[j]!.partial(presignature)]));
  const signatures = made.map((each) => each.combine(partials));
  for (const signature of signatures) expect(signature).toEqual(signatures[0]);
  return { made: made[0]!, signature: signatures[0]! };
}

describe.each([
  ['conservative, the key itself', () => own, []],
  ['conservative, the path of the presignature', () => bound, PATH],
  ['re-randomised, a child from a presignature of the key', () => own, PATH],
] as const)('%s', (name, presignatures, path) => {
  const opened = (change: Partial<Opened> = {}) => openedBy(presignatures(), { path, ...change });
  const publicKey = () => Child.of(group.keys[0]!, path).publicKey;

  test('signs under the key of the path, and under no other', () => {
    const { made, signature } = signed(presignatures(), opened());
    expect(name.startsWith(made.profile)).toBe(true);
    expect(opensslAccepts(publicKey(), preimage, signature)).toBe(true);
    expect(nobleAccepts(publicKey(), preimage, signature)).toBe(true);
    expect(nobleAccepts(Child.of(group.keys[0]!, [9]).publicKey, preimage, signature)).toBe(false);
    expect(signature.r).not.toBe(modQ(presignatures()[0]!.Gamma.toAffine().x));
  });

  test('low s and recovery id are those of the new nonce point', () => {
    const recoveries = new Set<number>();
    for (let input = 0; input < 12; input++) {
      const { signature } = signed(presignatures(), opened({ input }));
      expect(signature.s <= (q - 1n) / 2n).toBe(true);
      const bytes = concatBytes(Uint8Array.of(signature.recovery), bigintToBytes(signature.r, 32), bigintToBytes(signature.s, 32));
      const found = secp256k1.Signature.fromBytes(bytes, 'recovered').recoverPublicKey(message.digest);
      expect(hex(found.toBytes(true))).toBe(hex(publicKey().toBytes(true)));
      recoveries.add(signature.recovery);
    }
    expect(recoveries.size).toBe(2);
  });

  test('a share is checked against stored points that are not divided by f', () => {
    const made = Rerandomised.of(opened());
    const [first] = presignatures();
    const sigma = made.partial(first!);
    const { Gamma, DeltaTilde, STilde } = made.points;
    const [m, r] = [scalarOf(message), modQ(Gamma.toAffine().x)];
    const right = mul(DeltaTilde[0]!, m).add(mul(STilde[0]!, r));
    // σ_j·Γ' = m·Δ̃_j + r'·(S̃_j + τ·Δ̃_j)
    expect(mul(Gamma, sigma).equals(right)).toBe(true);
    // σ_j·Γ = f^−1·(the same): f is what takes Γ to Γ', k̃·Γ = Δ̃ to k̃/f·Γ.
    const tau = Child.of(group.keys[0]!, path).shift - Child.of(group.keys[0]!, first!.path).shift;
    const inverse = modQ(sigma * invQ(first!.kTilde * m + r * (first!.chiTilde + modQ(tau) * first!.kTilde)));
    expect(mul(first!.Gamma, sigma).equals(mul(right, inverse))).toBe(true);
    // Points divided by f with the base Γ': every honest share would be a cheat.
    const divided = { ...made.points, DeltaTilde: DeltaTilde.map((D) => mul(D, inverse)), STilde: STilde.map((S) => mul(S, inverse)) };
    expect(mul(Gamma, sigma).equals(mul(divided.DeltaTilde[0]!, m).add(mul(divided.STilde[0]!, r)))).toBe(false);
  });

  test('a wrong share names its signer', () => {
    const made = Rerandomised.of(opened());
    const partials = new Map(presignatures().map((presignature, j) => [j, made.partial(presignature)]));
    expect(() => made.combine(new Map(partials).set(1, modQ(partials.get(1)! + 1n)))).toThrow('(party 1)');
    // The share of plain signing, without f, and one for another request.
    expect(() => made.combine(new Map(partials).set(0, partialSignature(presignatures()[0]!, message)))).toThrow('(party 0)');
    const other = Rerandomised.of(opened({ request: sha256(utf8('another request')) }));
    expect(() => made.combine(new Map(partials).set(1, other.partial(presignatures()[1]!)))).toThrow('(party 1)');
  });
});

describe('the nonce point', () => {
  const point = (change: Partial<Opened>) => hex(Rerandomised.of(openedBy(own, change)).points.Gamma.toBytes(true));

  test('depends on everything that was asked for, and on the signers', () => {
    const changes: Partial<Opened>[] = [
      {},
      { request: sha256(utf8('another request')) },
      { input: 1 },
      { path: [0, 5] },
      { path: [0, 6] },
      { message: bitcoinSighash(utf8('another message')) },
      { identities: identitiesOf([0, 1]) },
    ];
    expect(new Set(changes.map(point)).size).toBe(changes.length);
    expect(point({})).toBe(point({}));
  });

  test('is never that of the presignature, whose shares fit the plain equation no more', () => {
    expect(point({})).not.toBe(hex(own[0]!.Gamma.toBytes(true)));
    const made = Rerandomised.of(openedBy(own));
    const partials = new Map(own.map((presignature, j) => [j, made.partial(presignature)]));
    expect(() => combine(own[0]!, message, partials)).toThrow(Fault);
  });

  test('is not made without every opening: whose is wrong is named', () => {
    const [first, second] = own.map(({ opening }) => opening);
    const of =
      (...openings: Uint8Array[]) =>
      () =>
        Rerandomised.of(openedBy(own, { openings }));
    expect(of(first!, new Uint8Array(32))).toThrow('(party 1)');
    expect(of(new Uint8Array(32), new Uint8Array(32))).toThrow('(party 0, 1)');
    expect(of(second!, first!)).toThrow(Fault);
    expect(of(first!, bound[1]!.opening)).toThrow('(party 1)');
    expect(of(first!)).toThrow(Refusal);
  });
});

describe('a request that does not fit', () => {
  test('a presignature made for a path signs for no other, nor for the key', () => {
    expect(() => Rerandomised.of(openedBy(bound, { path: [] }))).toThrow('made for m/0/5');
    expect(() => Rerandomised.of(openedBy(bound, { path: [0, 6] }))).toThrow(Refusal);
    expect(() => Rerandomised.of(openedBy(bound, { path: [0, 5, 1] }))).toThrow(Refusal);
  });

  test('another key, epoch, chain code or signer set is refused', () => {
    const key = group.keys[0]!;
    const chainCode = new Uint8Array(32);
    for (const other of [
      { ...key, epoch: 1 },
      { ...key, keyId: 'other' },
      { ...key, publicKey: key.publicKey.add(G) },
    ])
      expect(() => Rerandomised.of(openedBy(own, { key: other }))).toThrow(Refusal);
    expect(() => Rerandomised.of(openedBy(bound, { key: { ...key, chainCode }, path: PATH }))).toThrow(Refusal);
    expect(() => Rerandomised.of(openedBy(own, { identities: identitiesOf([0, 1, 2]) }))).toThrow(Refusal);
  });

  test('secrets of another presignature do not sign', () => {
    expect(() => Rerandomised.of(openedBy(own)).partial(bound[0]!)).toThrow(Refusal);
  });

  test('a digest in the place of the message does not sign', () => {
    const digest = sha256(utf8('a digest of somebody’s choice'));
    for (const forged of [digest, { digest }])
      expect(() => Rerandomised.of(openedBy(own, { message: forged as never }))).toThrow(TypeError);
  });
});
