/**
 * Every decoder of the program that reads what others wrote: messages of the protocols, proofs, records on disk, frames and calls of the mesh,
 * votes and proposals, messages of the wallet. Seeds are valid encodings in fixtures/fuzz (written by seeds.ts).
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equalBytes } from '../host/base/bytes.ts';
import { bytes, decode, type Codec } from '../host/base/codec.ts';
import { Refusal } from '../host/base/errors.ts';
import { parseRecipient } from '../host/bitcoin/address.ts';
import * as payment from '../host/bitcoin/payment.ts';
import { auxRounds } from '../host/cggmp24/aux-info.ts';
import { auxInfo } from '../host/cggmp24/aux-record.ts';
import { keyShare } from '../host/cggmp24/key-share.ts';
import { keygenRounds } from '../host/cggmp24/keygen.ts';
import { presignRounds } from '../host/cggmp24/presign-messages.ts';
import * as presignatures from '../host/cggmp24/presignature.ts';
import { partialRound } from '../host/cggmp24/sign-interactive.ts';
import { quorumCertificate } from '../host/consensus/certificate.ts';
import { proposal, signedProposal } from '../host/consensus/proposal.ts';
import { vote } from '../host/consensus/vote.ts';
import { point, scalar } from '../host/curve/secp256k1.ts';
import { evidenceFile } from '../host/evidence/format.ts';
import * as frostKeygen from '../host/frost/keygen.ts';
import { proofOfPossession } from '../host/frost/possession.ts';
import { frostShare } from '../host/frost/share.ts';
import { taprootSighash } from '../host/frost/sighash.ts';
import * as frostSign from '../host/frost/sign.ts';
import { nonceCommitment } from '../host/frost/signing.ts';
import { failureCodec } from '../host/mesh/call-errors.ts';
import * as calls from '../host/mesh/calls.ts';
import { frameCodec, hello, MAX_FRAME_BYTES, MessageReader, parse } from '../host/mesh/frame.ts';
import { conflictingMessages } from '../host/protocol/signed.ts';
import { LinkError } from '../host/mesh/transport.ts';
import { fenceCodec } from '../host/presign/pool.ts';
import { decodeStored, encodeStored, storedPresignature } from '../host/presign/record.ts';
import * as affG from '../host/proofs/pi-aff-g.ts';
import * as affGStar from '../host/proofs/pi-aff-g-star.ts';
import * as dec from '../host/proofs/pi-dec.ts';
import * as elog from '../host/proofs/pi-elog.ts';
import * as encElg from '../host/proofs/pi-enc-elg.ts';
import * as fac from '../host/proofs/pi-fac.ts';
import * as mod from '../host/proofs/pi-mod.ts';
import * as prm from '../host/proofs/pi-prm.ts';
import * as sch from '../host/proofs/pi-sch.ts';
import { repetitions } from '../host/proofs/testing/instances.ts';
import { envelope } from '../host/protocol/rounds.ts';
import * as resharing from '../host/resharing/plan.ts';
import { reshareRounds } from '../host/resharing/reshare-messages.ts';
import * as statements from '../host/resharing/statements.ts';
import { switchRecord } from '../host/resharing/switch-record.ts';
import { openBurnJournal } from '../host/storage/burns.ts';
import { parseHeader } from '../host/storage/vault-header.ts';
import { entry } from '../host/wallet/keyring.ts';
import * as walletMessages from '../host/wallet/messages.ts';
import { primeFile } from '../host/wallet/prime-file.ts';
import seedFile from '../fixtures/fuzz/seeds.json' with { type: 'json' };
import { ofCodec, type Decoder } from './engine.ts';
import { layout, type Field } from './layout.ts';

/** Small moduli and few repetitions: the same code with the same checks on fewer bytes. */
export const PARAMETERS = repetitions(8);
/** Threshold of the recorded runs. */
export const T = 2;
/** Presignatures of the recorded run. */
export const BATCH = 2;

const seeds: Readonly<Record<string, readonly string[]>> = seedFile;
const seedsOf = (name: string): Uint8Array[] => (seeds[name] ?? []).map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));

const isCodec = (value: unknown): value is Codec<unknown> =>
  typeof value === 'object' && value !== null && 'read' in value && 'write' in value;

/** All codecs among `values`, which are named by their keys: a codec added there is fuzzed without another word. */
const codecsOf = (room: string, values: Readonly<Record<string, unknown>>): Decoder[] =>
  Object.entries(values).flatMap(([name, value]) => {
    const full = `${room}/${name}`;
    return isCodec(value) ? [ofCodec(full, value, seedsOf(full))] : [];
  });

interface NamedRound {
  readonly name: string;
  readonly codec: unknown;
}
/** The messages of a protocol by the names of their rounds. */
const roundsOf = (rounds: readonly NamedRound[]): Decoder[] =>
  codecsOf('round', Object.fromEntries(rounds.map(({ name, codec }) => [name, codec])));

const refused = (error: unknown): boolean => error instanceof Refusal;
/** A decoder that is a function of the bytes. Without `fieldsOf` the damage is blind. */
const ofFunction = (
  name: string,
  again: Decoder['again'],
  {
    documented = refused,
    fieldsOf = () => [],
  }: { documented?: Decoder['documented']; fieldsOf?: (bytes: Uint8Array) => readonly Field[] } = {},
): Decoder => ({ name, again, documented, specimens: seedsOf(name).map((bytes) => ({ bytes, fields: fieldsOf(bytes) })) });

