/**
 * Parties in one process: an in-memory network without clocks, over which the very protocol functions of production run in tests, examples
 * and benchmarks. The adversary harness is one hook, {@link Override}: it replaces the payload that one party sends to one receiver in one
 * round, and the message is signed again by its author, so that only the content is wrong.
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { decode, encode, type Codec } from '../../base/codec.ts';
import { Abandoned, Silence } from '../../base/errors.ts';
import { createRounds, EVERYBODY, signedPart, type Channel, type Identity, type Round, type Rounds, type Tracer } from '../rounds.ts';

/** Returns the payload to send instead, `undefined` to stay silent, or the given payload to change nothing. */
export type Override = (from: number, to: number, round: string, payload: Uint8Array) => Uint8Array | undefined;

/** An override of one party in one round that edits the decoded message. Without `to` it edits what everybody receives. */
export const tamper =
  <T>(who: number, round: Round<T, 'echo' | 'broadcast' | 'p2p'>, edit: (message: T, to: number) => T, to?: number): Override =>
  (from, receiver, name, payload) =>
    from === who && name === round.name && (to === undefined || to === receiver)
      ? encode(round.codec as Codec<T>, edit(decode(round.codec as Codec<T>, payload), receiver))
      : payload;

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** A test identity from a fixed seed: deterministic, and worthless outside tests. */
function testKey(index: number): { secret: KeyObject; public: KeyObject } {
  const seed = createHash('sha256').update(`test identity ${index}`).digest();
  const secret = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  return { secret, public: createPublicKey(secret) };
}

export interface Signer {
  /** 32 bytes, raw. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}
const testSigner = (index: number): Signer => {
  const { secret } = testKey(index);
  return { publicKey: testPublicKey(index), sign: (message) => new Uint8Array(sign(null, message, secret)) };
};
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const keyOf = (signer: Signer) => ({
  sign: (message: Uint8Array) => signer.sign(message),
  public: createPublicKey({ key: Buffer.concat([SPKI_ED25519, signer.publicKey]), format: 'der', type: 'spki' }),
});

/** 32 bytes, raw: the public identity key of test party `index`. */
export const testPublicKey = (index: number): Uint8Array =>
  new Uint8Array(testKey(index).public.export({ format: 'der', type: 'spki' })).slice(-32);

/** Whether `party` of a memory network signed `message` in `round`, for whomever. */
export function authentic(sid: Uint8Array, party: number, round: string, message: Uint8Array): boolean {
  const [payload, signature] = [message.slice(ENVELOPE_HEAD, -64), message.slice(-64)];
  const receivers = [EVERYBODY, ...Array.from({ length: 64 }, (_, j) => j)];
  return receivers.some((to) => verify(null, signedPart(sid, round, party, to, payload), testKey(party).public, signature));
}

const ENVELOPE_HEAD = 5; // version byte and payload length, before the payload; the 64-byte signature follows it

export function memoryNetwork(
  n: number,
  sid: Uint8Array,
  options: {
    override?: Override;
    tracer?: (party: number) => Tracer;
    onMessage?: (from: number, to: number, round: string, size: number) => void;
    /** Whose identities the parties have, by position; 0 … n − 1 when absent. */
    members?: readonly number[];
    /** Identities of one's own, by position. */
    signers?: readonly Signer[];
  } = {},
): Network {
  const keys = Array.from({ length: n }, (_, i) => keyOf(options.signers?.[i] ?? testSigner(options.members?.[i] ?? i)));
  const boxes = new Map<string, Uint8Array | null>();
  const waiting = new Map<
    string,
    { resolve: (message: Uint8Array | null) => void; reject: (error: Error) => void; from: number; round: string }
  >();
  /** What those who wait for a party that is gone get, by round. */
  const departed = new Map<number, (round: string) => Error>();

  const parties = keys.map((own, me) => {
    const identity: Identity = {
      sign: own.sign,
      verify: (party, message, signature) => verify(null, message, keys[party]!.public, signature),
    };
    const channel: Channel = {
      send(to, round, message) {
        let out: Uint8Array | null = message;
        if (options.override !== undefined) {
          const payload = message.slice(ENVELOPE_HEAD, -64);
          const replaced = options.override(me, to, round, payload);
          if (replaced === undefined) out = null;
          else if (Buffer.compare(replaced, payload) !== 0) out = resign(replaced);
        }
        options.onMessage?.(me, to, round, out?.length ?? 0);
        const key = `${me}>${to}/${round}`;
        const receiver = waiting.get(key);
        waiting.delete(key);
        if (receiver !== undefined) receiver.resolve(out);
        else boxes.set(key, out);

        function resign(payload: Uint8Array): Uint8Array {
          // A broadcast is signed for everybody, a private message for its receiver: find out which this one was.
          for (const receiver of [EVERYBODY, to]) {
            if (verify(null, signedFor(receiver, message.slice(ENVELOPE_HEAD, -64)), own.public, message.slice(-64))) {
              const signature = identity.sign(signedFor(receiver, payload));
              const head = Buffer.alloc(ENVELOPE_HEAD);
              head.writeUInt8(1, 0);
              head.writeUInt32BE(payload.length, 1);
              return new Uint8Array(Buffer.concat([head, payload, signature]));
            }
          }
          throw new Error('unsigned message');
        }
        function signedFor(receiver: number, payload: Uint8Array): Uint8Array {
          return signedPart(sid, round, me, receiver, payload);
        }
      },
      async receive(from, round) {
        const key = `${from}>${me}/${round}`;
        if (!boxes.has(key) && departed.has(from)) throw departed.get(from)!(round);
        const message = boxes.has(key)
          ? boxes.get(key)!
          : await new Promise<Uint8Array | null>((resolve, reject) => waiting.set(key, { resolve, reject, from, round }));
        if (message === null) throw new Silence([from], round);
        return message;
      },
    };
    return createRounds({ sid, me, n, channel, identity, ...(options.tracer && { tracer: options.tracer(me) }) });
  });

  return {
    parties,
    async run(protocol) {
      const leave = (me: number, gone: (round: string) => Error) => {
        departed.set(me, gone);
        for (const [key, receiver] of waiting) {
          if (receiver.from !== me) continue;
          waiting.delete(key);
          receiver.reject(gone(receiver.round));
        }
      };
      const one = async (rounds: Rounds) => {
        const { me } = rounds;
        try {
          const result = await protocol(rounds, me);
          leave(me, (round) => new Silence([me], round));
          return result;
        } catch (error) {
          const claim = error instanceof Error ? error.message : String(error);
          leave(me, (round) => new Abandoned(me, claim, round));
          throw error;
        }
      };
      return Promise.allSettled(parties.map(one));
    },
  };
}

export interface Network {
  readonly parties: readonly Rounds[];
  /**
   * Runs `protocol` as every party at once. A party that fails has left, and one that is done is silent: peers that wait for it get {@link Abandoned} or
   * {@link Silence}, so no run hangs.
   */
  run<T>(protocol: (rounds: Rounds, me: number) => Promise<T>): Promise<PromiseSettledResult<T>[]>;
}

/** The values of a run in which everybody succeeded; throws the first failure otherwise. */
export function values<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
