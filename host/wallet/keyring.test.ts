import { afterAll, describe, expect, test } from 'vitest';
import { encode } from '../base/codec.ts';
import { auxHash, auxInfo, type AuxInfo } from '../cggmp24/aux-record.ts';
import { dealAux } from '../cggmp24/testing/parties.ts';
import { createCore } from '../core/index.ts';
import { testParameters } from '../proofs/parameters.ts';
import type { EntryKind } from '../storage/vault.ts';
import { Keyring, type Entries } from './keyring.ts';

const core = await createCore({ threads: 1 });
afterAll(() => core.close());

/** Entries without sealing: what is under test is what the keyring makes of them. */
function unsealed(): Entries {
  const entries = new Map<EntryKind, Map<string, Uint8Array>>();
  const of = (kind: EntryKind) => entries.get(kind) ?? entries.set(kind, new Map()).get(kind)!;
  return {
    put: (kind, id, content) => Promise.resolve(void of(kind).set(id, content.slice())),
    get: (kind, id) => Promise.resolve(of(kind).get(id)?.slice()),
    list: (kind) => Promise.resolve([...of(kind).keys()].sort()),
    delete: (kind, id) => Promise.resolve(of(kind).delete(id)),
  };
}

describe('keyring', () => {
  const committee = ['node-1', 'node-2'];

  test('finds the auxiliary information of a committee after a restart', async () => {
    const [aux] = dealAux(2, testParameters);
    const vault = unsealed();
    await (await Keyring.open(vault, testParameters, core)).storeAux(committee, aux!);
    const opened = await Keyring.open(vault, testParameters, core);
    expect(encode(auxInfo(testParameters), opened.aux(committee)!)).toEqual(encode(auxInfo(testParameters), aux!));
    expect(opened.aux(['node-1', 'node-3'])).toBeUndefined();
  });

  test('does not start with auxiliary information whose factors or λ are damaged, although the record fits together', async () => {
    const [aux] = dealAux(2, testParameters);
    const { paillier, pedersen } = aux!.secret;
    const withSecret = (secret: AuxInfo['secret']): AuxInfo => {
      const own = { paillier: { n: secret.paillier.n }, pedersen: { n: secret.pedersen.n, s: secret.pedersen.s, t: secret.pedersen.t } };
      const parties = [own, aux!.parties[1]!];
      return { ...aux!, secret, parties, hash: auxHash(parties) };
    };
    const damaged: [string, AuxInfo][] = [
      ['s = t^λ', withSecret({ paillier, pedersen: { ...pedersen, lambda: pedersen.lambda + 1n } })],
      ['safe prime', withSecret({ paillier: { ...paillier, q: paillier.q + 2n, n: paillier.p * (paillier.q + 2n) }, pedersen })],
    ];
    for (const [problem, value] of damaged) {
      const vault = unsealed();
      await (await Keyring.open(vault, testParameters, core)).storeAux(committee, value);
      await expect(Keyring.open(vault, testParameters, core)).rejects.toThrow(problem);
    }
  });
});
