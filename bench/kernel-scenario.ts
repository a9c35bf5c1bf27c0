/** The arithmetic core as a part of the benchmark. */
import { kernels } from './kernels.ts';
import { names, type Scenario } from './scenario.ts';

const VARIANTS = ['single', 'pair', 'openssl', 'bigint'] as const;

export const kernelScenario: Scenario = {
  title: 'kernels',
  names: () => [
    ...names(['kernel.modmul'], ['1536', '3072', '6144'], ['single', 'pair']),
    ...names(['kernel.modexp'], ['1536x1536', '3072x3072', '6144x3072'], VARIANTS),
    ...names(['paillier.encrypt.3072'], ['core', 'core-own', 'paillier-bigint']),
    ...names(['paillier.decrypt.3072'], ['core', 'paillier-bigint']),
  ],
  async *run({ quick, progress }) {
    progress('multiplication, exponentiation, Paillier');
    yield* await kernels({ quick });
  },
};
