/** Errors on their way back to a caller: the family and what can be acted on, never a stack, never what an unknown error says. */
import { bytesUpTo, list, oneOf, optional, struct, text, u32, type Infer } from '../base/codec.ts';
import { Defect, Fault, Refusal, Unavailable } from '../base/errors.ts';
import type { NodeId } from './types.ts';

const FAMILIES = ['refusal', 'unavailable', 'fault', 'defect'] as const;
const STATUSES = ['400', '401', '403', '404', '409', '422', '429'] as const;
const MAX_TEXT = 1024;
const MAX_SIGNED_BYTES = 1 << 20;

export const failureCodec = struct({
  family: oneOf(FAMILIES),
  message: text(MAX_TEXT),
  /** Refusal: its code. Unavailable: the dependency. Fault: the round. */
  subject: text(256),
  field: text(256),
  remedy: text(MAX_TEXT),
  status: oneOf(STATUSES),
  culprits: list(u32, { max: 64 }),
  detail: text(MAX_TEXT),
  signed: optional(bytesUpTo(MAX_SIGNED_BYTES)),
});
export type Failure = Infer<typeof failureCodec>;

const EMPTY: Failure = {
  family: 'defect',
  message: '',
  subject: '',
  field: '',
  remedy: '',
  status: '400',
  culprits: [],
  detail: '',
  signed: undefined,
};

/** At most `max` bytes of UTF-8, cut between characters. */
function cut(value: string, max: number): string {
  let out = value;
  while (Buffer.byteLength(out) > max) out = [...out].slice(0, Math.floor(([...out].length * 3) / 4)).join('');
  return out;
}

export function failureOf(error: unknown, self: NodeId): Failure {
  if (error instanceof Refusal) {
    return {
      ...EMPTY,
      family: 'refusal',
      message: cut(error.message, MAX_TEXT),
      subject: cut(error.code, 256),
      field: cut(error.field, 256),
      remedy: cut(error.remedy, MAX_TEXT),
      status: `${error.status}`,
    };
  }
  if (error instanceof Unavailable) {
    return {
      ...EMPTY,
      family: 'unavailable',
      message: cut(error.message, MAX_TEXT),
      subject: cut(error.dependency, 256),
      remedy: cut(error.remedy, MAX_TEXT),
    };
  }
  if (error instanceof Fault) {
    const { round, detail, signed } = error.evidence;
    return {
      ...EMPTY,
      family: 'fault',
      message: cut(error.reason, MAX_TEXT),
      subject: cut(round, 256),
      culprits: error.culprits.slice(0, 64),
      detail: cut(detail, MAX_TEXT),
      signed: signed !== undefined && signed.length <= MAX_SIGNED_BYTES ? signed : undefined,
    };
  }
  return {
    ...EMPTY,
    message: error instanceof Defect ? cut(error.message, MAX_TEXT) : `${self} failed by a bug of its own; its log says more`,
  };
}

/** The error that `failure` of node `by` becomes here. A remote Fault names culprits by that node's word; its evidence is what can be checked. */
export function thrownBy(by: NodeId, failure: Failure): Error {
  const { family, message, subject, field, remedy, status, culprits, detail, signed } = failure;
  switch (family) {
    case 'refusal':
      return new Refusal(subject, field, message, remedy, Number(status) as Refusal['status']);
    case 'unavailable':
      return new Unavailable(subject, message, remedy);
    case 'fault':
      return new Fault(culprits, message, { round: subject, detail: `told by ${by}: ${detail}`, ...(signed !== undefined && { signed }) });
    case 'defect':
      return new Defect(message);
  }
}
