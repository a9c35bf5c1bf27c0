/**
 * What nodes say to each other about ceremonies and payments, and how: one codec per message. The sender is the identity of the link's
 * certificate; nothing in a message overrides it. None of them carries a secret that its receiver does not own.
 */
import {
  bytes,
  bytesUpTo,
  decode,
  DecodeError,
  list,
  map,
  oneOf,
  safeInteger,
  struct,
  text,
  u32,
  u8,
  versioned,
  versions,
  type Codec,
  type Infer,
} from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import { MAX_STEP } from '../bitcoin/paths.ts';
import { point } from '../curve/secp256k1.ts';

/** Upper bound on the members of a cluster, and so on committees, signer sets and votes. */
export const MAX_NODES = 16;
/** Inputs of one payment. */
export const MAX_INPUTS = 64;
const nodeName = text(31);
const committee = list(nodeName, { max: MAX_NODES });
/** UUID in text form. */
const uuid = text(36);
const hash = bytes(32);
const upTo = (max: number): Codec<number> =>
  map(
    u8,
    (n) => {
      if (n > max) throw new DecodeError('', `${n}, at most ${max}`);
      return n;
    },
    (n) => n,
  );

const invited = {
  /** Fresh random bytes: the id of the ceremony, and what makes its session ids unique. */
  nonce: hash,
  kind: oneOf(['aux', 'dkg', 'presign']),
  protocol: oneOf(['cggmp24', 'frost']),
  /** Empty for auxiliary information, which belongs to the committee and serves all its keys. */
  walletId: uuid,
  walletName: text(64),
  threshold: u8,
  /** The parties by index. For presigning: the committee of the key. */
  committee,
  /** For presigning: the signer set, as indices of the committee, ascending; empty otherwise. */
  signers: list(u8, { max: MAX_NODES }),
  /** For presigning: how many presignatures. 0 otherwise. */
  count: u32,
  createdAt: safeInteger,
};
const usual = struct(invited);
const typed = struct({ ...invited, addressType: oneOf(['p2wsh']) });
/** `addressType`: of the wallet whose key is generated; absent for the usual one of the protocol, and in all other ceremonies. */
export type Invitation = Infer<typeof usual> & { readonly addressType?: 'p2wsh' };
/** An invitation to a ceremony. Every member checks it, derives the session id from it, and runs the protocol as an equal. Version 2 names a type. */
export const invitation = versions<Invitation>(
  { 1: usual, 2: map(typed, (of): Invitation => of, (of) => ({ ...of, addressType: 'p2wsh' as const })) },
  ({ addressType }) => (addressType === undefined ? 1 : 2),
); // prettier-ignore

export const accepted = versioned(1, struct({ ok: u8 }));
/** Of the invitation with this nonce. */
export const cancellation = versioned(1, struct({ nonce: hash, reason: text(400) }));

/** Asks the node that makes presignatures for a wallet to make some more. `id` is random; the one who asked may end the job by it. */
export const poolJob = versioned(1, struct({ id: hash, walletId: uuid, count: u32 }));
export const poolJobResult = versioned(1, struct({ made: u32 }));
export const poolJobEnd = versioned(1, struct({ id: hash }));

/** A proposal with its proposer's signature, both as consensus encodes them. */
export const proposeRequest = versioned(1, struct({ proposal: bytesUpTo(260 * 1024) }));
/** The receiver's signed vote. */
export const proposeResponse = versioned(1, struct({ vote: bytesUpTo(4096) }));
/** The same vote, told to everybody else. */
export const voteNotice = versioned(1, struct({ proposal: hash, vote: bytesUpTo(4096) }));

/** The extension of an approving vote: the opening of each input's presignature. Which presignatures those are is in the proposal that the vote names. */
export const voteOpenings = versioned(1, struct({ openings: list(hash, { max: MAX_INPUTS }) }));

/** The extension of a vote against a payment of which other coins would do: which inputs, by position, the voter does not find free. */
export const voteObjection = versioned(1, struct({ notFree: list(u8, { max: MAX_INPUTS }) }));

/** D and E of a FROST signer's nonces. */
const noncePoints = struct({ D: point, E: point });
/** Commitments that one question may ask for. */
export const MAX_NONCES = 64;
/** Asks a signer for commitments to fresh nonces, which it keeps for the asker alone. `fresh` are the asker's random bytes, mixed into the nonces. */
export const noncesRequest = versioned(1, struct({ walletId: uuid, epoch: u32, count: upTo(MAX_NONCES), fresh: hash }));
export const noncesResponse = versioned(1, struct({ commitments: list(noncePoints, { max: MAX_NONCES }) }));

