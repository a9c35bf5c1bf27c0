/** What a node keeps of a fault that it can prove. */
import { afterAll, describe, expect, test } from 'vitest';
import { sessionId } from '../cggmp24/session.ts';
import { keygen, keygenRounds } from '../cggmp24/keygen.ts';
import { freshNonce, identitiesOf, random, reasons } from '../cggmp24/testing/parties.ts';
import { createCore } from '../core/index.ts';
import { modQ } from '../curve/secp256k1.ts';
import { verifyEvidence } from '../evidence/index.ts';
import { testParameters as parameters } from '../proofs/parameters.ts';
import { memoryNetwork, tamper } from '../protocol/testing/network.ts';
import { leavingEvidence } from './accountable.ts';
import type { WalletContext } from './context.ts';

const core = await createCore({ threads: 1 });
afterAll(() => core.close());
const parties = ['node-1', 'node-2', 'node-3'];

/** Key generation in which node-2 deals node-3 a wrong share; what each node wrote and entered. */
async function run(write: (name: string, file: Uint8Array) => Promise<void>) {
  const rows: Record<string, unknown>[] = [];
  const errors: string[] = [];
  const context = {
    core,
    random,
    parameters,
    evidence: { write },
    records: { operations: { addViolation: (row: Record<string, unknown>) => Promise.resolve(rows.push(row)) } },
    logger: { warn: () => undefined, error: (_fields: object, text: string) => errors.push(text) },
  } as unknown as WalletContext;
  const binding = {
    protocol: 'keygen-cggmp24',
    parameters,
    nonce: freshNonce(),
    identities: identitiesOf([0, 1, 2]),
    t: 2,
    n: 3,
    keyId: 'k',
  };
  const override = tamper(1, keygenRounds(2).share, ({ sigma }) => ({ sigma: modQ(sigma + 1n) }), 2);
  const results = await memoryNetwork(3, sessionId(binding), { override }).run((rounds) =>
    leavingEvidence(context, { rounds, session: { binding }, parties }, (own) => keygen({ rounds: own, t: 2, random, keyId: 'k' })),
  );
  return { faults: [reasons(results)[0], reasons(results)[2]], rows, errors };
}

describe('a fault that can be proven', () => {
  test('becomes a file that anybody can judge, and a row of the records that names it', async () => {
    const files = new Map<string, Uint8Array>();
    const { faults, rows } = await run((name, file) => Promise.resolve(void files.set(name, file)));
    for (const fault of faults) expect(fault).toMatchObject({ name: 'Fault', culprits: [1] });
    expect(files.size).toBeGreaterThan(0);
    for (const [name, file] of files) {
      expect(name).toMatch(/^node-2-[0-9a-f]{16}-[0-9a-f]{16}\.evidence$/);
      expect(await verifyEvidence(file, { core })).toMatchObject({ verdict: 'proven', check: 'share', accused: 1, parameters: 'test' });
      expect(rows).toContainEqual(expect.objectContaining({ node_id: 'node-2', kind: 'evidence.share', round: 'keygen/share' }));
      expect(rows.map(({ evidence }) => (evidence as { file: string }).file)).toContain(name);
    }
  });

  test('is not hidden by a disk that is full', async () => {
    const { faults, errors } = await run(() => Promise.reject(new Error('no space left')));
    for (const fault of faults) expect(fault).toMatchObject({ name: 'Fault', culprits: [1] });
    expect(errors).toContain('evidence of misbehaviour could not be kept');
  });
});
