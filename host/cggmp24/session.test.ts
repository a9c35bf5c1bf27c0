import { describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { G } from '../curve/secp256k1.ts';
import { productionParameters, testParameters } from '../proofs/parameters.ts';
import { sha256 } from '../protocol/transcript.ts';
import { sessionId, sharesHash, type SessionBinding } from './session.ts';
import { bitcoinSighash } from './sighash.ts';
import { identitiesOf } from './testing/parties.ts';

const binding: SessionBinding = {
  protocol: 'presign',
  parameters: productionParameters,
  nonce: new Uint8Array(16).fill(1),
  identities: identitiesOf([0, 1]),
  t: 2,
  n: 3,
  keyId: 'key',
  epoch: 1,
  publicKey: G,
  auxHash: new Uint8Array(32).fill(2),
  path: [0, 1],
  message: bitcoinSighash(utf8('message')),
  shares: sharesHash([0, 2], [G, G.double(), G]),
  count: 3,
};

describe('session id', () => {
  test('is 32 bytes, the same for the same inputs', () => {
    expect(sessionId(binding).length).toBe(32);
    expect(sessionId({ ...binding })).toEqual(sessionId(binding));
  });

  test('every input changes it, and so does its absence', () => {
    const changes: Partial<SessionBinding>[] = [
      { protocol: 'sign' },
      { parameters: testParameters },
      { nonce: new Uint8Array(16).fill(3) },
      { nonce: new Uint8Array(17).fill(1) },
      { identities: identitiesOf([1, 0]) },
      { identities: identitiesOf([0, 1, 2]) },
      { t: 3 },
      { n: 4 },
      { keyId: 'yek' },
      { epoch: 2 },
      { publicKey: G.double() },
      { auxHash: new Uint8Array(32).fill(4) },
      { path: [1, 0] },
      { path: [0] },
      { path: [] },
      { message: bitcoinSighash(utf8('other')) },
      { count: 4 },
      { shares: sharesHash([0, 1], [G, G.double(), G]) },
      { shares: sharesHash([0, 2], [G, G.double(), G.double()]) },
    ];
    const { keyId: _k, ...withoutKey } = binding;
    const { publicKey: _p, ...withoutPublicKey } = binding;
    const { auxHash: _a, ...withoutAux } = binding;
    const { message: _m, ...withoutMessage } = binding;
    const { shares: _s, ...withoutShares } = binding;
    const inputs = [
      binding,
      ...changes.map((change) => ({ ...binding, ...change })),
      withoutKey,
      withoutPublicKey,
      withoutAux,
      withoutMessage,
      withoutShares,
    ];
    expect(new Set(inputs.map((input) => hex(sessionId(input)))).size).toBe(inputs.length);
  });

  test('follows the published encoding (cggmp24.md §2.2): u32 lengths and counts, no separators', () => {
    const B = (bytes: Uint8Array) => Buffer.concat([U(bytes.length), bytes]);
    const U = (n: number) => Buffer.from(n.toString(16).padStart(8, '0'), 'hex');
    const expected = sha256(
      B(utf8('sid/v1')), B(utf8('presign')), B(utf8('production')), B(binding.nonce),
      U(2), ...binding.identities.map(B), U(2), U(3), B(utf8('key')), U(1), B(G.toBytes(true)), B(binding.auxHash!),
      U(2), U(0), U(1), B(binding.message!.digest), B(binding.shares!), U(3),
    ); // prettier-ignore
    expect(sessionId(binding)).toEqual(expected);
  });

  test('refuses a short nonce and a participant listed twice', () => {
    expect(() => sessionId({ ...binding, nonce: new Uint8Array(15) })).toThrow(Refusal);
    expect(() => sessionId({ ...binding, identities: identitiesOf([0, 0]) })).toThrow(Refusal);
  });
});
