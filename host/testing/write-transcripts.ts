/**
 * Writes fixtures/transcripts/protocols.json: `node dist/host/testing/write-transcripts.js`. Only after a change of messages or challenges that was
 * meant, and with a new version tag where released nodes could meet.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { protocolHashes } from './transcripts.ts';

const note =
  'SHA-256 of everything the parties say in one run of each protocol with fixed randomness (host/testing/runs.ts). A change here is a change of the messages.';
const path = join('fixtures', 'transcripts', 'protocols.json');
await writeFile(path, `${JSON.stringify({ note, protocols: await protocolHashes() }, null, 2)}\n`);
