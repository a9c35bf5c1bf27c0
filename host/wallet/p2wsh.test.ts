/** Wallets whose addresses are P2WSH: what makes all nodes agree on it, what is paid to and from them, and what is done with lies about the type. */
import { createHmac } from 'node:crypto';
import * as ecc from '@bitcoinerlab/secp256k1';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { concatBytes, fromHex, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { systemRandom } from '../base/random.ts';
import { addressOf } from '../bitcoin/address.ts';
import { decodeExtendedKey, descriptorChecksum } from '../bitcoin/descriptor.ts';
import { address as addresses, networks, payments, Transaction } from '../bitcoin/library.ts';
import { paymentIntent, unsignedPayment, type UnsignedPayment } from '../bitcoin/payment.ts';
import { walletScript } from '../bitcoin/scripts.ts';
import { buildPayment } from '../bitcoin/transaction.ts';
import { signedProposal, signProposal } from '../consensus/proposal.ts';
import { vote as voteCodec } from '../consensus/vote.ts';
import { method } from '../mesh/calls.ts';
import type { Plan } from '../resharing/plan.ts';
import { keygenNonce } from './ceremony-runs.ts';
import { invitedMethod } from './invited.ts';
import { accepted, cancellation, invitation, paymentProposal, type Invitation } from './messages.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';
import type { TransactionInfo, WalletInfo } from './types.ts';
import { proposeMethod } from './voting.ts';

const join = method('ceremony.join', invitation, accepted);
const cancel = method('ceremony.cancel', cancellation, accepted);
const network = networks.regtest;

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
/** Of nodes 1 to 3, and of nodes 1 and 2. */
let wallet: WalletInfo;
let small: WalletInfo;
beforeAll(async () => {
  cluster = await startCluster({ n: 3, t: 2, poolTarget: 6 });
  nodes = cluster.nodes as unknown as typeof nodes;
  wallet = await nodes[0].service.createWallet({ protocol: 'cggmp24', address_type: 'p2wsh', name: 'scripted' });
  small = await nodes[1].service.createWallet({ protocol: 'cggmp24', address_type: 'p2wsh', total_nodes: 2 });
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) {
    node.misbehaves.clear();
    node.derivedKeys = 're-randomised';
  }
});

const idle = () =>
  until(async () => (await Promise.all(nodes.map(({ service }) => service.ceremonies()))).flat().every(({ status }) => status !== 'running'), 'the end of all ceremonies'); // prettier-ignore
const lockOf = (publicKey: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(33), publicKey, Uint8Array.of(0xac));
/** By bitcoinjs-lib: the address of `<key> OP_CHECKSIG`. */
const foreignAddress = (publicKey: Uint8Array): string =>
  payments.p2wsh({ redeem: { output: lockOf(publicKey), network }, network }).address!;

/** The key at a path, by BIP-32 as written. */
function childOf(extended: string, path: readonly number[]): Uint8Array {
  let { publicKey, chainCode } = decodeExtendedKey(extended);
  for (const step of path) {
    const number = Uint8Array.of(step >>> 24, step >>> 16, step >>> 8, step);
    const I = createHmac('sha512', chainCode).update(publicKey).update(number).digest();
    publicKey = ecc.pointAddScalar(publicKey, I.subarray(0, 32), true)!;
    chainCode = new Uint8Array(I.subarray(32));
  }
  return publicKey;
}

