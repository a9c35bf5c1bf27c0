/** Turns what zod finds wrong with a request into a Refusal that names the field and what to do. */
import type { FastifySchemaCompiler } from 'fastify';
import { z } from 'zod';
import { Refusal } from '../base/errors.ts';

/** What to do about a field, by its last name. */
const REMEDIES: Readonly<Record<string, string>> = {
  amount_sats: 'give whole satoshis as a JSON integer, for example 100000 for 0.001 BTC',
  recipient: 'give a Bitcoin address of the cluster’s network as a string',
  address: 'give a Bitcoin address of the cluster’s network as a string',
  recipients: 'give a list of 1 to 100 objects {"address", "amount_sats"}',
  fee_rate: 'give satoshis per virtual byte as a JSON number above 0, or leave it out for the estimate',
  metadata: 'give text of at most 80 bytes in UTF-8, or leave it out',
  protocol: 'use "cggmp24" (P2WPKH or P2WSH) or "frost" (P2TR)',
  address_type: 'use "p2wpkh" or "p2wsh" with the protocol cggmp24, "p2tr" with frost, or leave it out',
  threshold: 'give an integer from 2 to total_nodes',
  total_nodes: 'give an integer from 2 to 16',
  name: 'give text of 1 to 64 characters, or leave it out',
  count: 'give an integer from 1 to 1000',
  limit: 'give an integer from 1 to 100',
  offset: 'give an integer from 0 to 1000000',
  account: 'give an integer from 0 to 2147483647',
  index: 'give an integer from 0 to 2147483647',
  state: 'use one of the states in /openapi.json',
  id: 'ids are 1 to 64 letters, digits, "-" and "_"',
  txid: 'give the payment’s id or its Bitcoin txid: 1 to 64 letters, digits, "-" and "_"',
  tx_id: 'give the payment’s id or its Bitcoin txid: 1 to 64 letters, digits, "-" and "_"',
  wallet_id: 'ids are 1 to 64 letters, digits, "-" and "_"',
  'idempotency-key': 'give 1 to 128 visible ASCII characters, for example a UUID',
  body: 'send a JSON object with the header "Content-Type: application/json"',
};

/** The validator fastify calls for body, query, parameters and headers. */
export const refusingCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema }) => {
  return (data: unknown) => {
    const result = schema.safeParse(data);
    return result.success ? { value: result.data } : { error: refusalOf(result.error, data) };
  };
};

/** The first issue as a Refusal. */
export function refusalOf(error: z.ZodError, data: unknown): Refusal {
  const issue = error.issues[0];
  if (issue === undefined) return new Refusal('request.invalid', 'body', 'the request is malformed', 'see /openapi.json');
  if (issue.code === 'unrecognized_keys') {
    const field = pathOf([...issue.path, issue.keys[0] ?? '']);
    return new Refusal(
      'request.unknown_field',
      field,
      `there is no field "${field}" here`,
      'remove it, or correct its name; see /openapi.json',
    );
  }
  const field = issue.path.length === 0 ? 'body' : pathOf(issue.path);
  const name = issue.path.findLast((part) => typeof part === 'string') ?? 'body';
  const remedy = REMEDIES[name] ?? 'see /openapi.json';
  const value = valueAt(data, issue.path);
  if (value === undefined && issue.code !== 'custom') {
    return new Refusal('request.missing_field', field, `"${field}" is missing`, remedy);
  }
  if (issue.code === 'custom') return new Refusal('request.invalid_field', field, issue.message, remedy);
  return new Refusal('request.invalid_field', field, `"${field}" cannot be ${shown(value)}: ${reason(issue)}`, remedy);
}

function reason(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `it must be ${issue.expected === 'int' ? 'an integer' : `of type ${issue.expected}`}`;
  if (issue.code === 'too_small')
    return `it must be ${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}${unit(issue.origin)}`;
  if (issue.code === 'too_big')
    return `it must be ${issue.inclusive === false ? 'below' : 'at most'} ${issue.maximum}${unit(issue.origin)}`;
  if (issue.code === 'invalid_value') return `it must be one of ${issue.values.map(String).join(', ')}`;
  return 'it has the wrong form';
}

const unit = (origin: string): string => (origin === 'string' ? ' characters long' : origin === 'array' ? ' items long' : '');

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => {
    return typeof value === 'object' && value !== null && Object.hasOwn(value, part)
      ? (value as Record<PropertyKey, unknown>)[part]
      : undefined;
  }, data);
}

/** A value as an error shows it: its kind, or the value itself where that is short. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)}`;
  return String(value);
}
