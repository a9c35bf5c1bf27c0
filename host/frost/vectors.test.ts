import { schnorr, schnorr_FROST, secp256k1_FROST } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, hex } from '../base/bytes.ts';
import { decode, DecodeError, encode } from '../base/codec.ts';
import type { Random } from '../base/random.ts';
import { commitPolynomial, evaluate, evaluateCommitment, shamirPoint } from '../curve/polynomial.ts';
import { G, modQ, mul, point, scalar, sum } from '../curve/secp256k1.ts';
import bip340 from '../../fixtures/vectors/frost-bip340.json' with { type: 'json' };
import bip341 from '../../fixtures/vectors/frost-bip341.json' with { type: 'json' };
import plain from '../../fixtures/vectors/frost-secp256k1-signing.json' with { type: 'json' };
import dkg from '../../fixtures/vectors/frost-secp256k1-tr-dkg.json' with { type: 'json' };
import encodings from '../../fixtures/vectors/frost-secp256k1-tr-encodings.json' with { type: 'json' };
import tr from '../../fixtures/vectors/frost-secp256k1-tr-signing.json' with { type: 'json' };
import { proofOfPossession, verifyPossession } from './possession.ts';
import type { FrostShare } from './share.ts';
import { taprootSighash, type TaprootSighash } from './sighash.ts';
import { aggregate, commit, signShare, verifyShare } from './signing.ts';
import { tapTweak, tweakKey, tweakPoint, xOnly } from './taproot.ts';

const P = (h: string) => decode(point, fromHex(h));
const S = (h: string) => decode(scalar, fromHex(h));

describe('frost-secp256k1-tr: signing vectors', () => {
  const { t, n } = tr;
  const Y = tr.shares.map((s) => mul(G, S(s)));
  const key = P(tr.publicKey);
  const shareOf = (index: number): FrostShare => ({
    version: 1, keyId: 'vector', epoch: 0, index, t, n, s: S(tr.shares[index]!), Y, P: key, internal: key, chainCode: new Uint8Array(32),
  }); // prettier-ignore
  // The vector signs four bytes of text. Only a test can pass them off as a sighash.
  const message = fromHex(tr.message) as TaprootSighash;
  const given = (...chunks: string[]): Random => ({ bytes: () => fromHex(chunks.shift()!) });
  const round1 = () => tr.signers.map((v) => commit(shareOf(v.identifier - 1), given(v.hidingRandomness, v.bindingRandomness)));

  test('the shares are points of the published polynomial', () => {
    const f = [S(tr.secret), S(tr.coefficient)];
    expect(tr.shares.map((_, j) => hex(encode(scalar, evaluate(f, shamirPoint(j)))))).toEqual(tr.shares);
    expect(hex(encode(point, mul(G, f[0]!)))).toBe(tr.publicKey);
  });

  test('nonces and commitments', () => {
    for (const [k, nonces] of round1().entries()) {
      const v = tr.signers[k]!;
      expect(hex(encode(point, nonces.commitment.D))).toBe(v.hidingCommitment);
      expect(hex(encode(point, nonces.commitment.E))).toBe(v.bindingCommitment);
      const { hiding, binding } = nonces.take();
      expect([hex(hiding), hex(binding)]).toEqual([v.hidingNonce, v.bindingNonce]);
    }
  });

  test('signature shares and the signature', () => {
    const nonces = round1();
    const commitments = nonces.map((x) => x.commitment);
    const shares = new Map(
      tr.signers.map((v, k) => [v.identifier - 1, signShare(shareOf(v.identifier - 1), nonces[k]!, commitments, message)]),
    );
    expect([...shares.values()].map((z) => hex(encode(scalar, z)))).toEqual(tr.signers.map((v) => v.signatureShare));
    for (const [j, z] of shares) expect(verifyShare(shareOf(0), commitments, message, j, z)).toBe(true);
    const { signature } = aggregate(shareOf(0), commitments, message, shares) as { signature: Uint8Array };
    expect(hex(signature)).toBe(tr.signature);
    expect(schnorr.verify(signature, message, xOnly(key))).toBe(true);
  });
});

