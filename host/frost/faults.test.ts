/** FROST key generation and signing with every field of every message changed: for everybody, for one victim, and before it is committed to. */
import { describe, expect, test } from 'vitest';
import { hex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { fromHex } from '../base/bytes.ts';
import { point } from '../curve/secp256k1.ts';
import { seeded } from '../proofs/testing/instances.ts';
import { commitTo as committing, rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { expectEffects, expectInEachRound, misplaced, mutations, type Effect } from '../protocol/testing/mutations.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import bip341 from '../../fixtures/vectors/frost-bip341.json' with { type: 'json' };
import { commitRound, commitTo, confirmRound, keygen, openRound, shareRound } from './keygen.ts';
import type { FrostShare } from './share.ts';
import { nonceRound, sign, signatureShareRound } from './sign.ts';
import { taprootSighash } from './sighash.ts';

const T = 2;
const LIAR = 1;
const VICTIM = 2;
const sid = new Uint8Array(32).fill(4);

describe('every field of every message of FROST key generation', async () => {
  const session = (sid: Uint8Array): Protocol<FrostShare> => ({
    n: 3,
    sid,
    run: (rounds, me) => keygen({ rounds, t: T, random: seeded(`frost faults ${me} ${sid.join()}`), keyId: 'key' }),
    shared: ({ P, internal, Y, chainCode }) => hex(Buffer.concat([...[P, internal, ...Y].map((A) => encode(point, A)), chainCode])),
  });
  const protocol = session(sid);
  const rounds = { commit: commitRound, open: openRound(T), share: shareRound, confirm: confirmRound };
  const lines = await rehearse(protocol, LIAR, VICTIM);

  test.each(Object.values(rounds))('$name, for everybody', async (round) => {
    await expectEffects(round, mutations(round, lines.get(round.name)!), { protocol, liar: LIAR });
  });

  test.each<[keyof typeof rounds, Effect]>([
    ['commit', 'named'],
    ['open', 'named'],
    ['share', 'named'],
    ['confirm', 'named'],
  ])('%s, for one victim', async (name, effect) => {
    const changes = mutations(rounds[name], lines.get(rounds[name].name)!);
    const effects = Object.fromEntries(changes.map(({ field }) => [field, effect]));
    // Confirmations are the last messages: the others finish, and the victim has its share as PREPARED.
    await expectEffects(rounds[name], changes, { protocol, liar: LIAR, to: VICTIM, effects, last: name === 'confirm' });
  });

  test('of an opening, committed to as it is opened', async () => {
    await expectEffects(rounds.open, mutations(rounds.open, lines.get(rounds.open.name)!), {
      protocol,
      liar: LIAR,
      cheats: ({ payload }) => committing(lines, rounds, (opening) => commitTo(sid, LIAR, opening), () => decode(rounds.open.codec, payload)), // prettier-ignore
      // Another decommitment nonce is as good.
      effects: { u: 'harmless' },
    });
  });

  const misplaces = misplaced(Object.values(rounds), lines, await rehearse(session(new Uint8Array(32)), LIAR, VICTIM));
  test.each(Object.entries(misplaces))('a party that says, in any round, %s is named by all', async (_what, lie) => {
    await expectInEachRound(Object.values(rounds), lie, { protocol, liar: LIAR });
  });
});

describe('every field of every message of FROST signing', async () => {
  const dealt = await memoryNetwork(3, sid).run((rounds, me) => keygen({ rounds, t: T, random: seeded(`frost key ${me}`), keyId: 'key' }));
  const shares = values(dealt);
  const message = taprootSighash(fromHex(bip341.messages[0]!.preimage));
  const session = (sid: Uint8Array): Protocol<Uint8Array> => ({
    n: 3,
    sid,
    run: (rounds, me) => sign({ rounds, signers: [0, 1, 2], share: shares[me]!, message, random: seeded(`frost signing ${me}`) }),
    shared: hex,
  });
  const protocol = session(sid);
  const lines = await rehearse(protocol, LIAR, VICTIM);

  test.each([undefined, VICTIM])('commitments, to %s: the liar is named, because its account of them shows others', async (to) => {
    const changes = mutations(nonceRound, lines.get(nonceRound.name)!);
    await expectEffects(nonceRound, changes, { protocol, liar: LIAR, ...(to !== undefined && { to }) });
  });

  // It gives no account of the view that it named.
  test.each([undefined, VICTIM])('signature shares, to %s: the share names its author, and so does a false view', async (to) => {
    const changes = mutations(signatureShareRound, lines.get(signatureShareRound.name)!);
    expect(new Set(changes.map(({ field }) => field))).toEqual(new Set(['z', 'view']));
    const campaign = { protocol, liar: LIAR, last: true };
    await expectEffects(signatureShareRound, changes, { ...campaign, ...(to !== undefined && { to }) });
  });

  const rounds = [nonceRound, signatureShareRound];
  const misplaces = misplaced(rounds, lines, await rehearse(session(new Uint8Array(32)), LIAR, VICTIM));
  test.each(Object.entries(misplaces))('a signer that says, in any round, %s', async (_what, lie) => {
    await expectInEachRound(rounds, lie, { protocol, liar: LIAR });
  });
});
