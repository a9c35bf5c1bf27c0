import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { testParameters } from '../proofs/parameters.ts';
import { values } from '../protocol/testing/network.ts';
import { scratch } from '../storage/testing/children.ts';
import { createVault, openVault } from '../storage/vault.ts';
import { KeySwitch } from './key-switch.ts';
import { planOf, approve, keysOf, makeCommittee, nodeOf, nodes, run, ticketOf, type Committee } from './testing/parties.ts';
import {
  certificate as certificateCodec,
  ackMessage,
  committedMessage,
  planQuorum,
  refusalMessage,
  type Certificate,
} from './statements.ts';
import { runId, type Plan, type Ticket } from './plan.ts';
import { mayErase } from './switch.ts';
import { vaultStorage, type SwitchVault } from './vault-storage.ts';

const KEY = 'test key'.replace(' ', '-');
const [OLD_SHARE, NEW_SHARE] = [utf8('the share of epoch 0'), utf8('the share of epoch 1')];
let committee: Committee;
let certificate: Certificate;
/** Node 0 is of both committees, node 1 of the old one, node 2 of the new one. */
beforeAll(async () => {
  committee = await makeCommittee('frost', 2, [0, 1]);
  const { results } = await run(committee, planOf(committee, { sharers: [0, 1], t: 2, members: [0, 2] }));
  certificate = values(results)[0]!;
});

class Crash extends Error {}
type Files = Map<string, Uint8Array>;
const memoryVault = (files: Files): SwitchVault => ({
  put: async (kind, id, content) => void files.set(`${kind}/${id}`, content.slice()),
  get: async (kind, id) => files.get(`${kind}/${id}`)?.slice(),
  delete: async (kind, id) => files.delete(`${kind}/${id}`),
  list: async (kind) => [...files.keys()].filter((name) => name.startsWith(`${kind}/`)).map((name) => name.slice(kind.length + 1)),
}); // prettier-ignore

/** The process dies at the `at`-th change of the disk: just before it, or just after. Nothing is written afterwards. */
function dying(vault: SwitchVault, at: number, after: boolean): SwitchVault & { changes: number } {
  let dead = false;
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    if (dead) throw new Crash();
    const mine = counted.changes++;
    if (mine === at && !after) dead = true;
    if (dead) throw new Crash();
    const result = await work();
    if (mine === at) dead = true;
    if (dead) throw new Crash();
    return result;
  };
  const counted = {
    changes: 0,
    put: (kind, id, content) => change(() => vault.put(kind, id, content)),
    delete: (kind, id) => change(() => vault.delete(kind, id)),
    get: (kind, id) => vault.get(kind, id),
    list: (kind) => vault.list(kind),
  } as SwitchVault & { changes: number };
  return counted;
}

const open = (vault: SwitchVault, node: number): Promise<KeySwitch> =>
  KeySwitch.open({
    storage: vaultStorage(vault, KEY),
    identity: nodes[node]!.publicKey,
    parameters: testParameters,
    own: () => (node < 2 ? { share: committee.shares[node]!, members: keysOf([0, 1]) } : undefined),
  });
const start = async (vault: SwitchVault, node: number): Promise<void> => {
  if (node < 2) await vault.put('key-share', KEY, OLD_SHARE);
  await vault.put('presignature', `${KEY}.1`, utf8('of epoch 0'));
  await vault.put('frost-nonce', `${KEY}.1`, utf8('of epoch 0'));
  await vault.put('presignature', 'other-key.1', utf8('of another key'));
};
const committedOf = (ticket: Ticket, index: number) => {
  const sid = runId(ticket, testParameters);
  const key = ticket.plan.newMembers[index]!;
  return { index, signature: nodeOf(key).sign(committedMessage(sid, ticket.plan.nextEpoch)) };
};

/** The whole way of one node, each step as its state allows: the same script before and after a crash. */
async function proceed(node: KeySwitch, said: Set<string>): Promise<void> {
  const { ticket, approvals, digest } = certificate;
  const move = node.moveOf(ticket);
  if ((node.state.epoch ?? 0) < 1) {
    if (!said.has('started')) {
      said.add('started');
      if (move.old) await node.vote(ticket);
      await node.begin(ticket, approvals, move.old);
      if (move.member !== undefined) await node.prepare(ticket, approvals, digest, NEW_SHARE);
    }
    if (node.waiting() !== undefined) said.add('ack');
    // Only with all acknowledgements there is a certificate: a node that never came so far cannot see one.
    if (move.member !== undefined && !said.has('ack')) return;
    await node.certify(certificate);
  }
  for (const index of [0, 1]) await node.committedBy(ticket, committedOf(ticket, index));
  if (mayErase(node.state)) await node.erase();
}

