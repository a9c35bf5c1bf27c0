/**
 * The configuration of one node: a TOML file, checked whole before anything starts. Unknown keys are refused by name, so that a misspelt
 * setting never silently falls back to a default. Secrets are not in it: it names the files that hold them.
 */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { Refusal } from '../base/errors.ts';
import { isNodeId } from '../pki/names.ts';

const port = z.int().min(1).max(65535);
const path = z.string().min(1);
const nodeId = z.string().refine(isNodeId, 'a node id is a DNS label: lower-case letters, digits and inner dashes, at most 31');

const pool = z.strictObject({
  /** Presignatures to keep ready per wallet; 0 switches the pool off (every payment is signed interactively). */
  target: z.int().min(0).max(1000).default(20),
  /** A refill begins when there are fewer; three quarters of the target when absent. */
  low: z.exactOptional(z.int().min(1).max(1000)),
  /** There are never more, whoever asks; 150, or half above a larger target, when absent. */
  max: z.exactOptional(z.int().min(1).max(1500)),
  /** Presignatures made in one refill. */
  batch: z.int().min(1).max(50).default(20),
  /** Seconds between looks at the level. */
  check_seconds: z.number().min(1).max(3600).default(10),
  /** Presignatures older than this are discarded. */
  max_age_hours: z.number().min(1).max(8760).default(24),
  /** A payment that finds no presignature: signed without one at once, or only after some seconds if presignatures are being made. */
  on_empty: z.enum(['interactive', 'wait']).default('interactive'),
  /**
   * How payments from addresses below a wallet's key are signed: from the pool, with nonce points made over for key and request, or (conservative) by
   * presigning for the key itself, without the pool.
   */
  derived_keys: z.enum(['re-randomised', 'conservative']).default('re-randomised'),
  /** Safe primes to keep for the next auxiliary information (four make one); 0 searches them when they are needed. */
  primes: z.int().min(0).max(64).default(4),
});

const schema = z.strictObject({
  version: z.literal(1),
  node: z.strictObject({ id: nodeId, data: path }),
  cluster: z.strictObject({
    id: z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'),
    network: z.enum(['mainnet', 'testnet', 'signet', 'regtest']),
    threshold: z.int().min(2).max(16),
    members: z
      .array(
        z.strictObject({
          id: nodeId,
          host: z.string().min(1),
          port,
          identity: z.string().regex(/^[0-9a-f]{64}$/, 'an Ed25519 public key, 64 hexadecimal digits'),
        }),
      )
      .min(2)
      .max(16),
  }),
  mesh: z.strictObject({ host: z.string().min(1), port, key: path, chain: path, root: path }),
  identity: z.strictObject({ key: path }),
  vault: z.strictObject({ passphrase_file: path }),
  postgres: z.strictObject({
    /** File with the connection URL of the role that the node works with. */
    url_file: path,
    /** File with the URL of the role that owns the tables; with it the node brings the schema up to date when it starts. */
    owner_url_file: path.optional(),
  }),
  bitcoin: z.strictObject({ esplora_url: z.url({ protocol: /^https?$/ }), poll_seconds: z.number().min(0.2).max(600).default(10) }),
  api: z.strictObject({
    host: z.string().min(1),
    port,
    token_public_key: path,
    issuer: z.string().min(1).default('threshold-wallet'),
    audience: z.string().min(1).default('threshold-wallet-api'),
    rate_per_second: z.int().min(1).max(10_000).default(10),
    burst: z.int().min(1).max(100_000).default(20),
  }),
  policy: z
    .strictObject({
      /** Highest sum of one payment to others, in satoshis. */
      max_payment_sats: z.int().min(1).default(2_100_000_000_000_000),
      /** Highest fee of one payment, in satoshis. */
      max_fee_sats: z.int().min(1).default(1_000_000),
      /** Highest fee rate, in sat/vB. */
      max_fee_rate: z.number().min(1).default(500),
    })
    .prefault({}),
  core: z.strictObject({ threads: z.int().min(1).max(64).default(2) }).prefault({}),
  pool: pool.prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
});

export type NodeConfig = z.infer<typeof schema>;
type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that comes before `pool.<name>` of the file: for set-ups that share a file, and to try something out. */
export const poolVariable = (name: string): string => `THRESHOLD_POOL_${name.toUpperCase()}`;

/** Reads and checks a configuration; relative paths in it are taken from its own folder. @throws Refusal naming the setting. */
export function loadConfig(file: string, env: Environment = process.env): NodeConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new Refusal(
      'config_unreadable',
      '--config',
      `cannot read the configuration ${file}: ${(cause as Error).message}`,
      'give the path of a node.toml, as `threshold-wallet up` writes it',
    );
  }
  return parseConfig(text, file, env);
}

