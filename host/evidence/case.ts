/**
 * One accusation as a judge sees it: a session, the accused, and messages that are what they seem. Each accessor checks what makes its message count
 * against the accused, and there is no other way to a message.
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { bitLength, concatBytes, equalBytes, fromHex } from '../base/bytes.ts';
import type { Codec } from '../base/codec.ts';
import type { Random } from '../base/random.ts';
import { auxHash, type PartyAux } from '../cggmp24/aux-record.ts';
import { sessionIdOf, sharesHash, type SessionRecord } from '../cggmp24/session.ts';
import { CheckFailed } from '../cggmp24/verify-each.ts';
import type { Core } from '../core/types.ts';
import type { ProofContext } from '../proofs/context.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import { echoHash, EVERYBODY, signedDigest, type AnyRound, type Round } from '../protocol/rounds.ts';
import { PLAN_KINDS } from '../resharing/plan.ts';
import { decodeOr, echoName } from '../protocol/signed.ts';
import { sha256 } from '../protocol/transcript.ts';
import type { Exhibits } from './exhibits.ts';
import type { Facts, FileClaim, Resharing } from './format.ts';

/** The file does not hold together, or lacks what the claim is judged by: it shows nothing about anybody. */
export class Unfounded extends Error {
  override readonly name = 'Unfounded';
}
export function require_(holds: unknown, problem: string): asserts holds {
  if (!holds) throw new Unfounded(problem);
}

/** DER in front of the 32 bytes of a raw Ed25519 public key (RFC 8410 §4). */
const SPKI_HEAD = fromHex('302a300506032b6570032100');

export interface Tools {
  readonly core: Core;
  readonly random: Random;
  readonly parameters: Parameters;
}

const UNDECODED = Symbol('undecoded');

export class Case {
  readonly sid: Uint8Array;
  /** Participants of the run. */
  readonly n: number;
  readonly #keys: readonly KeyObject[];
  readonly #seen = new Set<string>();

  /** @throws Unfounded for a session that does not hold together. */
  constructor(
    readonly record: SessionRecord,
    readonly facts: Facts,
    readonly claim: FileClaim,
    readonly tools: Tools,
    private readonly exhibits: Exhibits,
    /** Of a refresh or resharing; whoever opens the case has compared the plan with the session. */
    readonly resharing?: Resharing,
  ) {
    this.n = record.identities.length;
    this.#keys = record.identities.map(keyOf);
    require_(2 <= this.n && claim.accused < this.n, 'the accused is a party of the session');
    require_(claim.to === EVERYBODY || (claim.to < this.n && claim.to !== claim.accused), 'the receiver is another party of the session');
    checkFacts(record, facts, tools.parameters, this.n);
    try {
      this.sid = sessionIdOf(record);
    } catch (error) {
      throw new Unfounded(`the session has no id: ${(error as Error).message}`);
    }
  }

  get accused(): number {
    return this.claim.accused;
  }
  /** Whom the private message that the claim is about was for. */
  get receiver(): number {
    require_(this.claim.to !== EVERYBODY, 'the message was private: the claim names its receiver');
    return this.claim.to;
  }
  get aux(): readonly PartyAux[] {
    return this.facts.aux;
  }

  context(
    label: string,
    prover: number,
    rest: { verifier?: number; index?: number; rid?: Uint8Array; sid?: Uint8Array } = {},
  ): ProofContext {
    return { sid: this.sid, prover, label, ...this.tools, ...rest };
  }

  /** Whether `party` signed a message of that hash for `to` in `round` of this session. */
  signedBy(party: number, round: string, to: number, digest: Uint8Array, signature: Uint8Array): boolean {
    const key = this.#keys[party];
    return key !== undefined && verify(null, signedDigest(this.sid, round, party, to, digest), key, signature);
  }

  /** The bytes that the accused sent in a round, to all or to `to`. */
  bytes(round: string, to = EVERYBODY): Uint8Array {
    const exhibit = this.exhibits.signed(round, to);
    require_(exhibit?.payload !== undefined, `the accused's message of round ${round} is missing`);
    const { digest, signature, payload } = exhibit;
    require_(equalBytes(sha256(payload), digest), `the message of round ${round} is not what its hash says`);
    require_(
      this.signedBy(this.accused, round, to, digest, signature),
      `the signature under the message of round ${round} is not the accused's`,
    );
    this.about(round, to);
    return payload;
  }

  /** The message that the accused sent. @throws CheckFailed when it signed bytes that are none */
  own<T>(round: Round<T, 'echo' | 'broadcast' | 'p2p'>, to = EVERYBODY): T {
    const value = decodeOr(UNDECODED, round.codec, this.bytes(round.name, to));
    if (value === UNDECODED) throw new CheckFailed(`a well-formed message in round ${round.name} does not hold`);
    return value as T;
  }

