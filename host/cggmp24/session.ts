/**
 * Session identifiers (cggmp24.md §2.2): 32 bytes that every party computes for itself before a run. All that the run depends on is hashed
 * into it, and every message, commitment and challenge of the run is bound to it; parties that disagree about anything never meet in a session.
 *
 * Uniqueness is the caller's: a nonce is never used twice, and a sid that was used is refused (the mesh keeps the set).
 */
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import type { Child } from '../curve/bip32.ts';
import type { Point } from '../curve/secp256k1.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { Transcript } from '../protocol/transcript.ts';
import type { AuxInfo } from './aux-record.ts';
import { additiveKey, type KeyShare } from './key-share.ts';
import { Sighash } from './sighash.ts';

export interface SessionBinding {
  /** Which protocol, and its version: `keygen`, `aux-info`, `presign`, `sign` … */
  readonly protocol: string;
  readonly parameters: Parameters;
  /** At least 16 bytes that no other run of this group uses: random, or a counter that never repeats. */
  readonly nonce: Uint8Array;
  /** Public identity keys of the participants of this run, in index order. */
  readonly identities: readonly Uint8Array[];
  readonly t: number;
  readonly n: number;
  readonly keyId?: string;
  readonly epoch?: number;
  /** The key signed under: the child's, where a path is given. */
  readonly publicKey?: Point;
  /** {@link AuxInfo.hash}: all N_j, N̂_j, s_j, t_j. */
  readonly auxHash?: Uint8Array;
  /** Non-hardened BIP-32 indices below the key. */
  readonly path?: readonly number[];
  /** What will be signed, where that is fixed before the run. */
  readonly message?: Sighash;
  /** {@link sharesHash}, for runs that use a key: who takes part with which public share. */
  readonly shares?: Uint8Array;
  /** How many presignatures the run makes. */
  readonly count?: number;
}

/** A binding as bytes and numbers, absent parts empty: all that the sid is a hash of, and no more. It is what a file of evidence carries. */
export interface SessionRecord {
  readonly protocol: string;
  readonly parameters: Parameters['name'];
  readonly nonce: Uint8Array;
  readonly identities: readonly Uint8Array[];
  readonly t: number;
  readonly n: number;
  readonly keyId: string;
  readonly epoch: number;
  readonly publicKey: Point | undefined;
  readonly auxHash: Uint8Array;
  readonly path: readonly number[];
  readonly message: Uint8Array;
  readonly shares: Uint8Array;
  readonly count: number;
}

/**
 * Key indices of the participants, by position in the run, and the public shares of all parties of the key. Statements of proofs are made from
 * both, so a third party that judges one must be able to tell the real ones from others with the same public key.
 */
export const sharesHash = (signers: readonly number[], publicShares: readonly Point[]): Uint8Array =>
  new Transcript('shares/v1')
    .list(signers, (hash, index) => hash.u32(index))
    .list(publicShares, (hash, X_j) => hash.point(X_j))
    .digest();

const NONCE_BYTES = 16;
const EMPTY = new Uint8Array();

/** @throws Refusal when the nonce is short or an identity occurs twice. */
export const sessionId = (binding: SessionBinding): Uint8Array => sessionIdOf(sessionRecord(binding));

export const sessionRecord = ({ parameters, keyId, epoch, publicKey, auxHash, path, message, shares, count, ...rest }: SessionBinding) =>
  ({
    ...rest,
    parameters: parameters.name,
    keyId: keyId ?? '',
    epoch: epoch ?? 0,
    publicKey,
    auxHash: auxHash ?? EMPTY,
    path: path ?? [],
    message: message === undefined ? EMPTY : Sighash.digestOf(message),
    shares: shares ?? EMPTY,
    count: count ?? 0,
  }) satisfies SessionRecord;

/** @throws Refusal when the nonce is short or an identity occurs twice. */
export function sessionIdOf(record: SessionRecord): Uint8Array {
  const { protocol, parameters, nonce, identities, t, n, keyId, epoch, publicKey, auxHash, path, message, shares, count } = record;
  if (nonce.length < NONCE_BYTES) {
    throw new Refusal('short_nonce', 'nonce', `a session nonce of ${nonce.length} bytes`, `Use at least ${NONCE_BYTES} random bytes.`);
  }
  if (new Set(identities.map((key) => key.join())).size !== identities.length) {
    throw new Refusal('duplicate_identity', 'identities', 'two participants have the same identity key', 'List every participant once.');
  }
  const transcript = new Transcript('sid/v1').text(protocol).text(parameters).bytes(nonce);
  transcript.list(identities, (hash, key) => hash.bytes(key));
  transcript.u32(t).u32(n).bytes(utf8(keyId)).u32(epoch);
  if (publicKey === undefined) transcript.bytes(EMPTY);
  else transcript.point(publicKey);
  transcript.bytes(auxHash).list(path, (hash, step) => hash.u32(step));
  return transcript.bytes(message).bytes(shares).u32(count).digest();
}

/** What a run of presigning or interactive signing is bound to, taken from the key and the auxiliary data themselves. */
export interface SigningSession {
  /** `presign` makes a presignature for later; `sign` runs through to a signature of `message`. */
  readonly protocol: 'presign' | 'sign';
  /** Key indices of the signers, by position. */
  readonly signers: readonly number[];
  readonly key: KeyShare;
  readonly aux: AuxInfo;
  readonly parameters: Parameters;
  readonly nonce: Uint8Array;
  /** Identity keys of the signers, in the order of the signer set. */
  readonly identities: readonly Uint8Array[];
  readonly child?: Child;
  readonly message?: Sighash;
  /** Presignatures of the run, 1 when absent. */
  readonly count?: number;
}

/** The sid of a presigning or signing run. */
export const signingSessionId = (session: SigningSession): Uint8Array => sessionId(signingBinding(session));

export function signingBinding(session: SigningSession): SessionBinding {
  const { protocol, signers, key, aux, parameters, nonce, identities, child, message, count = 1 } = session;
  return {
    protocol,
    parameters,
    nonce,
    identities,
    t: key.t,
    n: key.n,
    keyId: key.keyId,
    epoch: key.epoch,
    publicKey: additiveKey(key.publicKey, child),
    auxHash: aux.hash,
    shares: sharesHash(signers, key.X),
    count,
    ...(child !== undefined && { path: child.path }),
    ...(message !== undefined && { message }),
  };
}
