/**
 * The keys of this node, sealed in the vault. A key is PREPARED from the moment the node is ready to confirm it until all parties have
 * confirmed, then ACTIVE; only an active key has an address and signs (cggmp24.md §6.3).
 */
import {
  decode,
  DecodeError,
  encode,
  list,
  map,
  oneOf,
  safeInteger,
  struct,
  text,
  versions,
  bytesUpTo,
  type Infer,
} from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { auxInfo as auxInfoCodec, checkAuxInfo, type AuxInfo } from '../cggmp24/aux-record.ts';
import { keyShare, type KeyShare } from '../cggmp24/key-share.ts';
import { frostShare, type FrostShare } from '../frost/share.ts';
import type { Core } from '../core/types.ts';
import type { NodeId } from '../mesh/types.ts';
import { Transcript } from '../protocol/transcript.ts';
import { hex } from '../base/bytes.ts';
import type { Vault } from '../storage/vault.ts';
import type { Parameters } from '../proofs/parameters.ts';
import { ADDRESS_TYPES, type AddressType, type Protocol } from './types.ts';

/** A key as it lies in the vault. */
const fields = {
  state: oneOf(['prepared', 'active']),
  protocol: oneOf(['cggmp24', 'frost']),
  walletId: text(36),
  walletName: text(64),
  committee: list(text(31), { max: 16 }),
  createdAt: safeInteger,
  share: bytesUpTo(64 * 1024),
};
const changed = { ...fields, auxHash: bytesUpTo(32) };
const layouts = { 1: struct(fields), 2: struct(changed), 3: struct({ ...changed, addressType: oneOf(['p2wsh']) }) };
type Entry = Infer<(typeof layouts)[2]> & { addressType: AddressType };
const usual = ({ protocol }: { protocol: Protocol }): AddressType => ADDRESS_TYPES[protocol][0];
const asIs = (of: Entry): Entry => of;
/** Version 1: the committee's own auxiliary information serves. Version 2 names that of a changed key. Version 3 is of a key whose addresses are P2WSH. */
export const entry = versions<Entry>(
  {
    1: map(layouts[1], (of) => ({ ...of, auxHash: new Uint8Array(), addressType: usual(of) }), asIs),
    2: map(layouts[2], (of) => ({ ...of, addressType: usual(of) }), asIs),
    3: map(layouts[3], ecdsaOnly, (of) => ({ ...of, addressType: 'p2wsh' as const })),
  },
  ({ addressType, auxHash }) => (addressType === 'p2wsh' ? 3 : auxHash.length > 0 ? 2 : 1),
);

function ecdsaOnly(of: Entry): Entry {
  if (of.protocol !== 'cggmp24') throw new DecodeError('addressType', `${of.addressType} of a ${of.protocol} key`);
  return of;
}

export interface KeyDescription {
  readonly walletId: string;
  readonly walletName: string;
  readonly committee: readonly NodeId[];
  readonly createdAt: number;
  /** Hash of the auxiliary information that was made for this epoch of the key; absent where the committee's own serves. */
  readonly auxHash?: Uint8Array;
}
/** The share, and what the addresses of its key are. */
export type TypedShare =
  | { readonly protocol: 'cggmp24'; readonly addressType: (typeof ADDRESS_TYPES)['cggmp24'][number]; readonly share: KeyShare }
  | { readonly protocol: 'frost'; readonly addressType: (typeof ADDRESS_TYPES)['frost'][number]; readonly share: FrostShare };
export type WalletKey = KeyDescription & { readonly state: 'prepared' | 'active' } & TypedShare;

/** Auxiliary information belongs to a committee: to these nodes in this order. */
export const committeeId = (committee: readonly NodeId[]): string =>
  hex(new Transcript('committee/v1').list(committee, (t, node) => t.text(node)).digest());

/** Auxiliary information comes before its plan; so much later the plan has failed. */
const FRESH_MS = 30 * 60_000;

/** What the keyring needs of a vault. */
export type Entries = Pick<Vault, 'put' | 'get' | 'list' | 'delete'>;

