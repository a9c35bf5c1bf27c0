/** For tests: runs of every protocol that leave evidence, with liars in them, on small parameters. */
import { expect } from 'vitest';
import { Fault } from '../../base/errors.ts';
import { systemRandom as random } from '../../base/random.ts';
import { auxInfo } from '../../cggmp24/aux-info.ts';
import { keygen } from '../../cggmp24/keygen.ts';
import { presign } from '../../cggmp24/presign.ts';
import { sessionId, sharesHash, signingBinding, type SessionBinding } from '../../cggmp24/session.ts';
import { bitcoinSighash } from '../../cggmp24/sighash.ts';
import { signInteractive } from '../../cggmp24/sign-interactive.ts';
import { freshNonce, identitiesOf, publishedPrimes, reasons, type Group } from '../../cggmp24/testing/parties.ts';
import type { Core } from '../../core/types.ts';
import { keygen as frostKeygen } from '../../frost/keygen.ts';
import type { FrostShare } from '../../frost/share.ts';
import { taprootSighash } from '../../frost/sighash.ts';
import { sign as frostSign } from '../../frost/sign.ts';
import type { Parameters } from '../../proofs/parameters.ts';
import { smallParameters } from '../../proofs/testing/instances.ts';
import type { Rounds } from '../../protocol/rounds.ts';
import { memoryNetwork, values, type Override } from '../../protocol/testing/network.ts';
import { utf8 } from '../../base/bytes.ts';
import { accountable, verifyEvidence, type SessionFacts, type Verdict } from '../index.ts';

/** Sixteen repetitions are enough to see a lie with all but 2^−16 of luck. */
export const parameters: Parameters = { ...smallParameters, m: 16 };
export const parametersOf = (): Parameters => parameters;
export const LIAR = 1;

export interface Lies {
  readonly override?: Override;
  /** Replaces what one party does. */
  readonly as?: (position: number, rounds: Rounds) => Rounds;
  readonly liars?: readonly number[];
  /** Every proof verified by itself, not in a batch. */
  readonly each?: boolean;
  /** A core of one's own. */
  readonly coreOf?: (position: number) => Core | undefined;
}
export interface Run {
  readonly session: SessionFacts;
  readonly sid: Uint8Array;
  readonly parties: readonly Rounds[];
  readonly results: readonly PromiseSettledResult<unknown>[];
}

/** Liars run the plain protocol; everybody else leaves evidence. */
export async function runOf(
  core: Core,
  session: SessionFacts,
  protocol: (rounds: Rounds, me: number, core: Core) => Promise<unknown>,
  { override, as = (_, rounds) => rounds, liars = [LIAR], coreOf = () => undefined }: Lies = {},
  members: readonly number[] = session.binding.identities.map((_, i) => i),
): Promise<Run> {
  const sid = sessionId(session.binding);
  const network = memoryNetwork(session.binding.identities.length, sid, { members, ...(override && { override }) });
  const results = await network.run((own, me) => {
    const rounds = as(me, own);
    const run = (r: Rounds) => protocol(r, me, coreOf(me) ?? core);
    return liars.includes(me) ? run(rounds) : accountable({ rounds, session, core, parametersOf }, run);
  });
  return { session, sid, parties: network.parties, results };
}

const setup = (protocol: string): SessionBinding => ({ protocol, parameters, nonce: freshNonce(), identities: identitiesOf([0, 1, 2]), t: 2, n: 3, keyId: 'k' }); // prettier-ignore

export const runKeygen = (core: Core, lies?: Lies): Promise<Run> =>
  runOf(core, { binding: setup('keygen-cggmp24') }, (rounds) => keygen({ rounds, t: 2, random, keyId: 'k' }), lies);

export const runFrostKeygen = (core: Core, lies?: Lies): Promise<Run> =>
  runOf(core, { binding: setup('keygen-frost') }, (rounds) => frostKeygen({ rounds, t: 2, random, keyId: 'k' }), lies);

