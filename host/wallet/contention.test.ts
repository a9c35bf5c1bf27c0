/** Many payments at the same moment, over different nodes of one wallet; and nodes that would make use of it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { outpoint } from '../bitcoin/coins.ts';
import { Transaction } from '../bitcoin/library.ts';
import { paymentIntent, SEQUENCE, unsignedPayment } from '../bitcoin/payment.ts';
import { certificateOf, quorumCertificate, verifyCertificate } from '../consensus/certificate.ts';
import { proposalId, signedProposal, signProposal, type Proposal } from '../consensus/proposal.ts';
import { signVote, vote as voteCodec, type VoteValue } from '../consensus/vote.ts';
import { method } from '../mesh/calls.ts';
import { accepted, paymentProposal, voteNotice, voteObjection, type SignRequest } from './messages.ts';
import { abandonMethod } from './notices.ts';
import { signMethod } from './signer.ts';
import { inState, RECIPIENT, startCluster, until, type Misbehaviour, type TestCluster, type TestNode } from './testing/cluster.ts';
import type { SendRequest, TransactionInfo } from './types.ts';
import { proposeMethod } from './voting.ts';

let cluster: TestCluster;
let nodes: readonly TestNode[];
beforeAll(async () => {
  cluster = await startCluster({ n: 4, t: 3 });
  ({ nodes } = cluster);
});
afterAll(() => cluster?.close());
afterEach(async () => {
  for (const node of nodes) {
    node.misbehaves.clear();
    node.asked.splice(0);
  }
  await cluster.mine();
  await until(async () => (await Promise.all(nodes.map(async ({ records }) => (await records.transactions.list({ pending: true, limit: 1, offset: 0 })).total))).every((count) => count === 0), 'all payments to be final'); // prettier-ignore
});

const to = (amount: number): SendRequest => ({ recipients: [{ address: RECIPIENT, amount_sats: amount }], fee_rate: 2 });
const isPaid = ({ state }: TransactionInfo) => state === 'broadcast' || state === 'confirmed';

/** A wallet with so many coins of 100 000 sat. */
async function walletOf(coins: number): Promise<string> {
  const { wallet_id: wallet, address } = await nodes[0]!.service.createWallet({ protocol: 'frost' });
  await cluster.fund(address, ...Array.from({ length: coins }, () => 100_000));
  for (const node of nodes) await until(() => node.service.wallet(wallet).catch(() => undefined), `${wallet} at ${node.id}`);
  return wallet;
}
const sendAll = (wallet: string, count: number): Promise<PromiseSettledResult<TransactionInfo>[]> =>
  Promise.allSettled(Array.from({ length: count }, (_, i) => nodes[i % nodes.length]!.service.send(wallet, { ...to(20_000 + i), idempotency_key: `payment ${i}` }))); // prettier-ignore
const paidOf = (results: readonly PromiseSettledResult<TransactionInfo>[]) =>
  results.flatMap((result) => (result.status === 'fulfilled' && isPaid(result.value) ? [result.value] : []));
/** What has been paid to the recipient, as the chain says, of amounts that only this test pays. */
async function onChain(amounts: readonly number[]): Promise<number[]> {
  const transactions = await nodes[0]!.context.esplora.addressTxs(RECIPIENT);
  return transactions.flatMap(({ vout }) => vout.map(({ value }) => value).filter((value) => amounts.includes(value))).sort((a, b) => a - b); // prettier-ignore
}
/** Every proposal that a node was asked about. */
const proposalsAt = ({ asked }: TestNode): Proposal[] =>
  asked.flatMap(({ method: name, request }) =>
    name === 'payment.propose' ? [decode(signedProposal, (request as { proposal: Uint8Array }).proposal).proposal] : [],
  );
const inputsOf = ({ payload }: Proposal) => decode(unsignedPayment, decode(paymentProposal, payload).payment).inputs.map(outpoint);
const cast = (node: TestNode, id: Uint8Array, value: VoteValue) =>
  encode(
    voteCodec,
    signVote(node.identity, node.context.clusterId, {
      proposal: id,
      value,
      reason: value === 'reject' ? 'a lie' : '',
      timestamp: node.context.clock(),
      extension: value === 'reject' ? encode(voteObjection, { notFree: [0] }) : new Uint8Array(),
    }),
  );
