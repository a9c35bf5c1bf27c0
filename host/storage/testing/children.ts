/**
 * For tests that kill a process: runs a program of this project as a child of its own. Node 20 does not run TypeScript, so the rooms the
 * child needs are transpiled once into a scratch folder.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const host = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface Programs {
  readonly folder: string;
  /** Starts module `source` (JavaScript; rooms are at './base/…', './storage/…', './presign/…') with `args` in process.argv, as `user` if given. */
  start(source: string, args: readonly string[], user?: { readonly uid: number; readonly gid: number }): Promise<ChildProcess>;
  dispose(): Promise<void>;
}

/** A private scratch folder (0700). */
export const scratch = (): Promise<string> => mkdtemp(join(tmpdir(), 'threshold-wallet-test-'));

export async function preparePrograms(): Promise<Programs> {
  const folder = await scratch();
  for (const room of ['base', 'storage', 'presign']) {
    await mkdir(join(folder, room));
    for (const name of await readdir(join(host, room))) {
      if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
      const { outputText } = ts.transpileModule(await readFile(join(host, room, name), 'utf8'), {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, rewriteRelativeImportExtensions: true },
      });
      await writeFile(join(folder, room, name.replace(/\.ts$/, '.js')), outputText);
    }
  }
  await symlink(resolve(host, '..', 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  let count = 0;
  return {
    folder,
    async start(source, args, user) {
      const program = join(folder, `program-${++count}.js`);
      await writeFile(program, source);
      return spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'], cwd: folder, ...user });
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Collects what a child prints, line by line, until it ends. `onLine` sees each line as it comes. */
export async function linesOf(child: ChildProcess, onLine: (line: string) => void = () => undefined): Promise<readonly string[]> {
  const lines: string[] = [];
  let rest = '';
  child.stdout!.setEncoding('utf8');
  child.stdout!.on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop()!;
    for (const line of parts) {
      lines.push(line);
      onLine(line);
    }
  });
  await new Promise((done) => child.once('close', done));
  return lines;
}
