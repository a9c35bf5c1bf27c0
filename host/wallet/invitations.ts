/** What a node asks of an invitation to a ceremony before it takes part: who invites has no more power than to propose what all can check. */
import { Refusal } from '../base/errors.ts';
import type { NodeId } from '../mesh/types.ts';
import type { WalletContext } from './context.ts';
import type { Keyring } from './keyring.ts';
import { MAX_NODES, type Invitation } from './messages.ts';

/** An invitation older or newer than this is refused: it was delayed, replayed, or a clock is wrong. */
export const INVITATION_WINDOW_MS = 60_000;
const MAX_PRESIGNATURES = 100;

/** Everything that an honest inviter gets right. `used`: whether an invitation with its nonce was taken before. @throws Refusal naming what is wrong. */
export function checkInvitation(
  from: NodeId,
  { kind, protocol, walletId, walletName, threshold, committee, signers, count, createdAt, addressType }: Invitation,
  { context, keyring, used }: { context: Pick<WalletContext, 'self' | 'members' | 'clock'>; keyring: Keyring; used: boolean },
): void {
  const refuse = (field: string, message: string, remedy: string, status: 400 | 403 | 409 | 422 = 422): never => {
    throw new Refusal('invitation_refused', field, message, remedy, status);
  };
  const indices = committee.map((node) => context.members.indexOf(node));
  if (indices.some((index, a) => index < 0 || (a > 0 && index <= indices[a - 1]!))) {
    refuse(
      'committee',
      `the committee ${committee.join(', ')} is not a list of members of this cluster in their order`,
      'name members of the cluster',
    );
  }
  if (!committee.includes(from) || !committee.includes(context.self))
    refuse('committee', `${from} and ${context.self} must both be of the committee`, 'ask a member of the committee', 403);
  const n = committee.length;
  if (n > MAX_NODES || threshold < 2 || threshold > n) {
    refuse(
      'threshold',
      `insufficient participants for threshold: ${threshold}-of-${n}`,
      `choose 2 ≤ threshold ≤ nodes ≤ ${Math.min(MAX_NODES, context.members.length)}`,
    );
  }
  if (Math.abs(context.clock() - createdAt) > INVITATION_WINDOW_MS)
    refuse(
      'createdAt',
      'the invitation is too old, or the clocks of the nodes differ by more than a minute',
      'synchronise the clocks',
      409,
    );
  if (used) refuse('nonce', 'this invitation was used before', 'start a new ceremony', 409);
  if (addressType !== undefined && (kind !== 'dkg' || protocol !== 'cggmp24'))
    refuse(
      'address_type',
      `${addressType} addresses are of new CGGMP24 keys`,
      'name the type where a cggmp24 key is generated, nowhere else',
    );

  if (kind === 'presign') {
    const key = keyring.active(walletId);
    if (key.protocol !== 'cggmp24' || protocol !== 'cggmp24')
      refuse('wallet_id', 'only CGGMP24 keys have presignatures', 'name a cggmp24 wallet');
    if (key.committee.join() !== committee.join() || key.share.t !== threshold)
      refuse('committee', 'not the committee of this key', 'use the committee and threshold of the wallet');
    const ascending = signers.every((index, a) => index < n && (a === 0 || index > signers[a - 1]!));
    if (signers.length !== threshold || !ascending || !signers.includes(committee.indexOf(context.self))) {
      refuse(
        'signers',
        `[${signers.join(', ')}] is not a set of ${threshold} signers that this node is of`,
        'name exactly t committee indices in ascending order',
      );
    }
    if (count < 1 || count > MAX_PRESIGNATURES) refuse('count', `${count} presignatures in one job`, `ask for 1 to ${MAX_PRESIGNATURES}`);
    if (keyring.frozen.has(walletId))
      refuse('wallet_id', 'the key is about to change its shares', 'wait until the change is committed or refused', 409);
    if (keyring.auxOf(key) === undefined)
      refuse('committee', 'this committee has no auxiliary information', 'run the aux ceremony first', 409);
  } else {
    if (signers.length > 0 || count > 0) refuse('signers', 'signers and count belong to presigning', 'leave them empty');
    if (kind === 'dkg') {
      if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(walletId)) refuse('wallet_id', 'not a UUID', 'give a new random UUID');
      if (keyring.find(walletId) !== undefined) refuse('wallet_id', `wallet ${walletId} exists`, 'give a new random UUID', 409);
      if (walletName.length === 0) refuse('name', 'the wallet has no name', 'give it a name');
    } else if (protocol !== 'cggmp24') refuse('protocol', 'only CGGMP24 has auxiliary information', 'name cggmp24');
  }
}
