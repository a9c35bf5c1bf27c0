/**
 * Configuration → one running node. The only place that constructs things: everything else is handed what it needs.
 * Order: secrets and storage, then the arithmetic core, then the mesh, then the API; the reverse when it ends.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createApi } from '../api/server.ts';
import { fromHex, hex } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { Esplora } from '../bitcoin/esplora.ts';
import { DEFAULT_FEE_POLICY, feeRate } from '../bitcoin/fees.ts';
import { Roster } from '../consensus/identity.ts';
import { createCore } from '../core/index.ts';
import { SafePrimes } from '../core/primes.ts';
import { createCalls } from '../mesh/calls.ts';
import { createMesh } from '../mesh/mesh.ts';
import { installProcessGuard } from '../mesh/process-guard.ts';
import { createSessionHub } from '../mesh/sessions.ts';
import { readCredentials } from '../pki/authority.ts';
import { openIdentity } from '../pki/identity.ts';
import { productionParameters } from '../proofs/parameters.ts';
import { openBurnJournal } from '../storage/burns.ts';
import { privateFolder, writeDurably } from '../storage/files.ts';
import { migrate } from '../storage/migrate.ts';
import { openRecords } from '../storage/records/index.ts';
import { createVault, openVault, vaultExists } from '../storage/vault.ts';
import { EventBus } from '../wallet/events.ts';
import { createWalletNode } from '../wallet/node.ts';
import { VERSION } from '../base/version.ts';
import { loadConfig, poolLevels, type NodeConfig } from './config.ts';
import { createLogger } from './logger.ts';

/** Resolves with the exit code when the node has ended: 0 after SIGTERM or SIGINT. @throws Refusal for a configuration that cannot work. */
export async function startNode(configPath: string): Promise<number> {
  const config = loadConfig(configPath);
  const logger = createLogger(config.node.id, config.log.level);
  const undo: (() => Promise<unknown>)[] = [];
  /** Why the node ends: a signal, or a defect that left it in a state nobody thought of. */
  const ending = new Promise<{ code: number; cause: string }>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve({ code: 0, cause: name }));
    installProcessGuard({
      logger,
      onDefect: (error) => {
        logger.error({ error }, 'an error that nothing handled: the node ends, and what it was doing with it');
        resolve({ code: 1, cause: 'defect' });
      },
    });
  });
  try {
    await construct(config, logger, undo);
    logger.info({ api: config.api.port, mesh: config.mesh.port }, 'node is up');
    const { code, cause } = await ending;
    logger.info({ cause }, 'node is stopping');
    return code;
  } finally {
    for (const step of undo.reverse()) await step().catch((error: unknown) => logger.error({ error }, 'while stopping'));
  }
}