export const runAux = (core: Core, lies?: Lies): Promise<Run> => {
  const primes = publishedPrimes(parameters, 12);
  return runOf(
    core,
    { binding: setup('aux-info') },
    (rounds, me, partyCore) => {
      const own = primes.slice(4 * me, 4 * me + 4);
      return auxInfo({ rounds, primes: { next: () => Promise.resolve(own.shift()!) }, random, core: partyCore, parameters });
    },
    lies,
  );
};

export const message = bitcoinSighash(utf8('what is signed'));

/** Presigning, or signing of {@link message}, by all of a group of n-of-n. */
export function runSigning({ keys, aux, core }: Group, protocol: 'presign' | 'sign', lies?: Lies): Promise<Run> {
  const signers = keys.map(({ index }) => index);
  const [key, own] = [keys[0]!, aux[0]!];
  const nonce = freshNonce();
  const identities = identitiesOf(signers);
  const binding = signingBinding({
    protocol,
    signers,
    key,
    aux: own,
    parameters,
    nonce,
    identities,
    ...(protocol === 'sign' && { message }),
  });
  const session: SessionFacts = { binding, signers, publicShares: key.X, aux: own.parties };
  return runOf(
    core,
    session,
    (rounds, me, partyCore) => {
      const inputs = {
        rounds,
        signers,
        key: keys[me]!,
        aux: aux[me]!,
        random,
        core: partyCore,
        parameters,
        ...(lies?.each && { verification: 'each' as const }),
      };
      return protocol === 'presign' ? presign(inputs) : signInteractive({ ...inputs, message, session: { nonce, identities } });
    },
    lies,
  );
}

/** Signing with FROST by all of three, of a key that is made first. */
export async function runFrostSigning(core: Core, lies?: Lies): Promise<Run> {
  const shares = values((await runFrostKeygen(core, { liars: [] })).results) as FrostShare[];
  const [{ P, Y, t, n }] = shares as [FrostShare];
  const signers = [0, 1, 2];
  const digest = taprootSighash(new Uint8Array(175));
  const binding = { ...setup('frost-sign'), t, n, publicKey: P, shares: sharesHash(signers, Y) };
  const session: SessionFacts = { binding, signers, publicShares: Y, digest };
  return runOf(core, session, (rounds, me) => frostSign({ rounds, signers, share: shares[me]!, message: digest, random }), lies);
}

export const honestFaults = (run: Run, liars: readonly number[] = [LIAR]): Fault[] =>
  reasons(run.results)
    .filter((_, i) => !liars.includes(i))
    .map((error, k) => {
      expect(error, `honest party ${k}: ${String(error)}`).toBeInstanceOf(Fault);
      return error as Fault;
    });

/** Every honest party names the liars and nobody else, and holds files that prove it. Returns one file for each of `checks`. */
export async function expectProven(
  core: Core,
  run: Run,
  checks: readonly string[],
  liars: readonly number[] = [LIAR],
): Promise<Uint8Array[]> {
  for (const fault of honestFaults(run, liars)) {
    expect(fault.culprits, fault.message).toEqual(liars);
    expect(fault.evidence.files, `files of: ${fault.message}`).toBeDefined();
  }
  const files = honestFaults(run, liars).flatMap(({ evidence }) => evidence.files ?? []);
  const seen = new Map<string, Uint8Array>();
  for (const file of files) {
    const verdict = await verifyEvidence(file, { core, parametersOf });
    expect(verdict, JSON.stringify(verdict)).toMatchObject({ verdict: 'proven' });
    const { accused, identity, check } = verdict as Verdict & { verdict: 'proven' };
    expect(liars).toContain(accused);
    expect(identity).toBe(Buffer.from(run.session.binding.identities[accused]!).toString('hex'));
    seen.set(check, file);
  }
  expect([...seen.keys()].sort()).toEqual([...checks].sort());
  return checks.map((check) => seen.get(check)!);
}