describe('a P2WSH wallet', () => {
  test('has one address at all nodes, that of <key> OP_CHECKSIG, also in their records and after a restart', async () => {
    await cluster.restart(2);
    expect(wallet).toMatchObject({ protocol: 'cggmp24', address_type: 'p2wsh', address: foreignAddress(fromHex(wallet.public_key)) });
    for (const node of nodes) {
      expect(await node.service.wallet(wallet.wallet_id)).toEqual(wallet);
      const { address, address_type, protocol } = wallet;
      expect(await node.records.wallets.get(wallet.wallet_id)).toMatchObject({ address, address_type, protocol });
    }
  });

  test('is described by wsh(pk(KEY)); other software finds its addresses by that', async () => {
    const { extended_public_key: extended, own, receive, change } = await nodes[1].service.descriptor(wallet.wallet_id, 7);
    const bodies = [extended, `${extended}/7/0/*`, `${extended}/7/1/*`].map((key) => `wsh(pk(${key}))`);
    expect([own, receive, change]).toEqual(bodies.map((body) => `${body}#${descriptorChecksum(body)}`));
    expect(foreignAddress(childOf(extended, []))).toBe(wallet.address);
    for (const index of [0, 1, 19]) {
      const at = await nodes[index % 3]!.service.addressAt(wallet.wallet_id, 7, index);
      expect(at).toMatchObject({ address_type: 'p2wsh', address: foreignAddress(childOf(extended, [7, 0, index])) });
    }
  });

  test('is one whatever the database of a node says', async () => {
    const client = new pg.Client({ connectionString: nodes[1].ownerUrl });
    await client.connect();
    const say = (type: string, address: string) =>
      client.query('update wallets set address_type = $2, address = $3 where wallet_id = $1', [wallet.wallet_id, type, address]);
    await say('p2wpkh', RECIPIENT);
    const { service } = nodes[1];
    expect(await service.wallet(wallet.wallet_id)).toEqual(wallet);
    expect((await service.addresses(wallet.wallet_id, { limit: 1, offset: 0 })).items[0]!.address).toBe(wallet.address);
    expect((await service.descriptor(wallet.wallet_id, 0)).own).toMatch(/^wsh/);
    await say('p2wsh', wallet.address);
    await client.end();
  });

  test.each([
    ['frost', 'p2wsh', /name the protocol cggmp24 for p2wsh/],
    ['frost', 'p2wpkh', /name the protocol cggmp24/],
    ['cggmp24', 'p2tr', /name the protocol frost for p2tr/],
  ] as const)('a %s wallet with %s is refused, with the remedy', async (protocol, address_type, remedy) => {
    const refused = nodes[0].service.createWallet({ protocol, address_type });
    await expect(refused).rejects.toMatchObject({ name: 'Refusal', field: 'address_type', remedy: expect.stringMatching(remedy) });
  });
});

