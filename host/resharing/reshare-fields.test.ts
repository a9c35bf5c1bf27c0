/** Resharing with every field of every message changed by a node of both committees: for everybody, for one victim, and before it is committed to. */
import { describe, test } from 'vitest';
import { equalBytes, hex } from '../base/bytes.ts';
import { decode } from '../base/codec.ts';
import { seeded } from '../proofs/testing/instances.ts';
import { testParameters } from '../proofs/parameters.ts';
import { commitTo, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { expectEffects, expectInEachRound, misplaced, mutations, oncePerField, type Effect } from '../protocol/testing/mutations.ts';
import { participants, runId, type Ticket } from './plan.ts';
import { reshare } from './reshare.ts';
import { memberCommitment, reshareRounds, sharerCommitment } from './reshare-messages.ts';
import type { Certificate } from './statements.ts';
import { approve, keysOf, makeCommittee, nodeOf, nodes, planOf, ticketOf, type Committee } from './testing/parties.ts';

/**
 * 2-of-3 → 3-of-3: nodes 0 to 2 share (parties 0 to 2), nodes 4, 1 and 5 receive (parties 3, 1 and 4). The liar is in the middle of both committees:
 * of its vectors the first and the last entry are changed, which are for others.
 */
const CHANGE = { sharers: [0, 1, 2], t: 3, members: [4, 1, 5] } as const;
const [LIAR, VICTIM] = [1, 4];

function session(committee: Committee, ticket: Ticket): Protocol<Certificate> {
  const keys = participants(ticket.plan);
  const sid = runId(ticket, testParameters);
  const approvals = approve(ticket);
  return {
    n: keys.length,
    sid,
    run: (rounds, party) => {
      const old = committee.members.findIndex((k) => equalBytes(nodes[k]!.publicKey, keys[party]!));
      return reshare({
        rounds,
        ticket,
        approvals,
        publicKey: ticket.plan.publicKey,
        ...(old >= 0 && { own: { share: committee.shares[old]!, members: keysOf(committee.members) } }),
        parameters: testParameters,
        random: seeded(`reshare fields ${party} ${hex(sid)}`),
        sign: (message) => nodeOf(keys[party]!).sign(message),
        prepared: () => Promise.resolve(),
      });
    },
    shared: ({ digest, acks }) => [digest, ...acks].map(hex).join(),
  };
}

describe('every field of every message of resharing', async () => {
  const committee = await makeCommittee('cggmp24', 2, [0, 1, 2]);
  const plan = planOf(committee, CHANGE);
  const protocol = session(committee, ticketOf(plan));
  const messages = reshareRounds(plan);
  const lines = await rehearse(protocol, LIAR, VICTIM);
  const changes = (name: keyof typeof messages) => mutations(messages[name], lines.get(messages[name].name)!);

  test.each(['commit', 'open', 'deal', 'result', 'ack'] as const)('%s, for everybody', async (name) => {
    await expectEffects(messages[name], oncePerField(changes(name)), { protocol, liar: LIAR });
  });

  // Acknowledgements are the last messages: the others have the certificate, and whoever asks them gets it.
  test.each(['open', 'result', 'ack'] as const)('%s, for one victim', async (name) => {
    const some = oncePerField(changes(name));
    await expectEffects(messages[name], some, { protocol, liar: LIAR, to: VICTIM, last: name === 'ack' });
  });

  test('of an opening, committed to as it is opened', async () => {
    // Other decommitment nonces are as good.
    const effects: Record<string, Effect> = { 'sharer.u': 'harmless', 'member.u': 'harmless' };
    await expectEffects(messages.open, oncePerField(changes('open')), {
      protocol,
      liar: LIAR,
      effects,
      cheats: ({ payload }) =>
        commitTo(
          lines,
          messages,
          ({ sharer, member }) => ({
            sharer: sharer && sharerCommitment(protocol.sid, 1, sharer),
            member: member && memberCommitment(protocol.sid, 1, member),
          }),
          () => decode(messages.open.codec, payload),
        ),
    });
  });

  const foreign = await rehearse(session(committee, ticketOf(plan)), LIAR, VICTIM);
  test.each(Object.entries(misplaced(Object.values(messages), lines, foreign)))('%s, in any round', async (_what, lie) => {
    await expectInEachRound(Object.values(messages), lie, { protocol, liar: LIAR });
  });
});
