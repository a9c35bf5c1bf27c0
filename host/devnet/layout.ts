/**
 * The data folder of a local cluster:
 *
 * ```
 * cluster/cluster.json    what the cluster is: id, size, threshold, ports       cluster/ca/        certificate authority
 * cluster/client.json     where the CLI finds it, while it runs                 cluster/admin.token, token.key, token.pub
 * node-1/node.toml …      configuration, certificate, identity, passphrase, vault/, burns of each node
 * postgres/  chain/       the embedded database server, the regtest chain       logs/              one file per process
 * ```
 */
import { join } from 'node:path';
import { z } from 'zod';
import { Refusal } from '../base/errors.ts';
import { readIfPresent } from '../storage/files.ts';

const port = z.int().min(1).max(65535);
const clusterSchema = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{64}$/),
  network: z.literal('regtest'),
  threshold: z.int().min(2).max(16),
  nodes: z
    .array(z.strictObject({ id: z.string(), api_port: port, mesh_port: port, identity: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(2)
    .max(16),
  chain_port: port,
  postgres_port: port,
  created_at: z.string(),
});
export type ClusterFile = z.infer<typeof clusterSchema>;

export interface Layout {
  readonly data: string;
  readonly cluster: string;
  readonly authority: string;
  readonly clientFile: string;
  readonly adminToken: string;
  readonly tokenKey: string;
  readonly tokenPublicKey: string;
  readonly postgres: string;
  readonly chain: string;
  readonly logs: string;
  readonly node: (id: string) => NodeFiles;
}
export interface NodeFiles {
  readonly dir: string;
  readonly config: string;
  readonly tlsKey: string;
  readonly tlsChain: string;
  readonly tlsRoot: string;
  readonly identity: string;
  readonly passphrase: string;
  readonly postgresUrl: string;
  readonly postgresOwnerUrl: string;
}

export function layout(data: string): Layout {
  const cluster = join(data, 'cluster');
  return {
    data,
    cluster: join(cluster, 'cluster.json'),
    authority: join(cluster, 'ca'),
    clientFile: join(cluster, 'client.json'),
    adminToken: join(cluster, 'admin.token'),
    tokenKey: join(cluster, 'token.key'),
    tokenPublicKey: join(cluster, 'token.pub'),
    postgres: join(data, 'postgres'),
    chain: join(data, 'chain'),
    logs: join(data, 'logs'),
    node: (id) => {
      const dir = join(data, id);
      return {
        dir,
        config: join(dir, 'node.toml'),
        tlsKey: join(dir, 'tls.key'),
        tlsChain: join(dir, 'tls.pem'),
        tlsRoot: join(dir, 'root.pem'),
        identity: join(dir, 'identity.pem'),
        passphrase: join(dir, 'vault.passphrase'),
        postgresUrl: join(dir, 'postgres.url'),
        postgresOwnerUrl: join(dir, 'postgres-owner.url'),
      };
    },
  };
}

/** The cluster of a data folder, or undefined when there is none yet. @throws Refusal for a file that is damaged or of another version. */
export async function readCluster(files: Layout): Promise<ClusterFile | undefined> {
  const bytes = await readIfPresent(files.cluster);
  if (bytes === undefined) return undefined;
  try {
    return clusterSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    const problem =
      cause instanceof z.ZodError ? `${cause.issues[0]?.path.join('.') ?? ''}: ${cause.issues[0]?.message ?? ''}` : 'not JSON';
    throw new Refusal(
      'cluster_file_broken',
      files.cluster,
      `${files.cluster} cannot be used: ${problem}`,
      'restore it from a backup, or start with another data folder (--data)',
      422,
    );
  }
}