async function expectEnd(vault: SwitchVault, node: number, acknowledged: boolean): Promise<void> {
  const member = node !== 1;
  const inForce = await vault.get('key-share', KEY);
  if (member && !acknowledged) {
    expect(inForce).toEqual(node === 0 ? OLD_SHARE : undefined);
    return;
  }
  expect(inForce).toEqual(member ? NEW_SHARE : undefined);
  for (const kind of ['retired-key', 'pending-key', 'frost-nonce'] as const) expect(await vault.list(kind), kind).toEqual([]);
  expect(await vault.list('presignature')).toEqual(['other-key.1']);
}

describe.each([
  ['of both committees', 0],
  ['of the old committee', 1],
  ['of the new committee', 2],
])('a node %s', (_what, node) => {
  test('goes from epoch 0 to 1, and keeps the old share until all new members are committed', async () => {
    const vault = memoryVault(new Map());
    await start(vault, node);
    const opened = await open(vault, node);
    const { ticket, approvals, digest } = certificate;
    if (node < 2) await opened.vote(ticket);
    await opened.begin(ticket, approvals, node < 2);
    if (node !== 1) {
      await opened.prepare(ticket, approvals, digest, NEW_SHARE);
      expect(opened.permits).toEqual({ sign: node === 0, presign: false });
      expect(await vault.get('key-share', KEY)).toEqual(node === 0 ? OLD_SHARE : undefined);
    }
    await opened.certify(certificate);
    expect(opened.permits.sign).toBe(node !== 1);
    if (node < 2) expect(await vault.get('retired-key', `${KEY}.0`)).toEqual(OLD_SHARE);
    await expect(opened.erase()).rejects.toBeInstanceOf(Refusal);
    await opened.committedBy(ticket, committedOf(ticket, 1));
    // min(t* + 1, n*) are both here, so an order changes nothing yet.
    if (node === 1) await expect(opened.erase(true)).rejects.toBeInstanceOf(Refusal);
    await opened.committedBy(ticket, committedOf(ticket, 0));
    await opened.erase();
    await opened.erase();
    await expectEnd(vault, node, true);
    const again = await open(vault, node);
    expect(again.state).toMatchObject({ epoch: 1, share: node !== 1, retained: [], committed: { erased: true } });
    expect(again.certificates.map((value) => encode(certificateCodec, value))).toEqual([encode(certificateCodec, certificate)]);
  });

  test('that dies before or after any change of its disk comes to the same end, or has acknowledged nothing', async () => {
    const whole = dying(memoryVault(new Map()), -1, false);
    await start(whole, node);
    const before = whole.changes;
    await proceed(await open(whole, node), new Set());
    const points = whole.changes - before;
    expect(points).toBeGreaterThan(5);
    for (let at = 0; at < points; at++)
      for (const after of [false, true]) {
        const files: Files = new Map();
        await start(memoryVault(files), node);
        const said = new Set<string>();
        const first = proceed(await open(dying(memoryVault(files), at, after), node), said);
        await expect(first, `point ${at}`).rejects.toBeInstanceOf(Crash);
        // Whenever it dies, a share is there: the one in force, or the one that is about to be.
        const shares = [...files].filter(([name]) => /^(key-share|pending-key|retired-key)/.test(name));
        if (node === 0) expect(shares.length).toBeGreaterThan(0);
        // A second crash during the recovery, at its first change, and then a good disk.
        await open(dying(memoryVault(files), 0, after), node).catch((error: unknown) => expect(error).toBeInstanceOf(Crash));
        const restarted = await open(memoryVault(files), node);
        if (restarted.waiting() !== undefined) said.add('ack');
        await proceed(restarted, said);
        await expectEnd(memoryVault(files), node, said.has('ack'));
      }
  });
});

