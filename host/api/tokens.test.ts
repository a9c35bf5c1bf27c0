import { createHmac, createPublicKey } from 'node:crypto';
import { importPKCS8, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeWallet, RECIPIENT } from './testing/fake-wallet.ts';
import { createHarness, type Harness } from './testing/harness.ts';
import { createTokenKey, createTokenVerifier, DEFAULT_AUDIENCE, DEFAULT_ISSUER, issueToken } from './tokens.ts';

const base64 = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const claims = (changes: Record<string, unknown> = {}) => ({
  sub: 'mallory',
  iss: DEFAULT_ISSUER,
  aud: DEFAULT_AUDIENCE,
  exp: now() + 60,
  roles: ['admin'],
  wallets: '*',
  ...changes,
});

let harness: Harness;
beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness.api.close());

/** Signed with the right key, whatever it claims. */
async function signed(payload: Record<string, unknown>): Promise<string> {
  const key = await importPKCS8(harness.keys.privateKeyPem, 'ES256');
  return new SignJWT(payload).setProtectedHeader({ alg: 'ES256' }).sign(key);
}
const wallets = (token: string) => harness.request('/api/v1/wallets', { token });

describe('tokens', () => {
  it('a good token passes', async () => {
    expect((await wallets(await signed(claims()))).status).toBe(200);
  });

  it.each<[string, () => Promise<string>, string]>([
    ['alg none', async () => `${base64({ alg: 'none', typ: 'JWT' })}.${base64(claims())}.`, 'auth.invalid'],
    ['alg none with the signature of another token', async () => `${base64({ alg: 'none' })}.${base64(claims())}.${(await signed(claims())).split('.')[2]}`, 'auth.invalid'],
    ['HS256 keyed with the PEM of the public key', async () => hmac(harness.keys.publicKeyPem), 'auth.invalid'],
    ['HS256 keyed with the DER of the public key', async () => hmac(createPublicKey(harness.keys.publicKeyPem).export({ type: 'spki', format: 'der' })), 'auth.invalid'],
    ['a key of its own', async () => issueToken({ ...(await request()), privateKeyPem: (await createTokenKey()).privateKeyPem }), 'auth.invalid'],
    ['an embedded key', async () => embedded(), 'auth.invalid'],
    ['another audience', async () => signed(claims({ aud: 'another-api' })), 'auth.claims'],
    ['another issuer', async () => signed(claims({ iss: 'mallory' })), 'auth.claims'],
    ['no audience', async () => signed(claims({ aud: undefined })), 'auth.claims'],
    ['no issuer', async () => signed(claims({ iss: undefined })), 'auth.claims'],
    ['no expiry', async () => signed(claims({ exp: undefined })), 'auth.claims'],
    ['no subject', async () => signed(claims({ sub: undefined })), 'auth.claims'],
    ['an expiry in the past', async () => signed(claims({ exp: now() - 60 })), 'auth.expired'],
    ['a beginning in the future', async () => signed(claims({ nbf: now() + 600 })), 'auth.claims'],
    ['no role', async () => signed(claims({ roles: undefined })), 'auth.claims'],
    ['an unknown role', async () => signed(claims({ roles: ['root'] })), 'auth.claims'],
    ['roles as text', async () => signed(claims({ roles: 'admin' })), 'auth.claims'],
    ['wallets of a wrong type', async () => signed(claims({ wallets: { all: true } })), 'auth.claims'],
    ['a changed payload', async () => tampered(), 'auth.invalid'],
    ['an unknown critical extension', async () => critical(), 'auth.invalid'],
    ['garbage', async () => 'a.b.c', 'auth.invalid'],
    ['one part', async () => 'abc', 'auth.invalid'],
  ])('%s is refused', async (_name, make, code) => {
    const { status, body, headers } = await wallets(await make());
    expect([status, body.code, body.field]).toEqual([401, code, 'Authorization']);
    expect(headers.get('www-authenticate')).toContain('error="invalid_token"');
  }); // prettier-ignore

  it('no token, another scheme, and two tokens are refused', async () => {
    const none = await harness.request('/api/v1/wallets');
    expect([none.status, none.body.code, none.headers.get('www-authenticate')]).toEqual([
      401,
      'auth.missing',
      'Bearer realm="threshold-wallet"',
    ]);
    const good = await signed(claims());
    for (const authorization of ['Basic YTpi', good, `Bearer ${good} ${good}`, `Bearer ${good}, Bearer ${good}`]) {
      const { status, body } = await harness.request('/api/v1/wallets', { headers: { authorization } });
      expect([status, body.code]).toEqual([401, 'auth.scheme']);
    }
  });

  it('every documented route but the open ones wants a token, and is not even parsed without', async () => {
    const { body: spec } = await harness.request('/openapi.json');
    for (const [path, item] of Object.entries<Record<string, any>>(spec.paths)) {
      if (/health|ready/.test(path)) continue;
      for (const method of Object.keys(item)) {
        const url = path.replace(/\{\w+\}/, 'w-ecdsa');
        const reply = await harness.request(url, { method: method.toUpperCase(), ...(method === 'post' ? { body: '{"broken' } : {}) });
        expect([method, path, reply.status]).toEqual([method, path, 401]);
      }
    }
  });

  it('roles are a ladder: viewers read, operators pay, admins create', async () => {
    const pay = { recipient: RECIPIENT, amount_sats: 1000 };
    const attempts: [string, unknown, number[]][] = [
      ['/api/v1/wallets', undefined, [200, 200, 200]],
      ['/api/v1/transactions', pay, [403, 201, 201]],
      ['/api/v1/wallet/w-ecdsa/send', pay, [403, 201, 201]],
      ['/api/v1/presig/generate', { count: 1 }, [403, 403, 200]],
      ['/api/v1/wallet/create', {}, [403, 403, 201]],
    ];
    for (const [path, json, expected] of attempts) {
      const statuses: number[] = [];
      for (const as of ['viewer', 'operator', 'admin'] as const) statuses.push((await harness.request(path, { as, json })).status);
      expect([path, statuses]).toEqual([path, expected]);
    }
    const refused = await harness.request('/api/v1/wallet/create', { as: 'operator', json: {} });
    expect([refused.body.code, refused.body.remedy]).toEqual(['auth.role', 'use a token with the role admin']);
  });

  it('a token reaches the wallets it names and no other', async () => {
    const frost = await harness.request('/api/v1/wallet/w-frost/send', { as: 'operator', json: { recipient: RECIPIENT, amount_sats: 1 } });
    const token = await harness.token('admin', ['w-ecdsa']);
    const get = (path: string) => harness.request(path, { token });
    for (const path of ['balance', 'address', 'utxos', 'transactions']) {
      expect([path, (await get(`/api/v1/wallet/w-ecdsa/${path}`)).status]).toEqual([path, 200]);
      const { status, body } = await get(`/api/v1/wallet/w-frost/${path}`);
      expect([path, status, body.code]).toEqual([path, 403, 'auth.wallet']);
      // A wallet that does not exist looks the same.
      expect((await get(`/api/v1/wallet/w-none/${path}`)).body.code).toBe('auth.wallet');
    }
    const before = harness.fake.sends.length;
    const pay = (json: object, path: string) => harness.request(path, { token, json });
    expect((await pay({ recipient: RECIPIENT, amount_sats: 1 }, '/api/v1/wallet/w-frost/send')).status).toBe(403);
    expect((await pay({ wallet_id: 'w-frost', count: 1 }, '/api/v1/presig/generate')).status).toBe(403);
    expect((await pay({}, '/api/v1/wallet/create')).status).toBe(403);
    expect(harness.fake.sends.length).toBe(before);
    expect((await get(`/api/v1/transactions/${frost.body.tx_id}`)).status).toBe(404);
    expect((await get(`/api/v1/transactions/${frost.body.txid}`)).status).toBe(404);
    expect((await get(`/api/v1/consensus/votes/${frost.body.tx_id}`)).status).toBe(404);
    expect((await get('/api/v1/wallets')).body.wallets.map((one: any) => one.wallet_id)).toEqual(['w-ecdsa']);
    const listed = (await get('/api/v1/transactions')).body.transactions;
    expect(listed.length).toBeGreaterThan(0);
    expect(listed.every((one: any) => one.wallet_id === 'w-ecdsa')).toBe(true);
    expect((await get('/api/v1/transactions?wallet_id=w-frost')).status).toBe(403);
    expect((await get('/api/v1/pool/status?wallet_id=w-frost')).status).toBe(403);
    expect((await get('/api/v1/dkg/status')).body.ceremonies).toHaveLength(2);

    const foreign = { token: await harness.token('admin', ['w-frost']) };
    expect((await harness.request('/api/v1/wallet/balance', foreign)).status).toBe(403);
    expect((await harness.request('/api/v1/pool/status', foreign)).body.pools).toEqual([]);
    expect((await harness.request('/api/v1/dkg/status', foreign)).body.ceremonies).toHaveLength(1);
    const two = await harness.request('/api/v1/transactions', { token: await harness.token('viewer', ['w-frost', 'w-ecdsa']) });
    expect([two.status, two.body.field]).toEqual([422, 'wallet_id']);
  });

  it('a token without the claim reaches no wallet', async () => {
    const { status, body } = await wallets(await signed(claims({ wallets: undefined })));
    expect([status, body.wallets]).toEqual([200, []]);
  });

  it('what the log holds of a request does not include its token', async () => {
    const token = await signed(claims());
    await wallets(token);
    expect(harness.log.some((line) => line.includes('"subject":"mallory"'))).toBe(true);
    expect(harness.log.some((line) => line.includes(token))).toBe(false);
  });

  it('unusable keys and lifetimes are refused at the start', async () => {
    const trust = { publicKeyPem: 'no key', issuer: 'i', audience: 'a' };
    await expect(createTokenVerifier(trust)).rejects.toMatchObject({ name: 'Refusal', field: 'publicKeyPem' });
    for (const ttlSeconds of [0, -1, 1.5, Number.NaN]) {
      await expect(issueToken({ ...(await request()), ttlSeconds })).rejects.toMatchObject({ field: 'ttlSeconds' });
    }
  });

  it('a slow handler of a wallet that never answers ends in 503, and ceremonies may take longer', async () => {
    const pending = new Promise<never>(() => {});
    const fake = createFakeWallet({ balance: () => pending });
    const slow = await createHarness({ fake, limits: { handlerTimeout: 50, drainTimeout: 100 } });
    const { status, body, headers } = await slow.request('/api/v1/wallet/balance', { as: 'viewer' });
    await slow.api.close();
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'http.timeout', '5']);
  });
});

const request = async () => ({
  privateKeyPem: harness.keys.privateKeyPem,
  subject: 'mallory',
  roles: ['admin'] as const,
  wallets: '*' as const,
  ttlSeconds: 60,
});

function hmac(key: string | Buffer): string {
  const content = `${base64({ alg: 'HS256', typ: 'JWT' })}.${base64(claims())}`;
  return `${content}.${createHmac('sha256', key).update(content).digest('base64url')}`;
}

async function embedded(): Promise<string> {
  const own = await createTokenKey();
  const jwk = createPublicKey(own.publicKeyPem).export({ format: 'jwk' });
  const key = await importPKCS8(own.privateKeyPem, 'ES256');
  return new SignJWT(claims()).setProtectedHeader({ alg: 'ES256', jwk }).sign(key);
}

async function tampered(): Promise<string> {
  const [head, , signature] = (await signed(claims({ roles: ['viewer'] }))).split('.');
  return `${head}.${base64(claims())}.${signature}`;
}

async function critical(): Promise<string> {
  const key = await importPKCS8(harness.keys.privateKeyPem, 'ES256');
  return new SignJWT(claims()).setProtectedHeader({ alg: 'ES256', crit: ['x'], x: 1 }).sign(key, { crit: { x: true } });
}
