/**
 * Errors as the API shows them: problem documents (RFC 9457). One function maps every family of error (`host/base/errors.ts`) to a status,
 * a stable code, and what the caller can do; it is exhaustive, so a new family cannot be forgotten.
 */
import { Abandoned, Defect, Fault, Refusal, Silence, Unavailable } from '../base/errors.ts';
import type { TransactionInfo } from '../wallet/types.ts';

/** RFC 9457 members first, then our extension members. */
export interface Problem {
  /** Stable URI of the kind of problem; it ends with `code`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** The request this problem belongs to. */
  readonly instance: string;
  readonly code: string;
  /** The member, parameter or header at fault. */
  readonly field?: string;
  readonly remedy?: string;
  /** Nodes shown to have misbehaved. */
  readonly culprits?: readonly string[];
  /** The record of a payment that ended without being sent. */
  readonly transaction?: unknown;
  /** Finds the request in the node's log. */
  readonly trace_id: string;
}

/** What a problem is before it is tied to a request. */
export interface ProblemKind extends Omit<Problem, 'type' | 'title' | 'instance' | 'trace_id'> {
  /** Seconds for the Retry-After header. */
  readonly retryAfter?: number;
}

/** A payment that was decided, and whose end is not success. The record is the answer; the status keeps scripts from taking it for sent. */
export class PaymentEnded extends Error {
  override readonly name = 'PaymentEnded';
  constructor(
    readonly state: TransactionInfo['state'],
    readonly reason: string | null,
    /** As the API shows it. */
    readonly transaction: unknown,
  ) {
    super(`the payment ended ${state}${reason === null ? '' : `: ${reason}`}`);
  }
}

/** A method this URL does not have. */
export class MethodNotAllowed extends Error {
  override readonly name = 'MethodNotAllowed';
  constructor(
    readonly method: string,
    readonly allowed: readonly string[],
  ) {
    super(`this URL has no method ${method}`);
  }
}

/** More requests than the caller's bucket holds. */
export class TooManyRequests extends Error {
  override readonly name = 'TooManyRequests';
  constructor(readonly retryAfter: number) {
    super('too many requests');
  }
}

/** What fastify itself rejects, by its error codes; `remedy` for the reader. */
const TRANSPORT: Readonly<Record<string, { code: string; detail: string; remedy: string; field?: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: 'http.body_too_large',
    detail: 'the body is too large',
    remedy: 'send a smaller body',
    field: 'body',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'http.media_type',
    detail: 'the body is not JSON',
    remedy: 'send JSON with the header "Content-Type: application/json"',
    field: 'Content-Type',
  },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'http.body_missing', detail: 'the body is empty', remedy: 'send a JSON object', field: 'body' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'http.content_length',
    detail: 'the body is not as long as Content-Length says',
    remedy: 'send the true length, or none',
    field: 'Content-Length',
  },
  FST_ERR_BAD_URL: { code: 'http.url', detail: 'the URL is malformed', remedy: 'percent-encode the path correctly' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'http.url', detail: 'a part of the URL is too long', remedy: 'ids have at most 64 characters' },
};

type Classified =
  | { readonly family: 'refusal'; readonly error: Refusal }
  | { readonly family: 'unavailable'; readonly error: Unavailable }
  | { readonly family: 'fault'; readonly error: Fault }
  | { readonly family: 'payment'; readonly error: PaymentEnded }
  | { readonly family: 'method'; readonly error: MethodNotAllowed }
  | { readonly family: 'rate'; readonly error: TooManyRequests }
  | { readonly family: 'transport'; readonly status: number; readonly code: string }
  | { readonly family: 'defect' };

function classify(error: unknown): Classified {
  if (error instanceof Refusal) return { family: 'refusal', error };
  if (error instanceof Unavailable) return { family: 'unavailable', error };
  if (error instanceof Fault) return { family: 'fault', error };
  if (error instanceof PaymentEnded) return { family: 'payment', error };
  if (error instanceof MethodNotAllowed) return { family: 'method', error };
  if (error instanceof TooManyRequests) return { family: 'rate', error };
  if (error instanceof Defect) return { family: 'defect' };
  const { statusCode, code } = (typeof error === 'object' ? (error ?? {}) : {}) as { statusCode?: unknown; code?: unknown };
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return { family: 'transport', status: statusCode, code: typeof code === 'string' ? code : '' };
  }
  if (code === 'FST_ERR_HANDLER_TIMEOUT') return { family: 'transport', status: 503, code };
  return { family: 'defect' };
}

