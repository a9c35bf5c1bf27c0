import { describe, expect, test } from 'vitest';
import { parseConfig, poolLevels } from './config.ts';

const identity = (n: number) => n.toString(16).padStart(64, '0');
const toml = (edit: (text: string) => string = (text) => text, env: Record<string, string> = {}) =>
  parseConfig(
    edit(`
version = 1
node = { id = "node-1", data = "." }
cluster = { id = "${'ab'.repeat(32)}", network = "regtest", threshold = 2, members = [
  { id = "node-1", host = "127.0.0.1", port = 9001, identity = "${identity(1)}" },
  { id = "node-2", host = "127.0.0.1", port = 9002, identity = "${identity(2)}" },
] }
mesh = { host = "127.0.0.1", port = 9001, key = "tls.key", chain = "tls.pem", root = "/etc/root.pem" }
identity = { key = "identity.pem" }
vault = { passphrase_file = "passphrase" }
postgres = { url_file = "postgres.url" }
bitcoin = { esplora_url = "http://127.0.0.1:8180" }
api = { host = "127.0.0.1", port = 8081, token_public_key = "token.pem" }
`),
    '/srv/node-1/node.toml',
    env,
  );

describe('node configuration', () => {
  test('paths are taken from the folder of the file, defaults are filled in', () => {
    const config = toml();
    expect(config.mesh.key).toBe('/srv/node-1/tls.key');
    expect(config.mesh.root).toBe('/etc/root.pem');
    expect(config.pool.target).toBe(20);
    expect(config.policy.max_fee_sats).toBe(1_000_000);
    expect(config.pool.derived_keys).toBe('re-randomised');
  });

  test.each([
    ['a misspelt key', (t: string) => t.replace('esplora_url', 'esplora_ulr'), 'bitcoin'],
    ['an unknown network', (t: string) => t.replace('"regtest"', '"mainet"'), 'cluster.network'],
    ['a threshold above the members', (t: string) => t.replace('threshold = 2', 'threshold = 3'), 'cluster.threshold'],
    ['a threshold of one', (t: string) => t.replace('threshold = 2', 'threshold = 1'), 'cluster.threshold'],
    ['a port out of range', (t: string) => t.replace('port = 8081', 'port = 70000'), 'api.port'],
    ['a member named twice', (t: string) => t.replace('id = "node-2"', 'id = "node-1"'), 'cluster.members'],
    ['one identity for two members', (t: string) => t.replace(identity(2), identity(1)), 'cluster.members'],
    ['a node that is not a member', (t: string) => t.replace('node = { id = "node-1"', 'node = { id = "node-9"'), 'node.id'],
    ['an identity that is no key', (t: string) => t.replace(identity(2), 'xyz'), 'cluster.members.1.identity'],
    ['a refill that begins above its target', (t: string) => `${t}\npool = { target = 10, low = 11 }`, 'pool.low'],
    ['a target above the largest size', (t: string) => `${t}\npool = { target = 10, max = 9 }`, 'pool.max'],
    ['an unknown profile', (t: string) => `${t}\npool = { derived_keys = "fast" }\n`, 'pool.derived_keys'],
    ['broken TOML', (t: string) => t.replace('version = 1', 'version = ='), '/srv/node-1/node.toml'],
  ])('%s is refused by name, with a remedy', (_name, edit, field) => {
    expect(() => toml(edit)).toThrow(
      expect.objectContaining({ name: 'Refusal', field: expect.stringContaining(field), remedy: expect.stringMatching(/.+/) }),
    );
  });

  test('levels of the pool follow its target where they are not set', () => {
    const levels = (pool: string) => poolLevels(toml((t) => `${t}\npool = ${pool}`).pool);
    expect(levels('{}')).toEqual({ target: 20, low: 15, max: 150 });
    expect(levels('{ target = 200 }')).toEqual({ target: 200, low: 150, max: 300 });
    expect(levels('{ target = 100, low = 20, max = 150 }')).toEqual({ target: 100, low: 20, max: 150 });
    expect(levels('{ target = 0 }')).toEqual({ target: 0, low: 0, max: 150 });
  });

  test('settings of the pool in the environment come before those of the file, and are checked alike', () => {
    const env = { THRESHOLD_POOL_TARGET: '100', THRESHOLD_POOL_CHECK_SECONDS: '1.5', THRESHOLD_POOL_ON_EMPTY: 'wait', PATH: '/bin' };
    expect(toml((t) => `${t}\npool = { target = 10, batch = 7 }`, env).pool).toMatchObject({
      target: 100,
      batch: 7,
      check_seconds: 1.5,
      on_empty: 'wait',
    });
    for (const [name, value] of [
      ['TARGET', '-1'],
      ['TARGET', 'many'],
      ['ON_EMPTY', 'sometimes'],
      ['DERIVED_KEYS', 'yes'],
      ['TARGT', '10'],
    ] as const) {
      const field = `THRESHOLD_POOL_${name}`;
      expect(() => toml((t) => t, { [field]: value })).toThrow(expect.objectContaining({ name: 'Refusal', field }));
    }
  });
});
