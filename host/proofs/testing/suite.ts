/** For tests only: what is asserted of every proof, whatever it proves. */
import { expect, test } from 'vitest';
import transcripts from '../../../fixtures/transcripts/proofs.json' with { type: 'json' };
import { decode, DecodeError, encode, type Codec } from '../../base/codec.ts';
import { hex } from '../../base/bytes.ts';
import type { Core } from '../../core/types.ts';
import { sha256 } from '../../protocol/transcript.ts';
import type { ProofContext } from '../context.ts';

/** SHA-256 of the encoded proof of each test's honest instance. */
export const known = transcripts.proofs;
type ProofName = keyof typeof known;

/** The proof must be rejected, by the check of that text (in whole or in part) where one is given, and by nothing but a check. */
export async function rejects(verification: Promise<void>, check?: string): Promise<void> {
  const outcome = await verification.then(
    () => 'accepted',
    (error: unknown) => error,
  );
  expect(outcome).toMatchObject({ name: 'ProofRejected' });
  if (check !== undefined) expect((outcome as { check: string }).check).toBe(check);
}

/** Every way in which the context of the verifier can differ from that of the prover. */
export const otherContexts: readonly (readonly [what: string, change: (context: ProofContext) => ProofContext])[] = [
  ['sid', (context) => ({ ...context, sid: context.sid.map((byte) => byte ^ 1) })],
  ['prover', (context) => ({ ...context, prover: context.prover + 1 })],
  ['verifier', (context) => ({ ...context, verifier: 2 })],
  ['label', (context) => ({ ...context, label: `${context.label}'` })],
  ['rid', (context) => ({ ...context, rid: new Uint8Array(32).fill(1) })],
  ['index', (context) => ({ ...context, index: 0 })],
  ['ε', (context) => ({ ...context, parameters: { ...context.parameters, epsilon: context.parameters.epsilon + 1 } })],
];

/** A core that must not be reached: for checks that come before all arithmetic. */
export const unreachableCore: Core = {
  kernel: 'reference',
  run: () => Promise.reject(new Error('arithmetic before the size checks')),
};

export interface Subject<S, P> {
  readonly verify: (statement: S, proof: P, context: ProofContext) => Promise<void>;
  readonly codec: Codec<P>;
  /** An honest instance, made once; `context` gives a fresh verifier's context. */
  readonly honest: () => Promise<{ statement: S; proof: P; context: ProofContext }>;
}

/** Completeness, canonical encoding, binding to the context. `name` is the entry of the known answers. */
export function testCommon<S, P>(name: ProofName, { verify, codec, honest }: Subject<S, P>): void {
  test('an honest proof is accepted', async () => {
    const { statement, proof, context } = await honest();
    await verify(statement, proof, context);
  });

  test('an honest proof is accepted from its bytes, and its bytes are canonical', async () => {
    const { statement, proof, context } = await honest();
    const encoded = encode(codec, proof);
    const decoded = decode(codec, encoded);
    expect(encode(codec, decoded)).toEqual(encoded);
    await verify(statement, decoded, context);
    expect(() => decode(codec, Uint8Array.of(...encoded, 0))).toThrow(DecodeError);
    expect(() => decode(codec, encoded.slice(0, -1))).toThrow(DecodeError);
  });

  test('the same randomness gives the known transcript', async () => {
    const { proof } = await honest();
    expect(hex(sha256(encode(codec, proof)))).toBe(known[name]);
  });

  test.each(otherContexts)('a proof is bound to its context: %s', async (_, change) => {
    const { statement, proof, context } = await honest();
    await rejects(verify(statement, proof, change(context)));
  });
}

/** One call per test file: the instance is computed when first needed. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
