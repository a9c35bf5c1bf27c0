/** A presignature as the pool sees it: opaque secret bytes, and what says where it may be used. */
import { bytes, bytesUpTo, decode, DecodeError, encode, list, safeInteger, struct, text, versioned } from '../base/codec.ts';
import { hex } from '../base/bytes.ts';
import { Defect, Refusal } from '../base/errors.ts';

export interface PresignatureMeta {
  /** 32 bytes, the same for all signers of the set, never used before in this cluster. */
  readonly id: Uint8Array;
  /** 32-byte session id of the presigning run, one run per presignature. */
  readonly sid: Uint8Array;
  /** Compressed nonce point Γ, 33 bytes: no two presignatures of a key may share it. */
  readonly noncePoint: Uint8Array;
  /** Node ids of the signer set in the order of the presigning run. */
  readonly signers: readonly string[];
  /** Milliseconds since the epoch, agreed by all signers of the set, so that all of them order the pool alike. */
  readonly createdAt: number;
  /** Names the key this was made for (key id, and derivation path where one is bound), 1 to 64 bytes. */
  readonly keyId: Uint8Array;
  /** Epoch of the shares it was made from. */
  readonly epoch: number;
  /** How long the run took, for the records. */
  readonly generationMs: number;
}

export interface PresignatureRecord extends PresignatureMeta {
  /** k̃ᵢ, χ̃ᵢ and the public parts, in the encoding of the protocol that made them. */
  readonly secret: Uint8Array;
}

/** The record as it is sealed in the vault. */
export const storedPresignature = versioned(
  1,
  struct({
    id: bytes(32),
    sid: bytes(32),
    noncePoint: bytes(33),
    signers: list(text(64), { max: 64 }),
    createdAt: safeInteger,
    keyId: bytesUpTo(64),
    epoch: safeInteger,
    generationMs: safeInteger,
    /** Burns in the journal when this was stored: a journal with fewer is an old copy. */
    burnsBefore: safeInteger,
    secret: bytesUpTo(1024 * 1024),
  }),
);

export const encodeStored = (record: PresignatureRecord, burnsBefore: number): Uint8Array =>
  encode(storedPresignature, { ...record, signers: [...record.signers], burnsBefore });

/** @throws Refusal for content of another version or shape. */
export function decodeStored(content: Uint8Array, name: string): PresignatureRecord & { readonly burnsBefore: number } {
  try {
    return decode(storedPresignature, content);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new Refusal(
      'presignature.format',
      name,
      `presignature ${name} cannot be read: ${error.message}`,
      'delete it: presignatures are made anew',
      422,
    );
  }
}

/** One name per ordered signer set. */
export const setKey = (signers: readonly string[]): string => signers.join(',');

/** Oldest first; ties by id, so that every node that holds the same presignatures has the same order. */
export const byAge = (a: PresignatureMeta, b: PresignatureMeta): number =>
  a.createdAt - b.createdAt || (hex(a.id) < hex(b.id) ? -1 : hex(a.id) > hex(b.id) ? 1 : 0);

/** @throws Defect when the maker of the record broke its shape. */
export function checkRecord(record: PresignatureRecord, self: string): void {
  const problem =
    record.id.length !== 32 || record.sid.length !== 32
      ? 'id and sid have 32 bytes'
      : record.noncePoint.length !== 33
        ? 'the nonce point has 33 bytes'
        : record.signers.length < 2 || new Set(record.signers).size !== record.signers.length
          ? 'a signer set has at least two different nodes'
          : record.signers.some((signer) => signer === '' || signer.includes(','))
            ? 'node ids are not empty and hold no comma'
            : !record.signers.includes(self)
              ? 'this node is not of the signer set'
              : record.keyId.length < 1 || record.keyId.length > 64
                ? 'a key id has 1 to 64 bytes'
                : undefined;
  if (problem !== undefined) throw new Defect(`presignature record: ${problem}`);
}