export function parseConfig(text: string, file: string, env: Environment = {}): NodeConfig {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (cause) {
    throw new Refusal(
      'config_syntax',
      file,
      `${file} is not valid TOML: ${(cause as Error).message}`,
      'correct the line that the message names',
    );
  }
  const result = schema.safeParse(withVariables(raw, env));
  if (!result.success) {
    const issue = result.error.issues[0]!;
    const variable = issue.path[0] === 'pool' ? poolVariable(String(issue.path[1])) : undefined;
    if (variable !== undefined && env[variable] !== undefined) {
      const remedy = 'correct or unset the variable; docs/operations.md lists all settings';
      throw new Refusal('config_invalid', variable, `${variable} = "${env[variable]}": ${issue.message}`, remedy);
    }
    const where = [...issue.path, ...(issue.code === 'unrecognized_keys' ? issue.keys : [])].map(String).join('.');
    throw new Refusal(
      'config_invalid',
      where,
      `${file}: ${where}: ${issue.message}`,
      'correct this setting; docs/operations.md lists all of them',
    );
  }
  const config = result.data;
  const ids = config.cluster.members.map((member) => member.id);
  const self = config.cluster.members.find((member) => member.id === config.node.id);
  const problem = (field: string, message: string, remedy: string) => new Refusal('config_invalid', field, `${file}: ${message}`, remedy);
  if (new Set(ids).size !== ids.length) throw problem('cluster.members', 'two members have the same id', 'give every member its own id');
  if (new Set(config.cluster.members.map((m) => m.identity)).size !== ids.length)
    throw problem('cluster.members', 'two members have the same identity key', 'every node makes its own identity key');
  if (self === undefined)
    throw problem(
      'node.id',
      `${config.node.id} is not one of the members ${ids.join(', ')}`,
      'add it to cluster.members or correct node.id',
    );
  if (config.cluster.threshold > ids.length)
    throw problem(
      'cluster.threshold',
      `threshold ${config.cluster.threshold} is above the ${ids.length} members`,
      'lower the threshold or add members',
    );

  const { target, low, max } = poolLevels(config.pool);
  if (target > 0 && low > target)
    throw problem('pool.low', `a refill below ${low} would never end at the target ${target}`, 'set pool.low to at most pool.target');
  if (target > max)
    throw problem('pool.max', `the target ${target} is above the largest size ${max}`, 'raise pool.max or lower pool.target');

  const base = dirname(resolve(file));
  const absolute = (p: string) => (isAbsolute(p) ? p : resolve(base, p));
  return {
    ...config,
    node: { ...config.node, data: absolute(config.node.data) },
    mesh: { ...config.mesh, key: absolute(config.mesh.key), chain: absolute(config.mesh.chain), root: absolute(config.mesh.root) },
    identity: { key: absolute(config.identity.key) },
    vault: { passphrase_file: absolute(config.vault.passphrase_file) },
    postgres: {
      url_file: absolute(config.postgres.url_file),
      ...(config.postgres.owner_url_file !== undefined && { owner_url_file: absolute(config.postgres.owner_url_file) }),
    },
    api: { ...config.api, token_public_key: absolute(config.api.token_public_key) },
  };
}

/** The levels of the pool with what is not set filled in. */
export function poolLevels({ target, low, max }: NodeConfig['pool']): { target: number; low: number; max: number } {
  return { target, low: low ?? Math.ceil((3 * target) / 4), max: max ?? Math.max(150, Math.ceil(1.5 * target)) };
}

/** The file's content with the settings of the pool that the environment gives; the schema judges both alike. */
function withVariables(raw: unknown, env: Environment): unknown {
  const names = new Map(Object.keys(pool.shape).map((name) => [poolVariable(name), name]));
  const given = Object.entries(env).flatMap(([variable, text]) => {
    if (!variable.startsWith(poolVariable('')) || text === undefined) return [];
    const name = names.get(variable);
    if (name === undefined) {
      const remedy = `unset it, or use one of ${[...names.keys()].join(', ')}`;
      throw new Refusal('config_invalid', variable, `there is no setting for the variable ${variable}`, remedy);
    }
    return [[name, /^\d+(\.\d+)?$/.test(text) ? Number(text) : text] as const];
  });
  if (given.length === 0 || typeof raw !== 'object' || raw === null) return raw;
  const { pool: inFile } = raw as { pool?: unknown };
  return { ...raw, pool: { ...(typeof inFile === 'object' ? inFile : {}), ...Object.fromEntries(given) } };
}
