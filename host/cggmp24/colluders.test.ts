/** Two liars who work together: they may fail, they may undo each other's lies, but no honest party is ever named for them. */
import { afterAll, describe, expect, test } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import { bytes, encode, type Infer } from '../base/codec.ts';
import { createCore } from '../core/index.ts';
import { G, modQ, point, type Point } from '../curve/secp256k1.ts';
import { seeded, smallParameters } from '../proofs/testing/instances.ts';
import { broadcastRound, echoHash } from '../protocol/rounds.ts';
import {
  attack,
  change,
  changeBytes,
  expectJust,
  expectNamed,
  hear,
  rehearse,
  type Cheat,
  type Protocol,
} from '../protocol/testing/adversary.ts';
import { sha256 } from '../protocol/transcript.ts';
import { keygen, keygenRounds } from './keygen.ts';
import type { KeyShare } from './key-share.ts';
import { presignRounds } from './presign-messages.ts';
import { signingSessionId } from './session.ts';
import { bitcoinSighash } from './sighash.ts';
import { partialRound, signInteractive } from './sign-interactive.ts';
import type { Signature } from './sign.ts';
import { freshNonce, identitiesOf, makeGroup } from './testing/parties.ts';
import { opensslAccepts } from './testing/verifiers.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const [A, B] = [1, 2];

describe('two colluders in the key generation of four', () => {
  const VICTIM = 3;
  const sid = new Uint8Array(32).fill(6);
  const protocol: Protocol<KeyShare> = {
    n: 4,
    sid,
    run: (rounds, me) => keygen({ rounds, t: 2, random: seeded(`colluders ${me}`), keyId: 'key' }),
    shared: ({ publicKey, X }) => hex(Buffer.concat([publicKey, ...X].map((P) => encode(point, P)))),
  };
  const messages = keygenRounds(2);

  test('one deals a wrong share, the other accuses its victim: both are named by all, the victim is not', async () => {
    const report = await attack(
      protocol,
      new Map([
        [A, [change(messages.share, ({ sigma }) => ({ sigma: modQ(sigma + 1n) }), VICTIM)]],
        [B, [change(messages.proof, () => ({ psi: undefined, complaints: [{ against: VICTIM, signed: new Uint8Array(100) }] }))]],
      ]),
    );
    expectNamed(report, /the share of party 1 for party 3 does not fit.*|the complaint of party 2 against party 3 does not hold/);
  });

  test('one shows two commitments, both echo to everybody what it saw: the honest compare among themselves, and name it', async () => {
    const said = await Promise.all([0, 1, 2].map(async (from) => (await rehearse(protocol, from, VICTIM)).get(messages.commit.name)!));
    const ofVictim = (await rehearse(protocol, VICTIM, 0)).get(messages.commit.name)!;
    const lie = said[A]!.with(0, said[A]![0]! ^ 1);
    const seen = [said[0]!, lie, said[B]!, ofVictim];
    const view = echoHash(
      sid,
      messages.commit.name,
      seen.map((payload) => sha256(payload)),
    );
    const echo = broadcastRound(`${messages.commit.name}/echo`, bytes(32));
    const backs = changeBytes(echo, () => view, VICTIM);
    const report = await attack(
      protocol,
      new Map([
        [A, [changeBytes(messages.commit, () => lie, VICTIM), backs]],
        [B, [backs]],
      ]),
    );
    // The one who signed two; that the other agreed with both sides, each of them sees as agreement.
    expectJust(report);
    for (const { culprits, reason } of report.verdicts) {
      expect(culprits).toEqual([A]);
      expect(reason).toContain('party 1 signed two');
    }
    expect(report.said).not.toContain(messages.open.name);
  });
});

describe('two colluders among three signers', async () => {
  const signers = [0, 1, 2];
  const preimage = utf8('the preimage of a sighash');
  const message = bitcoinSighash(preimage);
  const { keys, aux, parameters } = await makeGroup(3, 3, smallParameters, core);
  const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
  const inputs = (position: number) => ({ key: keys[position]!, aux: aux[position]!, parameters, signers });
  const protocol: Protocol<Signature> = {
    n: 3,
    sid: signingSessionId({ protocol: 'sign', ...inputs(0), ...session, message }),
    run: (rounds, me) => signInteractive({ rounds, ...inputs(me), random: seeded(`colluders ${me}`), core, session, message }),
    shared: ({ r, s, recovery }) => [r, s, recovery].join(),
  };
  const messages = presignRounds(parameters, 3, 1);
  type Third = Infer<typeof messages.delta.codec>[number];
  /** Says its message of round 3 with `by`, and takes the other liar's for what goes with its own true one. */
  const about = (by: (m: Third) => Third, undo: (m: Third) => Third, other: number): Cheat[] => [
    change(messages.delta, (list) => list.map(by)),
    hear(messages.delta, (list, from) => (from === other ? list.map(undo) : list)),
  ];
  const delta = (d: bigint) => (m: Third): Third => ({ ...m, delta: modQ(m.delta + d) }); // prettier-ignore
  const byDelta = (d: bigint, other: number) => about(delta(d), delta(d), other);
  const S = (P: Point) => (m: Third): Third => ({ ...m, S: m.S.add(P) }); // prettier-ignore
  const byS = (P: Point, other: number) => about(S(P), S(P), other);
  const byPartial = (d: bigint, other: number): Cheat[] => [
    change(partialRound, ({ sigma }) => ({ sigma: modQ(sigma + d) })),
    hear(partialRound, ({ sigma }, from) => ({ sigma: from === other ? modQ(sigma + d) : sigma })),
  ];

  test.each([
    ['δ', byDelta(5n, B), byDelta(-5n, A)],
    ['S', byS(G, B), byS(G.negate(), A)],
    ['σ', byPartial(5n, B), byPartial(-5n, A)],
  ])('lies about %s that cancel out give the signature that was asked for, and nothing else', async (_what, one, other) => {
    const report = await attack(protocol, new Map([[A, one], [B, other]])); // prettier-ignore
    expectJust(report);
    const [{ outcome, result }] = report.verdicts as [(typeof report.verdicts)[number]];
    expect(outcome).toBe('finished');
    expect(opensslAccepts(keys[0]!.publicKey, preimage, result!)).toBe(true);
  });

  test('lies about S that cancel out, and then one about σ: both are named, for what they had committed to', async () => {
    const report = await attack(protocol, new Map([[A, [...byS(G, B), ...byPartial(1n, B)]], [B, byS(G.negate(), A)]])); // prettier-ignore
    expectNamed(report, 'wrong partial signature');
  });
});
