/**
 * Reading and judging certificates, on node:crypto only (a second reader beside the TLS library, which has judged the same chain in the
 * handshake). The judgement is a value, never an exception: it is made in network callbacks, about bytes that strangers sent.
 */
import { X509Certificate } from 'node:crypto';
import { isNodeId, serverName } from './names.ts';

/** The checks in the order in which they are made; the first that fails is the one reported. */
export const CERTIFICATE_CHECKS = [
  'missing',
  'malformed',
  'self-signed',
  'authority',
  'not-yet-valid',
  'expired',
  'usage',
  'name',
] as const;
export type CertificateCheck = (typeof CERTIFICATE_CHECKS)[number];

export type PeerVerdict =
  | {
      readonly ok: true;
      readonly node: string;
      /** Lower-case hex. */
      readonly serial: string;
      /** Milliseconds since the epoch: the earliest end of validity in the chain. */
      readonly expires: number;
    }
  | { readonly ok: false; readonly check: CertificateCheck; readonly detail: string };

export interface CertificateInfo {
  readonly commonName: string;
  readonly issuer: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  /** Object identifiers of the extended key usage. */
  readonly usages: readonly string[];
  readonly ca: boolean;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** Leaf, intermediate, and perhaps the root. */
const MAX_CHAIN = 3;
const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** @throws Error of node:crypto when `certificate` is neither PEM nor DER. */
export function certificateInfo(certificate: string | Uint8Array | X509Certificate): CertificateInfo {
  const x = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate);
  const alternative = (x.subjectAltName ?? '').split(', ');
  const named = (prefix: string) => alternative.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return {
    commonName: commonNameOf(x) ?? '',
    issuer: x.issuer,
    serial: x.serialNumber.toLowerCase(),
    notBefore: Date.parse(x.validFrom),
    notAfter: Date.parse(x.validTo),
    dnsNames: named('DNS:'),
    addresses: named('IP Address:'),
    usages: usagesOf(x),
    ca: x.ca,
    fingerprint: x.fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}

/** The certificates of a PEM file, in its order. @throws Error of node:crypto on a broken one. */
export const certificatesOf = (pem: string): X509Certificate[] =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)].map(([block]) => new X509Certificate(block));

/** The one common name of the subject; undefined when there is none or more than one. */
function commonNameOf(certificate: X509Certificate): string | undefined {
  const names = certificate.subject.split('\n').filter((part) => part.startsWith('CN='));
  return names.length === 1 ? names[0]!.slice('CN='.length) : undefined;
}

/** node:crypto calls the extended key usage `keyUsage`. */
const usagesOf = (certificate: X509Certificate): string[] => (certificate.keyUsage as string[] | undefined) ?? [];

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

const refuse = (check: CertificateCheck, detail: string): PeerVerdict => ({ ok: false, check, detail });

/**
 * Judges the chain that a peer presented, leaf first: it leads to one of `roots`, every certificate in it is valid at `now` (milliseconds since
 * the epoch), the leaf may be used by servers and clients, and it names a node of `expected` both as common name and as DNS name.
 */
export function checkPeer(
  chain: readonly Uint8Array[],
  options: { readonly roots: readonly X509Certificate[]; readonly expected: string | readonly string[]; readonly now: number },
): PeerVerdict {
  if (chain.length === 0) return refuse('missing', 'no certificate was presented');
  if (chain.length > MAX_CHAIN) return refuse('malformed', `a chain of ${chain.length} certificates, at most ${MAX_CHAIN}`);
  let certificates: X509Certificate[];
  try {
    const large = chain.find((der) => der.length > MAX_CERTIFICATE_BYTES);
    if (large !== undefined) return refuse('malformed', `a certificate of ${large.length} bytes, at most ${MAX_CERTIFICATE_BYTES}`);
    certificates = chain.map((der) => new X509Certificate(der));
  } catch {
    return refuse('malformed', 'a certificate that cannot be parsed');
  }
  const path = pathToRoot(certificates, options.roots);
  if (!Array.isArray(path)) return path;

  const leaf = path[0]!;
  for (const certificate of path) {
    const subject = certificate.subject.replaceAll('\n', ', ');
    if (options.now < Date.parse(certificate.validFrom))
      return refuse('not-yet-valid', `${subject} is valid from ${certificate.validFrom}`);
    if (options.now > Date.parse(certificate.validTo)) return refuse('expired', `${subject} expired on ${certificate.validTo}`);
  }

  const usages = usagesOf(leaf);
  if (leaf.ca) return refuse('usage', 'a CA certificate does not name a node');
  if (!usages.includes(SERVER_AUTH) || !usages.includes(CLIENT_AUTH)) {
    return refuse('usage', 'the certificate is not issued for both server and client authentication');
  }

  const node = commonNameOf(leaf);
  const expected = typeof options.expected === 'string' ? [options.expected] : options.expected;
  if (node === undefined || !isNodeId(node)) return refuse('name', 'the common name is not a node id');
  if (!expected.includes(node)) return refuse('name', `the certificate names ${node}, expected ${expected.join(' or ')}`);
  if (leaf.checkHost(serverName(node), { subject: 'never', wildcards: false }) === undefined) {
    return refuse('name', `the certificate of ${node} does not carry the DNS name ${serverName(node)}`);
  }
  return {
    ok: true,
    node,
    serial: leaf.serialNumber.toLowerCase(),
    expires: Math.min(...path.map((certificate) => Date.parse(certificate.validTo))),
  };
}

/** Leaf, issuers, root: each signed by the next, the last one of `roots`. */
function pathToRoot(certificates: readonly X509Certificate[], roots: readonly X509Certificate[]): X509Certificate[] | PeerVerdict {
  const leaf = certificates[0]!;
  if (isIssuedBySelf(leaf)) return refuse('self-signed', 'the certificate is signed by its own key');
  const path = [leaf];
  for (const next of [...certificates.slice(1), undefined]) {
    const last = path.at(-1)!;
    const root = roots.find((candidate) => isIssuedBy(last, candidate));
    if (root !== undefined) return [...path, root];
    if (next === undefined || !isIssuedBy(last, next)) break;
    path.push(next);
  }
  return refuse('authority', 'the chain does not lead to the root of this cluster');
}

const isIssuedBySelf = (certificate: X509Certificate): boolean =>
  certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);

/** {@link checkPeer} on PEM text, for a node's own files. */
export function verifyChain(
  chainPem: string,
  options: { readonly rootPem: string; readonly node: string; readonly now: number },
): PeerVerdict {
  let chain: Uint8Array[];
  let roots: X509Certificate[];
  try {
    chain = certificatesOf(chainPem).map((certificate) => certificate.raw);
    roots = certificatesOf(options.rootPem);
  } catch {
    return refuse('malformed', 'a certificate that cannot be parsed');
  }
  return checkPeer(chain, { roots, expected: options.node, now: options.now });
}
