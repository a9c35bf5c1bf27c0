/**
 * One process per folder. Each contender writes a lock file under a name of its own, then looks at everybody else's: whoever sees a living
 * contender withdraws. Because the file is written before the look, two contenders cannot both see nobody; because no two lock files share
 * a name, removing a dead one never removes a living one. (A single well-known lock file has a window between judging it stale and removing
 * it, in which a fresh lock can be removed.)
 *
 * A contender is alive when its process id exists on this machine with the same start time, so an id used again after a crash or a reboot
 * does not hold the folder.
 */
import { randomBytes } from 'node:crypto';
import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { utf8 } from '../base/bytes.ts';
import { Refusal } from '../base/errors.ts';
import { errorCode, onFile, privateFolder, writeDurably } from './files.ts';
import { isAlive, lifeOf } from './processes.ts';

const PREFIX = 'holder-';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Boot and start time of the process; empty where the system does not tell. */
  readonly started: string;
}

export interface FolderLock {
  release(): Promise<void>;
}

const lives = (holder: Holder): boolean => isAlive(holder.pid) && (holder.started === '' || holder.started === lifeOf(holder.pid));

function parse(text: string): Holder | undefined {
  try {
    const { pid, host, started } = JSON.parse(text) as Partial<Holder>;
    return Number.isSafeInteger(pid) && typeof host === 'string' && typeof started === 'string' ? { pid: pid!, host, started } : undefined;
  } catch {
    return undefined;
  }
}

/** A temporary file this old belongs to nobody who is just about to rename it. */
const ABANDONED_MS = 60_000;

/** The first contender besides `own` that may be alive; files of dead ones are removed on the way. */
async function rival(folder: string, own: string): Promise<{ file: string; holder: Holder | undefined } | undefined> {
  for (const name of await readdir(folder)) {
    if (name === own) continue;
    const file = join(folder, name);
    if (!name.startsWith(PREFIX)) {
      const found = await stat(file).catch(() => undefined); // gone meanwhile: renamed by its writer
      if (found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(file, { force: true });
      continue;
    }
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined; // withdrawn meanwhile
      throw error;
    });
    if (text === undefined) continue;
    const holder = parse(text);
    if (holder === undefined || holder.host !== hostname() || lives(holder)) return { file, holder };
    await rm(file, { force: true });
  }
  return undefined;
}

/**
 * Takes the lock `name` of `folder`; the contenders' files live in its sub-folder `.name`. Contenders that arrive at the same moment may all withdraw, hence a few attempts.
 * @throws Refusal when another process (or this one, earlier) holds it, naming that process.
 */
export async function lockFolder(folder: string, name = 'lock'): Promise<FolderLock> {
  const place = join(folder, `.${name}`);
  await privateFolder(place);
  return onFile(place, async () => {
    for (let attempt = 1; ; attempt++) {
      const own = `${PREFIX}${randomBytes(8).toString('hex')}`;
      const path = join(place, own);
      await writeDurably(path, utf8(JSON.stringify({ pid: process.pid, host: hostname(), started: lifeOf(process.pid) } satisfies Holder)));
      const other = await rival(place, own);
      if (other === undefined) return { release: () => rm(path, { force: true }) };
      await rm(path, { force: true });
      if (attempt < 4) {
        await delay(10 + Math.random() * 40 * attempt);
        continue;
      }
      const who =
        other.holder === undefined
          ? 'an unknown process'
          : `process ${other.holder.pid}${other.holder.host === hostname() ? '' : ` on ${other.holder.host}`}`;
      throw new Refusal(
        'storage.locked',
        folder,
        `${folder} is in use by ${who}`,
        `stop that process first; if it is certainly gone, remove ${other.file}`,
        409,
      );
    }
  });
}