async function construct(config: NodeConfig, logger: ReturnType<typeof createLogger>, undo: (() => Promise<unknown>)[]): Promise<void> {
  const { id } = config.node;
  const identity = await openIdentity(config.identity.key, id);
  const listed = config.cluster.members.find((member) => member.id === id)!.identity;
  if (hex(identity.publicKey) !== listed) {
    throw new Refusal(
      'identity_mismatch',
      'identity.key',
      `${config.identity.key} is not the identity that cluster.members lists for ${id}`,
      'restore the right key file, or correct cluster.members on every node',
      422,
    );
  }
  const credentials = await readCredentials({ key: config.mesh.key, chain: config.mesh.chain, root: config.mesh.root }, id);

  const vaultFolder = join(config.node.data, 'vault');
  const passphrase = await passphraseOf(config);
  const vault = (await vaultExists(vaultFolder)) ? await openVault(vaultFolder, passphrase) : await createVault(vaultFolder, passphrase);
  undo.push(() => vault.close());
  const burns = await openBurnJournal(join(config.node.data, 'burns', 'presignatures'));
  undo.push(() => burns.close());
  const seen = await openBurnJournal(join(config.node.data, 'burns', 'nonce-points'));
  undo.push(() => seen.close());

  if (config.postgres.owner_url_file !== undefined) {
    const url = await secretText(config.postgres.owner_url_file, 'postgres.owner_url_file');
    const applicationRole = decodeURIComponent(new URL(await secretText(config.postgres.url_file, 'postgres.url_file')).username);
    await migrate({ url, applicationRole });
  }
  const records = openRecords({ url: await secretText(config.postgres.url_file, 'postgres.url_file'), nodeId: id });
  undo.push(() => records.close());

  const core = await createCore({ threads: config.core.threads });
  undo.push(() => core.close());

  const esplora = new Esplora({ url: config.bitcoin.esplora_url, network: config.cluster.network });
  undo.push(() => esplora.close());

  const mesh = createMesh({
    self: id,
    members: config.cluster.members.map(({ id: node, host, port }) => ({ node, host, port })),
    clusterId: config.cluster.id,
    tls: credentials,
    listen: { host: config.mesh.host, port: config.mesh.port },
    logger,
  });
  const evidence = join(config.node.data, 'evidence');
  const wallet = await createWalletNode({
    evidence: {
      async write(name, file) {
        await privateFolder(evidence);
        await writeDurably(join(evidence, name), file);
      },
    },
    self: id,
    members: config.cluster.members.map((member) => member.id),
    clusterId: fromHex(config.cluster.id),
    roster: new Roster(config.cluster.members.map((member) => ({ nodeId: member.id, publicKey: fromHex(member.identity) }))),
    network: config.cluster.network,
    threshold: config.cluster.threshold,
    version: VERSION,
    parameters: productionParameters,
    identity,
    mesh,
    sessions: createSessionHub(mesh),
    calls: createCalls(mesh, { logger }),
    core,
    primes: new SafePrimes(core, productionParameters.primeBits, core.pool.threads),
    random: systemRandom,
    clock: Date.now,
    vault,
    burns,
    seen,
    records,
    esplora,
    policy: {
      ...DEFAULT_FEE_POLICY,
      maxFee: BigInt(config.policy.max_fee_sats),
      maxFeeRate: feeRate(config.policy.max_fee_rate),
      maxPayment: BigInt(config.policy.max_payment_sats),
      minConfirmations: 1,
      maxInputs: 50,
      maxRecipients: 50,
    },
    pool: {
      ...poolLevels(config.pool),
      batch: config.pool.batch,
      checkMs: config.pool.check_seconds * 1000,
      maxAgeMs: config.pool.max_age_hours * 3_600_000,
      onEmpty: config.pool.on_empty,
      primes: config.pool.primes,
    },
    derivedKeys: config.pool.derived_keys,
    pollMs: config.bitcoin.poll_seconds * 1000,
    events: new EventBus(),
    logger,
  });
  await mesh.start();
  undo.push(() => mesh.stop());
  wallet.start();
  undo.push(() => wallet.stop());

  const api = await createApi({
    service: wallet.service,
    auth: {
      publicKeyPem: await secretText(config.api.token_public_key, 'api.token_public_key'),
      issuer: config.api.issuer,
      audience: config.api.audience,
    },
    host: config.api.host,
    port: config.api.port,
    logger,
    version: VERSION,
    limits: { rate: { perSecond: config.api.rate_per_second, burst: config.api.burst } },
    nodeName: (party) => config.cluster.members[party]?.id ?? `party ${party}`,
  });
  undo.push(() => api.close());
}

/** From the file of the configuration, or from the environment for set-ups that inject secrets that way. */
async function passphraseOf(config: NodeConfig): Promise<string> {
  return process.env['THRESHOLD_VAULT_PASSPHRASE'] ?? (await secretText(config.vault.passphrase_file, 'vault.passphrase_file'));
}

async function secretText(path: string, setting: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new Refusal(
      'secret_unreadable',
      setting,
      `cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`,
      `put the file there, readable for the user that runs the node, or correct ${setting}`,
    );
  }
}
