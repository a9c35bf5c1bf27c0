/**
 * The rounds of one protocol run, as one party sees them. A protocol declares its messages beside its function and calls `echo`, `broadcast`
 * or `send`; every call sends this party's message and resolves with exactly one valid message from each peer, or throws a fault that names
 * who broke the round. How bytes travel is the {@link Channel}'s business: an array in a test, the mesh in a node.
 *
 * Every message is signed by its author and kept until the run ends (signed.ts), so a bad message is evidence for others (cggmp24.md §2.5, 6.8).
 */
import { equalBytes } from '../base/bytes.ts';
import { bytesUpTo, decode, DecodeError, encode, list, struct, type Codec } from '../base/codec.ts';
import { Abandoned, Fault, type Claim } from '../base/errors.ts';
import {
  conflictingMessages,
  decodeOr,
  disputeCodec,
  disputeName,
  echoCodec,
  echoHash,
  echoName,
  envelope,
  EVERYBODY,
  MAX_MESSAGE_BYTES,
  MessageLog,
  sealed,
  signedDigest,
  signedPart,
  type SignedMessage,
} from './signed.ts';
import { sha256 } from './transcript.ts';

export { echoHash, envelope, EVERYBODY, MAX_MESSAGE_BYTES, signedDigest, signedPart } from './signed.ts';

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
export type AnyRound = Round<unknown, 'echo' | 'broadcast' | 'p2p'>;
/** Reliable broadcast: the parties compare what they saw before anybody uses it. */
export const echoRound = <T>(name: string, codec: Codec<T>): Round<T, 'echo'> => ({ name, delivery: 'echo', codec });
/** The same message to everybody, without comparison. */
export const broadcastRound = <T>(name: string, codec: Codec<T>): Round<T, 'broadcast'> => ({ name, delivery: 'broadcast', codec });
/** One message per receiver, private between the two. */
export const p2pRound = <T>(name: string, codec: Codec<T>): Round<T, 'p2p'> => ({ name, delivery: 'p2p', codec });

/**
 * The last message of a party that ends its run because of others: files of evidence for those who could not see the fault themselves. It is read
 * only when its sender has left, in place of what the reader was waiting for.
 */
