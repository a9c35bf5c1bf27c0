/**
 * The counts of the gate: what each step asks of the arithmetic core, and what each round sends. Randomness is seeded and the parameters are those of
 * production, so unchanged code gives unchanged counts, to the last digit.
 */
import { presignBatch, signingSessionId } from '../../host/cggmp24/index.ts';
import { keygen as frostKeygen } from '../../host/frost/keygen.ts';
import { sign as frostSign } from '../../host/frost/sign.ts';
import { productionParameters as parameters } from '../../host/proofs/parameters.ts';
import { seeded } from '../../host/proofs/testing/instances.ts';
import { memoryNetwork, values } from '../../host/protocol/testing/network.ts';
import { ceremony, dealAux, everybody, identitiesOf, KEY_ID, makeKey } from '../group.ts';
import { localCore } from '../local-core.ts';
import { cases } from '../proofs.ts';
import { taprootMessage } from '../messages.ts';
import type { Count } from './contract.ts';
import { Counter } from './counting.ts';

const NONCE = new Uint8Array(16).fill(1);
const randomOf = (run: string) => (party: number) => seeded(`${run}/${party}`);

/** Word products of making and of checking each proof. */
async function proofs(): Promise<Count[]> {
  const figures: Count[] = [];
  const counter = new Counter();
  for (const { name, prove, verify } of await cases(localCore(counter.wrap), seeded('proofs'))) {
    for (const [side, step] of [
      ['prove', prove],
      ['verify', verify],
    ] as const) {
      const before = { work: counter.work, detail: { ...counter.detail } };
      await step();
      const detail = difference(counter.detail, before.detail);
      figures.push({ name: `count.proof.${name}.${side}`, unit: 'word products', value: counter.work - before.work, detail });
    }
  }
  return figures;
}

/**
 * `count` presignatures among t in one run: what it asks of one party's core, and what that party sends in each round. The sizes are those of the largest
 * message of the round, as an integer that happens to be short makes a message a byte shorter.
 */
async function presigning(t: number, n: number, count = 1): Promise<Count[]> {
  const keys = await makeKey(t, n, randomOf('keygen'));
  const aux = dealAux(n);
  const signers = everybody(t);
  const binding = { signers, key: keys[0]!, aux: aux[0]!, parameters, nonce: NONCE, identities: identitiesOf(signers) };
  const traffic = new Traffic();
  const network = memoryNetwork(t, signingSessionId({ protocol: 'presign', ...binding }), { onMessage: traffic.onMessage });
  const counters = signers.map(() => new Counter());
  const random = randomOf('presign');
  values(
    await network.run((rounds, me) =>
      presignBatch({
        rounds,
        signers,
        key: keys[me]!,
        aux: aux[me]!,
        random: random(me),
        core: localCore(counters[me]!.wrap),
        parameters,
        count,
      }),
    ),
  );
  const [{ work, detail }] = counters as [Counter];
  const name = `presign.${t}of${n}${count > 1 ? `.batch${count}` : ''}`;
  return [{ name: `count.${name}`, unit: 'word products', value: work, detail }, ...traffic.counts(name)];
}

/** What is sent in the ceremonies and in signing with FROST. */
async function others(): Promise<Count[]> {
  const [t, n] = [4, 5];
  const keygen = new Traffic();
  const frost = await memoryNetwork(n, ceremony('keygen-frost', t, n, NONCE), { onMessage: keygen.onMessage }).run((rounds, me) =>
    frostKeygen({ rounds, t, random: randomOf('keygen-frost')(me), keyId: KEY_ID }),
  );
  const shares = values(frost);
  const signing = new Traffic();
  const network = memoryNetwork(t, ceremony('frost-sign', t, n, NONCE), { onMessage: signing.onMessage });
  values(
    await network.run((rounds, me) =>
      frostSign({ rounds, signers: everybody(t), share: shares[me]!, message: taprootMessage, random: randomOf('frost-sign')(me) }),
    ),
  );
  return [...keygen.counts('keygen.frost.4of5'), ...signing.counts('sign.frost.4of5')];
}

/** Bytes that party 0 sends, by round. */
class Traffic {
  readonly #rounds = new Map<string, { messages: number; largest: number }>();

  readonly onMessage = (from: number, _to: number, round: string, size: number): void => {
    const seen = this.#rounds.get(round) ?? { messages: 0, largest: 0 };
    this.#rounds.set(round, { messages: seen.messages + Number(from === 0), largest: Math.max(seen.largest, size) });
  };

  counts(step: string): Count[] {
    return [...this.#rounds].map(([round, { messages, largest }]) => ({
      name: `bytes.${step}.${round}`,
      unit: 'bytes',
      value: messages * largest,
      detail: { messages, largest },
    }));
  }
}

const difference = (after: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(after)
      .map(([name, value]) => [name, value - (before[name] ?? 0)] as const)
      .filter(([, value]) => value !== 0),
  );

/** With two and with three signers, alone and three at once: what of a presignature grows with the peers, and what the run pays once. */
export const counts = async (): Promise<Count[]> => [
  ...(await proofs()),
  ...(await presigning(2, 3)),
  ...(await presigning(3, 4)),
  ...(await presigning(2, 3, 3)),
  ...(await others()),
];
