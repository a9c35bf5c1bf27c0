/**
 * The families of error. Who must act decides the family:
 *  - {@link Fault}: a peer misbehaved; it names culprits and carries what shows it.
 *  - {@link Refusal}: the caller asked for something that cannot be done; it names the field and the remedy.
 *  - {@link Unavailable}: something outside (a peer's link, the database, the Bitcoin backend) is not there now; retrying may help.
 *  - {@link Defect}: ours. It ends the session, never the node.
 * No message of any family carries a secret.
 */

/** One thing that one party is accused of, by the name of the check that it failed. */
export interface Claim {
  readonly accused: number;
  /** `enc-K`, `share`, `malformed`, `equivocation` …: names what is judged, the same for whoever was there and for whoever was not. */
  readonly check: string;
  /** The round of the message that failed it. */
  readonly round: string;
  /** Its receiver, for a private message. */
  readonly to?: number;
}

/**
 * What shows a fault to somebody who was not there. `signed` is the canonical signed message of the culprit, where there is one; `claims` are what
 * files for third parties are made of (host/evidence), and `files` are those, once they are made.
 */
export interface Evidence {
  readonly round: string;
  readonly detail: string;
  readonly signed?: Uint8Array;
  readonly claims?: readonly Claim[];
  readonly files?: readonly Uint8Array[];
}

/** `culprits` are party indices of the run; empty when the failure is real but cannot be attributed (views differ between honest parties). */
export class Fault extends Error {
  override readonly name = 'Fault';
  constructor(
    readonly culprits: readonly number[],
    readonly reason: string,
    readonly evidence: Evidence,
  ) {
    super(culprits.length === 0 ? `${reason} (not attributable)` : `${reason} (party ${culprits.join(', ')})`);
  }
}

/** One fault for several of one step: all culprits and all claims; reason and signed message are those of the first. */
export function joint(faults: readonly Fault[]): Fault {
  const [first] = faults;
  invariant(first !== undefined, 'a fault has a reason');
  if (faults.length === 1) return first;
  const culprits = [...new Set(faults.flatMap((fault) => fault.culprits))].sort((a, b) => a - b);
  const claims = faults.flatMap(({ evidence }) => evidence.claims ?? []);
  return new Fault(culprits, [...new Set(faults.map(({ reason }) => reason))].join('; '), { ...first.evidence, claims });
}

/** A party said nothing until the deadline. Silence cannot be proven to others, so it is never grounds for a ban. */
export class Silence extends Fault {
  constructor(culprits: readonly number[], round: string) {
    super(culprits, `no message in round ${round} before the deadline`, { round, detail: 'silence' });
  }
}

/** A peer ended its run. What it says about others is a claim, not evidence, so nobody is blamed by it. */
export class Abandoned extends Fault {
  constructor(
    readonly by: number,
    readonly claim: string,
    round: string,
  ) {
    super([], `party ${by} ended the run: ${claim}`, { round, detail: 'abandoned' });
  }
}

/** The caller's mistake: what is wrong (`field`), and what to do about it (`remedy`). `code` is stable and machine-readable. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  constructor(
    readonly code: string,
    readonly field: string,
    message: string,
    readonly remedy: string,
    /** HTTP status class of the refusal: 400 malformed, 401/403 not allowed, 404 unknown, 409 conflict, 422 impossible, 429 too many. */
    readonly status: 400 | 401 | 403 | 404 | 409 | 422 | 429 = 400,
  ) {
    super(message);
  }
}

/** A dependency is not reachable or not ready now; the operation had no effect and may be retried. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  constructor(
    readonly dependency: string,
    message: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Our own bug: an invariant of the program does not hold. */
export class Defect extends Error {
  override readonly name = 'Defect';
}

/** Throws a {@link Defect} unless `condition` holds. For what the program itself guarantees, never for input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Defect(message);
}