/** Seconds after which a caller may try again when a dependency was not there. */
const RETRY_AFTER_UNAVAILABLE = 5;

/** Any error as a problem. `nodeName` turns a party index of a fault into the name of a node. */
export function problemOf(error: unknown, nodeName: (party: number) => string): ProblemKind {
  const classified = classify(error);
  switch (classified.family) {
    case 'refusal': {
      const { status, message, code, field, remedy } = classified.error;
      return { status, detail: message, code, field, remedy };
    }
    case 'unavailable': {
      const { dependency, message, remedy } = classified.error;
      return { status: 503, detail: message, code: `unavailable.${dependency}`, remedy, retryAfter: RETRY_AFTER_UNAVAILABLE };
    }
    case 'fault': {
      const culprits = classified.error.culprits.map(nodeName);
      return {
        status: 502,
        detail: `${classified.error.reason}${culprits.length === 0 ? ' (not attributable to a node)' : `: ${culprits.join(', ')}`}`,
        code: faultCode(classified.error),
        remedy:
          culprits.length === 0
            ? 'look at the state of the record before you try again; the log has the details under the trace id'
            : `check ${culprits.join(', ')}: its process, its log and its link`,
        culprits,
      };
    }
    case 'payment': {
      const { message, state, transaction } = classified.error;
      return { status: 422, detail: message, code: `payment.${state}`, remedy: PAYMENT_REMEDY, transaction };
    }
    case 'method': {
      const { message, allowed } = classified.error;
      return { status: 405, detail: message, code: 'http.method', remedy: `use ${allowed.join(' or ')}` };
    }
    case 'rate':
      return {
        status: 429,
        detail: 'too many requests from this client',
        code: 'http.rate',
        remedy: `wait ${classified.error.retryAfter} s, and slow down`,
        retryAfter: classified.error.retryAfter,
      };
    case 'transport':
      return transportProblem(classified.status, classified.code);
    case 'defect':
      // Nothing of the error itself: it may hold anything.
      return {
        status: 500,
        detail: 'the node hit an internal error',
        code: 'internal',
        remedy: "report it with the trace id, under which the node's log has the details",
      };
    default:
      return classified satisfies never;
  }
}

const PAYMENT_REMEDY = 'the record says why it ended; read it again before you start another payment';

function faultCode(error: Fault): string {
  if (error instanceof Silence) return 'fault.silence';
  if (error instanceof Abandoned) return 'fault.abandoned';
  return 'fault.misbehaviour';
}

function transportProblem(status: number, code: string): ProblemKind {
  if (code === 'FST_ERR_HANDLER_TIMEOUT') {
    return {
      status,
      detail: 'the node did not answer in time',
      code: 'http.timeout',
      remedy: 'try again',
      retryAfter: RETRY_AFTER_UNAVAILABLE,
    };
  }
  const known = TRANSPORT[code];
  if (known !== undefined) return { status, ...known };
  // What is left of 400s from the server below us is the JSON parser: broken text or a forbidden key such as __proto__.
  if (status === 400) {
    const remedy = 'send one well-formed JSON value, without the keys __proto__ and constructor.prototype';
    return { status, detail: 'the body is no acceptable JSON', code: 'http.json', field: 'body', remedy };
  }
  return { status, detail: title(status).toLowerCase(), code: 'http.request', remedy: 'see /openapi.json' };
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Malformed request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Request not received in time',
  409: 'Conflict',
  413: 'Body too large',
  414: 'URL too long',
  415: 'Unsupported media type',
  422: 'Impossible request',
  429: 'Too many requests',
  431: 'Headers too large',
  500: 'Internal error',
  502: 'Nodes misbehaved',
  503: 'Unavailable',
};
const title = (status: number): string => TITLES[status] ?? 'Request refused';

/** The document for one request. `traceId` is a UUID. */
export function problemDocument(kind: ProblemKind, traceId: string): Problem {
  const { retryAfter: _, ...members } = kind;
  return {
    type: `urn:threshold-wallet:problem:${kind.code}`,
    title: title(kind.status),
    ...members,
    instance: `urn:uuid:${traceId}`,
    trace_id: traceId,
  };
}
