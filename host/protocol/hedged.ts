/**
 * Randomness for runs that use a long-term secret, safe also when the generator repeats itself or is known to somebody (a virtual machine set
 * back to a snapshot, a broken source): what the generator gives, XORed with a stream that depends on the secret, the run and a counter. The
 * result is never worse than the generator, and never the same in two runs (cggmp24.md §7 rule 9).
 *
 * It serves everything that such a run draws, not the nonces of the signature alone. With an encryption nonce ρ used twice, K_1/K_2 shows k_1 − k_2;
 * with the mask α of a proof used twice, (z − z')/(e − e') is its witness, and Π^aff-g has the key share as witness in every run.
 */
import { xorBytes } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { Transcript } from './transcript.ts';

/** `secret` is what the run protects; `context` separates runs (the sid), and what else must not meet the same bytes. */
export function hedged(random: Random, secret: bigint, ...context: readonly Uint8Array[]): Random {
  let reads = 0;
  return {
    bytes(length) {
      const own = random.bytes(length);
      const stream = new Transcript('hedged-random/v1')
        .integer(secret)
        .list(context, (hash, part) => hash.bytes(part))
        .u32(reads++)
        .challenge()
        .take(length);
      const bytes = xorBytes(own, stream);
      own.fill(0);
      stream.fill(0);
      return bytes;
    },
  };
}
