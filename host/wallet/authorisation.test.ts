/** What a node does for a coordinator that misbehaves: nothing that it has not judged itself. Four nodes, any three sign. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { fromHex, hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { Fault, Refusal, Unavailable } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { paymentIntent, unsignedPayment, unsignedTransaction, type PaymentIntent } from '../bitcoin/payment.ts';
import { walletScript } from '../bitcoin/scripts.ts';
import { buildPayment } from '../bitcoin/transaction.ts';
import { certificateOf, quorumCertificate } from '../consensus/certificate.ts';
import { proposalId, signedProposal, signProposal, type Proposal } from '../consensus/proposal.ts';
import { signVote, vote as voteCodec, type Vote, type VoteValue } from '../consensus/vote.ts';
import { G } from '../curve/secp256k1.ts';
import { method } from '../mesh/calls.ts';
import { stateOf } from '../presign/states.ts';
import { accepted, paymentProposal, voteNotice, voteOpenings, type SignRequest } from './messages.ts';
import { abandonMethod, signedMethod } from './notices.ts';
import { NO_NONCES, NO_PRESIGNATURE, signMethod } from './signer.ts';
import { inState, RECIPIENT, startCluster, until, type Misbehaviour, type TestCluster, type TestNode } from './testing/cluster.ts';
import { proposeMethod } from './voting.ts';

const voteMethod = method('payment.vote', voteNotice, accepted);

let cluster: TestCluster;
let nodes: [TestNode, TestNode, TestNode, TestNode];
let ecdsa: string;
let other: string;
let frost: string;
beforeAll(async () => {
  cluster = await startCluster({ n: 4, t: 3, poolTarget: 8 });
  nodes = cluster.nodes as unknown as typeof nodes;
  const { service } = nodes[0];
  const wallets = [
    await service.createWallet({ protocol: 'cggmp24' }),
    await service.createWallet({ protocol: 'cggmp24' }),
    await service.createWallet({ protocol: 'frost' }),
  ] as const;
  [ecdsa, other, frost] = [wallets[0].wallet_id, wallets[1].wallet_id, wallets[2].wallet_id];
  for (const { address } of [wallets[0], wallets[2]]) await cluster.fund(address, ...Array.from({ length: 8 }, () => 100_000));
  await service.generatePresignatures(ecdsa, 4);
  await service.generatePresignatures(other, 1);
  await until(async () => (await Promise.all(nodes.map(({ service: s }) => s.ceremonies()))).flat().every(({ status }) => status !== 'running'), 'the end of all ceremonies'); // prettier-ignore
});
afterAll(() => cluster?.close());
afterEach(() => {
  for (const node of nodes) {
    node.misbehaves.clear();
    node.policy = { ...node.policy, maxPayment: 1_000_000_000n };
  }
});

const pay = (from: TestNode, wallet: string, amount = 10_000) =>
  from.service.send(wallet, { recipients: [{ address: RECIPIENT, amount_sats: amount }], fee_rate: 2 });
/** The names of what a node holds and has used: nothing in it may change when a request is refused. */
const holdings = () => Promise.all(nodes.map(async ({ vault, burns }) => [burns.size, ...(await vault.list('presignature'))]));
const presignaturesOf = async (wallet: string, signers: readonly number[]) => {
  const node = nodes[signers[0]!]!;
  const held = await Promise.all(signers.map((i) => nodes[i]!.vault.list('presignature')));
  const shared = held[0]!.filter((name) => name.startsWith(wallet) && held.every((names) => names.includes(name)));
  return shared.map((name) => ({ node, id: fromHex(name.slice(name.indexOf('.') + 1)) }));
};

/** Makes presignatures until the set has one that all its members hold. */
async function stocked(set: readonly number[]): Promise<void> {
  for (let i = 0; i < 8 && (await presignaturesOf(ecdsa, set)).length === 0; i++) {
    await nodes[0].service.generatePresignatures(ecdsa, 1);
    await until(async () => (await Promise.all(nodes.map(({ service }) => service.ceremonies()))).flat().every(({ status }) => status !== 'running'), 'the end of the presigning'); // prettier-ignore
  }
  expect((await presignaturesOf(ecdsa, set)).length).toBeGreaterThan(0);
}

