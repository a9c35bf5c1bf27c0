import { expect, test } from 'vitest';
import { systemRandom } from '../base/random.ts';
import { UUID } from '../storage/records/uuid.ts';
import { mayName, paymentIdOf } from './payment-id.ts';

const proposal = { clusterId: systemRandom.bytes(32), proposer: 'node-1', nonce: systemRandom.bytes(32) };

test('an id is that of one proposal of one node, and a UUID', () => {
  const id = paymentIdOf(proposal);
  expect(id).toMatch(UUID);
  expect(mayName(proposal, id)).toBe(true);
  for (const other of [{ proposer: 'node-2' }, { nonce: systemRandom.bytes(32) }, { clusterId: systemRandom.bytes(32) }])
    expect(mayName({ ...proposal, ...other }, id)).toBe(false);
});

test('it has one spelling: what the database would read as the same id is no id', () => {
  const id = paymentIdOf(proposal);
  for (const spelling of [id.toUpperCase(), id.replaceAll('-', ''), `{${id.slice(1, -1)}}`, ` ${id}`])
    expect([spelling, mayName({ ...proposal, proposer: 'node-2' }, spelling)]).toEqual([spelling, false]);
});

test('nodes of earlier releases choose theirs', () => {
  expect(mayName(proposal, crypto.randomUUID())).toBe(true);
});
