/**
 * The certificate authority of one cluster: a root (10 years, meant to be kept offline once the intermediate exists) and an intermediate
 * (2 years) that issues the nodes' certificates (90 days). P-384 for the authority, P-256 for nodes: the handshake pays for the node's key only.
 *
 * X.509 is RFC 5280; certificates are made by @peculiar/x509 on WebCrypto and judged by node:crypto (certificate.ts).
 */
import 'reflect-metadata'; // @peculiar/x509 needs it loaded first
import * as x509 from '@peculiar/x509';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { privateFolder, readIfPresent, writeDurably } from '../storage/files.ts';
import { certificatesOf } from './certificate.ts';
import { requireNodeId, serverName } from './names.ts';

x509.cryptoProvider.set(webcrypto);

const DAY = 86_400_000;
const ROOT_DAYS = 3650;
const INTERMEDIATE_DAYS = 730;
export const NODE_DAYS = 90;
/** Clocks differ: a certificate is valid from a little before its issue. */
const BACKDATE = 5 * 60_000;

const CA_KEY = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
const NODE_KEY = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

export interface Authority {
  /** PEM of the root certificate: all that a node needs to judge its peers. */
  readonly rootPem: string;
  readonly intermediatePem: string;
  /** Signs node certificates. */
  readonly issuer: Issuer;
}

export interface NodeCredentials {
  readonly node: string;
  /** PKCS#8, secret. */
  readonly keyPem: string;
  /** The node's certificate, then the intermediate. */
  readonly chainPem: string;
  readonly rootPem: string;
}

const FILES = { rootKey: 'root.key', root: 'root.pem', intermediateKey: 'intermediate.key', intermediate: 'intermediate.pem' } as const;

/** Positive, 127 random bits (RFC 5280 §4.1.2.2 allows at most 20 octets). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

const generate = (algorithm: webcrypto.EcKeyGenParams) =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }) as string;
}

const validity = (now: number, days: number) => ({ notBefore: new Date(now - BACKDATE), notAfter: new Date(now + days * DAY) });
const caUsage = () => new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true);

/**
 * Makes the authority of a new cluster in folder `dir` (created for the owner only; keys 0600).
 * @throws Refusal `pki.authority_exists` when there is one: a second authority would cut off every node of the first.
 */
export async function createAuthority(dir: string, options: { readonly cluster?: string; readonly now?: number } = {}): Promise<Authority> {
  const { cluster = 'threshold-wallet', now = Date.now() } = options;
  await privateFolder(dir);
  for (const name of Object.values(FILES)) {
    if ((await readIfPresent(join(dir, name))) !== undefined) {
      throw new Refusal(
        'pki.authority_exists',
        join(dir, name),
        `there already is a certificate authority in ${dir}`,
        'use it, or choose another folder for a new one',
        409,
      );
    }
  }
  const rootKeys = await generate(CA_KEY);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [`${cluster} root`] }],
    ...validity(now, ROOT_DAYS),
    signingAlgorithm: CA_KEY,
    keys: rootKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      caUsage(),
      await x509.SubjectKeyIdentifierExtension.create(rootKeys.publicKey),
    ],
  });
  const keys = await generate(CA_KEY);
  const intermediate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [`${cluster} intermediate`] }],
    issuer: root.subject,
    ...validity(now, INTERMEDIATE_DAYS),
    signingAlgorithm: CA_KEY,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      caUsage(),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(root),
    ],
  });
  const [rootPem, intermediatePem] = [`${root.toString('pem')}\n`, `${intermediate.toString('pem')}\n`];
  await writeDurably(join(dir, FILES.rootKey), utf8(await keyPem(rootKeys.privateKey)));
  await writeDurably(join(dir, FILES.root), utf8(rootPem));
  await writeDurably(join(dir, FILES.intermediateKey), utf8(await keyPem(keys.privateKey)));
  await writeDurably(join(dir, FILES.intermediate), utf8(intermediatePem));
  return { rootPem, intermediatePem, issuer: { certificate: intermediate, key: keys.privateKey } };
}

/**
 * Opens the authority that {@link createAuthority} left in `dir`. The root key is not needed and may be kept elsewhere.
 * @throws Refusal naming the file that is missing, broken, or does not belong to the others.
 */
export async function openAuthority(dir: string): Promise<Authority> {
  const rootPem = await readPem(join(dir, FILES.root), 'restore it from the backup of the authority, or create a new authority');
  const intermediatePem = await readPem(
    join(dir, FILES.intermediate),
    'restore it from the backup of the authority, or create a new authority',
  );
  const keyPath = join(dir, FILES.intermediateKey);
  const keyText = await readPem(keyPath, 'restore it from the backup of the authority, or create a new authority');
  const broken = (file: string, problem: string) =>
    new Refusal('pki.authority_broken', file, `${file} ${problem}`, 'restore the folder of the authority from its backup', 422);

  const [root] = parsed(join(dir, FILES.root), rootPem);
  const [intermediate] = parsed(join(dir, FILES.intermediate), intermediatePem);
  if (root === undefined) throw broken(join(dir, FILES.root), 'holds no certificate');
  if (intermediate === undefined) throw broken(join(dir, FILES.intermediate), 'holds no certificate');
  if (!intermediate.checkIssued(root) || !intermediate.verify(root.publicKey)) {
    throw broken(join(dir, FILES.intermediate), `is not signed by ${join(dir, FILES.root)}`);
  }
  requireKeyOf(keyPath, keyText, join(dir, FILES.intermediate), intermediatePem);
  const pkcs8 = createPrivateKey(keyText).export({ format: 'der', type: 'pkcs8' });
  const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, CA_KEY, true, ['sign']);
  return { rootPem, intermediatePem, issuer: { certificate: new x509.X509Certificate(intermediatePem), key } };
}

