/**
 * The keys of this node, sealed in the vault. A key is PREPARED from the moment the node is ready to confirm it until all parties have
 * confirmed, then ACTIVE; only an active key has an address and signs (cggmp24.md §6.3).
 */
import {
  decode,
  DecodeError,
  encode,
  list,
  oneOf,
  safeInteger,
  struct,
  text,
  versioned,
  bytesUpTo,
  type Codec,
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
const versions = { 1: struct(fields), 2: struct({ ...fields, auxHash: bytesUpTo(32) }) };
type Entry = Infer<(typeof versions)[2]>;
/** Version 1: the committee's own auxiliary information serves. Version 2 names that of a changed key. One encoding per key. */
export const entry: Codec<Entry> = {
  write: (writer, value) =>
    value.auxHash.length === 0 ? versioned(1, versions[1]).write(writer, value) : versioned(2, versions[2]).write(writer, value),
  read: (reader) => {
    const version = reader.u8();
    if (version === 1) return { ...versions[1].read(reader), auxHash: new Uint8Array() };
    if (version !== 2) throw new DecodeError('', `version ${version}, only 1 and 2 are known`);
    const value = versions[2].read(reader);
    if (value.auxHash.length === 0) throw new DecodeError('auxHash', 'empty');
    return value;
  },
};

export interface KeyDescription {
  readonly walletId: string;
  readonly walletName: string;
  readonly committee: readonly NodeId[];
  readonly createdAt: number;
  /** Hash of the auxiliary information that was made for this epoch of the key; absent where the committee's own serves. */
  readonly auxHash?: Uint8Array;
}
export type WalletKey =
  | (KeyDescription & { readonly protocol: 'cggmp24'; readonly state: 'prepared' | 'active'; readonly share: KeyShare })
  | (KeyDescription & { readonly protocol: 'frost'; readonly state: 'prepared' | 'active'; readonly share: FrostShare });

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
  async prepare(
    description: KeyDescription,
    key: { protocol: 'cggmp24'; share: KeyShare } | { protocol: 'frost'; share: FrostShare },
  ): Promise<void> {
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
  return record.protocol === 'cggmp24'
    ? { ...description, protocol: 'cggmp24', share: decode(keyShare, record.share) }
    : { ...description, protocol: 'frost', share: decode(frostShare, record.share) };
}
