import { createHash } from 'node:crypto';
import { schnorr } from '@noble/curves/secp256k1.js';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { Abandoned, Defect, Fault, Refusal } from '../base/errors.ts';
import { dealAux } from '../cggmp24/testing/parties.ts';
import { referenceCore } from '../core/reference.ts';
import { taprootSighash } from '../frost/sighash.ts';
import * as library from '../index.ts';
import { safePrime, smallParameters } from '../proofs/testing/instances.ts';
import { frostKeygenRun, keygenRun, presignRun } from '../testing/runs.ts';

const { cggmp24, frost, inMemoryNetwork, resharing, sessionId, systemRandom: random } = library;
const taproot = new Uint8Array(175);
const digest = new Uint8Array(createHash('sha256').update('chosen by somebody').digest());

describe('what the library exports', () => {
  // A name that is new here is one to think about: does it sign, and what does it take? Then the tests below say so.
  test('is this, and nothing else', () => {
    expect(Object.keys(library).sort()).toEqual([
      'Abandoned', 'DecodeError', 'Defect', 'Fault', 'Refusal', 'Silence', 'Unavailable', 'VERSION',
      'cggmp24', 'createCore', 'createRounds', 'decode', 'encode', 'frost', 'inMemoryNetwork', 'resharing', 'sessionId', 'sharesHash', 'systemRandom',
    ]); // prettier-ignore
    expect(Object.keys(cggmp24).sort()).toEqual([
      'Child', 'Rerandomised', 'auxInfo', 'auxInfoCodec', 'batchLimit', 'bitcoinSighash', 'checkAuxInfo', 'combine', 'generatedPrimes',
      'keyShareCodec', 'keygen', 'parameters', 'partialSignature', 'presign', 'presignBatch', 'presignatureCodec', 'presignaturePublicCodec',
      'signInteractive', 'signingSessionId',
    ]); // prettier-ignore
    expect(Object.keys(frost).sort()).toEqual([
      'deriveShare', 'internalKey', 'keygen', 'outputKey', 'shareCodec', 'sign', 'signingSessionId',
    ]); // prettier-ignore
    expect(Object.keys(resharing).sort()).toEqual([
      'approvalMessage', 'certificateCodec', 'checkCertificate', 'checkPlan', 'ofEcdsa', 'ofFrost', 'participants', 'planCodec', 'planHash',
      'planQuorum', 'reshare', 'runId', 'toEcdsa', 'toFrost',
    ]); // prettier-ignore
  });

  test('knows production parameters only, whatever a caller passes beside the arguments', async () => {
    expect(cggmp24.parameters).toMatchObject({ name: 'production', primeBits: 1536, m: 128 });
    const short = { next: async () => safePrime(576, 0) };
    const smuggled = { primes: short, random, core: referenceCore, parameters: smallParameters };
    const failed = inMemoryNetwork(2).run(random.bytes(32), [0, 1], (rounds) => cggmp24.auxInfo({ ...smuggled, rounds }));
    await expect(failed).rejects.toThrow(Defect);
    const [aux] = dealAux(3, smallParameters) as [library.cggmp24.AuxInfo];
    await expect(cggmp24.checkAuxInfo(aux, referenceCore)).rejects.toThrow(Refusal);
    const record = library.encode(cggmp24.auxInfoCodec, aux);
    expect(() => library.decode(cggmp24.auxInfoCodec, record)).toThrow('made for production parameters');
  });
});

describe('nothing that signs takes a digest', () => {
  const lookAlikes = [
    digest,
    { digest },
    Object.create(Object.getPrototypeOf(cggmp24.bitcoinSighash(digest)) as object, { digest: { value: digest } }),
  ];

  test('cggmp24: partialSignature, combine, signInteractive, Rerandomised', async () => {
    const [keys, aux] = [(await keygenRun(smallParameters)).outputs, dealAux(3, smallParameters)];
    const group = { keys, aux, parameters: smallParameters, core: referenceCore };
    const presignatures = (await presignRun(group, [0, 1], 1)).outputs.map(([first]) => first!);
    const [own] = presignatures as [library.cggmp24.Presignature];
    const identities = inMemoryNetwork(2).identities([0, 1]);
    for (const forged of lookAlikes as library.cggmp24.Sighash[]) {
      expect(() => cggmp24.partialSignature(own, forged)).toThrow(TypeError);
      expect(() => cggmp24.combine(own, forged, new Map([[0, 1n], [1, 1n]]))).toThrow(TypeError); // prettier-ignore
      const opened = { key: keys[0]!, presignature: own, identities, openings: presignatures.map(({ opening }) => opening) };
      const request = { request: digest, input: 0, path: [], message: forged };
      expect(() => cggmp24.Rerandomised.of({ ...opened, ...request })).toThrow(TypeError);
      const session = { nonce: random.bytes(16), identities };
      const inputs = { signers: [0, 1], key: keys[0]!, aux: aux[0]!, ...session };
      expect(() => cggmp24.signingSessionId({ protocol: 'sign', ...inputs, message: forged })).toThrow(TypeError);
    }
  });

  test('frost: sign', async () => {
    const shares = (await frostKeygenRun()).outputs;
    const network = inMemoryNetwork(3);
    const signers = [0, 1];
    const sign = (preimage: Uint8Array) => {
      const identities = network.identities(signers);
      const sid = frost.signingSessionId({ share: shares[0]!, signers, nonce: random.bytes(16), identities });
      return network.run(sid, signers, (rounds, i) => frost.sign({ rounds, signers, share: shares[i]!, preimage, random }));
    };
    await expect(sign(digest)).rejects.toThrow(Refusal);
    const signatures = await sign(taproot);
    for (const signature of signatures) expect(schnorr.verify(signature, taprootSighash(taproot), frost.outputKey(shares[0]!))).toBe(true);
  });
});

