/** For tests only: the known answers of whole protocols. */
import { hex } from '../base/bytes.ts';
import { referenceCore } from '../core/reference.ts';
import { repetitions } from '../proofs/testing/instances.ts';
import { auxRun, frostKeygenRun, frostSignRun, hashOf, keygenRun, presignRun, reshareRun } from './runs.ts';

/** SHA-256 of all that was said in one run of each protocol, by its name: small parameters, eight repetitions, fixed randomness, no signatures. */
export async function protocolHashes(): Promise<Record<string, string>> {
  const parameters = repetitions(8);
  const keygen = await keygenRun(parameters);
  const aux = await auxRun(parameters, referenceCore);
  const group = { keys: keygen.outputs, aux: aux.outputs, parameters, core: referenceCore };
  const presign = await presignRun(group, [0, 2], 1);
  const reshare = await reshareRun(keygen.outputs, parameters);
  const frostKeygen = await frostKeygenRun();
  const frostSign = await frostSignRun(frostKeygen.outputs, [0, 2]);
  const runs = { keygen, aux, presign, reshare, 'frost-keygen': frostKeygen, 'frost-sign': frostSign };
  return Object.fromEntries(Object.entries(runs).map(([name, { said }]) => [name, hex(hashOf(said))]));
}
