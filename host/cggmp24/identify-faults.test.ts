/**
 * The error rounds under attack: a signer whose δ_i was wrong does all it can for one honest party to look guilty to the other. It is silent or false
 * towards one of them, whereupon that one leaves; and whoever leaves is not for that the one who cheated. (A false echo to one: protocol/rounds.test.ts.)
 */
import { afterAll, describe, test, vi } from 'vitest';
import { bytesUpTo } from '../base/codec.ts';
import { createCore } from '../core/index.ts';
import { modQ } from '../curve/secp256k1.ts';
import { repetitions, seeded } from '../proofs/testing/instances.ts';
import { broadcastRound, MAX_MESSAGE_BYTES } from '../protocol/rounds.ts';
import {
  attack,
  change,
  changeBytes,
  expectJust,
  expectNamed,
  hear,
  silence,
  type Cheat,
  type Protocol,
} from '../protocol/testing/adversary.ts';
import { identifyRounds } from './identify.ts';
import { presignRounds } from './presign-messages.ts';
import { signingSessionId } from './session.ts';
import { bitcoinSighash } from './sighash.ts';
import { signInteractive } from './sign-interactive.ts';
import type { Signature } from './sign.ts';
import { freshNonce, identitiesOf, makeGroup } from './testing/parties.ts';

/** Whether every Π^dec passes, as one does of colluders: only then is anything proven about products. */
const { colluding } = vi.hoisted(() => ({ colluding: { now: false } }));
vi.mock('../proofs/pi-dec.ts', async (load) => {
  const actual = await load<typeof import('../proofs/pi-dec.ts')>();
  const verify: typeof actual.verify = (...args) => (colluding.now ? Promise.resolve() : actual.verify(...args));
  return { ...actual, verify };
});

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const [LIAR, VICTIM] = [1, 2];
const signers = [0, 1, 2];
const message = bitcoinSighash(Buffer.from('the preimage of a sighash'));
const { keys, aux, parameters } = await makeGroup(3, 3, repetitions(4), core);
const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
const inputs = (position: number) => ({ key: keys[position]!, aux: aux[position]!, parameters, signers });
const protocol: Protocol<Signature> = {
  n: 3,
  sid: signingSessionId({ protocol: 'sign', ...inputs(0), ...session, message }),
  run: (rounds, me) => signInteractive({ rounds, ...inputs(me), random: seeded(`identify faults ${me}`), core, session, message }),
  shared: ({ r, s, recovery }) => [r, s, recovery].join(),
};
const { delta } = presignRounds(parameters, 3, 1);
/** δ_i + 1, and what makes the liar's own sum fail as that of the others does, so that it takes part in the error rounds. */
const lie: Cheat[] = [
  change(delta, (list) => list.map((m) => ({ ...m, delta: modQ(m.delta + 1n) }))),
  hear(delta, (list, from) => (from === 0 ? list.map((m) => ({ ...m, delta: modQ(m.delta + 1n) })) : list)),
];
const messages = identifyRounds(parameters, 3, 0, 'delta');
const rounds = [messages.dec, messages.affine(1), messages.affine(2)];
const any = (name: string) => broadcastRound(name, bytesUpTo(MAX_MESSAGE_BYTES));

test('who only gave a wrong δ_i is named by all', async () => {
  colluding.now = false;
  expectNamed(await attack(protocol, new Map([[LIAR, lie]])), 'dec-delta');
});

describe.each(rounds)('in $name, towards one', ({ name }) => {
  test.each<[string, Cheat]>([
    ['silence', silence(any(name), VICTIM)],
    ['a malformed proof', changeBytes(any(name), () => new Uint8Array(3), VICTIM)],
    ['silence instead of an echo', silence(any(`${name}/echo`), VICTIM)],
    ['a malformed echo', changeBytes(any(`${name}/echo`), () => new Uint8Array(3), VICTIM)],
  ])('%s: nobody honest is named', async (_what, cheat) => {
    colluding.now = name !== messages.dec.name;
    expectJust(await attack(protocol, new Map([[LIAR, [...lie, cheat]]])));
  });
});
