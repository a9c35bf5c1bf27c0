/** `evidence verify`: judges a file of evidence here, without a node, a network or a secret. */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { Refusal } from '../../base/errors.ts';
import type { Verdict } from '../../evidence/index.ts';
import { EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { record, type Cell } from '../table.ts';
import { plain } from '../text.ts';
import { action } from './options.ts';

/** Scripts rely on these too. */
const EXITS = { proven: EXIT.ok, 'not-proven': EXIT.notProven, malformed: EXIT.malformed } as const;

export function registerEvidence(program: Command, io: Io): void {
  program
    .command('evidence')
    .description('what a node proved of another')
    .command('verify')
    .description('judge a file of evidence: exit code 0 proven, 8 not proven, 9 malformed; works offline')
    .argument('<file>', 'the file')
    .option('--test-parameters', 'also judge sessions with the small moduli of tests')
    .action(action(io, verify));
}

async function verify(session: Session, { testParameters }: { testParameters?: boolean }, path: string): Promise<number> {
  const { MAX_EVIDENCE_BYTES, verifyEvidence } = await import('../../evidence/index.ts');
  const { createCore } = await import('../../core/index.ts');
  const bytes = await contentOf(path, MAX_EVIDENCE_BYTES);
  const core = await createCore();
  let verdict: Verdict;
  try {
    verdict = await verifyEvidence(bytes, { core });
  } finally {
    await core.close();
  }
  if (verdict.verdict !== 'malformed' && verdict.parameters === 'test' && testParameters !== true) {
    const remedy = 'add --test-parameters if you know where it comes from';
    throw new Refusal('evidence.parameters', 'file', 'the session has the small moduli of tests, which prove nothing', remedy, 422);
  }
  session.print(verdict, () => table(session, verdict));
  return EXITS[verdict.verdict];
}

function table({ paint }: Session, verdict: Verdict): string {
  if (verdict.verdict === 'malformed') {
    return record(paint, [
      ['verdict', { painted: paint('yellow', 'malformed: it shows nothing about anybody') }],
      ['problem', plain(verdict.problem)],
    ]);
  }
  const rows: [string, Cell][] = [
    [
      'verdict',
      {
        painted:
          verdict.verdict === 'proven'
            ? paint('red', 'proven: the accused broke the protocol')
            : paint('green', 'not proven: the message passes the check, the accuser is wrong'),
      },
    ],
    ['accused', `party ${verdict.accused}, identity key ${verdict.identity}`],
    ['protocol', plain(verdict.protocol)],
    ['session', verdict.sid],
    ['message', `round ${plain(verdict.round)}`],
    ['check', plain(verdict.check)],
  ];
  if (verdict.verdict === 'proven') rows.push(['it fails', plain(verdict.condition)]);
  return record(paint, rows);
}

async function contentOf(path: string, max: number): Promise<Uint8Array> {
  const refuse = (message: string, status: 404 | 422) =>
    new Refusal('evidence.file', 'file', `${path}: ${message}`, 'name a file of evidence', status);
  let handle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    throw refuse(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`, 404);
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw refuse('not a file', 422);
    if (found.size > max) throw refuse(`${found.size} bytes, and evidence has at most ${max}`, 422);
    return new Uint8Array(await handle.readFile());
  } finally {
    await handle.close();
  }
}
