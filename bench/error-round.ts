/**
 * One error round at full strength: `npm run bench:error-round [-- --signers T] [-- --sum delta|chi]`. Signers in one process, connected by the real mesh and
 * under the limits of a node's sessions, presign; one of them adds 1 to its summand. Prints what the round costs in time and bytes, and what the file of
 * evidence does: `threshold-wallet evidence verify` judges the file that it leaves.
 */
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Fault } from '../host/base/errors.ts';
import { systemRandom as random } from '../host/base/random.ts';
import { miscounting } from '../host/cggmp24/testing/parties.ts';
import { ERROR_ROUNDS } from '../host/cggmp24/identify.ts';
import { sessionId, signingBinding } from '../host/cggmp24/session.ts';
import { presign } from '../host/cggmp24/presign.ts';
import { LocalIdentity, Roster, sessionIdentity } from '../host/consensus/identity.ts';
import { createCore } from '../host/core/index.ts';
import { accountable, verifyEvidence } from '../host/evidence/index.ts';
import { createSessionHub } from '../host/mesh/sessions.ts';
import { testCluster, until, whole } from '../host/mesh/testing/cluster.ts';
import { productionParameters as parameters } from '../host/proofs/parameters.ts';
import { createRounds } from '../host/protocol/rounds.ts';
import { SESSION_LIMITS } from '../host/wallet/signer.ts';
import { everybody, freshNonce, group } from './group.ts';

const { values } = parseArgs({
  options: {
    signers: { type: 'string', default: '4' },
    sum: { type: 'string', default: 'chi' },
    file: { type: 'string' },
  },
});
const t = Number(values.signers);
const LIAR = 1;
const which = values.sum === 'delta' ? 0 : 1;

const core = await createCore();
const { keys, aux } = await group(t, Math.min(t + 1, 9));
const cluster = await testCluster(t);
const meshes = everybody(t).map((index) => cluster.mesh(index));
try {
  const hubs = meshes.map((mesh) => createSessionHub(mesh));
  await Promise.all(meshes.map((mesh) => mesh.start()));
  await until('all links are up', () => whole(meshes));
  const nodes = meshes.map(({ self }) => LocalIdentity.generate(self));
  const roster = new Roster(nodes);
  const signers = everybody(t);
  const parties = nodes.map(({ nodeId }) => nodeId);
  const identities = nodes.map(({ publicKey }) => publicKey);
  const binding = signingBinding({
    protocol: 'presign',
    signers,
    key: keys[0]!,
    aux: aux[0]!,
    parameters,
    nonce: freshNonce(),
    identities,
  });
  const session = { binding, signers, publicShares: keys[0]!.X, aux: aux[0]!.parties };
  const sid = sessionId(binding);
  console.log(`${t} signers, wrong ${values.sum}; ${cpus()[0]!.model}, ${cpus().length} threads, load ${loadavg()[0]!.toFixed(1)}, Node ${process.version}`); // prettier-ignore

  const begun = performance.now();
  let failed = Infinity;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const before = process.cpuUsage();
  let cpu = before;
  const outcomes = await Promise.all(
    hubs.map(async (hub, me) => {
      const channel = hub.open({ sid, members: parties, class: 'signing', ...SESSION_LIMITS.interactive });
      const sizes = new Map<string, number>();
      const counted = {
        receive: channel.receive.bind(channel),
        send(to: number, round: string, message: Uint8Array) {
          if (round.startsWith(ERROR_ROUNDS)) sizes.set(round, message.length);
          channel.send(to, round, message);
        },
      };
      const tracer = {
        round: () => undefined,
        work: (name: string) => {
          if (name.startsWith('error round')) failed = Math.min(failed, performance.now());
        },
      };
      const identity = sessionIdentity(nodes[me]!, roster, parties);
      const rounds = createRounds({ sid, me, n: t, channel: counted, identity, tracer });
      const own = me === LIAR ? miscounting(core, which) : core;
      let last = 0;
      try {
        await accountable({ rounds, session, core: own, random }, async (r) => {
          try {
            return await presign({ rounds: r, signers, key: keys[me]!, aux: aux[me]!, random, core: own, parameters });
          } finally {
            last = performance.now();
          }
        });
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        channel.abort(error.message);
        if (me !== LIAR) cpu = process.cpuUsage(before);
        return { me, error, sizes, last, end: performance.now() };
      }
      throw new Error(`party ${me} saw no fault`);
    }),
  );
  const { user, system } = cpu;
  console.log(`until the sum failed: ${seconds(failed - begun)}`);
  for (const { me, error, last, end, sizes } of outcomes) {
    const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    console.log(`party ${me}${me === LIAR ? ' (the liar)' : ''}: named ${error.culprits.join(', ') || 'nobody'} after ${seconds(last - failed)}, file after ${seconds(end - last)}; ${sizes.size} messages of ${total} bytes to each peer, the largest ${Math.max(...sizes.values())}`); // prettier-ignore
  }
  console.log(`processor time of all parties until the last honest one was done: ${seconds((user + system) / 1000)}`);
  const file = outcomes.find(({ me }) => me !== LIAR)!.error.evidence.files![0]!;
  const judged = performance.now();
  const verdict = await verifyEvidence(file, { core });
  console.log(`the file has ${file.length} bytes; judged in ${seconds(performance.now() - judged)}: ${JSON.stringify(verdict)}`);
  if (values.file !== undefined) await writeFile(values.file, file);
} finally {
  await cluster.end();
  await core.close();
}
