/** Addresses below a wallet's key: who gives them out, who looks at them, and how they are paid from. */
import { createHmac } from 'node:crypto';
import * as ecc from '@bitcoinerlab/secp256k1';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bigintToBytes, bytesToBigint, fromHex, hex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { Refusal, Unavailable } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { addressOf } from '../bitcoin/address.ts';
import { decodeExtendedKey, descriptorChecksum } from '../bitcoin/descriptor.ts';
import { networks, payments, Transaction } from '../bitcoin/library.ts';
import { paymentIntent, unsignedPayment, type UnsignedPayment } from '../bitcoin/payment.ts';
import { walletScript } from '../bitcoin/scripts.ts';
import { sighash } from '../bitcoin/sighash.ts';
import { attachEcdsa, buildPayment, finalize } from '../bitcoin/transaction.ts';
import { deriveShare } from '../frost/derive.ts';
import { proposalId, signedProposal, signProposal } from '../consensus/proposal.ts';
import { vote as voteCodec } from '../consensus/vote.ts';
import { decode } from '../base/codec.ts';
import { ENTRY_KINDS } from '../storage/vault.ts';
import { testParameters } from '../proofs/parameters.ts';
import { Child } from '../curve/bip32.ts';
import { scriptOf } from './accounts.ts';
import { Keyring, type WalletKey } from './keyring.ts';
import { paymentProposal, type SignRequest } from './messages.ts';
import { signedMethod } from './notices.ts';
import { inState, RECIPIENT, startCluster, until, type TestCluster, type TestNode } from './testing/cluster.ts';
import type { SendRequest, TransactionInfo } from './types.ts';
import { proposeMethod } from './voting.ts';

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode];
let ecdsa: string;
let frost: string;
beforeAll(async () => {
  cluster = await startCluster({ n: 3, t: 2, poolTarget: 6 });
  nodes = cluster.nodes as unknown as typeof nodes;
  ecdsa = (await nodes[0].service.createWallet({ protocol: 'cggmp24' })).wallet_id;
  frost = (await nodes[0].service.createWallet({ protocol: 'frost' })).wallet_id;
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) {
    node.misbehaves.clear();
    node.derivedKeys = 're-randomised';
  }
});

const to = (amount: number): SendRequest => ({ recipients: [{ address: RECIPIENT, amount_sats: amount }], fee_rate: 2 });
const next = async (node: TestNode, wallet: string, account: number) =>
  (await node.service.addresses(wallet, { account, limit: 1, offset: 0 })).total;
const keyOf = async (node: TestNode, wallet: string): Promise<WalletKey> =>
  (await Keyring.open(node.vault, testParameters, cluster.core)).active(wallet);

async function confirmed(payment: TransactionInfo): Promise<TransactionInfo> {
  await cluster.mine();
  for (const node of nodes) await inState(node, payment.tx_id, 'confirmed');
  return payment;
}

/** Gives the wallet an own coin and one at a new address of account 3, 40 000 sat each. */
async function fund(wallet: string): Promise<void> {
  const [own, derived] = [await nodes[0].service.wallet(wallet), await nodes[1].service.newAddress(wallet, { account: 3 })];
  for (const { address } of [own, derived]) await cluster.fund(address, 40_000);
}

/** Public keys that BIP-32 and the descriptor say, by other code than the wallet's. */
function independent(descriptor: string, index: number): string {
  const [, kind, extended, steps, checksum] = /^(wpkh|tr)\((\w+)\/([\d/]+)\/\*\)#(\w{8})$/.exec(descriptor)!;
  expect(descriptorChecksum(descriptor.slice(0, -9))).toBe(checksum);
  let { publicKey, chainCode } = decodeExtendedKey(extended!);
  for (const step of [...steps!.split('/').map(Number), index]) {
    const I = createHmac('sha512', chainCode)
      .update(publicKey)
      .update(Uint8Array.of(step >>> 24, step >>> 16, step >>> 8, step))
      .digest();
    publicKey = ecc.pointAddScalar(publicKey, I.subarray(0, 32), true)!;
    chainCode = new Uint8Array(I.subarray(32));
  }
  const network = networks.regtest;
  return kind === 'wpkh'
    ? payments.p2wpkh({ pubkey: publicKey, network }).address!
    : payments.p2tr({ internalPubkey: publicKey.subarray(1), network }).address!;
}

