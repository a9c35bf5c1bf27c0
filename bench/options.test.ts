import { describe, expect, it } from 'vitest';
import { Refusal } from '../host/base/errors.ts';
import { kernelScenario } from './kernel-scenario.ts';
import { parseOptions, select, wants } from './options.ts';
import type { Scenario } from './scenario.ts';

const scenario = (title: string, full: string[], quick = full): Scenario => ({
  title,
  names: (short) => (short ? quick : full),
  async *run() {},
});
const scenarios = [scenario('a', ['kernel.modmul.1536', 'kernel.modexp.1536']), scenario('b', ['sign.pool', 'start.first'], ['sign.pool'])];

const refusalOf = (work: () => unknown): Refusal => {
  try {
    work();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('not refused');
};

describe('the command line of the benchmark', () => {
  it('has defaults, and takes lists of prefixes once or several times', () => {
    expect(parseOptions([])).toEqual({ quick: false, help: false, only: [] });
    expect(
      parseOptions(['--quick', '--json', 'out.json', '--only', 'kernel, proof.mod', '--only=sign', '--data', 'd', '--plots', 'p']),
    ).toEqual({
      quick: true,
      help: false,
      only: ['kernel', 'proof.mod', 'sign'],
      json: 'out.json',
      data: 'd',
      plots: 'p',
    });
  });

  it.each([
    [['--fast'], '--fast'],
    [['--json'], '--json'],
    [['kernel'], 'kernel'],
    [['--quick=yes'], '--quick'],
    [['--only', 'kernel,'], '--only'],
    [['--json', ''], '--json'],
  ])('refuses %j by name and says where the options are listed', (argv, named) => {
    const refusal = refusalOf(() => parseOptions(argv));
    expect(`${refusal.field} ${refusal.message}`).toContain(named);
    expect(refusal.remedy).toContain('--help');
  });

  it('chooses the scenarios that have a name with the prefix', () => {
    const titles = (...only: string[]) => select(scenarios, { only, quick: false }).map(({ title }) => title);
    expect(titles()).toEqual(['a', 'b']);
    expect(titles('kernel.modexp')).toEqual(['a']);
    expect(titles('s', 'kernel')).toEqual(['a', 'b']);
    expect(wants(['kernel.modexp'])('kernel.modmul.1536')).toBe(false);
    expect(wants([])('anything')).toBe(true);
  });

  it('refuses a prefix that nothing begins with, and says when only a full run has it', () => {
    expect(refusalOf(() => select(scenarios, { only: ['proof'], quick: false })).remedy).toContain('kernel, sign, start');
    expect(refusalOf(() => select(scenarios, { only: ['start'], quick: true })).remedy).toContain('--quick');
    expect(select(scenarios, { only: ['start'], quick: false })).toHaveLength(1);
  });
});

describe('the scenario of the kernels', () => {
  it('promises each name once', () => {
    const all = kernelScenario.names(false);
    expect(all).toContain('kernel.modexp.6144x3072.single');
    expect(all).toContain('paillier.decrypt.3072.paillier-bigint');
    expect(new Set(all).size).toBe(all.length);
  });
});