const lateBy =
  (ms: number): Misbehaviour =>
  async (_from, _request, honest) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return honest();
  };
const late = lateBy(500);

interface Crafted {
  readonly proposal: Proposal;
  readonly id: Uint8Array;
  readonly txId: string;
  readonly votes: readonly Vote[];
  readonly encoded: Uint8Array;
}

/** A payment as a proposer of its own program puts it to the vote of the others. */
async function craft(
  proposer: TestNode,
  edit: (proposal: Proposal) => Proposal = (proposal) => proposal,
  choice: { signers: number[]; presignatures: Uint8Array[] } = { signers: [], presignatures: [] },
): Promise<Crafted> {
  const { context, identity } = proposer;
  const info = await proposer.service.wallet(ecdsa);
  const held = await nodes.find((node) => node !== proposer)!.records.transactions.reserved(ecdsa);
  const coins = (await context.esplora.coinsOf(info.address)).filter(
    ({ txid, vout, confirmations }) => confirmations > 0 && !held.some((coin) => coin.txid === txid && coin.vout === vout),
  );
  const intent: PaymentIntent = { recipients: [{ address: RECIPIENT, amount: 20_000n }], metadata: undefined, feeRate: 2_000n };
  const wallet = walletScript('p2wpkh', fromHex(info.public_key));
  const payment = buildPayment({ wallet, network: 'regtest', intent, coins: coins.slice(0, 1), policy: context.policy });
  const txId = crypto.randomUUID();
  const now = context.clock();
  const proposal = edit({
    version: 1,
    clusterId: context.clusterId,
    proposer: proposer.id,
    kind: 'payment',
    walletId: ecdsa,
    payload: encode(paymentProposal, { txId, intent: encode(paymentIntent, intent), payment: encode(unsignedPayment, payment), ...choice }),
    createdAt: now,
    expiresAt: now + 60_000,
    nonce: systemRandom.bytes(32),
  });
  const encoded = encode(signedProposal, signProposal(identity, proposal));
  const answers = await Promise.all(
    nodes.filter((node) => node !== proposer).map((node) => proposer.calls.call(node.id, proposeMethod, { proposal: encoded })),
  );
  const id = proposalId(proposal);
  const own = castVote(proposer, id, 'approve');
  return { proposal, id, txId, votes: [own, ...answers.map(({ vote }) => decode(voteCodec, vote))], encoded };
}

const castVote = (node: TestNode, id: Uint8Array, value: VoteValue, extension: Uint8Array = new Uint8Array()): Vote =>
  signVote(node.identity, node.context.clusterId, {
    proposal: id,
    value,
    reason: value === 'reject' ? 'changed its mind' : '',
    timestamp: node.context.clock(),
    extension,
  });
const certificate = (id: Uint8Array, votes: readonly Vote[]) =>
  encode(quorumCertificate, { proposal: id, votes: [...certificateOf(id, votes, nodes[0].context.roster).votes] });
const approvals = (votes: readonly Vote[]) => votes.filter(({ value }) => value === 'approve');
const request = ({ id, votes }: Crafted, edit: Partial<SignRequest> = {}): SignRequest => ({
  proposal: id,
  certificate: certificate(id, approvals(votes)),
  mode: 'interactive',
  attempt: 0,
  nonce: systemRandom.bytes(32),
  signers: [0, 1, 2],
  commitments: [],
  ...edit,
});
/** `proposer` gives the payment up. */
const abandon = (proposer: TestNode, { id }: Crafted) =>
  Promise.all(
    nodes
      .filter((node) => node !== proposer)
      .map((node) => proposer.calls.call(node.id, abandonMethod, { proposal: id, state: 'failed', reason: 'a test' })),
  );

