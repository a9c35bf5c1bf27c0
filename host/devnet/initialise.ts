/** Makes a data folder for a local cluster: authority, certificates, identities, passphrases, API tokens, configurations. */
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { createTokenKey, issueToken } from '../api/tokens.ts';
import { hex, utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { createAuthority, issueNode, writeCredentials } from '../pki/authority.ts';
import { createIdentity } from '../pki/identity.ts';
import { onFile, privateFolder, writeDurably } from '../storage/files.ts';
import type { ClusterFile, Layout } from './layout.ts';

export interface ClusterShape {
  readonly nodes: number;
  readonly threshold: number;
  readonly apiPort: number;
  readonly meshPort: number;
  readonly chainPort: number;
  readonly postgresPort: number;
}

const LOOPBACK = '127.0.0.1';
const TOKEN_DAYS = 365;

/** @throws Refusal when the folder is not writable, or holds something else. */
export async function initialiseCluster(files: Layout, shape: ClusterShape): Promise<ClusterFile> {
  const found = await onFile(files.data, () => readdir(files.data));
  if (found.length > 0) {
    throw new Refusal(
      'data_folder_not_empty',
      '--data',
      `${files.data} is not empty and holds no cluster (cluster/cluster.json is missing)`,
      'choose an empty or new folder; if an earlier start was interrupted while it made this one, delete it',
      409,
    );
  }
  const ids = Array.from({ length: shape.nodes }, (_, i) => `node-${i + 1}`);
  for (const dir of [join(files.data, 'cluster'), files.logs, ...ids.map((id) => files.node(id).dir)]) await privateFolder(dir);

  const authority = await createAuthority(files.authority);
  const nodes: ClusterFile['nodes'] = [];
  for (const [i, id] of ids.entries()) {
    const own = files.node(id);
    await writeCredentials(
      { key: own.tlsKey, chain: own.tlsChain, root: own.tlsRoot },
      await issueNode({ authority, nodeId: id, hosts: [LOOPBACK] }),
    );
    const identity = await createIdentity(own.identity, id);
    await writeDurably(own.passphrase, utf8(randomBytes(32).toString('base64url')));
    nodes.push({ id, api_port: shape.apiPort + i, mesh_port: shape.meshPort + i, identity: hex(identity.publicKey) });
  }

  const token = await createTokenKey();
  await writeDurably(files.tokenKey, utf8(token.privateKeyPem));
  await writeDurably(files.tokenPublicKey, utf8(token.publicKeyPem));
  await renewAdminToken(files, token.privateKeyPem);

  const cluster: ClusterFile = {
    version: 1,
    id: randomBytes(32).toString('hex'),
    network: 'regtest',
    threshold: shape.threshold,
    nodes,
    chain_port: shape.chainPort,
    postgres_port: shape.postgresPort,
    created_at: new Date().toISOString(),
  };
  for (const node of nodes) await writeDurably(files.node(node.id).config, utf8(nodeToml(files, cluster, node)));
  // Last: a folder counts as a cluster from here on.
  await writeDurably(files.cluster, utf8(`${JSON.stringify(cluster, null, 2)}\n`));
  return cluster;
}

/** A token with all rights, for the owner of the data folder. */
export async function renewAdminToken(files: Layout, privateKeyPem: string): Promise<void> {
  const token = await issueToken({
    privateKeyPem,
    subject: 'local-admin',
    roles: ['admin'],
    wallets: '*',
    ttlSeconds: TOKEN_DAYS * 86_400,
  });
  await writeDurably(files.adminToken, utf8(token));
}

/** Paths are relative to the node's own folder, so that the data folder can be moved. */
function nodeToml(files: Layout, cluster: ClusterFile, node: ClusterFile['nodes'][number]): string {
  const own = files.node(node.id);
  const relative = (path: string) =>
    path.startsWith(own.dir) ? path.slice(own.dir.length + 1) : `../${path.slice(files.data.length + 1)}`;
  const config = stringify({
    version: 1,
    node: { id: node.id, data: '.' },
    cluster: {
      id: cluster.id,
      network: cluster.network,
      threshold: cluster.threshold,
      members: cluster.nodes.map((member) => ({ id: member.id, host: LOOPBACK, port: member.mesh_port, identity: member.identity })),
    },
    mesh: { host: LOOPBACK, port: node.mesh_port, key: relative(own.tlsKey), chain: relative(own.tlsChain), root: relative(own.tlsRoot) },
    identity: { key: relative(own.identity) },
    vault: { passphrase_file: relative(own.passphrase) },
    postgres: { url_file: relative(own.postgresUrl), owner_url_file: relative(own.postgresOwnerUrl) },
    bitcoin: { esplora_url: `http://${LOOPBACK}:${cluster.chain_port}`, poll_seconds: 1 },
    api: { host: LOOPBACK, port: node.api_port, token_public_key: relative(files.tokenPublicKey), rate_per_second: 100, burst: 200 },
    pool: { target: 10, batch: 10 },
    core: { threads: 2 },
  });
  return `# ${node.id} of the local cluster. All settings: docs/operations.md.\n${config}\n`;
}
