/**
 * Parties in one process: for first steps, simulations and tests of programs that embed the protocols. Messages are signed and checked as between
 * machines, but all identities lie in one memory, so nothing is protected from anybody: real parties need a channel of their own
 * (`createRounds` with a {@link Channel} and an {@link Identity}).
 */
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { Abandoned, Refusal } from '../base/errors.ts';
import { hex } from '../base/bytes.ts';
import { createRounds, type Channel, type Identity, type Rounds } from '../protocol/rounds.ts';

export interface InMemoryNetwork {
  /** Public identity keys (Ed25519, 32 bytes) of `parties`, in that order: what a session id binds. */
  identities(parties: readonly number[]): Uint8Array[];
  /** The signature (Ed25519, 64 bytes) of a party's identity: for what is signed beside a run, such as the approval of a plan. */
  sign(party: number, message: Uint8Array): Uint8Array;
  /**
   * One session: runs `protocol` as each of `parties` at once. A party's index in the run is its position in the list. Resolves with their results in
   * that order when all are done.
   * @throws Refusal for a sid that was used before; otherwise what the first party that failed for a reason of its own has thrown
   */
  run<T>(sid: Uint8Array, parties: readonly number[], protocol: (rounds: Rounds, party: number) => Promise<T>): Promise<T[]>;
}

/** A network of parties 0 … n − 1 with fresh identities. */
export function inMemoryNetwork(n: number): InMemoryNetwork {
  const keys = Array.from({ length: n }, () => generateKeyPairSync('ed25519'));
  const used = new Set<string>();
  const keyOf = (party: number) => {
    const key = keys[party];
    if (key === undefined)
      throw new Refusal('unknown_party', 'parties', `no party ${party} in a network of ${n}`, `name parties from 0 to ${n - 1}`);
    return key;
  };

  return {
    identities: (parties) =>
      parties.map((party) => new Uint8Array(keyOf(party).publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))),

    sign: (party, message) => new Uint8Array(sign(null, message, keyOf(party).privateKey)),

    async run(sid, parties, protocol) {
      if (used.has(hex(sid))) {
        throw new Refusal('session_repeated', 'sid', 'a session id is used once', 'Make one from a fresh nonce for every run.', 409);
      }
      used.add(hex(sid));
      const identityOf = (me: number): Identity => ({
        sign: (message) => new Uint8Array(sign(null, message, keyOf(parties[me]!).privateKey)),
        verify: (from, message, signature) => verify(null, message, keyOf(parties[from]!).publicKey, signature),
      });
      const session = new Session();
      const results = await Promise.allSettled(
        parties.map(async (party, me) => {
          try {
            const rounds = createRounds({ sid, me, n: parties.length, channel: session.channel(me), identity: identityOf(me) });
            return await protocol(rounds, party);
          } catch (error) {
            session.leave(me, error instanceof Error ? error.message : String(error));
            throw error;
          }
        }),
      );
      const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
      // Who only saw somebody leave has nothing to say about why.
      if (failures.length > 0) throw failures.find((reason) => !(reason instanceof Abandoned)) ?? failures[0];
      return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    },
  };
}

interface Slot {
  readonly message: Promise<Uint8Array>;
  deliver(message: Uint8Array): void;
  fail(error: Error): void;
}

/** The messages of one session, each waited for or waiting. */
class Session {
  readonly #slots = new Map<string, Slot & { readonly from: number; readonly round: string }>();
  readonly #left = new Map<number, string>();

  channel(me: number): Channel {
    return {
      send: (to, round, message) => this.#slot(me, to, round).deliver(message),
      receive: (from, round) => this.#slot(from, me, round).message,
    };
  }

  /** Ends the waiting for a party that failed; what it has sent before stays. */
  leave(party: number, claim: string): void {
    this.#left.set(party, claim);
    for (const { from, round, fail } of this.#slots.values()) if (from === party) fail(new Abandoned(party, claim, round));
  }

  #slot(from: number, to: number, round: string): Slot {
    const key = `${from}>${to}/${round}`;
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    let [deliver, fail]: [Slot['deliver'], Slot['fail']] = [() => undefined, () => undefined];
    const message = new Promise<Uint8Array>((resolve, reject) => ([deliver, fail] = [resolve, reject]));
    // A slot that nobody waits for may fail too; whoever waits gets the error from `message` itself.
    message.catch(() => undefined);
    const slot = { message, deliver, fail, from, round };
    this.#slots.set(key, slot);
    const claim = this.#left.get(from);
    if (claim !== undefined) fail(new Abandoned(from, claim, round));
    return slot;
  }
}
