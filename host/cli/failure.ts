/** How a command ends when it fails: one exit code per kind of failure, and one message that says what to do. */
import { CommanderError } from 'commander';
import { Fault, Refusal, Unavailable } from '../base/errors.ts';
import type { Problem } from '../api/problems.ts';
import type { Io } from './io.ts';
import { plain } from './text.ts';

/** Part of the interface: scripts rely on the numbers. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  unreachable: 3,
  unauthorised: 4,
  notFound: 5,
  conflict: 6,
  paymentFailed: 7,
  notProven: 8,
  malformed: 9,
} as const;

/** The API answered with a problem document. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  constructor(
    readonly problem: Problem,
    /** Replaces the server's remedy where the command knows better. */
    readonly remedy: string | undefined = problem.remedy,
  ) {
    super(problem.detail);
  }
}

/** What the user sees of a failure. With --json it is printed as it stands. */
export interface Failure {
  readonly exit: number;
  readonly document: Readonly<Record<string, unknown>> & { readonly code: string; readonly detail: string };
}

/** Exit code of an HTTP status, whether a server sent it or a refusal of our own carries it. */
function exitOf(status: number, code: string): number {
  if (code.startsWith('payment.')) return EXIT.paymentFailed;
  if (status === 401 || status === 403) return EXIT.unauthorised;
  if (status === 404) return EXIT.notFound;
  if (status === 409) return EXIT.conflict;
  if (status === 503) return EXIT.unreachable;
  if (status === 429 || status >= 500) return EXIT.failure;
  return EXIT.usage;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof ApiProblem) {
    const { problem, remedy } = error;
    return { exit: exitOf(problem.status, problem.code), document: { ...problem, ...(remedy === undefined ? {} : { remedy }) } };
  }
  if (error instanceof Refusal) {
    const { code, field, message, remedy, status } = error;
    return { exit: exitOf(status, code), document: { code, detail: message, field, remedy } };
  }
  if (error instanceof Unavailable) {
    const { dependency, message, remedy } = error;
    return { exit: EXIT.unreachable, document: { code: `unavailable.${dependency}`, detail: message, remedy } };
  }
  if (error instanceof Fault) {
    return { exit: EXIT.failure, document: { code: 'fault', detail: error.message, remedy: 'look at the log of the nodes named' } };
  }
  if (error instanceof CommanderError) {
    const detail = error.message.replace(/^error: /, '').split('\n')[0] ?? '';
    return { exit: EXIT.usage, document: { code: 'usage', detail, remedy: 'see threshold-wallet --help, or --help after the command' } };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return {
    exit: EXIT.failure,
    document: { code: 'internal', detail: `internal error: ${detail}`, remedy: 'report it; THRESHOLD_DEBUG=1 shows where it happened' },
  };
}

/** Tells the user, on stderr, and returns the exit code. */
export function report(error: unknown, io: Io, json: boolean): number {
  const { exit, document } = failureOf(error);
  if (json) io.stderr.write(`${JSON.stringify(document)}\n`);
  else io.stderr.write(`error: ${lines(document).join('\n  ')}\n`);
  if (io.env['THRESHOLD_DEBUG'] !== undefined && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return exit;
}

function lines(document: Failure['document']): string[] {
  const text = [plain(document.detail)];
  for (const [label, member] of [
    ['field:  ', document['field']],
    ['remedy: ', document['remedy']],
    ['trace:  ', document['trace_id']],
  ] as const) {
    if (typeof member === 'string') text.push(`${label}${plain(member)}`);
  }
  return text;
}