test('on a real disk: a vault that is closed at every change', async () => {
  const root = await scratch();
  const proceedOn = async (folder: string, at: number): Promise<number> => {
    const vault = await createVault(folder, 'a passphrase of the tests');
    await start(vault, 0);
    const disk = dying(vault, at, true);
    const said = new Set<string>();
    const first = open(disk, 0).then((node) => proceed(node, said));
    if (at < 0) await first;
    else await expect(first).rejects.toBeInstanceOf(Crash);
    await vault.close();
    const reopened = await openVault(folder, 'a passphrase of the tests');
    const node = await open(reopened, 0);
    if (node.waiting() !== undefined) said.add('ack');
    await proceed(node, said);
    await expectEnd(reopened, 0, said.has('ack'));
    await reopened.close();
    return disk.changes;
  };
  const points = await proceedOn(join(root, 'whole'), -1);
  // After the record of PREPARED, and between the kept old share and the new one in its place; each with the key derivation of two vaults.
  for (const at of [2, 4].filter((point) => point < points)) await proceedOn(join(root, `at-${at}`), at);
  await rm(root, { recursive: true, force: true });
}, 60_000);

describe('one plan per epoch', () => {
  const another = (nextEpoch = 2): Ticket => ticketOf({ ...planOf(committee, { sharers: [0, 1], t: 2, members: [0, 3] }), nextEpoch });
  const refusalOf = (ticket: Ticket, index: number) => ({ index, signature: nodeOf(ticket.plan.newMembers[index]!).sign(refusalMessage(runId(ticket, testParameters))) }); // prettier-ignore

  test('the lock survives a restart, and only a REFUSE of a new member opens it', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 0);
    await (await open(vault, 0)).vote(certificate.ticket);
    const node = await open(vault, 0);
    await expect(node.vote(another())).rejects.toMatchObject({ field: 'plan' });
    await expect(node.begin(certificate.ticket, certificate.approvals, true)).rejects.toMatchObject({ field: 'plan' });
    await expect(node.refusedBy(certificate.ticket, { ...refusalOf(certificate.ticket, 1), index: 0 })).rejects.toBeInstanceOf(Refusal);
    await node.refusedBy(certificate.ticket, refusalOf(certificate.ticket, 1));
    await expect(node.vote(another(1))).rejects.toMatchObject({ field: 'nextEpoch' });
    await node.vote(another());
    expect((await open(vault, 0)).state.lock?.to).toBe(2);
  });

  test('rogue subset: two votes of one epoch cannot both have a quorum, whoever shares', () => {
    for (let n = 2; n <= 16; n++) {
      const f = Math.floor((n - 1) / 3);
      expect(2 * planQuorum(n) - n).toBeGreaterThan(f);
      expect(planQuorum(n)).toBeLessThanOrEqual(n);
    }
  });

  test('ACK and REFUSE of one node exclude each other, before and after a restart', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 0);
    const node = await open(vault, 0);
    await node.vote(certificate.ticket);
    await node.begin(certificate.ticket, certificate.approvals, true);
    await node.prepare(certificate.ticket, certificate.approvals, certificate.digest, NEW_SHARE);
    for (const opened of [node, await open(vault, 0)])
      await expect(opened.decline(certificate.ticket)).rejects.toMatchObject({ field: 'plan' });

    const other = memoryVault(new Map());
    await start(other, 0);
    await (await open(other, 0)).decline(certificate.ticket);
    const declined = await open(other, 0);
    await expect(declined.vote(certificate.ticket)).rejects.toMatchObject({ field: 'plan' });
    await expect(declined.begin(certificate.ticket, certificate.approvals, true)).rejects.toBeInstanceOf(Refusal);
  });

  test('Cert overrides REFUSE: a share that was set aside comes into force', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 0);
    const node = await open(vault, 0);
    await node.vote(certificate.ticket);
    await node.begin(certificate.ticket, certificate.approvals, true);
    await node.prepare(certificate.ticket, certificate.approvals, certificate.digest, NEW_SHARE);
    await node.refusedBy(certificate.ticket, refusalOf(certificate.ticket, 1));
    expect(node.waiting()).toBeUndefined();
    expect(node.permits).toEqual({ sign: true, presign: true });
    const again = await open(vault, 0);
    await again.certify(certificate);
    expect(await vault.get('key-share', KEY)).toEqual(NEW_SHARE);
  });
});

