/** For one fault of every kind: all honest parties name its author, and the file that they hold convinces whoever was not there; damaged, it does not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auxRounds } from '../cggmp24/aux-info.ts';
import { keygenRounds } from '../cggmp24/keygen.ts';
import { presignRounds } from '../cggmp24/presign-messages.ts';
import { partialRound } from '../cggmp24/sign-interactive.ts';
import { lying, makeGroup, type Group } from '../cggmp24/testing/parties.ts';
import { createCore, type Core } from '../core/index.ts';
import { G, modQ } from '../curve/secp256k1.ts';
import { confirmRound, openRound, shareRound } from '../frost/keygen.ts';
import { signatureShareRound } from '../frost/sign.ts';
import { tamper, type Override } from '../protocol/testing/network.ts';
import { verifyEvidence } from './index.ts';
import {
  expectProven,
  LIAR,
  parameters,
  parametersOf,
  runAux,
  runFrostKeygen,
  runFrostSigning,
  runKeygen,
  runSigning,
  type Lies,
  type Run,
} from './testing/runs.ts';

const core = await createCore({ threads: 2 });
let group: Group;
beforeAll(async () => {
  group = await makeGroup(3, 3, parameters, core);
});
afterAll(() => core.close());

const keygen = keygenRounds(2);
const aux = auxRounds(parameters);
const presign = presignRounds(parameters, 3, 1);
const frostOpen = openRound(2);
const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 1);
/** The liar sends other bytes in a round, to all or to one. */
const garbled = (round: string, to?: number): Override => (from, receiver, name, payload) =>
  from === LIAR && name === round && (to ?? receiver) === receiver ? payload.slice(1) : payload; // prettier-ignore

/** The liar echoes what it was not sent, to all or to one; it thinks that others do, and so takes part in the comparison that follows. */
const falseEcho =
  (to?: number): Override =>
  (from, receiver, round, payload) => {
    if (round !== 'keygen/commit/echo') return payload;
    return (receiver === LIAR && from === (to ?? from)) || (from === LIAR && (to ?? receiver) === receiver) ? flip(payload) : payload;
  };

/** A complaint about a share that was right. */
const falseComplaint = (me: number, rounds: Parameters<NonNullable<Lies['as']>>[1]) =>
  me !== LIAR
    ? rounds
    : {
        ...rounds,
        broadcast: (<T>(round: Parameters<typeof rounds.broadcast<T>>[0], sent: T) => {
          const signed = () => rounds.fault(0, round.name.startsWith('keygen') ? keygen.share : shareRound, '').evidence.signed!;
          if (round.name === keygen.proof.name) return rounds.broadcast(round, { psi: undefined, complaints: [{ against: 0, signed: signed() }] } as T); // prettier-ignore
          if (round.name === confirmRound.name) return rounds.broadcast(round, { digest: undefined, complaint: { dealer: 0, signed: signed() } } as T); // prettier-ignore
          return rounds.broadcast(round, sent);
        }) as typeof rounds.broadcast,
      };

