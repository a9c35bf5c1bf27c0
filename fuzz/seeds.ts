/**
 * Writes fixtures/fuzz/seeds.json: a valid encoding or more for every decoder. Run by hand (`node dist/fuzz/seeds.js`) when a format or a decoder
 * is new; tests only read the file. The runs have fixed randomness, so that only what has changed changes in the file.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hex, utf8 } from '../host/base/bytes.ts';
import { decode, encode, type Codec } from '../host/base/codec.ts';
import * as payment from '../host/bitcoin/payment.ts';
import { auxInfo } from '../host/cggmp24/aux-record.ts';
import { auxRounds } from '../host/cggmp24/aux-info.ts';
import { keyShare } from '../host/cggmp24/key-share.ts';
import { keygenRounds } from '../host/cggmp24/keygen.ts';
import { presignRounds } from '../host/cggmp24/presign-messages.ts';
import { presignature, presignaturePublic } from '../host/cggmp24/presignature.ts';
import { quorumCertificate } from '../host/consensus/certificate.ts';
import { proposal, signedProposal } from '../host/consensus/proposal.ts';
import { vote } from '../host/consensus/vote.ts';
import { referenceCore } from '../host/core/reference.ts';
import { encrypt, modN2, power } from '../host/core/types.ts';
import { G, point, scalar } from '../host/curve/secp256k1.ts';
import { frostShare } from '../host/frost/share.ts';
import * as frostKeygen from '../host/frost/keygen.ts';
import { proofOfPossession } from '../host/frost/possession.ts';
import { nonceCommitment } from '../host/frost/signing.ts';
import { failureCodec } from '../host/mesh/call-errors.ts';
import * as calls from '../host/mesh/calls.ts';
import { encodeFrame, frameCodec, hello } from '../host/mesh/frame.ts';
import { conflictingMessages } from '../host/protocol/signed.ts';
import { fenceCodec } from '../host/presign/pool.ts';
import { encodeStored } from '../host/presign/record.ts';
import * as affG from '../host/proofs/pi-aff-g.ts';
import * as affGStar from '../host/proofs/pi-aff-g-star.ts';
import * as dec from '../host/proofs/pi-dec.ts';
import * as elog from '../host/proofs/pi-elog.ts';
import * as encElg from '../host/proofs/pi-enc-elg.ts';
import * as fac from '../host/proofs/pi-fac.ts';
import * as mod from '../host/proofs/pi-mod.ts';
import * as prm from '../host/proofs/pi-prm.ts';
import * as sch from '../host/proofs/pi-sch.ts';
import { unit } from '../host/proofs/sampling.ts';
import * as reshare from '../host/resharing/plan.ts';
import * as statements from '../host/resharing/statements.ts';
import { switchRecord } from '../host/resharing/switch-record.ts';
import { envelope } from '../host/protocol/rounds.ts';
import { sha256 } from '../host/protocol/transcript.ts';
import { openBurnJournal } from '../host/storage/burns.ts';
import { sealHeader } from '../host/storage/vault-header.ts';
import {
  auxRun,
  frostKeygenRun,
  frostSignRun,
  keygenRun,
  presignRun,
  reshareRun,
  signRun,
  TAPROOT_PREIMAGE,
  type ReshareRun,
  type Said,
} from '../host/testing/runs.ts';
import { contextOf, paillierKey, seeded } from '../host/proofs/testing/instances.ts';
import { tamper } from '../host/protocol/testing/network.ts';
import { entry } from '../host/wallet/keyring.ts';
import * as wallet from '../host/wallet/messages.ts';
import { primeFile } from '../host/wallet/prime-file.ts';
import { BATCH, PARAMETERS, T } from './decoders.ts';

/** Seeds of one decoder; more than these add nothing but size. */
const MOST = 3;
const seeds = new Map<string, string[]>();
const put = (name: string, bytes: Uint8Array): void => {
  const known = seeds.get(name) ?? [];
  const text = hex(bytes);
  if (known.length < MOST && !known.includes(text)) seeds.set(name, [...known, text]);
};
const add = <T>(name: string, codec: Codec<T>, ...values: readonly T[]): void => {
  for (const value of values) put(name, encode(codec, value));
};
const random = seeded('seeds of the fuzzer');
const word = (length = 32): Uint8Array => random.bytes(length);
const uuid = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const committee = ['node-1', 'node-2', 'node-3'];

