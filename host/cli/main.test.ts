/** The real program in a process of its own, made from these sources. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RECIPIENT } from '../api/testing/fake-wallet.ts';
import { createHarness, type Harness } from '../api/testing/harness.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
let harness: Harness;
let built: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  harness = await createHarness();
  // Inside the project, where Node finds the packages.
  await mkdir(join(root, 'build'), { recursive: true });
  built = await mkdtemp(join(root, 'build/cli-test-'));
  const sources = await readdir(join(root, 'host/cli'), { recursive: true });
  const files = [...sources.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).map((file) => `cli/${file}`)];
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, rewriteRelativeImportExtensions: true };
  for (const file of [...files, 'base/errors.ts', 'wallet/types.ts']) {
    const { outputText } = ts.transpileModule(await readFile(join(root, 'host', file), 'utf8'), { compilerOptions });
    const target = join(built, file.replace(/\.ts$/, '.js'));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, outputText);
  }
  env = { PATH: process.env['PATH'], THRESHOLD_API_ENDPOINT: harness.api.url, THRESHOLD_TOKEN: await harness.token('admin') };
});
afterAll(async () => {
  await harness.api.close();
  await rm(built, { recursive: true });
});

interface Run {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}
function run(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(built, 'cli/main.js'), ...args], { cwd: built, env: { ...env, ...extra } });
    const text = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (text.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text.err += chunk.toString()));
    child.once('error', reject);
    child.once('close', (exit) => resolve({ exit, ...text }));
    child.stdin.end();
  });
}

describe('the program', () => {
  it('answers and fails as a process', async () => {
    const pay = ['send', '--to', RECIPIENT, '--amount'];
    const [table, document, paid, unconfirmed, missing, away] = await Promise.all([
      run(['cluster', 'status']),
      run(['wallet', 'list', '--json']),
      run([...pay, '1000', '--yes', '--json']),
      run([...pay, '1000']),
      run(['tx', 'status', 'none', '--json']),
      run(['health'], { THRESHOLD_API_ENDPOINT: 'http://127.0.0.1:1' }),
    ]);
    expect([table.exit, table.err]).toEqual([0, '']);
    expect(table.out).toContain('healthy');
    expect(table.out).not.toContain('\u001b');
    expect(JSON.parse(document.out).wallets).toHaveLength(2);
    expect([paid.exit, JSON.parse(paid.out).state]).toEqual([0, 'broadcast']);
    expect([unconfirmed.exit, unconfirmed.out]).toEqual([2, '']);
    expect(unconfirmed.err).toContain('--yes');
    expect([missing.exit, missing.out, JSON.parse(missing.err).status]).toEqual([5, '', 404]);
    expect(away.exit).toBe(3);
    expect(away.err).toContain('cannot be reached (ECONNREFUSED)');
    expect(harness.fake.sends).toHaveLength(1);
  });

  it('its completion script is valid and knows the commands', async () => {
    const { out } = await run(['completion', 'bash']);
    const script = `${out}\nCOMP_WORDS=(threshold-wallet wallet ba); COMP_CWORD=2; _threshold_wallet; echo "\${COMPREPLY[@]}"`;
    const answer = await new Promise<string>((resolve, reject) => {
      const shell = spawn('bash', ['-c', script]);
      let text = '';
      shell.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      shell.once('error', reject);
      shell.once('close', () => resolve(text.trim()));
    });
    expect(answer).toBe('balance');
  });
});
