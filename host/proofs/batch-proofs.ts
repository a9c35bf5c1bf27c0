/**
 * Π^enc-elg, Π^aff-g and Π^elog in batches: which of their equations (cggmp24.md §5.5–5.7) goes where. Proofs of any number of provers and labels
 * may stand in one batch; the verifier, its set-up and its key are the same for all.
 */
import type { PaillierSecret, RingPedersenSecret } from '../core/types.ts';
import { G } from '../curve/secp256k1.ts';
import { verifyAlone, verifyBatch, type Item, type Verdicts, type Verifier } from './batch.ts';
import { affineHold, byModulus, common, encryptionsHold, openingsHold, sumsVanish } from './batch-equations.ts';
import * as affG from './pi-aff-g.ts';
import * as elog from './pi-elog.ts';
import * as encElg from './pi-enc-elg.ts';

const all = async (checks: readonly Promise<boolean>[]): Promise<boolean> => (await Promise.all(checks)).every(Boolean);

export type EncElgItem = Item<encElg.Statement & { readonly setup: RingPedersenSecret }, encElg.Proof>;

export const verifyEncElg = (items: readonly EncElgItem[], verifier: Verifier): Promise<Verdicts> =>
  verifyBatch(items, verifier, {
    form: ({ statement, proof, context }) => encElg.checkForm(statement, proof, context),
    alone: ({ statement, proof, context }) => encElg.verify(statement, proof, context),
    equations(batch) {
      const proofs = batch.map(({ statement, proof, context }) => ({
        ...statement,
        ...proof,
        e: encElg.challenge(statement, proof, context),
      }));
      // Statement and proof have no name in common.
      const setup = common(proofs.map((proof) => proof.setup));
      return all([
        // w·A + z1·G = Y + e·X;   w·G = Z + e·B
        sumsVanish(
          proofs.flatMap(({ A, B, X, Y, Z, w, z1, e }) => [
            [[A, w], [G, z1], [Y, -1n], [X, -e]],
            [[G, w], [Z, -1n], [B, -e]],
          ]), // prettier-ignore
          verifier,
        ),
        // enc_N0(z1; z2) ≡ D·C^e mod N0², by prover
        ...byModulus(proofs, ({ N0 }) => N0).map(({ key, items: under }) =>
          encryptionsHold(
            key,
            under.map(({ z1, z2, D, C, e }) => ({ z: z1, r: z2, D, C, e })),
            verifier,
          ),
        ),
        // s^z1·t^z3 ≡ T·S^e mod N̂
        openingsHold(
          setup,
          proofs.map(({ z1, z3, T, S, e }) => ({ x: z1, y: z3, M: T, V: S, e })),
          verifier,
        ),
      ]);
    },
  });

/** `plaintext` is that of C, which the verifier made itself. */
export type AffGItem = Item<affG.Statement & { readonly setup: RingPedersenSecret; readonly N0: PaillierSecret }, affG.Proof> & {
  readonly plaintext: bigint;
};

export const verifyAffG = (items: readonly AffGItem[], verifier: Verifier): Promise<Verdicts> =>
  verifyBatch(items, verifier, {
    form: ({ statement, proof, context }) => affG.checkForm(statement, proof, context),
    alone: ({ statement, proof, context }) => affG.verify(statement, proof, context),
    equations(batch) {
      const proofs = batch.map(({ statement, proof, context, plaintext }) => ({
        plaintext,
        ...statement,
        ...proof,
        e: affG.challenge(statement, proof, context),
      }));
      const setup = common(proofs.map((proof) => proof.setup));
      const own = common(proofs.map(({ N0 }) => N0));
      return all([
        // (2) z1·G = B_x + e·X
        sumsVanish(
          proofs.map(({ X, Bx, z1, e }) => [[G, z1], [Bx, -1n], [X, -e]]), // prettier-ignore
          verifier,
        ),
        // (1) C^z1·enc_N0(z2; w) ≡ A·D^e mod N0², on plaintexts
        affineHold(own, proofs, verifier),
        // (3) enc_N1(z2; w_y) ≡ B_y·Y^e mod N1², by prover
        ...byModulus(proofs, ({ N1 }) => N1).map(({ key, items: under }) =>
          encryptionsHold(
            key,
            under.map(({ z2, wy, By, Y, e }) => ({ z: z2, r: wy, D: By, C: Y, e })),
            verifier,
          ),
        ),
        // (4) s^z1·t^z3 ≡ E·S^e and (5) s^z2·t^z4 ≡ F·T^e mod N̂, each with a weight of its own
        openingsHold(
          setup,
          proofs.flatMap(({ z1, z2, z3, z4, E, S, F, T, e }) => [
            { x: z1, y: z3, M: E, V: S, e },
            { x: z2, y: z4, M: F, V: T, e },
          ]),
          verifier,
        ),
      ]);
    },
  });

export type ElogItem = Item<elog.Statement, elog.Proof>;

export const verifyElog = (items: readonly ElogItem[], verifier: Verifier): Promise<Verdicts> =>
  verifyBatch(items, verifier, {
    form: ({ statement, proof }) => {
      elog.checkForm(statement, proof);
      return [];
    },
    alone: ({ statement, proof, context }) => elog.verify(statement, proof, context),
    equations: (batch) =>
      sumsVanish(
        batch.flatMap(({ statement, proof, context }) => {
          const { L, M, X, Y, H } = statement;
          const { A, N, B, z, u } = proof;
          const e = elog.challenge(statement, proof, context);
          // z·G = A + e·L;   u·G + z·X = N + e·M;   u·H = B + e·Y
          return [
              [[G, z], [A, -1n], [L, -e]],
              [[G, u], [X, z], [N, -1n], [M, -e]],
              [[H, u], [B, -1n], [Y, -e]],
            ] as const; // prettier-ignore
        }),
        verifier,
      ),
  });

/** How a protocol verifies: many proofs in, a verdict on each out. */
export interface ProofVerification {
  readonly encElg: (items: readonly EncElgItem[]) => Promise<Verdicts>;
  readonly affG: (items: readonly AffGItem[]) => Promise<Verdicts>;
  readonly elog: (items: readonly ElogItem[]) => Promise<Verdicts>;
}

/** In batches, or every proof by its own verification: what the batches save is measured, and tested, against the latter. */
export const proofVerification = (how: 'batch' | 'each', verifier: Verifier): ProofVerification =>
  how === 'batch'
    ? {
        encElg: (items) => verifyEncElg(items, verifier),
        affG: (items) => verifyAffG(items, verifier),
        elog: (items) => verifyElog(items, verifier),
      }
    : {
        encElg: (items) => verifyAlone(items, ({ statement, proof, context }) => encElg.verify(statement, proof, context)),
        affG: (items) => verifyAlone(items, ({ statement, proof, context }) => affG.verify(statement, proof, context)),
        elog: (items) => verifyAlone(items, ({ statement, proof, context }) => elog.verify(statement, proof, context)),
      };
