/**
 * CGGMP24 threshold ECDSA over secp256k1 for programs that embed it. The functions are those that the wallet runs, at full strength: no argument
 * chooses the parameters, so weaker ones cannot slip in. Messages to sign are preimages that are hashed here; nothing takes a digest.
 */
import { availableParallelism } from 'node:os';
import * as protocol from '../cggmp24/index.ts';
import type { Codec } from '../base/codec.ts';
import { SafePrimes } from '../core/primes.ts';
import type { Core } from '../core/types.ts';
import { productionParameters as parameters } from '../proofs/parameters.ts';

type Fixed<Options> = Omit<Options, 'parameters'>;
export type AuxOptions = Fixed<protocol.AuxOptions>;
export type PresignOptions = Fixed<protocol.PresignOptions>;
export type PresignBatchOptions = Fixed<protocol.PresignBatchOptions>;
export type InteractiveOptions = Fixed<protocol.InteractiveOptions>;
export type SigningSession = Fixed<protocol.SigningSession>;

export {
  bitcoinSighash,
  combine,
  keygen,
  partialSignature,
  Rerandomised,
  keyShare as keyShareCodec,
  presignature as presignatureCodec,
  presignaturePublic as presignaturePublicCodec,
  type AuxInfo,
  type KeygenOptions,
  type KeyShare,
  type Opened,
  type PartyAux,
  type Presignature,
  type PresignaturePublic,
  type PrimeSource,
  type Profile,
  type Sighash,
  type Signature,
  type SigningRequest,
} from '../cggmp24/index.ts';
export { Child } from '../curve/bip32.ts';

/** Moduli of two safe primes of 1536 bits each, ranges and repetitions of 128-bit security. Every party must mean the same. */
export { parameters };

/** Auxiliary information of a group: four safe primes for each party, and proofs about them. Once per group; serves all its keys. */
export const auxInfo = (options: AuxOptions): Promise<protocol.AuxInfo> => protocol.auxInfo({ ...options, parameters });

/** The stored form of {@link protocol.AuxInfo}. Secret: seal it. */
export const auxInfoCodec: Codec<protocol.AuxInfo> = protocol.auxInfoCodec(parameters);

/** To be called once on every record that was read back, before its use. @throws Refusal when it was damaged. */
export const checkAuxInfo = (aux: protocol.AuxInfo, core: Core): Promise<void> => protocol.checkAuxInfo(aux, parameters, core);

/** A source that searches for a prime whenever one is asked for, on `width` workers of the core: seconds to a minute each. */
export const generatedPrimes = (core: Core, width = availableParallelism()): protocol.PrimeSource =>
  new SafePrimes(core, parameters.primeBits, width);

export const presign = (options: PresignOptions): Promise<protocol.Presignature> => protocol.presign({ ...options, parameters });
export const presignBatch = (options: PresignBatchOptions): Promise<protocol.Presignature[]> =>
  protocol.presignBatch({ ...options, parameters });
/** Most presignatures that one run of `t` signers can make. */
export const batchLimit = (t: number): number => protocol.batchLimit(parameters, t);

/** Presigning and signing in one run, for a message that is known before. */
export const signInteractive = (options: InteractiveOptions): Promise<protocol.Signature> =>
  protocol.signInteractive({ ...options, parameters });

/** The sid of a run of presigning or interactive signing. */
export const signingSessionId = (session: SigningSession): Uint8Array => protocol.signingSessionId({ ...session, parameters });
