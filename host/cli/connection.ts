/**
 * Where the API is and how to prove who we are. Flag before environment before the running local cluster, whose launcher leaves
 * `<data>/cluster/client.json`. The local cluster's token is never sent to another endpoint.
 */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { Refusal } from '../base/errors.ts';
import type { Io } from './io.ts';

export interface ConnectionOptions {
  readonly apiEndpoint?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly data: string;
}

export interface Connection {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
}

interface LocalCluster {
  readonly path: string;
  readonly endpoint: string;
  /** All nodes of the cluster: when the first is down, another answers as well. */
  readonly endpoints: readonly string[];
  readonly tokenFile: string;
}

export async function connectionOf(options: ConnectionOptions, env: Io['env']): Promise<Connection> {
  const given = options.apiEndpoint ?? present(env['THRESHOLD_API_ENDPOINT']);
  const local = await readLocalCluster(options.data);
  if (given === undefined && local === undefined) {
    const remedy = 'start the local cluster with `npm start`, give its folder with --data, or name a node with --api-endpoint <url>';
    throw new Refusal('cli.no_endpoint', '--api-endpoint', `no cluster runs from ${options.data}, and no endpoint is given`, remedy, 404);
  }
  const chosen = given ?? (local === undefined ? '' : await firstListening(local.endpoints));
  const endpoint = checkedEndpoint(chosen, given === undefined ? `${local?.path}` : '--api-endpoint');
  return { endpoint, token: await tokenOf(options, env, local?.endpoints.includes(endpoint) === true ? local : undefined) };
}

/** The first node that takes connections; the first of all when none does, so that the error names it. */
async function firstListening(endpoints: readonly string[]): Promise<string> {
  for (const endpoint of endpoints) if (endpoints.length === 1 || (await listens(endpoint))) return endpoint;
  return endpoints[0] ?? '';
}

const PROBE_MS = 1_000;

function listens(endpoint: string): Promise<boolean> {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined) return Promise.resolve(true); // reported by the check of the endpoint
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80), timeout: PROBE_MS });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

async function tokenOf(options: ConnectionOptions, env: Io['env'], local: LocalCluster | undefined): Promise<string | undefined> {
  if (options.token !== undefined) return options.token;
  if (options.tokenFile !== undefined) return readToken(options.tokenFile, '--token-file');
  const fromEnvironment = present(env['THRESHOLD_TOKEN']);
  if (fromEnvironment !== undefined) return fromEnvironment;
  const file = present(env['THRESHOLD_TOKEN_FILE']);
  if (file !== undefined) return readToken(file, 'THRESHOLD_TOKEN_FILE');
  return local === undefined ? undefined : readToken(local.tokenFile, local.path);
}

const present = (text: string | undefined): string | undefined => (text === undefined || text === '' ? undefined : text);

function checkedEndpoint(text: string, field: string): string {
  const remedy = 'give a URL such as http://127.0.0.1:8081';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Refusal('cli.endpoint', field, `"${text}" is no URL`, remedy);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Refusal('cli.endpoint', field, `"${text}" is no HTTP URL`, remedy);
  if (url.username !== '' || url.password !== '') {
    throw new Refusal('cli.endpoint', field, 'the URL holds credentials', 'leave them out, and use --token-file');
  }
  return (url.origin + url.pathname).replace(/\/+$/, '');
}

async function readToken(path: string, field: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new Refusal('cli.token_file', field, `the token file ${path} cannot be read (${reason})`, 'name a file that holds one token');
  }
  // Also keeps a wrong file, such as a private key, from being sent anywhere.
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(text)) {
    throw new Refusal('cli.token_file', field, `the file ${path} holds no token`, 'name a file that holds one token and nothing else');
  }
  return text;
}

async function readLocalCluster(data: string): Promise<LocalCluster | undefined> {
  const path = join(data, 'cluster', 'client.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new Refusal(
      'cli.client_file',
      '--data',
      `${path} cannot be read (${code ?? 'unreadable'})`,
      'run as the user who started the cluster',
    );
  }
  const content = parsed(text);
  const { endpoint, token_file: tokenFile } = content;
  if (typeof endpoint !== 'string' || typeof tokenFile !== 'string') {
    throw new Refusal(
      'cli.client_file',
      '--data',
      `${path} is damaged`,
      'restart the local cluster with `npm start`; it writes the file anew',
    );
  }
  const others = Array.isArray(content['endpoints']) ? content['endpoints'].filter((one): one is string => typeof one === 'string') : [];
  const endpoints = [...new Set([endpoint, ...others].map((one) => one.replace(/\/+$/, '')))];
  return { path, endpoint: endpoints[0]!, endpoints, tokenFile: isAbsolute(tokenFile) ? tokenFile : join(dirname(path), tokenFile) };
}

/** An object, or an empty one for anything else: the caller looks for the members it needs. */
function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