describe('a payment of a P2WSH wallet', () => {
  /** Checks a confirmed payment by other software: every signature over the BIP-143 hash, its key, and what it cost. */
  async function check(payment: TransactionInfo, paths: readonly string[]): Promise<UnsignedPayment> {
    await cluster.mine();
    for (const node of nodes) await inState(node, payment.tx_id, 'confirmed');
    const { extended_public_key: extended } = await nodes[0].service.descriptor(wallet.wallet_id, 0);
    const unsigned = decode(unsignedPayment, fromHex((await nodes[2].records.transactions.get(payment.tx_id))!.unsigned_tx));
    expect(unsigned.inputs.map(({ path }) => path.join('/')).sort()).toEqual([...paths].sort());
    const tx = Transaction.fromHex(payment.raw!);
    for (const [i, { witness }] of tx.ins.entries()) {
      const publicKey = childOf(extended, unsigned.inputs[i]!.path);
      const [signature, script] = witness;
      expect(witness).toHaveLength(2);
      expect(hex(script!)).toBe(hex(lockOf(publicKey)));
      const digest = tx.hashForWitnessV0(i, script!, unsigned.inputs[i]!.value, Transaction.SIGHASH_ALL);
      expect(ecc.verify(digest, publicKey, compact(signature!.slice(0, -1)))).toBe(true);
      expect(signature!.at(-1)).toBe(Transaction.SIGHASH_ALL);
    }
    // The fee is for the longest signatures there can be: a byte more of witness for each than most have.
    const paidFor = payment.fee_sats / 2;
    expect(paidFor).toBeGreaterThanOrEqual(tx.virtualSize());
    expect(paidFor).toBeLessThanOrEqual(tx.virtualSize() + tx.ins.length);
    return unsigned;
  }
  const compact = (der: Uint8Array): Uint8Array => {
    const part = (at: number) => BigInt(`0x${hex(der.slice(at + 2, at + 2 + der[at + 1]!))}`).toString(16).padStart(64, '0'); // prettier-ignore
    return fromHex(part(2) + part(4 + der[3]!));
  };
  const pay = (from: TestNode, amount: number, address = RECIPIENT) =>
    from.service.send(wallet.wallet_id, { recipients: [{ address, amount_sats: amount }], fee_rate: 2 });

  test('from the pool: of the own key and one below, with change below', async () => {
    await nodes[0].service.generatePresignatures(wallet.wallet_id, 6);
    const derived = await nodes[1].service.newAddress(wallet.wallet_id, { account: 3 });
    for (const { address } of [wallet, derived]) await cluster.fund(address, 40_000);
    const payment = await pay(nodes[0], 60_000);
    expect(payment).toMatchObject({ state: 'broadcast', protocol: 'cggmp24', signing_mode: 'pool' });
    const { changePath, outputs, changeIndex } = await check(payment, ['', '3/0/0']);
    const { extended_public_key: extended } = await nodes[0].service.descriptor(wallet.wallet_id, 0);
    const change = addresses.fromOutputScript(outputs[changeIndex!]!.script, network);
    expect(change).toBe(foreignAddress(childOf(extended, changePath)));
    for (const node of nodes) expect((await node.service.utxos(wallet.wallet_id)).map(({ address }) => address)).toEqual([change]);
  });

  test('without the pool: presigned and signed in one session for each key; paid to another such wallet', async () => {
    for (const node of nodes) node.derivedKeys = 'conservative';
    await cluster.fund(wallet.address, 40_000);
    const payment = await pay(nodes[2], 50_000, small.address);
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'interactive' });
    await check(payment, ['', '3/1/0']);
    expect(await nodes[0].service.balance(small.wallet_id)).toMatchObject({ confirmed: 50_000 });
  });

  test('is voted against by every node when it spends or gives change by a script of another type under the same key', async () => {
    const key = fromHex(wallet.public_key);
    const [right, other] = [walletScript('p2wsh', key), walletScript('p2wpkh', key)];
    const { context, identity } = nodes[0];
    for (const { script } of [right, other]) await cluster.fund(addressOf(script, 'regtest'), 70_000);
    const intent = { recipients: [{ address: RECIPIENT, amount: 20_000n }], metadata: undefined, feeRate: 2_000n };
    const build = async (by: typeof right) =>
      buildPayment({ wallet: by, network: 'regtest', intent, coins: (await context.esplora.coinsOf(addressOf(by.script, 'regtest'))).slice(-1), policy: context.policy }); // prettier-ignore
    const votes = async (payment: UnsignedPayment) => {
      const now = context.clock();
      const payload = encode(paymentProposal, { txId: crypto.randomUUID(), intent: encode(paymentIntent, intent), payment: encode(unsignedPayment, payment), signers: [], presignatures: [] }); // prettier-ignore
      const signed = signProposal(identity, { version: 1, clusterId: context.clusterId, proposer: 'node-1', kind: 'payment', walletId: wallet.wallet_id, payload, createdAt: now, expiresAt: now + 60_000, nonce: systemRandom.bytes(32) }); // prettier-ignore
      const answers = await Promise.all(['node-2', 'node-3'].map((node) => nodes[0].calls.call(node, proposeMethod, { proposal: encode(signedProposal, signed) }))); // prettier-ignore
      return answers.map(({ vote }) => decode(voteCodec, vote)).map(({ value, reason }) => (value === 'approve' ? value : reason));
    };
    const honest = await build(right);
    const foreign = await build(other);
    expect(await votes(foreign)).toEqual(Array(2).fill(expect.stringContaining("not locked to this wallet's key")));
    const [input] = honest.inputs;
    const bare = { ...honest, inputs: [{ ...input!, witnessScript: undefined }] };
    expect(await votes(bare)).toEqual(Array(2).fill(expect.stringContaining("not locked to this wallet's key")));
    const outputs = honest.outputs.map((output, i) => (i === honest.changeIndex ? { ...output, script: other.script } : output));
    expect(await votes({ ...honest, outputs })).toEqual(Array(2).fill(expect.stringContaining('change does not go back to the wallet')));
    expect(await votes(honest)).toEqual(['approve', 'approve']);
  });
});

