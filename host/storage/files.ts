/**
 * Files that survive a crash: a write is either wholly there or not at all, and once its promise resolves it survives loss of power.
 * Folders are private to the owner (0700), files too (0600).
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Refusal, Unavailable } from '../base/errors.ts';

const TEMPORARY = '.tmp-';

/** The `code` of a system error (`ENOENT` …), or undefined. */
export const errorCode = (error: unknown): string | undefined => {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
};

/** Turns a file system error into the family of who must act; anything else comes back unchanged. */
export function fileError(error: unknown, path: string): unknown {
  switch (errorCode(error) ?? '') {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Refusal(
        'storage.permission',
        path,
        `no permission to use ${path}`,
        `give the user that runs the node read and write access to ${path}`,
        403,
      );
    case 'ENOTDIR':
    case 'EISDIR':
    case 'EEXIST':
      return new Refusal(
        'storage.path',
        path,
        `${path} is not what it should be: a file stands where a folder is expected, or the reverse`,
        `move ${path} away or choose another folder`,
        409,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new Unavailable('disk', `no space left to write ${path}`, 'free some disk space, then try again', { cause: error });
    case 'EIO':
    case 'EMFILE':
    case 'ENFILE':
      return new Unavailable(
        'disk',
        `${path} cannot be read or written now (${errorCode(error)})`,
        'check the disk and the limit of open files, then try again',
        {
          cause: error,
        },
      );
    default:
      return error;
  }
}

/** Runs `work`, translating its file system errors by {@link fileError}. */
export async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, path);
  }
}

/**
 * Creates a folder and its missing parents, one by one: the recursive mkdir of Node.js 20 never returns where the system answers ENOENT for
 * an existing parent, as /proc does.
 */
export async function makeFolder(folder: string, mode: number): Promise<void> {
  const missing: string[] = [];
  for (let path = resolve(folder); !(await exists(path)); path = dirname(path)) missing.unshift(path);
  for (const path of missing) {
    await mkdir(path, { mode }).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') {
        throw new Refusal(
          'storage.path',
          path,
          `${path} cannot be made: the system takes no new folders there`,
          'choose another folder',
          409,
        );
      }
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  }
}

const exists = async (path: string): Promise<boolean> => {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
};

/** Creates `folder` (and its parents) for the owner only. @throws Refusal when it cannot be written, or others could read it. */
export async function privateFolder(folder: string): Promise<void> {
  await onFile(folder, async () => {
    await makeFolder(folder, 0o700);
    const found = await stat(folder);
    if (!found.isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    if (process.platform !== 'win32' && (found.mode & 0o077) !== 0) {
      throw new Refusal('storage.mode', folder, `other users can enter ${folder}`, `run: chmod 700 ${folder}`, 403);
    }
  });
}

/** Makes the names in `folder` durable. Windows has no such call; its rename is durable by itself. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes all of `bytes` at `position` of an open file; a short write is continued. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

/**
 * Atomic and durable: a temporary file in the same folder, synced, renamed over `path`, folder synced.
 * A crash leaves the old content or the new one, and at most a temporary file for {@link removeTemporaries}.
 */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await onFile(path, async () => {
    const folder = dirname(path);
    const temporary = join(folder, `${TEMPORARY}${randomBytes(8).toString('hex')}`);
    try {
      const handle = await open(temporary, 'wx', 0o600);
      try {
        await writeAll(handle, bytes, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncFolder(folder);
  });
}

/**
 * Durably removes `path`; false when there was none. The name goes first, then the content is overwritten as far as the file system and the
 * disk allow (copy-on-write and flash storage keep old blocks; what they keep is sealed).
 */
export async function removeDurably(path: string): Promise<boolean> {
  return onFile(path, async () => {
    const doomed = join(dirname(path), `${TEMPORARY}${randomBytes(8).toString('hex')}`);
    try {
      await rename(path, doomed);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
    const handle = await open(doomed, 'r+');
    try {
      await writeAll(handle, new Uint8Array((await handle.stat()).size), 0);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await unlink(doomed);
    await syncFolder(dirname(path));
    return true;
  });
}

/** The content of `path`, or undefined when there is no such file. */
export async function readIfPresent(path: string): Promise<Uint8Array | undefined> {
  return onFile(path, async () => {
    try {
      return new Uint8Array(await readFile(path));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  });
}

/** The names in `folder`, sorted; none when there is no such folder. Temporary files are left out. */
export async function namesIn(folder: string): Promise<string[]> {
  return onFile(folder, async () => {
    try {
      return (await readdir(folder)).filter((name) => !basename(name).startsWith(TEMPORARY)).sort();
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  });
}

/** Removes what a crash left behind. Only for a folder that nobody else is writing to. */
export async function removeTemporaries(folder: string): Promise<void> {
  await onFile(folder, async () => {
    for (const name of await readdir(folder)) if (name.startsWith(TEMPORARY)) await rm(join(folder, name), { force: true });
  });
}
