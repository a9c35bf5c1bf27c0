/**
 * `evidence/v1` and `/v2`: a file that convinces somebody who was not there that one party broke a protocol (docs/evidence.md). It holds what the session id is
 * a hash of, the public data behind those hashes, one claim, and the messages that the claim is judged by.
 *
 * Everything in it is either signed by the accused in that session, or bound by something that the accused signed: the hash in its echo, a commitment
 * that it has echoed, or the sid itself. So whoever writes the file can leave things out, and make nothing up.
 *
 * Version 2 is version 1 with the plan of a refresh or resharing, and what its new members stated beside the messages of the run; every other file stays
 * version 1.
 */
import { bytes, bytesUpTo, DecodeError, list, natural, oneOf, optional, struct, text, u32, type Codec, type Infer } from '../base/codec.ts';
import { MAX_PARTIES } from '../cggmp24/key-share.ts';
import { MAX_DEPTH } from '../curve/bip32.ts';
import { point } from '../curve/secp256k1.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/rounds.ts';
import { plan } from '../resharing/plan.ts';

/** A file is read only up to this size. The largest honest one is about a proof of the error rounds, with the ciphertexts of all signers. */
export const MAX_EVIDENCE_BYTES = 32 << 20;
const MAX_MODULUS_BITS = 3072;

const name = text(96);
const upTo = { max: MAX_PARTIES };
const modulus = natural(MAX_MODULUS_BITS);

const session = struct({
  protocol: name,
  parameters: oneOf(['production', 'test']),
  nonce: bytesUpTo(256),
  identities: list(bytes(32), upTo),
  t: u32,
  n: u32,
  keyId: text(64),
  epoch: u32,
  publicKey: optional(point),
  auxHash: bytesUpTo(32),
  path: list(u32, { max: MAX_DEPTH }),
  message: bytesUpTo(32),
  shares: bytesUpTo(32),
  count: u32,
});

/** What the hashes of the session are of; empty where it has none. */
const facts = struct({
  signers: list(u32, upTo),
  publicShares: list(point, upTo),
  aux: list(struct({ paillier: struct({ n: modulus }), pedersen: struct({ n: modulus, s: modulus, t: modulus }) }), upTo),
  /** What FROST signed: bound by the view in the accused's own share. */
  digest: bytesUpTo(32),
});

const claim = struct({ accused: u32, check: name, round: name, to: u32 });

/** By the accused; with the payload where the judgement reads it. */
const signed = struct({
  round: name,
  to: u32,
  digest: bytes(32),
  signature: bytes(64),
  payload: optional(bytesUpTo(MAX_MESSAGE_BYTES)),
});
/** Messages of others that the accused has acknowledged: by its echo of that round, or by one that a commitment in such a round binds. */
const acknowledged = struct({ round: name, author: u32, payload: bytesUpTo(MAX_MESSAGE_BYTES) });
/** SHA-256 of the payloads of an echoed round, by party: what the accused's echo is the hash of. */
const echoed = struct({ round: name, digests: list(bytes(32), upTo) });

const content = struct({
  session,
  facts,
  claim,
  signed: list(signed, { max: 32 }),
  acknowledged: list(acknowledged, { max: 4 * MAX_PARTIES }),
  echoed: list(echoed, { max: 8 }),
});

/** A statement of the accused about its new share: ACK of a result D, or REFUSE, which has none. */
const statement = struct({ digest: optional(bytes(32)), signature: bytes(64) });
const resharing = struct({ plan, statements: list(statement, { max: 2 }) });
export type Resharing = Infer<typeof resharing>;

/** `resharing` is absent in files of version 1. */
export type EvidenceFile = Infer<typeof content> & { readonly resharing?: Resharing };
export const evidenceFile: Codec<EvidenceFile> = {
  write(w, file) {
    w.u8(file.resharing === undefined ? 1 : 2);
    content.write(w, file);
    if (file.resharing !== undefined) resharing.write(w, file.resharing);
  },
  read(r) {
    const version = r.u8();
    if (version !== 1 && version !== 2) throw new DecodeError('', `version ${version}, only 1 and 2 are known`);
    const file = content.read(r);
    return version === 1 ? file : { ...file, resharing: resharing.read(r) };
  },
};
export type Facts = EvidenceFile['facts'];
export type FileClaim = EvidenceFile['claim'];
export type SignedExhibit = EvidenceFile['signed'][number];