type Scenario = [check: string, run: () => Promise<Run>];
const one = <T extends object>(edit: (entry: T) => T) => (entries: T[]) => entries.map(edit); // prettier-ignore
const scenarios: Scenario[] = [
  ['opening', () => runKeygen(core, { override: tamper(LIAR, keygen.open, (m) => ({ ...m, chainCode: flip(m.chainCode) })) })],
  ['share', () => runKeygen(core, { override: tamper(LIAR, keygen.share, ({ sigma }) => ({ sigma: modQ(sigma + 1n) }), 2) })],
  ['complaint', () => runKeygen(core, { as: falseComplaint })],
  ['sch-dkg', () => runKeygen(core, { override: tamper(LIAR, keygen.proof, (m) => ({ ...m, psi: modQ(m.psi! + 1n) })) })],
  ['confirmation', () => runKeygen(core, { override: tamper(LIAR, keygen.confirm, flip) })],
  ['malformed', () => runKeygen(core, { override: garbled(keygen.open.name) })],
  ['equivocation', () => runKeygen(core, { override: tamper(LIAR, keygen.commit, ({ V }) => ({ V: flip(V) }), 2) })],
  ['echo', () => runKeygen(core, { override: falseEcho() })],
  ['echo', () => runKeygen(core, { override: falseEcho(2) })],
  ['opening', () => runFrostKeygen(core, { override: tamper(LIAR, frostOpen, (m) => ({ ...m, u: flip(m.u) })) })],
  ['share', () => runFrostKeygen(core, { override: tamper(LIAR, shareRound, (share) => modQ(share + 1n), 2) })],
  ['complaint', () => runFrostKeygen(core, { as: falseComplaint })],
  ['confirmation', () => runFrostKeygen(core, { override: tamper(LIAR, confirmRound, (m) => ({ ...m, digest: flip(m.digest!) })) })],
  ['signature-share', () => runFrostSigning(core, { override: tamper(LIAR, signatureShareRound, (m) => ({ ...m, z: modQ(m.z + 1n) })) })],
  ['prm', () => runAux(core, { coreOf: (me) => (me === LIAR ? faulty : undefined) })],
  ['mod', () => runAux(core, { override: tamper(LIAR, aux.mod, (m) => ({ ...m, repetitions: m.repetitions.map((r) => ({ ...r, a: !r.a })) })) })], // prettier-ignore
  ['fac', () => runAux(core, { override: tamper(LIAR, aux.fac, (m) => ({ ...m, z1: m.z1 + 1n }), 2) })],
  ['confirmation', () => runAux(core, { override: tamper(LIAR, aux.confirm, flip) })],
  ['enc-K', () => runSigning(group, 'presign', { override: tamper(LIAR, presign.encryptedProofs, one((m) => ({ ...m, encK: { ...m.encK, z1: m.encK.z1 + 1n } })), 2) })], // prettier-ignore
  ['enc-G', () => runSigning(group, 'presign', { as: lying(LIAR, presign.encrypted, one((m) => ({ ...m, B2: m.B2.add(G) }))) })], // prettier-ignore
  ['malformed', () => runSigning(group, 'presign', { override: garbled(presign.productProofs.name, 2) })],
  ['elog-Gamma', () => runSigning(group, 'presign', { as: lying(LIAR, presign.products, one((m) => ({ ...m, Gamma: m.Gamma.add(G) }))) })], // prettier-ignore
  ['D, F, D̂, F̂', () => runSigning(group, 'presign', { as: lying(LIAR, presign.products, one((m) => ({ ...m, products: m.products.map((p) => ({ ...p, F: 0n })) }))) })], // prettier-ignore
  ['aff-gamma', () => runSigning(group, 'presign', { override: tamper(LIAR, presign.productProofs, one((m) => ({ ...m, affGamma: { ...m.affGamma, z2: m.affGamma.z2 + 1n } })), 0) })], // prettier-ignore
  ['aff-x', () => runSigning(group, 'presign', { override: tamper(LIAR, presign.productProofs, one((m) => ({ ...m, affX: { ...m.affX, z4: m.affX.z4 + 1n } })), 2) })], // prettier-ignore
  ['elog-Delta', () => runSigning(group, 'presign', { as: lying(LIAR, presign.delta, one((m) => ({ ...m, Delta: m.Delta.add(G) }))) })], // prettier-ignore
  ['equivocation', () => runSigning(group, 'presign', { override: tamper(LIAR, presign.delta, one((m) => ({ ...m, S: m.S.add(G) })), 2) })], // prettier-ignore
  ['partial', () => runSigning(group, 'sign', { override: tamper(LIAR, partialRound, ({ sigma }) => ({ sigma: modQ(sigma + 1n) })) })],
];

/** Arithmetic that is wrong where Π^prm commits: the proof that its owner commits to and opens does not hold. */
const faulty: Core = {
  kernel: core.kernel,
  run: async (operations, options) => {
    const results = await core.run(operations, options);
    const isPrm = operations.length === parameters.m && operations.every(({ op }) => op === 'power');
    return isPrm ? (results.map((value, k) => (k === 0 ? value + 1n : value)) as typeof results) : results;
  },
};

describe('a fault of every kind is proven to whoever was not there', () => {
  test.each(scenarios.map(([check, run], k) => [`${k}: ${check}`, check, run] as const))('%s', async (_name, check, run) => {
    const made = await run();
    const [file] = await expectProven(core, made, [check]);
    // One byte changed, anywhere: the file proves nothing any more.
    for (let k = 0; k < 12; k++) {
      const at = Math.floor(((k + 0.5) * file!.length) / 12);
      const damaged = file!.with(at, file![at]! ^ (1 << (k % 8)));
      expect(await verifyEvidence(damaged, { core, parametersOf }), `byte ${at}`).not.toMatchObject({ verdict: 'proven' });
    }
    expect(await verifyEvidence(file!.slice(0, -1), { core, parametersOf })).toMatchObject({ verdict: 'malformed' });
  });
});
