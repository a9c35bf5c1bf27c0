/** Real processes, real sockets, real kills. They run what `npm run build` made. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeCredentials } from '../pki/authority.ts';
import { hex } from '../base/bytes.ts';
import { createIdentity } from '../pki/identity.ts';
import { privateFolder } from '../storage/files.ts';
import { testCluster, until, type TestCluster } from './testing/cluster.ts';
import type { Command, NodeSettings, Report } from './testing/node-process.ts';

const PROGRAM = new URL('../../dist/host/mesh/testing/node-process.js', import.meta.url).pathname;
const N = 4;
let cluster: TestCluster;
let settings: NodeSettings[];

interface Node {
  readonly child: ChildProcess;
  status: Readonly<Record<string, string>>;
  readonly reports: Report[];
}
const nodes: Node[] = [];

beforeAll(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build`);
  cluster = await testCluster(N);
  const publicKeys: string[] = [];
  const folders = cluster.members.map(({ node }) => join(cluster.folder, node));
  for (const [i, folder] of folders.entries()) {
    await privateFolder(folder);
    publicKeys.push(hex((await createIdentity(join(folder, 'identity.key'), cluster.members[i]!.node)).publicKey));
    await writeCredentials(
      { key: join(folder, 'node.key'), chain: join(folder, 'node.pem'), root: join(folder, 'root.pem') },
      cluster.credentials(i),
    );
  }
  settings = folders.map((folder, i) => ({
    self: cluster.members[i]!.node,
    members: cluster.members,
    clusterId: cluster.clusterId,
    files: { key: join(folder, 'node.key'), chain: join(folder, 'node.pem'), root: join(folder, 'root.pem') },
    identity: join(folder, 'identity.key'),
    publicKeys,
  }));
});
afterAll(async () => {
  for (const { child } of nodes) child.kill('SIGKILL');
  await cluster.end();
});

function start(i: number): void {
  const child = fork(PROGRAM, [JSON.stringify(settings[i])], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const node: Node = { child, status: {}, reports: [] };
  child.on('message', (report: Report) => {
    if (report.is === 'peers') node.status = report.status;
    else node.reports.push(report);
  });
  nodes[i] = node;
}
const tell = (i: number, command: Command) => nodes[i]!.child.send(command);
const up = (i: number) => Object.values(nodes[i]!.status).filter((status) => status === 'active' || status === 'degraded').length;
const everybody = [0, 1, 2, 3];
const failures = () => nodes.flatMap(({ reports }) => reports.filter((report) => report.is === 'failed'));

async function allToAll(label: string): Promise<void> {
  for (const i of everybody) tell(i, { do: 'note', text: label });
  const from = (i: number) => nodes[i]!.reports.flatMap((report) => (report.is === 'note' && report.text === label ? [report.from] : []));
  await until(`every node heard ${label} from every other`, () => everybody.every((i) => from(i).length === N - 1), 20_000);
  for (const i of everybody)
    expect(from(i).sort()).toEqual(cluster.members.map(({ node }) => node).filter((node) => node !== settings[i]!.self));
}

/** Runs the protocol among `parties`; returns the results in their order. */
async function protocol(parties: readonly number[]): Promise<string[]> {
  const sid = randomBytes(32).toString('hex');
  const members = parties.map((i) => settings[i]!.self);
  for (const i of parties) tell(i, { do: 'run', sid, members });
  const result = (i: number) =>
    nodes[i]!.reports.find((report) => report.is === 'result' && report.sid === sid) as { value: string } | undefined;
  await until('every party has its result', () => parties.every((i) => result(i) !== undefined) || failures().length > 0, 30_000);
  expect(failures()).toEqual([]);
  return parties.map((i) => result(i)!.value);
}
const expected = (parties: number): string[] =>
  Array.from({ length: parties }, (_, me) => {
    const others = Array.from({ length: parties }, (_, j) => j).filter((j) => j !== me);
    return [...others, ...others].map((j) => j + 1).join('') + others.map((j) => `${j}>${me}`).join('');
  });

describe('four processes', () => {
  test('form a full mesh, talk all to all, and run a protocol of echo, broadcast and private rounds', async () => {
    for (const i of everybody) start(i);
    await until('the mesh is whole', () => everybody.every((i) => up(i) === N - 1), 40_000);
    await allToAll('first');
    expect(await protocol(everybody)).toEqual(expected(N));
    tell(3, { do: 'ask', to: 'node-1', n: 12 });
    await until('the answer came', () => nodes[3]!.reports.some((report) => report.is === 'answer' && report.value === 144));
  });

  test('a node killed with SIGKILL is noticed by all, the others work on, and restarted it is back in the mesh by itself', async () => {
    const exited = new Promise((resolve) => nodes[1]!.child.once('exit', resolve));
    nodes[1]!.child.kill('SIGKILL');
    await exited;
    const others = everybody.filter((i) => i !== 1);
    await until('the others see it dead', () => others.every((i) => nodes[i]!.status['node-2'] === 'dead'), 20_000);
    expect(others.map(up)).toEqual([N - 2, N - 2, N - 2]);
    expect(await protocol(others)).toEqual(expected(N - 1));
    start(1);
    await until('the mesh is whole again', () => everybody.every((i) => up(i) === N - 1), 40_000);
    await allToAll('again');
    expect(await protocol(everybody)).toEqual(expected(N));
  });

  test('stop in order when told', async () => {
    const codes = Promise.all(nodes.map(({ child }) => new Promise((resolve) => child.once('exit', resolve))));
    for (const i of everybody) tell(i, { do: 'stop' });
    expect(await codes).toEqual([0, 0, 0, 0]);
    expect(failures()).toEqual([]);
  });
});
