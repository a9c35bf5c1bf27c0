/**
 * What may be signed. There is no way to sign 32 bytes that somebody else computed: whoever may choose the digest freely gets from one
 * presignature signature a forgery of any other message (cggmp24.md §7 rule 5; CVE-2025-66017). A {@link Sighash} exists only as the result of
 * hashing a preimage here, in the process that signs.
 */
import { bytesToBigint } from '../base/bytes.ts';
import { modQ } from '../curve/secp256k1.ts';
import { sha256 } from '../protocol/transcript.ts';

/**
 * SHA-256(SHA-256(preimage)) of a BIP-143 preimage, the bytes of the transaction that an input commits to. The constructor hashes, and the
 * digest is a private field: neither a cast nor a look-alike object gets a digest of somebody's choice past {@link scalarOf}.
 */
export class Sighash {
  readonly #digest: Uint8Array;

  constructor(preimage: Uint8Array) {
    this.#digest = sha256(sha256(preimage));
  }

  /** The 32 bytes, as a copy. */
  get digest(): Uint8Array {
    return this.#digest.slice();
  }

  static digestOf(message: Sighash): Uint8Array {
    return message.#digest;
  }
}

/** The message of a Bitcoin input: double SHA-256 of its sighash preimage. */
export const bitcoinSighash = (preimage: Uint8Array): Sighash => new Sighash(preimage);

/** m of the signing equation: all 256 bits of the digest, reduced mod q. @throws TypeError for anything but a {@link Sighash}. */
export const scalarOf = (message: Sighash): bigint => modQ(bytesToBigint(Sighash.digestOf(message)));
