/** Groups of parties for tests: keys by key generation in one process, auxiliary data from published primes, sessions, and who was blamed. */
import { expect } from 'vitest';
import { Abandoned, Fault } from '../../base/errors.ts';
import { below, systemRandom, type Random } from '../../base/random.ts';
import type { Core } from '../../core/types.ts';
import type { Child } from '../../curve/bip32.ts';
import type { Parameters } from '../../proofs/parameters.ts';
import { safePrime } from '../../proofs/testing/instances.ts';
import { modPow } from 'bigint-crypto-utils';
import { memoryNetwork, testPublicKey, values, type Override } from '../../protocol/testing/network.ts';
import type { Round, Rounds } from '../../protocol/rounds.ts';
import { sha256 } from '../../protocol/transcript.ts';
import { auxHash, type AuxInfo } from '../aux-record.ts';
import { keygen } from '../keygen.ts';
import type { KeyShare } from '../key-share.ts';
import { presignBatch } from '../presign.ts';
import type { Presignature } from '../presignature.ts';
import { sessionId, signingSessionId } from '../session.ts';

export const random = systemRandom;

/** The first `count` published safe primes of the size of the parameters. */
export const publishedPrimes = ({ primeBits }: Parameters, count: number): bigint[] =>
  Array.from({ length: count }, (_, k) => safePrime(primeBits as 576 | 1024 | 1536, k));

export const identitiesOf = (indices: readonly number[]): Uint8Array[] => indices.map(testPublicKey);

let runs = 0;
export const freshNonce = (): Uint8Array => sha256(Uint8Array.of(++runs & 255, runs >> 8)).slice(0, 16);

export const keygenSid = (t: number, n: number, parameters: Parameters): Uint8Array => {
  const identities = identitiesOf(Array.from({ length: n }, (_, i) => i));
  return sessionId({ protocol: 'keygen', parameters, nonce: freshNonce(), identities, t, n, keyId: 'test key' });
};

export const makeKey = async (t: number, n: number, parameters: Parameters): Promise<KeyShare[]> =>
  values(await memoryNetwork(n, keygenSid(t, n, parameters)).run((rounds) => keygen({ rounds, t, random, keyId: 'test key' })));

/** Auxiliary data without the ceremony. From the fourth party on, parties get other pairs of the same twelve primes, which only tests may do. */
export function dealAux(n: number, parameters: Parameters): AuxInfo[] {
  const primes = publishedPrimes(parameters, 12);
  const prime = (j: number, k: number) => primes[(4 * j + k + Math.floor((4 * j + k) / primes.length)) % primes.length]!;
  const secrets = Array.from({ length: n }, (_, j) => {
    const [p, q, hatP, hatQ] = [prime(j, 0), prime(j, 1), prime(j, 2), prime(j, 3)];
    const hatN = hatP * hatQ;
    const root = below(random, hatN);
    const t = (root * root) % hatN;
    const lambda = below(random, ((hatP - 1n) * (hatQ - 1n)) / 4n);
    return { paillier: { n: p * q, p, q }, pedersen: { n: hatN, s: modPow(t, lambda, hatN), t, p: hatP, q: hatQ, lambda } };
  });
  const parties = secrets.map(({ paillier, pedersen: { n: hatN, s, t } }) => ({
    paillier: { n: paillier.n },
    pedersen: { n: hatN, s, t },
  }));
  return secrets.map((secret, index) => ({ version: 1, parameters: parameters.name, index, secret, parties, hash: auxHash(parties) }));
}

/** A key and auxiliary data of the same group. */
export interface Group {
  readonly keys: readonly KeyShare[];
  readonly aux: readonly AuxInfo[];
  readonly core: Core;
  readonly parameters: Parameters;
}
export const makeGroup = async (t: number, n: number, parameters: Parameters, core: Core): Promise<Group> => ({
  keys: await makeKey(t, n, parameters),
  aux: dealAux(n, parameters),
  core,
  parameters,
});

interface PresignRun {
  readonly override?: Override;
  readonly child?: Child;
  /** Replaces what one party does. */
  readonly as?: (position: number, rounds: Rounds) => Rounds;
  readonly source?: () => Random;
}

