/**
 * Who says what: Ed25519 identities of nodes (RFC 8032), and the roster that says which key belongs to which node. Votes, proposals and protocol
 * messages are signed with them, so that what a node said can be shown to others.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { concatBytes, fromHex, hex } from '../base/bytes.ts';
import { DecodeError, map, text, type Codec } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { isNodeId } from '../pki/names.ts';
import type { Identity } from '../protocol/rounds.ts';

/** A node that can sign. Where the secret lies is the implementation's business. */
export interface NodeIdentity {
  readonly nodeId: string;
  /** 32 bytes, raw. */
  readonly publicKey: Uint8Array;
  /** 64 bytes. Callers pass a domain-separated preimage, never bytes that somebody else chose. */
  sign(message: Uint8Array): Uint8Array;
}

export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
/** DER in front of the 32 bytes of a raw Ed25519 public key (RFC 8410 §4). */
const SPKI_HEAD = fromHex('302a300506032b6570032100');

/** A node id as `pki` names nodes. */
export const nodeId: Codec<string> = map(
  text(31),
  (id) => {
    if (!isNodeId(id)) throw new DecodeError('', 'not a node id');
    return id;
  },
  (id) => id,
);

/** An identity whose secret key is in this process. */
export class LocalIdentity implements NodeIdentity {
  readonly nodeId: string;
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  private constructor(id: string, key: KeyObject) {
    if (!isNodeId(id)) {
      throw new Refusal(
        'consensus.node_id',
        'nodeId',
        `"${id}" is not a node id`,
        'use lower-case letters, digits and inner dashes, such as node-1',
      );
    }
    this.nodeId = id;
    this.#key = key;
    this.publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' })).slice(-PUBLIC_KEY_BYTES);
  }

  static generate(id: string): LocalIdentity {
    return new LocalIdentity(id, generateKeyPairSync('ed25519').privateKey);
  }

  /** From PKCS#8 PEM. @throws Refusal when it is not an unencrypted Ed25519 private key; the message quotes nothing of it. */
  static fromPem(id: string, pem: string): LocalIdentity {
    let key: KeyObject | undefined;
    try {
      key = createPrivateKey(pem);
    } catch {
      key = undefined; // reported below without the parser's message, which may quote the key
    }
    if (key?.asymmetricKeyType !== 'ed25519') {
      const remedy = 'use the PKCS#8 PEM file that was written when the node was set up';
      throw new Refusal('consensus.identity_pem', 'pem', 'the text holds no Ed25519 private key', remedy);
    }
    return new LocalIdentity(id, key);
  }

  /** PKCS#8 PEM, unencrypted: for a vault or a file of mode 0600. */
  toPem(): string {
    return this.#key.export({ format: 'pem', type: 'pkcs8' }) as string;
  }

  sign(message: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, message, this.#key));
  }
}

export interface Member {
  readonly nodeId: string;
  /** 32 bytes, raw. */
  readonly publicKey: Uint8Array;
}

/** Keys that a roster has checked and parsed, by its member: its committees, of which every payment makes one, do not pay for that again. */
const parsedKeys = new WeakMap<Member, KeyObject>();

/** The members of a cluster or committee, in index order, with their keys. Immutable. */
export class Roster {
  readonly members: readonly Member[];
  readonly #index: ReadonlyMap<string, number>;
  readonly #keys: readonly KeyObject[];

  /** @throws Refusal for an empty list, a malformed or repeated node id, or a key that is malformed, repeated, or of small order. */
  constructor(members: readonly Member[]) {
    if (members.length === 0) throw rosterRefusal('the roster is empty', 'list every node with its public key');
    for (const [i, member] of members.entries()) {
      const { nodeId: id, publicKey } = member;
      if (parsedKeys.has(member)) continue;
      if (!isNodeId(id)) throw rosterRefusal(`member ${i}: "${id}" is not a node id`, 'use names such as node-1');
      if (!isUsableKey(publicKey))
        throw rosterRefusal(`${id}: the public key is not an Ed25519 key`, 'copy the 32 bytes that the node reports');
    }
    this.#index = new Map(members.map(({ nodeId: id }, i) => [id, i]));
    if (this.#index.size !== members.length) throw rosterRefusal('a node is listed twice', 'list every node once');
    if (new Set(members.map(({ publicKey }) => hex(publicKey))).size !== members.length) {
      throw rosterRefusal('two nodes have the same public key', 'give every node an identity of its own');
    }
    this.members = members.map((member) =>
      parsedKeys.has(member) ? member : { nodeId: member.nodeId, publicKey: member.publicKey.slice() },
    );
    this.#keys = this.members.map((member) => {
      const key = parsedKeys.get(member) ?? keyObject(member.publicKey);
      parsedKeys.set(member, key);
      return key;
    });
  }

  get size(): number {
    return this.members.length;
  }
  get nodes(): readonly string[] {
    return this.members.map(({ nodeId: id }) => id);
  }
  has(id: string): boolean {
    return this.#index.has(id);
  }
  /** Position of the node. @throws Refusal when it is not a member. */
  indexOf(id: string): number {
    const index = this.#index.get(id);
    if (index === undefined) {
      throw new Refusal('consensus.unknown_node', 'nodeId', `${id} is not a member`, `use one of ${this.nodes.join(', ')}`, 404);
    }
    return index;
  }
  /** 32 bytes. @throws Refusal when the node is not a member. */
  publicKey(id: string): Uint8Array {
    return this.members[this.indexOf(id)]!.publicKey.slice();
  }
  /** Whether `signature` is the node's over `message`; false for whoever is not a member. */
  verify(id: string, message: Uint8Array, signature: Uint8Array): boolean {
    const index = this.#index.get(id);
    return index !== undefined && signature.length === SIGNATURE_BYTES && verify(null, message, this.#keys[index]!, signature);
  }
  /** The committee of the given members, in the given order. @throws Refusal when one is not a member, or named twice. */
  only(ids: readonly string[]): Roster {
    return new Roster(ids.map((id) => this.members[this.indexOf(id)]!));
  }
}

const rosterRefusal = (message: string, remedy: string): Refusal => new Refusal('consensus.roster', 'roster', message, remedy);

const keyObject = (publicKey: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.from(concatBytes(SPKI_HEAD, publicKey)), format: 'der', type: 'spki' });

/** Whether `signature` is that of the raw Ed25519 key over `message`; false for what is no usable key. For keys that are data, not members. */
export const signedBy = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean =>
  signature.length === SIGNATURE_BYTES && isUsableKey(publicKey) && verify(null, message, keyObject(publicKey), signature);

/** On the curve, canonical, and not of small order: under such a key one signature fits many messages, so it could not be held against anybody. */
function isUsableKey(publicKey: Uint8Array): boolean {
  try {
    return publicKey.length === PUBLIC_KEY_BYTES && !ed25519.Point.fromBytes(publicKey).isSmallOrder();
  } catch {
    return false; // the parser throws for what is not a point
  }
}

/**
 * The {@link Identity} of one protocol run among `parties`, in index order.
 * @throws Refusal when a party is not in the roster, or this node is not a party.
 */
export function sessionIdentity(identity: NodeIdentity, roster: Roster, parties: readonly string[]): Identity {
  const session = roster.only(parties);
  if (!session.has(identity.nodeId)) {
    throw new Refusal(
      'consensus.not_a_party',
      'parties',
      `${identity.nodeId} is not a party of the session`,
      'join only sessions that list this node',
    );
  }
  return {
    sign: (message) => identity.sign(message),
    verify: (party, message, signature) => {
      const id = parties[party];
      return id !== undefined && session.verify(id, message, signature);
    },
  };
}