const nothing = (_: unknown): undefined => undefined;
const text = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

/** Reads all messages of a stream that arrives in pieces of seven bytes, and parses them as frames. */
async function readStream(bytes: Uint8Array): Promise<undefined> {
  let at = 0;
  const reader = new MessageReader({
    prioritise: () => undefined,
    write: async () => undefined,
    read: async () => (at < bytes.length ? bytes.slice(at, (at += 7)) : undefined),
  });
  for (let message = await reader.next(MAX_FRAME_BYTES); message !== undefined; message = await reader.next(MAX_FRAME_BYTES)) {
    parse(frameCodec, message);
  }
}

const JOURNAL_HEAD = 8;
const journalFields = ({ length }: Uint8Array): Field[] => {
  const fields: Field[] = [{ kind: 'raw', at: 0, length: JOURNAL_HEAD }];
  for (let at = JOURNAL_HEAD; at < length; at += 80) {
    for (const [offset, size] of [[0, 32], [32, 32], [64, 16]] as const) fields.push({ kind: 'raw', at: at + offset, length: size }); // prettier-ignore
  }
  return fields;
};

/** Opening a journal leaves a beginning of what was there (or only its head, when there was nothing), or it is refused. */
async function readJournal(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'threshold-wallet-fuzz-'));
  try {
    const path = join(folder, 'burns');
    await writeFile(path, bytes, { mode: 0o600 });
    const journal = await openBurnJournal(path);
    await journal.close();
    const left = new Uint8Array(await readFile(path));
    const fresh = left.length === JOURNAL_HEAD && (bytes.length < JOURNAL_HEAD || bytes.every((byte) => byte === 0));
    return fresh || equalBytes(left, bytes.subarray(0, left.length)) ? undefined : left;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The messages of resharing have lengths by the plan; the one of the recorded run is a seed itself. */
const reshareOf = (plan: Uint8Array | undefined): Decoder[] =>
  plan === undefined ? [] : roundsOf(Object.values(reshareRounds(decode(resharing.plan, plan))));

export const decoders = (): Decoder[] => [
  ...codecsOf('curve', { point, scalar }),
  ...codecsOf('protocol', { envelope, echo: bytes(32) }),
  ...roundsOf([
    ...Object.values(keygenRounds(T)),
    ...Object.values(auxRounds(PARAMETERS)),
    ...Object.values(presignRounds(PARAMETERS, T, BATCH)),
    partialRound,
    frostKeygen.commitRound,
    frostKeygen.openRound(T),
    frostKeygen.shareRound,
    frostKeygen.confirmRound,
    frostSign.nonceRound,
    frostSign.signatureShareRound,
  ]),
  ...reshareOf(seedsOf('resharing/plan')[0]),
  ...codecsOf('resharing', { ...resharing, ...statements, switchRecord }),
  ...codecsOf('proof', {
    sch: sch.proof,
    prm: prm.proof(PARAMETERS),
    mod: mod.proof(PARAMETERS),
    fac: fac.proof(PARAMETERS),
    'enc-elg': encElg.proof(PARAMETERS),
    'aff-g': affG.proof(PARAMETERS),
    elog: elog.proof(PARAMETERS),
    dec: dec.proof(PARAMETERS, T),
    'aff-g*': affGStar.proof(PARAMETERS),
    possession: proofOfPossession,
  }),
  ...codecsOf('record', {
    'key share': keyShare,
    'frost share': frostShare,
    'aux info': auxInfo(PARAMETERS),
    presignature: presignatures.presignature,
    'presignature, sealed': presignatures.sealedPresignature,
    'presignature, public': presignatures.presignaturePublic,
    'nonce commitment': nonceCommitment,
    'key in the vault': entry,
    'pool fence': fenceCodec,
    'file of primes': primeFile,
  }),
  ofFunction(
    'record/presignature in the pool',
    (bytes) => {
      const { burnsBefore, ...record } = decodeStored(bytes, 'a presignature');
      return encodeStored(record, burnsBefore);
    },
    { fieldsOf: (bytes) => layout(storedPresignature, decode(storedPresignature, bytes)) },
  ),
  ofFunction('storage/burn journal', readJournal, { fieldsOf: journalFields }),
  ofFunction('storage/vault header', (bytes) => nothing(parseHeader(bytes, 'header.json'))),
  ...codecsOf('mesh', { hello, frame: frameCodec, failure: failureCodec, conflictingMessages }),
  ...codecsOf('mesh', {
    request: calls.requestEnvelope,
    answer: calls.answerEnvelope,
    'failed call': calls.failureEnvelope,
  }),
  ofFunction('mesh/stream', readStream, { documented: (error) => error instanceof LinkError }),
  ...codecsOf('evidence', { file: evidenceFile }),
  ...codecsOf('consensus', { proposal, signedProposal, vote, quorumCertificate }),
  ...codecsOf('wallet', walletMessages),
  ...codecsOf('bitcoin', payment),
  ofFunction('bitcoin/address', (bytes) => nothing(parseRecipient(text(bytes), 'mainnet'))),
  ofFunction('bitcoin/taproot message', (bytes) => nothing(taprootSighash(bytes))),
];