export const complaintRound = broadcastRound('complaint', list(bytesUpTo(MAX_MESSAGE_BYTES), { max: 8 }));
/** Whether a complaint of these files is short enough to be sent. */
export const sendable = (files: readonly Uint8Array[]): boolean =>
  files.length <= 8 && files.reduce((total, file) => total + 4 + file.length, 4) <= MAX_MESSAGE_BYTES;

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
  /** What others have signed in this run, as this party got it. */
  readonly log: MessageLog;
  /** @throws Fault of the equivocator, or of a party whose echo is not of what it was sent, when the parties saw different messages. */
  echo<T>(round: Round<T, 'echo'>, message: T): Promise<ReadonlyMap<number, T>>;
  broadcast<T>(round: Round<T, 'broadcast'>, message: T): Promise<ReadonlyMap<number, T>>;
  send<T>(round: Round<T, 'p2p'>, messages: ReadonlyMap<number, T>): Promise<ReadonlyMap<number, T>>;
  /**
   * After a round without echo in which this party and `others` find that they did not see the same: each side shows the signatures of what it saw.
   * Resolves with the fault of whoever signed two messages, or does not show what it saw, or else with one that names nobody, for `reason`.
   */
  differ<T>(round: Round<T, 'broadcast'>, others: readonly number[], reason: string): Promise<Fault>;
  /** A fault of `culprit` about its message of `round`, with the signed message as evidence. `check` is what a third party can judge it by. */
  fault(culprit: number, round: AnyRound, reason: string, check?: string): Fault;
  /**
   * Judges a private message that another party shows as evidence (`Evidence.signed`): what `from` really sent to `to` in `round` of this run.
   * `malformed`: it signed bytes that are no message of the round. `forged`: it never signed them, so nothing is shown about it.
   */
  reopen<T>(round: Round<T, 'p2p'>, from: number, to: number, signed: Uint8Array): { readonly message: T } | 'malformed' | 'forged';
  /** Tells everybody why this party ends its run. Nothing is awaited: the channel delivers it before the end. */
  complain(files: readonly Uint8Array[]): void;
  /** What those parties that left have complained of, by party. */
  complaints(): Promise<ReadonlyMap<number, readonly Uint8Array[]>>;
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
  const log = new MessageLog();
  const departed = new Set<number>();

  const faultOf = (claims: readonly Claim[], reason: string, round: string, provable = true): Fault => {
    const [{ accused, to = EVERYBODY }] = claims as readonly [Claim];
    const original = log.find(round, accused, to);
    const signed = original && sealed(original);
    const culprits = [...new Set(claims.map((claim) => claim.accused))].sort((a, b) => a - b);
    return new Fault(culprits, reason, { round, detail: reason, ...(provable && { claims }), ...(signed !== undefined && { signed }) });
  };
  const receiverOf = (delivery: AnyRound['delivery']): { to?: number } => (delivery === 'p2p' ? { to: me } : {});

  function seal(round: string, to: number, payload: Uint8Array): Uint8Array {
    const digest = sha256(payload);
    const signature = identity.sign(signedDigest(sid, round, me, to, digest));
    if (to === EVERYBODY) log.add({ round, from: me, to, digest, signature, payload });
    return encode(envelope, { payload, signature });
  }

  /** Keeps what `from` signed; `undefined` when it did not sign it. */
  function admit(round: string, from: number, to: number, message: Uint8Array): SignedMessage | undefined {
    const opened = decodeOr(undefined, envelope, message);
    if (opened === undefined || !identity.verify(from, signedPart(sid, round, from, to, opened.payload), opened.signature))
      return undefined;
    const admitted = { round, from, to, digest: sha256(opened.payload), ...opened };
    log.add(admitted);
    return admitted;
  }

  async function receive(round: string, from: number, to: number): Promise<Uint8Array> {
    try {
      return await channel.receive(from, round);
    } catch (error) {
      if (error instanceof Abandoned) departed.add(error.by);
      const both = error instanceof Fault && error.evidence.signed !== undefined && decodeOr(undefined, conflictingMessages, error.evidence.signed); // prettier-ignore
      if (!both) throw error;
      // The channel got two: evidence for others only where both are signed.
      const proven = [both.first, both.second].every((message) => admit(round, from, to, message) !== undefined);
      if (!proven || log.conflict(round, from, to) === undefined) throw error;
      throw faultOf([{ accused: from, check: 'equivocation', round, ...(to === me && { to }) }], error.reason, round);
    }
  }

  async function open<T>(round: string, codec: Codec<T>, from: number, to: number): Promise<T> {
    const message = await receive(round, from, to);
    const malformed = (problem: string) => `malformed message in round ${round}: ${problem}`;
    const admitted = admit(round, from, to, message);
    // What the party did not sign shows nobody else anything.
    if (admitted === undefined) throw new Fault([from], malformed('signature: does not verify'), { round, detail: 'signature' });
    try {
      return decode(codec, admitted.payload!);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw faultOf([{ accused: from, check: 'malformed', round, ...(to === me && { to }) }], malformed(error.message), round);
    }
  }

  async function collect<T>(round: string, codec: Codec<T>, to: number): Promise<Map<number, T>> {
    // Every peer's message is awaited even when one fails, so that no rejection is left unhandled; a fault that names somebody goes first.
    const settled = await Promise.allSettled(peers.map((from) => open(round, codec, from, to)));
    const failures = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw failures.find((error) => error instanceof Fault && error.culprits.length > 0) ?? failures[0];
    tracer.round(round, 'received');
    return new Map(settled.map((result, k) => [peers[k]!, (result as PromiseFulfilledResult<T>).value]));
  }

  async function broadcast<T>(name: string, codec: Codec<T>, message: T): Promise<Map<number, T>> {
    const sealedMessage = seal(name, EVERYBODY, encode(codec, message));
    for (const to of peers) channel.send(to, name, sealedMessage);
    tracer.round(name, 'sent');
    return collect(name, codec, EVERYBODY);
  }

  /**
   * The views of `others` differ from ours: who sent different messages, or says it saw another one than it can show? Each side shows the signatures
   * of what it saw. Two of one author for different messages convict the author; of an echoed round, a view that its own owner's list does not give
   * convicts the owner.
   */
  async function dispute(round: string, others: readonly number[], echoed = true): Promise<Fault> {
    const mine = Array.from({ length: n }, (_, j) => log.find(round, j, EVERYBODY)!);
    const shown = seal(disputeName(round), EVERYBODY, encode(disputeCodec(n), mine));
    for (const to of peers) channel.send(to, disputeName(round), shown);
    const answers = await Promise.allSettled(others.map((from) => open(disputeName(round), disputeCodec(n), from, EVERYBODY)));
    const found = answers.flatMap((answer, k) =>
      answer.status === 'fulfilled' ? compare(round, others[k]!, mine, answer.value, echoed) : [],
    );
    const claims = [...new Map(found.map((claim) => [`${claim.accused} ${claim.check}`, claim])).values()];
    const reason = `parties saw different messages in round ${round}`;
    if (claims.length > 0) {
      const what = claims.map(({ accused, check }) =>
        check === 'equivocation' ? `party ${accused} signed two` : `party ${accused} echoed what it cannot show`,
      );
      return faultOf(claims, `${reason}: ${[...new Set(what)].join(', ')}`, round);
    }
    const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    const named = failures.find((error) => error instanceof Fault && error.culprits.length > 0);
    return named instanceof Fault ? named : new Fault([], reason, { round, detail: 'echo mismatch' });
  }

  function compare(
    round: string,
    owner: number,
    mine: readonly SignedMessage[],
    theirs: readonly { digest: Uint8Array; signature: Uint8Array }[],
    echoed: boolean,
  ): Claim[] {
    const signed = theirs.every(({ digest, signature }, j) =>
      identity.verify(j, signedDigest(sid, round, j, EVERYBODY, digest), signature),
    );
    const own = echoHash(
      sid,
      round,
      theirs.map(({ digest }) => digest),
    );
    // Without an echo there is nothing that the owner has signed of its view: a list with a false signature in it shows nothing.
    if (!echoed && !signed) return [];
    if (echoed && (!signed || !equalBytes(own, log.find(echoName(round), owner, EVERYBODY)!.payload!)))
      return [{ accused: owner, check: 'echo', round }];
    return theirs.flatMap(({ digest, signature }, j) => {
      if (equalBytes(digest, mine[j]!.digest)) return [];
      log.add({ round, from: j, to: EVERYBODY, digest, signature });
      return [{ accused: j, check: 'equivocation', round }];
    });
  }

  return {
    sid,
    me,
    n,
    peers,
    tracer,
    log,

    broadcast: (round, message) => broadcast(round.name, round.codec, message),

    async echo(round, message) {
      const received = await broadcast(round.name, round.codec, message);
      // The payloads are compared, not the signatures.
      const all = Array.from({ length: n }, (_, j) => log.find(round.name, j, EVERYBODY)!.digest);
      const view = echoHash(sid, round.name, all);
      const views = await broadcast(echoName(round.name), echoCodec, view);
      const others = [...views].filter(([, theirs]) => !equalBytes(theirs, view)).map(([j]) => j);
      if (others.length > 0) throw await dispute(round.name, others);
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

    async differ({ name }, others, reason) {
      const fault = await dispute(name, others, false);
      return fault.culprits.length > 0 ? fault : new Fault([], reason, { round: name, detail: reason });
    },

    fault: (culprit, { name, delivery }, reason, check) =>
      faultOf([{ accused: culprit, check: check ?? '', round: name, ...receiverOf(delivery) }], reason, name, check !== undefined),

    reopen(round, from, to, signed) {
      const admitted = admit(round.name, from, to, signed);
      return admitted === undefined ? 'forged' : decodeOr('malformed', struct({ message: round.codec }), admitted.payload!);
    },

    complain(files) {
      const complaint = seal(complaintRound.name, EVERYBODY, encode(complaintRound.codec, [...files]));
      for (const to of peers) channel.send(to, complaintRound.name, complaint);
    },

    async complaints() {
      const found = new Map<number, readonly Uint8Array[]>();
      await Promise.all(
        [...departed].map(async (from) => {
          try {
            found.set(from, await open(complaintRound.name, complaintRound.codec, from, EVERYBODY));
          } catch (error) {
            // It left without one, or with something that is none: then it is only gone.
            if (!(error instanceof Fault)) throw error;
          }
        }),
      );
      return new Map([...found].sort(([a], [b]) => a - b));
    },
  };
}
