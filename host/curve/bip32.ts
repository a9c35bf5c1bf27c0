/**
 * Keys below a key: non-hardened derivation of public keys (BIP-32, CKDpub), and the sum of its tweaks, by which parties that share the key move
 * their shares without a message (cggmp24.md §6.1).
 *
 * Only non-hardened steps exist here: hardened ones hash the secret key, which nobody has. Whoever knows the public key and the chain code
 * knows all children; and the secret of one child gives that of the parent, so a child's key is as worth protecting as the wallet's.
 */
import { createHmac } from 'node:crypto';
import { bytesToBigint } from '../base/bytes.ts';
import { Defect, Refusal } from '../base/errors.ts';
import { G, modQ, mulPublic, q, type Point } from './secp256k1.ts';

/** Indices from here on are hardened. */
export const HARDENED = 0x80000000;
/** Longest path. */
export const MAX_DEPTH = 16;

/** A key that has children. */
export interface ExtendedKey {
  readonly publicKey: Point;
  /** 32 bytes. */
  readonly chainCode: Uint8Array;
}

const u32be = (n: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
};

/**
 * I = HMAC-SHA512(c_par, ser_P(K_par) ‖ ser_32(i)); K_i = int(I_L)·G + K_par, c_i = I_R.
 * @throws Refusal for a hardened index, and for one of the 2^−127 that BIP-32 declares invalid.
 */
function step({ publicKey, chainCode }: ExtendedKey, index: number): ExtendedKey & { readonly tweak: bigint } {
  if (!Number.isInteger(index) || index < 0 || index >= HARDENED) throw badIndex(index, 'use whole numbers from 0 to 2147483647');
  const I = new Uint8Array(createHmac('sha512', chainCode).update(publicKey.toBytes(true)).update(u32be(index)).digest());
  const tweak = bytesToBigint(I.slice(0, 32));
  const child = mulPublic(G, tweak).add(publicKey);
  if (tweak >= q || child.is0()) throw badIndex(index, 'use the next index');
  return { publicKey: child, chainCode: I.slice(32), tweak };
}

const badIndex = (index: number, remedy: string): Refusal =>
  new Refusal('derivation_index', 'path', `index ${index} gives no key below this one`, remedy, 422);

/**
 * A key derived from another, with what moves the shares: PK_child = PK + shift·G. It is computed from the key and its path alone; nobody can
 * hand in a shift, which could be chosen to make any key of a shared one.
 */
export class Child implements ExtendedKey {
  readonly path: readonly number[];
  /** Sum of the tweaks along the path, in Z_q. */
  readonly shift: bigint;
  readonly publicKey: Point;
  readonly chainCode: Uint8Array;
  /** The key it was derived from. */
  readonly #root: Point;

  private constructor(root: Point, path: readonly number[], shift: bigint, { publicKey, chainCode }: ExtendedKey) {
    this.#root = root;
    this.path = path;
    this.shift = shift;
    this.publicKey = publicKey;
    this.chainCode = chainCode;
  }

  /** @throws Refusal for a path that is too long or has a step without a key. */
  static of(root: ExtendedKey, path: readonly number[]): Child {
    if (path.length > MAX_DEPTH)
      throw new Refusal('derivation_path', 'path', `a path of ${path.length} steps`, `use at most ${MAX_DEPTH}`, 422);
    let key: ExtendedKey = { publicKey: root.publicKey, chainCode: root.chainCode };
    let shift = 0n;
    for (const index of path) {
      const next = step(key, index);
      shift = modQ(shift + next.tweak);
      key = next;
    }
    return new Child(root.publicKey, [...path], shift, key);
  }

  /** @throws Defect for a child of another key: its shift would move these shares to a key that nobody derived. */
  static requireOf(root: Point, child: Child): void {
    if (!child.#root.equals(root)) throw new Defect('a child of another key');
  }
}

/** `m/0/5` or `0/5` as indices; `m` alone is the key itself. @throws Refusal for anything else, hardened steps included. */
export function parsePath(text: string): number[] {
  const steps = text.replace(/^m(?:\/|$)/, '');
  if (steps === '') return [];
  const indices = steps.split('/');
  if (indices.length > MAX_DEPTH || !indices.every((index) => /^(?:0|[1-9]\d{0,9})$/.test(index) && Number(index) < HARDENED)) {
    throw new Refusal(
      'derivation_path',
      'path',
      `${JSON.stringify(text.slice(0, 200))} is not a path of non-hardened steps`,
      `write up to ${MAX_DEPTH} numbers below 2147483648 with slashes between, such as 0/5: shared keys have no hardened children`,
      422,
    );
  }
  return indices.map(Number);
}

export const formatPath = (path: readonly number[]): string => ['m', ...path].join('/');
