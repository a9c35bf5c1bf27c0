/**
 * The one way to hash: typed, length-prefixed fields under a domain tag, so that two different field lists never give the same bytes
 * (cggmp24.md §2.1; plain concatenation is what TSSHOCK exploited). Challenges and commitments are derived from it (§2.3, 2.4).
 */
import { createHash } from 'node:crypto';
import { bigintToBytes, bitLength, bytesToBigint, concatBytes, equalBytes, magnitude, utf8 } from '../base/bytes.ts';
import { q, type Point } from '../curve/secp256k1.ts';

const u32be = (n: number): Uint8Array => {
  if (!Number.isInteger(n) || n < 0 || n > 0xffffffff) throw new RangeError(`not a u32: ${n}`);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
};

const u64be = (n: bigint): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, n);
  return bytes;
};

export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

export class Transcript {
  #parts: Uint8Array[] = [];

  constructor(tag: string) {
    this.text(tag);
  }

  /** B: u32 length, then the bytes. */
  bytes(b: Uint8Array): this {
    this.#parts.push(u32be(b.length), b);
    return this;
  }
  /** T: UTF-8 text. */
  text(s: string): this {
    return this.bytes(utf8(s));
  }
  /** U: u32 big endian. */
  u32(n: number): this {
    this.#parts.push(u32be(n));
    return this;
  }
  /** I: sign byte, then the minimal magnitude. */
  integer(n: bigint): this {
    return this.bytes(concatBytes(Uint8Array.of(n < 0n ? 1 : 0), magnitude(n)));
  }
  integers(...list: readonly bigint[]): this {
    for (const n of list) this.integer(n);
    return this;
  }
  /** S: 32 bytes big endian. */
  scalar(n: bigint): this {
    if (n < 0n || n >= q) throw new RangeError('scalar is not in [0, q)');
    return this.bytes(bigintToBytes(n, 32));
  }
  /** P: SEC1 compressed, 33 bytes; the identity is the single byte 0. */
  point(P: Point): this {
    return this.bytes(P.is0() ? Uint8Array.of(0) : P.toBytes(true));
  }
  points(...list: readonly Point[]): this {
    for (const P of list) this.point(P);
    return this;
  }
  /** L: u32 count, then each item as `write` adds it. */
  list<T>(items: readonly T[], write: (transcript: this, item: T) => void): this {
    this.u32(items.length);
    for (const item of items) write(this, item);
    return this;
  }

  /** The hash input so far. */
  preimage(): Uint8Array {
    return concatBytes(...this.#parts);
  }

  /** SHA-256 of everything added. */
  digest(): Uint8Array {
    return sha256(...this.#parts);
  }

  /** The stream block_i = SHA-256(seed ‖ u64be(i)) from which challenges are read (§2.3). */
  challenge(): ChallengeStream {
    return new ChallengeStream(this.digest());
  }

  /** H_q: 512 bits reduced mod q, bias below 2^−255 (§2.4). */
  hashToScalar(): bigint {
    const wide = concatBytes(sha256(...this.#parts, u32be(0)), sha256(...this.#parts, u32be(1)));
    return bytesToBigint(wide) % q;
  }
}

/** Expands a challenge seed; every read consumes fresh bytes, so no two repetitions of a parallel proof share entropy. */
export class ChallengeStream {
  #buffer: Uint8Array = new Uint8Array();
  #block = 0n;
  readonly #seed: Uint8Array;
  constructor(seed: Uint8Array) {
    this.#seed = seed;
  }

  take(length: number): Uint8Array {
    while (this.#buffer.length < length) this.#buffer = concatBytes(this.#buffer, sha256(this.#seed, u64be(this.#block++)));
    const out = this.#buffer.slice(0, length);
    this.#buffer = this.#buffer.slice(length);
    return out;
  }

  /** Uniform in {0 … n − 1} by rejection. */
  below(n: bigint): bigint {
    const bits = bitLength(n);
    const length = Math.ceil(bits / 8);
    for (;;) {
      const candidate = bytesToBigint(this.take(length)) >> BigInt(length * 8 - bits);
      if (candidate < n) return candidate;
    }
  }

  /** ±X, half-width convention. */
  plusMinus(X: bigint): bigint {
    const half = X / 2n;
    return this.below(2n * half + 1n) - half;
  }

  /** m independent bits: bit j is bit (j mod 8) of byte ⌊j/8⌋. */
  bits(m: number): boolean[] {
    const bytes = this.take(Math.ceil(m / 8));
    return Array.from({ length: m }, (_, j) => ((bytes[j >> 3]! >> (j & 7)) & 1) === 1);
  }
}

/** Com(tag; fields…, u): `fields` adds the fields, sid and author among them; u is the 32-byte decommitment nonce (§2.4). */
export function commitment(tag: string, fields: (transcript: Transcript) => void, u: Uint8Array): Uint8Array {
  const transcript = new Transcript(tag);
  fields(transcript);
  return transcript.bytes(u).digest();
}

/** Whether an opening matches: by recomputation, compared as bytes. */
export const opens = (V: Uint8Array, tag: string, fields: (transcript: Transcript) => void, u: Uint8Array): boolean =>
  equalBytes(V, commitment(tag, fields, u));
