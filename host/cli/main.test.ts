/** The real program in a process of its own. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RECIPIENT } from '../api/testing/fake-wallet.ts';
import { createHarness, type Harness } from '../api/testing/harness.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
let harness: Harness;
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build`);
  harness = await createHarness();
  folder = await mkdtemp(join(tmpdir(), 'cli-main-'));
  env = { PATH: process.env['PATH'], THRESHOLD_API_ENDPOINT: harness.api.url, THRESHOLD_TOKEN: await harness.token('admin') };
});
afterAll(async () => {
  await harness.api.close();
  await rm(folder, { recursive: true });
});

interface Run {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}
function run(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, env: { ...env, ...extra } });
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