describe('a coordinator that tells members different types', () => {
  const invite = (edit: Partial<Invitation> = {}): Invitation => ({
    nonce: systemRandom.bytes(32),
    kind: 'dkg',
    protocol: 'cggmp24',
    walletId: crypto.randomUUID(),
    walletName: 'two-faced',
    threshold: 2,
    committee: ['node-1', 'node-2', 'node-3'],
    signers: [],
    count: 0,
    createdAt: nodes[0].context.clock(),
    ...edit,
  });
  const newest = async (node: TestNode) => (await node.service.ceremonies())[0]!;
  const shares = () => Promise.all(nodes.map(({ vault }) => vault.list('key-share')));

  test.each<[string, Partial<Invitation>, RegExp]>([
    ['type', { addressType: 'p2wsh' }, /address_type p2wpkh there, p2wsh here$/],
    ['threshold, too,', { threshold: 3 }, /threshold 2 there, 3 here$/],
  ])('ends the generation at once at whom it told them: the %s is named, and no key is left', async (_what, lie, field) => {
    await idle();
    const before = await shares();
    const said = invite();
    await nodes[0].calls.call('node-2', join, { ...said, ...lie });
    await nodes[0].calls.call('node-3', join, said);
    await idle();
    const [second, third] = [await newest(nodes[1]), await newest(nodes[2])];
    for (const ended of [second, third]) expect(ended).toMatchObject({ id: hex(said.nonce), status: 'failed', culprits: [] });
    const [heard, other] = [second, third].map(({ error }) => error!);
    expect(heard).toMatch(/^node-1 has invited node-3 to another ceremony than this node, or node-3 says so: /);
    expect(heard).toMatch(field);
    expect(other).toMatch(/^node-1 has invited node-2 to another ceremony than this node/);
    expect(await shares()).toEqual(before);
  });

  test('has no nonce to give to some that makes their session that of others, who were told another type', () => {
    const typed = invite({ addressType: 'p2wsh' });
    expect(decode(invitation, encode(invitation, typed))).toEqual(typed);
    expect(() => encode(invitation, invite({ nonce: keygenNonce(typed) }))).toThrow(/32 bytes expected, got 64/);
  });

  test('gets no key either when nobody tells what it was invited to: the members are in different sessions', async () => {
    for (const node of nodes) node.misbehaves.set('ceremony.invited', () => Promise.resolve({ ok: 1 }));
    const before = await shares();
    const said = invite();
    await nodes[0].calls.call('node-2', join, { ...said, addressType: 'p2wsh' });
    await nodes[0].calls.call('node-3', join, said);
    const waiting = async (node: TestNode) => (await newest(node)).progress?.step;
    await until(async () => (await waiting(nodes[1])) !== undefined && (await waiting(nodes[2])) !== undefined, 'their first messages');
    // Both have sent it; had they been in one session, each would have gone on to the echo of it, and waited for that of node-1 only.
    await until(() => nodes.slice(1).every((node) => earlyAt(node) > 0), 'messages of a session that is not theirs');
    for (const node of ['node-2', 'node-3']) await nodes[0].calls.call(node, cancel, { nonce: said.nonce, reason: 'seen enough' });
    await idle();
    for (const node of nodes.slice(1)) expect(await newest(node)).toMatchObject({ id: hex(said.nonce), status: 'failed' });
    expect(await shares()).toEqual(before);
  });
  const earlyAt = ({ context }: TestNode): number =>
    (context.sessions as unknown as { statistics(): { early: number } }).statistics().early;

  test('cannot name a type where there is none', async () => {
    const frost = nodes[0].calls.call('node-2', join, invite({ protocol: 'frost', addressType: 'p2wsh' }));
    await expect(frost).rejects.toMatchObject({ code: 'invitation_refused', field: 'address_type' });
    const aux = nodes[0].calls.call('node-2', join, invite({ kind: 'aux', walletId: '', addressType: 'p2wsh' }));
    await expect(aux).rejects.toMatchObject({ code: 'invitation_refused', field: 'address_type' });
  });

  test('and members that speak of other ceremonies, or are of none, end nothing', async () => {
    const said = invite({ committee: ['node-1', 'node-2'] });
    await nodes[0].calls.call('node-2', join, said);
    await nodes[2].calls.call('node-2', invitedMethod, { ...said, addressType: 'p2wsh' });
    await nodes[0].calls.call('node-2', invitedMethod, { ...invite(), addressType: 'p2wsh' });
    expect(await newest(nodes[1])).toMatchObject({ id: hex(said.nonce), status: 'running' });
    await nodes[0].calls.call('node-2', cancel, { nonce: said.nonce, reason: 'seen enough' });
    await idle();
  });
});