describe('a certificate', () => {
  const node = async () => {
    const vault = memoryVault(new Map());
    await start(vault, 1);
    return open(vault, 1);
  };
  test.each<[string, (good: Certificate) => Certificate, string]>([
    ['without one acknowledgement', (good) => ({ ...good, acks: good.acks.slice(1) }), 'acks'],
    ['with one acknowledgement twice', (good) => ({ ...good, acks: [good.acks[0]!, good.acks[0]!] }), 'acks'],
    ['of another digest', (good) => ({ ...good, digest: new Uint8Array(32) }), 'acks'],
    ['without the vote', (good) => ({ ...good, approvals: [] }), 'approvals'],
    ['for another try of the plan', (good) => ({ ...good, ticket: { ...good.ticket, nonce: new Uint8Array(16) } }), 'approvals'],
  ])('%s moves nobody, and erases nothing', async (_what, edit, field) => {
    const opened = await node();
    await expect(opened.certify(edit(certificate))).rejects.toMatchObject({ field });
    expect(opened.state).toMatchObject({ epoch: 0, share: true });
  });

  test('that newcomers made among themselves, for a key of theirs, moves nobody', async () => {
    const foreign = await makeCommittee('frost', 2, [1, 2]);
    const { results } = await run(foreign, planOf(foreign, { sharers: [0, 1], t: 2, members: [2, 3] }));
    const opened = await node();
    await expect(opened.certify(values(results)[0]!)).rejects.toBeInstanceOf(Refusal);
    const ticket = ticketOf(certificate.ticket.plan);
    const sid = runId(ticket, testParameters);
    const acks = ticket.plan.newMembers.map((key) => nodeOf(key).sign(ackMessage(sid, 1, certificate.digest)));
    const unvoted = { ticket, approvals: approve(ticket, testParameters, [0]), digest: certificate.digest, acks };
    await expect(opened.certify(unvoted)).rejects.toMatchObject({ field: 'approvals' });
    expect(hex(sid)).not.toBe(opened.moveOf(certificate.ticket).sid);
  });
});

/** One malicious node knows what every member knows (public shares, chain code), and names itself, under as many keys as it likes, as the others. */
describe('a made-up change', () => {
  const liars = [4, 5, 6];
  const certify = (plan: Plan, approvals?: Certificate['approvals']): Certificate => {
    const ticket = ticketOf(plan);
    const digest = new Uint8Array(32);
    const message = ackMessage(runId(ticket, testParameters), plan.nextEpoch, digest);
    return { ticket, approvals: approvals ?? approve(ticket), digest, acks: plan.newMembers.map((key) => nodeOf(key).sign(message)) };
  };

  test('whose old committee is made up but for the victim moves no holder of a share', async () => {
    const four = await makeCommittee('frost', 2, [0, 1, 2, 3]);
    const genuine = planOf(four, { sharers: [0, 1], t: 2, members: liars });
    const forged = certify({ ...genuine, oldMembers: keysOf([0, ...liars]) }, []);
    const approvals = approve(forged.ticket, testParameters, [1, 2, 3]);
    const vault = memoryVault(new Map());
    await start(vault, 0);
    const victim = await KeySwitch.open({
      storage: vaultStorage(vault, KEY),
      identity: nodes[0]!.publicKey,
      parameters: testParameters,
      own: () => ({ share: four.shares[0]!, members: keysOf([0, 1, 2, 3]) }),
    });
    await expect(victim.certify({ ...forged, approvals })).rejects.toBeInstanceOf(Refusal);
    expect(victim.state).toMatchObject({ epoch: 0, share: true });
  });

  test('that calls itself a refresh gets no vote', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 0);
    const victim = await open(vault, 0);
    const ticket = ticketOf({ ...planOf(committee, {}), newMembers: keysOf(liars) });
    await expect(victim.vote(ticket)).rejects.toBeInstanceOf(Refusal);
  });

  test('does not use up the epoch numbers', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 0);
    const victim = await open(vault, 0);
    await expect(victim.vote(ticketOf({ ...planOf(committee, {}), nextEpoch: 2 ** 32 - 1 }))).rejects.toMatchObject({ field: 'nextEpoch' });
  });

  test('of a key that this node has nothing of is not kept', async () => {
    const vault = memoryVault(new Map());
    const stranger = await open(vault, 3);
    const forged = certify({ ...planOf(committee, { sharers: [0, 1], t: 2, members: liars }), oldMembers: keysOf(liars.slice(0, 2)) });
    await expect(stranger.certify(forged)).rejects.toBeInstanceOf(Refusal);
    expect(await vault.list('key-switch')).toEqual([]);
  });

  test('of a key that this node left does not move it further', async () => {
    const vault = memoryVault(new Map());
    await start(vault, 1);
    const left = await open(vault, 1);
    await left.certify(certificate);
    const forged = certify({ ...planOf(committee, { sharers: [0, 1], t: 2, members: liars }), oldMembers: keysOf(liars.slice(0, 2)), epoch: 1, nextEpoch: 2 ** 32 - 1 }); // prettier-ignore
    await expect(left.certify(forged)).rejects.toBeInstanceOf(Refusal);
    expect(left.state.epoch).toBe(1);
  });
});