  /** Two different messages of the accused in one place. */
  twoSigned(round: string, to: number): void {
    const both = this.exhibits.conflict(round, to);
    require_(both, `two messages of the accused in round ${round} are needed`);
    for (const { digest, signature } of both) {
      require_(this.signedBy(this.accused, round, to, digest, signature), `a signature in round ${round} is not the accused's`);
    }
    require_(!equalBytes(both[0].digest, both[1].digest), 'the two messages differ');
    this.about(round, to);
  }

  /** Notes that a message of the accused was judged. */
  about(round: string, to = EVERYBODY): void {
    this.#seen.add(`${round} ${to}`);
  }
  /** Whether the message that the claim names is one of those that were judged: nothing in a claim is decoration. */
  get isAboutItsClaim(): boolean {
    return this.#seen.has(`${this.claim.round} ${this.claim.to}`);
  }

  /** A message of an echoed round, as the accused acknowledged it by its echo; the accused's own is its own. */
  acknowledged<T>(round: Round<T, 'echo'>, author: number): T {
    if (author === this.accused) return this.own(round);
    const digests = this.exhibits.digests(round.name);
    require_(digests?.length === this.n, `the hashes of round ${round.name} are missing`);
    const echo = this.bytes(echoName(round.name));
    require_(
      equalBytes(echo, echoHash(this.sid, round.name, digests)),
      `the hashes of round ${round.name} are not what the accused echoed`,
    );
    const payload = this.#payload(round.name, author);
    require_(
      equalBytes(sha256(payload), digests[author]!),
      `the message of party ${author} in round ${round.name} is not what the accused echoed`,
    );
    return this.#decoded(round.codec, payload, round.name);
  }

  /** A message of another party that nothing binds yet: the judge must hold it against something that the accused acknowledged. */
  shown<T>(round: Round<T, 'broadcast'>, author: number): T {
    return this.#decoded(round.codec, this.#payload(round.name, author), round.name);
  }

  #payload(round: string, author: number): Uint8Array {
    const payload = this.exhibits.payload(round, author);
    require_(payload, `the message of party ${author} in round ${round} is missing`);
    return payload;
  }

  #decoded<T>(codec: Codec<T>, payload: Uint8Array, round: string): T {
    const value = decodeOr(UNDECODED, codec, payload);
    require_(value !== UNDECODED, `a message of round ${round} is malformed`);
    return value as T;
  }
}

/** @throws Unfounded for a key under which one signature fits many messages, or that is none. */
function keyOf(identity: Uint8Array): KeyObject {
  let usable: boolean;
  try {
    usable = !ed25519.Point.fromBytes(identity).isSmallOrder();
  } catch {
    usable = false; // the parser throws for what is not a point
  }
  require_(usable, 'an identity key is not an Ed25519 key');
  return createPublicKey({ key: Buffer.from(concatBytes(SPKI_HEAD, identity)), format: 'der', type: 'spki' });
}

/** The public data is that which the session id is a hash of; what it has no hash of is absent. */
function checkFacts(record: SessionRecord, { signers, publicShares, aux, digest }: Facts, parameters: Parameters, n: number): void {
  const reshares = PLAN_KINDS.some((kind) => kind === record.protocol);
  require_(record.parameters === parameters.name, 'the parameter set is another');
  if (record.shares.length === 0)
    require_(signers.length === 0 && publicShares.length === 0, 'public shares without a hash in the session');
  else {
    require_(equalBytes(record.shares, sharesHash(signers, publicShares)), 'the public shares are those of the session');
    require_(signers.length === n && publicShares.length === record.n, 'one index for every party, one public share for every member');
    require_(signers.every((index, a) => index < record.n && (a === 0 || index > signers[a - 1]!)), 'the signers ascend'); // prettier-ignore
  }
  // A resharing binds the hash of what its new members made, and uses none of it.
  if (record.auxHash.length === 0 || reshares) require_(aux.length === 0, 'auxiliary information that the session does not use');
  else {
    require_(equalBytes(record.auxHash, auxHash(aux)), 'the auxiliary information is that of the session');
    require_(aux.length === record.n, 'auxiliary information of every member');
    const { min, max } = modulusBits(parameters);
    for (const { paillier, pedersen } of aux) {
      for (const modulus of [paillier.n, pedersen.n]) {
        require_((modulus & 1n) === 1n && min <= bitLength(modulus) && bitLength(modulus) <= max, 'moduli of the size of the parameters');
      }
    }
  }
  require_(digest.length === 0 || record.protocol === 'frost-sign', 'a message that nothing binds');
}

/** What a protocol says of itself for those who judge it. */
export interface ProtocolJudges {
  /** Every round, for the judgement of malformed messages. */
  rounds(of: Case): readonly AnyRound[];
  /**
   * By the name of the check. Resolves when the accused did nothing wrong; throws ProofRejected or CheckFailed with the condition that its message
   * fails, Unfounded when the file does not show what is needed.
   */
  readonly checks: Readonly<Record<string, (of: Case) => void | Promise<void>>>;
}