describe('no node signs blindly:', () => {
  let crafted: Crafted;
  let stranger: Crafted;
  beforeAll(async () => {
    crafted = await craft(nodes[0]);
    stranger = await craft(nodes[0]);
    expect([crafted, stranger].map(({ votes }) => approvals(votes).length)).toEqual([4, 4]);
  });
  afterAll(() => Promise.all([abandon(nodes[0], crafted), abandon(nodes[0], stranger)]));

  const cases: [string, (c: Crafted) => Partial<SignRequest> | Promise<Partial<SignRequest>>, string | RegExp][] = [
    ['without a certificate', () => ({ certificate: new Uint8Array() }), 'certificate'],
    ['with an empty one', ({ id }) => ({ certificate: certificate(id, []) }), /^certificate/],
    ['with two votes of four', ({ id, votes }) => ({ certificate: certificate(id, votes.slice(0, 2)) }), /^certificate/],
    ['with one vote three times', ({ id, votes }) => ({ certificate: certificate(id, [votes[0]!, votes[0]!, votes[0]!]) }), /^certificate/], // prettier-ignore
    ['with a vote nobody gave', ({ id, votes }) => ({ certificate: certificate(id, [votes[0]!, votes[1]!, { ...votes[2]!, signature: votes[1]!.signature }]) }), /vote/], // prettier-ignore
    ['with the votes of another payment', () => ({ certificate: certificate(stranger.id, stranger.votes) }), /^certificate/],
    ['with those votes under this name', ({ id }) => ({ certificate: certificate(id, stranger.votes) }), /vote/],
    ['for a proposal it never saw', () => ({ proposal: systemRandom.bytes(32) }), 'proposal'],
    ['with too few signers', () => ({ signers: [0, 1] }), 'signers'],
    ['with too many', () => ({ signers: [0, 1, 2, 3] }), 'signers'],
    ['in another order', () => ({ signers: [1, 0, 2] }), 'signers'],
    ['with one twice', () => ({ signers: [0, 1, 1] }), 'signers'],
    ['without itself', () => ({ signers: [0, 2, 3] }), 'signers'],
    ['with somebody who does not exist', () => ({ signers: [0, 1, 9] }), 'signers'],
    ['in a mode of another protocol', () => ({ mode: 'frost' }), 'mode'],
    ['in a fourth try', () => ({ attempt: 3 }), 'attempt'],
    ['with nonce commitments, for an ECDSA key', () => ({ commitments: [[0, 1, 2].map(() => ({ D: G, E: G }))] }), 'commitments'],
    ['from the pool when the proposal names no presignatures', () => ({ mode: 'pool' }), 'signers'],
  ];
  test.each(cases)('%s', async (_, edit, field) => {
    const before = await holdings();
    const error: unknown = await nodes[0].calls
      .call('node-2', signMethod, request(crafted, await edit(crafted)))
      .catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).field).toMatch(field);
    expect(await holdings()).toEqual(before);
  });

  test('for anybody but the proposer', async () => {
    const before = await holdings();
    await expect(nodes[2].calls.call('node-2', signMethod, request(crafted))).rejects.toMatchObject({ field: 'proposal', status: 403 });
    expect(await holdings()).toEqual(before);
  });

  test('against its own vote, whatever the others said', async () => {
    nodes[1].policy = { ...nodes[1].policy, maxPayment: 1_000n };
    const unwanted = await craft(nodes[0]);
    expect(approvals(unwanted.votes)).toHaveLength(3);
    const before = await holdings();
    const ask = nodes[0].calls.call('node-2', signMethod, request(unwanted));
    await expect(ask).rejects.toMatchObject({ field: 'proposal', message: expect.stringMatching(/voted against/) });
    expect(await holdings()).toEqual(before);
    await abandon(nodes[0], unwanted);
  });

  test('after the proposal has expired', async () => {
    const short = await craft(nodes[0], (proposal) => ({ ...proposal, expiresAt: proposal.createdAt + 1_500 }));
    await new Promise((resolve) => setTimeout(resolve, 1_600));
    await expect(nodes[0].calls.call('node-2', signMethod, request(short))).rejects.toMatchObject({ message: /expired/ });
    await abandon(nodes[0], short);
  });

  test('after the payment has ended in its records', async () => {
    const ended = await craft(nodes[0]);
    await nodes[1].records.transactions.transition(ended.txId, ['voting', 'approved'], 'failed');
    const before = await holdings();
    const ask = nodes[0].calls.call('node-2', signMethod, request(ended));
    await expect(ask).rejects.toMatchObject({ message: /payment is failed/ });
    expect(await holdings()).toEqual(before);
    await abandon(nodes[0], ended);
  });
});