/** One presigning run of `signers` for a batch, every signer's outcome. */
export async function runPresignBatch(
  { keys, aux, core, parameters }: Group,
  signers: readonly number[],
  count: number,
  options: PresignRun = {},
): Promise<PromiseSettledResult<Presignature[]>[]> {
  const { override, child, as = (_, rounds) => rounds, source = () => random } = options;
  const [key, own] = [keys[signers[0]!]!, aux[signers[0]!]!];
  const binding = {
    signers,
    // A number that no session can have is the run's to refuse.
    count: Number.isInteger(count) && count >= 0 ? count : 1,
    key,
    aux: own,
    parameters,
    nonce: freshNonce(),
    identities: identitiesOf(signers),
    ...(child && { child }),
  };
  const sid = signingSessionId({ protocol: 'presign', ...binding });
  return memoryNetwork(signers.length, sid, { members: signers, ...(override && { override }) }).run((rounds, me) =>
    presignBatch({
      rounds: as(me, rounds),
      signers,
      key: keys[signers[me]!]!,
      aux: aux[signers[me]!]!,
      random: source(),
      core,
      parameters,
      count,
      ...(child && { child }),
    }),
  );
}

/** The same for one presignature. */
export const runPresign = async (
  group: Group,
  signers: readonly number[],
  options: PresignRun = {},
): Promise<PromiseSettledResult<Presignature>[]> =>
  (await runPresignBatch(group, signers, 1, options)).map((result) =>
    result.status === 'rejected' ? result : { status: 'fulfilled', value: result.value[0]! },
  );

/**
 * A party that says something else in one round, consistently: unlike an override on the network, its own echo and evidence agree with the lie,
 * so an echo round gives all the same wrong message.
 */
export const lying =
  <T>(who: number, round: Round<T, 'echo' | 'broadcast' | 'p2p'>, edit: (message: T, to?: number) => T) =>
  (me: number, rounds: Rounds): Rounds => {
    if (me !== who) return rounds;
    const lie = <M>(name: string, message: M, to?: number): M =>
      name === round.name ? (edit(message as unknown as T, to) as unknown as M) : message;
    return {
      ...rounds,
      echo: (r, message) => rounds.echo(r, lie(r.name, message)),
      broadcast: (r, message) => rounds.broadcast(r, lie(r.name, message)),
      send: (r, messages) => rounds.send(r, new Map([...messages].map(([to, message]) => [to, lie(r.name, message, to)]))),
    };
  };

export const reasons = (results: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  results.map((result) => (result.status === 'rejected' ? (result.reason as unknown) : undefined));

/**
 * Every honest party failed and blamed `culprits` and nobody else. Parties in `unaware` could not see the misbehaviour: they only learn that an
 * honest party left, and blame nobody.
 */
export function expectBlamed(
  results: readonly PromiseSettledResult<unknown>[],
  culprits: readonly number[],
  reason: string | RegExp,
  unaware: readonly number[] = [],
): void {
  for (const [i, error] of reasons(results).entries()) {
    if (culprits.includes(i)) continue;
    if (unaware.includes(i)) {
      expect(error, `party ${i}`).toBeInstanceOf(Abandoned);
      continue;
    }
    expect(error, `party ${i}`).toBeInstanceOf(Fault);
    expect((error as Fault).culprits, `party ${i} blames: ${(error as Fault).message}`).toEqual(culprits);
    expect((error as Fault).reason).toMatch(reason);
  }
}

/** Every k-element subset of 0 … n − 1, ascending. */
export const subsets = (n: number, k: number, from = 0): number[][] =>
  k === 0
    ? [[]]
    : Array.from({ length: n - from }, (_, i) => from + i).flatMap((first) => subsets(n, k - 1, first + 1).map((rest) => [first, ...rest]));

/** The arithmetic of a party whose first sum of decryptions is one more than it is: of D (0) or of D̂ (1). All its proofs are about what it believes. */
export const miscounting = (core: Core, which: 0 | 1): Core => ({
  kernel: core.kernel,
  run: async (operations, options) => {
    const results = await core.run(operations, options);
    const isSum = operations.length % 2 === 0 && operations.every(({ op }) => op === 'decrypt');
    return isSum ? (results.map((value, k) => (k === which ? value + 1n : value)) as typeof results) : results;
  },
});
