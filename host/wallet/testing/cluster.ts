/**
 * Nodes of one cluster in one process. Everything is real (vaults, journals, records, chain, arithmetic, protocols) but the network between the
 * nodes, whose links a test cuts and silences, the clock, which a test can move on, and what a node that a test makes misbehave answers or computes.
 * With `meshes` the network is real too.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modPow } from 'bigint-crypto-utils';
import { request } from 'undici';
import { encode } from '../../base/codec.ts';
import { Unavailable } from '../../base/errors.ts';
import { below, systemRandom } from '../../base/random.ts';
import { DEFAULT_PAYMENT_POLICY } from '../../bitcoin/coins.ts';
import { Esplora } from '../../bitcoin/esplora.ts';
import { auxHash, auxInfo, type AuxInfo } from '../../cggmp24/aux-record.ts';
import { LocalIdentity, Roster } from '../../consensus/identity.ts';
import { createCore } from '../../core/index.ts';
import type { Core } from '../../core/types.ts';
import { startChain, type RunningChain } from '../../devnet/chain.ts';
import { createCalls, type Calls } from '../../mesh/calls.ts';
import { createSessionHub } from '../../mesh/sessions.ts';
import { memoryMesh, type MemoryMesh } from '../../mesh/testing/memory-mesh.ts';
import type { Mesh, NodeId } from '../../mesh/types.ts';
import { testParameters } from '../../proofs/parameters.ts';
import { safePrime } from '../../proofs/testing/instances.ts';
import { openBurnJournal, type BurnJournal } from '../../storage/burns.ts';
import { migrate } from '../../storage/migrate.ts';
import { openRecords, type Records } from '../../storage/records/index.ts';
import { scratch } from '../../storage/testing/children.ts';
import { embeddedServer, OUTSIDE_URL, outsideServer, type TestServer } from '../../storage/testing/postgres.ts';
import { createVault, openVault, vaultExists, type Vault } from '../../storage/vault.ts';
import type { Policy, WalletContext } from '../context.ts';
import { EventBus } from '../events.ts';
import { committeeId } from '../keyring.ts';
import { createWalletNode, type WalletNode } from '../node.ts';
import type { TransactionInfo, TransactionState, WalletService } from '../types.ts';
import { startBackend, type Backend } from './backend.ts';

const PASSPHRASE = 'a passphrase of the tests';
const PRIMES_PER_NODE = 4;

/** Answers a call in the place of a node; `honest` is what the node itself would answer. */
export type Misbehaviour = (from: NodeId, request: unknown, honest: () => Promise<unknown>) => Promise<unknown>;

export interface TestNode {
  readonly id: NodeId;
  readonly identity: LocalIdentity;
  readonly folder: string;
  readonly ownerUrl: string;
  readonly superuserUrl: string;
  readonly backend: Backend;
  /** Every line of its log, as JSON. */
  readonly log: string[];
  /** By method. */
  readonly misbehaves: Map<string, Misbehaviour>;
  /** Every call that it was asked, by method. */
  readonly asked: { readonly from: NodeId; readonly method: string; readonly request: unknown }[];
  policy: Policy;
  pool: WalletContext['pool'];
  derivedKeys: WalletContext['derivedKeys'];
  // Of the running node; replaced when it is restarted.
  context: WalletContext;
  service: WalletService;
  calls: Calls;
  vault: Vault;
  burns: BurnJournal;
  records: Records;
}

export interface TestCluster {
  readonly nodes: readonly TestNode[];
  readonly net: MemoryMesh;
  readonly chainUrl: string;
  readonly core: Core;
  /** Milliseconds by which the clocks of all nodes are ahead. */
  ahead: number;
  /** No frame leaves or reaches a silent node, though its links look alive. */
  silence(index: number, silent: boolean): void;
  /** Links of a node to all others. */
  link(index: number, up: boolean): void;
  fund(address: string, ...amounts: number[]): Promise<void>;
  mine(blocks?: number): Promise<void>;
  stop(index: number): Promise<void>;
  restart(index: number): Promise<void>;
  close(): Promise<void>;
}

export interface ClusterOptions {
  readonly n: number;
  readonly t: number;
  /** Whether auxiliary information is put into the vaults at the start, instead of being made by its ceremony. */
  readonly dealAux?: boolean;
  readonly poolTarget?: number;
  /** Of nodes `node-1` …, started before and stopped after the cluster by whoever made them; links cannot be cut then. */
  readonly meshes?: readonly Mesh[];
  /** The arithmetic of a node that computes something else than the others. */
  readonly coreOf?: (index: number, core: Core) => Core;
}

export const RECIPIENT = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const POLICY: Policy = { ...DEFAULT_PAYMENT_POLICY, maxPayment: 1_000_000_000n };