describe('frost-secp256k1-tr: key generation vectors', () => {
  const polynomials = dkg.parties.map((p) => p.coefficients.map(S));

  test('commitments and proofs of possession', () => {
    for (const [j, p] of dkg.parties.entries()) {
      expect(commitPolynomial(polynomials[j]!).map((A) => hex(encode(point, A)))).toEqual(p.commitments);
      const proof = decode(proofOfPossession, fromHex(p.proofOfPossession));
      expect(verifyPossession(j, P(p.commitments[0]!), proof)).toBe(true);
      // bound to the identifier and to the key
      expect(verifyPossession((j + 1) % 3, P(p.commitments[0]!), proof)).toBe(false);
      expect(verifyPossession(j, P(p.commitments[1]!), proof)).toBe(false);
      expect(verifyPossession(j, P(p.commitments[0]!), { ...proof, mu: modQ(proof.mu + 1n) })).toBe(false);
      expect(hex(encode(proofOfPossession, proof))).toBe(p.proofOfPossession);
    }
  });

  test('shares for each other, and the tweaked key and shares that come out', () => {
    for (const [i, p] of dkg.parties.entries())
      for (const [from, share] of Object.entries(p.sharesFrom))
        expect(hex(encode(scalar, evaluate(polynomials[Number(from) - 1]!, shamirPoint(i))))).toBe(share);
    const phi = [0, 1].map((k) => sum(dkg.parties.map((p) => P(p.commitments[k]!))));
    const Y = dkg.parties.map((_, j) => evaluateCommitment(phi, shamirPoint(j)));
    for (const [i, p] of dkg.parties.entries()) {
      const s = modQ(polynomials.reduce((total, f) => total + evaluate(f, shamirPoint(i)), 0n));
      const tweaked = tweakKey({ P: phi[0]!, Y, s });
      expect(hex(encode(scalar, tweaked.s))).toBe(p.share);
      expect(tweaked.Y.map((Y_j) => hex(encode(point, Y_j)))).toEqual(dkg.parties.map((x) => x.publicShare));
      expect(hex(encode(point, tweaked.P))).toBe(dkg.publicKey);
      expect(tweakPoint(phi[0]!).equals(tweaked.P)).toBe(true);
    }
  });
});

describe('BIP-341', () => {
  const lift = (x: string) => decode(point, concatBytes(Uint8Array.of(2), fromHex(x)));

  test('output keys without scripts, from the internal key of either sign', () => {
    for (const row of bip341.keyPath)
      for (const internal of [lift(row.internalKey), lift(row.internalKey).negate()]) {
        expect(hex(encode(scalar, tapTweak(internal)))).toBe(row.tweak);
        expect(hex(xOnly(tweakPoint(internal)))).toBe(row.outputKey);
      }
  });

  test('tweaked secrets: a share is tweaked as a whole key is', () => {
    for (const row of bip341.secrets) {
      const s = S(row.internalSecret);
      const internal = mul(G, s);
      expect(hex(xOnly(internal))).toBe(row.internalKey);
      expect(hex(encode(scalar, tapTweak(internal)))).toBe(row.tweak);
      expect(hex(encode(scalar, tweakKey({ P: internal, Y: [], s }).s))).toBe(row.tweakedSecret);
    }
    expect(bip341.secrets.length).toBeGreaterThan(0);
  });

  test.each(bip341.messages)('TapSighash of a message with hash type $hashType', ({ preimage, sighash }) => {
    expect(hex(taprootSighash(fromHex(preimage)))).toBe(sighash);
  });

  test('what is no key-path signature message is refused, a digest above all', () => {
    for (const { preimage, sighash } of bip341.messages) {
      const good = fromHex(preimage);
      const bad: [string, Uint8Array][] = [
        ['digest', fromHex(sighash)],
        ['digest behind an epoch', concatBytes(Uint8Array.of(0, 1), fromHex(sighash))],
        ['empty', new Uint8Array()],
        ['epoch', good.with(0, 1)],
        ['hash type', good.with(1, 0x04)],
        ['truncated', good.slice(0, -1)],
        ['trailing', concatBytes(good, Uint8Array.of(0))],
        ['SigMsg without the epoch', good.slice(1)],
      ];
      for (const [name, bytes] of bad)
        expect(() => taprootSighash(bytes), name).toThrow(expect.objectContaining({ name: 'Refusal', field: 'preimage' }));
    }
    // script path (ext_flag 1) and annex, on SIGHASH_ALL where spend_type stands before the input index
    const all = fromHex(bip341.messages.find((m) => m.hashType === 1)!.preimage);
    const spendType = all.length - 5;
    expect(() => taprootSighash(all.with(spendType, 2))).toThrow(/not a key-path spend/);
    expect(() => taprootSighash(all.with(spendType, 1))).toThrow(/207 bytes, got 175/);
    expect(taprootSighash(concatBytes(all.with(spendType, 1), new Uint8Array(32)))).toHaveLength(32);
  });
});

