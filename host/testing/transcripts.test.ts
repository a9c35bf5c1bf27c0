import { expect, test } from 'vitest';
import known from '../../fixtures/transcripts/protocols.json' with { type: 'json' };
import { protocolHashes } from './transcripts.ts';

test('the same randomness gives the known messages of every protocol', async () => {
  expect(await protocolHashes()).toEqual(known.protocols);
});
