/**
 * The rounds of one protocol run, as one party sees them. A protocol declares its messages beside its function and calls `echo`, `broadcast`
 * or `send`; every call sends this party's message and resolves with exactly one valid message from each peer, or throws a fault that names
 * who broke the round. How bytes travel is the {@link Channel}'s business: an array in a test, the mesh in a node.
 *
 * Every message is signed by its author over (sid, round, receiver, bytes), so a bad message is evidence for others (cggmp24.md §2.5, 6.8).
 */
import { equalBytes } from '../base/bytes.ts';
import { bytes, bytesUpTo, decode, DecodeError, encode, struct, versioned, type Codec } from '../base/codec.ts';
import { Fault } from '../base/errors.ts';
import { sha256, Transcript } from './transcript.ts';

/** Bytes in and out of one session. */
export interface Channel {
  /** Queues a message; delivery is the channel's concern, failure shows as silence on the other side. */
  send(to: number, round: string, message: Uint8Array): void;
  /** The one message of `from` in `round`. @throws Silence after the deadline, AbortError when the run is cancelled. */
  receive(from: number, round: string): Promise<Uint8Array>;
}

/** The long-term Ed25519 identity of this party and the public ones of its peers, by index of the run. */
export interface Identity {
  sign(message: Uint8Array): Uint8Array;
  verify(party: number, message: Uint8Array, signature: Uint8Array): boolean;
}

/** What a round carries, and how. The three kinds have different types, so that a protocol cannot send one as the other. */
export interface Round<T, Delivery extends 'echo' | 'broadcast' | 'p2p'> {
  readonly name: string;
  readonly delivery: Delivery;
  readonly codec: Codec<T>;
}
/** Reliable broadcast: the parties compare what they saw before anybody uses it. */
export const echoRound = <T>(name: string, codec: Codec<T>): Round<T, 'echo'> => ({ name, delivery: 'echo', codec });
/** The same message to everybody, without comparison. */
export const broadcastRound = <T>(name: string, codec: Codec<T>): Round<T, 'broadcast'> => ({ name, delivery: 'broadcast', codec });
/** One message per receiver, private between the two. */
export const p2pRound = <T>(name: string, codec: Codec<T>): Round<T, 'p2p'> => ({ name, delivery: 'p2p', codec });

/** Called as a run goes on; for progress displays, traces and profiles. Never given message contents. */
export interface Tracer {
  round(name: string, event: 'sent' | 'received'): void;
  /** A named piece of local work: 'prove fac', 'verify mod 3' … `done` of `total`. */
  work(name: string, done: number, total: number): void;
}

export interface Rounds {
  readonly sid: Uint8Array;
  /** Own index in the participant list of this run. */
  readonly me: number;
  /** Number of participants. */
  readonly n: number;
  readonly tracer: Tracer;
  /** All indices but `me`, ascending. */
  readonly peers: readonly number[];
  echo<T>(round: Round<T, 'echo'>, message: T): Promise<ReadonlyMap<number, T>>;
  broadcast<T>(round: Round<T, 'broadcast'>, message: T): Promise<ReadonlyMap<number, T>>;
  send<T>(round: Round<T, 'p2p'>, messages: ReadonlyMap<number, T>): Promise<ReadonlyMap<number, T>>;
  /** A fault of `culprit` about its message of `round`, with the signed message as evidence. */
  fault(culprit: number, round: Round<unknown, 'echo' | 'broadcast' | 'p2p'>, reason: string): Fault;
  /**
   * Judges a private message that another party shows as evidence (`Evidence.signed`): what `from` really sent to `to` in `round` of this run.
   * `malformed`: it signed bytes that are no message of the round. `forged`: it never signed them, so nothing is shown about it.
   */
  reopen<T>(round: Round<T, 'p2p'>, from: number, to: number, signed: Uint8Array): { readonly message: T } | 'malformed' | 'forged';
}

const SIGNATURE_BYTES = 64;
/** Largest payload of one protocol message: Π^mod and Π^prm of aux info are about 100 kB each. */
export const MAX_MESSAGE_BYTES = 1 << 20;
/** What travels: the payload and its author's signature. */
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