describe('a change of shares', () => {
  /** What a node answers to a request with another plan in it, before it gets the true one. */
  const lies = (node: TestNode, method: string, answers: unknown[]) =>
    node.misbehaves.set(method, async (_from, request, honest) => {
      const { ticket } = request as { ticket: { plan: Plan } };
      const { plan } = ticket;
      const { purpose, ...usual } = plan;
      expect(purpose).toBe('p2wsh');
      for (const lie of [usual, { ...plan, purpose: 'p2tr' }]) {
        ticket.plan = lie;
        answers.push(await honest().catch((error: unknown) => error));
      }
      ticket.plan = plan;
      return honest();
    });

  test('gets no vote and no new member by a plan of another type; by the true one a node joins that has the same address, and pays', async () => {
    const wanted = { threshold: 2, nodes: ['node-2', 'node-3'] };
    await idle();
    await Promise.all(nodes.map(({ service }) => service.agreeToReshare(small.wallet_id, { ...wanted, public_key: small.public_key })));
    const [votes, runs]: [unknown[], unknown[]] = [[], []];
    lies(nodes[1], 'keys.vote', votes);
    lies(nodes[2], 'keys.run', runs);
    await nodes[0].service.reshareKey(small.wallet_id, wanted);
    const refusal = (field: string, ...codes: string[]) => codes.map((code) => expect.objectContaining({ name: 'Refusal', field, code }));
    expect(votes).toEqual(refusal('purpose', 'plan', 'plan'));
    expect(runs).toEqual([...refusal('approvals', 'reshare_certificate'), ...refusal('purpose', 'key_change')]);

    await until(async () => (await Promise.all(nodes.map((node) => node.service.keyStatus(small.wallet_id)))).every(({ state }) => state === 'erased'), 'the change to be complete'); // prettier-ignore
    await cluster.restart(2);
    for (const { service } of nodes.slice(1)) expect(await service.wallet(small.wallet_id)).toEqual(small);
    expect(await nodes[2].records.wallets.get(small.wallet_id)).toMatchObject({ address_type: 'p2wsh', address: small.address });
    const payment = await nodes[2].service.send(small.wallet_id, {
      recipients: [{ address: RECIPIENT, amount_sats: 20_000 }],
      fee_rate: 2,
    });
    await cluster.mine();
    for (const node of nodes.slice(1)) await inState(node, payment.tx_id, 'confirmed');
  });
});