describe('from the pool a node signs with what its vote has opened, and', () => {
  const SET = [0, 1, 2];
  const state = (node: TestNode, id: Uint8Array) => stateOf(node.burns, id).name;
  let id: Uint8Array;
  /** Put to the vote of the others by node-1, whose own vote, without openings, nobody has heard. */
  async function proposed(): Promise<Crafted> {
    await stocked(SET);
    ({ id } = (await presignaturesOf(ecdsa, SET))[0]!);
    return craft(nodes[0], undefined, { signers: SET, presignatures: [id] });
  }
  /** With node-1's own vote as its honest program gives it. */
  async function withOwn(crafted: Crafted): Promise<Crafted> {
    const { vote } = await nodes[0].calls.call('node-1', proposeMethod, { proposal: crafted.encoded });
    return { ...crafted, votes: [decode(voteCodec, vote), ...crafted.votes.slice(1)] };
  }
  /** Ends it at all nodes, node-1 included. */
  async function end(crafted: Crafted): Promise<void> {
    await withOwn(crafted).catch(() => undefined);
    const notice = { proposal: crafted.id, state: 'failed', reason: 'a test' } as const;
    await Promise.allSettled(nodes.map((node) => nodes[0].calls.call(node.id, abandonMethod, notice)));
    await until(
      () => nodes.every((node) => !['opened', 'ready'].includes(state(node, id)) || node === nodes[3]),
      'the end of its openings',
    );
  }
  const openings = (...list: Uint8Array[]) => encode(voteOpenings, { openings: list });
  const sign = (crafted: Crafted, edit: Partial<SignRequest> = {}) =>
    nodes[0].calls.call('node-2', signMethod, request(crafted, { mode: 'pool', ...edit }));

  test('only with the openings of all of the set: without, nothing is spent, and it is burnt when the vote shows it', async () => {
    const crafted = await proposed();
    expect(crafted.votes.map(({ extension }) => extension.length > 0)).toEqual([false, true, true, false]);
    expect([1, 2].map((i) => state(nodes[i]!, id))).toEqual(['opened', 'opened']);
    await expect(sign(crafted)).rejects.toMatchObject({ field: 'certificate' });
    const other = openings(systemRandom.bytes(32));
    const forged = { ...crafted, votes: [castVote(nodes[0], crafted.id, 'approve', other), ...crafted.votes.slice(1)] };
    await expect(sign(forged, { attempt: 1 })).rejects.toMatchObject({ field: 'certificate' });
    expect(state(nodes[1], id)).toBe('opened');
    // Heard as a vote, the wrong opening ends it everywhere, and is on record with its author's signature.
    const told = encode(voteCodec, forged.votes[0]!);
    for (const node of ['node-2', 'node-3']) await nodes[0].calls.call(node, voteMethod, { proposal: crafted.id, vote: told });
    expect([1, 2].map((i) => state(nodes[i]!, id))).toEqual(['burnt', 'burnt']);
    for (const i of [1, 2]) expect((await nodes[i]!.records.operations.violations())[0]).toMatchObject({ node_id: 'node-1', kind: 'wrong_opening' }); // prettier-ignore
    await expect(sign(await withOwn(crafted), { attempt: 2 })).rejects.toMatchObject({ code: NO_PRESIGNATURE });
    await end(crafted);
  });

  test('once: the same request again, or another try, gets nothing', async () => {
    const crafted = await withOwn(await proposed());
    const answers = await Promise.allSettled([1, 2, 3].map(() => sign(crafted)));
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(state(nodes[1], id)).toBe('spent');
    await expect(sign(crafted, { attempt: 1 })).rejects.toMatchObject({ code: NO_PRESIGNATURE });
    await end(crafted);
    // Spent stays spent; what was only open is burnt with the payment.
    expect([0, 1, 2].map((i) => state(nodes[i]!, id))).toEqual(['burnt', 'spent', 'burnt']);
  });

  test('never when its records say that the payment has ended, or say nothing; what was spent for it is on record as lost', async () => {
    const usage = async () => (await nodes[1].records.operations.presignatureUsage(ecdsa)).find((row) => row.presignature_id === hex(id));
    const ended = await withOwn(await proposed());
    await nodes[1].records.transactions.transition(ended.txId, ['voting', 'approved'], 'failed');
    await expect(sign(ended)).rejects.toMatchObject({ message: /payment is failed/ });
    expect(state(nodes[1], id)).toBe('spent');
    expect(await usage()).toMatchObject({ outcome: 'failed', tx_id: ended.txId });
    await end(ended);

    const unrecorded = await withOwn(await proposed());
    const { sign: begin } = nodes[1].records.transactions;
    nodes[1].records.transactions.sign = () => Promise.reject(new Unavailable('postgres', 'gone', 'start it'));
    try {
      await expect(sign(unrecorded)).rejects.toMatchObject({ name: 'Unavailable' });
    } finally {
      nodes[1].records.transactions.sign = begin;
    }
    await until(() => state(nodes[1], id) === 'spent', 'the end of its presignature');
    expect(await nodes[1].records.transactions.get(unrecorded.txId)).toMatchObject({ signers: [] });
    await end(unrecorded);
  });

  test('for one proposal: a second that names the same presignature gets a vote without openings', async () => {
    const first = await proposed();
    const second = await craft(nodes[0], undefined, { signers: SET, presignatures: [id] });
    expect(approvals(second.votes)).toHaveLength(4);
    expect(second.votes.every(({ extension }) => extension.length === 0)).toBe(true);
    for (const crafted of [first, second]) await end(crafted);
    expect([0, 1, 2].map((i) => state(nodes[i]!, id))).toEqual(['burnt', 'burnt', 'burnt']);
  });

  test('never after a refusal in the set: who votes against burns its part, and so does who hears of it', async () => {
    nodes[2].policy = { ...nodes[2].policy, maxPayment: 1_000n };
    const crafted = await proposed();
    await until(() => [1, 2].every((i) => state(nodes[i]!, id) === 'burnt'), 'the burns');
    await end(crafted);
  });

  test('not after a restart', async () => {
    const crafted = await withOwn(await proposed());
    await cluster.restart(1);
    expect(state(nodes[1], id)).toBe('burnt');
    await expect(sign(crafted)).rejects.toMatchObject({ field: 'proposal' });
    await end(crafted);
    // It knows the proposal no more, so it would hold the coins until that expires.
    await nodes[1].records.transactions.transition(crafted.txId, ['voting', 'approved'], 'failed');
  });

  test.each([
    ['of another number than there are inputs', [0, 1, 2], 2],
    ['of too few signers', [0, 1], 1],
    ['of signers in another order', [1, 0, 2], 1],
    ['without signers', [], 1],
    ['without presignatures', [0, 1, 2], 0],
  ])('refuses a proposal that names presignatures %s', async (_, signers, count) => {
    const presignatures = Array.from({ length: count }, () => systemRandom.bytes(32));
    await expect(craft(nodes[0], undefined, { signers, presignatures })).rejects.toMatchObject({ field: 'presignatures' });
  });
});

