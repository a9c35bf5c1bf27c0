import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createPrivateKey, X509Certificate, webcrypto } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { createAuthority, issueNode, openAuthority, readCredentials, writeCredentials, type Authority } from './authority.ts';
import { certificateInfo, certificatesOf, checkPeer, verifyChain } from './certificate.ts';
import { Roster } from '../consensus/identity.ts';
import { createIdentity, openIdentity } from './identity.ts';
import { serverName } from './names.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2030, 5, 1);
let root: string;
let authority: Authority;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pki-'));
  authority = await createAuthority(join(root, 'ca'), { cluster: 'test', now: NOW });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const issue = (nodeId = 'node-1', extra: { days?: number; now?: number; authority?: Authority } = {}) =>
  issueNode({ authority, nodeId, hosts: ['127.0.0.1'], now: NOW, ...extra });
const der = (pem: string) => certificatesOf(pem).map((c) => new Uint8Array(c.raw));
const judge = (chain: Uint8Array[], expected: string | string[] = 'node-1', now = NOW) =>
  checkPeer(chain, { roots: certificatesOf(authority.rootPem), expected, now });

describe('authority', () => {
  test('root for ten years, intermediate for two, node for ninety days, each signed by the one above', async () => {
    const node = await issue();
    const [rootCertificate] = certificatesOf(authority.rootPem);
    const [leaf, intermediate] = certificatesOf(node.chainPem);
    expect(rootCertificate!.verify(rootCertificate!.publicKey)).toBe(true);
    expect(intermediate!.verify(rootCertificate!.publicKey)).toBe(true);
    expect(leaf!.verify(intermediate!.publicKey)).toBe(true);
    const life = (c: X509Certificate) => Math.round((certificateInfo(c).notAfter - NOW) / DAY);
    expect([rootCertificate!, intermediate!, leaf!].map(life)).toEqual([3650, 730, 90]);
    expect(leaf!.checkPrivateKey(createPrivateKey(node.keyPem))).toBe(true);
  });

  test('a node certificate carries its id, its server name and its address, for servers and clients, and is no authority', async () => {
    expect(certificateInfo((await issue('node-4')).chainPem)).toMatchObject({
      commonName: 'node-4',
      dnsNames: [serverName('node-4')],
      addresses: ['127.0.0.1'],
      usages: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'],
      ca: false,
    });
  });

  test('a node never outlives the intermediate, and an expired intermediate issues nothing', async () => {
    const late = await issue('node-1', { now: NOW + 720 * DAY });
    expect(certificateInfo(late.chainPem).notAfter).toBe(NOW + 730 * DAY);
    await expect(issue('node-1', { now: NOW + 731 * DAY })).rejects.toMatchObject({ code: 'pki.intermediate_expired' });
  });

  test.each(['', 'Node-1', 'node 1', '-a', 'a-', 'a'.repeat(32), 'a.b', 'a\nCN=node-2'])('refuses the node id %j', async (nodeId) => {
    await expect(issue(nodeId)).rejects.toMatchObject({ name: 'Refusal', code: 'pki.node_id', field: 'nodeId' });
  });

  test.each([0, -1, Number.NaN, 1000])('refuses %d days', async (days) => {
    await expect(issue('node-1', { days })).rejects.toMatchObject({ code: 'pki.days', field: 'days' });
  });

  test('is opened again from its folder, without the root key, and refuses to be made twice', async () => {
    const dir = join(root, 'ca-again');
    const made = await createAuthority(dir, { now: NOW });
    await expect(createAuthority(dir, { now: NOW })).rejects.toMatchObject({ code: 'pki.authority_exists', status: 409 });
    await unlink(join(dir, 'root.key'));
    const opened = await openAuthority(dir);
    const node = await issue('node-1', { authority: opened });
    expect(verifyChain(node.chainPem, { rootPem: made.rootPem, node: 'node-1', now: NOW })).toMatchObject({ ok: true });
  });

  test('all files are 0600, and no temporary file stays', async () => {
    const dir = join(root, 'ca');
    const names = await readdir(dir);
    expect(names.sort()).toEqual(['intermediate.key', 'intermediate.pem', 'root.key', 'root.pem']);
    for (const name of names) expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['root.pem', 'pki.file_missing', undefined],
    ['intermediate.key', 'pki.file_missing', undefined],
    ['intermediate.pem', 'pki.file_broken', 'nonsense'],
    ['intermediate.key', 'pki.file_broken', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['root.pem', 'pki.file_broken', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('a %s that is gone or broken is named (%s)', async (file, code, content) => {
    const dir = await mkdtemp(join(root, 'broken-'));
    await createAuthority(dir, { now: NOW });
    await unlink(join(dir, file));
    if (content !== undefined) await writeFile(join(dir, file), content, { mode: 0o600 });
    await expect(openAuthority(dir)).rejects.toMatchObject({ code, field: join(dir, file) });
  });

  test('an intermediate of another root and a foreign key are refused', async () => {
    const other = join(root, 'ca-other');
    const foreign = await createAuthority(other, { now: NOW });
    const dir = await mkdtemp(join(root, 'mixed-'));
    await createAuthority(dir, { now: NOW });
    await writeFile(join(dir, 'intermediate.pem'), foreign.intermediatePem);
    await expect(openAuthority(dir)).rejects.toMatchObject({ code: 'pki.authority_broken', field: join(dir, 'intermediate.pem') });
    await writeFile(join(dir, 'root.pem'), foreign.rootPem);
    await expect(openAuthority(dir)).rejects.toMatchObject({ code: 'pki.key_mismatch', field: join(dir, 'intermediate.key') });
  });
});

describe('credentials of a node', () => {
  const filesIn = (dir: string) => ({ key: join(dir, 'node.key'), chain: join(dir, 'node.pem'), root: join(dir, 'root.pem') });

  test('are read back as written, the key 0600', async () => {
    const files = filesIn(await mkdtemp(join(root, 'node-')));
    const node = await issue();
    await writeCredentials(files, node);
    expect(await readCredentials(files, 'node-1')).toEqual(node);
    expect((await stat(files.key)).mode & 0o777).toBe(0o600);
  });

  test('a missing file and the key of another node are named, with the remedy', async () => {
    const files = filesIn(await mkdtemp(join(root, 'node-')));
    await writeCredentials(files, { ...(await issue()), keyPem: (await issue()).keyPem });
    await expect(readCredentials(files, 'node-1')).rejects.toMatchObject({ code: 'pki.key_mismatch', field: files.key });
    await unlink(files.chain);
    await expect(readCredentials(files, 'node-1')).rejects.toMatchObject({
      code: 'pki.file_missing',
      field: files.chain,
      remedy: expect.stringContaining('certificate for node-1'),
    });
  });
});

describe('checkPeer', () => {
  test('accepts a certificate of the cluster until the earliest end in its chain', async () => {
    const node = await issue();
    const info = certificateInfo(node.chainPem);
    expect(judge(der(node.chainPem))).toEqual({ ok: true, node: 'node-1', serial: info.serial, expires: info.notAfter });
    expect(judge([...der(node.chainPem), ...der(authority.rootPem)], ['node-2', 'node-1'])).toMatchObject({ ok: true, node: 'node-1' });
  });

  test('names the check that fails', async () => {
    const node = await issue();
    const foreign = await createAuthority(await mkdtemp(join(root, 'foreign-')), { cluster: 'test', now: NOW });
    const chain = der(node.chainPem);
    const check = (verdict: ReturnType<typeof judge>) => (verdict.ok ? 'ok' : verdict.check);
    expect(check(judge([]))).toBe('missing');
    expect(check(judge([utf8('junk')]))).toBe('malformed');
    expect(check(judge([new Uint8Array(20_000)]))).toBe('malformed');
    expect(check(judge([...chain, ...chain]))).toBe('malformed');
    expect(check(judge(der((await issue('node-1', { authority: foreign })).chainPem)))).toBe('authority');
    expect(check(judge([chain[0]!]))).toBe('authority');
    expect(check(judge([chain[0]!, ...der(foreign.intermediatePem)]))).toBe('authority');
    expect(check(judge(der(foreign.rootPem)))).toBe('self-signed');
    expect(check(judge(chain, 'node-1', NOW - DAY))).toBe('not-yet-valid');
    expect(check(judge(chain, 'node-1', NOW + 91 * DAY))).toBe('expired');
    expect(check(judge(chain, 'node-2'))).toBe('name');
    expect(check(judge(der(authority.intermediatePem)))).toBe('usage');
  });

  test('refuses the right common name without the DNS name, without client use, and under a node as authority', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const build = (dns: string, usages: string[], key = authority.issuer.key, issuer = authority.issuer.certificate.subject) =>
      x509.X509CertificateGenerator.create({
        serialNumber: '01',
        subject: [{ CN: ['node-1'] }],
        issuer,
        notBefore: new Date(NOW - DAY),
        notAfter: new Date(NOW + DAY),
        signingAlgorithm: { ...algorithm, hash: 'SHA-384' },
        publicKey: keys.publicKey,
        signingKey: key,
        extensions: [new x509.ExtendedKeyUsageExtension(usages), new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: dns }])],
      });
    const both = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
    const verdict = async (certificate: Promise<x509.X509Certificate>, issuers = der(authority.intermediatePem)) =>
      judge([new Uint8Array((await certificate).rawData), ...issuers]);
    expect(await verdict(build(serverName('node-1'), both))).toMatchObject({ ok: true });
    expect(await verdict(build(serverName('node-2'), both))).toMatchObject({ ok: false, check: 'name' });
    expect(await verdict(build(`*.${serverName('node-1').slice('node-1.'.length)}`, both))).toMatchObject({ ok: false, check: 'name' });
    expect(await verdict(build(serverName('node-1'), both.slice(0, 1)))).toMatchObject({ ok: false, check: 'usage' });
    // node-2 signs a certificate for node-1 with its own key.
    const node2 = await issue('node-2');
    const pkcs8 = createPrivateKey(node2.keyPem).export({ format: 'der', type: 'pkcs8' });
    const node2Key = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
    expect(await verdict(build(serverName('node-1'), both, node2Key, 'CN=node-2'), der(node2.chainPem))).toMatchObject({
      ok: false,
      check: 'authority',
    });
  });

  test('verifyChain judges PEM text the same way', async () => {
    const node = await issue();
    const options = { rootPem: node.rootPem, node: 'node-1', now: NOW };
    expect(verifyChain(node.chainPem, options)).toMatchObject({ ok: true });
    expect(verifyChain('', options)).toMatchObject({ ok: false, check: 'missing' });
    expect(verifyChain('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', options)).toMatchObject({
      ok: false,
      check: 'malformed',
    });
    expect(verifyChain(node.chainPem, { ...options, now: NOW + 91 * DAY })).toMatchObject({ ok: false, check: 'expired' });
  });
});