/** The request for signatures on an approved payment. Which digest is signed is not in it: every signer derives that itself. */
export const signRequest = versioned(
  2,
  struct({
    proposal: hash,
    certificate: bytesUpTo(64 * 1024),
    mode: oneOf(['pool', 'interactive', 'frost']),
    /** Counts tries for one payment, so that every try has its own session. */
    attempt: u8,
    /** Fresh random bytes for the session ids of this try. */
    nonce: hash,
    /** The signer set, as indices of the committee, ascending. */
    signers: list(u8, { max: MAX_NODES }),
    /** FROST in one round: for each input the nonce commitments of the signers, in their order. Empty for two rounds, and in the other modes. */
    commitments: list(list(noncePoints, { max: MAX_NODES }), { max: MAX_INPUTS }),
  }),
);
export type SignRequest = Infer<typeof signRequest>;

/** Pool mode, and FROST in one round: the partial signature σ or z of each input (32 bytes). Otherwise the finished signature of each input (64 bytes). */
export const signResponse = versioned(1, struct({ results: list(bytesUpTo(64), { max: MAX_INPUTS }) }));

/** The signed transaction, told to the committee: each member checks it against the proposal that it voted on. */
export const signedNotice = versioned(
  1,
  struct({ proposal: hash, raw: bytesUpTo(256 * 1024), mode: oneOf(['pool', 'interactive', 'frost']), signers: committee }),
);

/** The end of a payment that will never be signed; everybody may release its inputs. */
export const abandonNotice = versioned(
  1,
  struct({ proposal: hash, state: oneOf(['rejected', 'timed_out', 'failed', 'aborted_byzantine']), reason: text(400) }),
);

/** What a node knows of a wallet, asked after a crash between the steps of a key generation. */
export const walletQuery = versioned(1, struct({ walletId: uuid }));
export const walletAnswer = versioned(1, struct({ state: oneOf(['unknown', 'prepared', 'active']), publicKey: bytesUpTo(33) }));

/** Which auxiliary information a node has for a committee: its hash, empty for none. All must have the same, or none can sign with it. */
export const auxQuery = versioned(1, struct({ committee }));
export const auxAnswer = versioned(1, struct({ hash: bytesUpTo(32) }));

/** Ready presignatures of a node by signer set, as indices of the committee. */
export const poolLevels = versioned(
  1,
  struct({ sets: list(struct({ signers: list(u8, { max: MAX_NODES }), ready: u32 }), { max: 1024 }) }),
);

/** Counters of one page. */
export const MAX_COUNTERS = 500;
const index = map(
  u32,
  (n) => {
    if (n > MAX_STEP) throw new DecodeError('', `${n} is a hardened index`);
    return n;
  },
  (n) => n,
);
/** Asks for a receiving address of an account: for somebody (`fresh`: nobody else has it), or only to have it and those below looked at. */
export const addressRequest = versioned(1, struct({ walletId: uuid, account: index, index, purpose: oneOf(['fresh', 'watch']) }));
/** `next`: the first index that is not in use at the node that answers. */
export const addressResponse = versioned(1, struct({ verdict: oneOf(['accepted', 'taken', 'ahead', 'many', 'often']), next: u32 }));
/** Asks for the counters of a wallet from the `from`-th on, by account and chain. */
export const countersRequest = versioned(1, struct({ walletId: uuid, from: u32 }));
export const countersResponse = versioned(
  1,
  struct({ total: u32, counters: list(struct({ account: index, chain: upTo(1), next: u32 }), { max: MAX_COUNTERS }) }),
);

/** The payload of a payment proposal: consensus carries it as bytes. Intent and payment are canonical bytes of host/bitcoin. */
export const paymentProposal = versioned(
  2,
  struct({
    txId: uuid,
    /** What was asked for. */
    intent: bytesUpTo(64 * 1024),
    /** The unsigned transaction that does it. */
    payment: bytesUpTo(160 * 1024),
    /** Who is to sign from the pool, as indices of the committee, ascending, and with which presignature each input; both empty for without. */
    signers: list(u8, { max: MAX_NODES }),
    presignatures: list(hash, { max: MAX_INPUTS }),
  }),
);

/** Decodes what a peer sent inside of a message. @throws Refusal naming `field`: the peer's mistake is no defect of this node. */
export function parse<T>(codec: Codec<T>, encoded: Uint8Array, field: string): T {
  try {
    return decode(codec, encoded);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new Refusal('malformed_message', field, `malformed ${field}: ${error.message}`, 'run the same version on all nodes');
  }
}
