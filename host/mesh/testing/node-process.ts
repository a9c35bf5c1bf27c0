/**
 * One node of the process tests: a mesh, a session hub and calls, driven over the channel of `fork`. It takes its settings as JSON in the first
 * argument, sends what happens, and does what it is told.
 */
import { bytes, text, u32 } from '../../base/codec.ts';
import { fromHex } from '../../base/bytes.ts';
import { Roster, sessionIdentity } from '../../consensus/identity.ts';
import { openIdentity } from '../../pki/identity.ts';
import { readCredentials } from '../../pki/authority.ts';
import { broadcastRound, createRounds, echoRound, p2pRound, type Rounds } from '../../protocol/rounds.ts';
import { createCalls, method } from '../calls.ts';
import { createMesh } from '../mesh.ts';
import { installProcessGuard } from '../process-guard.ts';
import { createSessionHub } from '../sessions.ts';
import type { Member } from '../transport.ts';

export interface NodeSettings {
  readonly self: string;
  readonly members: readonly Member[];
  readonly clusterId: string;
  readonly files: { readonly key: string; readonly chain: string; readonly root: string };
  readonly identity: string;
  /** Ed25519 public keys in the order of the members. */
  readonly publicKeys: readonly string[];
}
export type Command =
  | { readonly do: 'note'; readonly text: string }
  | { readonly do: 'run'; readonly sid: string; readonly members: readonly string[] }
  | { readonly do: 'ask'; readonly to: string; readonly n: number }
  | { readonly do: 'stop' };
export type Report =
  | { readonly is: 'peers'; readonly status: Readonly<Record<string, string>> }
  | { readonly is: 'note'; readonly from: string; readonly text: string }
  | { readonly is: 'result'; readonly sid: string; readonly value: string }
  | { readonly is: 'answer'; readonly value: number }
  | { readonly is: 'failed'; readonly error: string };

/** Commit, reveal, and a private share to each: the shape of key generation. */
const commit = echoRound('toy/commit', bytes(32));
const reveal = broadcastRound('toy/reveal', bytes(32));
const share = p2pRound('toy/share', text(64));
async function toyKeygen(rounds: Rounds): Promise<string> {
  const own = new Uint8Array(32).fill(rounds.me + 1);
  const committed = await rounds.echo(commit, own);
  const revealed = await rounds.broadcast(reveal, own);
  const shares = await rounds.send(share, new Map(rounds.peers.map((to) => [to, `${rounds.me}>${to}`])));
  return [...committed.values(), ...revealed.values()].map((value) => value[0]).join('') + [...shares.values()].join('');
}

const square = method('square', u32, u32);
const settings = JSON.parse(process.argv[2]!) as NodeSettings;
const report = (what: Report) => process.send!(what);
const failed = (error: unknown) => report({ is: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };

installProcessGuard({ logger: quiet, onDefect: failed });
const { self, members } = settings;
const { host, port } = members.find(({ node }) => node === self)!;
const mesh = createMesh({
  self,
  members,
  clusterId: settings.clusterId,
  tls: await readCredentials(settings.files, self),
  listen: { host, port },
});
const hub = createSessionHub(mesh);
const calls = createCalls(mesh);
const signer = await openIdentity(settings.identity, self);
const roster = new Roster(members.map(({ node }, i) => ({ nodeId: node, publicKey: fromHex(settings.publicKeys[i]!) })));

mesh.handle('note', (from, { body }) => report({ is: 'note', from, text: Buffer.from(body).toString() }));
calls.serve(square, async (_, n) => n * n);
mesh.onPeer(() => report({ is: 'peers', status: Object.fromEntries(mesh.peers().map(({ node, status }) => [node, status])) }));

async function perform(command: Command): Promise<void> {
  switch (command.do) {
    case 'note':
      for (const to of mesh.members) {
        if (to !== self)
          mesh.send(to, { class: 'control', kind: 'note', session: new Uint8Array(32), round: '', body: Buffer.from(command.text) });
      }
      return;
    case 'run': {
      const sid = new Uint8Array(Buffer.from(command.sid, 'hex'));
      const session = hub.open({ sid, members: command.members, class: 'ceremony', roundTimeoutMs: 20_000 });
      const rounds = createRounds({
        sid,
        me: command.members.indexOf(self),
        n: command.members.length,
        channel: session,
        identity: sessionIdentity(signer, roster, command.members),
      });
      report({ is: 'result', sid: command.sid, value: await toyKeygen(rounds) });
      session.close();
      return;
    }
    case 'ask':
      return void report({ is: 'answer', value: await calls.call(command.to, square, command.n) });
    case 'stop':
      await mesh.stop();
      process.disconnect();
  }
}

process.on('message', (command: Command) => void perform(command).catch(failed));
await mesh.start();
