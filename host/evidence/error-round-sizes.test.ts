/** What an error round sends, and what a file about one holds, at full strength for the largest group and batch: within every bound on the way. */
import { describe, expect, test } from 'vitest';
import { encode } from '../base/codec.ts';
import { identifyRounds } from '../cggmp24/identify.ts';
import { batchLimit, presignRounds, type Multiplied, type Output } from '../cggmp24/presign-messages.ts';
import { G, q } from '../curve/secp256k1.ts';
import { MAX_BODY_BYTES, MAX_ROUND_BYTES } from '../mesh/frame.ts';
import { QUEUE_BYTES } from '../mesh/link.ts';
import { HUB_LIMITS } from '../mesh/sessions.ts';
import { modulusBits, productionParameters as parameters } from '../proofs/parameters.ts';
import { plaintextBits } from '../proofs/pi-dec.ts';
import { envelope, MAX_MESSAGE_BYTES } from '../protocol/rounds.ts';
import { MAX_EVIDENCE_BYTES } from './format.ts';

const t = 16;
const count = batchLimit(parameters, t);
const { m, ell, ellPrime, epsilon } = parameters;
const N = (1n << BigInt(modulusBits(parameters).max)) - 1n;
const [C, scalar] = [N * N, q - 1n];
const most = (bits: number): bigint => -((1n << BigInt(bits)) - 1n);
const repeated = <T>(item: T): { repetitions: T[] } => ({ repetitions: Array.from({ length: m }, () => item) });
const decProof = repeated({ A: C, B: G, C: G, z: most(ell + epsilon), w: most(plaintextBits(parameters, t) + epsilon + 1), nu: N });
const affineProof = repeated({ A: C, R: G, B: C, z: most(ell + epsilon), zPrime: most(ellPrime + epsilon), w: N, lambda: N });

describe('with 16 signers', () => {
  const { dec, affine } = identifyRounds(parameters, t, count - 1, 'delta');
  const messages = [
    [dec.name, encode(dec.codec, decProof)] as const,
    ...Array.from({ length: t - 1 }, (_, o) => [affine(o + 1).name, encode(affine(o + 1).codec, affineProof)] as const),
  ];

  test('each message fits a frame, its queue, and the round name its field', () => {
    expect(messages.map(([, { length }]) => length)).toEqual([207_492, ...Array.from({ length: 15 }, () => 343_428)]);
    for (const [name, payload] of messages) {
      expect(payload.length).toBeLessThan(MAX_MESSAGE_BYTES);
      expect(encode(envelope, { payload, signature: new Uint8Array(64) }).length).toBeLessThan(MAX_BODY_BYTES);
      expect(payload.length).toBeLessThan(Math.min(QUEUE_BYTES.signing, QUEUE_BYTES.bulk));
      expect(Buffer.byteLength(`${name}/dispute`)).toBeLessThanOrEqual(MAX_ROUND_BYTES);
    }
  });

  test('all of them, after a whole run of presigning, are within what a session takes from one party', () => {
    const presigning = 5;
    const echoes = 3 + messages.length;
    const rounds = presigning + messages.length + echoes + 2; // a dispute, and a complaint
    expect(rounds).toBeLessThan(HUB_LIMITS.rounds);
    const bytes = messages.reduce((sum, [, { length }]) => sum + length, 0);
    expect(bytes + (presigning + 2) * MAX_MESSAGE_BYTES).toBeLessThan(HUB_LIMITS.partyBytes / 2);
  });

  test('a file about Π^dec, with the ciphertexts of all signers for all elements of the batch, can be judged', () => {
    const { products, delta } = presignRounds(parameters, t, count);
    const elog = { A: G, N: G, B: G, z: scalar, u: scalar };
    const made = { D: C, F: C, hatD: C, hatF: C };
    const entry = { Gamma: G, elogGamma: elog, products: Array.from({ length: t - 1 }, () => made) } as unknown as Multiplied;
    const second = encode(
      products.codec,
      Array.from({ length: count }, () => entry),
    );
    const third = encode(delta.codec, Array.from({ length: count }, () => ({ delta: scalar, S: G, Delta: G, elogDelta: elog }) as unknown as Output)); // prettier-ignore
    expect(second.length).toBeLessThan(MAX_MESSAGE_BYTES);
    const rest = 2 * MAX_MESSAGE_BYTES; // session, facts, hashes, and the accused's own rounds 1 and 3
    expect(t * second.length + third.length + messages[0]![1].length + rest).toBeLessThan(MAX_EVIDENCE_BYTES);
  });
});