describe('frost-secp256k1-tr: encodings', () => {
  test('points, scalars, identifiers and proofs of possession', () => {
    for (const element of encodings.elements) expect(hex(encode(point, P(element)))).toBe(element);
    expect(P(encodings.elements[0]!).equals(G)).toBe(true);
    expect(P(encodings.elements[1]!).equals(G.double())).toBe(true);
    expect(hex(encode(scalar, S(encodings.scalar)))).toBe(encodings.scalar);
    expect(hex(encode(scalar, shamirPoint(41)))).toBe(encodings.identifier);
    const proof = decode(proofOfPossession, fromHex(encodings.proofOfPossession));
    expect(proof.R.equals(G)).toBe(true);
    expect(hex(encode(scalar, proof.mu))).toBe(encodings.scalar);
    expect(hex(encode(proofOfPossession, proof))).toBe(encodings.proofOfPossession);
  });
  test('invalid elements are no points', () => {
    expect(encodings.invalidElements.length).toBeGreaterThan(0);
    for (const bytes of encodings.invalidElements) expect(() => P(bytes), bytes).toThrow(DecodeError);
  });
});

const refusesOrFalse = (verify: () => boolean): boolean => {
  try {
    return verify();
  } catch {
    return false; // noble's FROST verifier throws for keys that are not on the curve
  }
};

describe('the library under the suite', () => {
  test.each(bip340.rows)('BIP-340 row $index: $comment', ({ publicKey, message, signature, valid }) => {
    const [sig, msg, key] = [fromHex(signature), fromHex(message), fromHex(publicKey)];
    expect(schnorr.verify(sig, msg, key)).toBe(valid);
    expect(refusesOrFalse(() => schnorr_FROST.verify(sig, msg, key))).toBe(valid);
  });

  test('RFC 9591 E.5, the plain secp256k1 suite', () => {
    const id = (n: number) => secp256k1_FROST.Identifier.fromNumber(n);
    const pub = {
      signers: { min: plain.t, max: plain.n },
      commitments: [fromHex(plain.publicKey)],
      verifyingShares: Object.fromEntries(plain.shares.map((s, j) => [id(j + 1), encode(point, mul(G, S(s)))])),
    };
    const round1 = plain.signers.map((v) => {
      const chunks = [v.hidingRandomness, v.bindingRandomness];
      const secret = { identifier: id(v.identifier), signingShare: fromHex(plain.shares[v.identifier - 1]!) };
      return { v, secret, ...secp256k1_FROST.commit(secret, () => fromHex(chunks.shift()!)) };
    });
    const commitments = round1.map((x) => x.commitments);
    const shares = round1.map(({ v, secret, nonces }) => {
      expect([hex(nonces.hiding), hex(nonces.binding)]).toEqual([v.hidingNonce, v.bindingNonce]);
      const z = secp256k1_FROST.signShare(secret, pub, nonces, commitments, fromHex(plain.message));
      expect(hex(z)).toBe(v.signatureShare);
      return [secret.identifier, z] as const;
    });
    expect(hex(secp256k1_FROST.aggregate(pub, commitments, fromHex(plain.message), Object.fromEntries(shares)))).toBe(plain.signature);
  });

  test.each(bip340.rows.flatMap(({ secretKey, auxRand, ...row }) => (secretKey && auxRand ? [{ secretKey, auxRand, ...row }] : [])))(
    'BIP-340 row $index is what a single signer signs',
    ({ secretKey, auxRand, publicKey, message, signature }) => {
      expect(hex(xOnly(mul(G, S(secretKey))))).toBe(publicKey);
      expect(hex(schnorr.sign(fromHex(message), fromHex(secretKey), fromHex(auxRand)))).toBe(signature);
    },
  );
});
