import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, test } from 'vitest';
import { fromHex, utf8 } from '../base/bytes.ts';
import { u32 } from '../base/codec.ts';
import { broadcastRound, createRounds, type Channel } from '../protocol/rounds.ts';
import { LocalIdentity, Roster, sessionIdentity } from './identity.ts';

const refusal = (field: string, message?: RegExp) =>
  expect.objectContaining({ name: 'Refusal', field, ...(message && { message: expect.stringMatching(message) }) });
const [a, b, c] = ['a', 'b', 'c'].map((id) => LocalIdentity.generate(id)) as [LocalIdentity, LocalIdentity, LocalIdentity];
const message = utf8('message');

describe('identity', () => {
  test('signs what another Ed25519 implementation accepts, and only that', () => {
    const signature = a.sign(message);
    expect(ed25519.verify(signature, message, a.publicKey)).toBe(true);
    expect(ed25519.verify(signature, utf8('other'), a.publicKey)).toBe(false);
  });

  test('RFC 8032 §7.1 test 2: key and signature from a known secret', () => {
    const head = '302e020100300506032b657004220420';
    const secret = '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb';
    const key = createPrivateKey({ key: Buffer.from(head + secret, 'hex'), format: 'der', type: 'pkcs8' });
    const identity = LocalIdentity.fromPem('node', key.export({ format: 'pem', type: 'pkcs8' }) as string);
    expect(identity.publicKey).toEqual(fromHex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c'));
    expect(identity.sign(Uint8Array.of(0x72))).toEqual(
      fromHex(
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
      ),
    );
  });

  test('comes back from its PEM', () => {
    const again = LocalIdentity.fromPem('a', a.toPem());
    expect(again.publicKey).toEqual(a.publicKey);
    expect(again.sign(message)).toEqual(a.sign(message));
  });

  test('shows its secret neither in logs nor in errors', () => {
    const secretLine = a.toPem().split('\n')[1]!;
    expect(inspect(a, { depth: null, showHidden: true })).not.toContain(secretLine);
    expect(JSON.stringify(a)).not.toContain(secretLine);
    const broken = a.toPem().replace('END PRIVATE', 'END');
    expect(() => LocalIdentity.fromPem('a', broken)).toThrow(expect.objectContaining({ message: expect.not.stringContaining(secretLine) }));
  });

  test.each([
    ['text', 'not a key'],
    ['nothing', ''],
    ['an RSA key', generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string],
    ['a key for key agreement', generateKeyPairSync('x25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string],
    ['a public key', generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }) as string],
  ])('%s is no PEM of an identity', (_name, pem) => {
    expect(() => LocalIdentity.fromPem('a', pem)).toThrow(refusal('pem'));
  });

  test.each(['', 'Node', '-a', 'a'.repeat(32), 'a b'])('"%s" is no node id', (id) => {
    expect(() => LocalIdentity.generate(id)).toThrow(refusal('nodeId'));
  });
});

describe('roster', () => {
  const roster = new Roster([a, b, c]);

  test('knows members, order and keys', () => {
    expect(roster.nodes).toEqual(['a', 'b', 'c']);
    expect(roster.size).toBe(3);
    expect(roster.indexOf('c')).toBe(2);
    expect(roster.publicKey('b')).toEqual(b.publicKey);
    expect(roster.only(['c', 'a']).nodes).toEqual(['c', 'a']);
    for (const ask of [() => roster.indexOf('d'), () => roster.publicKey('d'), () => roster.only(['a', 'd'])])
      expect(ask).toThrow(refusal('nodeId', /d is not a member/));
  });

  test('cannot be changed through what it gives away', () => {
    roster.publicKey('a').fill(0);
    expect(roster.publicKey('a')).toEqual(a.publicKey);
  });

  test('verifies signatures of members, of no one else, and only whole ones', () => {
    const signature = a.sign(message);
    expect(roster.verify('a', message, signature)).toBe(true);
    expect(roster.verify('b', message, signature)).toBe(false);
    expect(roster.verify('d', message, signature)).toBe(false);
    expect(roster.verify('a', utf8('other'), signature)).toBe(false);
    expect(roster.verify('a', message, signature.slice(0, 63))).toBe(false);
    expect(roster.verify('a', message, signature.with(9, signature[9]! ^ 1))).toBe(false);
    // S + L instead of S, the other form of the same signature, is not accepted (RFC 8032 §5.1.7).
    const L = 2n ** 252n + 27742317777372353535851937790883648493n;
    const S = [...signature.slice(32)].reduceRight((n, byte) => n * 256n + BigInt(byte), 0n) + L;
    const malleated = Uint8Array.from({ length: 64 }, (_, k) => (k < 32 ? signature[k]! : Number((S >> BigInt(8 * (k - 32))) & 255n)));
    expect(roster.verify('a', message, malleated)).toBe(false);
  });

  const keyed = (publicKey: Uint8Array) => [{ nodeId: 'a', publicKey }];
  test.each<[string, { nodeId: string; publicKey: Uint8Array }[], RegExp]>([
    ['nobody', [], /empty/],
    ['a node twice', [a, { nodeId: 'a', publicKey: b.publicKey }], /listed twice/],
    ['a key twice', [a, { nodeId: 'b', publicKey: a.publicKey }], /same public key/],
    ['a malformed name', [{ nodeId: 'A', publicKey: a.publicKey }], /not a node id/],
    ['a short key', keyed(a.publicKey.slice(1)), /not an Ed25519 key/],
    ['a key off the curve', keyed(new Uint8Array(32).fill(0xff, 0, 1).fill(2, 0, 1)), /not an Ed25519 key/],
    ['the identity point as key', keyed(new Uint8Array(32).with(0, 1)), /not an Ed25519 key/],
    ['a key of order 4', keyed(new Uint8Array(32)), /not an Ed25519 key/],
  ])('with %s is refused', (_name, members, problem) => {
    expect(() => new Roster(members)).toThrow(refusal('roster', problem));
  });
});

describe('session identity', () => {
  const roster = new Roster([a, b, c]);

  test('signs and verifies protocol messages by position in the session, not in the roster', async () => {
    const boxes = new Map<string, Uint8Array>();
    const parties = ['c', 'a'];
    const channel = (me: number): Channel => ({
      send: (to, _round, sent) => void boxes.set(`${me}>${to}`, sent),
      receive: (from) => Promise.resolve(boxes.get(`${from}>${me}`)!),
    });
    const rounds = [c, a].map((identity, me) =>
      createRounds({ sid: new Uint8Array(32), me, n: 2, channel: channel(me), identity: sessionIdentity(identity, roster, parties) }),
    );
    const hello = broadcastRound('hello', u32);
    const first = rounds[0]!.broadcast(hello, 10).catch(() => undefined); // nothing has been sent to it yet
    expect((await rounds[1]!.broadcast(hello, 20)).get(0)).toBe(10);
    await first;
    // A third node in the place of the first is found out.
    const impostor = createRounds({
      sid: new Uint8Array(32), me: 0, n: 2, channel: channel(0),
      identity: { ...sessionIdentity(c, roster, parties), sign: (m) => b.sign(m) },
    }); // prettier-ignore
    await impostor.broadcast(hello, 10);
    await expect(rounds[1]!.broadcast(hello, 20)).rejects.toMatchObject({ name: 'Fault', culprits: [0] });
  });

  test('is refused to nodes outside the session or the roster', () => {
    expect(() => sessionIdentity(b, roster, ['a', 'c'])).toThrow(refusal('parties'));
    expect(() => sessionIdentity(a, roster, ['a', 'd'])).toThrow(refusal('nodeId'));
    expect(() => sessionIdentity(a, roster, ['a', 'a'])).toThrow(refusal('roster'));
    expect(sessionIdentity(a, roster, ['a', 'b']).verify(2, message, a.sign(message))).toBe(false);
  });
});
