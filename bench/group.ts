/** Parties in one process at full strength, for measurements: keys by key generation, auxiliary information from published primes. */
import { randomBytes } from 'node:crypto';
import { systemRandom, type Random } from '../host/base/random.ts';
import { auxHash, keygen, type AuxInfo, type KeyShare } from '../host/cggmp24/index.ts';
import { sessionId } from '../host/cggmp24/session.ts';
import { productionParameters as parameters } from '../host/proofs/parameters.ts';
import { paillierKey, ringPedersenKey, safePrime } from '../host/proofs/testing/instances.ts';
import { memoryNetwork, values } from '../host/protocol/testing/network.ts';
import { sha256 } from '../host/protocol/transcript.ts';

export const KEY_ID = 'benchmark';

export const freshNonce = (): Uint8Array => new Uint8Array(randomBytes(16));
export const everybody = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const identitiesOf = (parties: readonly number[]): Uint8Array[] => parties.map((party) => sha256(Uint8Array.of(party)));

/** A run among `n` parties that is bound to nothing but a fresh nonce, for the ceremonies that come before any key. */
export const ceremony = (protocol: string, t: number, n: number, nonce = freshNonce()): Uint8Array =>
  sessionId({ protocol, parameters, nonce, identities: identitiesOf(everybody(n)), t, n, keyId: KEY_ID });

export const makeKey = async (t: number, n: number, randomOf: (party: number) => Random = () => systemRandom): Promise<KeyShare[]> =>
  values(await memoryNetwork(n, ceremony('keygen', t, n)).run((rounds, me) => keygen({ rounds, t, random: randomOf(me), keyId: KEY_ID })));

/** The four published primes of party j: nobody else's. There are enough for six parties. */
export const primesOf = (j: number): bigint[] => [0, 1, 2, 3].map((k) => safePrime(1536, 4 * j + k));

/**
 * What the ceremony would give `n` parties, without it. There are not four published primes for each of nine parties: neighbours share some, in
 * moduli that are all different. The ceremony would refuse that; the cost of what follows is the same.
 */
export function dealAux(n: number): AuxInfo[] {
  const secrets = everybody(n).map((j) => ({ paillier: paillierKey(1536, 2 * j), pedersen: ringPedersenKey(1536, 2 * j + 1) }));
  const parties = secrets.map(({ paillier, pedersen: { n: hatN, s, t } }) => ({
    paillier: { n: paillier.n },
    pedersen: { n: hatN, s, t },
  }));
  return secrets.map((secret, index) => ({ version: 1, parameters: parameters.name, index, secret, parties, hash: auxHash(parties) }));
}

export interface Group {
  readonly keys: readonly KeyShare[];
  readonly aux: readonly AuxInfo[];
}
const groups = new Map<string, Promise<Group>>();
/** The group with a t-of-n key, made when first asked for. */
export function group(t: number, n: number): Promise<Group> {
  const name = `${t}of${n}`;
  const made = groups.get(name) ?? makeKey(t, n).then((keys) => ({ keys, aux: dealAux(n) }));
  groups.set(name, made);
  return made;
}