/** The first message of each author in each round. */
function said(messages: readonly Said[]): void {
  for (const { round, payload } of messages) {
    if (round.endsWith('/echo')) put('protocol/echo', payload);
    else put(`round/${round}`, payload);
  }
}

async function protocols(): Promise<void> {
  const shareRound = keygenRounds(T).share;
  const keys = await keygenRun(PARAMETERS);
  // A run with complaints, whose messages an honest one does not have.
  const wrongShare = tamper(1, shareRound, ({ sigma }) => ({ sigma: sigma ^ 1n }), 0);
  const complaining = await keygenRun(PARAMETERS, wrongShare);
  const wrongFrostShare = tamper(1, frostKeygen.shareRound, (share) => share ^ 1n, 0);
  const frostComplaining = await frostKeygenRun(wrongFrostShare);
  const aux = await auxRun(PARAMETERS, referenceCore);
  const group = { keys: keys.outputs, aux: aux.outputs, parameters: PARAMETERS, core: referenceCore };
  const presigned = await presignRun(group, [0, 2], BATCH);
  const presignatures = presigned.outputs.map(([first]) => first!);
  const signed = await signRun(group, [0, 1]);
  const frost = await frostKeygenRun();
  const frostSigned = await frostSignRun(frost.outputs, [0, 2]);
  const complaints = [...complaining.said, ...frostComplaining.said].filter(
    ({ round, from }) => from === 0 && /proof$|confirm$/.test(round),
  );
  // Signing without a stock presigns a batch of one, whose messages have other lengths.
  const partials = signed.said.filter(({ round }) => round.startsWith('sign/'));
  const reshared = await reshareRun(keys.outputs, PARAMETERS);
  resharing(reshared);
  said([complaints, keys.said, aux.said, presigned.said, partials, frost.said, frostSigned.said, reshared.said].flat());

  add('record/key share', keyShare, ...keys.outputs);
  add('record/frost share', frostShare, ...frost.outputs);
  add('record/aux info', auxInfo(PARAMETERS), aux.outputs[0]!);
  add('record/presignature', presignature, ...presignatures);
  add('record/presignature, sealed', presignature, ...presignatures);
  add('record/presignature, public', presignaturePublic, presignatures[0]!);
  add('curve/point', point, G, G.double());
  add('curve/scalar', scalar, keys.outputs[0]!.x, 0n, 1n);
  const [D, E] = [G, G.double()];
  add('record/nonce commitment', nonceCommitment, { index: 0, D, E });
  const description = { walletId: uuid, walletName: 'treasury', committee, createdAt: 1_700_000_000_000 };
  const ecdsa = { ...description, state: 'active', protocol: 'cggmp24', share: encode(keyShare, keys.outputs[0]!), auxHash: new Uint8Array() } as const; // prettier-ignore
  const taproot = { ...description, state: 'prepared', protocol: 'frost', share: encode(frostShare, frost.outputs[0]!), auxHash: new Uint8Array() } as const; // prettier-ignore
  add(
    'record/key in the vault',
    entry,
    { ...ecdsa, addressType: 'p2wpkh' },
    { ...taproot, addressType: 'p2tr' },
    { ...ecdsa, addressType: 'p2wsh', auxHash: aux.outputs[0]!.hash },
  );
  const { id, sid } = presignatures[0]!;
  const meta = {
    id,
    sid,
    noncePoint: encode(point, presignatures[0]!.Gamma),
    signers: ['node-1', 'node-3'],
    createdAt: 1_700_000_000_000,
  };
  put(
    'record/presignature in the pool',
    encodeStored({ ...meta, keyId: utf8(uuid), epoch: 0, generationMs: 900, secret: encode(presignature, presignatures[0]!) }, 7),
  );

  const find = <M>(round: { name: string; codec: Codec<M> }, messages: readonly Said[]): M =>
    decode(round.codec, messages.find((message) => message.round === round.name)!.payload);
  const [auxOf, presignOf] = [auxRounds(PARAMETERS), presignRounds(PARAMETERS, T, BATCH)];
  add('proof/sch', sch.proof, { A: find(keygenRounds(T).open, keys.said).A, z: find(keygenRounds(T).proof, keys.said).psi! });
  add('proof/prm', prm.proof(PARAMETERS), find(auxOf.open, aux.said).prm);
  add('proof/mod', mod.proof(PARAMETERS), find(auxOf.mod, aux.said));
  add('proof/fac', fac.proof(PARAMETERS), find(auxOf.fac, aux.said));
  const { encK, encG } = find(presignOf.encryptedProofs, presigned.said)[0]!;
  add('proof/enc-elg', encElg.proof(PARAMETERS), encK, encG);
  const { affGamma, affX } = find(presignOf.productProofs, presigned.said)[0]!;
  add('proof/aff-g', affG.proof(PARAMETERS), affGamma, affX);
  add('proof/elog', elog.proof(PARAMETERS), find(presignOf.products, presigned.said)[0]!.elogGamma);
  add('proof/possession', proofOfPossession, find(frostKeygen.openRound(T), frost.said).possession);
}

