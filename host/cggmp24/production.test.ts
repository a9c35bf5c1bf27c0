/** The whole way at full strength: key generation, auxiliary info with every proof at m = 128, presigning, both kinds of signing. */
import { afterAll, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { createCore } from '../core/index.ts';
import { productionParameters } from '../proofs/parameters.ts';
import { memoryNetwork, values } from '../protocol/testing/network.ts';
import { auxInfo } from './aux-info.ts';
import { auxInfo as record, checkAuxInfo } from './aux-record.ts';
import { presignature } from './presignature.ts';
import { sessionId, signingSessionId } from './session.ts';
import { bitcoinSighash } from './sighash.ts';
import { signInteractive } from './sign-interactive.ts';
import { combine, partialSignature } from './sign.ts';
import { freshNonce, identitiesOf, makeKey, publishedPrimes, random, runPresign } from './testing/parties.ts';
import { nobleAccepts, opensslAccepts } from './testing/verifiers.ts';

const core = await createCore({ threads: 2 });
afterAll(() => core.close());
const parameters = productionParameters;
const preimage = utf8('the preimage of a sighash');
const message = bitcoinSighash(preimage);

test('a 2-of-3 key with production parameters signs with a presignature and without', async () => {
  const keys = await makeKey(2, 3, parameters);
  const primes = publishedPrimes(parameters, 12);
  const sid = sessionId({ protocol: 'aux-info', parameters, nonce: freshNonce(), identities: identitiesOf([0, 1, 2]), t: 2, n: 3 });
  const made = values(
    await memoryNetwork(3, sid).run((rounds, me) => {
      const stock = primes.slice(4 * me, 4 * me + 4);
      return auxInfo({ rounds, primes: { next: async () => stock.shift()! }, random, core, parameters });
    }),
  );
  const codec = record(parameters);
  const aux = made.map((own) => decode(codec, encode(codec, own)));
  await checkAuxInfo(aux[0]!, parameters, core);
  const { publicKey } = keys[0]!;

  const presignatures = values(await runPresign({ keys, aux, core, parameters }, [0, 2])).map((own) =>
    decode(presignature, encode(presignature, own)),
  );
  const partials = new Map(presignatures.map((own, position) => [position, partialSignature(own, message)]));
  const signature = combine(presignatures[0]!, message, partials);
  expect(opensslAccepts(publicKey, preimage, signature)).toBe(true);
  expect(nobleAccepts(publicKey, preimage, signature)).toBe(true);

  const signers = [1, 2];
  const session = { nonce: freshNonce(), identities: identitiesOf(signers) };
  const inputs = (position: number) => ({ key: keys[signers[position]!]!, aux: aux[signers[position]!]!, parameters });
  const network = memoryNetwork(2, signingSessionId({ protocol: 'sign', signers, ...inputs(0), ...session, message }));
  const run = await network.run((rounds, me) => signInteractive({ rounds, signers, ...inputs(me), random, core, session, message }));
  for (const interactive of values(run)) {
    expect(opensslAccepts(publicKey, preimage, interactive)).toBe(true);
    expect(nobleAccepts(publicKey, preimage, interactive)).toBe(true);
  }
});
