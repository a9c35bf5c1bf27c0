/** Byte strings and their conversions. Comparison of secrets goes through {@link equalBytes}, which does not stop early. */

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

export function xorBytes(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length !== b.length) throw new RangeError(`xor of ${a.length} and ${b.length} bytes`);
  return a.map((byte, i) => byte ^ b[i]!);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

/** Strict: even length, only hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new RangeError('not a hexadecimal string');
  return new Uint8Array(Buffer.from(text, 'hex'));
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Number of bits of |n|; 0 for 0. */
export function bitLength(n: bigint): number {
  const text = (n < 0n ? -n : n).toString(16);
  return n === 0n ? 0 : (text.length - 1) * 4 + (32 - Math.clz32(parseInt(text[0]!, 16)));
}

/** Unsigned big-endian value of `bytes`; 0 for none. */
export const bytesToBigint = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(`0x${hex(bytes)}`));

/** Big-endian, exactly `length` bytes. @throws RangeError when n is negative or does not fit. */
export function bigintToBytes(n: bigint, length: number): Uint8Array {
  if (n < 0n || bitLength(n) > length * 8) throw new RangeError(`integer does not fit into ${length} bytes`);
  return new Uint8Array(Buffer.from(n.toString(16).padStart(length * 2, '0'), 'hex'));
}

/** Minimal big-endian magnitude, empty for 0. */
export const magnitude = (n: bigint): Uint8Array => {
  const absolute = n < 0n ? -n : n;
  return bigintToBytes(absolute, Math.ceil(bitLength(absolute) / 8));
};
