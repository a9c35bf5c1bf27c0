/**
 * Three parties in one process make an ECDSA key and a Taproot key, and any two of them sign. Between machines everything stays the same but
 * `network`: see docs/library.md.
 *
 * Run it by `npm run build && node dist/examples/two-of-three.js`; the search for twelve safe primes takes minutes, all else seconds.
 */
import { pathToFileURL } from 'node:url';
import { cggmp24, createCore, frost, inMemoryNetwork, sessionId, systemRandom as random, type Core } from 'threshold-wallet';

/** `preimage` is what an ECDSA input commits to (BIP-143), `taproot` what a Taproot input commits to (BIP-341): bytes, never their hash. */
export async function example(
  primesOf: (core: Core) => cggmp24.PrimeSource,
  preimage: Uint8Array,
  taproot: Uint8Array,
  parties = [0, 1, 2],
) {
  const [t, n] = [2, parties.length];
  const network = inMemoryNetwork(n);
  const core = await createCore();
  const primes = primesOf(core);
  const session = (protocol: string) =>
    sessionId({ protocol, nonce: random.bytes(16), identities: network.identities(parties), t, n, keyId: 'treasury' });
  try {
    // ECDSA: a key, and once per group the auxiliary information. Store both sealed before you use them.
    const keys = await network.run(session('keygen'), parties, (rounds) => cggmp24.keygen({ rounds, t, random, keyId: 'treasury' }));
    const aux = await network.run(session('aux-info'), parties, (rounds) => cggmp24.auxInfo({ rounds, primes, random, core }));

    // Ahead of time: a presignature of two signers. Store it sealed; it signs one message.
    const signers = [parties[0]!, parties[n - 1]!];
    const identities = network.identities(signers);
    const nonce = random.bytes(16);
    const sid = cggmp24.signingSessionId({ protocol: 'presign', signers, key: keys[0]!, aux: aux[0]!, nonce, identities });
    const presignatures = await network.run(sid, signers, (rounds, i) =>
      cggmp24.presign({ rounds, signers, key: keys[i]!, aux: aux[i]!, random, core }),
    );

    // When there is a message: burn the presignature on disk, then one number from each signer, and anybody combines them.
    const message = cggmp24.bitcoinSighash(preimage);
    const partials = new Map(presignatures.map((own, position) => [position, cggmp24.partialSignature(own, message)]));
    const ecdsa = cggmp24.combine(presignatures[0]!, message, partials);

    // Taproot: no auxiliary information and no presignature; two rounds when there is a message.
    const shares = await network.run(session('frost-keygen'), parties, (rounds) => frost.keygen({ rounds, t, random, keyId: 'treasury' }));
    const frostSid = frost.signingSessionId({ share: shares[0]!, signers, nonce: random.bytes(16), identities });
    const [schnorr] = await network.run(frostSid, signers, (rounds, i) =>
      frost.sign({ rounds, signers, share: shares[i]!, preimage: taproot, random }),
    );
    return { publicKey: keys[0]!.publicKey.toHex(true), ecdsa, outputKey: frost.outputKey(shares[0]!), schnorr: schnorr! };
  } finally {
    await core.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const taproot = new Uint8Array(175); // a signature message of zeros; yours comes from a transaction
  console.log(await example((core) => cggmp24.generatedPrimes(core), new TextEncoder().encode('what the input commits to'), taproot));
}