/** Π^dec and Π^aff-g* of a small instance: the rounds that carry them come only after a fault. */
async function errorProofs(): Promise<void> {
  const [N0, N1] = [paillierKey(576, 0), paillierKey(576, 4)];
  const context = { ...contextOf('dec-delta'), parameters: PARAMETERS };
  const square = N0.n * N0.n;
  const [x, k, d] = [5n, 7n, 11n];
  const [r1, r2] = [unit(random, N0.n), unit(random, N0.n)];
  const [K, D, mask, Y] = await referenceCore.run([encrypt(N0, k, r1), encrypt(N0, d, r2), encrypt(N0, d, r2), encrypt(N1, d, r1)]);
  const [power5] = await referenceCore.run([power(modN2(N0), [K, x])]);
  const X = G.multiply(x);
  // K^x·D encrypts k·x + d under the nonce r1^x·r2
  const plain = k * x + d;
  const witness = { x, y: plain, rho: (r1 ** x * r2) % N0.n };
  const statement = { parties: T, N0, K, X, D, S: G.multiply(plain), base: G };
  add('proof/dec', dec.proof(PARAMETERS, T), await dec.prove(statement, witness, context));
  const affine = { N0, N1, C: K, D: (power5 * mask) % square, Y, X };
  add('proof/aff-g*', affGStar.proof(PARAMETERS), await affGStar.prove(affine, { x, y: d, rho: r2, rhoY: r1 }, context));
}

function resharing({ ticket, approvals, outputs }: ReshareRun): void {
  const [certificate] = outputs;
  add('resharing/plan', reshare.plan, ticket.plan, { ...ticket.plan, purpose: 'p2wsh' });
  add('resharing/ticket', reshare.ticket, ticket);
  add('resharing/statement', statements.statement, approvals[0]!);
  add('resharing/certificate', statements.certificate, certificate!);
  const { digest } = certificate!;
  add('resharing/switchRecord', switchRecord, {
    epoch: 0, share: true, highest: 1, lock: ticket, prepared: [{ ticket, approvals: [...approvals], digest, aside: false }], refused: [word()],
    committed: { by: [0, 2], erased: false }, certificates: [certificate!], retained: [1],
  }); // prettier-ignore
}

function mesh(): void {
  add('protocol/envelope', envelope, { payload: word(), signature: word(64) });
  add('mesh/hello', hello, { cluster: 'devnet', from: 'node-1', to: 'node-2', class: 'signing' });
  const frame = { class: 'ceremony', kind: 'session', session: word(), round: 'keygen/open', body: word(80) } as const;
  add('mesh/frame', frameCodec, { ...frame, sequence: 12 });
  put('mesh/stream', Buffer.concat([encodeFrame(frame, 0), encodeFrame({ ...frame, body: new Uint8Array() }, 1)]));
  const failure = {
    family: 'fault', message: 'wrong share', subject: 'keygen/share', field: '', remedy: '', status: '400', culprits: [1, 2], detail: 'σ', signed: word(96),
  } as const; // prettier-ignore
  add('mesh/failure', failureCodec, { ...failure, culprits: [1, 2] });
  add('mesh/conflictingMessages', conflictingMessages, { first: word(100), second: word(100) });
  add('mesh/request', calls.requestEnvelope, { id: word(16), method: 'payment.sign', payload: word(40) });
  add('mesh/answer', calls.answerEnvelope, { id: word(16), payload: word(40) });
  add('mesh/failed call', calls.failureEnvelope, {
    id: word(16),
    failure: { ...failure, culprits: [], family: 'refusal', signed: undefined },
  });
}