describe('a proposal is refused', () => {
  test.each([
    ['that asks for more time than it needs', (p: Proposal) => ({ ...p, expiresAt: p.createdAt + 300_000 }), 'expiresAt'],
    ['of an unknown kind', (p: Proposal) => ({ ...p, kind: 'policy' }), 'kind'],
    ['about an unknown wallet', (p: Proposal) => ({ ...p, walletId: crypto.randomUUID() }), 'wallet_id'],
    ['of another cluster', (p: Proposal) => ({ ...p, clusterId: new Uint8Array(32) }), 'proposal.clusterId'],
    ['with a payload that is none', (p: Proposal) => ({ ...p, payload: new Uint8Array(9) }), 'payload'],
  ] as const)('%s', async (_, edit, field) => {
    await expect(craft(nodes[0], edit)).rejects.toMatchObject({ name: 'Refusal', field });
  });

  test('in the name of another node', async () => {
    const { encoded, ...crafted } = await craft(nodes[0]);
    await expect(nodes[2].calls.call('node-2', proposeMethod, { proposal: encoded })).rejects.toMatchObject({ field: 'proposer' });
    await abandon(nodes[0], { encoded, ...crafted });
  });
});

describe('a notice', () => {
  test('about a payment of another node is refused, and so is a transaction that was not voted on', async () => {
    const crafted = await craft(nodes[0]);
    const end = { proposal: crafted.id, state: 'failed', reason: 'because' } as const;
    await expect(nodes[2].calls.call('node-2', abandonMethod, end)).rejects.toMatchObject({ status: 403 });
    const unsigned = decode(unsignedPayment, decode(paymentProposal, crafted.proposal.payload).payment);
    const raw = (edit: (transaction: ReturnType<typeof unsignedTransaction>) => void = () => undefined) => {
      const transaction = unsignedTransaction(unsigned);
      edit(transaction);
      return new Uint8Array(transaction.toBuffer());
    };
    const paid = await pay(nodes[3], frost);
    const tell = (from: TestNode, bytes: Uint8Array) =>
      from.calls.call('node-2', signedMethod, { proposal: crafted.id, raw: bytes, mode: 'interactive', signers: ['node-1'] });
    await expect(tell(nodes[2], raw())).rejects.toMatchObject({ status: 403 });
    for (const bytes of [
      new Uint8Array(),
      new Uint8Array(100).fill(7),
      raw(),
      raw((t) => t.setWitness(0, [new Uint8Array(71).fill(1), new Uint8Array(33).fill(2)])),
      raw((t) => t.addOutput(unsigned.outputs[0]!.script, 1n)),
      fromHex(paid.raw!),
    ]) {
      await expect(tell(nodes[0], bytes)).rejects.toMatchObject({ code: 'notice_refused', field: 'raw' });
    }
    expect(await nodes[1].service.transaction(crafted.txId)).toMatchObject({ raw: null });
    await abandon(nodes[0], crafted);
    expect(await inState(nodes[1], crafted.txId, 'failed')).toMatchObject({ error: 'node-1: a test' });
    expect((await nodes[1].records.transactions.reserved(ecdsa)).filter(({ tx_id: id }) => id === crafted.txId)).toEqual([]);
  });
});

