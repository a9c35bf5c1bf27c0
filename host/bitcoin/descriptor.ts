/**
 * What watch-only software needs of a wallet: its extended public key (BIP-32) and output descriptors (BIP-380 to 382, BIP-386). Both show every
 * address of the wallet, past and future, to whoever has them; neither can spend.
 */
import { concatBytes } from '../base/bytes.ts';
import { invariant, Refusal } from '../base/errors.ts';
import { fromBase58Check, toBase58Check } from './base58.ts';
import type { Network } from './networks.ts';
import type { SpendType } from './scripts.ts';

/** `xpub` on mainnet, `tpub` on the others. SLIP-132 versions (`zpub`) are not used: a descriptor says what the key is for. */
const versionOf = (network: Network): Uint8Array =>
  network === 'mainnet' ? Uint8Array.of(0x04, 0x88, 0xb2, 0x1e) : Uint8Array.of(0x04, 0x35, 0x87, 0xcf);

export interface ExtendedPublicKey {
  /** 33 bytes, compressed. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. */
  readonly chainCode: Uint8Array;
}

/** The extended key of a wallet: a root, depth 0, without parent. */
export function encodeExtendedKey({ publicKey, chainCode }: ExtendedPublicKey, network: Network): string {
  invariant(publicKey.length === 33 && chainCode.length === 32, 'a compressed key and a chain code of 32 bytes');
  // version (4) ‖ depth (1) ‖ parent fingerprint (4) ‖ child number (4) ‖ chain code (32) ‖ key (33)
  return toBase58Check(concatBytes(versionOf(network), new Uint8Array(9), chainCode, publicKey));
}

/** Key and chain code of an extended public key of any depth. @throws Refusal for another kind of text. */
export function decodeExtendedKey(text: string): ExtendedPublicKey {
  const bytes = fromBase58Check(text, 'extended_key');
  const known = (['mainnet', 'testnet'] as const).some((network) => versionOf(network).every((byte, i) => byte === bytes[i]));
  if (bytes.length !== 78 || !known)
    throw new Refusal('extended_key', 'extended_key', 'not an extended public key', 'give one that begins with xpub or tpub');
  return { chainCode: bytes.slice(13, 45), publicKey: bytes.slice(45) };
}

/** `pk(KEY)` of BIP-381 is `<KEY> OP_CHECKSIG`, the witness script of this wallet's P2WSH. */
const FRAMES: Readonly<Record<SpendType, (key: string) => string>> = {
  p2wpkh: (key) => `wpkh(${key})`,
  p2wsh: (key) => `wsh(pk(${key}))`,
  p2tr: (key) => `tr(${key})`,
};

/** The descriptor of a type with its checksum. KEY: the extended key alone (the wallet's own address), or all keys `path/*` below it. */
export function outputDescriptor(type: SpendType, extendedKey: string, path?: readonly number[]): string {
  const script = FRAMES[type](path === undefined ? extendedKey : [extendedKey, ...path, '*'].join('/'));
  return `${script}#${descriptorChecksum(script)}`;
}

const INPUT = '0123456789()[],\'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#"\\ ';
const OUTPUT = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
/** The generator of the BCH code over GF(32), by bit of the symbol that leaves. */
const GENERATOR = [0xf5dee51989n, 0xa9fdca3312n, 0x1bab10e32dn, 0x3706b1677an, 0x644d626ffdn];

/** Eight characters (BIP-380, "Checksum"). @throws Refusal for a character that descriptors do not have. */
export function descriptorChecksum(script: string): string {
  const positions = [...script].map((letter) => INPUT.indexOf(letter));
  if (positions.includes(-1))
    throw new Refusal('descriptor', 'descriptor', 'a character that no descriptor has', 'use the characters of BIP-380');
  // Five bits of every character; after every three characters (or what is left) the higher bits of those, in base 3.
  const symbols: number[] = [];
  for (let at = 0; at < positions.length; at += 3) {
    const group = positions.slice(at, at + 3);
    symbols.push(...group.map((position) => position & 31));
    symbols.push(group.reduce((high, position) => 3 * high + (position >> 5), 0));
  }
  let state = 1n;
  for (const symbol of [...symbols, 0, 0, 0, 0, 0, 0, 0, 0]) {
    const leaving = state >> 35n;
    state = ((state & 0x7ffffffffn) << 5n) ^ BigInt(symbol);
    for (const [bit, term] of GENERATOR.entries()) if (((leaving >> BigInt(bit)) & 1n) === 1n) state ^= term;
  }
  state ^= 1n;
  return Array.from({ length: 8 }, (_, i) => OUTPUT[Number((state >> BigInt(5 * (7 - i))) & 31n)]!).join('');
}