/**
 * A fresh key and a certificate for `nodeId`: common name = node id, DNS name {@link serverName}, and `hosts` (IP addresses or DNS names) for
 * operators' tools. Valid `days` from `now`, never longer than the intermediate.
 */
export async function issueNode(options: {
  readonly authority: Authority;
  readonly nodeId: string;
  readonly hosts: readonly string[];
  readonly days?: number;
  readonly now?: number;
}): Promise<NodeCredentials> {
  const { authority, nodeId, hosts, days = NODE_DAYS, now = Date.now() } = options;
  requireNodeId(nodeId, 'nodeId');
  if (!Number.isFinite(days) || days <= 0 || days > INTERMEDIATE_DAYS) {
    throw new Refusal('pki.days', 'days', `${days} days of validity`, `choose more than 0 and at most ${INTERMEDIATE_DAYS} days`);
  }
  const { issuer } = authority;
  const span = validity(now, days);
  if (span.notAfter > issuer.certificate.notAfter) span.notAfter = issuer.certificate.notAfter;
  if (span.notAfter.getTime() <= now) {
    throw new Refusal(
      'pki.intermediate_expired',
      'authority',
      `the intermediate certificate expired on ${issuer.certificate.notAfter.toISOString()}`,
      'create a new authority',
      422,
    );
  }
  const keys = await generate(NODE_KEY);
  const names = [...new Set([serverName(nodeId), ...hosts])].map((value) => ({
    type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
    value,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [nodeId] }],
    issuer: issuer.certificate.subject,
    ...span,
    signingAlgorithm: CA_KEY,
    publicKey: keys.publicKey,
    signingKey: issuer.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
    ],
  });
  return {
    node: nodeId,
    keyPem: await keyPem(keys.privateKey),
    chainPem: `${certificate.toString('pem')}\n${authority.intermediatePem}`,
    rootPem: authority.rootPem,
  };
}

/** The three files of a node; the names are settings of the node. */
export interface CredentialFiles {
  readonly key: string;
  readonly chain: string;
  readonly root: string;
}

/** Writes a node's files atomically, 0600; the key last, so that no key stands beside another node's certificate for long. */
export async function writeCredentials(files: CredentialFiles, credentials: NodeCredentials): Promise<void> {
  await writeDurably(files.root, utf8(credentials.rootPem));
  await writeDurably(files.chain, utf8(credentials.chainPem));
  await writeDurably(files.key, utf8(credentials.keyPem));
}

/** Reads a node's files. @throws Refusal naming the file that is missing, broken, or not the key of the certificate. */
export async function readCredentials(files: CredentialFiles, node: string): Promise<NodeCredentials> {
  const remedy = `issue a certificate for ${node} again with the authority of this cluster, or restore the file from a backup`;
  const keyText = await readPem(files.key, remedy);
  const chainPem = await readPem(files.chain, remedy);
  const rootPem = await readPem(files.root, remedy);
  parsed(files.root, rootPem);
  requireKeyOf(files.key, keyText, files.chain, chainPem);
  return { node, keyPem: keyText, chainPem, rootPem };
}

async function readPem(path: string, remedy: string): Promise<string> {
  const bytes = await readIfPresent(path);
  if (bytes === undefined) throw new Refusal('pki.file_missing', path, `${path} is missing`, remedy, 404);
  const pem = new TextDecoder().decode(bytes);
  if (!pem.includes('-----BEGIN ')) throw new Refusal('pki.file_broken', path, `${path} is not a PEM file`, remedy, 422);
  return pem;
}

function parsed(path: string, pem: string) {
  try {
    return certificatesOf(pem);
  } catch {
    throw new Refusal(
      'pki.file_broken',
      path,
      `${path} holds a certificate that cannot be parsed`,
      'restore the file from a backup or issue it again',
      422,
    );
  }
}

/** The first certificate of `certificatePem` is for the key in `keyPem`. */
function requireKeyOf(keyPath: string, keyText: string, certificatePath: string, certificatePem: string): void {
  const [leaf] = parsed(certificatePath, certificatePem);
  let matches: boolean;
  try {
    matches = leaf !== undefined && createPublicKey(keyText).equals(leaf.publicKey);
  } catch {
    throw new Refusal(
      'pki.file_broken',
      keyPath,
      `${keyPath} holds no private key`,
      'restore the file from a backup or issue it again',
      422,
    );
  }
  if (!matches) {
    throw new Refusal(
      'pki.key_mismatch',
      keyPath,
      `${keyPath} is not the key of the certificate in ${certificatePath}`,
      'put the key and the certificate of one issue side by side, or issue both again',
      422,
    );
  }
}
