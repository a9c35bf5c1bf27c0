/**
 * Signed messages of a run, and the log of them that a party keeps until the run ends. Every message is signed by its author over
 * (sid, round, author, receiver, hash of the payload), so that a bad one convinces whoever was not there (cggmp24.md §2.5, 6.8).
 */
import { bytes, bytesUpTo, decode, DecodeError, encode, list, struct, versioned, type Codec } from '../base/codec.ts';
import { sha256, Transcript } from './transcript.ts';

const SIGNATURE_BYTES = 64;
/** Largest payload of one protocol message: a proof of the error rounds has 340 kB, Π^mod and Π^prm of aux info about 100 kB each. */
export const MAX_MESSAGE_BYTES = 1 << 20;
export const envelope = versioned(1, struct({ payload: bytesUpTo(MAX_MESSAGE_BYTES), signature: bytes(SIGNATURE_BYTES) }));

/** Stands for everybody as the receiver: a broadcast has one signature for all receivers. */
export const EVERYBODY = 0xffffffff;
/** What the author signs: the hash of the payload, so that a signature shows which message it was of without carrying it. */
export const signedDigest = (sid: Uint8Array, round: string, from: number, to: number, digest: Uint8Array): Uint8Array =>
  new Transcript('round-message/v1').bytes(sid).text(round).u32(from).u32(to).bytes(digest).preimage();
export const signedPart = (sid: Uint8Array, round: string, from: number, to: number, payload: Uint8Array): Uint8Array =>
  signedDigest(sid, round, from, to, sha256(payload));

/**
 * h_i = SHA-256(T("echo"), B(sid), T(round), L(B(SHA-256(payload)))), payloads in index order, own included (§2.5). Hashes of the payloads are
 * hashed, so that whoever shows what a party echoed needs only the payloads that matter.
 */
export const echoHash = (sid: Uint8Array, round: string, digests: readonly Uint8Array[]): Uint8Array =>
  new Transcript('echo')
    .bytes(sid)
    .text(round)
    .list(digests, (t, digest) => t.bytes(digest))
    .digest();

/** The rounds that follow an echoed one: what a party saw, and, when two differ, the signatures of what it saw. */
export const echoName = (round: string): string => `${round}/echo`;
export const disputeName = (round: string): string => `${round}/dispute`;
export const echoCodec = bytes(32);
/** For every party in index order the hash of its message and its signature: enough to show that it signed another one. */
export const disputeCodec = (n: number): Codec<{ digest: Uint8Array; signature: Uint8Array }[]> =>
  list(struct({ digest: bytes(32), signature: bytes(SIGNATURE_BYTES) }), { exact: n });
/** Evidence of equivocation that a channel got: two messages in one place, as they came, each signed by its author. */
export const conflictingMessages = struct({ first: bytesUpTo(2 * MAX_MESSAGE_BYTES), second: bytesUpTo(2 * MAX_MESSAGE_BYTES) });

/** The payload is absent where only its hash is known. */
export interface SignedMessage {
  readonly round: string;
  readonly from: number;
  /** {@link EVERYBODY} for a broadcast. */
  readonly to: number;
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly payload?: Uint8Array;
}

/** What a party has of others, by its signature: the first message of each kind, and any other that the same author signed in its place. */
export class MessageLog {
  readonly #messages = new Map<string, SignedMessage>();
  readonly #conflicts: SignedMessage[] = [];

  add(message: SignedMessage): void {
    const key = keyOf(message.round, message.from, message.to);
    const known = this.#messages.get(key);
    if (known === undefined) this.#messages.set(key, message);
    else if (Buffer.compare(known.digest, message.digest) !== 0) this.#conflicts.push(message);
  }

  find(round: string, from: number, to: number): SignedMessage | undefined {
    return this.#messages.get(keyOf(round, from, to));
  }

  /** Two messages that one party signed for the same place, if there are any. */
  conflict(round: string, from: number, to: number): readonly [SignedMessage, SignedMessage] | undefined {
    const first = this.find(round, from, to);
    const second = this.#conflicts.find((message) => message.round === round && message.from === from && message.to === to);
    return first === undefined || second === undefined ? undefined : [first, second];
  }
}

const keyOf = (round: string, from: number, to: number): string => `${from}>${to}/${round}`;

/** The decoded value, or `otherwise` when the bytes are not one. */
export function decodeOr<T, const W>(otherwise: W, codec: Codec<T>, encoded: Uint8Array): T | W {
  try {
    return decode(codec, encoded);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return otherwise;
  }
}

export const sealed = ({ payload, signature }: SignedMessage): Uint8Array | undefined =>
  payload === undefined ? undefined : encode(envelope, { payload, signature });
