/** CGGMP24 threshold ECDSA over secp256k1: key generation, auxiliary information, presigning, signing. */
export { auxInfo, type AuxOptions, type PrimeSource } from './aux-info.ts';
export { auxHash, auxInfo as auxInfoCodec, checkAuxInfo, type AuxInfo, type PartyAux } from './aux-record.ts';
export { keyShare, keyShareProblem, type KeyShare } from './key-share.ts';
export { keygen, type KeygenOptions } from './keygen.ts';
export { presign, presignBatch, type PresignBatchOptions, type PresignOptions } from './presign.ts';
export { batchLimit } from './presign-messages.ts';
export {
  openingCommitment,
  presignature,
  presignatureProblem,
  presignaturePublic,
  presignaturePublicProblem,
  type Presignature,
  type PresignaturePublic,
} from './presignature.ts';
export { Rerandomised, type Opened, type Profile, type SigningRequest } from './rerandomise.ts';
export { sessionId, sharesHash, signingSessionId, type SessionBinding, type SigningSession } from './session.ts';
export { bitcoinSighash, type Sighash } from './sighash.ts';
export { combine, partialSignature, type Signature } from './sign.ts';
export { signInteractive, type InteractiveOptions } from './sign-interactive.ts';
