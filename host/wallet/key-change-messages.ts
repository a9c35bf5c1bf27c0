/** What nodes say to each other about the change of a key beside the run itself. Every statement in them is signed on its own (host/resharing). */
import { bool, bytes, list, optional, safeInteger, struct, text, u32, u8, versioned, type Infer } from '../base/codec.ts';
import { method } from '../mesh/calls.ts';
import { ticket } from '../resharing/plan.ts';
import { certificate, statement } from '../resharing/statements.ts';
import { accepted, MAX_NODES } from './messages.ts';

const uuid = text(36);
const nodeName = text(31);

/** What the operator of a node agreed to: the node votes for, and joins, this change of this key and no other. */
export const consent = versioned(
  1,
  struct({ publicKey: text(66), threshold: u8, nodes: list(nodeName, { max: MAX_NODES }), expiresAt: safeInteger }),
);
export type Consent = Infer<typeof consent>;

const highestQuery = versioned(1, struct({ walletId: uuid }));
const highestAnswer = versioned(1, struct({ share: bool, epoch: u32, highest: u32 }));
/** Asks a member of O* to lead the making of auxiliary information for the next epoch. */
const auxRequest = versioned(1, struct({ walletId: uuid, threshold: u8, nodes: list(nodeName, { max: MAX_NODES }) }));
const auxAnswer = versioned(1, struct({ hash: bytes(32) }));
const voteRequest = versioned(1, struct({ ticket }));
const voteAnswer = versioned(1, struct({ signature: bytes(64) }));
const runRequest = versioned(
  1,
  struct({ ticket, approvals: list(statement, { max: MAX_NODES }), walletName: text(64), createdAt: safeInteger }),
);
/** Asked by whoever waits: for what the other node knows of this key after `epoch`, and of this try. */
const askRequest = versioned(1, struct({ walletId: uuid, epoch: optional(u32), ticket: optional(ticket) }));
const askAnswer = versioned(
  1,
  struct({
    certificates: list(certificate, { max: 8 }),
    refusal: optional(statement),
    ack: optional(statement),
    committed: optional(statement),
  }),
);
const declineRequest = versioned(1, struct({ ticket }));
const statementAnswer = versioned(1, struct({ statement }));
const refusalNotice = versioned(1, struct({ ticket, statement }));
const certificateNotice = versioned(1, struct({ certificate }));
const erasedQuery = versioned(1, struct({ walletId: uuid, sid: bytes(32) }));
const erasedAnswer = versioned(1, struct({ statement: optional(statement) }));
const committedNotice = versioned(1, struct({ walletId: uuid, sid: bytes(32), statement }));

export const methods = {
  highest: method('keys.highest', highestQuery, highestAnswer),
  aux: method('keys.aux', auxRequest, auxAnswer),
  vote: method('keys.vote', voteRequest, voteAnswer),
  run: method('keys.run', runRequest, accepted),
  ask: method('keys.ask', askRequest, askAnswer),
  decline: method('keys.decline', declineRequest, statementAnswer),
  refused: method('keys.refused', refusalNotice, accepted),
  certified: method('keys.certified', certificateNotice, accepted),
  committed: method('keys.committed', committedNotice, accepted),
  erased: method('keys.erased', erasedQuery, erasedAnswer),
};
