/** Auxiliary information: every party's Paillier and ring-Pedersen keys, and the secrets of one's own (cggmp24.md §1.5, 3, 4, 6.4). */
import { checkPrime } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { bytes, DecodeError, list, map, natural, oneOf, struct, u32, versioned, type Codec } from '../base/codec.ts';
import { Refusal } from '../base/errors.ts';
import {
  modN,
  power,
  type Core,
  type PaillierPublic,
  type PaillierSecret,
  type RingPedersenPublic,
  type RingPedersenSecret,
} from '../core/types.ts';
import { modulusBits, type Parameters } from '../proofs/parameters.ts';
import { Transcript } from '../protocol/transcript.ts';
import { MAX_PARTIES } from './key-share.ts';

/** The public keys of one party: N; N̂, s, t. */
export interface PartyAux {
  readonly paillier: PaillierPublic;
  readonly pedersen: RingPedersenPublic;
}

export interface AuxInfo {
  readonly version: 1;
  /** The parameter set it was made for. */
  readonly parameters: Parameters['name'];
  /** This party. */
  readonly index: number;
  /** Safe primes and λ of this party: four secrets that never leave it. */
  readonly secret: { readonly paillier: PaillierSecret; readonly pedersen: RingPedersenSecret };
  /** By index, own keys included (without their factors). Public, but a swapped N_j equals skipping its proofs: keep them under a MAC. */
  readonly parties: readonly PartyAux[];
  /** {@link auxHash} of `parties`; part of every session id that uses them. */
  readonly hash: Uint8Array;
}

/** Hash of all N_j, N̂_j, s_j, t_j in index order. */
export const auxHash = (parties: readonly PartyAux[]): Uint8Array =>
  new Transcript('aux-info/v1')
    .list(parties, (hash, { paillier, pedersen }) => hash.integers(paillier.n, pedersen.n, pedersen.s, pedersen.t))
    .digest();

/** What the codec can tell about a record without big exponentiations. Returns the condition that fails, or undefined. */
function recordProblem(aux: AuxInfo, parameters: Parameters): string | undefined {
  const { index, parties, hash } = aux;
  const { paillier, pedersen } = aux.secret;
  if (aux.parameters !== parameters.name) return `made for ${parameters.name} parameters`;
  const own = parties[index];
  if (own === undefined) return 'index < n';
  if (paillier.p * paillier.q !== paillier.n || paillier.p === paillier.q) return 'N = p·q';
  if (pedersen.p * pedersen.q !== pedersen.n || pedersen.p === pedersen.q) return 'N̂ = p̂·q̂';
  if (own.paillier.n !== paillier.n) return 'the own N is N_index';
  if (own.pedersen.n !== pedersen.n || own.pedersen.s !== pedersen.s || own.pedersen.t !== pedersen.t)
    return 'the own N̂, s, t are those of index';
  if (!equalBytes(hash, auxHash(parties))) return 'hash of all N_j, N̂_j, s_j, t_j';
  return undefined;
}

/** The record as it is sealed on disk. It decodes only what belongs together; {@link checkAuxInfo} does the costly rest, once per start. */
export const auxInfo = (parameters: Parameters): Codec<AuxInfo> => {
  const modulus = natural(modulusBits(parameters).max);
  const prime = natural(parameters.primeBits);
  return versioned(
    1,
    map(
      struct({
        parameters: oneOf(['production', 'test']),
        index: u32,
        secret: struct({
          paillier: struct({ n: modulus, p: prime, q: prime }),
          pedersen: struct({ n: modulus, s: modulus, t: modulus, p: prime, q: prime, lambda: modulus }),
        }),
        parties: list(struct({ paillier: struct({ n: modulus }), pedersen: struct({ n: modulus, s: modulus, t: modulus }) }), {
          max: MAX_PARTIES,
        }),
        hash: bytes(32),
      }),
      (fields): AuxInfo => {
        const aux = { version: 1 as const, ...fields };
        const problem = recordProblem(aux, parameters);
        if (problem !== undefined) throw new DecodeError('', `inconsistent auxiliary information: ${problem} does not hold`);
        return aux;
      },
      (aux) => ({ ...aux, parties: [...aux.parties] }),
    ),
  );
};

/** Sixteen rounds: what is asked is whether a record was damaged, not whether an adversary chose it. Runs beside the event loop. */
const isPrime = (n: bigint): Promise<boolean> =>
  new Promise((resolve, reject) =>
    checkPrime(n, { checks: 16 }, (error, prime) => (error instanceof Error ? reject(error) : resolve(prime))),
  );

/**
 * Asserts the own keys when they are loaded: four distinct safe primes of the right size, s = t^λ mod N̂. The batch verification of peers'
 * proofs is sound only for safe primes, and a damaged factor would turn CRT results into a leak of N's factors.
 * @throws Refusal
 */
export async function checkAuxInfo(aux: AuxInfo, parameters: Parameters, core: Core): Promise<void> {
  const damaged = (what: string): Refusal =>
    new Refusal('damaged_aux_info', 'aux', `the auxiliary information is damaged: ${what}`, 'Run the auxiliary ceremony again.', 409);
  const problem = recordProblem(aux, parameters);
  if (problem !== undefined) throw damaged(`${problem} does not hold`);
  const { paillier, pedersen } = aux.secret;
  const primes = [paillier.p, paillier.q, pedersen.p, pedersen.q];
  if (new Set(primes).size !== 4) throw damaged('its primes are not distinct');
  const safe = await Promise.all(primes.map(async (p) => (await isPrime(p)) && (await isPrime((p - 1n) / 2n))));
  if (safe.includes(false)) throw damaged('a factor is not a safe prime');
  if (primes.some((p) => p.toString(2).length !== parameters.primeBits)) throw damaged(`a factor has not ${parameters.primeBits} bits`);
  const [s] = await core.run([power(modN(pedersen), [pedersen.t, pedersen.lambda])]);
  if (s !== pedersen.s) throw damaged('s = t^λ does not hold');
}