describe('an address', () => {
  test.each(['cggmp24', 'frost'] as const)(
    'of %s is the one that other software finds by the descriptor, at every node, 0 to 19',
    async (protocol) => {
      const wallet = protocol === 'frost' ? frost : ecdsa;
      const { receive, change, own, extended_public_key: extended } = await nodes[1].service.descriptor(wallet, 7);
      expect(own).toContain(`(${extended})#`);
      const seen = new Set<string>();
      for (let index = 0; index < 20; index++) {
        const { address, path } = await nodes[index % 3]!.service.addressAt(wallet, 7, index);
        expect(address).toBe(independent(receive, index));
        expect(path).toBe(`m/7/0/${index}`);
        seen.add(address);
      }
      const key = await keyOf(nodes[0], wallet);
      expect(addressOf(scriptOf(key, [7, 1, 3]).script, 'regtest')).toBe(independent(change, 3));
      seen.add(independent((await nodes[0].service.descriptor(wallet, 8)).receive, 0));
      expect(seen.size).toBe(21);
      // Looking grows nothing.
      for (const node of nodes) expect(await next(node, wallet, 7)).toBe(0);
    },
  );

  test('is the same at all nodes for the same account and index, others for others, also after a restart', async () => {
    const given = [];
    for (const account of [20, 20, 20, 21, 21, 21]) given.push(await nodes[given.length % 3]!.service.newAddress(ecdsa, { account }));
    expect(given.map(({ path }) => path)).toEqual([0, 1, 2].flatMap((i) => [`m/20/0/${i}`]).concat([0, 1, 2].map((i) => `m/21/0/${i}`)));
    expect(new Set(given.map(({ address }) => address)).size).toBe(6);
    await cluster.restart(2);
    // Who has taken how many is in the records of every node.
    for (const { records } of nodes)
      expect(
        (await records.addresses.takers()).filter(({ wallet_id: id }) => id === ecdsa).sort((a, b) => a.asked_by.localeCompare(b.asked_by)),
      ).toEqual(nodes.map(({ id }) => ({ wallet_id: ecdsa, asked_by: id, taken: 2 })));
    for (const node of nodes) {
      const { items, total } = await node.service.addresses(ecdsa, { account: 20, limit: 10, offset: 0 });
      expect([total, items]).toEqual([3, given.slice(0, 3)]);
      for (const { account, index, address } of given)
        expect((await node.service.addressAt(ecdsa, account!, index!)).address).toBe(address);
    }
    const all = await nodes[2].service.addresses(ecdsa, { limit: 2, offset: 0 });
    expect(all.items.map(({ path }) => path)).toEqual(['m', 'm/20/0/0']);
  });

  test('is never given out twice, also by two nodes at the same moment', async () => {
    const given = await Promise.all([0, 1, 2, 0, 1, 2].map((i) => nodes[i]!.service.newAddress(ecdsa, { account: 30 })));
    expect(given.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('is given out although the member that is asked first turns everybody away', async () => {
    nodes[0].misbehaves.set('address.issue', () => Promise.resolve({ verdict: 'taken', next: 0 }));
    expect(await nodes[1].service.newAddress(ecdsa, { account: 33 })).toMatchObject({ index: 0 });
    expect(await nodes[2].service.newAddress(ecdsa, { account: 33 })).toMatchObject({ index: 1 });
  });

  test('of a given index is looked at with all before it; far ahead, or without a quorum, it is refused', async () => {
    expect(await nodes[0].service.newAddress(ecdsa, { account: 31, index: 4 })).toMatchObject({ path: 'm/31/0/4' });
    for (const node of nodes) expect(await next(node, ecdsa, 31)).toBe(5);
    await nodes[1].service.newAddress(ecdsa, { account: 31, index: 2 });
    expect(await next(nodes[1], ecdsa, 31)).toBe(5);
    expect(await nodes[1].service.newAddress(ecdsa, { account: 31 })).toMatchObject({ index: 5 });
    const far = nodes[0].service.newAddress(ecdsa, { account: 31, index: 5_000 });
    await expect(far).rejects.toMatchObject({ name: 'Refusal', field: 'index' });
    await expect(nodes[0].service.addressAt(ecdsa, 0x80000000, 0)).rejects.toBeInstanceOf(Refusal);

    cluster.link(0, false);
    const alone = nodes[0].service.newAddress(ecdsa, { account: 31 });
    await expect(alone).rejects.toBeInstanceOf(Unavailable);
    await expect(alone).rejects.toMatchObject({ message: expect.stringMatching(/missing: node-2, node-3/) });
    cluster.link(0, true);
  });

  test('that was given out while a node was away is looked at when it is back', async () => {
    await cluster.stop(2);
    for (let i = 0; i < 3; i++) await nodes[0].service.newAddress(frost, { account: 32 });
    await cluster.restart(2);
    await until(async () => (await next(nodes[2], frost, 32)) === 3, 'the counters of the others');
    expect(await nodes[2].service.newAddress(frost, { account: 32 })).toMatchObject({ index: 3 });
  });
});

describe('a payment from addresses below the key and from the own one', () => {
  /** What spends: its witness keys are those that the paths give. */
  async function expectPaths(payment: TransactionInfo, wallet: string, paths: string[]): Promise<UnsignedPayment> {
    const key = await keyOf(nodes[0], wallet);
    const unsigned = decode(unsignedPayment, Buffer.from((await nodes[2].records.transactions.get(payment.tx_id))!.unsigned_tx, 'hex'));
    expect(unsigned.inputs.map(({ path }) => path.join('/')).sort()).toEqual([...paths].sort());
    for (const [i, { witness }] of Transaction.fromHex(payment.raw!).ins.entries()) {
      const { script, publicKey } = scriptOf(key, unsigned.inputs[i]!.path);
      expect(hex(unsigned.inputs[i]!.script)).toBe(hex(script));
      if (wallet === ecdsa) expect(hex(witness[1]!)).toBe(hex(publicKey));
    }
    return unsigned;
  }

  test('from the pool: made over for each key, change to the account of the first, all in one round', async () => {
    await nodes[0].service.generatePresignatures(ecdsa, 6);
    await fund(ecdsa);
    expect(await nodes[2].service.balance(ecdsa)).toMatchObject({ confirmed: 80_000, total_utxos: 2 });
    expect((await nodes[1].service.utxos(ecdsa)).map(({ path }) => path).sort()).toEqual(['m', 'm/3/0/0']);
    const payment = await confirmed(await nodes[0].service.send(ecdsa, to(60_000)));
    expect(payment).toMatchObject({ signing_mode: 'pool', error: null });
    const { changePath } = await expectPaths(payment, ecdsa, ['', '3/0/0']);
    expect(changePath).toEqual([3, 1, 0]);
    // Every node looks at the change: it is in use, and it is what is left.
    const left = 80_000 - 60_000 - payment.fee_sats;
    for (const node of nodes) {
      expect(await next(node, ecdsa, changePath[0]!)).toBe(2);
      expect(await node.service.balance(ecdsa)).toMatchObject({ confirmed: left, total_utxos: 1 });
    }
  });

  test('without the pool, each input in a session bound to its key; change to change, of an index of its own', async () => {
    for (const node of nodes) node.derivedKeys = 'conservative';
    await fund(ecdsa);
    const payment = await confirmed(await nodes[1].service.send(ecdsa, to(90_000)));
    expect(payment).toMatchObject({ signing_mode: 'interactive', error: null });
    const { inputs } = await expectPaths(payment, ecdsa, ['', '3/0/1', '3/1/0']);
    expect(inputs).toHaveLength(3);
  });

  test('by FROST in one round and in two, under the tweaked keys of the paths', async () => {
    await fund(frost);
    const first = await confirmed(await nodes[0].service.send(frost, to(60_000)));
    expect(first).toMatchObject({ signing_mode: 'frost', error: null });
    await expectPaths(first, frost, ['', '3/0/0']);
    await fund(frost);
    const before = nodes.map((node) => node.asked.length);
    const second = await confirmed(await nodes[0].service.send(frost, to(70_000)));
    await expectPaths(second, frost, ['', '3/0/1']);
    const requests = nodes.flatMap((node, i) => node.asked.slice(before[i]).filter(({ method }) => method === 'payment.sign'));
    expect(requests.map(({ request }) => (request as SignRequest).commitments.length)).toContain(2);

    // Nothing prepared: two rounds.
    for (const node of nodes) node.misbehaves.set('frost.nonces', () => Promise.resolve({ commitments: [] }));
    await cluster.restart(0);
    await fund(frost);
    const at = nodes.map((node) => node.asked.length);
    const third = await confirmed(await nodes[0].service.send(frost, to(70_000)));
    const asked = nodes.flatMap((node, i) => node.asked.slice(at[i]).filter(({ method }) => method === 'payment.sign'));
    expect(asked.map(({ request }) => (request as SignRequest).commitments.length)).not.toContain(2);
    await expectPaths(third, frost, ['', '3/0/2']);
  });

  test('is found by a node that voted against it, and its change is looked at there', async () => {
    await fund(frost);
    const { policy } = nodes[2];
    nodes[2].policy = { ...policy, maxPayment: 1n };
    const payment = await confirmed(await nodes[0].service.send(frost, to(75_000)));
    nodes[2].policy = policy;
    const [balance, other] = await Promise.all([nodes[2].service.balance(frost), nodes[0].service.balance(frost)]);
    expect(balance).toEqual(other);
    expect((await nodes[2].service.votes(payment.tx_id)).votes).toContainEqual(
      expect.objectContaining({ node_id: 'node-3', value: 'reject' }),
    );
  });

  test('of other keys is no payment of the wallet, whoever has signed it', async () => {
    const secret = systemRandom.bytes(32);
    const mallory = walletScript('p2wpkh', secp256k1.getPublicKey(secret));
    await cluster.fund(addressOf(mallory.script, 'regtest'), 50_000);
    const { context, identity, calls } = nodes[0];
    const coins = await context.esplora.coinsOf(addressOf(mallory.script, 'regtest'));
    const intent = { recipients: [{ address: RECIPIENT, amount: 20_000n }], metadata: undefined, feeRate: 2_000n };
    const payment = buildPayment({ wallet: mallory, network: 'regtest', intent, coins, policy: context.policy });
    const txId = crypto.randomUUID();
    const payload = encode(paymentProposal, { txId, intent: encode(paymentIntent, intent), payment: encode(unsignedPayment, payment), signers: [], presignatures: [] }); // prettier-ignore
    const now = context.clock();
    const signed = signProposal(identity, { version: 1, clusterId: context.clusterId, proposer: 'node-1', kind: 'payment', walletId: ecdsa, payload, createdAt: now, expiresAt: now + 60_000, nonce: systemRandom.bytes(32) }); // prettier-ignore
    const { vote } = await calls.call('node-2', proposeMethod, { proposal: encode(signedProposal, signed) });
    expect(decode(voteCodec, vote)).toMatchObject({ value: 'reject' });

    const compact = secp256k1.sign(sighash(payment, 0), secret, { prehash: false, lowS: true });
    const [r, s] = [compact.slice(0, 32), compact.slice(32)].map(bytesToBigint) as [bigint, bigint];
    const { hex: raw } = finalize(payment, [attachEcdsa(payment, 0, { r, s }, secp256k1.getPublicKey(secret))]);
    const notice = {
      proposal: proposalId(signed.proposal),
      raw: fromHex(raw),
      mode: 'interactive' as const,
      signers: ['node-1', 'node-2'],
    };
    await expect(calls.call('node-2', signedMethod, notice)).rejects.toMatchObject({ code: 'notice_refused' });
    // Nor when it is on the chain.
    await context.esplora.broadcast(raw);
    await cluster.mine();
    expect((await nodes[1].service.transaction(txId)).raw).toBeNull();
  });

  test('is voted against when its change is so far ahead that nobody would find it, and when a path is not that of the coin', async () => {
    await fund(ecdsa);
    const key = await keyOf(nodes[0], ecdsa);
    const { context, identity } = nodes[0];
    const mine = (await nodes[0].service.utxos(ecdsa)).find(({ path, confirmations }) => path.startsWith('m/3/0/') && confirmations > 0)!;
    const path = mine.path.split('/').slice(1).map(Number);
    const coins = (await context.esplora.coinsOf(mine.address)).map((coin) => ({ ...coin, path }));
    const intent = { recipients: [{ address: RECIPIENT, amount: 20_000n }], metadata: undefined, feeRate: 2_000n };
    const below = (at: readonly number[]) => scriptOf(key, at);
    const build = (index: number) =>
      buildPayment({ wallet: scriptOf(key), below, changePath: (account) => [account, 1, index], network: 'regtest', intent, coins, policy: context.policy }); // prettier-ignore
    const verdict = async (payment: UnsignedPayment, asked: typeof intent = intent) => {
      const now = context.clock();
      const content = { txId: crypto.randomUUID(), intent: encode(paymentIntent, asked), payment: encode(unsignedPayment, payment), signers: [], presignatures: [] }; // prettier-ignore
      const head = { version: 1 as const, clusterId: context.clusterId, proposer: 'node-1', kind: 'payment', walletId: ecdsa, payload: encode(paymentProposal, content) }; // prettier-ignore
      const signed = signProposal(identity, { ...head, createdAt: now, expiresAt: now + 60_000, nonce: systemRandom.bytes(32) });
      const { vote } = await nodes[0].calls.call('node-2', proposeMethod, { proposal: encode(signedProposal, signed) });
      return { ...decode(voteCodec, vote), txId: content.txId };
    };
    const honest = build(5);
    const moved = { ...honest, inputs: [{ ...honest.inputs[0]!, path: [3, 0, path[2]! + 1] }] };
    expect(await verdict(moved)).toMatchObject({
      value: 'reject',
      reason: expect.stringMatching(/not locked to this wallet's key at m\/3\/0/),
    });
    const hardened = { ...honest, inputs: [{ ...honest.inputs[0]!, path: [3, 0, 0x80000000] }] };
    expect(await verdict(hardened)).toMatchObject({ value: 'reject', reason: expect.stringMatching(/not the path of an address/) });
    expect(await verdict(build(5_000))).toMatchObject({ value: 'reject', reason: expect.stringMatching(/too far ahead/) });
    // Who is told of other recipients than those that the payment has keeps a record of the payment, which others may approve.
    const told = await verdict(honest, { ...intent, recipients: [{ address: mine.address, amount: 20_000n }] });
    expect(told).toMatchObject({ value: 'reject', reason: expect.stringMatching(/not what was asked for/) });
    expect((await nodes[1].service.transaction(told.txId)).recipients).toEqual([{ address: RECIPIENT, amount_sats: 20_000 }]);
    expect(await verdict(honest)).toMatchObject({ value: 'approve' });
  });
});

test('nothing of a child is in a vault or a log: neither share nor shift', async () => {
  const secrets: Uint8Array[] = [];
  for (const node of nodes) {
    for (const wallet of [ecdsa, frost]) {
      const key = await keyOf(node, wallet);
      for (const path of [
        [3, 0, 0],
        [4, 0, 0],
        [3, 0, 1],
        [4, 0, 1],
      ]) {
        if (key.protocol === 'frost') secrets.push(bigintToBytes(deriveShare(key.share, path).s, 32));
        else {
          const { shift } = Child.of(key.share, path);
          secrets.push(bigintToBytes(shift, 32), bigintToBytes((key.share.x + shift) % ecdsaOrder, 32));
        }
      }
    }
  }
  for (const node of nodes) {
    const haystack = [node.log.join('\n')];
    for (const kind of ENTRY_KINDS) for (const name of await node.vault.list(kind)) haystack.push(hex((await node.vault.get(kind, name))!));
    for (const secret of secrets) for (const text of haystack) expect(text.includes(hex(secret))).toBe(false);
  }
});
const ecdsaOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
