/** Base58Check for payloads of any length: the library in use offers it for addresses only. */
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const CHECKSUM = 4;
/** Longer texts are refused before any arithmetic. */
const MAX_TEXT = 200;

const checksum = (payload: Uint8Array): Uint8Array => sha256(sha256(payload)).slice(0, CHECKSUM);

/** Every leading zero byte becomes a leading `1`. */
export function toBase58Check(payload: Uint8Array): string {
  const bytes = concatBytes(payload, checksum(payload));
  let digits = '';
  for (let n = BigInt(`0x${Buffer.from(bytes).toString('hex')}`); n > 0n; n /= 58n) digits = ALPHABET[Number(n % 58n)]! + digits;
  return '1'.repeat(leading(bytes, (byte) => byte === 0)) + digits;
}

/** @throws Refusal naming `field` for other characters or a wrong checksum. */
export function fromBase58Check(text: string, field: string): Uint8Array {
  const refuse = (message: string): never => {
    throw new Refusal('bad_base58', field, message, 'copy the whole text again');
  };
  if (text.length > MAX_TEXT || ![...text].every((letter) => ALPHABET.includes(letter))) refuse('not Base58');
  let n = 0n;
  for (const letter of text) n = n * 58n + BigInt(ALPHABET.indexOf(letter));
  const digits = n === 0n ? '' : n.toString(16);
  const number = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  const bytes = concatBytes(new Uint8Array(leading([...text], (letter) => letter === '1')), new Uint8Array(number));
  const payload = bytes.slice(0, -CHECKSUM);
  if (bytes.length < CHECKSUM || !equalBytes(bytes.slice(-CHECKSUM), checksum(payload))) refuse('the checksum is wrong');
  return payload;
}

const leading = <T>(items: ArrayLike<T>, is: (item: T) => boolean): number => {
  let count = 0;
  while (count < items.length && is(items[count]!)) count++;
  return count;
};
