/**
 * What a tree offers to be compared by: `counts` and `timeProbes` of its bench/gate/probes.ts. The gate loads this module of two trees, its own
 * and the base commit's, so that each is measured by its own program; figures are compared when both have the name and say the same of the work.
 */

/** Raised when this file changes meaning: trees of different contracts are not compared. */
export const CONTRACT = 1;

export interface Count {
  readonly name: string;
  readonly unit: 'word products' | 'bytes';
  readonly value: number;
  /** What it is made of, to explain a difference. */
  readonly detail: Readonly<Record<string, number>>;
}

export interface TimeProbe {
  readonly name: string;
  /** What is computed, in words. Probes with different words are not compared: the change was meant. */
  readonly work: string;
  /** Whether the short mode has it. */
  readonly quick: boolean;
  /** What is timed: some milliseconds at least, the same work in every call. */
  readonly prepare: () => Promise<() => unknown>;
}

export interface Probes {
  readonly contract: number;
  readonly kernel: string;
  /** Deterministic: seeded randomness, no clocks. */
  readonly counts: () => Promise<Count[]>;
  readonly timeProbes: readonly TimeProbe[];
}

/** The probes of a loaded module, or why it has none that can be used. */
export function probesOf(module: unknown): Probes | { readonly problem: string } {
  const { contract, kernel, counts, timeProbes } = module as Partial<Probes>;
  if (contract !== CONTRACT) return { problem: `its gate has contract ${String(contract)}, this one ${CONTRACT}` };
  if (typeof kernel !== 'string' || typeof counts !== 'function' || !Array.isArray(timeProbes))
    return { problem: 'its bench/gate/probes lacks an export' };
  return { contract, kernel, counts, timeProbes };
}
