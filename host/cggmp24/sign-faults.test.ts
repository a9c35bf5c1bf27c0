/**
 * Interactive signing (presigning, then the signing round) with every field of every message changed by one signer: for everybody, and for one
 * victim. No signature comes out, and nobody but the liar is named.
 */
import { afterAll, describe, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { createCore } from '../core/index.ts';
import { seeded, smallParameters } from '../proofs/testing/instances.ts';
import { rehearse, type Protocol } from '../protocol/testing/adversary.ts';
import { expectEffects, expectInEachRound, misplaced, mutations, oncePerField, type Effect } from '../protocol/testing/mutations.ts';
import { presignRounds } from './presign-messages.ts';
import { signingSessionId } from './session.ts';
import { bitcoinSighash } from './sighash.ts';
import { partialRound, signInteractive } from './sign-interactive.ts';
import type { Signature } from './sign.ts';
import { freshNonce, identitiesOf, makeGroup } from './testing/parties.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const LIAR = 1;
const VICTIM = 2;
const message = bitcoinSighash(utf8('the preimage of a sighash'));
const parameters = smallParameters;

/** Signing by n of n, and what the liar says in an honest run to its last peer. */
async function signing(n: number) {
  const signers = Array.from({ length: n }, (_, j) => j);
  const { keys, aux } = await makeGroup(n, n, parameters, core);
  const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
  const inputs = (position: number) => ({ key: keys[position]!, aux: aux[position]!, parameters, signers });
  const protocol: Protocol<Signature> = {
    n,
    sid: signingSessionId({ protocol: 'sign', ...inputs(0), ...session, message }),
    run: (rounds, me) => signInteractive({ rounds, ...inputs(me), random: seeded(`sign faults ${me}`), core, session, message }),
    shared: ({ r, s, recovery }) => [r, s, recovery].join(),
  };
  const { n: N } = aux[LIAR]!.secret.paillier;
  const rounds = { ...presignRounds(parameters, n, 1), partial: partialRound };
  const lines = await rehearse(protocol, LIAR, n === 2 ? 0 : VICTIM);
  const changes = (name: keyof typeof rounds) => oncePerField(mutations(rounds[name], lines.get(rounds[name].name)!, { N, 'N²': N * N }));
  const foreign = async () => {
    const other = { nonce: freshNonce(), identities: identitiesOf(signers) };
    const sid = signingSessionId({ protocol: 'sign', ...inputs(0), ...other, message });
    const run: typeof protocol.run = (rounds, me) =>
      signInteractive({ rounds, ...inputs(me), random: seeded(`another session ${me}`), core, session: other, message });
    return rehearse({ ...protocol, sid, run }, LIAR, n === 2 ? 0 : VICTIM);
  };
  return { protocol, rounds, changes, lines, foreign };
}
type RoundName = keyof Awaited<ReturnType<typeof signing>>['rounds'];

describe('every field of every message of signing', async () => {
  const [two, three] = [await signing(2), await signing(3)];

  test.each<[RoundName, Record<string, Effect>]>([
    ['encrypted', { '[].Co': 'harmless' }], // its author cannot open it, and is named when it tries
    // Only the receiver has the proof that D and F of a product have to fit; the others see units.
    ['products', { '[].products': 'concerned', ...inEach('[].products[]', ['', '.D', '.F', '.hatD', '.hatF'], 'concerned') }],
    ['delta', {}],
    ['partial', {}],
  ])('%s, for everybody', async (name, effects) => {
    const { protocol, rounds, changes } = three;
    // Wrong summands go to the error rounds, in which a liar that believes its own sums says nothing: see presign-faults and evidence/error-rounds.
    const elsewhere = (field: string) => field.includes('.elog') || (name === 'delta' && ['[].delta', '[].S'].includes(field));
    await expectEffects(rounds[name], changes(name).filter(({ field }) => !elsewhere(field)), { protocol, liar: LIAR, effects }); // prettier-ignore
  });
  test.each<RoundName>(['products', 'delta'])('%s, Π^elog', async (name) => {
    const { protocol, rounds, changes } = two;
    await expectEffects(rounds[name], changes(name).filter(({ field }) => field.includes('.elog')), { protocol, liar: LIAR }); // prettier-ignore
  });

  // With one honest receiver, since these messages are private.
  test.each<RoundName>(['encryptedProofs', 'productProofs'])('%s, for their receiver', async (name) => {
    const { protocol, rounds, changes } = two;
    // The owner of N0 checks equation (1) of Π^aff-g on plaintexts, where w does not occur; it must be a unit all the same (§9.4 e).
    const effects = { '[].affGamma.w': 'harmless', '[].affX.w': 'harmless' } as const;
    await expectEffects(rounds[name], changes(name), { protocol, liar: LIAR, effects });
  });

  test.each<[RoundName, Effect]>([
    ['encrypted', 'named'],
    ['encryptedProofs', 'named'],
    ['products', 'named'],
    ['productProofs', 'named'],
    ['delta', 'named'],
    ['partial', 'named'],
  ])('%s, for one victim of two', async (name, effect) => {
    const { protocol, rounds, changes } = three;
    // A few of them: that a field is checked at all is shown above.
    const some = changes(name).filter((_, k) => k % 8 === 0);
    const effects = Object.fromEntries(some.map(({ field }) => [field, effect]));
    await expectEffects(rounds[name], some, { protocol, liar: LIAR, to: VICTIM, effects, last: name === 'partial' });
  });

  test('what belongs somewhere else, in any round', async () => {
    const { protocol, rounds, lines, foreign } = two;
    const all = Object.values(rounds);
    for (const lie of Object.values(misplaced(all, lines, await foreign()))) await expectInEachRound(all, lie, { protocol, liar: LIAR });
  });
});

function inEach(path: string, fields: readonly string[], effect: Effect): Record<string, Effect> {
  return Object.fromEntries(fields.map((field) => [`${path}${field}`, effect]));
}
