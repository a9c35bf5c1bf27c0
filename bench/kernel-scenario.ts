/** The arithmetic core as a part of the benchmark. */
import { chooseKernel } from '../host/core/self-test.ts';
import { kernels } from './kernels.ts';
import { clock, vectorProducts } from './limit.ts';
import { names, type Scenario } from './scenario.ts';
import { summarize } from './types.ts';

const VARIANTS = ['single', 'pair', 'openssl', 'bigint'] as const;
const LIMIT = ['kernel.clock', ...names(['kernel.vector'], ['1536', '3072', '6144'], ['single', 'pair'])];

export const kernelScenario: Scenario = {
  title: 'kernels',
  names: () => [
    ...names(['kernel.modmul'], ['1536', '3072', '6144'], ['single', 'pair']),
    ...names(['kernel.modexp'], ['1536x1536', '3072x3072', '6144x3072'], VARIANTS),
    ...names(['paillier.encrypt.3072'], ['core', 'core-own', 'paillier-bigint']),
    ...names(['paillier.decrypt.3072'], ['core', 'paillier-bigint']),
    ...LIMIT,
  ],
  async *run({ quick, progress }) {
    progress('multiplication, exponentiation, Paillier');
    const gigahertz = clock();
    const results = await kernels({ quick });
    yield* results;
    if (chooseKernel().kernel === 'fma') {
      yield summarize('kernel.clock', 'GHz', [gigahertz]);
      yield* vectorProducts(results, gigahertz);
    } else for (const name of LIMIT) yield { name, why: 'about the kernel fma, which does not run here' };
  },
};