describe('misbehaving voters', () => {
  const violations = async (node: TestNode, kind: string) =>
    (await node.records.operations.violations()).filter((violation) => violation.kind === kind);

  test('who vote twice are recorded with both votes; the payment goes on', async () => {
    let told = false;
    nodes[1].misbehaves.set('payment.propose', async (_from, _request, honest) => {
      const { vote } = (await honest()) as { vote: Uint8Array };
      const { proposal } = decode(voteCodec, vote);
      const reject = encode(voteCodec, castVote(nodes[1], proposal, 'reject'));
      await nodes[1].calls.call('node-3', voteMethod, { proposal, vote: reject });
      told = true;
      return { vote };
    });
    expect(await pay(nodes[0], frost)).toMatchObject({ state: 'broadcast' });
    await until(() => told, 'the second vote');
    const [violation] = await until(async () => {
      const found = (await violations(nodes[2], 'double_vote')).filter(({ node_id: id }) => id === 'node-2');
      return found.length > 0 && found;
    }, 'the violation at node-3');
    expect(violation).toMatchObject({ evidence: { messages: [expect.any(String), expect.any(String)] } });
  });

  test('who tell the proposer one thing and the others another show in the certificate', async () => {
    const before = (await violations(nodes[2], 'double_vote')).length;
    const drop = (from: string, asked: unknown, honest: () => Promise<unknown>) =>
      from === 'node-2' && decode(voteCodec, (asked as { vote: Uint8Array }).vote).value === 'approve'
        ? Promise.resolve({ ok: 1 })
        : honest();
    for (const i of [2, 3]) nodes[i]!.misbehaves.set('payment.vote', drop);
    // The third approval comes late, so that the certificate needs node-2's.
    nodes[3].misbehaves.set('payment.propose', late);
    nodes[1].misbehaves.set('payment.propose', async (_from, _request, honest) => {
      const { vote } = (await honest()) as { vote: Uint8Array };
      const { proposal } = decode(voteCodec, vote);
      await nodes[1].calls.call('node-3', voteMethod, { proposal, vote: encode(voteCodec, castVote(nodes[1], proposal, 'reject')) });
      return { vote };
    });
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'broadcast', signers: ['node-1', 'node-2', 'node-3'] });
    expect((await violations(nodes[2], 'double_vote')).length).toBe(before + 1);
  });

  test('who stop at once have told the others how they voted', async () => {
    const crafted = await craft(nodes[0]);
    await cluster.restart(1);
    const heard = async () => (await nodes[2].service.votes(crafted.txId)).votes.some(({ node_id: id }) => id === 'node-2');
    await until(heard, 'the vote of the node that stopped');
    await abandon(nodes[0], crafted);
    // It has forgotten the proposal, and would hold the coins until that expires.
    await nodes[1].records.transactions.transition(crafted.txId, ['voting', 'approved'], 'failed');
  });

  test('who forge votes of others are recorded once each, and forge nothing', async () => {
    const crafted = await craft(nodes[0]);
    const forged = { ...castVote(nodes[1], crafted.id, 'reject'), voter: 'node-4' };
    for (let i = 0; i < 3; i++) {
      await nodes[1].calls.call('node-3', voteMethod, { proposal: crafted.id, vote: encode(voteCodec, forged) });
    }
    const found = (await violations(nodes[2], 'invalid_signature')).filter(({ evidence }) => evidence['tx_id'] === crafted.txId);
    expect(found.map(({ node_id: id }) => id)).toEqual(['node-2']);
    const { votes } = await nodes[2].service.votes(crafted.txId);
    expect(votes.filter(({ value }) => value === 'reject')).toEqual([]);
    await abandon(nodes[0], crafted);
  });
});