export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const { n, t, dealAux = true, poolTarget = 0, coreOf = (_, same) => same } = options;
  const root = await scratch();
  const [server, chain, core] = await Promise.all([
    OUTSIDE_URL === undefined ? embeddedServer() : outsideServer(OUTSIDE_URL),
    mkdir(join(root, 'chain')).then(() => startChain({ port: 0, host: '127.0.0.1', dataDir: join(root, 'chain') })),
    createCore({ threads: 2 }),
  ]);
  const net = memoryMesh(n);
  const silent = new Set<NodeId>();
  net.intercept((from, to, frame) => (silent.has(from) || silent.has(to) ? [] : [frame]));
  const identities = Array.from({ length: n }, (_, i) => LocalIdentity.generate(`node-${i + 1}`));
  const roster = new Roster(identities);
  const members = identities.map(({ nodeId }) => nodeId);
  const clusterId = systemRandom.bytes(32);
  const running = new Map<NodeId, { wallet: WalletNode; stop(): Promise<void> }>();

  const cluster: TestCluster = {
    nodes: [],
    net,
    chainUrl: chain.url,
    core,
    ahead: 0,
    silence(index, quiet) {
      if (quiet) silent.add(members[index]!);
      else silent.delete(members[index]!);
    },
    link(index, up) {
      for (const other of members.keys()) if (other !== index) net.link(index, other, up);
    },
    async fund(address, ...amounts) {
      for (const amount of amounts) await post(chain, '/regtest/fund', { address, amount_sats: amount });
    },
    mine: (blocks = 1) => post(chain, '/regtest/mine', { blocks }),
    async stop(index) {
      const id = members[index]!;
      // In the order of a node that is told to end: what it tells last is heard.
      await running.get(id)!.stop();
      cluster.link(index, false);
      running.delete(id);
    },
    async restart(index) {
      const node = cluster.nodes[index]!;
      if (running.has(node.id)) await cluster.stop(index);
      await run(node);
      cluster.link(index, true);
    },
    async close() {
      for (const index of members.keys()) if (running.has(members[index]!)) await cluster.stop(index);
      await Promise.all(cluster.nodes.map((node) => node.backend.close()));
      await Promise.all([server.stop(), chain.close(), core.close()]);
      await rm(root, { recursive: true, force: true });
    },
  };

  async function run(node: TestNode): Promise<void> {
    const index = members.indexOf(node.id);
    const vaultFolder = join(node.folder, 'vault');
    const evidence = join(node.folder, 'evidence');
    await mkdir(evidence, { recursive: true });
    const vault = (await vaultExists(vaultFolder)) ? await openVault(vaultFolder, PASSPHRASE) : await createVault(vaultFolder, PASSPHRASE);
    const burns = await openBurnJournal(join(node.folder, 'burns', 'presignatures'));
    const seen = await openBurnJournal(join(node.folder, 'burns', 'nonce-points'));
    const records = openRecords({ url: (node as TestNode & { url: string }).url, nodeId: node.id });
    const esplora = new Esplora({ url: node.backend.url, network: 'regtest', backoffMs: 1, feeCacheMs: 0 });
    const life = { over: false };
    const mesh = lifeOf((options.meshes ?? net.meshes)[index]!, life);
    const calls = misbehaving(createCalls(mesh), node);
    let primes = 0;
    const log = (level: string) => (fields: object, message: string) => void node.log.push(line(level, fields, message));
    const context: WalletContext = {
      self: node.id,
      members,
      clusterId,
      network: 'regtest',
      threshold: t,
      version: 'test',
      parameters: testParameters,
      roster,
      identity: node.identity,
      mesh,
      sessions: createSessionHub(mesh),
      calls,
      core: coreOf(index, core),
      primes: { next: async () => safePrime(1024, PRIMES_PER_NODE * index + (primes++ % PRIMES_PER_NODE)) },
      random: systemRandom,
      clock: () => Date.now() + cluster.ahead,
      vault,
      burns,
      seen,
      records,
      esplora,
      get policy() {
        return node.policy;
      },
      pool: node.pool,
      get derivedKeys() {
        return node.derivedKeys;
      },
      pollMs: 150,
      evidence: { write: (name, file) => writeFile(join(evidence, name), file) },
      events: new EventBus(),
      logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    };
    const wallet = await createWalletNode(context);
    wallet.start();
    Object.assign(node, { context, service: wallet.service, calls, vault, burns, records });
    running.set(node.id, {
      wallet,
      async stop() {
        await wallet.stop();
        life.over = true;
        await Promise.all([esplora.close(), records.close(), burns.close(), seen.close()]);
        await vault.close();
      },
    });
  }

  const dealt = dealAux ? deal(n) : undefined;
  for (const identity of identities) {
    const folder = join(root, identity.nodeId);
    await mkdir(folder, { mode: 0o700 });
    const { url, ownerUrl, superuserUrl } = await database(server);
    const node = {
      id: identity.nodeId,
      identity,
      folder,
      url,
      ownerUrl,
      superuserUrl,
      backend: await startBackend(chain.url),
      log: [],
      misbehaves: new Map(),
      asked: [],
      policy: POLICY,
      pool: {
        target: poolTarget,
        low: poolTarget,
        max: 150,
        batch: 10,
        checkMs: 3_600_000,
        maxAgeMs: 86_400_000,
        onEmpty: 'interactive',
        primes: 0,
      },
      derivedKeys: 're-randomised',
    } as unknown as TestNode;
    (cluster.nodes as TestNode[]).push(node);
    if (dealt !== undefined) {
      const vault = await createVault(join(folder, 'vault'), PASSPHRASE);
      await vault.put('aux-info', committeeId(members), encode(auxInfo(testParameters), dealt[members.indexOf(node.id)]!));
      await vault.close();
    }
    await run(node);
  }
  return cluster;
}

