/** The commit a change is compared with: found, unpacked beside the build of this tree, and built. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Why there is nothing to compare with. Not an error of the change. */
export class NoBase extends Error {
  override readonly name = 'NoBase';
}

/** In a tree of its own, out of the way of linters and tests. */
const FOLDER = 'build/gate';
const KEPT = 4;

function git(root: string, ...args: string[]): string | undefined {
  const { status, stdout, error } = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return error === undefined && status === 0 ? stdout.trim() : undefined;
}

const commitOf = (root: string, revision: string): string | undefined =>
  git(root, 'rev-parse', '--verify', '--quiet', `${revision}^{commit}`);

/**
 * The commit to compare with. Without a revision: where this branch left the main one; on the main branch, the last commit if there are changes that
 * are not committed, else the one before it.
 * @throws NoBase
 */
export function chooseBase(root: string, revision?: string): string {
  if (revision !== undefined) {
    const commit = commitOf(root, revision);
    if (commit === undefined) throw new NoBase(`there is no commit ${revision} here${shallow(root)}`);
    return commit;
  }
  const head = commitOf(root, 'HEAD');
  if (head === undefined) throw new NoBase('this is no git checkout with a commit');
  const main = ['origin/main', 'main'].map((name) => commitOf(root, name)).find((commit) => commit !== undefined);
  const fork = main === undefined ? undefined : git(root, 'merge-base', head, main);
  if (fork !== undefined && fork !== head) return fork;
  if (git(root, 'status', '--porcelain') !== '') return head;
  const parent = commitOf(root, 'HEAD~1');
  if (parent === undefined) throw new NoBase(`HEAD has no parent here${shallow(root)}`);
  return parent;
}

const shallow = (root: string): string =>
  git(root, 'rev-parse', '--is-shallow-repository') === 'true' ? ': the clone is shallow, git fetch --deepen=1 brings one more commit' : '';

/** Figures that the commits since the base accept as larger or slower, each with its reason in the message: `Bench-Accepts: count.presign.2of3, …`. */
export function acceptedSince(root: string, base: string): Set<string> {
  const trailers = git(root, 'log', '--format=%(trailers:key=Bench-Accepts,valueonly)', `${base}..HEAD`) ?? '';
  return new Set(trailers.split(/[\s,]+/).filter((name) => name !== ''));
}

/** The tree's uncommitted state does not count: what is measured is what stands in dist/. */
export const describe = (root: string, commit: string): string => git(root, 'log', '-1', '--format=%h %s', commit) ?? commit;

function run(what: string, cwd: string, command: string, ...args: string[]): void {
  const { status, signal, stderr, stdout, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return;
  const tail = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-12).join('\n');
  throw new NoBase(`${what} failed (${error?.message ?? `exit code ${status ?? signal}`}):\n${tail}`);
}

/**
 * Unpacks `commit` and builds it with its own tools; a tree that is there already is taken as it is. `alter` may change the sources first, `variant`
 * then names the altered tree. @throws NoBase when it does not build
 */
export async function build(
  root: string,
  commit: string,
  { variant = '', alter }: { readonly variant?: string; readonly alter?: (tree: string) => Promise<void> } = {},
): Promise<string> {
  const folder = join(root, FOLDER);
  const tree = join(folder, `${commit.slice(0, 12)}${variant}`);
  const stamp = join(tree, '.built');
  if (existsSync(stamp)) return tree;
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  const archive = `${tree}.tar`;
  run('unpacking the base', root, 'git', 'archive', '--format=tar', '-o', archive, commit);
  run('unpacking the base', root, 'tar', '-xf', archive, '-C', tree);
  await rm(archive);
  await alter?.(tree);
  const lock = (where: string) => readFile(join(where, 'package-lock.json'), 'utf8');
  if ((await lock(tree)) === (await lock(root))) await symlink(join(root, 'node_modules'), join(tree, 'node_modules'), 'dir');
  else run('npm ci of the base', tree, 'npm', 'ci', '--no-audit', '--no-fund');
  run('the build of the base', tree, process.execPath, 'tools/build.mjs');
  await writeFile(stamp, '');
  await prune(folder);
  return tree;
}

/** Old trees are a few megabytes each. */
async function prune(folder: string): Promise<void> {
  const trees = await Promise.all(
    (await readdir(folder)).map(async (name) => ({ path: join(folder, name), time: (await stat(join(folder, name))).mtimeMs })),
  );
  for (const { path } of trees.sort((a, b) => b.time - a.time).slice(KEPT)) await rm(path, { recursive: true, force: true });
}