export class Keyring {
  readonly #keys = new Map<string, WalletKey>();
  readonly #aux = new Map<string, AuxInfo>();
  /** When renewed auxiliary information was stored, since the start. */
  readonly #fresh = new Map<string, number>();
  /** Wallets with a prepared share of a later epoch: nothing is presigned for the old one any more. */
  readonly frozen = new Set<string>();

  private constructor(
    private readonly vault: Entries,
    private readonly parameters: Parameters,
  ) {}

  /**
   * Reads and checks everything, the primes of the own moduli included: a damaged factor would turn a CRT result into a leak of the key.
   * @throws Refusal when a record does not fit: a swapped or foreign file must not become a key.
   */
  static async open(vault: Entries, parameters: Parameters, core: Core): Promise<Keyring> {
    const ring = new Keyring(vault, parameters);
    for (const id of await vault.list('key-share')) {
      const key = await read(vault, 'key-share', id, (content) => keyOf(decode(entry, content)));
      if (key.walletId !== id || key.share.keyId !== id || key.committee.length !== key.share.n)
        throw unusable('key-share', id, 'it is of another wallet');
      ring.#keys.set(id, key);
    }
    for (const id of await vault.list('aux-info')) {
      const aux = await read(vault, 'aux-info', id, (content) => decode(auxInfoCodec(parameters), content));
      await checkAuxInfo(aux, parameters, core);
      ring.#aux.set(id, aux);
    }
    return ring;
  }

  /** Durable before it resolves: what comes after may tell others that this node holds its share. */
  async prepare(description: KeyDescription, key: TypedShare): Promise<void> {
    await this.#store({ ...description, ...key, state: 'prepared' });
  }

  async activate(walletId: string): Promise<WalletKey> {
    const key = this.#keys.get(walletId);
    if (key === undefined) throw unknownWallet(walletId);
    const active = { ...key, state: 'active' as const };
    if (key.state !== 'active') await this.#store(active);
    return active;
  }