/** Rejects everything, as if others held the coins, and tells everybody but the proposer that it approves. */
const twoFaced =
  (node: TestNode): Misbehaviour =>
  (from, request) => {
    const id = proposalId(decode(signedProposal, (request as { proposal: Uint8Array }).proposal).proposal);
    for (const other of nodes)
      if (other !== node && other.id !== from)
        node.calls.tell(other.id, method('payment.vote', voteNotice, accepted), { proposal: id, vote: cast(node, id, 'approve') });
    return Promise.resolve({ vote: cast(node, id, 'reject') });
  };
const coinsOf = ({ raw }: TransactionInfo) =>
  Transaction.fromHex(raw!).ins.map(({ hash, index }) => `${Buffer.from(hash).toString('hex')}:${index}`);

/** Spends twenty coins that do not exist, each at another address. */
function made(by: TestNode, wallet: string, { account = 0, value = 10_000n, txId = crypto.randomUUID() as string }): Uint8Array {
  const script = new Uint8Array(34).fill(1);
  const input = (index: number) => ({ txid: hex(systemRandom.bytes(32)), vout: 0, value, script, witnessScript: undefined, sequence: SEQUENCE, path: [account, 0, index] }); // prettier-ignore
  const inputs = Array.from({ length: 20 }, (_, index) => input(index));
  const payment = { network: 'regtest', version: 2, locktime: 0, inputs, outputs: [{ script, value: 10n * value }], changeIndex: undefined, changePath: [], feeRate: 2_000n } as const; // prettier-ignore
  const intent = { recipients: [{ address: RECIPIENT, amount: 10n * value }], metadata: undefined, feeRate: 2_000n };
  const payload = encode(paymentProposal, { txId, intent: encode(paymentIntent, intent), payment: encode(unsignedPayment, { ...payment, outputs: [...payment.outputs], changePath: [] }), signers: [], presignatures: [] }); // prettier-ignore
  const { clusterId, clock } = by.context;
  const now = clock();
  return encode(signedProposal, signProposal(by.identity, { version: 1, clusterId, proposer: by.id, kind: 'payment', walletId: wallet, payload, createdAt: now, expiresAt: now + 60_000, nonce: systemRandom.bytes(32) })); // prettier-ignore
}

describe('payments over all nodes at once', () => {
  test('are all paid when there is a coin for each: over different coins, each once', async () => {
    const wallet = await walletOf(12);
    const results = await sendAll(wallet, 12);
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value.state : String(result.reason)))).toEqual(Array(12).fill('broadcast')); // prettier-ignore
    const paid = paidOf(results);
    const coins = paid.flatMap(coinsOf);
    expect(new Set(coins).size).toBe(coins.length);
    const amounts = Array.from({ length: 12 }, (_, i) => 20_000 + i);
    expect(await onChain(amounts)).toEqual(amounts);
    // The key of the request leads to the payment that was made, whichever try that was.
    for (const [i, { tx_id: id }] of paid.entries())
      expect((await nodes[i % nodes.length]!.service.send(wallet, { ...to(20_000 + i), idempotency_key: `payment ${i}` })).tx_id).toBe(id);
  });

  test('are refused where there are no coins: as many are paid as there are, and nothing is left reserved', async () => {
    const wallet = await walletOf(3);
    const results = await sendAll(wallet, 6);
    expect(paidOf(results)).toHaveLength(3);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(Refusal);
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Refusal] : []));
    expect(refused.map(({ field }) => field)).toEqual(Array(3).fill('amount_sats'));
    await cluster.mine();
    for (const payment of paidOf(results)) for (const node of nodes) await inState(node, payment.tx_id, 'confirmed');
    await until(async () => (await Promise.all(nodes.map(({ records }) => records.transactions.reserved(wallet)))).flat().length === 0, 'free coins'); // prettier-ignore
  });
});

