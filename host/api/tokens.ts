/**
 * Bearer tokens of the API: JSON Web Tokens (RFC 7519) signed with ES256. The verifier pins what a token may not choose for itself:
 * algorithm, key, issuer and audience; a token must carry an expiry and a subject.
 *
 * Claims of ours: `roles`, of which the highest counts (viewer < operator < admin), and `wallets`, a list of wallet ids or "*" for all.
 * A token without `wallets` reaches no wallet.
 */
import { errors, exportPKCS8, exportSPKI, generateKeyPair, importPKCS8, importSPKI, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { z } from 'zod';
import { Refusal } from '../base/errors.ts';

/** In ascending order of power: each may do all that the one before may. */
export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export const DEFAULT_ISSUER = 'threshold-wallet';
export const DEFAULT_AUDIENCE = 'threshold-wallet-api';

/** What the API trusts: one public key (SPKI PEM, P-256), and the issuer and audience every token must name. */
export interface TokenTrust {
  readonly publicKeyPem: string;
  readonly issuer: string;
  readonly audience: string;
}

/** Who makes a request, and what it may touch. */
export interface Principal {
  readonly subject: string;
  readonly role: Role;
  readonly wallets: '*' | ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

const ALGORITHM = 'ES256';
/** Clocks of issuer and node may differ by this much. */
const CLOCK_TOLERANCE_SECONDS = 5;

const claims = z.object({
  sub: z.string().min(1).max(128),
  exp: z.number(),
  roles: z.array(z.string()).max(16),
  wallets: z.union([z.literal('*'), z.array(z.string()).max(1024)]).default([]),
});

/** A fresh P-256 key pair: the private half for whoever issues tokens (PKCS #8 PEM), the public half for the API (SPKI PEM). */
export async function createTokenKey(): Promise<{ privateKeyPem: string; publicKeyPem: string }> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  return { privateKeyPem: await exportPKCS8(privateKey), publicKeyPem: await exportSPKI(publicKey) };
}

export interface TokenRequest {
  readonly privateKeyPem: string;
  readonly subject: string;
  readonly roles: readonly Role[];
  readonly wallets: '*' | readonly string[];
  readonly ttlSeconds: number;
  readonly issuer?: string;
  readonly audience?: string;
}

/** A signed token, valid from now on for `ttlSeconds`. */
export async function issueToken(request: TokenRequest): Promise<string> {
  if (!Number.isSafeInteger(request.ttlSeconds) || request.ttlSeconds < 1) {
    throw new Refusal('token.ttl', 'ttlSeconds', `a token cannot live ${request.ttlSeconds} seconds`, 'give whole seconds, at least 1');
  }
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ roles: [...request.roles], wallets: request.wallets === '*' ? '*' : [...request.wallets] } satisfies JWTPayload)
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
    .setSubject(request.subject)
    .setIssuer(request.issuer ?? DEFAULT_ISSUER)
    .setAudience(request.audience ?? DEFAULT_AUDIENCE)
    .setIssuedAt(now)
    .setExpirationTime(now + request.ttlSeconds)
    .sign(await importPKCS8(request.privateKeyPem, ALGORITHM));
}

/**
 * A function from the `Authorization` header to who is calling.
 * @throws Refusal 401 for a missing, malformed, forged, expired or foreign token.
 */
export async function createTokenVerifier(trust: TokenTrust): Promise<(header: string | undefined) => Promise<Principal>> {
  const key = await importSPKI(trust.publicKeyPem, ALGORITHM).catch(() => {
    throw new Refusal(
      'config.token_key',
      'publicKeyPem',
      'the token key is no P-256 public key in PEM form',
      'give the SPKI PEM of the key that signs tokens',
    );
  });
  return async (header) => {
    if (header === undefined) {
      throw unauthenticated('auth.missing', 'the request carries no token', 'send the header "Authorization: Bearer <token>"');
    }
    const token = /^Bearer ([A-Za-z0-9_.-]+)$/i.exec(header)?.[1];
    if (token === undefined) {
      throw unauthenticated('auth.scheme', 'the Authorization header holds no bearer token', 'send "Authorization: Bearer <token>"');
    }
    const payload = await verified(token, key, trust);
    const parsed = claims.safeParse(payload);
    if (!parsed.success) {
      const claim = parsed.error.issues[0]?.path.join('.') ?? '';
      throw unauthenticated('auth.claims', `the token's claim "${claim}" is missing or malformed`, REISSUE);
    }
    const { sub, exp, roles, wallets } = parsed.data;
    const role = ROLES.findLast((candidate) => roles.includes(candidate));
    if (role === undefined) {
      throw unauthenticated('auth.claims', 'the token names no known role', `get a token with one of the roles ${ROLES.join(', ')}`);
    }
    return { subject: sub, role, wallets: wallets === '*' ? '*' : new Set(wallets), expires: exp * 1000 };
  };
}

const REISSUE = 'get a new token from the issuer this node trusts';

function unauthenticated(code: string, message: string, remedy: string): Refusal {
  return new Refusal(code, 'Authorization', message, remedy, 401);
}

async function verified(token: string, key: Awaited<ReturnType<typeof importSPKI>>, trust: TokenTrust): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: trust.issuer,
      audience: trust.audience,
      requiredClaims: ['sub', 'exp'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw unauthenticated('auth.expired', 'the token has expired', REISSUE);
    if (error instanceof errors.JWTClaimValidationFailed) {
      throw unauthenticated('auth.claims', `the token's claim "${error.claim}" is not accepted here`, REISSUE);
    }
    // Everything else jose rejects is a forgery or garbage; which of them is nobody's business. What it does not know is ours.
    if (error instanceof errors.JOSEError) throw unauthenticated('auth.invalid', 'the token is not valid', REISSUE);
    throw error;
  }
}

/** @throws Refusal 403 unless the caller has `needed` or a higher role. */
export function requireRole(principal: Principal, needed: Role): void {
  if (ROLES.indexOf(principal.role) >= ROLES.indexOf(needed)) return;
  const message = `this needs the role ${needed}; the token of "${principal.subject}" has ${principal.role}`;
  throw new Refusal('auth.role', 'Authorization', message, `use a token with the role ${needed}`, 403);
}

export const mayUse = (principal: Principal, walletId: string): boolean => principal.wallets === '*' || principal.wallets.has(walletId);

/** @throws Refusal 403 unless the token covers the wallet. It says the same of wallets that do not exist. */
export function requireWallet(principal: Principal, walletId: string): void {
  if (mayUse(principal, walletId)) return;
  const message = `the token of "${principal.subject}" does not cover wallet ${walletId}`;
  throw new Refusal('auth.wallet', 'wallet_id', message, 'use a token whose "wallets" claim lists this wallet', 403);
}