async function database(server: TestServer): Promise<{ url: string; ownerUrl: string; superuserUrl: string }> {
  const { url, ownerUrl, superuserUrl, applicationRole } = await server.newDatabase();
  await migrate({ url: ownerUrl, applicationRole });
  return { url, ownerUrl, superuserUrl };
}

async function post(chain: RunningChain, path: string, body: object): Promise<void> {
  const answer = await request(`${chain.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode} ${await answer.body.text()}`);
  await answer.body.dump();
}

/** The mesh of one run of a node: a run that is over hears and says nothing any more. */
const lifeOf = (mesh: Mesh, life: { over: boolean }): Mesh => ({
  ...mesh,
  send(to, frame) {
    if (life.over) throw new Unavailable(to, 'this node has ended', 'start it');
    mesh.send(to, frame);
  },
  onPeer: (listener) =>
    mesh.onPeer((node, status) => {
      if (!life.over) listener(node, status);
    }),
});

const misbehaving = (calls: Calls, node: TestNode): Calls => ({
  call: (to, method, request, options) => calls.call(to, method, request, options),
  tell: (to, method, notice, traffic) => calls.tell(to, method, notice, traffic),
  serve: (method, answer) =>
    calls.serve(method, (from, request) => {
      node.asked.push({ from, method: method.name, request });
      const replaced = node.misbehaves.get(method.name);
      const honest = () => answer(from, request);
      return replaced === undefined ? honest() : (replaced(from, request, honest) as ReturnType<typeof honest>);
    }),
});

/** Like the log of a node, but with the whole of every error: nothing secret may be in there either. */
const line = (level: string, fields: object, message: string): string =>
  JSON.stringify({ level, message, ...fields }, (_, value: unknown) => {
    if (value instanceof Error) return { ...value, message: value.message, stack: value.stack, cause: value.cause };
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    return typeof value === 'bigint' ? value.toString() : value;
  });

/** Auxiliary information without its ceremony, from published primes: four of them for each node, none used twice. */
function deal(n: number): AuxInfo[] {
  const secrets = Array.from({ length: n }, (_, j) => {
    const [p, q, hatP, hatQ] = Array.from({ length: PRIMES_PER_NODE }, (_, k) => safePrime(1024, PRIMES_PER_NODE * j + k));
    const hatN = hatP! * hatQ!;
    const t = modPow(below(systemRandom, hatN), 2n, hatN);
    const lambda = below(systemRandom, ((hatP! - 1n) * (hatQ! - 1n)) / 4n);
    return {
      paillier: { n: p! * q!, p: p!, q: q! },
      pedersen: { n: hatN, s: modPow(t, lambda, hatN), t, p: hatP!, q: hatQ!, lambda },
    };
  });
  const parties = secrets.map(({ paillier, pedersen: { n: hatN, s, t } }) => ({
    paillier: { n: paillier.n },
    pedersen: { n: hatN, s, t },
  }));
  return secrets.map((secret, index) => ({
    version: 1,
    parameters: testParameters.name,
    index,
    secret,
    parties,
    hash: auxHash(parties),
  }));
}

/** Waits until `look` gives something; looks again after every few milliseconds. */
export async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false, what: string, ms = 20_000): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** The payment as `node` records it, once it is in one of `states`. */
export const inState = (node: TestNode, txId: string, ...states: TransactionState[]): Promise<TransactionInfo> =>
  until(
    async () => {
      const transaction = await node.service.transaction(txId).catch(() => undefined);
      return transaction !== undefined && states.includes(transaction.state) ? transaction : undefined;
    },
    `payment ${txId} to be ${states.join(' or ')} at ${node.id}`,
  );
