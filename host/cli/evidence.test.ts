/** `evidence verify` on the stored files of evidence/v1 and v2, which every later version must read alike. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from './run.ts';

const FIXTURES = new URL('../../fixtures/evidence/v1/', import.meta.url).pathname;
const FIXTURES_2 = new URL('../../fixtures/evidence/v2/', import.meta.url).pathname;
/** Identity of the party that cheats in all of them, or is accused of it. */
const ACCUSED = 'e9b6cac63a1c9ba5da6f2312f2abe29d89842f17f282e9f2055b3e95caf8662e';
const ACCUSED_2 = '0ad278e9dd45d997577fe85f4c981699a00b97edc0aae0fc28545804b0870bba';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evidence-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function cli(...args: string[]): Promise<{ exit: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  let [out, err] = ['', ''];
  stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const exit = await runCli(['evidence', 'verify', ...args], { stdin: new PassThrough(), stdout, stderr, env: {} });
  return { exit, out, err };
}
const json = async (...args: string[]) => {
  const { exit, out } = await cli(...args, '--json');
  return { exit, document: JSON.parse(out) as Record<string, unknown> };
};

describe('evidence verify', () => {
  test.each([
    ['keygen-share', 'share', 'keygen/share', 'σ_{j,i}·G = Σ_k I(i)^k·S_{j,k} does not hold'],
    ['keygen-equivocation', 'equivocation', 'keygen/commit', 'one message for everybody in round keygen/commit does not hold'],
    ['presign-aff-x', 'aff-x', 'presign/2/proofs', 'Π^aff-g: C^z1·enc_N0(z2; w) ≡ A·D^e mod N0² does not hold'],
  ])('%s: proven, exit code 0', async (name, check, round, condition) => {
    const { exit, document } = await json(join(FIXTURES, `${name}.evidence`));
    expect(exit).toBe(0);
    expect(document).toMatchObject({ verdict: 'proven', parameters: 'production', accused: 1, identity: ACCUSED, check, round, condition });
  });

  test.each([
    ['reshare-share', 'share/2', 'reshare/deal', 'v_i·G = Σ_k I*(j)^k·S_{i,k} does not hold'],
    [
      'reshare-equivocal-ack',
      'equivocal-ack',
      'reshare/ack',
      'one statement about the new share, ACK of one result or REFUSE, does not hold',
    ],
  ])('%s of version 2: proven, exit code 0', async (name, check, round, condition) => {
    const { exit, document } = await json(join(FIXTURES_2, `${name}.evidence`));
    expect(exit).toBe(0);
    expect(document).toMatchObject({ verdict: 'proven', protocol: 'reshare', accused: 1, identity: ACCUSED_2, check, round, condition });
  });

  test('not proven, exit code 8', async () => {
    const { exit, document } = await json(join(FIXTURES, 'not-proven.evidence'));
    expect(exit).toBe(8);
    expect(document).toMatchObject({ verdict: 'not-proven', accused: 1, check: 'share' });
  });

  test('every file is read, and none with one byte changed is proven: exit code 8 or 9', async () => {
    const names = (await readdir(FIXTURES)).filter((name) => name.endsWith('.evidence'));
    expect(names.length).toBeGreaterThanOrEqual(4);
    const file = await readFile(join(FIXTURES, 'keygen-share.evidence'));
    const second = await readFile(join(FIXTURES_2, 'reshare-equivocal-ack.evidence'));
    const path = join(folder, 'damaged.evidence');
    for (const whole of [file, second]) {
      for (let k = 0; k < 6; k++) {
        const damaged = Uint8Array.from(whole);
        damaged[Math.floor(((k + 0.5) * whole.length) / 6)]! ^= 4;
        await writeFile(path, damaged);
        expect([8, 9]).toContain((await json(path)).exit);
      }
    }
    // A file of one version is none of the other.
    for (const whole of [
      Uint8Array.of(2, ...file.subarray(1)),
      Uint8Array.of(1, ...second.subarray(1)),
      Uint8Array.of(3, ...second.subarray(1)),
    ]) {
      await writeFile(path, whole);
      expect(await json(path)).toMatchObject({ exit: 9, document: { verdict: 'malformed' } });
    }
    await writeFile(path, file.subarray(1));
    expect(await json(path)).toMatchObject({ exit: 9, document: { verdict: 'malformed', problem: 'not a file of evidence' } });
  });

  test('says for people who is accused of what', async () => {
    const { exit, out } = await cli(join(FIXTURES, 'keygen-share.evidence'));
    expect(exit).toBe(0);
    for (const word of ['proven: the accused broke the protocol', ACCUSED, 'keygen-cggmp24', 'share', 'does not hold'])
      expect(out).toContain(word);
    expect((await cli(join(FIXTURES, 'not-proven.evidence'))).out).toContain('the accuser is wrong');
  });

  test('a file that is not there, or none: refused with what to do', async () => {
    expect(await cli(join(folder, 'nothing'))).toMatchObject({ exit: 5, err: expect.stringContaining('cannot be read') });
    expect((await stat(folder)).isDirectory()).toBe(true);
    expect(await cli(folder)).toMatchObject({ exit: 2, err: expect.stringContaining('not a file') });
  });
});