/** The decoded value, or `otherwise` when the bytes are not one. */
function decodeOr<T, const W extends string>(otherwise: W, codec: Codec<T>, encoded: Uint8Array): T | W {
  try {
    return decode(codec, encoded);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return otherwise;
  }
}

const silent: Tracer = { round: () => undefined, work: () => undefined };

export function createRounds(options: {
  sid: Uint8Array;
  me: number;
  n: number;
  channel: Channel;
  identity: Identity;
  tracer?: Tracer;
}): Rounds {
  const { sid, me, n, channel, identity, tracer = silent } = options;
  const peers = Array.from({ length: n }, (_, j) => j).filter((j) => j !== me);
  /** Signed originals by round and author, for evidence. */
  const originals = new Map<string, Uint8Array>();
  const key = (round: string, from: number) => `${from}/${round}`;

  const faultOf = (culprit: number, round: string, reason: string): Fault => {
    const signed = originals.get(key(round, culprit));
    return new Fault([culprit], reason, { round, detail: reason, ...(signed !== undefined && { signed }) });
  };

  const seal = (round: string, to: number, payload: Uint8Array): Uint8Array =>
    encode(envelope, { payload, signature: identity.sign(signedPart(sid, round, me, to, payload)) });

  async function open<T>(round: string, codec: Codec<T>, from: number, to: number): Promise<T> {
    const message = await channel.receive(from, round);
    try {
      const { payload, signature } = decode(envelope, message);
      if (!identity.verify(from, signedPart(sid, round, from, to, payload), signature))
        throw new DecodeError('signature', 'does not verify');
      // Kept only now: what the party did not sign shows nobody else anything.
      originals.set(key(round, from), message);
      return decode(codec, payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw faultOf(from, round, `malformed message in round ${round}: ${error.message}`);
    }
  }

  async function collect<T>(round: string, codec: Codec<T>, to: number): Promise<Map<number, T>> {
    // Every peer's message is awaited even when one fails, so that no rejection is left unhandled; the first fault in index order is thrown.
    const settled = await Promise.allSettled(peers.map((from) => open(round, codec, from, to)));
    const received = new Map<number, T>();
    for (const [k, result] of settled.entries()) {
      if (result.status === 'rejected') throw result.reason;
      received.set(peers[k]!, result.value);
    }
    tracer.round(round, 'received');
    return received;
  }

  async function broadcast<T>(name: string, codec: Codec<T>, message: T): Promise<Map<number, T>> {
    const sealed = seal(name, EVERYBODY, encode(codec, message));
    originals.set(key(name, me), sealed);
    for (const to of peers) channel.send(to, name, sealed);
    tracer.round(name, 'sent');
    return collect(name, codec, EVERYBODY);
  }

  return {
    sid,
    me,
    n,
    peers,
    tracer,

    broadcast: (round, message) => broadcast(round.name, round.codec, message),

    async echo(round, message) {
      const received = await broadcast(round.name, round.codec, message);
      // The payloads are compared, not the signatures.
      const all = Array.from({ length: n }, (_, j) => sha256(decode(envelope, originals.get(key(round.name, j))!).payload));
      const view = echoHash(sid, round.name, all);
      const views = await broadcast(`${round.name}/echo`, bytes(32), view);
      for (const [j, theirs] of views) {
        if (!equalBytes(theirs, view)) {
          throw new Fault([], `parties ${me} and ${j} saw different messages in round ${round.name}`, {
            round: round.name,
            detail: 'echo mismatch',
          });
        }
      }
      return received;
    },

    async send(round, messages) {
      for (const to of peers) {
        const message = messages.get(to);
        if (message === undefined) throw new RangeError(`round ${round.name}: no message for party ${to}`);
        channel.send(to, round.name, seal(round.name, to, encode(round.codec, message)));
      }
      tracer.round(round.name, 'sent');
      return collect(round.name, round.codec, me);
    },

    fault: (culprit, round, reason) => faultOf(culprit, round.name, reason),

    reopen(round, from, to, signed) {
      const opened = decodeOr('forged', envelope, signed);
      if (opened === 'forged' || !identity.verify(from, signedPart(sid, round.name, from, to, opened.payload), opened.signature))
        return 'forged';
      return decodeOr('malformed', struct({ message: round.codec }), opened.payload);
    },
  };
}
