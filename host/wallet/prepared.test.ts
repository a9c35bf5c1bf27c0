import { expect, test } from 'vitest';
import { isConfirmed, type Answer } from './prepared.ts';

const publicKey = new Uint8Array(33).fill(2);
const active: Answer = { state: 'active', publicKey };
const prepared: Answer = { state: 'prepared', publicKey };
const unknown: Answer = { state: 'unknown', publicKey: new Uint8Array() };
const other: Answer = { state: 'active', publicKey: new Uint8Array(33).fill(3) };

test.each([
  ['one member says it is active', 3, 5, [active], false],
  ['t − 1 members say so', 3, 5, [active, active, prepared], false],
  ['t members say so', 3, 5, [active, active, active], true],
  ['t members say so, and another does not know it', 3, 5, [active, active, active, unknown], true],
  ['t members say so of another key', 3, 5, [other, other, other], false],
  ['all others hold it', 3, 5, [prepared, prepared, prepared, prepared], true],
  ['all others hold it, some active', 3, 5, [prepared, active, prepared, active], true],
  ['all others but one hold it', 3, 5, [prepared, prepared, active, unknown], false],
  ['all others but one hold it, which holds another', 3, 5, [prepared, prepared, active, other], false],
  ['the only other member holds it', 2, 2, [prepared], true],
  ['nobody answers', 2, 2, [], false],
] as const)('%s', (_what, t, n, answers, confirmed) => {
  expect(isConfirmed({ t, n, publicKey }, answers)).toBe(confirmed);
});
