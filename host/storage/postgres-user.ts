/**
 * PostgreSQL refuses to run as root. Started as root (containers, plain servers), the embedded server therefore runs as a user of its own,
 * and lives in a folder that user can reach.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Refusal } from '../base/errors.ts';

const run = promisify(execFile);

export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Existing ones first; the last is created when there is none. */
const NAMES = ['threshold-postgres', 'postgres'] as const;

async function findUser(): Promise<ServerUser | undefined> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of NAMES) {
    const found = lines.find((fields) => fields[0] === name);
    if (found !== undefined) return { name, uid: Number(found[2]), gid: Number(found[3]) };
  }
  return undefined;
}

/** The user to run the server as; undefined when this process is not root and runs it as itself. @throws Refusal when none can be made. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const found = await findUser();
  if (found !== undefined) return found;
  const name = NAMES[0];
  try {
    await run('useradd', [
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      name,
    ]);
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new Refusal(
      'postgres.user',
      'user',
      `PostgreSQL cannot run as root, and the user ${name} could not be created (${why})`,
      `create a system user ${name}, start as a normal user, or set the URL of an outside PostgreSQL`,
      422,
    );
  }
  const created = await findUser();
  if (created === undefined)
    throw new Refusal('postgres.user', 'user', `the user ${name} was created but is not in /etc/passwd`, 'start as a normal user', 422);
  return created;
}

/** Whether `user` may pass through every folder from the root to `path`, the last one included. */
export async function reachable(path: string, user: ServerUser): Promise<boolean> {
  for (let folder = await realpath(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** Where a server lives whose data folder its user cannot reach (a folder inside root's home, for instance). */
export const fallbackFolder = async (dataDir: string): Promise<string> =>
  join(
    '/var/lib/threshold-wallet',
    createHash('sha256')
      .update(await realpath(dataDir))
      .digest('hex')
      .slice(0, 16),
  );