test('a Taproot key moves from 2-of-3 to 3-of-4 with one common party, and signs under the same output key', async () => {
  const network = inMemoryNetwork(6);
  const [old, next] = [[0, 1, 2], [2, 3, 4, 5]]; // prettier-ignore
  const session = { protocol: 'keygen', nonce: random.bytes(16), identities: network.identities(old), t: 2, n: 3, keyId: 'key' };
  const shares = (await network.run(sessionId(session), old, (rounds) => frost.keygen({ rounds, t: 2, random, keyId: 'key' }))).map((share) => resharing.ofFrost(share)); // prettier-ignore

  const { scheme, keyId, publicKey, chainCode, internal, epoch, t, X } = shares[0]!;
  const plan: library.resharing.Plan = {
    kind: 'reshare', keyId, scheme, publicKey, chainCode, internal, epoch, nextEpoch: epoch + 1,
    t, oldMembers: network.identities(old), X, sharers: [0, 2], nextT: 3, newMembers: network.identities(next), auxHash: new Uint8Array(),
  }; // prettier-ignore
  const heldBy = (index: number): library.resharing.Held => ({ share: shares[index]!, members: network.identities(old) });
  const ticket = { plan, nonce: random.bytes(16) };
  // A plan that names another old committee than the node knows gets neither vote, nor run, nor belief: votes count by the keys that it names.
  const foreign = { ...heldBy(0), members: network.identities([0, 1, 3]) };
  expect(() => resharing.approvalMessage(ticket, foreign)).toThrow(Refusal);
  const approvals = old.map((party, index) => ({
    index,
    signature: network.sign(party, resharing.approvalMessage(ticket, heldBy(index))),
  }));
  const parties = resharing
    .participants(plan)
    .map((key) => [0, 1, 2, 3, 4, 5].find((k) => network.identities([k])[0]!.join() === key.join())!);
  const moved = new Map<number, library.resharing.NewShare>();
  const certificates = await network.run(resharing.runId(ticket), parties, (rounds, party) =>
    resharing.reshare({
      rounds,
      ticket,
      approvals,
      publicKey,
      random,
      sign: (message) => network.sign(party, message),
      prepared: async (share) => void moved.set(party, share),
      ...(old.includes(party) && { own: heldBy(party) }),
    }),
  );
  expect(() => resharing.checkCertificate(certificates[0]!, foreign)).toThrow(Refusal);
  expect(() => resharing.checkCertificate(certificates[0]!, { ticket: { ...ticket, nonce: random.bytes(16) } })).toThrow(Refusal);
  expect(resharing.checkCertificate(certificates[0]!, heldBy(1))).toEqual(resharing.runId(ticket));
  for (const certificate of certificates) expect(resharing.checkCertificate(certificate, { ticket })).toEqual(resharing.runId(ticket));

  const held = next.map((party) => resharing.toFrost(moved.get(party)!.key));
  const signers = [0, 1, 3];
  const signing = signers.map((index) => next[index]!);
  const sid = frost.signingSessionId({ share: held[0]!, signers, nonce: random.bytes(16), identities: network.identities(signing) });
  const [signature] = await network.run(sid, signing, (rounds, party) =>
    frost.sign({ rounds, signers, share: held[next.indexOf(party)]!, preimage: taproot, random }),
  );
  expect(schnorr.verify(signature!, taprootSighash(taproot), frost.outputKey(resharing.toFrost(shares[0]!)))).toBe(true);
});

describe('the network in memory', () => {
  const network = inMemoryNetwork(3);
  const parties = [0, 1, 2];
  const sid = () => sessionId({ protocol: 'test', nonce: random.bytes(16), identities: network.identities(parties), t: 2, n: 3 });

  test('runs a protocol among its parties, each under its own identity', async () => {
    const keys = await network.run(sid(), parties, (rounds) => cggmp24.keygen({ rounds, t: 2, random, keyId: 'key' }));
    expect(new Set(keys.map(({ publicKey }) => publicKey.toHex())).size).toBe(1);
    expect(new Set(network.identities(parties).map((key) => key.join())).size).toBe(3);
  });

  test('takes a session id once', async () => {
    const once = sid();
    await network.run(once, parties, async () => undefined);
    await expect(network.run(once, parties, async () => undefined)).rejects.toThrow(Refusal);
  });

  test('tells why the first party failed, not that the others saw it leave', async () => {
    const failed = network.run(sid(), parties, async (rounds, party) => {
      if (party === 1) throw new Fault([], 'its own reason', { round: 'none', detail: '' });
      return frost.keygen({ rounds, t: 2, random, keyId: 'key' });
    });
    await expect(failed).rejects.toThrow('its own reason');
    await expect(failed).rejects.not.toThrow(Abandoned);
  });

  test('has no party beyond its number', () => expect(() => network.identities([3])).toThrow(Refusal));

  test('needs a fresh nonce of 16 bytes for a session id', () => {
    const identities = [utf8('a'), utf8('b')];
    expect(() => sessionId({ protocol: 'test', nonce: random.bytes(15), identities, t: 2, n: 2 })).toThrow(Refusal);
  });
});