describe('a member that says that coins are not free', () => {
  test('stops no payment, and nobody pays twice', async () => {
    const wallet = await walletOf(8);
    nodes[3]!.misbehaves.set('payment.propose', twoFaced(nodes[3]!));
    const amounts = [30_001, 30_002, 30_003, 30_004, 30_005, 30_006];
    const results = await Promise.all(amounts.map((amount, i) => nodes[i % 3]!.service.send(wallet, to(amount))));
    expect(results.map(({ state }) => state)).toEqual(amounts.map(() => 'broadcast'));
    expect(await onChain(amounts)).toEqual(amounts);
  });

  test('and tells others that it approves makes no second payment of one request, though a certificate of the first try exists', async () => {
    const wallet = await walletOf(3);
    const [coordinator, lagging, honest, liar] = nodes as [TestNode, TestNode, TestNode, TestNode];
    liar.misbehaves.set('payment.propose', twoFaced(liar));
    // The second rejection that the first try needs to fall through is an honest one.
    lagging.backend.edit = (path) => (path.endsWith('/utxo') ? '[]' : undefined);
    const approvalsOf = (id: Uint8Array) => {
      const told = nodes.flatMap(({ asked }) => asked.flatMap(({ method: name, request }) => (name === 'payment.vote' ? [decode(voteCodec, (request as { vote: Uint8Array }).vote)] : []))); // prettier-ignore
      return new Map(told.filter(({ proposal, value }) => value === 'approve' && Buffer.from(proposal).equals(id)).map((vote) => [vote.voter, vote])); // prettier-ignore
    };
    let attempts = 0;
    lagging.misbehaves.set('payment.propose', async (_from, request, own) => {
      if (attempts++ > 0) return own();
      const { proposal } = decode(signedProposal, (request as { proposal: Uint8Array }).proposal);
      await until(() => approvalsOf(proposalId(proposal)).size === 3, 'the approvals of the others');
      const answer = await own();
      lagging.backend.edit = () => undefined;
      return answer;
    });
    const payment = await coordinator.service.send(wallet, { ...to(31_000), idempotency_key: 'lied to' });
    expect(payment.state).toBe('broadcast');
    const [first, second, ...more] = proposalsAt(honest);
    expect(more).toEqual([]);
    expect(coinsOf(payment).map((coin) => coin.slice(64))).toEqual(inputsOf(second!).map((coin) => coin.slice(64)));
    expect(inputsOf(second!).some((coin) => inputsOf(first!).includes(coin))).toBe(false);

    const id = proposalId(first!);
    const approvals = approvalsOf(id);
    const certificate = certificateOf(id, [...approvals.values()], coordinator.context.roster);
    expect(() => verifyCertificate(certificate, first!, coordinator.context.roster, 3)).not.toThrow();
    // Whoever brings it: the members have signed nothing of it, and sign nothing.
    const request: SignRequest = {
      proposal: id,
      certificate: encode(quorumCertificate, certificate),
      mode: 'frost',
      attempt: 0,
      nonce: systemRandom.bytes(32),
      signers: [0, 2, 3],
      commitments: [],
    };
    for (const by of [liar, coordinator])
      await expect(by.calls.call(honest.id, signMethod, request)).rejects.toMatchObject({ name: 'Refusal', field: 'proposal' });
    await expect(liar.calls.call(coordinator.id, signMethod, request)).rejects.toMatchObject({ name: 'Refusal', field: 'proposal' });
    await cluster.mine();
    await inState(coordinator, payment.tx_id, 'confirmed');
    expect(await onChain([31_000])).toEqual([31_000]);
    // In the records of the coordinator both, the one leading to the other; the key of the request leads to the one that was paid.
    const { items } = await coordinator.service.transactions({ wallet_id: wallet, limit: 10, offset: 0 });
    expect(items.map(({ state }) => state).sort()).toEqual(['confirmed', 'rejected']);
    expect(items.find(({ state }) => state === 'rejected')!.error).toContain(payment.tx_id);
    expect((await coordinator.service.send(wallet, { ...to(31_000), idempotency_key: 'lied to' })).tx_id).toBe(payment.tx_id);
    for (const { records } of [coordinator, lagging, honest]) expect(await records.audit.verify()).toMatchObject({ intact: true });
  });

  test('is tried no more than so often, and the request ends', async () => {
    const wallet = await walletOf(2);
    for (const liar of nodes.slice(2)) liar.misbehaves.set('payment.propose', twoFaced(liar));
    const payment = await nodes[0]!.service.send(wallet, to(32_000));
    expect(payment).toMatchObject({ state: 'rejected', raw: null });
    expect(proposalsAt(nodes[1]!)).toHaveLength(10);
    expect(nodes.flatMap(({ asked }) => asked.filter(({ method: name }) => name === 'payment.sign'))).toEqual([]);
  });
});

