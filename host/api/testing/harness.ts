/** A running API over a fake wallet, with a key to make tokens from. */
import { pino } from 'pino';
import type { ApiLimits } from '../limits.ts';
import { createApi, type Api } from '../server.ts';
import { createTokenKey, DEFAULT_AUDIENCE, DEFAULT_ISSUER, issueToken, type Role } from '../tokens.ts';
import { createFakeWallet, ECDSA_WALLET, type FakeWallet } from './fake-wallet.ts';

/** Tests make many requests at once; those about the rate limit set their own. */
const GENEROUS = { perSecond: 10_000, burst: 10_000 };

export interface Harness {
  readonly api: Api;
  readonly fake: FakeWallet;
  readonly keys: { privateKeyPem: string; publicKeyPem: string };
  /** Lines the API logged. */
  readonly log: string[];
  token(role: Role, wallets?: '*' | readonly string[], subject?: string): Promise<string>;
  /** A request with a token of the role, or without one. */
  request(path: string, init?: RequestInit & { as?: Role; token?: string; json?: unknown }): Promise<Reply>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- tests read what they expect
}

export async function createHarness(
  options: { fake?: FakeWallet; limits?: Partial<ApiLimits>; defaultWallet?: (() => Promise<string | undefined>) | null } = {},
): Promise<Harness> {
  const fake = options.fake ?? createFakeWallet();
  const keys = await createTokenKey();
  const log: string[] = [];
  const defaultWallet = options.defaultWallet === undefined ? async () => ECDSA_WALLET.wallet_id : options.defaultWallet;
  const api = await createApi({
    service: fake.service,
    auth: { publicKeyPem: keys.publicKeyPem, issuer: DEFAULT_ISSUER, audience: DEFAULT_AUDIENCE },
    host: '127.0.0.1',
    port: 0,
    logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
    ...(defaultWallet === null ? {} : { defaultWallet }),
    version: '0.1.0',
    limits: { rate: GENEROUS, ...options.limits },
    nodeName: (party) => `node-${party + 1}`,
  });
  const token: Harness['token'] = (role, wallets = '*', subject = `a-${role}`) =>
    issueToken({ privateKeyPem: keys.privateKeyPem, subject, roles: [role], wallets, ttlSeconds: 60 });
  const request: Harness['request'] = async (path, { as, token: given, json, ...init } = {}) => {
    const bearer = given ?? (as === undefined ? undefined : await token(as));
    const response = await fetch(api.url + path, {
      ...init,
      ...(json === undefined ? {} : { method: init.method ?? 'POST', body: JSON.stringify(json) }),
      headers: {
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(init.headers as Record<string, string> | undefined),
      },
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
  };
  return { api, fake, keys, log, token, request };
}