describe('identity', () => {
  test('signs what its public key verifies, and is the same after opening again', async () => {
    const file = join(root, 'id', 'identity.key');
    const made = await createIdentity(file, 'node-1');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const opened = await openIdentity(file, 'node-1');
    expect(opened.publicKey).toEqual(made.publicKey);
    const roster = new Roster([made]);
    const signature = opened.sign(utf8('vote'));
    expect(roster.verify('node-1', utf8('vote'), signature)).toBe(true);
    expect(roster.verify('node-1', utf8('veto'), signature)).toBe(false);
    await expect(createIdentity(file, 'node-1')).rejects.toMatchObject({ code: 'pki.identity_exists' });
  });

  test('matches the published vector RFC 8032 §7.1 test 2', () => {
    const publicKey = new Uint8Array(Buffer.from('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', 'hex'));
    const roster = new Roster([{ nodeId: 'node-1', publicKey }]);
    const signature =
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00';
    expect(roster.verify('node-1', Uint8Array.of(0x72), new Uint8Array(Buffer.from(signature, 'hex')))).toBe(true);
    expect(roster.verify('node-1', Uint8Array.of(0x73), new Uint8Array(Buffer.from(signature, 'hex')))).toBe(false);
  });

  test('a missing or foreign key file is named, and its content is not repeated', async () => {
    await expect(openIdentity(join(root, 'none'), 'node-1')).rejects.toMatchObject({ code: 'pki.file_missing', field: join(root, 'none') });
    const file = join(root, 'ec.key');
    const { keyPem } = await issue();
    await writeFile(file, keyPem);
    await expect(openIdentity(file, 'node-1')).rejects.toMatchObject({
      code: 'pki.file_broken',
      message: expect.not.stringContaining(keyPem.slice(40, 60)),
    });
  });
});
