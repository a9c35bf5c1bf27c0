import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptedSince, build, chooseBase, NoBase } from './base.ts';

let root: string;
const git = (...args: string[]): string =>
  execFileSync('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'init.defaultBranch=main', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
function commit(text: string): string {
  writeFileSync(join(root, 'file'), text);
  git('add', 'file');
  git('commit', '-q', '-m', text);
  return git('rev-parse', 'HEAD');
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gate-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('the base of a comparison', () => {
  it('is where the branch left the main one, or the last commit of the main branch', () => {
    git('init', '-q');
    const first = commit('first');
    const second = commit('second');
    expect(chooseBase(root)).toBe(first);
    writeFileSync(join(root, 'file'), 'being changed');
    expect(chooseBase(root)).toBe(second);
    git('checkout', '-q', 'file');
    git('checkout', '-q', '-b', 'work');
    commit('third');
    commit('fourth');
    expect(chooseBase(root)).toBe(second);
    expect(chooseBase(root, 'HEAD~3')).toBe(first);
  });

  it('is missing outside of git, before the second commit, in a shallow clone, and by a wrong name', () => {
    expect(() => chooseBase(root)).toThrow(NoBase);
    git('init', '-q');
    commit('first');
    expect(() => chooseBase(root)).toThrow('HEAD has no parent');
    expect(() => chooseBase(root, 'nowhere')).toThrow('no commit nowhere');
    commit('second');
    const clone = join(root, 'clone');
    execFileSync('git', ['clone', '-q', '--depth', '1', `file://${root}`, clone], { stdio: 'ignore' });
    expect(() => chooseBase(clone)).toThrow('the clone is shallow');
  });

  it('is followed by commits that accept figures by name', () => {
    git('init', '-q');
    const first = commit('first\n\nBench-Accepts: before');
    commit('second\n\nBatches pay once.\n\nBench-Accepts: count.a, count.b');
    commit('third');
    commit('fourth\n\nBench-Accepts: time.c');
    expect([...acceptedSince(root, first)].sort()).toEqual(['count.a', 'count.b', 'time.c']);
  });

  it('that does not build says so, with the end of what the build said', async () => {
    git('init', '-q');
    writeFileSync(join(root, 'package-lock.json'), '{}');
    git('add', 'package-lock.json');
    const only = commit('no build tool here');
    await expect(build(root, only)).rejects.toThrow(/the build of the base failed[^]*Cannot find module/);
  });
});