describe('a signer', () => {
  test('set of which one has lost its part signs without, and nobody keeps the rest', async () => {
    await stocked([0, 1, 2]);
    await Promise.all(
      (await presignaturesOf(ecdsa, [0, 1, 2])).map(({ id }) => nodes[1].vault.delete('presignature', `${ecdsa}.${hex(id)}`)),
    );
    await cluster.restart(1);
    cluster.link(3, false);
    const payment = await pay(nodes[0], ecdsa);
    cluster.link(3, true);
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'interactive', signers: ['node-1', 'node-2', 'node-3'] });
    await until(async () => (await Promise.all([0, 2].map(async (i) => (await nodes[i]!.service.poolStatus(ecdsa))[0]!.in_use))).every((n) => n === 0), 'the end of what was opened'); // prettier-ignore
  });

  /** Answers for the last of the set that a proposal names, the first time. */
  const lastOfSet = (what: string, answer: Misbehaviour) => {
    let last: string | undefined;
    for (const node of nodes) {
      node.misbehaves.set('payment.propose', async (from, asked, honest) => {
        const { proposal } = decode(signedProposal, (asked as { proposal: Uint8Array }).proposal);
        last ??= `node-${decode(paymentProposal, proposal.payload).signers.at(-1)! + 1}`;
        return what === 'payment.propose' && last === node.id ? answer(from, asked, honest) : honest();
      });
      if (what !== 'payment.propose')
        node.misbehaves.set(what, (from, asked, honest) => (last === node.id ? answer(from, asked, honest) : honest()));
    }
    return () => last!;
  };

  test('whose vote brings the missing openings is waited for, a little', async () => {
    await stocked([0, 2, 3]);
    lastOfSet('payment.propose', late);
    expect(await pay(nodes[0], ecdsa)).toMatchObject({ state: 'broadcast', signing_mode: 'pool' });
  });

  test('that is silent in the vote costs the presignature, not the payment', async () => {
    await stocked([0, 2, 3]);
    const failed = async () => (await nodes[0].service.poolStatus(ecdsa))[0]!.failed;
    const before = await failed();
    const silent = lastOfSet('payment.propose', () => new Promise(() => undefined));
    const payment = await pay(nodes[0], ecdsa);
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'interactive' });
    expect(payment.signers).not.toContain(silent());
    expect(await failed()).toBe(before + 1);
  });

  test('that gives a wrong partial signature is named and recorded, and others complete the payment', async () => {
    await stocked([0, 2, 3]);
    const cheat = lastOfSet('payment.sign', async (_from, _request, honest) => {
      const { results } = (await honest()) as { results: Uint8Array[] };
      return { results: results.map((result) => result.map((byte, i) => (i === 31 ? byte ^ 1 : byte))) };
    });
    const payment = await pay(nodes[0], ecdsa);
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'interactive', error: null });
    expect(payment.signers).not.toContain(cheat());
    const [violation] = await nodes[0].records.operations.violations();
    expect(violation).toMatchObject({ node_id: cheat(), kind: 'invalid_partial_signature', evidence: { tx_id: payment.tx_id } });
    expect((violation!.evidence['messages'] as string[]).map((message) => message.length)).toEqual([64, 64]);
    for (const node of nodes.slice(1)) expect(await node.records.operations.violations()).not.toContainEqual(violation);
  });

  test('by FROST that gives a wrong share in one round is named and recorded, and others complete the payment', async () => {
    nodes[1].misbehaves.set('payment.sign', async (_from, _request, honest) => {
      const { results } = (await honest()) as { results: Uint8Array[] };
      return { results: results.map((result) => result.map((byte, i) => (i === 31 ? byte ^ 1 : byte))) };
    });
    await pay(nodes[0], frost);
    nodes[3].misbehaves.set('payment.propose', late);
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'broadcast', signing_mode: 'frost', error: null });
    expect(payment.signers).not.toContain('node-2');
    const found = (await nodes[0].records.operations.violations()).filter(({ evidence }) => evidence['tx_id'] === payment.tx_id);
    expect(found).toMatchObject([{ node_id: 'node-2', kind: 'invalid_partial_signature' }]);
    expect((found[0]!.evidence['messages'] as string[]).map((message) => message.length)).toEqual([66, 66, 64]);
  });

  test('that blames everybody else excludes only itself', async () => {
    nodes[1].misbehaves.set('payment.sign', () => Promise.reject(new Fault([0, 2], 'they did it', { round: 'r', detail: '' })));
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'broadcast', signers: ['node-1', 'node-3', 'node-4'] });
  });

  test('set that refuses as a whole ends the payment: failed, with the reasons, coins free at all nodes', async () => {
    for (const node of nodes.slice(1))
      // In one round only the coordinator could put a signature together; of a session each signer may have it.
      node.misbehaves.set('payment.sign', (_from, asked) =>
        Promise.reject(new Refusal((asked as SignRequest).commitments.length > 0 ? NO_NONCES : 'no', 'x', 'not today', 'y', 403)),
      );
    const payment = await pay(nodes[0], frost);
    expect(payment).toMatchObject({ state: 'failed', raw: null, error: expect.stringMatching(/not today.*before paying again/) });
    for (const node of nodes) {
      await inState(node, payment.tx_id, 'failed');
      expect((await node.records.transactions.reserved(frost)).filter(({ tx_id: id }) => id === payment.tx_id)).toEqual([]);
    }
  });
});