  async #store(key: WalletKey): Promise<void> {
    const content = sealable(key);
    try {
      await this.vault.put('key-share', key.walletId, content);
    } finally {
      content.fill(0);
    }
    this.#keys.set(key.walletId, key);
  }

  async storeAux(committee: readonly NodeId[], aux: AuxInfo): Promise<void> {
    const id = committeeId(committee);
    const record = encode(auxInfoCodec(this.parameters), aux);
    await this.vault.put('aux-info', id, record);
    record.fill(0);
    this.#aux.set(id, aux);
  }

  /** The primes of all own moduli. */
  ownPrimes(): bigint[] {
    return [...this.#aux.values()].flatMap(({ secret: { paillier, pedersen } }) => [paillier.p, paillier.q, pedersen.p, pedersen.q]);
  }

  /** Made for one epoch of one key; kept beside that of the committee, which other keys use. */
  async storeRenewedAux(aux: AuxInfo): Promise<void> {
    const record = encode(auxInfoCodec(this.parameters), aux);
    await this.vault.put('aux-info', hex(aux.hash), record);
    record.fill(0);
    this.#fresh.set(hex(aux.hash), performance.now());
    this.#aux.set(hex(aux.hash), aux);
  }

  /** Deletes renewed auxiliary information that no key uses and that is not in `keep` (hashes in hex), unless it is so new that its plan may follow. */
  async dropUnusedAux(keep: ReadonlySet<string>): Promise<void> {
    for (const [id, made] of this.#fresh) if (performance.now() - made > FRESH_MS) this.#fresh.delete(id);
    for (const id of this.renewed()) if (!keep.has(id) && !this.#fresh.has(id)) await this.#dropAux(id);
  }

  /** Deletes the auxiliary information of a committee when its last key has got one of its own: its secrets belong to an ended epoch. */
  dropCommitteeAux(committee: readonly NodeId[]): Promise<void> {
    return this.#dropAux(committeeId(committee));
  }

  async #dropAux(id: string): Promise<void> {
    const used = [...this.#keys.values()].some((key) => key.protocol === 'cggmp24' && this.auxOf(key) === this.#aux.get(id));
    if (used || !this.#aux.has(id)) return;
    await this.vault.delete('aux-info', id);
    this.#aux.delete(id);
  }

  /** Reads a key again whose entry was replaced or removed by a change of its epoch. */
  async reload(walletId: string): Promise<WalletKey | undefined> {
    const present = (await this.vault.list('key-share')).includes(walletId);
    const key = present ? await read(this.vault, 'key-share', walletId, (content) => keyOf(decode(entry, content))) : undefined;
    if (key === undefined) this.#keys.delete(walletId);
    else this.#keys.set(walletId, key);
    return key;
  }

  /** The auxiliary information that this key signs with. */
  auxOf({ committee, auxHash }: Pick<KeyDescription, 'committee' | 'auxHash'>): AuxInfo | undefined {
    return this.#aux.get(auxHash === undefined ? committeeId(committee) : hex(auxHash));
  }
  /** Hashes, in hex, of auxiliary information that was made for one key. */
  renewed(): string[] {
    return [...this.#aux].flatMap(([id, aux]) => (id === hex(aux.hash) ? [id] : []));
  }
  renewedAux(hash: Uint8Array): AuxInfo | undefined {
    return this.#aux.get(hex(hash));
  }

  aux(committee: readonly NodeId[]): AuxInfo | undefined {
    return this.#aux.get(committeeId(committee));
  }

  find(walletId: string): WalletKey | undefined {
    return this.#keys.get(walletId);
  }

  /** An active key. @throws Refusal for an unknown wallet, or one whose key generation never finished. */
  active(walletId: string): WalletKey {
    const key = this.#keys.get(walletId);
    if (key === undefined) throw unknownWallet(walletId);
    if (key.state !== 'active') {
      throw new Refusal(
        'wallet_not_active',
        'wallet_id',
        `the key generation of wallet ${walletId} has not been confirmed by all nodes`,
        'start all nodes of its committee, or create another wallet',
        409,
      );
    }
    return key;
  }

  keys(): readonly WalletKey[] {
    return [...this.#keys.values()].sort((a, b) => a.createdAt - b.createdAt || (a.walletId < b.walletId ? -1 : 1));
  }
}

/** A key as its entry holds it, before it is sealed. The caller overwrites it. */
export function sealable(key: WalletKey): Uint8Array {
  const share = key.protocol === 'cggmp24' ? encode(keyShare, key.share) : encode(frostShare, key.share);
  const record: Entry = { ...key, committee: [...key.committee], share, auxHash: key.auxHash ?? new Uint8Array() };
  const content = encode(entry, record);
  share.fill(0);
  return content;
}

export const unknownWallet = (walletId: string): Refusal =>
  new Refusal(
    'wallet_unknown',
    'wallet_id',
    `no wallet ${walletId} on this node`,
    'list the wallets with GET /api/v1/wallets; a wallet is known to the nodes of its committee only',
    404,
  );

async function read<T>(vault: Entries, kind: 'key-share' | 'aux-info', id: string, parse: (content: Uint8Array) => T): Promise<T> {
  const content = await vault.get(kind, id);
  if (content === undefined) throw unusable(kind, id, 'it is gone');
  try {
    return parse(content);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw unusable(kind, id, error.message);
  } finally {
    content.fill(0);
  }
}

const unusable = (kind: string, id: string, problem: string): Refusal =>
  new Refusal(
    'vault_record',
    `${kind}/${id}`,
    `the vault's record ${kind}/${id} cannot be used: ${problem}`,
    'use the release of the program that wrote it, or restore the vault from its backup',
    422,
  );

function keyOf(record: Entry): WalletKey {
  const description = {
    walletId: record.walletId,
    walletName: record.walletName,
    committee: record.committee,
    createdAt: record.createdAt,
    state: record.state,
    ...(record.auxHash.length > 0 && { auxHash: record.auxHash }),
  };
  if (record.protocol === 'frost')
    return { ...description, protocol: 'frost', addressType: 'p2tr', share: decode(frostShare, record.share) };
  const addressType = record.addressType === 'p2wsh' ? 'p2wsh' : 'p2wpkh';
  return { ...description, protocol: 'cggmp24', addressType, share: decode(keyShare, record.share) };
}