describe('a member that takes the names of others’ payments', () => {
  test('takes none: what it proposes under them is turned away, and they are paid', async () => {
    const wallet = await walletOf(3);
    const thief = nodes[3]!;
    const outcomes: Promise<unknown>[] = [];
    thief.misbehaves.set('payment.propose', (from, request, honest) => {
      const { txId } = decode(paymentProposal, decode(signedProposal, (request as { proposal: Uint8Array }).proposal).proposal.payload);
      // More than anybody may pay: such a proposal is judged before one for which the backend is asked.
      const proposal = made(thief, wallet, { txId, value: 100_000_000_000n });
      for (const { id } of nodes.slice(0, 3))
        if (id !== from) outcomes.push(thief.calls.call(id, proposeMethod, { proposal }).catch((error: unknown) => error));
      return honest();
    });
    expect((await nodes[0]!.service.send(wallet, to(36_000))).state).toBe('broadcast');
    expect(await Promise.all(outcomes)).toEqual([1, 2].map(() => expect.objectContaining({ name: 'Refusal', field: 'txId' })));
  });
});

describe('a member that proposes without end', () => {
  test('waits for itself: payments of others go through meanwhile, and beyond what may wait it is turned away', async () => {
    const wallet = await walletOf(4);
    const [payer, flooded, , flooder] = nodes as [TestNode, TestNode, TestNode, TestNode];
    let judged = 0;
    const propose = async (account: number) => {
      const proposal = made(flooder, wallet, { account });
      const { vote } = await flooder.calls.call(flooded.id, proposeMethod, { proposal });
      judged++;
      return { id: proposalId(decode(signedProposal, proposal).proposal), value: decode(voteCodec, vote).value };
    };
    const giveUp = ({ id }: { id: Uint8Array }) => flooder.calls.call(flooded.id, abandonMethod, { proposal: id, state: 'failed', reason: 'a test' }); // prettier-ignore
    const flood = Array.from({ length: 70 }, (_, i) => propose(i));
    const settled = Promise.allSettled(flood);
    await until(() => judged > 0, 'the first of them to be judged');
    expect((await payer.service.send(wallet, to(35_000))).state).toBe('broadcast');
    expect((await flooded.service.send(wallet, to(35_001))).state).toBe('broadcast');
    expect(judged).toBeLessThan(50);
    const results = await settled;
    // A thousand inputs in an hour may be looked at for nothing; six of the proposals were more than may wait.
    const outcomes = results.map((result) => (result.status === 'fulfilled' ? result.value.value : (result.reason as Error).name));
    const count = (name: string) => outcomes.filter((outcome) => outcome === name).length;
    expect([count('reject') + count('Refusal'), count('Unavailable')]).toEqual([64, 6]);
    expect(count('reject')).toBeGreaterThanOrEqual(50);
    expect(count('Refusal')).toBeGreaterThan(5);
    await Promise.all(results.flatMap((result) => (result.status === 'fulfilled' ? [giveUp(result.value)] : [])));
    await expect(propose(200)).rejects.toMatchObject({ name: 'Refusal', status: 429 });
    expect((await payer.service.send(wallet, to(35_002))).state).toBe('broadcast');
  });
});

test('a payment that others reject for another reason is proposed once', async () => {
  const wallet = await walletOf(3);
  const policies = nodes.map(({ policy }) => policy);
  for (const i of [1, 2]) nodes[i]!.policy = { ...nodes[i]!.policy, maxPayment: 5_000n };
  const payment = await nodes[0]!.service.send(wallet, to(33_000));
  for (const [i, node] of nodes.entries()) node.policy = policies[i]!;
  expect(payment.state).toBe('rejected');
  expect(proposalsAt(nodes[3]!)).toHaveLength(1);
});

test('what somebody may hold a signature of is what the next payment spends, at whatever node', async () => {
  const wallet = await walletOf(6);
  for (const node of nodes.slice(1))
    node.misbehaves.set('payment.sign', () => Promise.reject(new Refusal('test', 'proposal', 'not today', 'none', 409)));
  const failed = await nodes[0]!.service.send(wallet, to(34_000));
  expect(failed.state).toBe('failed');
  const [tried] = proposalsAt(nodes[1]!);
  for (const node of nodes) {
    node.misbehaves.clear();
    await inState(node, failed.tx_id, 'failed');
  }
  const next = await nodes[2]!.service.send(wallet, to(34_001));
  expect(next.state).toBe('broadcast');
  expect(inputsOf(proposalsAt(nodes[1]!).at(-1)!)).toEqual(inputsOf(tried!));
});
