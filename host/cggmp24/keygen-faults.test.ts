/** Key generation with every field of every message changed: for everybody, for one victim, and before it is committed to. */
import { describe, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { point } from '../curve/secp256k1.ts';
import { seeded } from '../proofs/testing/instances.ts';
import { commitTo, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { expectEffects, expectInEachRound, misplaced, mutations, type Effect } from '../protocol/testing/mutations.ts';
import { keygen, keygenCommitment, keygenRounds } from './keygen.ts';
import type { KeyShare } from './key-share.ts';

const T = 2;
const LIAR = 1;
const VICTIM = 2;
const sid = new Uint8Array(32).fill(3);
const session = (sid: Uint8Array): Protocol<KeyShare> => ({
  n: 3,
  sid,
  run: (rounds, me) => keygen({ rounds, t: T, random: seeded(`keygen faults ${me} ${sid.join()}`), keyId: 'key' }),
  shared: ({ publicKey, X, chainCode, rid }) => hex(Buffer.concat([publicKey, ...X].map((P) => encode(point, P)).concat(chainCode, rid))),
});
const protocol = session(sid);
const messages = keygenRounds(T);
const lines = await rehearse(protocol, LIAR, VICTIM);
const said = (round: { name: string }) => lines.get(round.name)!;

describe('every field of every message of key generation', () => {
  test.each(Object.values(messages))('$name, for everybody', async (round) => {
    await expectEffects(round, mutations(round, said(round)), { protocol, liar: LIAR });
  });

  test.each<[keyof typeof messages, Effect]>([
    ['commit', 'named'],
    ['open', 'named'],
    ['share', 'named'],
    ['proof', 'named'],
    ['confirm', 'named'],
  ])('%s, for one victim', async (name, effect) => {
    const round = messages[name];
    const changes = mutations(round, said(round));
    const effects = Object.fromEntries(changes.map(({ field }) => [field, effect]));
    // Confirmations are the last messages: the others finish, and the victim has its share as PREPARED.
    await expectEffects(round, changes, { protocol, liar: LIAR, to: VICTIM, effects, last: name === 'confirm' });
  });

  test('of an opening, committed to as it is opened', async () => {
    await expectEffects(messages.open, mutations(messages.open, said(messages.open)), {
      protocol,
      liar: LIAR,
      cheats: (mutation) =>
        commitTo(
          lines,
          messages,
          (opening) => ({ V: keygenCommitment(sid, LIAR, opening) }),
          () => decode(messages.open.codec, mutation.payload),
        ),
      // Another decommitment nonce is as good.
      effects: { u: 'harmless' },
    });
  });
});

const misplaces = misplaced(Object.values(messages), lines, await rehearse(session(new Uint8Array(32)), LIAR, VICTIM));
test.each(Object.entries(misplaces))('a party that says, in any round of key generation, %s is named by all', async (_what, lie) => {
  await expectInEachRound(Object.values(messages), lie, { protocol, liar: LIAR });
});
