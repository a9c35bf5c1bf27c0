import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';

const identity = (n: number) => n.toString(16).padStart(64, '0');
const toml = (edit: (text: string) => string = (text) => text) =>
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
  );

describe('node configuration', () => {
  test('paths are taken from the folder of the file, defaults are filled in', () => {
    const config = toml();
    expect(config.mesh.key).toBe('/srv/node-1/tls.key');
    expect(config.mesh.root).toBe('/etc/root.pem');
    expect(config.pool.target).toBe(20);
    expect(config.policy.max_fee_sats).toBe(1_000_000);
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
    ['broken TOML', (t: string) => t.replace('version = 1', 'version = ='), '/srv/node-1/node.toml'],
  ])('%s is refused by name, with a remedy', (_name, edit, field) => {
    expect(() => toml(edit)).toThrow(
      expect.objectContaining({ name: 'Refusal', field: expect.stringContaining(field), remedy: expect.stringMatching(/.+/) }),
    );
  });
});
