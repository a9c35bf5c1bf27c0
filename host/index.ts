/**
 * The library: `import { cggmp24, frost } from 'threshold-wallet'`. Protocols without transport, storage or clock; docs/library.md says what the
 * caller must see to. What is not exported here is internal and may change with any release.
 */
import { createCore as create, type Core, type CoreOptions } from './core/index.ts';
import * as protocol from './cggmp24/session.ts';
import { productionParameters as parameters } from './proofs/parameters.ts';

export * as cggmp24 from './library/cggmp24.ts';
export * as frost from './library/frost.ts';
export * as resharing from './library/resharing.ts';

/** What the sid of a run binds; the parameters are always those of production. */
export type SessionBinding = Omit<protocol.SessionBinding, 'parameters'>;
/** A session id: 32 bytes that all parties of a run compute alike. @throws Refusal when the nonce is short or an identity occurs twice. */
export const sessionId = (binding: SessionBinding): Uint8Array => protocol.sessionId({ ...binding, parameters });
export { sharesHash } from './cggmp24/session.ts';

/** The arithmetic, on worker threads. Closed by its owner. @throws Defect when no kernel works here, RangeError for a bad number of threads. */
export const createCore = (options?: CoreOptions): Promise<Core & { close(): Promise<void> }> => create(options);

export { inMemoryNetwork, type InMemoryNetwork } from './library/memory-network.ts';
export { createRounds, type Channel, type Identity, type Rounds, type Tracer } from './protocol/rounds.ts';
export type { Core, CoreOptions } from './core/index.ts';
export { systemRandom, type Random } from './base/random.ts';
export { decode, DecodeError, encode, type Codec } from './base/codec.ts';
export { Abandoned, Defect, Fault, Refusal, Silence, Unavailable, type Evidence } from './base/errors.ts';
export type { Point } from './curve/secp256k1.ts';
export { VERSION } from './base/version.ts';
