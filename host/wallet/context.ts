/** What a node gives to its use-cases: constructed once in host/node, passed to everything in this room. */
import type { Random } from '../base/random.ts';
import type { Esplora } from '../bitcoin/esplora.ts';
import type { PaymentPolicy } from '../bitcoin/coins.ts';
import type { PrimeSource } from '../cggmp24/aux-info.ts';
import type { Profile } from '../cggmp24/rerandomise.ts';
import type { NodeIdentity, Roster } from '../consensus/identity.ts';
import type { Core, Priority } from '../core/types.ts';
import type { Calls } from '../mesh/calls.ts';
import type { Mesh, NodeId, SessionHub } from '../mesh/types.ts';
import type { Parameters } from '../proofs/parameters.ts';
import type { Records } from '../storage/records/index.ts';
import type { BurnJournal } from '../storage/burns.ts';
import type { Vault } from '../storage/vault.ts';
import type { EventBus } from './events.ts';
import type { NetworkName } from './types.ts';

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What this node asks of every payment before it votes for it. */
export interface Policy extends PaymentPolicy {
  /** Largest sum that one payment may send to others, satoshis. */
  readonly maxPayment: bigint;
}

/** A search that may be asked to work only when nothing else is to do, and can be stopped. */
export interface PrimeSearcher extends PrimeSource {
  next(options?: { readonly signal?: AbortSignal; readonly priority?: Priority }): Promise<bigint>;
}

export interface PoolSettings {
  /** Presignatures to keep ready per wallet; 0 switches the pool off. */
  readonly target: number;
  /** A refill begins when there are fewer. */
  readonly low: number;
  /** There are never more, whoever asks. */
  readonly max: number;
  /** Most that one refill makes. */
  readonly batch: number;
  readonly checkMs: number;
  readonly maxAgeMs: number;
  /** What a payment does that finds no presignature: sign without one at once, or wait some seconds for one that is being made. */
  readonly onEmpty: 'interactive' | 'wait';
  /** Safe primes to keep for the next auxiliary information. */
  readonly primes: number;
}

export interface WalletContext {
  readonly self: NodeId;
  /** All nodes in index order. */
  readonly members: readonly NodeId[];
  readonly clusterId: Uint8Array;
  readonly network: NetworkName;
  /** t of a wallet whose creator names none. */
  readonly threshold: number;
  readonly version: string;
  readonly parameters: Parameters;
  /** All members with their Ed25519 identity keys. */
  readonly roster: Roster;
  /** Signs as this node. */
  readonly identity: NodeIdentity;
  readonly mesh: Mesh;
  readonly sessions: SessionHub;
  readonly calls: Calls;
  readonly core: Core;
  readonly primes: PrimeSearcher;
  readonly random: Random;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly vault: Vault;
  /** Presignatures that this node has used, and nonce points that it has seen. */
  readonly burns: BurnJournal;
  readonly seen: BurnJournal;
  readonly records: Records;
  readonly esplora: Esplora;
  readonly policy: Policy;
  readonly pool: PoolSettings;
  /** How this node signs for keys below a wallet's: with presignatures of the wallet's key made over, or without the pool. */
  readonly derivedKeys: Profile;
  readonly pollMs: number;
  /** Where files of evidence go, for the operator to show to others; absent where there is no disk. */
  readonly evidence?: { write(name: string, file: Uint8Array): Promise<void> };
  readonly events: EventBus;
  readonly logger: Logger;
}

/** The nodes that are linked now, own one included. */
export const online = (context: Pick<WalletContext, 'mesh' | 'self'>): Set<NodeId> =>
  new Set([
    context.self,
    ...context.mesh
      .peers()
      .filter((peer) => peer.status === 'active' || peer.status === 'degraded')
      .map((peer) => peer.node),
  ]);