function consensus(): void {
  const open = {
    version: 1, clusterId: word(), proposer: 'node-1', kind: 'payment', walletId: uuid, payload: word(60), createdAt: 1_700_000_000_000,
    expiresAt: 1_700_000_060_000, nonce: word(),
  } as const; // prettier-ignore
  add('consensus/proposal', proposal, open);
  add('consensus/signedProposal', signedProposal, { proposal: open, signature: word(64) });
  const approve = {
    proposal: word(), voter: 'node-2', value: 'approve', reason: '', timestamp: 1_700_000_000_500, extension: word(33), signature: word(64),
  } as const; // prettier-ignore
  const reject = { ...approve, voter: 'node-3', value: 'reject', reason: 'über dem Limit', extension: new Uint8Array() } as const;
  add('consensus/vote', vote, approve, reject);
  add('consensus/quorumCertificate', quorumCertificate, { proposal: approve.proposal, votes: [approve, { ...approve, voter: 'node-4' }] });
}

function walletMessages(): void {
  const hash = word();
  add(
    'wallet/invitation',
    wallet.invitation,
    {
      nonce: hash, kind: 'presign', protocol: 'cggmp24', walletId: uuid, walletName: '', threshold: 2, committee, signers: [0, 2], count: 20,
      createdAt: 1_700_000_000_000,
    },
    {
      nonce: hash, kind: 'dkg', protocol: 'frost', walletId: uuid, walletName: 'treasury', threshold: 2, committee, signers: [], count: 0,
      createdAt: 1_700_000_000_000,
    },
    {
      nonce: hash, kind: 'dkg', protocol: 'cggmp24', walletId: uuid, walletName: 'treasury', threshold: 2, committee, signers: [], count: 0,
      createdAt: 1_700_000_000_000, addressType: 'p2wsh',
    },
  ); // prettier-ignore
  add('wallet/accepted', wallet.accepted, { ok: 1 });
  add('wallet/cancellation', wallet.cancellation, { nonce: hash, reason: 'node-3 refused' });
  add('wallet/proposeRequest', wallet.proposeRequest, { proposal: word(90) });
  add('wallet/proposeResponse', wallet.proposeResponse, { vote: word(90) });
  add('wallet/voteNotice', wallet.voteNotice, { proposal: hash, vote: word(90) });
  const request = { proposal: hash, certificate: word(90), attempt: 0, nonce: word(), signers: [0, 1], commitments: [] };
  add(
    'wallet/signRequest',
    wallet.signRequest,
    { ...request, mode: 'pool' },
    {
      ...request,
      mode: 'frost',
      commitments: [
        [
          { D: G, E: G.double() },
          { D: G.double(), E: G },
        ],
      ],
    },
  );
  add('wallet/signResponse', wallet.signResponse, { results: [word(), word(64)] });
  add('wallet/signedNotice', wallet.signedNotice, { proposal: hash, raw: word(120), mode: 'pool', signers: ['node-1', 'node-2'] });
  add('wallet/abandonNotice', wallet.abandonNotice, { proposal: hash, state: 'timed_out', reason: 'no quorum' });
  add('wallet/walletQuery', wallet.walletQuery, { walletId: uuid });
  add('wallet/walletAnswer', wallet.walletAnswer, { state: 'active', publicKey: encode(point, G) });
  add('wallet/auxQuery', wallet.auxQuery, { committee });
  add('wallet/auxAnswer', wallet.auxAnswer, { hash }, { hash: new Uint8Array() });
  add('wallet/poolJob', wallet.poolJob, { id: hash, walletId: uuid, count: 50 });
  add('wallet/poolJobResult', wallet.poolJobResult, { made: 50 });
  add('wallet/poolJobEnd', wallet.poolJobEnd, { id: hash });
  add('record/file of primes', primeFile, { id: hash, clusterId: hash, node: 'node-3', bits: 1536, salt: hash.slice(16), sealed: hash });
  add('wallet/poolLevels', wallet.poolLevels, { sets: [{ signers: [0, 1], ready: 3 }, { signers: [1, 2], ready: 0 }] }); // prettier-ignore

  const intent = {
    recipients: [{ address: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', amount: 25_000n }],
    metadata: utf8('memo'),
    feeRate: 5_000n,
  };
  add('bitcoin/paymentIntent', payment.paymentIntent, intent, { ...intent, metadata: undefined });
  const input = {
    txid: hex(word()), vout: 1, value: 50_000n, script: word(22), witnessScript: undefined, sequence: payment.SEQUENCE, path: [],
  }; // prettier-ignore
  add('bitcoin/paymentInput', payment.paymentInput, input, { ...input, witnessScript: word(35), path: [7, 0, 3] });
  add('bitcoin/paymentOutput', payment.paymentOutput, { script: word(34), value: 25_000n });
  const unsigned = {
    network: 'regtest', version: 2, locktime: 812, inputs: [input], outputs: [{ script: word(22), value: 25_000n }, { script: word(34), value: 24_000n }],
    changeIndex: 1, changePath: [], feeRate: 5_000n,
  } as const; // prettier-ignore
  const own = { ...unsigned, inputs: [input], outputs: [...unsigned.outputs], changePath: [] };
  const mixed = { ...own, inputs: [input, { ...input, vout: 0, path: [7, 0, 3] }], changePath: [7, 1, 0] };
  add('bitcoin/unsignedPayment', payment.unsignedPayment, own, mixed);
  add('bitcoin/amount', payment.amount, 0n, 25_000n);
  add('bitcoin/txid', payment.txid, hex(word()));
  add('wallet/paymentProposal', wallet.paymentProposal, {
    txId: uuid,
    intent: encode(payment.paymentIntent, intent),
    payment: encode(payment.unsignedPayment, own),
    signers: [0, 2],
    presignatures: [word()],
  });
  add('wallet/noncesRequest', wallet.noncesRequest, { walletId: uuid, epoch: 0, count: 20, fresh: hash });
  add('wallet/noncesResponse', wallet.noncesResponse, { commitments: [] }, { commitments: [{ D: G, E: G.double() }] });
  add('wallet/voteObjection', wallet.voteObjection, { notFree: [] }, { notFree: [0, 63] });
  add('wallet/voteOpenings', wallet.voteOpenings, { openings: [] }, { openings: [word(), word()] });
  const wish = { walletId: uuid, account: 7, index: 3 };
  add('wallet/addressRequest', wallet.addressRequest, { ...wish, purpose: 'fresh' }, { ...wish, purpose: 'watch' });
  add('wallet/addressResponse', wallet.addressResponse, { verdict: 'accepted', next: 4 }, { verdict: 'taken', next: 9 });
  add('wallet/countersRequest', wallet.countersRequest, { walletId: uuid, from: 0 }, { walletId: uuid, from: 500 });
  add('wallet/countersResponse', wallet.countersResponse, { total: 0, counters: [] }, { total: 2, counters: [{ account: 7, chain: 0, next: 4 }, { account: 7, chain: 1, next: 1 }] }); // prettier-ignore
  for (const address of [
    'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
    '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2',
    '3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy',
  ])
    put('bitcoin/address', utf8(address));
  put('bitcoin/taproot message', TAPROOT_PREIMAGE);
}

async function storage(): Promise<void> {
  add('record/pool fence', fenceCodec, { incarnation: '123456', burns: 42 });
  const folder = await mkdtemp(join(tmpdir(), 'threshold-wallet-fuzz-'));
  try {
    const path = join(folder, 'burns');
    const journal = await openBurnJournal(path);
    await journal.burnAll([1, 2, 3].map((n) => ({ id: sha256(Uint8Array.of(n)), purpose: sha256(Uint8Array.of(n, n)) })));
    await journal.close();
    put('storage/burn journal', new Uint8Array(await readFile(path)));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const vault = { vaultId: hex(word(16)), createdAt: '2026-01-01T00:00:00.000Z' };
  put('storage/vault header', utf8(JSON.stringify(await sealHeader(random, vault, word(), 'a passphrase of a seed'))));
}

async function evidence(): Promise<void> {
  for (const name of ['v1/keygen-share', 'v1/keygen-equivocation', 'v2/reshare-equivocal-ack']) {
    put('evidence/file', new Uint8Array(await readFile(join('fixtures', 'evidence', `${name}.evidence`))));
  }
}

await protocols();
await errorProofs();
mesh();
consensus();
walletMessages();
await storage();
await evidence();
const lines = [...seeds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, list]) => `  ${JSON.stringify(name)}: ${JSON.stringify(list)}`);
await writeFile(join('fixtures', 'fuzz', 'seeds.json'), `{\n${lines.join(',\n')}\n}\n`);
process.stderr.write(`${seeds.size} decoders have seeds\n`);
