// Builds the WASM modules (asc, targets of asconfig.json) and the TypeScript (tsc) into build/ and dist/.
// With --if-stale a part is skipped when its newest input is older than its stamp.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const require = createRequire(import.meta.url);
const ifStale = process.argv.includes('--if-stale');

const newest = (path) => {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path, { withFileTypes: true }).reduce((time, entry) => Math.max(time, newest(join(path, entry.name))), stat.mtimeMs);
};

/** Runs `commands` unless the stamp is newer than every input. A failing command ends the build with its exit code. */
function part(name, inputs, outputs, stamp, commands) {
  const fresh =
    existsSync(stamp) && outputs.every((path) => existsSync(path)) && inputs.every((path) => newest(path) < statSync(stamp).mtimeMs);
  if (ifStale && fresh) return;
  const begin = Date.now();
  for (const [program, ...args] of commands) {
    const result = spawnSync(process.execPath, [program, ...args], { stdio: ['ignore', process.stderr, process.stderr] });
    if (result.status !== 0) {
      rmSync(stamp, { force: true });
      console.error(`build: ${name} failed (exit code ${result.status ?? result.signal})`);
      process.exit(result.status || 1);
    }
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, '');
  console.error(`build: ${name} in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
}

const package_ = (name, file) => join(dirname(require.resolve(`${name}/package.json`)), file);
const asc = package_('assemblyscript', 'bin/asc.js');
// The same source twice: with relaxed SIMD (fused multiply-add) and without. --debug adds the two unoptimized builds with source maps.
const wasm = (kind, files) =>
  part(
    `${kind} wasm`,
    ['assembly', 'asconfig.json', 'package-lock.json'],
    files,
    `build/.stamp-${kind}`,
    ['fma', 'extmul'].map((kernel) => [asc, 'assembly/index.ts', '--target', `${kind}-${kernel}`]),
  );
wasm('release', ['build/fma.wasm', 'build/extmul.wasm']);
if (process.argv.includes('--debug')) wasm('debug', ['build/debug-fma.wasm', 'build/debug-extmul.wasm']);
part(
  'typescript',
  ['host', 'bench', 'fuzz', 'examples', 'package.json', 'tsconfig.json', 'package-lock.json'],
  ['dist/host'],
  'dist/.stamp',
  [[package_('typescript', 'bin/tsc'), '-p', 'tsconfig.json']],
);
