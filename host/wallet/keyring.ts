/**
 * The keys of this node, sealed in the vault. A key is PREPARED from the moment the node is ready to confirm it until all parties have
 * confirmed, then ACTIVE; only an active key has an address and signs (cggmp24.md §6.3).
 */
import { decode, DecodeError, encode, list, oneOf, safeInteger, struct, text, versioned, bytesUpTo, type Infer } from '../base/codec.ts';
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
export const entry = versioned(
  1,
  struct({
    state: oneOf(['prepared', 'active']),
    protocol: oneOf(['cggmp24', 'frost']),
    walletId: text(36),
    walletName: text(64),
    committee: list(text(31), { max: 16 }),
    createdAt: safeInteger,
    share: bytesUpTo(64 * 1024),
  }),
);
type Entry = Infer<typeof entry>;

export interface KeyDescription {
  readonly walletId: string;
  readonly walletName: string;
  readonly committee: readonly NodeId[];
  readonly createdAt: number;
}
export type WalletKey =
  | (KeyDescription & { readonly protocol: 'cggmp24'; readonly state: 'prepared' | 'active'; readonly share: KeyShare })
  | (KeyDescription & { readonly protocol: 'frost'; readonly state: 'prepared' | 'active'; readonly share: FrostShare });

/** Auxiliary information belongs to a committee: to these nodes in this order. */
export const committeeId = (committee: readonly NodeId[]): string =>
  hex(new Transcript('committee/v1').list(committee, (t, node) => t.text(node)).digest());

/** What the keyring needs of a vault. */
export type Entries = Pick<Vault, 'put' | 'get' | 'list'>;

export class Keyring {
  readonly #keys = new Map<string, WalletKey>();
  readonly #aux = new Map<string, AuxInfo>();

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
    const share = key.protocol === 'cggmp24' ? encode(keyShare, key.share) : encode(frostShare, key.share);
    const record: Entry = { ...key, committee: [...key.committee], share };
    const content = encode(entry, record);
    share.fill(0);
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
  };
  return record.protocol === 'cggmp24'
    ? { ...description, protocol: 'cggmp24', share: decode(keyShare, record.share) }
    : { ...description, protocol: 'frost', share: decode(frostShare, record.share) };
}
